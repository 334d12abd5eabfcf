"""The engine's non-linear reads on tensors: custom operators with a fake and an autograd formula, as in ``_ops``.

The current of a device is the shape of its current-voltage curve, in volts, times its conductance:

    I(v) = shape(v) * g

The shape is the voltage itself for LinearIonDrift and VTEAM, and a scaled sinh for the others. Where devices share its
parameters, a read is the ordinary product of conductances with ``read_shape(v)``; ``read_nonlinear`` takes devices that
differ.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memtorch import _engine
from memtorch._ops import engine_threads

__all__ = ["read_nonlinear", "read_shape", "read_through_wires"]


def _columns(params: list[Tensor]) -> list[Any]:
    """Parameters as the engine takes them: one element is a number that all devices share."""
    return [p.item() if p.numel() == 1 else p.detach().cpu().contiguous().view(-1) for p in params]


def _volts(v: Tensor) -> Tensor:
    return v.detach().to("cpu", torch.float64)


def _shape_or_slope(v: Tensor, model: str, params: list[float], slope: bool) -> Tensor:
    volts = _volts(v).contiguous()
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
    """Currents of tiles whose devices differ in the shape of their current-voltage curves; differentiable by ``v``.

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
    partial = torch.empty((down, v.shape[0], grid[1]), dtype=torch.float64)
    engine_threads()
    volts = _volts(v).t().contiguous()
    _engine.read_nonlinear(model, _columns(params), g.detach().cpu().contiguous().view(-1), grid, volts, partial)
    return partial.to(v.device, v.dtype)


@read_nonlinear.register_fake
def _(v: Tensor, g: Tensor, params: list[Tensor], model: str, grid: list[int]) -> Tensor:
    return v.new_empty(-(-grid[0] // grid[2]), v.shape[0], grid[1])


@torch.library.custom_op("memtorch::read_nonlinear_gradient", mutates_args=())
def read_nonlinear_gradient(
    grad: Tensor, v: Tensor, g: Tensor, params: list[Tensor], model: str, grid: list[int]
) -> Tensor:
    """The gradient [inputs, rows] by ``v`` of ``read_nonlinear``, from the gradient [tiles down, inputs, columns]."""
    volts = _volts(v).t().contiguous()
    v_grad = torch.empty_like(volts)
    engine_threads()
    cells = g.detach().cpu().contiguous().view(-1)
    _engine.read_nonlinear_gradient(model, _columns(params), cells, grid, volts, _volts(grad).contiguous(), v_grad)
    return v_grad.t().contiguous().to(v.device, v.dtype)


@read_nonlinear_gradient.register_fake
def _(grad: Tensor, v: Tensor, g: Tensor, params: list[Tensor], model: str, grid: list[int]) -> Tensor:
    return torch.empty_like(v, memory_format=torch.contiguous_format)


def _save_read(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    v, g, params, ctx.model, ctx.grid = inputs
    ctx.save_for_backward(v, g, *params)


def _read_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    v, g, *params = ctx.saved_tensors
    v_grad = read_nonlinear_gradient(grad, v, g, params, ctx.model, ctx.grid)
    return v_grad, None, [None] * len(params), None, None


read_nonlinear.register_autograd(_read_backward, setup_context=_save_read)


@torch.library.custom_op("memtorch::read_through_wires", mutates_args=())
def read_through_wires(
    v: Tensor, g: Tensor, params: list[Tensor], model: str, grid: list[int], wires: list[float]
) -> Tensor:
    """The same through resistive wires, every tile a circuit of its own; differentiable by ``v``.

    Args:
        v: As ``read_nonlinear``.
        g: Likewise, padding cells included; they load the wires.
        params: Likewise; they may be shared.
        model: Likewise.
        grid: Likewise.
        wires: Resistances (ohm) of a word line segment, of a bit line segment, at the drivers, at the sense ends.

    Returns:
        As ``read_nonlinear``.

    Raises:
        InvalidArgument: Voltages, conductances or resistances out of range.
        RuntimeError: Newton's method leaves more than 1e-10 of the largest device current at a node.
    """
    partial = torch.empty((-(-grid[0] // grid[2]), v.shape[0], grid[1]), dtype=torch.float64)
    engine_threads()
    volts = _volts(v).t().contiguous()
    cells = g.detach().cpu().contiguous().view(-1)
    _engine.read_through_wires(model, _columns(params), cells, grid, wires, volts, partial)
    return partial.to(v.device, v.dtype)


@read_through_wires.register_fake
def _(v: Tensor, g: Tensor, params: list[Tensor], model: str, grid: list[int], wires: list[float]) -> Tensor:
    return v.new_empty(-(-grid[0] // grid[2]), v.shape[0], grid[1])


@torch.library.custom_op("memtorch::read_through_wires_gradient", mutates_args=())
def read_through_wires_gradient(
    grad: Tensor, v: Tensor, g: Tensor, params: list[Tensor], model: str, grid: list[int], wires: list[float]
) -> Tensor:
    """The gradient [inputs, rows] by ``v`` of ``read_through_wires``: solved again, then one linear circuit."""
    volts = _volts(v).t().contiguous()
    v_grad = torch.empty_like(volts)
    engine_threads()
    cells = g.detach().cpu().contiguous().view(-1)
    upstream = _volts(grad).contiguous()
    _engine.read_through_wires_gradient(model, _columns(params), cells, grid, wires, volts, upstream, v_grad)
    return v_grad.t().contiguous().to(v.device, v.dtype)


@read_through_wires_gradient.register_fake
def _(
    grad: Tensor, v: Tensor, g: Tensor, params: list[Tensor], model: str, grid: list[int], wires: list[float]
) -> Tensor:
    return torch.empty_like(v, memory_format=torch.contiguous_format)


def _save_wired_read(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *saved, ctx.wires = inputs
    _save_read(ctx, tuple(saved), output)


def _wired_read_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    v, g, *params = ctx.saved_tensors
    v_grad = read_through_wires_gradient(grad, v, g, params, ctx.model, ctx.grid, ctx.wires)
    return v_grad, None, [None] * len(params), None, None, None


read_through_wires.register_autograd(_wired_read_backward, setup_context=_save_wired_read)
