"""Runs every script of this folder as a user would, and the code of the README."""

import pathlib
import re
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parent
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py") if path != pathlib.Path(__file__))


def run(arguments: list[str], folder: pathlib.Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_script_runs_and_prints(script: str, tmp_path: pathlib.Path) -> None:
    assert run([str(FOLDER / script)], tmp_path).strip()


def test_all_scripts_are_found() -> None:
    assert SCRIPTS == ["own_nonideality.py", "patch_a_network.py", "single_device.py", "variability.py"]


def numbers(output: str, unit: str) -> list[float]:
    return [float(text) for text in re.findall(rf"([-+\d.]+) {unit}(?!\w)", output)]


def test_patching_without_converters_keeps_the_accuracy_and_two_bits_destroy_it(tmp_path: pathlib.Path) -> None:
    output = run([str(FOLDER / "patch_a_network.py")], tmp_path)
    accuracies = [float(text) for text in re.findall(r"([\d.]+) %", output)]
    digital, ideal, *converters = accuracies
    assert digital > 90  # a network of this size learns these digits to about 97 %
    assert ideal == pytest.approx(digital, abs=0.01)  # the logits agree to float32 rounding: no image changes its class
    assert converters[-1] < digital - 5


def test_the_pulses_raise_the_resistance_and_the_picture_is_written(tmp_path: pathlib.Path) -> None:
    resistances = numbers(run([str(FOLDER / "single_device.py")], tmp_path), "ohm")
    # VTEAM moves 24.5 mm/s at 1 V (k_off (V / v_off - 1)); 10 ns are 0.245 nm of 3 nm, that is 77.6 of 950 ohm.
    assert resistances[:4] == pytest.approx([50, 127.6, 205.2, 282.8], abs=0.06)  # printed to 0.1 ohm
    assert resistances[4] == 500
    assert (tmp_path / "single_device.png").stat().st_size > 0


def test_the_error_grows_with_the_variability(tmp_path: pathlib.Path) -> None:
    output = run([str(FOLDER / "variability.py")], tmp_path)
    errors = [float(text.split()[2]) for text in output.splitlines()[1:]]
    assert errors[0] == 0
    assert errors == sorted(set(errors))


def test_each_non_ideality_adds_to_the_error(tmp_path: pathlib.Path) -> None:
    output = run([str(FOLDER / "own_nonideality.py")], tmp_path)
    errors = numbers(output, "%")
    assert errors == sorted(set(errors))
    assert errors[0] == 0
    # int(0.01 N) + int(0.02 N) devices of each of two crossbars, for the 2048 and the 320 devices of a layer's crossbar
    assert numbers(output, "devices") == [2 * (20 + 40) + 2 * (3 + 6)]


def test_the_code_of_the_readme_runs(tmp_path: pathlib.Path) -> None:
    readme = FOLDER.parents[1] / "README.md"
    blocks = re.findall(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        run(["-c", block], tmp_path)
