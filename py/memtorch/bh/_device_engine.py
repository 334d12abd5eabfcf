"""Columns of devices as the engine takes them, and states that follow conductances that were written directly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memtorch import _engine, _ops
from memtorch._errors import check_place
from memtorch.bh._device_limits import DeviceLimits

__all__ = ["EngineColumns"]

# Devices that are looked at together where each needs some memory for a moment.
_CHUNK = 2**16


def _copy(column: Any) -> Any:
    return column.clone() if isinstance(column, Tensor) else column.copy()


def _replace(column: Any, new: Any, where: Any) -> None:
    """Writes ``new`` into a column where a mask says so."""
    if isinstance(column, Tensor):
        torch.where(where, new, column, out=column)
    else:
        np.copyto(column, new, where=where)


class EngineColumns(DeviceLimits):
    """Calls of the engine on all columns or on some of their rows.

    On a GPU nothing here waits for it: what depends on values is done for all devices and chosen by masks.
    """

    def _params(self, rows: slice | None = None, *, host: bool = False) -> list[Any]:
        """Parameters in the order of the table, as ``_engine_columns`` gives them."""
        shared = self._shared
        names = [field.name for field in self.table.params]
        return [shared[name] if name in shared else self._flat(f"param_{name}", rows, host) for name in names]

    def _engine_columns(self, rows: slice | None = None, *, host: bool = False) -> tuple[list[Any], list[Any], Any]:
        """Parameters, states and g as the engine takes them, flat: of all devices or of some rows.

        On the CPU they are numpy's views of the columns, which cross into the engine in a fraction of the time that
        tensors take; on a GPU the tensors; on other devices, or with ``host``, copies on the CPU for ``_stored``.
        """
        states = [self._flat(f"state_{field.name}", rows, host) for field in self.table.states]
        return self._params(rows, host=host), states, self._flat("g", rows, host)

    def _parameter_in(self, name: str, rows: slice | None, device: torch.device) -> float | Tensor:
        """A parameter of all devices, or of some rows: a float if it is shared, else a flat tensor on a device."""
        value = self.parameter(name)
        if isinstance(value, float):
            return value
        column = value.view(-1)
        return (column if rows is None else column[rows]).to(device)

    def _check_params(self, columns: Mapping[str, float | Tensor]) -> None:
        """Checks all parameters of some devices: floats, and at least one element in every tensor.

        On a GPU one number is waited for: that of the first bad device, whose parameters the CPU then complains of.

        Raises:
            InvalidArgument: Values that are out of range, alone or together (r_on >= r_off).
        """
        name = self.table.name
        ordered = [columns[field.name] for field in self.table.params]
        tensors = [column for column in ordered if isinstance(column, Tensor)]
        _ops.engine_threads()
        first, count = 0, tensors[0].numel() if tensors else 1
        if tensors and _ops.on_gpu(tensors[0]):
            found = torch.empty(1, dtype=torch.int64, device=tensors[0].device)
            flat = [column.view(-1) if isinstance(column, Tensor) else column for column in ordered]
            _engine.check_params(name, name, flat, count, found=found)
            number = int(found.item())
            if number < 0:
                return
            first, count = number % count, 1
        part = slice(first, first + count)
        host = [c.view(-1)[part].cpu().numpy() if isinstance(c, Tensor) else c for c in ordered]
        _engine.check_params(name, name, host, count, first)

    def _flat(self, name: str, rows: slice | None, host: bool = False) -> Any:
        column = self.buffer(name).detach()
        if column.is_cpu and (host or not _ops.on_gpu(column)):  # what is done most often comes first
            array = column.numpy().reshape(-1)
            return array if rows is None else array[rows]
        return self._beside(column.view(-1) if rows is None else column.view(-1)[rows], host)

    def _beside(self, values: Tensor, host: bool = False) -> Any:
        """Values as the engine takes them together with the columns."""
        g = self.buffer("g")
        if not host and _ops.on_gpu(g):
            return values.to(g.device).contiguous().view(-1)
        return (values if values.is_cpu else values.cpu()).contiguous().numpy().reshape(-1)

    def _signal_beside(self, op: str, signal: Tensor) -> Tensor:
        """A signal where the engine applies it.

        Raises:
            InvalidArgument: It is on another GPU.
        """
        g = self.buffer("g")
        if not _ops.on_gpu(g):
            return signal if signal.is_cpu else signal.cpu()
        check_place(op, "voltage_signal", signal, g.device)
        return signal.to(g.device)

    def _stuck_beside(self, rows: slice | None) -> Any:
        """``stuck`` likewise; None if no device is."""
        return None if self.stuck is None else self._flat("stuck", rows)

    def _stored(self, states: list[Any], g: Any, rows: slice | None) -> None:
        """Ends a write into what ``_engine_columns`` gave: torch counts it, and copies go back."""
        column = self.buffer("g")
        if column.is_cpu or isinstance(g, Tensor):
            torch.autograd.graph.increment_version(column)
        else:
            part = slice(None) if rows is None else rows
            for field, state in zip(self.table.states, states, strict=True):
                self.buffer(f"state_{field.name}").view(-1)[part] = torch.from_numpy(state).to(column.device)
            column.view(-1)[part] = torch.from_numpy(g).to(column.device)
        self._state_mark = self._mark()

    def _call(self, function: Callable[..., None], *args: Any, rows: slice | None = None, **kwargs: Any) -> None:
        """One engine call that writes state and g of all devices, or of some rows, that are not stuck."""
        params, states, g = self._engine_columns(rows)
        if self.stuck is not None:
            kwargs["stuck"] = self._stuck_beside(rows)
        _ops.engine_threads()
        function(self.table.name, params, states, g, *args, **kwargs)
        self._stored(states, g, rows)

    def _call_alike(self, function: Callable[..., None], *targets: Tensor) -> None:
        """One engine call that brings all devices into the same state if they share their parameters.

        Args:
            function: The engine's.
            *targets: Further columns [1], the same for every device, or [size].
        """
        params, states, g = self._engine_columns()
        if len(self._shared) < len(params) or self.stuck is not None:
            count = len(g)
            self._call(function, *(self._beside(target.expand(count)) for target in targets))
            return
        # One device is cheapest on the CPU, wherever the others are.
        columns = [torch.from_numpy(c) if isinstance(c, np.ndarray) else c for c in (*states, g)]
        alike = [torch.empty(1, dtype=column.dtype).numpy() for column in columns]
        function(self.table.name, params, alike[:-1], alike[-1], *(target.numpy() for target in targets))
        for column, value in zip(columns, alike, strict=True):
            column.fill_(value.item())
        self._stored(states, g, None)

    def sync(self) -> None:
        """Lets the state follow conductances that were written directly; ``g`` keeps what was written.

        Stuck devices get their own conductance back.
        """
        if self._state_mark == self._mark():
            return
        self._hold_stuck()
        self._derive_state(write_g=False)

    def _hold_stuck(self) -> None:
        """Undoes what was written directly to the conductances of stuck devices: theirs follow from their states."""
        if self.stuck is None or self._state_mark == self._mark():
            return
        params, states, g = self._engine_columns()
        if isinstance(g, Tensor):
            implied = g.clone()
            _engine.update_conductance(self.table.name, params, states, implied)
            _replace(g, implied, self._stuck_beside(None))
            torch.autograd.graph.increment_version(self.buffer("g"))
            return
        rows = self._stuck_index()
        held = np.empty(rows.size, g.dtype)
        own = [value if isinstance(value, float) else value[rows] for value in params]
        _engine.update_conductance(self.table.name, own, [state[rows] for state in states], held)
        if not np.array_equal(held, g[rows]):
            with torch.no_grad():
                self.buffer("g").view(-1)[torch.from_numpy(rows)] = torch.from_numpy(held).to(self.g.device)

    def _derive_state(self, write_g: bool, rows: slice | None = None) -> None:
        """Derives the state anew where its conductance is not ``g``.

        ``write_g`` also clips ``g``, there and where it is beyond the device's range, unless the device is stuck.
        """
        params, states, g = self._engine_columns(rows)
        stuck = self._stuck_beside(rows)
        _ops.engine_threads()
        count = len(g)
        # What is kept meanwhile stays in the processor's cache; a GPU takes all at once.
        chunk = _CHUNK if isinstance(g, np.ndarray) else count
        changed = False
        for first in range(0, count, chunk):
            part = slice(first, first + chunk)
            own = [value if isinstance(value, float) else value[part] for value in params]
            free = None if stuck is None else ~stuck[part]
            changed |= self._derive_part(write_g, own, [state[part] for state in states], g[part], free)
        if changed and (write_g or isinstance(g, np.ndarray)):
            self._stored(states, g, rows)
        else:
            self._state_mark = self._mark()

    def _derive_part(self, write_g: bool, params: list[Any], states: list[Any], g: Any, free: Any) -> bool:
        """``_derive_state`` of some devices; ``free``: not stuck. Returns whether anything changed, or may have."""
        implied = _copy(g)
        _engine.update_conductance(self.table.name, params, states, implied)
        changed = implied != g
        if write_g:
            bounds = dict(zip((field.name for field in self.table.params), params, strict=True))
            low, high = (self._like(1 / bounds[name], g) for name in ("r_off", "r_on"))
            changed |= (g < low) | (g > high)
        if isinstance(g, np.ndarray) and not changed.any():
            return False
        derived = [_copy(state) for state in states]
        _engine.set_conductance(self.table.name, params, derived, implied, g)
        for old, new in zip(states, derived, strict=True):
            _replace(old, new, changed)
        if write_g:
            _replace(g, implied, changed if free is None else changed & free)
        return True

    @staticmethod
    def _like(values: Any, g: Any) -> Any:
        """A number or column rounded as conductances are."""
        if isinstance(g, np.ndarray):
            return np.asarray(values).astype(g.dtype)
        return values.to(g.dtype) if isinstance(values, Tensor) else torch.tensor(values, dtype=g.dtype).item()
