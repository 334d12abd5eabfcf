"""What arrays of devices share as modules: dtypes that stay, and the notice of direct writes into the conductances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

__all__ = ["VersionedColumns"]


class VersionedColumns(nn.Module):
    """A module with a buffer ``g`` that anyone may write: torch's version counter tells when that has happened.

    ``half()``, ``double()`` and the like leave the dtypes of its tensors alone.
    """

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

        super()._apply(keep_dtype, recurse)
        self._state_mark = None
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        # The mark names a version of the original's memory; a copy's could match it by accident.
        self._state_mark = None
