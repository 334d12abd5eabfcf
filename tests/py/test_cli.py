"""The command line: options, messages, exit status, interruption."""

import errno
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

import pytest

import memtorch
from memtorch import cli
from memtorch.demo import plots
from memtorch.demo.study import Draw, Experiment, Study

TIMEOUT = 120  # seconds; far above what anything here takes


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "memtorch", *arguments]


def status_and_lines(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """Exit status and the lines on standard error of a command that is expected to refuse its arguments."""
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert isinstance(exit_.value.code, int)
    return exit_.value.code, captured.err.splitlines()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "COMMAND"),
        (["nonsense"], "demo"),
        (["demo", "--nonsense"], "--nonsense"),
        (["demo", "--see", "1"], "--see"),  # no abbreviations: a later option could make them ambiguous
        (["demo", "--model", "Nonsense"], "'Data_Driven2021'"),
        (["demo", "--model"], "--model"),
        (["demo", "--tile-shape", "0", "128"], "0 128"),
        (["demo", "--tile-shape", "128"], "128x128"),
        (["demo", "--tile-shape", "1x2x3"], "1x2x3"),
        (["demo", "--tile-shape", "-4", "4"], "--tile-shape"),
        (["demo", "--output", ""], "--output"),
        (["demo", "--seed", "1.5"], "0 to"),
        (["demo", "--seed", "-1"], "0 to"),
        (["demo", "--draws", "0"], "1 to"),
        (["demo", "--adc-bits", "8", "0"], "1 to 32"),
        (["demo", "--adc-bits", "eight"], "'eight'"),
        (["demo", "--quant-method", "nonsense"], "'log_minmax'"),
        (["demo", "--variability", "nan"], "0 to 100"),
        (["demo", "--variability", "101"], "0 to 100"),
        (["demo", "--states", "1"], "2 to"),
        (["demo", "--line-resistance", "-1"], "a number from 0 to"),
        (["demo", "--wire-tiles", "0"], "1 to 1024"),
        (["demo", "--epochs", "0"], "1 to"),
        (["models", "--nonsense"], "--nonsense"),
    ],
)
def test_a_bad_argument_gets_one_line_and_status_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, lines = status_and_lines(arguments, capsys)
    assert status == 2
    assert len(lines) == 1
    assert "error" in lines[0]
    assert expected in lines[0]


def test_an_output_folder_that_cannot_exist_is_refused_before_any_work(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    status, lines = status_and_lines(["demo", "--output", str(file / "folder")], capsys)
    assert status == 2
    assert len(lines) == 1
    assert str(file / "folder") in lines[0]


def test_an_output_folder_without_write_permission_is_refused(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The refusal is made up, because root, who may run this test, is refused nothing.
    def refuse(**_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    status, lines = status_and_lines(["demo", "--output", str(tmp_path)], capsys)
    assert status == 2
    assert len(lines) == 1
    assert "Permission denied" in lines[0]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"memtorch {memtorch.__version__}\n"


def test_help_explains_every_option_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["demo", "--help"])
    assert exit_.value.code == 0
    paragraphs = re.split(r"\n  (?=-)", capsys.readouterr().out)[1:]
    explained = {re.findall(r"--[\w-]+", text)[0]: " ".join(text.split()) for text in paragraphs}
    expected = {
        "--model": "VTEAM",
        "--tile-shape": "128 128",
        "--seed": "0",
        "--output": "memtorch-demo",
        "--draws": "20",
        "--adc-bits": "8 6 4",
        "--quant-method": "linear",
        "--variability": "10 30 50",
        "--states": "10 4",
        "--line-resistance": "0.01 0.03 0.1",
        "--wire-tiles": "32 64 128",
        "--epochs": "20",
    }
    assert set(explained) == {*expected, "--help", "--quick"}
    for option, default in expected.items():
        # The help text is broken into lines at hyphens too.
        assert f"(default: {default})" in explained[option].replace("- ", "-")


def test_models_lists_every_parameter_with_its_unit(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models"]) == 0
    text = capsys.readouterr().out
    for name in ("LinearIonDrift", "VTEAM", "Stanford_PKU", "Data_Driven", "Data_Driven2021"):
        assert f"{name}:" in text
    assert re.search(r"k_off\s+0\.0005\s+m/s", text)
    assert re.search(r"r_off\s+218586\s+ohm", text)
    assert re.search(r"r_n\[1\]\s+23692\.77225\s+ohm/V", text)  # as Python names it: the second of a list


def test_models_into_a_closed_pipe_is_silent() -> None:
    status, error = run_into_a_closed_pipe("models")
    assert status == 0
    assert error == ""


def run_into_a_closed_pipe(*arguments: str) -> tuple[int, str]:
    """Exit status and standard error of a command whose reader has left before it prints."""
    with subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        error = process.stderr.read()
    return process.returncode, error


def fixed_run(accuracies: list[float], then: BaseException | None = None) -> Callable[..., Iterator[Draw]]:
    """A replacement for ``Study.run`` that yields ADC draws of the given accuracies, and then raises."""

    def run(study: Study, on_step: Callable[[str], None]) -> Iterator[Draw]:
        for index, accuracy in enumerate(accuracies):
            on_step("step")
            yield Draw(Experiment("adc", 8 - index), 0, accuracy, 0.25)
        if then is not None:
            raise then

    return run


def test_an_interrupt_leaves_what_is_finished(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Study, "run", fixed_run([97.5, 96], KeyboardInterrupt()))
    assert cli.main(["demo", "--output", str(tmp_path)]) == 130
    captured = capsys.readouterr()
    assert "interrupted after 2 of" in captured.err
    assert "8-bit ADC" in captured.out
    rows = (tmp_path / "results.csv").read_text().splitlines()[1:]
    assert [row.split(",")[:5] for row in rows] == [["adc", "8", "", "1", "97.5"], ["adc", "7", "", "1", "96"]]
    pictures = {path.name for path in tmp_path.glob("*.png")}
    assert pictures == {"accuracy_adc.png", "hysteresis.png"}


def test_an_interrupt_before_the_first_result_writes_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Study, "run", fixed_run([], KeyboardInterrupt()))
    assert cli.main(["demo", "--output", str(tmp_path)]) == 130
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "interrupted after 0 of" in captured.err
    assert list(tmp_path.iterdir()) == []


def test_an_argument_that_the_simulation_refuses_gets_one_line_and_status_2(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Study, "run", fixed_run([], memtorch.InvalidArgument("[op] name (1 V) must be 2 V")))
    assert cli.main(["demo", "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "memtorch: error: [op] name (1 V) must be 2 V"


def test_a_file_that_cannot_be_written_gets_one_line_and_status_1(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Study, "run", fixed_run([97.5]))
    (tmp_path / "results.csv").mkdir()
    assert cli.main(["demo", "--output", str(tmp_path)]) == 1
    assert "results.csv" in capsys.readouterr().err.splitlines()[-1]


def test_a_real_interrupt_leaves_results_and_status_130(tmp_path: pathlib.Path) -> None:
    with subprocess.Popen(
        command("demo", "--epochs", "1", "--draws", "10000", "--output", str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test runner in the background may have taught its children to ignore the signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stderr is not None
        while "variability" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert "ideal crossbars" in output
    assert (tmp_path / "results.csv").read_text().splitlines()[1].startswith("digital,")
    assert (tmp_path / "accuracy_adc.png").exists()


def test_a_demo_whose_reader_has_left_writes_every_file(tmp_path: pathlib.Path) -> None:
    status, error = run_into_a_closed_pipe("demo", "--epochs", "1", "--draws", "1", "--output", str(tmp_path))
    assert status == 0
    assert "rror" not in error
    assert len(list(tmp_path.glob("*.png"))) == 6


@pytest.mark.parametrize("columns", ["20", "60"])
def test_a_narrow_terminal_costs_no_number(
    columns: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(Study, "run", fixed_run([97.5]))
    assert cli.main(["demo", "--output", str(tmp_path)]) == 0
    assert re.search(r"8-bit ADC +97\.50 +1 +25\.00 %", capsys.readouterr().out)


def test_an_interrupt_while_plotting_still_prints_the_table(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Study, "run", fixed_run([97.5]))
    monkeypatch.setattr(plots, "write_plots", interrupted)
    assert cli.main(["demo", "--output", str(tmp_path)]) == 130
    assert "8-bit ADC" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"results.csv", "draws.csv", "options.json"}


def test_nothing_is_left_to_import_when_the_last_draw_is_finished(tmp_path: pathlib.Path) -> None:
    # An interrupt during such an import, which takes half a second, would lose every draw.
    program = f"""
import sys
from memtorch import cli
from memtorch.demo.study import Draw, Experiment, Study
def run(study, on_step):
    yield Draw(Experiment("adc", 8), 0, 97.5, 0.25)
    global before
    before = set(sys.modules)
Study.run = run
cli.main(["demo", "--output", {str(tmp_path)!r}])
print(*(name for name in set(sys.modules) - before if name.startswith("memtorch.") or name == "matplotlib.figure"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ""


def test_the_quick_demo_prints_a_plain_table_and_writes_every_file(tmp_path: pathlib.Path) -> None:
    done = subprocess.run(
        command("demo", "--quick", "--draws", "2", "--epochs", "3", "--output", str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr  # no colours, no cursor movements
    for label in (
        "digital network",
        "ideal crossbars",
        "4-bit ADC",
        "variability 50 %",
        "4 conductance states",
        "wire 0.1 ohm",
    ):
        assert label in done.stdout
    assert "training the network" in done.stderr
    expected = {"results.csv", "draws.csv", "options.json", "accuracy_adc.png", "accuracy_variability.png"}
    expected |= {"accuracy_wires.png", "ir_drop.png", "conductance.png", "hysteresis.png"}
    assert {path.name for path in tmp_path.iterdir()} == expected
