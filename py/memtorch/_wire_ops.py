"""The engine's solver of resistive wires on tensors, as a custom operator like those of ``_ops``."""

from __future__ import annotations

import torch
from torch import Tensor

from memtorch import _engine
from memtorch._ops import engine_threads

__all__ = ["effective_conductances"]


@torch.library.custom_op("memtorch::effective_conductances", mutates_args=())
def effective_conductances(g: Tensor, wires: Tensor) -> Tensor:
    """What arrays with resistive wires conduct from their drivers to their sense ends.

    Args:
        g: Conductances of the devices (S) [arrays, rows, columns], each in [0, 1e6].
        wires: Resistances (ohm) [4]: of a word line segment, of a bit line segment, between a driver and its word line,
            between a bit line and its sense end; each in [0, 1e12].

    Returns:
        Effective conductances (S) [arrays, rows, columns], float64: with voltages v [inputs, rows] on the word lines
        and the sense ends at 0 V, the currents into these are v @ result[array].

    Raises:
        InvalidArgument: A conductance or resistance out of range.
    """
    source = g.detach().cpu()
    if source.dtype not in (torch.float32, torch.float64):
        source = source.to(torch.float32)
    source = source.contiguous()
    out = torch.empty(source.shape, dtype=torch.float64)
    engine_threads()
    _engine.GridSolver(*source.shape[1:], *wires.tolist()).effective_matrix(source, out)
    return out.to(g.device)


@effective_conductances.register_fake
def _(g: Tensor, wires: Tensor) -> Tensor:
    return torch.empty(g.shape, dtype=torch.float64, device=g.device)
