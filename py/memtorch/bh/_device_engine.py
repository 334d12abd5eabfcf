"""Columns of devices as the engine takes them, and states that follow conductances that were written directly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memtorch import _engine, _ops
from memtorch.bh._device_limits import DeviceLimits

__all__ = ["EngineColumns"]

_Column = NDArray[Any]

# Devices that are looked at together where each needs some memory for a moment.
_CHUNK = 2**16


class EngineColumns(DeviceLimits):
    """Calls of the engine on all columns or on some of their rows."""

    def _engine_columns(self, rows: slice | None = None) -> tuple[list[Any], list[_Column], _Column]:
        """Parameters, states and g as the engine takes them: of all devices or of some rows, flat, on the CPU.

        There they are the columns themselves, elsewhere copies for ``_stored``. numpy's views of them cross into the
        engine in a fraction of the time that tensors take.
        """

        def flat(name: str) -> _Column:
            column = self.buffer(name)
            array = (column if column.is_cpu else column.cpu()).detach().numpy().reshape(-1)
            return array if rows is None else array[rows]

        shared = self._shared
        names = [field.name for field in self.table.params]
        params = [shared[name] if name in shared else flat(f"param_{name}") for name in names]
        return params, [flat(f"state_{field.name}") for field in self.table.states], flat("g")

    def _stored(self, states: list[_Column], g: _Column, rows: slice | None) -> None:
        """Ends a write into what ``_engine_columns`` gave: torch counts it, other devices than the CPU receive it."""
        column = self.buffer("g")
        if column.is_cpu:
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
            kwargs["stuck"] = self._stuck_flags()[slice(None) if rows is None else rows]
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
            self._call(function, *(target.expand(g.size).contiguous().numpy() for target in targets))
            return
        alike = [np.empty(1, column.dtype) for column in (*states, g)]
        function(self.table.name, params, alike[:-1], alike[-1], *(target.numpy() for target in targets))
        for column, value in zip((*states, g), alike, strict=True):
            torch.from_numpy(column).fill_(value.item())
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
        rows = self._stuck_index()
        params, states, g = self._engine_columns()
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
        stuck = None if self.stuck is None else self._stuck_flags()[slice(None) if rows is None else rows]
        _ops.engine_threads()
        changed = False
        for first in range(0, g.size, _CHUNK):  # what is kept meanwhile stays in the processor's cache
            part = slice(first, first + _CHUNK)
            own = [value if isinstance(value, float) else value[part] for value in params]
            free = None if stuck is None else ~stuck[part]
            changed |= self._derive_part(write_g, own, [state[part] for state in states], g[part], free)
        if changed:
            self._stored(states, g, rows)
        else:
            self._state_mark = self._mark()

    def _derive_part(
        self, write_g: bool, params: list[Any], states: list[_Column], g: _Column, free: _Column | None
    ) -> bool:
        """``_derive_state`` of some devices; ``free``: not stuck. Returns whether anything changed."""
        implied = g.copy()
        _engine.update_conductance(self.table.name, params, states, implied)
        changed = implied != g
        if write_g:
            bounds = dict(zip((field.name for field in self.table.params), params, strict=True))
            low, high = (np.asarray(1 / bounds[name]).astype(g.dtype) for name in ("r_off", "r_on"))
            changed |= (g < low) | (g > high)
        if not changed.any():
            return False
        derived = [state.copy() for state in states]
        _engine.set_conductance(self.table.name, params, derived, implied, g)
        for old, new in zip(states, derived, strict=True):
            np.copyto(old, new, where=changed)
        if write_g:
            np.copyto(g, implied, where=changed if free is None else changed & free)
        return True
