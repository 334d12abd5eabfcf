"""The engine's non-linear reads on tensors: custom operators with a fake and an autograd formula, as in ``_ops``.

The current of a device is the shape of its current-voltage curve, in volts, times its conductance:

    I(v) = shape(v) * g

The shape is the voltage itself for LinearIonDrift and VTEAM, and a scaled sinh for the others. Where devices share its
parameters, a read is the ordinary product of conductances with ``read_shape(v)``; ``read_nonlinear`` takes devices that
differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memtorch import _engine
from memtorch._ops import engine_threads, on_gpu, placed, solve_there

__all__ = ["read_nonlinear", "read_shape", "read_through_wires", "solve_curves"]


def _columns(params: list[Tensor], device: torch.device) -> list[Any]:
    """Parameters as the engine takes them: one element is a number that all devices share."""
    return [p.item() if p.numel() == 1 else placed(p).to(device).view(-1) for p in params]


def _wired_arguments(
    v: Tensor, g: Tensor, params: list[Tensor], model: str, grid: list[int], wires: Tensor
) -> tuple[Any, ...]:
    """What the reads through wires take first, where ``v`` is."""
    volts = placed(v.detach().to(torch.float64).t())
    return model, _columns(params, volts.device), placed(g).to(volts.device).view(-1), grid, wires.tolist(), volts


def _read_wired(read: Callable[..., None], grid: list[int], volts: Tensor, *arguments: Any) -> None:
    """Calls ``read`` with scratch memory where a GPU needs it, and looks there whether all circuits were solved.

    This waits for the GPU.
    """
    engine_threads()
    if not on_gpu(volts):
        read(*arguments)
        return
    inputs = volts.shape[1]
    circuits = -(-grid[0] // grid[2]) * -(-grid[1] // grid[3]) * inputs
    solve_there("read_through_wires", read, volts, circuits, _engine.wired_read_workspace(grid, inputs), *arguments)


def _volts(v: Tensor) -> Tensor:
    return placed(v.detach().to(torch.float64))


def _shape_or_slope(v: Tensor, model: str, params: list[float], slope: bool) -> Tensor:
    volts = _volts(v)
    shape = torch.empty_like(volts)
    derivative = torch.empty_like(volts) if slope else None
    engine_threads()
    _engine.read_shape(
        model, params, volts.view(-1), shape.view(-1), None if derivative is None else derivative.view(-1)
    )
    return (shape if derivative is None else derivative).to(v.device, v.dtype)


@torch.library.custom_op("memtorch::read_shape", mutates_args=())
def read_shape(v: Tensor, model: str, params: list[float]) -> Tensor:
    """The shape of a model's current-voltage curve; differentiable once.

    Args:
        v: Voltages (V), any shape, float32 or float64; computed in float64.
        model: The model's name in the engine.
        params: Its parameters, in the order of its table.

    Returns:
        Volts, a new tensor like ``v``: the voltages that would drive the same currents through a conductance g.

    Raises:
        InvalidArgument: Voltages that are not finite, or so large that the current would not be.
    """
    return _shape_or_slope(v, model, params, slope=False)


@torch.library.custom_op("memtorch::read_slope", mutates_args=())
def read_slope(v: Tensor, model: str, params: list[float]) -> Tensor:
    """The derivative of ``read_shape``."""
    return _shape_or_slope(v, model, params, slope=True)


@read_shape.register_fake
@read_slope.register_fake
def _(v: Tensor, model: str, params: list[float]) -> Tensor:
    return torch.empty_like(v, memory_format=torch.contiguous_format)


def _save_shape(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    v, ctx.model, ctx.params = inputs
    ctx.save_for_backward(v)


def _shape_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (v,) = ctx.saved_tensors
    return grad * read_slope(v, ctx.model, ctx.params), None, None


read_shape.register_autograd(_shape_backward, setup_context=_save_shape)


@torch.library.custom_op("memtorch::read_nonlinear", mutates_args=())
def read_nonlinear(v: Tensor, g: Tensor, params: list[Tensor], model: str, grid: list[int]) -> Tensor:
    """Currents of tiles whose devices differ in the shape of their current-voltage curves.

    Differentiable by ``v`` and ``g``.

    Args:
        v: [inputs, rows] volts, float32 or float64; computed in float64.
        g: Conductances (S) of all cells in the order of the tiles, float32 or float64.
        params: The model's parameters, in the order of its table: float64, one element or one per cell.
        model: The model's name in the engine.
        grid: Rows and columns of the matrix, rows and columns of a tile.

    Returns:
        [tiles down, inputs, columns] amperes, the dtype of ``v``: what each row of tiles gives.

    Raises:
        InvalidArgument: Voltages that are not finite, or so large that a current would not be.
    """
    down = -(-grid[0] // grid[2])
    volts = _volts(v.t())
    partial = volts.new_empty(down, v.shape[0], grid[1])
    cells = placed(g).to(volts.device).view(-1)
    engine_threads()
    _engine.read_nonlinear(model, _columns(params, volts.device), cells, grid, volts, partial)
    return partial.to(v.device, v.dtype)


@read_nonlinear.register_fake
def _(v: Tensor, g: Tensor, params: list[Tensor], model: str, grid: list[int]) -> Tensor:
    return v.new_empty(-(-grid[0] // grid[2]), v.shape[0], grid[1])


@torch.library.custom_op("memtorch::read_nonlinear_gradient", mutates_args=())
def read_nonlinear_gradient(
    grad: Tensor, v: Tensor, g: Tensor, params: list[Tensor], model: str, grid: list[int]
) -> tuple[Tensor, Tensor]:
    """The gradients by ``v`` and ``g`` of ``read_nonlinear``, from the gradient [tiles down, inputs, columns]."""
    volts = _volts(v.t())
    v_grad, g_grad = torch.empty_like(volts), volts.new_empty(g.shape)
    engine_threads()
    cells = placed(g).to(volts.device).view(-1)
    upstream = _volts(grad).to(volts.device)
    arguments = (model, _columns(params, volts.device), cells, grid, volts)
    _engine.read_nonlinear_gradient(*arguments, upstream, v_grad, g_grad.view(-1))
    return v_grad.t().contiguous().to(v.device, v.dtype), g_grad.to(g.device, g.dtype)


@read_nonlinear_gradient.register_fake
def _(grad: Tensor, v: Tensor, g: Tensor, params: list[Tensor], model: str, grid: list[int]) -> tuple[Tensor, Tensor]:
    return v.new_empty(v.shape), g.new_empty(g.shape)


def _save_read(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    v, g, params, ctx.model, ctx.grid = inputs
    ctx.save_for_backward(v, g, *params)


def _read_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    v, g, *params = ctx.saved_tensors
    v_grad, g_grad = read_nonlinear_gradient(grad, v, g, params, ctx.model, ctx.grid)
    return v_grad, g_grad, [None] * len(params), None, None


read_nonlinear.register_autograd(_read_backward, setup_context=_save_read)


@torch.library.custom_op("memtorch::read_through_wires", mutates_args=())
def read_through_wires(
    v: Tensor, g: Tensor, params: list[Tensor], model: str, grid: list[int], wires: Tensor
) -> Tensor:
    """The same through resistive wires, every tile a circuit of its own; differentiable by ``wires`` besides.

    Args:
        v: As ``read_nonlinear``.
        g: Likewise, padding cells included; they load the wires.
        params: Likewise; they may be shared.
        model: Likewise.
        grid: Likewise.
        wires: Resistances (ohm) [4] of a word line segment, of a bit line segment, at the drivers, at the sense ends.

    Returns:
        As ``read_nonlinear``.

    Raises:
        InvalidArgument: Resistances out of range; on the CPU, voltages or conductances, for which a GPU does not look.
        RuntimeError: Newton's method leaves more than 1e-10 of the largest device current at a node.
    """
    arguments = _wired_arguments(v, g, params, model, grid, wires)
    volts = arguments[-1]
    partial = volts.new_empty(-(-grid[0] // grid[2]), v.shape[0], grid[1])
    _read_wired(_engine.read_through_wires, grid, volts, *arguments, partial)
    return partial.to(v.device, v.dtype)


@read_through_wires.register_fake
def _(v: Tensor, g: Tensor, params: list[Tensor], model: str, grid: list[int], wires: Tensor) -> Tensor:
    return v.new_empty(-(-grid[0] // grid[2]), v.shape[0], grid[1])


@torch.library.custom_op("memtorch::read_through_wires_gradient", mutates_args=())
def read_through_wires_gradient(
    grad: Tensor,
    v: Tensor,
    g: Tensor,
    params: list[Tensor],
    model: str,
    grid: list[int],
    wires: Tensor,
    wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients by ``v``, ``g`` and ``wires`` of ``read_through_wires``; those not ``wanted`` are empty.

    The circuit is solved again, then one linear circuit for each input.
    """
    arguments = _wired_arguments(v, g, params, model, grid, wires)
    volts = arguments[-1]
    given = (volts, g, wires)
    found = [volts.new_empty(x.shape if want else 0) for x, want in zip(given, wanted, strict=True)]
    flat = (x.view(-1) if want else None for x, want in zip(found, wanted, strict=True))
    upstream = placed(grad).to(volts.device, torch.float64)
    _read_wired(_engine.read_through_wires_gradient, grid, volts, *arguments, upstream, *flat)
    v_grad, *others = found
    by = (v_grad.t().contiguous() if wanted[0] else v_grad, *others)
    v_grad, g_grad, wires_grad = (x.to(like.device, like.dtype) for x, like in zip(by, (v, g, wires), strict=True))
    return v_grad, g_grad, wires_grad


@read_through_wires_gradient.register_fake
def _(
    grad: Tensor,
    v: Tensor,
    g: Tensor,
    params: list[Tensor],
    model: str,
    grid: list[int],
    wires: Tensor,
    wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    by_v, by_g, by_wires = (x.new_empty(x.shape if want else 0) for x, want in zip((v, g, wires), wanted, strict=True))
    return by_v, by_g, by_wires


def _save_wired_read(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    v, g, params, ctx.model, ctx.grid, wires = inputs
    ctx.save_for_backward(v, g, wires, *params)


def _wired_read_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    v, g, wires, *params = ctx.saved_tensors
    wanted = [ctx.needs_input_grad[k] for k in (0, 1, 5)]
    found = read_through_wires_gradient(grad, v, g, params, ctx.model, ctx.grid, wires, wanted)
    by_v, by_g, by_wires = (x if want else None for x, want in zip(found, wanted, strict=True))
    return by_v, by_g, [None] * len(params), None, None, by_wires


read_through_wires.register_autograd(_wired_read_backward, setup_context=_save_wired_read)


def solve_curves(
    curve: Callable[[int, list[float]], NDArray[np.float64]],
    wires: Sequence[float],
    v_word: NDArray[np.float64],
    start: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    columns: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The circuit of one array whose devices are functions of Python, by Newton's method.

    Args:
        curve: ``f(row, voltages)`` that returns currents (A) and slopes (S) [2, columns] of the devices of a row.
        wires: As ``read_through_wires``.
        v_word: Voltages of the drivers (V) [rows]; the sense ends are at 0 V.
        start: What was returned for a circuit that differs little; None: nothing is known.
        columns: Of the array.

    Returns:
        Potentials (V) [rows, columns] of the nodes of the word lines, and of the bit lines.

    Raises:
        RuntimeError: Kirchhoff's law is not met to 1e-10 of the largest device current.
    """
    word, bit = (np.empty((len(v_word), columns)) for _ in range(2)) if start is None else map(np.array, start)
    engine_threads()
    _engine.solve_curves(curve, list(wires), v_word, word, bit, start is not None)
    return word, bit
