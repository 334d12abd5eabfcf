"""Columns of devices looked at one column or one device at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from memtorch._errors import check_float, invalid
from memtorch.bh._device_engine import EngineColumns

if TYPE_CHECKING:
    from memtorch.bh._device_array import DeviceArray

__all__ = ["DeviceRows"]


class DeviceRows(EngineColumns):
    """Values of single columns and devices, and copies of devices."""

    def column(self, name: str) -> Tensor:
        """A copy of one column [*shape]: "g", a state variable or a parameter (shared ones repeat their value).

        Raises:
            InvalidArgument: No such column.
        """
        known = ["g", *(s.name for s in self.table.states), *(p.name for p in self.table.params)]
        if name not in known:
            invalid("column", "name", name, f"be one of {', '.join(known)}")
        if name in self._shared:
            return torch.full(self._shape, self._shared[name], dtype=torch.float64, device=self.g.device)
        if f"state_{name}" in self._buffers:
            self.sync()
            return self.buffer(f"state_{name}").clone()
        self._hold_stuck()
        return self.buffer("g" if name == "g" else f"param_{name}").clone()

    def value(self, name: str, row: int) -> float:
        """A parameter, state variable or "g" of the device in one row."""
        if name in self._shared:
            return self._shared[name]
        if name == "g":
            self._hold_stuck()
        column = self._buffers.get(name if name == "g" else f"param_{name}")
        if column is None:
            self.sync()
            column = self.buffer(f"state_{name}")
        return column.view(-1)[row].item()

    def write_g_of(self, row: int, value: Any) -> None:
        """Writes the conductance (S) of one device as it is, without clipping it, unless it is stuck."""
        number = check_float(self.table.name, "g", value, unit="S")
        if self.is_stuck(row):
            return
        self.sync()
        with torch.no_grad():
            self.g.view(-1)[row] = number
        self._derive_state(write_g=False, rows=slice(row, row + 1))

    def check_same_model(self, op: str, device: Any) -> None:
        """Raises ``InvalidArgument`` unless ``device`` is an instance of this array's model."""
        if not isinstance(device, self.memristor_model):
            invalid(op, "device", type(device).__name__, f"be a {self.memristor_model.__name__}")

    def copy_device(self, row: int, device: Any) -> None:
        """Puts a copy of a device of the same model into one row: parameters, state, conductance, stuck or not."""
        source: DeviceArray = device.array
        if source is self and device.row == row:
            return
        self.check_same_model("copy_device", device)
        names = [field.name for field in self.table.params]
        stuck = source.is_stuck(device.row)
        self.set_stuck_of(row, False)
        self.set_params(row=row, **{n: source.value(n, device.row) for n in names})
        with torch.no_grad():
            for field in self.table.states:
                self.buffer(f"state_{field.name}").view(-1)[row] = source.value(field.name, device.row)
            self.g.view(-1)[row] = source.value("g", device.row)
        self._state_mark = self._mark()
        self.set_stuck_of(row, stuck)

    if TYPE_CHECKING:  # what DeviceArray provides

        def set_params(self, *, row: int | None = None, **values: Any) -> None: ...
