"""The text of netlists for ngspice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from memtorch._errors import check_bool, invalid
from memtorch.analysis._circuit import Circuit
from memtorch.bh._device_array import DeviceArray
from memtorch.bh.crossbar import Crossbar
from memtorch.bh.crossbar._nonlinear import is_ohmic

__all__ = ["SHAPES", "Curves", "device_curves", "netlist"]


def _sinh(p: dict[str, float], v: str) -> str:
    scale = p["read_voltage"] / math.sinh(p["read_voltage"] / p["V_0"])
    return f"{scale!r} * sinh({v} / {p['V_0']!r})"


def _sinh_by_sign(p: dict[str, float], v: str) -> str:
    positive, negative = (f"{p['a_' + sign]!r} * sinh({p['b_' + sign]!r} * {v})" for sign in "pn")
    return f"({v} > 0 ? {positive} : {negative})"


# Of each model that is not ohmic: its current per siemens, volts, as an expression of its parameters and the voltage.
SHAPES: dict[str, Callable[[dict[str, float], str], str]] = {
    "Stanford_PKU": _sinh,
    "Data_Driven": _sinh_by_sign,
    "Data_Driven2021": _sinh_by_sign,
}


class Curves(NamedTuple):
    """Current-voltage curves of the devices of a tile.

    Attributes:
        model: Its name in the engine.
        params: Its parameters by name, in the order of its table: one number each, or one per device, row by row.
    """

    model: str
    params: dict[str, list[float]]

    def per_siemens(self, cell: int, v: str) -> str:
        """The current of a device per siemens, for ngspice."""
        return SHAPES[self.model]({name: values[cell % len(values)] for name, values in self.params.items()}, v)


def device_curves(op: str, array: Any, tile: int, curves: Any) -> Curves | None:
    """The curves of a tile's devices; None if they are not wanted, or are straight lines.

    Args:
        op: The function that the user called.
        array: A ``Crossbar``, or conductances.
        tile: Number of the crossbar's tile, checked.
        curves: Whether they are wanted, not checked.

    Raises:
        InvalidArgument: Not True or False; or True for devices whose curves are not known.
    """
    if not check_bool(op, "curves", curves):
        return None
    if not isinstance(array, Crossbar) or not isinstance(array.devices, DeviceArray):
        must = "be False for conductances and for models written in Python: only built-in models have known curves"
        invalid(op, "curves", True, must)
    devices = array.devices
    if is_ohmic(devices):
        return None
    params = {}
    for field in devices.table.params:
        value = devices.parameter(field.name)
        if isinstance(value, Tensor) and array.tile_shape is not None:
            value = value[tile]
        params[field.name] = torch.as_tensor(value, dtype=torch.float64).view(-1).tolist()
    return Curves(devices.table.name, params)


def netlist(tile: Circuit, curves: Curves | None, commands: Sequence[str]) -> str:
    """A tile, its sources, and what ngspice is to do once it has found the operating point."""
    rows, columns = tile.g.shape
    lines = [f"* {rows} x {columns} devices with resistive wires"]
    lines += [f"Vw{i} vw{i} 0 DC {volts!r}" for i, volts in enumerate(tile.v.tolist())]
    lines += [f"Vb{j} vb{j} 0 DC 0" for j in range(columns)]
    lines += _branches(tile, curves)
    lines += [".options reltol=1e-12 abstol=1e-21 vntol=1e-15", ".control", "set numdgt=15", "op"]
    # Without quit, ngspice would end with an error: that no line of its own kind asks for anything.
    return "\n".join([*lines, *commands, "quit", ".endc", ".end", ""])


def _branches(tile: Circuit, curves: Curves | None) -> Iterator[str]:
    rows, columns = tile.g.shape
    wires = tile.wires
    for cell, siemens in enumerate(tile.g.flatten().tolist()):
        i, j = divmod(cell, columns)
        word, bit = f"w{i}_{j}", f"b{i}_{j}"
        before = f"vw{i}" if j == 0 else f"w{i}_{j - 1}"
        behind = f"vb{j}" if i == rows - 1 else f"b{i + 1}_{j}"
        yield _wire(word, before, word, wires.source if j == 0 else wires.word)
        if siemens > 0 and curves is not None:
            yield f"Bg{i}_{j} {word} {bit} I = {siemens!r} * {curves.per_siemens(cell, f'v({word}, {bit})')}"
        elif siemens > 0:
            yield f"Rg{i}_{j} {word} {bit} {1 / siemens!r}"
        yield _wire(bit, bit, behind, wires.load if i == rows - 1 else wires.bit)


def _wire(name: str, one: str, other: str, ohm: float) -> str:
    return f"Rs{name} {one} {other} {ohm!r}" if ohm > 0 else f"Vs{name} {one} {other} DC 0"
