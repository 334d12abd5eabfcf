"""Measures how the time of exact wires grows with the size of an array; draws it and writes it into a document.

Usage, from the root of a clone: PYTHONPATH=py python tools/docs/wire_growth.py [--draw]

Measures what `tools/bench/growth.py` does (minutes, on a quiet machine) into docs/pictures/performance/growth.csv;
draws growth.png beside it and renews the table in docs/performance.md. --draw takes the numbers that are there.
"""

from __future__ import annotations

import csv
import math
import re
import sys
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator
from nonidealities import BLUE, GREEN, ORANGE, RED, picture, save

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools/bench"))
from growth import FIRST, SIZES, VECTORS, Measurement, exponent, measure  # noqa: E402

DOCUMENT = ROOT / "docs/performance.md"
FOLDER = ROOT / "docs/pictures/performance"
STYLES: dict[str, dict[str, Any]] = {
    "memtorch float64": {"color": BLUE, "marker": "o"},
    "memtorch float32": {"color": BLUE, "marker": "o", "linestyle": "--", "markerfacecolor": "white"},
    "badcrossbar": {"color": ORANGE, "marker": "s"},
    "MemTorch 1.1.6": {"color": RED, "marker": "^", "linestyle": ":"},
    "CrossSim": {"color": GREEN, "marker": "D", "linestyle": ":"},
}
# Measured when the method was chosen, on one core of another machine (AVX-512 Xeon), on devices like these with wires
# of 1 ohm. Of 1.1.6: its float32 solver called by itself for one vector, its batched function for 256. Of CrossSim: its
# default tolerance, which leaves errors of 5e-4 to 7e-4. Both take vectors one by one; where fewer than 256 were timed
# (32 at n = 128, 8 at n = 256), the time is scaled.
RECORDED = [
    *(Measurement("MemTorch 1.1.6", 1, n, s) for n, s in ((32, 4.9e-3), (64, 21.7e-3), (128, 0.134))),
    *(Measurement("MemTorch 1.1.6", 256, n, s) for n, s in ((32, 1.284), (64, 5.305), (128, 3.038 * 8))),
    *(Measurement("CrossSim", 256, n, s) for n, s in ((32, 0.0186), (64, 0.102), (128, 0.0926 * 8), (256, 1.572 * 32))),
]


def load(path: Path) -> list[Measurement]:
    """What was measured before."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Measurement(row["solver"], int(row["vectors"]), int(row["n"]), float(row["seconds"]))
            for row in csv.DictReader(file)
        ]


def store(found: list[Measurement], path: Path) -> None:
    """Writes what was measured."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Measurement._fields)
        writer.writerows((*one[:3], f"{one.seconds:.4g}") for one in found)


def points(found: list[Measurement], solver: str, vectors: int) -> dict[int, float]:
    """Milliseconds by n."""
    return {one.n: 1e3 * one.seconds for one in found if one[:2] == (solver, vectors)}


def three_digits(ms: float) -> str:
    """Three digits, at least, without an exponent."""
    return f"{ms:.{max(0, 2 - math.floor(math.log10(ms)))}f}"


def panel(axes: Axes, found: list[Measurement], vectors: int) -> None:
    """Time against n for so many input vectors."""
    for solver, style in STYLES.items():
        line = points(found + RECORDED, solver, vectors)
        if line:
            recorded = ", recorded" if any(one.solver == solver for one in RECORDED) else ""
            axes.loglog(*zip(*line.items(), strict=True), label=solver + recorded, markersize=4, linewidth=1.4, **style)
    # Half of the lowest multiple of n^3.
    scale = min(ms / n**3 for n, ms in points(found, "memtorch float32", vectors).items()) / 2
    ends = SIZES[0], SIZES[-1]
    axes.loglog(ends, [scale * n**3 for n in ends], color="black", linewidth=1, linestyle="-.", alpha=0.5)
    axes.text(300, scale * 300**3 / 2.2, "n³", fontsize=9, color="black", alpha=0.7)
    axes.set_title("One input vector" if vectors == 1 else f"{vectors} input vectors", fontsize=10)
    axes.set_xlabel("Word lines, and bit lines, n")
    ticks = [n for n in SIZES if n & (n - 1) == 0]
    axes.set_xticks(ticks, map(str, ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)


def draw(found: list[Measurement], path: Path) -> None:
    """The picture."""
    figure, panels = picture(len(VECTORS))
    figure.set_size_inches(8.6, 4.2)
    panels[1].sharey(panels[0])
    for axes, vectors in zip(panels, VECTORS, strict=True):
        panel(axes, found, vectors)
    panels[0].set_ylabel("Processor time (ms)")
    handles, labels = panels[-1].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8, ncols=5, loc="outside lower center")
    save(figure, path)


def table(found: list[Measurement]) -> str:
    """The same as a table, with the powers of n that they grow with."""
    columns = [
        ("memtorch float64", 1),
        ("memtorch float64", 256),
        ("memtorch float32", 256),
        ("badcrossbar", 1),
        ("badcrossbar", 256),
    ]
    heads = [f"{solver}, {vectors} vector{'s' * (vectors > 1)}" for solver, vectors in columns]
    lines = ["| n | " + " | ".join(f"{head} (ms)" for head in heads) + " |", "|---:" * (len(columns) + 1) + "|"]
    for n in SIZES:
        cells = [points(found, *column).get(n) for column in columns]
        lines.append(f"| {n} | " + " | ".join("" if ms is None else three_digits(ms) for ms in cells) + " |")
    powers = " | ".join(f"{exponent(found, *column):.2f}" for column in columns)
    return "\n".join([*lines, f"| power of n from {FIRST} on | {powers} |\n"])


def main(arguments: list[str]) -> None:
    """Measures, draws, writes."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    numbers = FOLDER / "growth.csv"
    if "--draw" not in arguments:
        store(measure(), numbers)
    found = load(numbers)
    draw(found, FOLDER / "growth.png")
    text, count = re.subn(r"^\| n \|.*\n(?:\|.*\n)+", table(found), DOCUMENT.read_text(encoding="utf-8"), flags=re.M)
    if count != 1:
        sys.exit(f"{DOCUMENT}: has {count} tables that start with '| n |', of which there must be one")
    DOCUMENT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
