"""Draws the pictures of docs/nonidealities.md: what each effect does to a histogram of conductances.

Usage: python tools/docs/nonidealities.py [FOLDER]       docs/pictures/nonidealities by default
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import memtorch
from memtorch.bh import nonideality
from memtorch.bh.nonideality.endurance_retention_models import OperationMode

BLUE, ORANGE, RED = "#1f5fa8", "#d9622b", "#b02a37"
SHAPE = (200, 250)


class Layer(torch.nn.Module):
    """A crossbar of VTEAM devices (50 ohm to 1 kilohm) whose conductances spread over their range."""

    def __init__(self) -> None:
        super().__init__()
        crossbar = memtorch.bh.crossbar.Crossbar(memtorch.bh.memristor.VTEAM, {"r_on": 50, "r_off": 1000}, SHAPE)
        generator = torch.Generator().manual_seed(0)
        weights = torch.empty(SHAPE).normal_(0.35, 0.2, generator=generator).clamp(0, 1)
        crossbar.write_conductance_matrix(1 / 1000 + weights * (1 / 50 - 1 / 1000))
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
    figure = Figure(figsize=(6.4, 2.9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
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
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main(folder: Path) -> None:
    """Draws all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (title, effect) in EFFECTS.items():
        draw(title, effect, folder / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "docs" / "pictures" / "nonidealities")
