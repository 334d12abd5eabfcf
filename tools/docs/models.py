"""Writes docs/models.md and its pictures from the engine's tables and the comments at the top of its headers.

Usage, from the root of a clone: PYTHONPATH=py python tools/docs/models.py [--no-pictures]
"""

from __future__ import annotations

import pathlib
import sys
from typing import Any

import memtorch.bh.memristor
from memtorch.bh._model_table import Field, ModelTable, model_table

ROOT = pathlib.Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/models.md"
PICTURES = ROOT / "docs/pictures/models"
MODELS = ("LinearIonDrift", "VTEAM", "Stanford_PKU", "Data_Driven", "Data_Driven2021")

# Units of what `programming_params` holds: arguments of naive_program, and the time step that they are meant for.
PULSE_UNITS = {
    "pulse_duration": "s",
    "refactory_period": "s",
    "pos_voltage_level": "V",
    "neg_voltage_level": "V",
    "time_series_resolution": "s",
}

INTRODUCTION = """\
# Device models

Made by `tools/docs/models.py` from the tables of the engine, the comments of its headers and the models themselves;
`memtorch models` prints the parameters too.

A device is built with `memtorch.bh.memristor.<model>(...)`, all devices of a crossbar with
`memtorch.bh.crossbar.Crossbar(model, {parameters}, shape)`. Every parameter can be a number, a tensor or array with one
number per device, or a `memtorch.bh.StochasticParameter`, which is drawn anew for each device. `simulate` takes one
explicit step per sample of the voltage, `time_series_resolution` seconds long; with `rel_tol=` it divides samples until
the movement of the state is known to within that fraction of its range. Voltages drop from the word line (row) to the
bit line (column).

The pictures show what the methods `plot_hysteresis_loop()` (left) and `plot_bipolar_switching_behaviour()` (right) draw
with default arguments for a fresh device with default parameters.
"""

WINDOWS = """\
## Window functions

`memtorch.bh.memristor.window` has the factors that slow a state x in [0, 1] down near its bounds; p > 0. LinearIonDrift
uses Joglekar's, at an x that is clipped a small distance from the bounds, because a window that is 0 at both would hold
a device there for ever. The others are there for models of your own.

| function | formula | source |
|---|---|---|
| `Joglekar(x, p=1)`, also as `Jogelkar` | 1 - (2x - 1)^(2p) | Y. N. Joglekar and S. J. Wolf, European Journal of \
Physics 30(4), 2009 |
| `Biolek(voltage, x=1.0, p=1)` | 1 - x^(2p) for voltages above 0, else 1 - (1 - x)^(2p) | Z. Biolek, D. Biolek and \
V. Biolkova, Radioengineering 18(2), 2009 |
| `Prodromakis(x, p=1, j=1.0)` | j (1 - ((x - 0.5)^2 + 0.75)^p) | T. Prodromakis, B. P. Peh, C. Papavassiliou and \
C. Toumazou, IEEE Transactions on Electron Devices 58(9), 2011 |
"""


def header_comment(name: str) -> list[str]:
    """The lines of the comment at the top of a model's header, without slashes and without their first line."""
    for header in sorted((ROOT / "engine/devices").glob("*.h")):
        source = header.read_text(encoding="utf-8")
        if f'kName = "{name}"' in source:
            lines = source.splitlines()
            comment = lines[: next(i for i, line in enumerate(lines) if not line.startswith("//"))]
            return [line.removeprefix("//").removeprefix(" ") for line in comment[2:]]
    raise LookupError(f"no header of engine/devices names {name}")


def with_code_blocks(lines: list[str]) -> str:
    """Indented lines are equations and become code blocks."""
    out: list[str] = []
    inside = False
    for line in lines:
        equation = line.startswith("  ")
        if equation != inside:
            out += ["", "```"] if equation else ["```", ""]
            inside = equation
        out.append(line[2:] if equation else line)
    return "\n".join(out + (["```"] if inside else []))


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def parameter_rows(model: ModelTable) -> list[list[str]]:
    """One row per parameter of the engine, under the name that Python gives it."""
    listed = {part: f"{public}[{k}]" for public, parts in model.lists.items() for k, part in enumerate(parts)}
    rows = [
        ["`time_series_resolution`", f"{model.time_series_resolution:g}", "s", "positive", "Time between samples."],
    ]
    for field in model.params:
        name = listed.get(field.name, field.name)
        rows.append([f"`{name}`", f"{field.default:.9g}", field.unit, field.range, field.doc])
    return rows


def state_rows(states: tuple[Field, ...]) -> list[list[str]]:
    return [[f"`{field.name}`", f"{field.default:.9g}", field.unit, field.doc] for field in states]


def pulse_section(params: dict[str, Any]) -> str:
    """The pulses that programme every conductance in the range of a device with default parameters."""
    rows = [[f"`{name}`", f"{value:g}", PULSE_UNITS.get(name, "")] for name, value in params.items()]
    return (
        "Pulses that reach every conductance between 1 / r_off and 1 / r_on with the default parameters, as arguments "
        "of\n`naive_program` (`programming_params` of the class):\n\n"
        + table(["argument", "value", "unit"], rows)
        + "\n"
    )


def section(name: str) -> str:
    """Everything about one model."""
    model = model_table(name)
    raises, lowers = ("positive", "negative") if model.polarity > 0 else ("negative", "positive")
    recorded = "before" if model.reads_first else "after"
    parts = [
        f"## {name}\n\n{model.summary}\n",
        with_code_blocks(header_comment(name)) + "\n",
        f"Polarity: {raises} voltages raise the conductance, {lowers} ones lower it. `simulate` records the current of "
        f"a sample\n{recorded} its step.\n",
        f"![Hysteresis loop and bipolar switching of {name}](pictures/models/{name}.png)\n",
        table(["parameter", "default", "unit", "range", "meaning"], parameter_rows(model)) + "\n",
        table(["state", "fresh device", "unit", "meaning"], state_rows(model.states)) + "\n",
    ]
    programming = getattr(model, "programming_params", None)
    if programming:
        parts.append(pulse_section(programming))
    parts.append(f"Source: {model.reference}\n")
    return "\n".join(parts)


def text() -> str:
    """The whole document."""
    return "\n".join([INTRODUCTION, *(section(name) for name in MODELS), WINDOWS])


def draw(name: str) -> None:
    """Draws both plots of a fresh device side by side."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    device = getattr(memtorch.bh.memristor, name)()
    plt.sca(left)
    device.plot_hysteresis_loop()
    plt.sca(right)
    device.plot_bipolar_switching_behaviour()
    for axes in (left, right):
        axes.grid(True, color="0.9")
        axes.lines[0].set_linewidth(1)
    figure.savefig(PICTURES / f"{name}.png", dpi=90)
    plt.close(figure)


def main(arguments: list[str]) -> None:
    DOCUMENT.write_text(text(), encoding="utf-8")
    if "--no-pictures" not in arguments:
        PICTURES.mkdir(parents=True, exist_ok=True)
        for name in MODELS:
            draw(name)


if __name__ == "__main__":
    main(sys.argv[1:])
