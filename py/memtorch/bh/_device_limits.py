"""What holds devices back: some are stuck, some reach a finite number of states only, and some draw noise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memtorch import _ops
from memtorch.bh._device_columns import DeviceColumns
from memtorch.bh._finite_states import check_states, nearest_states

__all__ = ["DeviceLimits"]


class DeviceLimits(DeviceColumns):
    """Columns whose devices may be stuck, or be written to a finite number of states.

    Attributes:
        stuck: Which devices have failed [*shape], bool, and keep state and conductance whatever happens; None: none
            has. Assign it to change it; the tensor itself is not to be written.
        finite_states: Number of states that a write can reach, equally spaced from 1/r_off to 1/r_on of each device;
            None: any conductance between. A write ends at the nearest state; voltages move a device freely.
    """

    # ---- Stuck devices ---------------------------------------------------------------------------------------------

    def set_stuck(self, stuck: Any) -> None:
        """Says which devices are stuck from now on, at the conductances that they have: bool [*shape], or None.

        Raises:
            InvalidArgument: Another type or shape.
        """
        self.sync()
        mask = self._stuck_mask(stuck)
        if mask is None:
            self._buffers.pop("stuck", None)
        else:
            self._buffers["stuck"] = mask
            self._state_mark = None  # the conductance of a stuck device becomes exactly that of its state
        self._stuck_rows = None
        self.sync()

    def _stuck_index(self) -> NDArray[np.intp]:
        """Rows of the stuck devices."""
        if self._stuck_rows is None:
            self._stuck_rows = self._stuck_flags().nonzero()[0]
        return self._stuck_rows

    def _stuck_flags(self) -> NDArray[np.bool_]:
        """``stuck`` flat on the CPU."""
        stuck = self.buffer("stuck")
        return (stuck if stuck.is_cpu else stuck.cpu()).numpy().reshape(-1)

    def _hold(self, new: dict[str, float | Tensor], row: int | None) -> dict[str, float | Tensor]:
        """New parameters under which every stuck device can keep its conductance: its own bounds reach as far as that.

        Args:
            new: Parameters by name; columns are those of all devices, or with ``row`` of one.
            row: Only of the device in this row.
        """
        if self.stuck is None or not {"r_on", "r_off"} & set(new) or not (row is None or self.is_stuck(row)):
            return new
        part = slice(None) if row is None else slice(row, row + 1)
        place = self.g.device if row is None else "cpu"
        stuck = self.buffer("stuck").view(-1)[part].to(place)
        g = self.g.detach().view(-1)[part].to(place, torch.float64)
        held = dict(new)
        for name, beyond, reach in (("r_off", torch.lt, torch.maximum), ("r_on", torch.gt, torch.minimum)):
            if name not in new:
                continue
            bound = torch.as_tensor(new[name], dtype=torch.float64, device=place).view(-1)
            outside = stuck & beyond(g, (1 / bound).to(self.g.dtype).double())  # as g is rounded
            if bool(outside.any()):
                column = torch.where(outside, reach(bound, 1 / g), bound)
                held[name] = column.view(self._shape) if row is None else column
        return held

    # ---- Finite states ---------------------------------------------------------------------------------------------

    @property
    def finite_states(self) -> int | None:
        """Number of states that a write can reach, or None."""
        return self._finite_states

    def set_finite_states(self, finite_states: int | None) -> None:
        """Sets the number of states; devices stay where they are until they are written or ``settle`` is called.

        Raises:
            InvalidArgument: Not a positive integer or None.
        """
        if finite_states is not None:
            finite_states = check_states("devices", "finite_states", finite_states)
        self._finite_states = finite_states

    def settle(self, rows: Any = None) -> None:
        """Puts devices into the nearest of their finite states; does nothing where any conductance can be held.

        Args:
            rows: Index into the flat columns: a slice, integers or a mask; None: all devices.
        """
        if self.finite_states is None:
            return
        if rows is None:
            self.set_conductance()
            return
        self.sync()
        g = self.g.detach().view(-1)
        index = rows if isinstance(rows, slice) else torch.as_tensor(rows).to(g.device)
        nearest = g.clone()
        nearest[index] = self._nearest(g[index], index)
        self.write_g(nearest.view(self._shape))
        self.sync()

    def _nearest(self, target: Tensor, index: Any = None) -> Tensor:
        """Conductances [n] or [1] (S) at the nearest states of the devices in the rows ``index`` (None: all)."""
        if self.finite_states is None:
            return target
        bounds = []
        for name in ("r_off", "r_on"):
            bound = 1 / torch.as_tensor(self.parameter(name), dtype=torch.float64).view(-1)
            bounds.append(bound if bound.numel() == 1 or index is None else bound[index])
        columns = [bound for bound in bounds if bound.numel() > 1]
        if columns:
            target = target.to(columns[0].device).expand(max(target.numel(), columns[0].numel()))
        return nearest_states(target, self.finite_states, *bounds)

    # ---- Noise -----------------------------------------------------------------------------------------------------

    def noise_seed(self) -> int:
        """The key of the next noise draws. The array's own key comes from torch's generator when first asked for."""
        if self._noise_key is None:
            self._noise_key = _ops.random_seed()
        return (self._noise_key + self._noise_draws) % 2**64

    def count_draw(self) -> None:
        """Says that the present ``noise_seed`` has been used."""
        self._noise_draws += 1

    @contextmanager
    def _drawing(self) -> Iterator[int]:
        """The key of one call's noise draws, 0 if there are none; it counts as used unless the call fails."""
        noise = self._draws_noise()
        yield self.noise_seed() if noise else 0
        if noise:
            self.count_draw()

    def _draws_noise(self) -> bool:
        switch = getattr(self.memristor_model, "noise_switch", None)
        if switch is None:
            return False
        on = self.parameter(switch)
        return bool((on != 0).any()) if isinstance(on, Tensor) else on != 0

    if TYPE_CHECKING:  # what DeviceArray and its other bases provide

        def sync(self) -> None: ...
        def _hold_stuck(self) -> None: ...
        def set_conductance(self, conductance: Any = None, *, row: int | None = None) -> None: ...
        def write_g(self, conductance: Any) -> None: ...
