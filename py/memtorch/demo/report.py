"""The draws of a study as a table for people, and as CSV files for programs."""

from __future__ import annotations

import csv
import dataclasses
import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich import box
from rich.table import Table

from memtorch.demo.study import Draw, Experiment, StudyOptions
from memtorch.version import __version__

LEGEND = """\
Accuracy: test images recognised; mean, standard deviation, range of draws.
Deviation: root mean square difference from the digital network's outputs,
relative to their own root mean square.
"""


@dataclass(frozen=True)
class Summary:
    """The draws of one experiment: accuracies in percent, deviation from the digital logits relative to their size."""

    experiment: Experiment
    draws: int
    mean: float
    std: float | None
    lowest: float
    highest: float
    deviation: float


def summarize(draws: Iterable[Draw]) -> list[Summary]:
    """One summary per experiment, in the order in which the experiments first occur."""
    groups: dict[Experiment, list[Draw]] = {}
    for draw in draws:
        groups.setdefault(draw.experiment, []).append(draw)
    return [_summary(experiment, group) for experiment, group in groups.items()]


def _summary(experiment: Experiment, group: Sequence[Draw]) -> Summary:
    accuracies = [draw.accuracy for draw in group]
    return Summary(
        experiment=experiment,
        draws=len(group),
        mean=statistics.fmean(accuracies),
        std=statistics.stdev(accuracies) if len(group) > 1 else None,
        lowest=min(accuracies),
        highest=max(accuracies),
        deviation=statistics.fmean(draw.deviation for draw in group),
    )


def table(summaries: Sequence[Summary], title: str) -> Table:
    """The summaries as a table of at most 80 columns; `LEGEND` explains it."""
    result = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    result.add_column("Experiment")
    for heading in ("Accuracy %", "std", "min", "max", "Draws", "Deviation"):
        result.add_column(heading, justify="right")
    previous = None
    for summary in summaries:
        kind = summary.experiment.kind
        if previous is not None and previous != kind and kind in ("adc", "variability", "states", "wires"):
            result.add_section()
        previous = kind
        result.add_row(summary.experiment.label, *_cells(summary))
    return result


def _cells(summary: Summary) -> list[str]:
    if summary.std is None:
        spread = ["", "", ""]
    else:
        spread = [f"{summary.std:.2f}", f"{summary.lowest:.2f}", f"{summary.highest:.2f}"]
    return [f"{summary.mean:.2f}", *spread, str(summary.draws), percent(summary.deviation)]


def percent(fraction: float) -> str:
    """A fraction in percent, with two decimals or, where those would hide it, with an exponent."""
    value = 100 * fraction
    return f"{value:.2f} %" if value >= 0.01 or value == 0 else f"{value:.0e} %"


def write_csv(folder: Path, draws: Sequence[Draw]) -> list[Path]:
    """Writes ``results.csv`` (a row per experiment) and ``draws.csv`` (a row per draw) and returns their paths."""
    results = folder / "results.csv"
    with results.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = ["accuracy_mean_pct", "accuracy_std_pct", "accuracy_min_pct", "accuracy_max_pct", "logit_deviation"]
        writer.writerow(["experiment", "setting", "tile", "draws", *names])
        for summary in summarize(draws):
            _, count, *values = dataclasses.astuple(summary)
            writer.writerow([*_key(summary.experiment), count, *map(_number, values)])
    single = folder / "draws.csv"
    with single.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["experiment", "setting", "tile", "draw", "accuracy_pct", "logit_deviation"])
        for draw in draws:
            writer.writerow([*_key(draw.experiment), draw.index, _number(draw.accuracy), _number(draw.deviation)])
    return [results, single]


def write_options(folder: Path, options: StudyOptions) -> Path:
    """Writes ``options.json``: what it takes to get the same results again."""
    path = folder / "options.json"
    record = {
        "memtorch": __version__,
        "torch": torch.__version__,
        **dataclasses.asdict(options),
        "model": options.model.__name__,
    }
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return path


def _key(experiment: Experiment) -> list[str]:
    return [experiment.kind, _number(experiment.setting), _number(experiment.tile)]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
