"""Crossbars with resistive wires, solved exactly."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memtorch import _wire_ops
from memtorch._errors import check_bool, check_int, check_tensor, invalid
from memtorch._wire_sweep import operating_point
from memtorch.bh.crossbar._wires import check_conductances, checked_ohm, resistance_tensor

__all__ = ["effective_conductances", "solve_passive"]


def solve_passive(
    conductance_matrix: Tensor,
    V_WL: Tensor,
    V_BL: Tensor,
    R_source: float | Tensor,
    R_line: float | Tensor,
    n_input_batches: int | None = None,
    det_readout_currents: bool = True,
    use_bindings: bool = True,
    cuda_malloc_heap_size: int | None = None,
) -> Tensor:
    """Currents of a crossbar with resistive wires, or the voltages across its devices.

    Word line i is driven by V_WL[i] through ``R_source`` at its first cell, bit line j is held at V_BL[j] through
    ``R_source`` at its last one; ``R_line`` lies between neighbouring cells of a line; the other ends are open. The
    circuit is solved in float64. Differentiable by conductances, voltages, and resistances that are
    tensors.

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
        InvalidArgument: Shapes that do not fit, values that are not finite, or out of range, or other devices.
    """
    op = "solve_passive"
    g = check_tensor(op, "conductance_matrix", conductance_matrix, (-1, -1))
    if g.numel() == 0:
        invalid(op, "conductance_matrix", f"shape {list(g.shape)}", "hold at least one device")
    check_conductances(op, "conductance_matrix", g)
    inputs = None if n_input_batches is None else check_int(op, "n_input_batches", n_input_batches, 1)
    v_word, v_bit = _voltages(op, "V_WL", V_WL, g, 0), _voltages(op, "V_BL", V_BL, g, 1)
    single = v_word.dim() == v_bit.dim() == 1 and inputs is None
    v_word, v_bit = _batched(op, inputs, v_word, v_bit)
    source, line = checked_ohm(op, "R_source", R_source), checked_ohm(op, "R_line", R_line)
    wanted_currents = check_bool(op, "det_readout_currents", det_readout_currents)
    check_bool(op, "use_bindings", use_bindings)
    if cuda_malloc_heap_size is not None:
        check_int(op, "cuda_malloc_heap_size", cuda_malloc_heap_size, 1)

    dtype = torch.promote_types(torch.promote_types(g.dtype, v_word.dtype), v_bit.dtype)
    dtype = dtype if dtype.is_floating_point else torch.get_default_dtype()
    wires = torch.stack([line, line, source, source])
    result = _solve(g.double(), v_word.double(), v_bit.double(), wires, wanted_currents).to(dtype)
    return result.squeeze(0) if single else result


def _voltages(op: str, name: str, value: Any, g: Tensor, dim: int) -> Tensor:
    """Voltages of the lines along a dimension of ``g``, checked."""
    one = isinstance(value, Tensor) and value.dim() == 1
    v = check_tensor(op, name, value, (g.shape[dim],) if one else (-1, g.shape[dim]))
    if v.device != g.device:
        invalid(op, name, str(v.device), f"be on the device of conductance_matrix ({g.device})")
    return v


def _batched(op: str, inputs: int | None, v_word: Tensor, v_bit: Tensor) -> tuple[Tensor, Tensor]:
    """Both as [inputs, lines]; one vector serves all inputs."""
    given = {"V_WL": v_word, "V_BL": v_bit}
    counts = {name: v.shape[0] for name, v in given.items() if v.dim() == 2}
    expected = inputs if inputs is not None else next(iter(counts.values()), 1)
    if not counts and expected != 1:
        invalid(op, "n_input_batches", expected, "be 1 or None for single vectors")
    for name, count in counts.items():
        if count != expected:
            invalid(op, name, f"{count} inputs", f"hold {expected} inputs, as the other arguments do")
    word, bit = (v.expand(expected, v.shape[-1]) for v in given.values())
    return word, bit


def _solve(g: Tensor, v_word: Tensor, v_bit: Tensor, wires: Tensor, wanted_currents: bool) -> Tensor:
    """``solve_passive`` for checked arguments in float64."""
    if wanted_currents and not v_bit.requires_grad and not bool(v_bit.any()):
        return v_word @ _wire_ops.effective_conductances(g.unsqueeze(0), wires)[0]
    differentiable = torch.is_grad_enabled() and any(x.requires_grad for x in (g, v_word, v_bit, wires))
    solve = operating_point if differentiable else _wire_ops.device_voltages
    volts, amperes = solve(g, v_word, v_bit, wires)
    return amperes.sum(1) if wanted_currents else volts


def effective_conductances(
    conductance_matrix: Tensor, source_resistance: Any = None, line_resistance: Any = None
) -> Tensor:
    """What arrays with resistive wires conduct from the drivers of their word lines to the sense ends of bit lines.

    With these in place of the conductances, currents are a product as with ideal wires. Differentiable by conductances,
    and by resistances that are tensors: to train weights for the wires that they will meet.

    Args:
        conductance_matrix: Conductances (S) [rows, columns], or [arrays, rows, columns], each in [0, 1e6].
        source_resistance: Resistance between a source and its line (ohm), or a pair: at the word lines, at the sense
            ends of the bit lines; None: 0.
        line_resistance: Resistance of a line between neighbouring cells (ohm), or a pair: of word lines, of bit lines;
            None: 0.

    Returns:
        Effective conductances (S) in the shape and dtype of the conductances, solved in float64.

    Raises:
        InvalidArgument: Another shape, values that are not finite, or out of range.
    """
    op = "effective_conductances"
    tiled = isinstance(conductance_matrix, Tensor) and conductance_matrix.dim() == 3
    g = check_tensor(op, "conductance_matrix", conductance_matrix, (-1, -1, -1) if tiled else (-1, -1))
    if g.numel() == 0 or not g.is_floating_point():
        invalid(op, "conductance_matrix", f"{g.dtype} {list(g.shape)}", "hold floating-point numbers, at least one")
    check_conductances(op, "conductance_matrix", g)
    wires = resistance_tensor(op, source_resistance, line_resistance)
    result = _wire_ops.effective_conductances(g.double() if tiled else g.double().unsqueeze(0), wires).to(g.dtype)
    return result if tiled else result.squeeze(0)
