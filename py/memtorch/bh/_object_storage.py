"""The storage of arrays of Python objects: conductances in a tensor that agrees with what the objects hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memtorch._errors import check_float, check_int, check_numbers, check_tensor, invalid
from memtorch.bh._finite_states import check_states, nearest_states
from memtorch.bh._object_model import check_resistances, number_of
from memtorch.bh._object_state import ObjectState

__all__ = ["ObjectStorage", "nearest_state"]


class ObjectStorage(ObjectState):
    """Objects with conductances, and the tensor ``g`` that shows them; ``ObjectArray`` says what that means.

    Args:
        memristor_model: The objects' class.
        shape: Shape of the array.
        objects: The devices, row by row.
    """

    def __init__(self, memristor_model: type, shape: tuple[int, ...], objects: list[Any]) -> None:
        super().__init__()
        self.memristor_model = memristor_model
        self._shape = shape
        self._objects = objects
        self._finite_states: int | None = None
        # What the objects held when g was last brought up to date.
        self._held: list[float] = []
        # Buffers made under inference_mode would have no version counter, on which caches depend.
        with torch.inference_mode(False):
            self._buffers["g"] = torch.zeros(shape)
            self._buffers["stuck"] = None

    # ---- Numbers of the objects ------------------------------------------------------------------------------------

    def _label(self, name: str, row: int) -> str:
        return f"{name} of device {[int(k) for k in np.unravel_index(row, self._shape)]}"

    def _number(self, name: str, row: int, unit: str) -> float:
        """An attribute of one device as a finite float."""
        return number_of(self._objects[row], name, self._label(name, row), unit)

    def _chosen(self, op: str, row: int | None) -> Sequence[int]:
        """The numbers of all devices, or the one that was asked for."""
        return range(len(self._objects)) if row is None else [check_int(op, "row", row, 0, len(self._objects) - 1)]

    def _numbers(self, name: str, unit: str) -> list[float]:
        return [self._number(name, row, unit) for row in range(len(self._objects))]

    def _limits(self, rows: Iterable[int] | None = None) -> dict[int, tuple[float, float]]:
        """The smallest and largest conductance (S) of devices.

        Raises:
            InvalidArgument: Resistances that are not 0 < r_on < r_off.
        """
        limits = {}
        for row in range(len(self._objects)) if rows is None else rows:
            r_on, r_off = self._number("r_on", row, "ohm"), self._number("r_off", row, "ohm")
            check_resistances(self.memristor_model.__name__, self._label("r_on", row), r_on, r_off)
            limits[row] = 1 / r_off, 1 / r_on
        return limits

    @property
    def time_series_resolution(self) -> float:
        """Time between voltage samples (s) of the first device; writing it writes all."""
        return self._number("time_series_resolution", 0, "s")

    # ---- One storage -----------------------------------------------------------------------------------------------

    @property
    def g(self) -> Tensor:
        """Conductances [*shape] (S), up to date; may be written in place."""
        self.sync()
        return self._column

    @property
    def finite_states(self) -> int | None:
        """Number of conductances that exact writes can reach; None: any."""
        return self._finite_states

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "g":
            self.write_g(value)
        elif name == "stuck":
            self.set_stuck(value)
        elif name == "finite_states":
            self._finite_states = None if value is None else check_states("devices", name, value)
        elif name == "time_series_resolution":
            step = check_float(self.memristor_model.__name__, name, value, 0, exclusive=True, unit="s")
            for device in self._objects:
                device.time_series_resolution = step
        else:
            super().__setattr__(name, value)

    def set_stuck(self, stuck: Any) -> None:
        """Says which devices are stuck from now on, at the conductances that they have: bool [*shape], or None.

        Raises:
            InvalidArgument: Another type or shape.
        """
        self.sync()
        self._buffers["stuck"] = self._stuck_mask(stuck)

    def _stuck_rows(self) -> set[int]:
        stuck = self._buffers["stuck"]
        return set() if stuck is None else set(stuck.view(-1).nonzero().view(-1).tolist())

    def write_g(self, conductance: Any) -> None:
        """Writes conductances [*shape] (S) into ``g``; the devices take what they can hold.

        Raises:
            InvalidArgument: Another shape, or not finite.
        """
        op = "conductance_matrix"
        values = check_tensor(op, "value", check_numbers(op, "value", conductance, "S"), self._shape)
        self.sync()
        with torch.no_grad():
            self._column.copy_(values)
        self.sync()

    @property
    def _column(self) -> Tensor:
        return self._buffers["g"]  # type: ignore[return-value]

    def _read(self) -> list[float]:
        """What the objects hold: the very list ``_held`` if nothing has changed."""
        try:
            if [device.g for device in self._objects] == self._held:
                return self._held
        except (AttributeError, TypeError, ValueError, RuntimeError):  # no g, or one that is no number: named below
            pass
        return self._numbers("g", "S")

    def _show(self, held: list[float]) -> None:
        """Lets ``g`` show what the objects hold; its version counts up only if something differs."""
        shown = torch.tensor(held, dtype=torch.float32).view(self._shape)
        if not torch.equal(shown, self._column.cpu()):
            with torch.no_grad():
                self._column.copy_(shown)
        self._held, self._state_mark = held, self._mark()

    def _written(self) -> dict[int, float]:
        """Entries of ``g`` that were written since it was last brought up to date, by the device's number.

        Raises:
            InvalidArgument: One is not finite; ``g`` is as before then.
        """
        if self._state_mark == self._mark():
            return {}
        now = self._column.detach().cpu().view(-1)
        rows = (now != torch.tensor(self._held, dtype=torch.float32)).nonzero().view(-1).tolist()
        written = {row: now[row].item() for row in rows}
        for row, value in written.items():
            if not math.isfinite(value):
                self._show(self._held)
                invalid("conductance_matrix", self._label("value", row), value, "be finite", "S")
        return written

    def sync(self) -> None:
        """Gives the devices what was written into ``g``, and ``g`` what the devices hold.

        Raises:
            InvalidArgument: Something that was written is not finite (it is undone), or a device's ``g`` is not.
        """
        written = self._written()
        if written:
            self._write(written)
            return
        held = self._read()
        if held is not self._held or self._state_mark != self._mark():
            self._finish(held)

    def _write(self, targets: Mapping[int, float], states: int | None = None) -> None:
        """Sets conductances by the devices' numbers, clipped, to the nearest of ``states`` if given."""
        limits = self._limits(targets)
        stuck = self._stuck_rows()
        for row, target in targets.items():
            if row not in stuck:
                self._objects[row].set_conductance(nearest_state(target, *limits[row], states))
        self._finish(self._read())

    def _finish(self, held: list[float]) -> None:
        """Puts stuck devices back to what they held, and shows what all hold."""
        for row in self._stuck_rows():
            if held[row] != self._held[row]:
                held = list(held) if held is self._held else held
                self._objects[row].set_conductance(self._held[row])
                held[row] = self._number("g", row, "S")
        self._show(held)


def nearest_state(target: float, low: float, high: float, states: int | None) -> float:
    """The conductance in [low, high] nearest to a target: any, or one of so many equally spaced ones."""
    clipped = min(max(target, low), high)
    if states is None:
        return clipped
    g, *bounds = (torch.tensor(number, dtype=torch.float64) for number in (clipped, low, high))
    return nearest_states(g, states, *bounds).item()
