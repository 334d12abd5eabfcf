"""Storage of device columns: tensors that move, copy, pickle and load like any module's, and keep their dtypes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from memtorch._errors import InvalidArgument, invalid
from memtorch.bh._model_table import ModelTable
from memtorch.bh._versioned_columns import VersionedColumns

__all__ = ["DeviceColumns"]

_STATE_DICT_VERSION = 1


class DeviceColumns(VersionedColumns):
    """Columns of ``shape`` devices: conductance ``g``, ``state_*``, and ``param_*`` for parameters that differ.

    A parameter that all devices share is one float. ``state_dict`` carries everything, and loading one rebuilds the
    columns; ``half()``, ``double()`` and the like leave the dtypes alone.
    """

    g: Tensor

    def __init__(self, memristor_model: type, table: ModelTable, shape: tuple[int, ...], step: float) -> None:
        super().__init__()
        self.memristor_model = memristor_model
        self.table = table
        self._shape = shape
        self.time_series_resolution = step
        self._shared: dict[str, float] = {}

    def _columns_from(self, values: Mapping[str, Any], count: int) -> dict[str, float | Tensor]:
        """Floats stay; arrays become float64 tensors [*shape] of their own.

        Raises:
            InvalidArgument: An array of another shape.
        """
        columns: dict[str, float | Tensor] = {}
        for name, value in values.items():
            if isinstance(value, float):
                columns[name] = value
                continue
            column = torch.as_tensor(value).detach().to("cpu", torch.float64)
            if column.numel() == 1:
                columns[name] = column.item()
            elif tuple(column.shape) in (self._shape, (count,)):
                own = column.clone() if column is value or not isinstance(value, Tensor) else column
                columns[name] = own.contiguous().view(self._shape)
            else:
                invalid(self.table.name, name, f"shape {list(column.shape)}", f"have shape {list(self._shape)}")
        return columns

    def _set_column(self, name: str, column: float | Tensor) -> None:
        if isinstance(column, Tensor):
            self._shared.pop(name, None)
            self._buffers[f"param_{name}"] = column
        else:
            self._buffers.pop(f"param_{name}", None)
            self._shared[name] = column

    def parameter(self, name: str) -> float | Tensor:
        """A parameter: one float if all devices share it, else the tensor [*shape] itself (not to be written)."""
        return self._shared[name] if name in self._shared else self.buffer(f"param_{name}")

    # ---- state_dict ------------------------------------------------------------------------------------------------

    def get_extra_state(self) -> dict[str, Any]:
        """What is not a tensor, as plain Python values: model, shape, time step and shared parameters."""
        return {
            "version": _STATE_DICT_VERSION,
            "model": self.table.name,
            "shape": list(self._shape),
            "time_series_resolution": self.time_series_resolution,
            "shared": dict(self._shared),
        }

    def set_extra_state(self, state: Any) -> None:
        """Does nothing: ``_load_from_state_dict`` takes the extra state together with the tensors."""

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        mine = {key[len(prefix) :]: value for key, value in state_dict.items() if key.startswith(prefix)}
        if not mine and not strict:
            return
        try:
            shared, tensors = self._checked(mine)
        except InvalidArgument as error:
            error_msgs.append(f"{prefix.rstrip('.') or 'devices'}: {error}")
            return
        with torch.no_grad():
            for name, tensor in tensors.items():
                if name.startswith("param_"):
                    self._set_column(name[len("param_") :], tensor.to(self.g.device, torch.float64, copy=True))
                else:
                    self.buffer(name).copy_(tensor)
        for name, value in shared.items():
            self._set_column(name, value)
        self.time_series_resolution = float(mine["_extra_state"]["time_series_resolution"])
        self._state_mark = None

    def _checked(self, mine: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, Tensor]]:
        """Shared parameters and tensors of a state_dict, if they are this array's.

        Raises:
            InvalidArgument: Another model, shape or version, or columns missing or unknown.
        """
        op = "load_state_dict"
        extra = mine.get("_extra_state")
        if not isinstance(extra, Mapping):
            invalid(op, "_extra_state", extra, "be there: this is no state of a device array")
        expected = {"version": _STATE_DICT_VERSION, "model": self.table.name, "shape": list(self._shape)}
        for name, value in expected.items():
            if extra.get(name) != value:
                invalid(op, name, extra.get(name), f"be {value!r}")
        shared = {str(name): float(value) for name, value in extra["shared"].items()}
        params = [field.name for field in self.table.params]
        wanted = {"g", *(f"state_{field.name}" for field in self.table.states)}
        wanted |= {f"param_{name}" for name in params if name not in shared}
        tensors = {name: value for name, value in mine.items() if name != "_extra_state"}
        if set(tensors) != wanted or not set(shared) <= set(params):
            invalid(op, "columns", sorted({*tensors, *shared}), f"be {sorted(wanted)} and among {params}")
        for name, tensor in tensors.items():
            if tuple(tensor.shape) != self._shape:
                invalid(op, name, f"shape {list(tensor.shape)}", f"have shape {list(self._shape)}")
        return shared, tensors
