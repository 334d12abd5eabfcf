"""The engine's solver of resistive wires on tensors; what layers need is a custom operator like those of ``_ops``."""

from __future__ import annotations

import torch
from torch import Tensor

from memtorch import _engine
from memtorch._ops import engine_threads

__all__ = ["effective_conductances", "node_voltages"]

# Largest current that Kirchhoff's law may lack at a node, in parts of the largest device current. The first is what
# rounding leaves of usual circuits. Where wires resist a million times as much as devices it leaves more; the second is
# the accuracy that is promised.
_TOLERANCES = (1e-12, 1e-10)


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


def node_voltages(g: Tensor, v_word: Tensor, v_bit: Tensor, wires: Tensor) -> tuple[Tensor, Tensor]:
    """Voltages at every node of an array with resistive wires, without gradient.

    Args:
        g: Conductances of the devices (S) [rows, columns].
        v_word: Voltages of the drivers (V) [inputs, rows].
        v_bit: Voltages of the sense ends (V) [inputs, columns].
        wires: As ``effective_conductances``.

    Returns:
        Voltages of the word lines and of the bit lines at the cells (V), [inputs, rows, columns] float64 each.

    Raises:
        InvalidArgument: A conductance or resistance out of range, or a voltage that is not finite.
        RuntimeError: Kirchhoff's law does not hold to 1e-10.
    """
    device = g.device
    g, v_word, v_bit = (x.detach().to("cpu", torch.float64).contiguous() for x in (g, v_word, v_bit))
    word, bit = (g.new_empty(len(v_word), *g.shape) for _ in range(2))
    residual = g.new_empty(len(v_word))
    solver = _engine.GridSolver(*g.shape, *wires.tolist())
    engine_threads()
    for tolerance in _TOLERANCES:
        try:
            solver.solve_nodes(g, v_word, v_bit, word, bit, residual, tolerance=tolerance)
            break
        except RuntimeError:
            if tolerance == _TOLERANCES[-1]:
                raise
    return word.to(device), bit.to(device)
