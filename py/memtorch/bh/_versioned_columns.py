"""What arrays of devices share as modules: dtypes that stay, and the notice of direct writes into the conductances."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from memtorch._errors import invalid

__all__ = ["VersionedColumns", "part_of"]


class VersionedColumns(nn.Module):
    """A module with a buffer ``g`` that anyone may write: torch's version counter tells when that has happened.

    ``half()``, ``double()`` and the like leave the dtypes of its tensors alone.
    """

    _shape: tuple[int, ...]

    def __init__(self) -> None:
        super().__init__()
        # The mark of g at which everything that depends on it was last brought up to date.
        self._state_mark: tuple[int, int] | None = None

    def buffer(self, name: str) -> Tensor:
        """The tensor behind a column: "g", or another by its name among the module's buffers."""
        return self._buffers[name]  # type: ignore[return-value]

    def _mark(self) -> tuple[int, int]:
        column = self.buffer("g")
        return column._version, column.data_ptr()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> VersionedColumns:
        def keep_dtype(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        # Buffers made under inference_mode would have no version counter.
        with torch.inference_mode(False), torch.no_grad():
            super()._apply(keep_dtype, recurse)
        self._state_mark = None
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        # The mark names a version of the original's memory; a copy's could match it by accident.
        self._state_mark = None

    # ---- Stuck devices ---------------------------------------------------------------------------------------------

    @property
    def stuck(self) -> Tensor | None:
        """Which devices are stuck [*shape], bool; None: none is."""
        return self._buffers.get("stuck")

    def set_stuck(self, stuck: Any) -> None:
        """Says which devices are stuck from now on, at the conductances that they have: bool [*shape], or None.

        Raises:
            InvalidArgument: Another type or shape.
        """
        raise NotImplementedError

    def is_stuck(self, row: int) -> bool:
        """Whether the device in a row of the columns is stuck."""
        return self.stuck is not None and bool(self.stuck.view(-1)[row])

    def set_stuck_of(self, row: int, stuck: bool) -> None:
        """Says of one device whether it is stuck."""
        if stuck == self.is_stuck(row):
            return
        mask = torch.zeros(self._shape, dtype=torch.bool) if self.stuck is None else self.stuck.clone()
        mask.view(-1)[row] = stuck
        self.set_stuck(mask)

    def _stuck_mask(self, stuck: Any) -> Tensor | None:
        """What the user gave as a tensor [*shape] of its own; None if no device is stuck."""
        if stuck is None:
            return None
        try:
            mask = stuck if isinstance(stuck, (Tensor, np.ndarray)) else np.asarray(stuck)
        except ValueError:  # lists of different lengths
            invalid("devices", "stuck", stuck, f"have shape {list(self._shape)}")
        if mask.dtype not in (torch.bool, np.bool_):
            invalid("devices", "stuck", str(mask.dtype), "be bool")
        if tuple(mask.shape) != self._shape:
            invalid("devices", "stuck", f"shape {list(mask.shape)}", f"have shape {list(self._shape)}")
        # Made under inference_mode it could not be copied into other modules.
        with torch.inference_mode(False):
            copied = torch.as_tensor(mask).to(self.buffer("g").device, copy=True).contiguous()
        return copied if bool(copied.any()) else None

    # ---- Loading a state_dict --------------------------------------------------------------------------------------

    def set_extra_state(self, state: Any) -> None:
        """Does nothing: ``_load`` takes the extra state together with the tensors."""

    def differences(self, mine: Mapping[str, Any]) -> list[str]:
        """Why a state_dict of this module alone cannot be loaded, one reason each; empty if it can."""
        raise NotImplementedError

    def _load(self, mine: Mapping[str, Any]) -> None:
        """Takes over a state_dict that has no differences."""
        raise NotImplementedError

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
        mine = part_of(state_dict, prefix)
        if not mine:  # torch passes strict=True always, and decides itself what missing keys mean
            missing_keys += [f"{prefix}{name}" for name in (*self._buffers, "_extra_state")]
            return
        differences = self.differences(mine)
        if differences:
            error_msgs.append(f"{prefix.rstrip('.') or 'devices'}: [load_state_dict] {'; '.join(differences)}")
            return
        self._load(mine)
        self._state_mark = None


def part_of(state_dict: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """What the state_dict of a model holds for the module at ``prefix``."""
    return {key[len(prefix) :]: value for key, value in state_dict.items() if key.startswith(prefix)}
