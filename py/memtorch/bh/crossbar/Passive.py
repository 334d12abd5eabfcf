"""Crossbars with resistive wires, solved exactly."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memtorch._errors import check_bool, check_float, check_int, check_tensor, invalid
from memtorch._wire_ops import effective_conductances, node_voltages
from memtorch.bh.crossbar._sweep import operating_point
from memtorch.bh.crossbar._wires import MAX_OHM, check_conductances

__all__ = ["solve_passive"]


def solve_passive(
    conductance_matrix: Tensor,
    V_WL: Tensor,
    V_BL: Tensor,
    R_source: float,
    R_line: float,
    n_input_batches: int | None = None,
    det_readout_currents: bool = True,
    use_bindings: bool = True,
    cuda_malloc_heap_size: int | None = None,
) -> Tensor:
    """Currents of a crossbar with resistive wires, or the voltages across its devices.

    Word line i is driven by V_WL[i] through ``R_source`` at its first cell, bit line j is held at V_BL[j] through
    ``R_source`` at its last one; ``R_line`` lies between neighbouring cells of a line; the other ends are open. The
    circuit is solved in float64. Differentiable by conductances and voltages.

    Args:
        conductance_matrix: Conductances (S) [rows, columns], each in [0, 1e6].
        V_WL: Voltages of the word lines (V) [rows], or [inputs, rows].
        V_BL: Voltages of the bit lines (V) [columns], or [inputs, columns].
        R_source: Resistance between a source and its line (ohm); 0: none.
        R_line: Resistance of a line between neighbouring cells (ohm); 0: ideal lines.
        n_input_batches: The number of inputs, or None: as many as ``V_WL`` and ``V_BL`` hold.
        det_readout_currents: Return currents (True) or voltages (False).
        use_bindings: Accepted for compatibility, without effect.
        cuda_malloc_heap_size: Accepted for compatibility, without effect.

    Returns:
        Currents into the sense ends of the bit lines (A) [columns], or voltages across the devices, from word line to
        bit line (V) [rows, columns]; with [inputs, ...] in front if an argument has it or ``n_input_batches`` is given.

    Raises:
        InvalidArgument: Shapes that do not fit, values that are not finite, or out of range.
        RuntimeError: A solution that does not hold Kirchhoff's law to 1e-10, which is not returned.
    """
    op = "solve_passive"
    g = check_tensor(op, "conductance_matrix", conductance_matrix, (-1, -1))
    if g.numel() == 0:
        invalid(op, "conductance_matrix", f"shape {list(g.shape)}", "hold at least one device")
    check_conductances(op, "conductance_matrix", g)
    inputs = None if n_input_batches is None else check_int(op, "n_input_batches", n_input_batches, 1)
    v_word, v_bit = _voltages(op, "V_WL", V_WL, g.shape[0]), _voltages(op, "V_BL", V_BL, g.shape[1])
    single = v_word.dim() == v_bit.dim() == 1 and inputs is None
    v_word, v_bit = _batched(op, inputs, v_word, v_bit)
    source = check_float(op, "R_source", R_source, 0, MAX_OHM, unit="ohm")
    line = check_float(op, "R_line", R_line, 0, MAX_OHM, unit="ohm")
    wires = torch.tensor([line, line, source, source], dtype=torch.float64)
    wanted_currents = check_bool(op, "det_readout_currents", det_readout_currents)
    check_bool(op, "use_bindings", use_bindings)
    if cuda_malloc_heap_size is not None:
        check_int(op, "cuda_malloc_heap_size", cuda_malloc_heap_size, 1)

    dtype = torch.promote_types(torch.promote_types(g.dtype, v_word.dtype), v_bit.dtype)
    dtype = dtype if dtype.is_floating_point else torch.get_default_dtype()
    result = _solve(g.double(), v_word.double(), v_bit.double(), wires.to(g.device), wanted_currents).to(dtype)
    return result.squeeze(0) if single else result


def _voltages(op: str, name: str, value: Any, lines: int) -> Tensor:
    one = isinstance(value, Tensor) and value.dim() == 1
    return check_tensor(op, name, value, (lines,) if one else (-1, lines))


def _batched(op: str, inputs: int | None, v_word: Tensor, v_bit: Tensor) -> tuple[Tensor, Tensor]:
    """Both as [inputs, lines]; one vector serves all inputs."""
    given = {"V_WL": v_word, "V_BL": v_bit}
    counts = {name: v.shape[0] for name, v in given.items() if v.dim() == 2}
    expected = inputs if inputs is not None else next(iter(counts.values()), 1)
    for name, count in counts.items():
        if count != expected:
            invalid(op, name, f"{count} inputs", f"hold {expected} inputs, as the other arguments do")
    word, bit = (v.expand(expected, v.shape[-1]) for v in given.values())
    return word, bit


def _solve(g: Tensor, v_word: Tensor, v_bit: Tensor, wires: Tensor, wanted_currents: bool) -> Tensor:
    """``solve_passive`` for checked arguments in float64."""
    differentiable = torch.is_grad_enabled() and any(x.requires_grad for x in (g, v_word, v_bit))
    if differentiable:
        volts, amperes = operating_point(g, v_word, v_bit, wires)
        return amperes.sum(1) if wanted_currents else volts
    if wanted_currents and not bool(v_bit.any()):
        return v_word @ effective_conductances(g.unsqueeze(0), wires)[0]
    word, bit = node_voltages(g, v_word, v_bit, wires)
    return ((word - bit) * g).sum(1) if wanted_currents else word - bit
