"""Reads through resistive wires of arrays whose devices are Python objects: Newton's method with each device's own I-V.

Each step of it asks every device of a tile for its current at three voltages, one call after the other.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memtorch._errors import check_tensor
from memtorch._read_ops import solve_curves
from memtorch.bh._object_model import frozen_curve, simulated_currents

__all__ = ["object_wired_currents"]

_Array = NDArray[np.float64]

# Half the distance, in parts of the largest driving voltage, over which slopes are taken: curves are smooth over much
# more, and the difference keeps ten digits, more than Newton's method needs.
_STEP = 1e-5

# What a device records counts as the current that was solved for if it differs by less, in parts of the largest one:
# more than rounding, less than a device that has moved matters.
_SAME = 1e-9


def object_wired_currents(
    array: Any,
    v: Tensor,
    rows: int,
    columns: int,
    wires: Sequence[float],
    *,
    simulate: bool = False,
    states: int | None = None,
) -> Tensor:
    """What each row of tiles contributes to the currents of the columns, every tile a circuit of its own.

    Padding cells are part of it: their word lines are at 0 V, their bit lines grounded.

    Args:
        array: The ``ObjectArray`` [rows, columns], or [tiles, tile_rows, tile_columns] numbered row by row.
        v: Voltages [inputs, rows] (V).
        rows: Word lines in use.
        columns: Columns in use.
        wires: Resistances (ohm) of a word line segment, of a bit line segment, at the drivers, at the sense ends.
        simulate: For each input vector in turn, every device simulates one sample at the voltage that the solved
            circuit leaves it, and its state moves. Where devices record other currents than those of the solution, the
            circuit is solved again as they are then, so that what is read meets Kirchhoff's law.
        states: As ``object_partial_currents``.

    Returns:
        [tiles down, inputs, columns] amperes, float64.

    Raises:
        InvalidArgument: Voltages that are not finite or have another shape, or currents that are not finite.
        RuntimeError: A circuit was not solved to 1e-10 of its largest device current. No device has moved then.
    """
    check_tensor("read", "v", v, (-1, rows))
    height, width = array.shape[-2:]
    across = -(-columns // width)
    down = -(-rows // height)
    volts = np.zeros((v.shape[0], down * height))
    volts[:, :rows] = v.detach().double().cpu().numpy()
    sums = np.zeros((down, v.shape[0], across * width))
    array.sync()
    with _restored_on_error(array if simulate else None):
        for k in range(down * across):
            tile = _Tile(array, k, wires, states)
            top, left = k // across, k % across * width
            for b, line in enumerate(volts[:, top * height : (top + 1) * height]):
                sums[top, b, left : left + width] = tile.read(line, simulate).sum(0)
    if simulate:
        array.sync()
    return torch.from_numpy(sums[:, :, :columns].copy()).to(v.device)


@contextmanager
def _restored_on_error(array: Any) -> Iterator[None]:
    """Gives devices their attributes back if an error ends what they are simulated for; ``None``: nothing to do."""
    devices = [] if array is None else list(array.flat)
    before = [copy.deepcopy(vars(device)) for device in devices]
    try:
        yield
    except BaseException:
        for device, attributes in zip(devices, before, strict=True):
            vars(device).clear()
            vars(device).update(attributes)
        raise


class _Tile:
    """The circuit of one tile.

    Args:
        array: The ``ObjectArray``.
        tile: Number of the tile.
        wires: Resistances (ohm).
        states: Number of conductances that devices are moved to for the read, or None.
    """

    def __init__(self, array: Any, tile: int, wires: Sequence[float], states: int | None) -> None:
        height, self._width = array.shape[-2:]
        first = tile * height * self._width
        self._numbers = range(first, first + height * self._width)
        self._array = array
        self._wires = wires
        self._states = states
        self._step = _STEP
        self._curves: list[Any] = []

    def read(self, v_word: _Array, simulate: bool) -> _Array:
        """Currents [rows, columns] (A) of the devices at voltages [rows] (V) on the word lines."""
        self._step = _STEP * (np.abs(v_word).max() or 1.0)
        if simulate or not self._curves:
            self._look_at_devices()
        nodes = solve_curves(self._row, self._wires, v_word, None, self._width)
        currents = self._currents(nodes)
        if simulate and self._moves(nodes, currents):
            self._look_at_devices()
            nodes = solve_curves(self._row, self._wires, v_word, nodes, self._width)
            currents = self._currents(nodes)
        return currents

    def _look_at_devices(self) -> None:
        """Takes the curves of the devices as they are now."""
        array, states = self._array, self._states
        devices = (array.device_at(k) if states is None else array.in_state(k, states) for k in self._numbers)
        self._curves = [frozen_curve(self._name(k), d) for k, d in zip(self._numbers, devices, strict=True)]

    def _name(self, number: int) -> str:
        return f"current of device {[int(n) for n in np.unravel_index(number, self._array.shape)]}"

    def _row(self, row: int, volts: list[float]) -> _Array:
        """Currents and slopes [2, columns] of the devices of a row."""
        found = np.empty((2, self._width))
        for column, v in enumerate(volts):
            curve = self._curves[row * self._width + column]
            current, below, above = curve(np.array([v, v - self._step, v + self._step]))
            found[:, column] = current, (above - below) / (2 * self._step)
        return found

    def _currents(self, nodes: tuple[_Array, _Array]) -> _Array:
        across = nodes[0] - nodes[1]
        currents = [curve(np.array([v]))[0] for curve, v in zip(self._curves, across.flat, strict=True)]
        return np.array(currents).reshape(across.shape)

    def _moves(self, nodes: tuple[_Array, _Array], solved: _Array) -> bool:
        """Simulates one sample; whether devices have recorded other currents than those that were solved for."""
        recorded = solved.copy()
        for n, (k, v) in enumerate(zip(self._numbers, (nodes[0] - nodes[1]).flat, strict=True)):
            if not self._array.is_stuck(k):
                current = simulated_currents(self._name(k), self._array.device_at(k), np.array([v]), True)
                assert current is not None
                recorded.flat[n] = current[0]
        return bool(np.abs(recorded - solved).max() > _SAME * np.abs(solved).max())
