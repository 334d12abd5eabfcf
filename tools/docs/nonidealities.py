"""Draws the pictures of docs/nonidealities.md: what each effect does to conductances, or to the currents of reads.

Usage: python tools/docs/nonidealities.py [FOLDER]       docs/pictures/nonidealities by default
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import memtorch
from memtorch.bh import nonideality
from memtorch.bh.nonideality.endurance_retention_models import OperationMode

BLUE, ORANGE, RED, GREEN = "#1f5fa8", "#d9622b", "#b02a37", "#2f7d4f"
SHAPE = (200, 250)


def weights() -> torch.Tensor:
    """Numbers that spread over [0, 1], where 0 and 1 stand for the ends of a device's range."""
    generator = torch.Generator().manual_seed(0)
    return torch.empty(SHAPE).normal_(0.35, 0.2, generator=generator).clamp(0, 1)


class Layer(torch.nn.Module):
    """A crossbar of VTEAM devices (50 ohm to 1 kilohm) whose conductances spread over their range."""

    def __init__(self) -> None:
        super().__init__()
        crossbar = memtorch.bh.crossbar.Crossbar(memtorch.bh.memristor.VTEAM, {"r_on": 50, "r_off": 1000}, SHAPE)
        crossbar.write_conductance_matrix(1 / 1000 + weights() * (1 / 50 - 1 / 1000))
        self.crossbars = torch.nn.ModuleList([crossbar])


def degrade(layer: Layer, mode: OperationMode, state: str, p: list[float], stable: float | None, x: float) -> None:
    """Endurance of one state."""
    arguments = {"p_lrs": None, "stable_resistance_lrs": None, "p_hrs": None, "stable_resistance_hrs": None}
    arguments |= {f"p_{state}": p, f"stable_resistance_{state}": stable}
    nonideality.apply_endurance_model(layer, x, operation_mode=mode, cell_size=10, temperature=None, **arguments)


def vary(layer: Layer) -> None:
    """Bounds of 10 % and 20 % spread."""
    on, off = {"loc": 60, "scale": 6}, {"loc": 800, "scale": 160}
    nonideality.apply_cycle_variability(layer, min=20, r_off_kwargs=off, r_on_kwargs=on)


EFFECTS: dict[str, tuple[str, Callable[[Layer], object]]] = {
    "finite_states": (
        "FiniteConductanceStates: 8 states",
        lambda layer: nonideality.apply_finite_conductance_states(layer, 8),
    ),
    "device_faults": (
        "DeviceFaults: 5 % LRS, 8 % HRS, 2 % not electroformed",
        lambda layer: nonideality.apply_device_faults(layer, 0.05, 0.08, 0.02),
    ),
    "cycle_variability": ("CycleVariability: r_on 60 ± 6 ohm, r_off 800 ± 160 ohm", vary),
    "endurance_gradual": (
        "Endurance, gradual, LRS: R < 525 ohm scaled by 1.5",
        # (x / threshold)^(p3 p1 c) = (57.5 / 1.105)^0.1026 = 1.5
        lambda layer: degrade(layer, OperationMode.gradual, "lrs", [1.0, 0.1, 0.0, 0.1026], None, 57.5),
    ),
    "endurance_sudden": (
        "Endurance, sudden, LRS: R < 525 ohm becomes 150 ohm",
        lambda layer: degrade(layer, OperationMode.sudden, "lrs", [1.0, 0.1, 0.0], 150.0, 1000),
    ),
    "retention": (
        "Retention, conductance drift: x/t0 = 1e6, coefficient 0.03",
        lambda layer: nonideality.apply_retention_model(layer, 1e6, initial_time=1.0, drift_coefficient=0.03),
    ),
}


def draw(title: str, effect: Callable[[Layer], object], path: Path) -> None:
    """One picture: conductances before and after, stuck ones apart."""
    torch.manual_seed(1)
    layer = Layer()
    devices = layer.crossbars[0].devices
    before = devices.g.flatten().numpy().copy() * 1e3
    effect(layer)
    after = devices.g.flatten().numpy() * 1e3
    figure, (axes,) = picture(1)
    bins = np.linspace(0, 21, 106).tolist()
    axes.hist(before, bins=bins, color=BLUE, alpha=0.35, label="before")
    axes.hist(after, bins=bins, color=ORANGE, histtype="step", linewidth=1.4, label="after")
    if devices.stuck is not None:
        axes.hist(after[devices.stuck.flatten().numpy()], bins=bins, color=RED, label="stuck")
    axes.set_yscale("log")
    axes.set_ylim(bottom=5)
    axes.set_xlim(0, 21)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("Conductance (mS)")
    axes.set_ylabel("Devices")
    axes.legend(frameon=False, ncols=3, fontsize=8, loc="upper right")
    save(figure, path)


def draw_simulated_reads(path: Path) -> None:
    """What reads of 0 to 1 V do to the conductances that they read."""
    layer = memtorch.mn.patch_model(torch.nn.Linear(*SHAPE[::-1]), memtorch.bh.memristor.Data_Driven, {}, verbose=False)
    crossbar = layer.crossbars[0]
    low, high = (1 / crossbar.devices.parameter(name) for name in ("r_off", "r_on"))
    crossbar.write_conductance_matrix(low + weights() * (high - low))
    nonideality.apply_non_linear(layer, simulate=True)
    figure, (axes,) = picture(1)
    bins = np.linspace(0, 0.82, 124).tolist()
    style: dict[str, Any] = {"bins": bins, "histtype": "step", "linewidth": 1.4}
    axes.hist(crossbar.devices.g.flatten().numpy() * 1e3, bins=bins, color=BLUE, alpha=0.35, label="before")
    generator = torch.Generator().manual_seed(1)
    for vectors, label, color in ((1000, "after 1,000 input vectors", GREEN), (9000, "after 10,000", ORANGE)):
        layer(torch.rand(vectors, SHAPE[1], generator=generator))
        axes.hist(crossbar.devices.g.flatten().numpy() * 1e3, color=color, label=label, **style)
    axes.set_yscale("log")
    axes.set_ylim(bottom=5)
    axes.set_xlim(0, 0.82)
    axes.set_title("NonLinear, simulated: reads of 0 to 1 V move Data_Driven devices", fontsize=10)
    axes.set_xlabel("Conductance (mS)")
    axes.set_ylabel("Devices")
    axes.legend(frameon=False, ncols=3, fontsize=8, loc="upper right")
    save(figure, path)


def draw_swept_reads(path: Path) -> None:
    """Currents of curves and of conductances, against voltage and against conductance."""
    figure, (by_voltage, by_conductance) = picture(2)
    digital = torch.nn.Linear(1, 300, bias=False)
    with torch.no_grad():
        digital.weight.copy_(torch.linspace(0, 1, 300)[:, None])
    layer = memtorch.mn.patch_model(digital, memtorch.bh.memristor.Stanford_PKU, {}, verbose=False)
    volts = torch.linspace(-1, 1, 401)[:, None]
    linear = layer.read(volts) * 1e3
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*beyond the sweep")  # which the picture shows
        swept = nonideality.apply_non_linear(layer, 1, 0.6, 1).read(volts) * 1e3
    for k, color in ((299, BLUE), (149, ORANGE)):
        by_voltage.plot(volts, linear[:, k], color=color, linestyle="--", linewidth=1)
        by_voltage.plot(volts, swept[:, k], color=color, linewidth=1.4)
    by_voltage.axvspan(-0.6, 0.6, color="black", alpha=0.06, linewidth=0)
    by_voltage.text(0, by_voltage.get_ylim()[0] * 0.92, "sweep", ha="center", fontsize=8)
    by_voltage.set_xlabel("Voltage (V)")
    by_voltage.set_ylabel("Current (mA)")
    by_voltage.set_title("Two weights, sweep of ±0.6 V", fontsize=10)
    half = torch.full((1, 1), 0.5)
    difference = (layer.crossbars[0].devices.g - layer.crossbars[1].devices.g).flatten() * 1e3
    states = nonideality.apply_non_linear(layer, 1, 0.6, 1, num_conductance_states=5).read(half)[0] * 1e3
    by_conductance.plot(difference, difference / 2, color="black", linestyle="--", linewidth=1, label="linear: g V")
    by_conductance.plot(difference, swept[300], color=BLUE, linewidth=1.4, label="curves")
    by_conductance.plot(difference, states, color=GREEN, linewidth=1.4, label="curves of 5 states")
    by_conductance.set_ylabel("Current (mA)")
    by_conductance.set_xlabel("Conductance difference of a pair (mS)")
    by_conductance.set_title("All weights, at 0.5 V", fontsize=10)
    by_conductance.legend(frameon=False, fontsize=8, loc="upper left")
    save(figure, path)


def picture(panels: int) -> tuple[Figure, list[Axes]]:
    """An empty figure with axes side by side."""
    figure = Figure(figsize=(6.4, 2.9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(1, panels, k + 1) for k in range(panels)]
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure: Figure, path: Path) -> None:
    """Writes a picture that is the same, byte for byte, each time."""
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main(folder: Path) -> None:
    """Draws all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (title, effect) in EFFECTS.items():
        draw(title, effect, folder / f"{name}.png")
    draw_swept_reads(folder / "non_linear_swept.png")
    draw_simulated_reads(folder / "non_linear_simulated.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "docs" / "pictures" / "nonidealities")
