"""The engine's solver of resistive wires on tensors; what layers need is a custom operator like those of ``_ops``."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from memtorch import _engine, _ops
from memtorch._ops import engine_threads, placed
from memtorch._wire_sweep import operating_point

__all__ = ["VoltageSolver", "device_voltages", "effective_conductances"]

# Largest current that Kirchhoff's law may lack at a node, in parts of the largest device current. The first is what
# rounding leaves of usual circuits. Where wires resist a million times as much as devices it leaves more; the second is
# the accuracy that is promised.
_TOLERANCES = (1e-12, 1e-10)

# Node voltages held at a time where every driver of an array is looked at alone.
_MAX_VOLTAGES = 2**22

# ``operating_point`` or ``device_voltages``.
_Solve = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]

# A solver keeps its plan and, for each thread, the memory of its last solution and gradient, about 1 kB a cell: those
# of the last shapes and wires are kept, unless they have more cells than this.
_KEPT_SOLVERS = 2
_KEPT_CELLS = 2**16


@functools.lru_cache(maxsize=_KEPT_SOLVERS)
def _kept_solver(rows: int, columns: int, wires: tuple[float, float, float, float]) -> _engine.GridSolver:
    return _engine.GridSolver(rows, columns, *wires)


# The engine reports objects of its own that outlive it.
atexit.register(_kept_solver.cache_clear)


def _solver(g: Tensor, wires: Tensor) -> _engine.GridSolver:
    """A solver for arrays g [..., rows, columns]."""
    rows, columns = g.shape[-2:]
    word, bit, source, load = wires.tolist()
    make = _kept_solver if rows * columns <= _KEPT_CELLS else _kept_solver.__wrapped__
    return make(rows, columns, (word, bit, source, load))


def _conductances(g: Tensor) -> Tensor:
    """As the engine takes them."""
    source = placed(g)
    return source if source.dtype in (torch.float32, torch.float64) else source.to(torch.float32)


def _workspace(solver: _engine.GridSolver, out: Tensor, gradient: bool) -> Tensor | None:
    """Memory beside the arrays that a GPU needs for the tiles of ``out``."""
    if not _ops.on_gpu(out):
        return None
    return _ops.workspace(solver.workspace(len(out), single=out.dtype == torch.float32, gradient=gradient), out)


@torch.library.custom_op("memtorch::effective_conductances", mutates_args=())
def effective_conductances(g: Tensor, wires: Tensor) -> Tensor:
    """What arrays with resistive wires conduct from their drivers to their sense ends; differentiable.

    Args:
        g: Conductances of the devices (S) [arrays, rows, columns], each in [0, 1e6].
        wires: Resistances (ohm) [4]: of a word line segment, of a bit line segment, between a driver and its word line,
            between a bit line and its sense end; each in [0, 1e12].

    Returns:
        Effective conductances (S) [arrays, rows, columns], float64: with voltages v [inputs, rows] on the word lines
        and the sense ends at 0 V, the currents into these are v @ result[array].

    Raises:
        InvalidArgument: A resistance out of range, or on the CPU a conductance; a GPU does not look at those.
    """
    source = _conductances(g)
    out = torch.empty(source.shape, dtype=torch.float64, device=source.device)
    engine_threads()
    solver = _solver(source, wires)
    solver.effective_matrix(source, out, _workspace(solver, out, gradient=False))
    return out.to(g.device)


@effective_conductances.register_fake
def _(g: Tensor, wires: Tensor) -> Tensor:
    return torch.empty(g.shape, dtype=torch.float64, device=g.device)


@torch.library.custom_op("memtorch::effective_conductances_gradient", mutates_args=())
def _device_gradient(g: Tensor, wires: Tensor, upstream: Tensor) -> Tensor:
    """Gradient [arrays, rows, columns] by ``g`` of upstream [arrays, rows, columns] times the effective conductances.

    About twice the cost of these.
    """
    source = _conductances(g)
    out = torch.empty(source.shape, dtype=torch.float64, device=source.device)
    engine_threads()
    solver = _solver(source, wires)
    weights = upstream.detach().to(out.device, torch.float64).contiguous()
    solver.gradient(source, weights, out, _workspace(solver, out, gradient=True))
    return out.to(device=g.device, dtype=g.dtype)


@_device_gradient.register_fake
def _(g: Tensor, wires: Tensor, upstream: Tensor) -> Tensor:
    return torch.empty(g.shape, dtype=g.dtype, device=g.device)


@torch.library.custom_op("memtorch::effective_conductances_wire_gradient", mutates_args=())
def _wire_gradient(g: Tensor, wires: Tensor, upstream: Tensor) -> Tensor:
    """The same by ``wires``, [4]: the potentials of all nodes for two vectors for each driver."""
    if _ops.on_gpu(g):
        total = _summed_wire_gradient(placed(g).double(), wires, upstream.detach().double(), device_voltages)
        return total.to(device=wires.device, dtype=wires.dtype)
    source, weights = _conductances(g.cpu()), upstream.detach().to("cpu", torch.float64).contiguous()
    out = torch.empty(len(source), 4, dtype=torch.float64)
    engine_threads()
    solver = _solver(source, wires)
    for tolerance in _TOLERANCES:
        try:
            solver.wire_gradient(source, weights, out, tolerance=tolerance)
        except RuntimeError:
            continue
        return out.sum(0).to(device=wires.device, dtype=wires.dtype)
    # Rounding keeps the engine's potentials above their tolerances.
    total = _summed_wire_gradient(source.double(), wires.cpu(), weights, operating_point)
    return total.to(device=wires.device, dtype=wires.dtype)


@_wire_gradient.register_fake
def _(g: Tensor, wires: Tensor, upstream: Tensor) -> Tensor:
    return torch.empty_like(wires)


def _summed_wire_gradient(g: Tensor, wires: Tensor, upstream: Tensor, solve: _Solve) -> Tensor:
    """What the engine's ``wire_gradient`` adds up, from potentials that ``solve`` finds.

    With one volt on driver i, and again with the voltages upstream[i] on the sense ends, a segment carries two
    currents. Their product, added up over all segments of a kind and all drivers, is the gradient by its resistance
    (Tellegen's theorem; the effective conductance is minus the transfer admittance, which turns the sign).
    """
    total = torch.zeros(4, dtype=torch.float64, device=g.device)
    rows, columns = g.shape[1:]
    step = max(1, _MAX_VOLTAGES // (rows * columns))
    for array, weights in zip(g, upstream, strict=True):
        for drivers in torch.eye(rows, dtype=torch.float64, device=g.device).split(step):
            forward = _segment_currents(solve(array, drivers, torch.zeros_like(drivers @ weights), wires)[1])
            adjoint = _segment_currents(solve(array, torch.zeros_like(drivers), drivers @ weights, wires)[1])
            total += torch.stack([(f * a).sum() for f, a in zip(forward, adjoint, strict=True)])
    return total


def _segment_currents(devices: Tensor) -> tuple[Tensor, ...]:
    """Currents (A) through the segments of word lines, of bit lines, at the drivers, at the sense ends."""
    along = devices.flip(2).cumsum(2).flip(2)  # through the segment before each cell
    down = devices.cumsum(1)  # through the segment behind each cell
    return along[:, :, 1:], down[:, :-1], along[:, :, 0], down[:, -1]


def _keep_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _effective_backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
    g, wires = ctx.saved_tensors
    by_devices, by_wires = ctx.needs_input_grad
    return (
        _device_gradient(g, wires, upstream) if by_devices else None,
        _wire_gradient(g, wires, upstream) if by_wires else None,
    )


effective_conductances.register_autograd(_effective_backward, setup_context=_keep_inputs)


def _solves(solver: _engine.GridSolver, *arguments: Any, **options: Any) -> bool:
    """Whether ``solver.solve_nodes(*arguments, **options)`` meets a tolerance. This waits for a GPU."""
    solve: Callable[..., None] = solver.solve_nodes
    residual = arguments[-1]
    memory = None
    if _ops.on_gpu(residual):
        memory = _ops.workspace(solver.nodes_workspace(len(residual), linear=True), residual)
    engine_threads()
    for tolerance in _TOLERANCES:
        try:
            solve(*arguments, tolerance=tolerance, workspace=memory, **options)
        except RuntimeError:
            if memory is None:
                continue
            raise
        # A GPU does not look by itself.
        if memory is None or bool((residual <= tolerance).all()):
            return True
    return False


def device_voltages(g: Tensor, v_word: Tensor, v_bit: Tensor, wires: Tensor) -> tuple[Tensor, Tensor]:
    """Voltages across the devices of an array with resistive wires and their currents, without gradient.

    Args:
        g: Conductances of the devices (S) [rows, columns], float64.
        v_word: Voltages of the drivers (V) [inputs, rows], float64.
        v_bit: Voltages of the sense ends (V) [inputs, columns], float64.
        wires: As ``effective_conductances``.

    Returns:
        Voltages from word line to bit line (V) and currents (A), [inputs, rows, columns] each.

    Raises:
        InvalidArgument: A resistance out of range; on the CPU, a conductance out of range or a voltage that is not
            finite, for which a GPU does not look.
    """
    g, v_word, v_bit, wires = (x.detach() for x in (g, v_word, v_bit, wires))
    source = placed(g)
    words, bits = (placed(x).to(source.device) for x in (v_word, v_bit))
    word, bit = (source.new_empty(len(words), *g.shape) for _ in range(2))
    residual = source.new_empty(len(words))
    solver = _solver(source, wires)
    if _solves(solver, source, words, bits, word, bit, residual):
        across = (word - bit).to(g.device)
        return across, g * across
    # Rounding keeps the iteration above its tolerance, as with shorts between wires of kilohms: by elimination.
    return operating_point(g, v_word, v_bit, wires)


class VoltageSolver:
    """Voltages across the devices of one array whose sources stay, each solution sought from the one before.

    Args:
        shape: (rows, columns).
        wires: Resistances (ohm): of a word line segment, of a bit line segment, at the drivers, at the sense ends.
        v_word: Voltages of the drivers (V) [rows], float64.
        v_bit: Voltages of the sense ends (V) [columns], float64, and where the first solution is sought.
        word_open: Which word lines are cut off from their drivers [rows], bool; None: none.
        bit_open: Likewise [columns].
    """

    def __init__(
        self,
        shape: tuple[int, int],
        wires: tuple[float, float, float, float],
        v_word: Tensor,
        v_bit: Tensor,
        word_open: Tensor | None = None,
        bit_open: Tensor | None = None,
    ) -> None:
        self._solver = _engine.GridSolver(*shape, *wires)
        self._sources = v_word.unsqueeze(0), v_bit.unsqueeze(0)
        self._open: dict[str, Any] = {"word_open": word_open, "bit_open": bit_open}
        self._nodes = v_bit.new_empty(1, *shape), v_bit.expand(1, *shape).contiguous()

    def across(self, g: Tensor) -> Tensor:
        """Voltages from word line to bit line (V) [rows, columns].

        Args:
            g: Conductances (S) [rows, columns], float64.

        Raises:
            InvalidArgument: A conductance that is not in [0, 1e6] S.
            RuntimeError: The circuit was not solved to 1e-10 of its largest device current.
        """
        residual = g.new_empty(1)
        if not _solves(self._solver, g, *self._sources, *self._nodes, residual, warm=True, **self._open):
            raise RuntimeError(f"[solve_nodes] residual ({residual.item():g}) must be at most {_TOLERANCES[-1]:g}")
        word, bit = self._nodes
        return (word - bit)[0]
