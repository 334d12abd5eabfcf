"""The pictures of a study, drawn without a display."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from numpy.typing import NDArray

from memtorch.bh.memristor import Memristor
from memtorch.demo.report import Summary, summarize
from memtorch.demo.study import MODELS, Draw

Array = NDArray[np.float64]
# Amplitude (V) and frequency (Hz) of the voltage of each loop: where the model's published behaviour shows.
HYSTERESIS: dict[str, tuple[float, float]] = {
    "LinearIonDrift": (5, 2.5),
    "VTEAM": (1, 50e6),
    "Stanford_PKU": (1.5, 10),
    "Data_Driven": (1.5, 10e3),
    "Data_Driven2021": (1.5, 10e3),
}
PERIODS = 2
CREATOR = "memtorch demo"  # stands in every picture
BINS = 60
MAX_LINE_POINTS = 4000
BLUE, ORANGE, GREY = "#1f5fa8", "#d9622b", "#777777"


def write_plots(folder: Path, draws: Sequence[Draw]) -> list[Path]:
    """Writes every plot for which there is data, and removes an earlier run's other plots; returns the paths.

    A picture that does not come from here stays, unless one of the same name is written.

    Args:
        folder: that exists.
        draws: all that is finished, in the order of the study.
    """
    summaries = summarize(draws)
    figures = {
        "accuracy_adc.png": plot_adc(summaries),
        "accuracy_variability.png": plot_variability(summaries, draws),
        "accuracy_wires.png": plot_wires(summaries),
        "ir_drop.png": plot_drop(draws),
        "conductance.png": plot_conductance(draws),
        "hysteresis.png": plot_hysteresis(MODELS),
    }
    paths = []
    for name, figure in figures.items():
        path = folder / name
        if figure is not None:
            figure.savefig(path, dpi=150, metadata={"Creator": CREATOR})
            paths.append(path)
        elif path.is_file() and CREATOR.encode() in path.read_bytes():
            path.unlink()
    return paths


def plot_adc(summaries: Sequence[Summary]) -> Figure | None:
    """Accuracy against the resolution of the converters; None without an experiment of that kind."""
    points = sorted((s.experiment.setting or 0, s.mean) for s in summaries if s.experiment.kind == "adc")
    if not points:
        return None
    figure, axes = _figure()
    _digital_line(axes, summaries)
    bits, accuracy = zip(*points, strict=True)
    axes.plot(bits, accuracy, "o-", color=BLUE, label="with ADC")
    axes.set(title="ADC at the end of each tile's columns", xlabel="ADC resolution (bits)", ylabel="Test accuracy (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _accuracy_limits(axes, accuracy)
    axes.legend(loc="lower right")
    return figure


def plot_variability(summaries: Sequence[Summary], draws: Iterable[Draw]) -> Figure | None:
    """Accuracy against the variability of the devices: every draw, mean and spread; None without such an experiment."""
    found = sorted(
        (s for s in summaries if s.experiment.kind == "variability"),
        key=lambda summary: summary.experiment.setting or 0,
    )
    if not found:
        return None
    figure, axes = _figure()
    _digital_line(axes, summaries)
    # Neighbouring draws stand a little apart, because a few accuracies recur often.
    points = [
        ((d.experiment.setting or 0) + 0.2 * (d.index % 5 - 2), d.accuracy)
        for d in draws
        if d.experiment.kind == "variability"
    ]
    axes.plot(*zip(*points, strict=True), "o", color=GREY, alpha=0.5, markersize=3, label="one draw")
    found = [s for s in summaries if s.experiment.kind == "ideal"] + found  # the ideal crossbar is the one at 0 %
    strength = [summary.experiment.setting or 0 for summary in found]
    mean = np.array([summary.mean for summary in found])
    std = np.array([summary.std or 0 for summary in found])
    # An accuracy cannot exceed 100 %, though mean + std can.
    axes.fill_between(strength, mean - std, np.minimum(mean + std, 100), color=BLUE, alpha=0.2, label="mean ± std")
    axes.plot(strength, mean, "o-", color=BLUE, label="mean")
    axes.set(
        title="Device-to-device variability",
        xlabel="Standard deviation of r_on and r_off (% of the mean)",
        ylabel="Test accuracy (%)",
    )
    _accuracy_limits(axes, [accuracy for _, accuracy in points])
    axes.legend(loc="lower left")
    return figure


def plot_wires(summaries: Sequence[Summary]) -> Figure | None:
    """Accuracy against the resistance of the wires, a line for each size of tiles; None without such an experiment."""
    found = [summary for summary in summaries if summary.experiment.kind == "wires"]
    if not found:
        return None
    figure, axes = _figure()
    _digital_line(axes, summaries)
    sides = sorted({summary.experiment.tile or 0 for summary in found})
    for side, shade in zip(sides, np.linspace(0.35, 1, len(sides)), strict=True):
        points = sorted((s.experiment.setting or 0, s.mean) for s in found if s.experiment.tile == side)
        ohm, accuracy = zip(*points, strict=True)
        axes.plot(ohm, accuracy, "o-", color=BLUE, alpha=shade, label=f"tiles {side}x{side}")
    if min(summary.experiment.setting or 0 for summary in found) > 0:
        axes.set_xscale("log")
    axes.set(
        title="Resistive wires, solved exactly",
        xlabel="Resistance of a line between neighbouring cells (ohm)",
        ylabel="Test accuracy (%)",
    )
    _accuracy_limits(axes, [summary.mean for summary in found])
    axes.legend(loc="lower left")
    return figure


def plot_drop(draws: Iterable[Draw]) -> Figure | None:
    """Maps of the lost voltage in the largest tile, one for each line resistance; None without such an experiment."""
    found = [draw for draw in draws if draw.drop is not None]
    if not found:
        return None
    side = max(draw.experiment.tile or 0 for draw in found)
    shown = [draw for draw in found if draw.experiment.tile == side]
    figure = Figure(figsize=(1 + 3.6 * len(shown), 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, draw in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        image = axes.imshow(100 * np.asarray(draw.drop), aspect="auto", interpolation="nearest", cmap="magma", vmin=0)
        figure.colorbar(image, ax=axes, label="Lost voltage (%)")
        axes.set(title=f"{draw.experiment.setting:g} ohm", xlabel="Bit line", ylabel="Word line")
    figure.suptitle(f"IR drop in a {side}x{side} tile of the largest layer, all word lines at the same voltage")
    return figure


def plot_conductance(draws: Iterable[Draw]) -> Figure | None:
    """Histograms of the largest layer's conductances: ideal, most variable, and each number of states."""
    shown: dict[str, tuple[str, Array]] = {}
    for draw in draws:
        kind, setting = draw.experiment.kind, draw.experiment.setting or 0
        if draw.conductance is None or kind not in ("ideal", "variability", "states"):
            continue
        key = f"states {setting:g}" if kind == "states" else kind  # of the variabilities the last one stays
        label = draw.experiment.label
        if kind == "variability":
            label += " (r_off cut off at the geometric mean of r_on and r_off)"
        shown[key] = (label, draw.conductance)
    if not shown:
        return None
    figure = Figure(figsize=(7, 1 + 1.6 * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(shown), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    edges = np.histogram_bin_edges(np.concatenate([cells for _, cells in shown.values()]) * 1e3, BINS)
    for axes, (label, cells) in zip(panels, shown.values(), strict=True):
        axes.hist(cells * 1e3, edges, color=BLUE)
        axes.set_yscale("log")
        axes.set_title(label, loc="left", fontsize=10)
        axes.grid(alpha=0.25)
    figure.suptitle("Conductances of the largest layer")
    figure.supylabel("Devices")
    panels[-1].set_xlabel("Conductance (mS)")
    return figure


def plot_hysteresis(models: Sequence[type[Memristor]]) -> Figure:
    """Current against voltage of each device model over two periods of a sine."""
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, -(-len(models) // 2), squeeze=False).flatten()
    for axes, model in zip(panels, models, strict=False):
        amplitude, frequency = HYSTERESIS[model.__name__]
        voltage, current = _hysteresis(model, amplitude, frequency)
        axes.plot(voltage, current, color=BLUE, linewidth=1.2)
        axes.axhline(0, color=GREY, linewidth=0.6)
        axes.axvline(0, color=GREY, linewidth=0.6)
        axes.yaxis.set_major_formatter(EngFormatter(unit="A"))
        axes.set(title=model.__name__, xlabel="Voltage (V)", ylabel="Current")
        axes.text(0.03, 0.95, f"{EngFormatter(unit='Hz')(frequency)} sine", transform=axes.transAxes, va="top")
        axes.grid(alpha=0.25)
    for axes in panels[len(models) :]:
        axes.set_axis_off()
        axes.text(0.5, 0.5, f"{PERIODS} periods,\nfrom the fresh state", ha="center", va="center", color=GREY)
    figure.suptitle("Hysteresis of the device models with their default parameters")
    return figure


def _hysteresis(model: Callable[[], Any], amplitude: float, frequency: float) -> tuple[Array, Array]:
    voltage, current = model().plot_hysteresis_loop(
        duration=PERIODS / frequency,
        voltage_signal_amplitude=amplitude,
        voltage_signal_frequency=frequency,
        return_result=True,
    )
    # A model with a short default time step gives millions of samples, more than a picture has dots.
    every = max(1, len(voltage) // MAX_LINE_POINTS)
    return np.asarray(voltage)[::every], np.asarray(current)[::every]


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.grid(alpha=0.25)
    return figure, axes


def _accuracy_limits(axes: Axes, accuracies: Sequence[float]) -> None:
    bottom = min(accuracies)
    axes.set_ylim(max(0, bottom - max(1, 0.1 * (100 - bottom))), 100)


def _digital_line(axes: Axes, summaries: Sequence[Summary]) -> None:
    for summary in summaries:
        if summary.experiment.kind == "digital":
            axes.axhline(summary.mean, color=ORANGE, linestyle="--", label=f"digital, {summary.mean:.1f} %")
