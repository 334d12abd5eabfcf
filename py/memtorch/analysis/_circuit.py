"""One tile as a circuit."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from memtorch._errors import check_int, check_tensor, invalid
from memtorch.bh.crossbar import Crossbar
from memtorch.bh.crossbar._wires import Wires, check_conductances

__all__ = ["Circuit", "circuit", "tile_inputs"]

_IDEAL = Wires(0.0, 0.0, 0.0, 0.0)


class Circuit(NamedTuple):
    """A tile between its drivers and its sense ends, which are at 0 V.

    Attributes:
        g: Conductances (S) [rows, columns], float64 on the CPU.
        v: Voltages of the drivers (V) [rows], likewise.
        wires: Resistances.
    """

    g: Tensor
    v: Tensor
    wires: Wires


def circuit(op: str, array: Any, v: Any, source_resistance: Any, line_resistance: Any, tile: Any) -> Circuit:
    """Checks the arguments that all functions on one tile share.

    Args:
        op: The function that the user called.
        array: A ``Crossbar``, or conductances (S) [rows, columns].
        v: Voltages (V) [rows] of the whole array.
        source_resistance: As in the layers.
        line_resistance: As in the layers.
        tile: Number of the crossbar's tile; 0 for an array without tiles.

    Raises:
        InvalidArgument: Anything that does not fit or lies out of range.
    """
    wires = Wires.parse(op, source_resistance, line_resistance) or _IDEAL
    if not isinstance(array, Crossbar):
        check_int(op, "tile", tile, 0, 0)
        g = check_conductances(op, "array", check_tensor(op, "array", array, (-1, -1)))
        if g.numel() == 0:
            invalid(op, "array", f"shape {list(g.shape)}", "hold at least one device")
        check_tensor(op, "v", v, (g.shape[0],))
        return Circuit(_plain(g), _plain(v), wires)
    tiles = array.conductance_matrix if array.tile_shape else array.conductance_matrix.unsqueeze(0)
    number = check_int(op, "tile", tile, 0, len(tiles) - 1)
    check_tensor(op, "v", v, (array.rows,))
    g = check_conductances(op, "array", tiles[number])
    return Circuit(_plain(g), tile_inputs(array, _plain(v), number), wires)


def tile_inputs(crossbar: Crossbar, v: Tensor, tile: int) -> Tensor:
    """The part of voltages [rows] that a tile is driven with; word lines of padding are at 0 V."""
    if crossbar.tile_shape is None:
        return v
    height, width = crossbar.tile_shape
    first = tile // -(-crossbar.columns // width) * height
    part = v[first : first + height]
    return torch.nn.functional.pad(part, (0, height - len(part)))


def _plain(x: Tensor) -> Tensor:
    return x.detach().to("cpu", torch.float64)
