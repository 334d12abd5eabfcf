"""Reads of crossbars, and how one or two crossbars stand for signed weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from memtorch import _ops
from memtorch._errors import check_tensor, invalid

__all__ = ["DoubleColumnOperation", "ReferenceColumn", "SingleColumnOperation", "read_matrix"]


def read_matrix(
    op: str,
    v: Tensor,
    matrix: Tensor,
    tile_shape: tuple[int, ...] | None,
    adc: _ops.Adc | None,
    stored: torch.dtype,
) -> Tensor:
    """Currents (A) of a tiled array [rows, columns] (S) at voltages [inputs, rows] or [rows] (V), checked.

    They are computed in the larger dtype of voltages and conductances as they are stored.
    """
    single = isinstance(v, Tensor) and v.dim() == 1
    # To look for NaN would wait for a GPU.
    on_gpu = isinstance(v, Tensor) and v.is_cuda
    check_tensor(op, "v", v, (matrix.shape[0],) if single else (-1, matrix.shape[0]), finite=not on_gpu)
    if v.device != matrix.device:
        invalid(op, "v", str(v.device), f"be on the device of the crossbar ({matrix.device})")
    dtype = torch.promote_types(v.dtype, stored)
    voltages = (v.unsqueeze(0) if single else v).to(dtype)
    currents = _ops.tiled_product(voltages, matrix.to(dtype), tile_shape, adc)
    return currents.squeeze(0) if single else currents


class ReferenceColumn:
    """A crossbar's stand-in with the same conductance everywhere: what the single column scheme subtracts."""

    _SHARED = ("rows", "columns", "shape", "tile_shape", "tiles_map", "memristor_model", "r_on_mean", "r_off_mean")

    def __init__(self, crossbar: Any, conductance: float) -> None:
        self._crossbar = crossbar
        self._conductance = conductance

    def __getattr__(self, name: str) -> Any:
        if name in self._SHARED:
            return getattr(self._crossbar, name)
        raise AttributeError(f"the reference column of the single column scheme has no {name!r}")

    @property
    def conductance_matrix(self) -> Tensor:
        """Conductances (S) in the shape of the crossbar's."""
        g = self._crossbar.conductance_matrix
        return g.new_full((), self._conductance).expand(g.shape)

    @property
    def max_abs_conductance(self) -> Tensor:
        """The conductance (S), a tensor []."""
        return self._crossbar.conductance_matrix.new_full((), self._conductance)

    def matrix(self) -> Tensor:
        """Conductances [rows, columns] (S)."""
        g = self._crossbar.conductance_matrix
        return g.new_full((), self._conductance).expand(self._crossbar.rows, self._crossbar.columns)

    def effective_tiles(self, wires: Any) -> Tensor:
        """The same whatever the wires are: the reference is subtracted digitally, g_m times the sum of the inputs."""
        return self.conductance_matrix

    def effective_matrix(self, wires: Any) -> Tensor:
        """The same as a matrix [rows, columns]."""
        return self.matrix()

    def read(
        self, v: Tensor, *, source_resistance: Any = None, line_resistance: Any = None, **converters: Any
    ) -> Tensor:
        """Currents (A) at voltages (V), as ``Crossbar.read``."""
        adc = _ops.Adc.parse("read", **converters)
        matrix = self.matrix()
        return read_matrix("read", v, matrix, self._crossbar.tile_shape, adc, matrix.dtype)


class DoubleColumnOperation:
    """The operation of the positive crossbar minus that of the negative one."""

    def __call__(self, crossbars: Any, operation: Callable[..., Any], idx: Any = (0, 1), **kwargs: Any) -> Any:
        positive, negative = idx
        return operation(crossbars[positive], **kwargs) - operation(crossbars[negative], **kwargs)


class SingleColumnOperation:
    """The operation of the crossbar minus that of its reference column."""

    def __init__(self, conductance: float) -> None:
        self.conductance = conductance

    def __call__(self, crossbars: Any, operation: Callable[..., Any], idx: int = 0, **kwargs: Any) -> Any:
        used = crossbars[idx]
        if isinstance(used, Tensor):
            reference: Any = used.new_full((), self.conductance).expand(used.shape)
        else:
            reference = ReferenceColumn(used, self.conductance)
        return operation(used, **kwargs) - operation(reference, **kwargs)
