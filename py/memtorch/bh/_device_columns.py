"""Storage of device columns: tensors that move, copy, pickle and load like any module's, and keep their dtypes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memtorch._errors import check_place, invalid
from memtorch.bh._model_table import ModelTable
from memtorch.bh._versioned_columns import VersionedColumns

__all__ = ["DeviceColumns"]

# 1: without stuck devices, finite states and generator; still read.
_STATE_DICT_VERSION = 2


class DeviceColumns(VersionedColumns):
    """Columns of ``shape`` devices: conductance ``g``, ``state_*``, and ``param_*`` for parameters that differ.

    A parameter that all devices share is one float; ``stuck`` is there only if some devices are. ``state_dict`` carries
    everything, and loading one rebuilds the columns; ``half()``, ``double()`` and the like leave the dtypes alone.
    """

    g: Tensor

    def __init__(self, memristor_model: type, table: ModelTable, shape: tuple[int, ...], step: float) -> None:
        super().__init__()
        self.memristor_model = memristor_model
        self.table = table
        self._shape = shape
        self.time_series_resolution = step
        self._shared: dict[str, float] = {}
        self._stuck_rows: NDArray[np.intp] | None = None
        self._finite_states: int | None = None
        self._noise_key: int | None = None
        self._noise_draws = 0

    def _columns_from(
        self, values: Mapping[str, Any], count: int, device: torch.device, fresh: Collection[str] = ()
    ) -> dict[str, float | Tensor]:
        """Floats stay; arrays become float64 tensors [*shape] of their own.

        Args:
            values: By name.
            count: Number of devices.
            device: Where the tensors are wanted.
            fresh: Names of tensors that nobody else holds: they are taken as they are.

        Raises:
            InvalidArgument: An array of another shape, or on another GPU.
        """
        columns: dict[str, float | Tensor] = {}
        for name, value in values.items():
            if isinstance(value, float):
                columns[name] = value
                continue
            given = torch.as_tensor(value).detach()
            check_place(self.table.name, name, given, device, "the columns")
            column = given.to(device, torch.float64)
            if column.numel() == 1:
                columns[name] = column.item()
            elif tuple(column.shape) in (self._shape, (count,)):
                shared = name not in fresh and (not isinstance(value, Tensor) or column.data_ptr() == value.data_ptr())
                columns[name] = (column.clone() if shared else column).contiguous().view(self._shape)
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
        """What is not a tensor, as plain Python values: model, shape, time step, shared parameters, generator."""
        return {
            "version": _STATE_DICT_VERSION,
            "model": self.table.name,
            "shape": list(self._shape),
            "time_series_resolution": self.time_series_resolution,
            "shared": dict(self._shared),
            "finite_states": self._finite_states,
            "noise": {"key": self._noise_key, "draws": self._noise_draws},
        }

    def _load(self, mine: Mapping[str, Any]) -> None:
        extra = mine["_extra_state"]
        with torch.no_grad():
            for name, tensor in mine.items():
                if name.startswith("param_"):
                    self._set_column(name[len("param_") :], tensor.to(self.g.device, torch.float64, copy=True))
                elif name not in ("stuck", "_extra_state"):
                    self.buffer(name).copy_(tensor)
        for name, value in extra["shared"].items():
            self._set_column(str(name), float(value))
        self.time_series_resolution = float(extra["time_series_resolution"])
        self._load_limits(mine.get("stuck"), extra)

    def _load_limits(self, stuck: Tensor | None, extra: Mapping[str, Any]) -> None:
        self._buffers.pop("stuck", None)
        if stuck is not None:
            self._buffers["stuck"] = stuck.to(self.g.device, copy=True)
        self._stuck_rows = None
        self._finite_states = extra.get("finite_states")
        noise = extra.get("noise", {"key": None, "draws": 0})
        self._noise_key, self._noise_draws = noise["key"], noise["draws"]

    def differences(self, mine: Mapping[str, Any]) -> list[str]:
        """Why a state_dict cannot be loaded, one reason each: another version, model or shape, other columns."""
        extra = mine.get("_extra_state")
        if not isinstance(extra, Mapping):
            return [f"_extra_state ({extra!r}) must be there: this is no state of a device array"]
        versions = list(range(1, _STATE_DICT_VERSION + 1))
        found = (
            [] if extra.get("version") in versions else [f"version ({extra.get('version')!r}) must be in {versions}"]
        )
        if extra.get("model") != self.table.name:
            return [*found, f"model ({extra.get('model')!r}) must be {self.table.name!r}"]
        if extra.get("shape") != list(self._shape):
            found.append(f"shape ({extra.get('shape')!r}) must be {list(self._shape)!r}")
        params = [field.name for field in self.table.params]
        shared = set(extra.get("shared", {}))
        wanted = {"g", *(f"state_{field.name}" for field in self.table.states)}
        wanted |= {f"param_{name}" for name in params if name not in shared}
        tensors = {name: value for name, value in mine.items() if name != "_extra_state"}
        if set(tensors) - {"stuck"} != wanted or not shared <= set(params):
            found.append(f"columns ({sorted({*tensors, *shared})}) must be {sorted(wanted)} and among {params}")
        for name, tensor in tensors.items():
            if tuple(tensor.shape) != tuple(extra.get("shape", ())):
                found.append(f"{name} (shape {list(tensor.shape)}) must have shape {list(self._shape)}")
        return found
