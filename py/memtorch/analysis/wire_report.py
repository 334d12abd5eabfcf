"""What wires cost each layer of a network."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from memtorch._errors import check_float, invalid
from memtorch.analysis._circuit import Circuit, tile_inputs
from memtorch.analysis.ir_drop import solve
from memtorch.bh.crossbar import Crossbar
from memtorch.bh.crossbar._wires import Wires
from memtorch.mn._layer import MemristiveLayer
from memtorch.mn._report import aligned

__all__ = ["WireReport", "WiredLayer", "wire_report"]


class WiredLayer(NamedTuple):
    """One layer, or one weight matrix of a recurrent layer.

    Attributes:
        path: Where it is in the model.
        layer: Its class.
        tiles: Of all its crossbars.
        relative_error: Of its effective weights: root mean square of what the wires change, in parts of that of the
            weights. For inputs of independent elements it is also the error of the readout.
        worst_ratio: The smallest effective conductance of a used cell, in parts of the cell's conductance.
        worst_cell: Crossbar, row and column of that cell.
        power: Dissipated while all word lines are at the given voltage (W).
    """

    path: str
    layer: str
    tiles: int
    relative_error: float
    worst_ratio: float
    worst_cell: tuple[int, int, int]
    power: float


class WireReport(tuple[WiredLayer, ...]):
    """The layers of a model; printed, it is a table."""

    __slots__ = ()

    def __str__(self) -> str:
        head = ["path", "layer", "tiles", "relative error", "worst cell: G / G of the device", "power (W)"]
        rows = [
            [
                row.path,
                row.layer,
                str(row.tiles),
                f"{row.relative_error:.3g}",
                f"{row.worst_cell}: {row.worst_ratio:.3g}",
                f"{row.power:.3g}",
            ]
            for row in self
        ]
        return aligned([head, *rows], 2)

    __repr__ = __str__


def wire_report(model: nn.Module, voltage: float = 1.0) -> WireReport:
    """Compares every memristive layer with one of ideal wires.

    Args:
        model: A patched model, or a layer.
        voltage: Of all word lines, where power is concerned (V).

    Returns:
        A line for each layer, in the order of the model.

    Raises:
        InvalidArgument: Not a module, or one without memristive layers; a voltage that is not finite.
    """
    op = "wire_report"
    if not isinstance(model, nn.Module):
        invalid(op, "model", type(model).__name__, "be a torch.nn.Module")
    volts = check_float(op, "voltage", voltage, unit="V")
    layers = [(path, module) for path, module in model.named_modules() if isinstance(module, MemristiveLayer)]
    if not layers:
        invalid(op, "model", type(model).__name__, "hold memristive layers; patch_model makes them")
    with torch.no_grad():
        return WireReport(_line(path or "model", layer, volts) for path, layer in layers)


def _line(path: str, layer: MemristiveLayer, volts: float) -> WiredLayer:
    crossbars: list[Any] = list(layer.crossbars)
    wires = layer.options.wires
    wired, ideal = (
        layer.crossbar_operation(layer.crossbars, lambda crossbar, w=w: crossbar.effective_matrix(w).double())
        for w in (wires, None)
    )
    scale = float(ideal.norm())
    worst_ratio, worst_cell = min(_worst(crossbar, wires, number) for number, crossbar in enumerate(crossbars))
    return WiredLayer(
        path,
        type(layer).__name__,
        sum(1 if crossbar.tile_shape is None else len(crossbar.devices) for crossbar in crossbars),
        float((wired - ideal).norm()) / (scale if scale > 0 else 1.0),
        worst_ratio,
        worst_cell,
        sum(_power(crossbar, wires, volts) for crossbar in crossbars),
    )


def _worst(crossbar: Crossbar, wires: Wires | None, number: int) -> tuple[float, tuple[int, int, int]]:
    g = crossbar.matrix().double()
    ratio = torch.where(g > 0, crossbar.effective_matrix(wires).double() / g, 1.0)
    worst = int(ratio.argmin())
    return float(ratio.view(-1)[worst]), (number, *divmod(worst, crossbar.columns))


def _power(crossbar: Crossbar, wires: Wires | None, volts: float) -> float:
    g = crossbar.conductance_matrix.detach().to("cpu", torch.float64)
    v = torch.full((crossbar.rows,), volts, dtype=torch.float64)
    total = 0.0
    tiles: Tensor = g.view(-1, *g.shape[-2:])
    for number, tile in enumerate(tiles):
        solved = solve(Circuit(tile, tile_inputs(crossbar, v, number), wires or Wires(0.0, 0.0, 0.0, 0.0)))
        total += float(solved.device_power.sum()) + solved.wire_power
    return total
