"""Reads of crossbars whose devices follow their own current-voltage curves.

A frozen read takes the current of every device from its curve at its present conductance and changes nothing. A
simulated read applies the input vectors to the devices one after the other, one time step each; their states move.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from memtorch import _ops, _read_ops
from memtorch._errors import check_bool, check_float, check_shape, check_tensor, invalid
from memtorch._wire_ops import effective_conductances
from memtorch.bh._device_array import DeviceArray
from memtorch.bh._device_indexing import DeviceIndexing
from memtorch.bh._finite_states import nearest_states
from memtorch.bh.crossbar._operations import ReferenceColumn
from memtorch.bh.crossbar._wires import Wires, resistance_tensor

__all__ = [
    "NonLinearRead",
    "is_ohmic",
    "nonlinear_partial_sums",
    "read_matrix",
    "shared_shape",
    "simulate_matmul",
]


@dataclass(frozen=True)
class NonLinearRead:
    """How non-linear devices are read.

    Attributes:
        simulate: The devices are simulated and their states move (True), or each contributes the current of its
            current-voltage curve at its present state (False).
        low: Lowest voltage (V) at which the curves are known; below, the current stays at that of ``low``.
        high: Highest such voltage (V).
        states: Each device has the curve of the nearest of so many conductances, equally spaced from 1/r_off to 1/r_on
            of its own; None: that of its own conductance.
    """

    simulate: bool = False
    low: float = -math.inf
    high: float = math.inf
    states: int | None = None


def shared_shape(devices: Any) -> tuple[str, tuple[float, ...]] | None:
    """Model and parameters of the shape that all devices' curves have; None if they differ, or are not known.

    Parameters that play no part in the shape hold their defaults, so that equal shapes compare equal.
    """
    if not isinstance(devices, DeviceArray):  # of a model written in Python
        return None
    values = []
    for field in devices.table.params:
        value = devices.parameter(field.name) if field.shapes else field.default
        if isinstance(value, Tensor):
            return None
        values.append(value)
    return devices.table.name, tuple(values)


def is_ohmic(devices: Any) -> bool:
    """Whether the current of every device is its conductance times the voltage."""
    return isinstance(devices, DeviceArray) and not any(field.shapes for field in devices.table.params)


def read_conductances(crossbar: Any, states: int | None) -> Tensor:
    """Conductances (S) in the shape of ``conductance_matrix``, each moved to the nearest of ``states`` if given."""
    g: Tensor = crossbar.conductance_matrix
    if states is None or isinstance(crossbar, ReferenceColumn):
        return g
    low, high = (
        1 / torch.as_tensor(crossbar.devices.parameter(name), dtype=torch.float64) for name in ("r_off", "r_on")
    )
    return nearest_states(g, states, low, high)


def read_matrix(crossbar: Any, states: int | None, wires: Wires | Tensor | None = None) -> Tensor:
    """The same as a matrix [rows, columns], without padding, as the ends of the wires see it."""
    if isinstance(crossbar, ReferenceColumn) or (states is None and not isinstance(wires, Tensor)):
        return crossbar.effective_matrix(wires)
    return _matrix_of(crossbar, read_conductances(crossbar, states), wires)


def _matrix_of(crossbar: Any, g: Tensor, wires: Wires | Tensor | None) -> Tensor:
    """What ``read_matrix`` gives if the crossbar held these conductances."""
    if wires is not None:
        g = effective_conductances(g.view(-1, *g.shape[-2:]), _as_tensor(wires)).view(g.shape)
    return g if crossbar.tile_shape is None else _ops.gather_tiles(g, crossbar.rows, crossbar.columns)


def _as_tensor(wires: Wires | Tensor) -> Tensor:
    return wires if isinstance(wires, Tensor) else wires.tensor()


def nonlinear_partial_sums(crossbar: Any, v: Tensor, how: NonLinearRead, wires: Wires | Tensor | None = None) -> Tensor:
    """What each row of tiles gives.

    Args:
        crossbar: A ``Crossbar``, or the reference column of the single column scheme, which is linear.
        v: [inputs, rows] volts, within ``how.low`` and ``how.high``.
        how: How the devices are read.
        wires: Resistances; as a tensor, ``Wires.tensor``, with their gradient. None: ideal wires.

    Returns:
        [tiles down, inputs, columns] amperes, the dtype of ``v``. Gradients by voltages, conductances and resistances
        are exact for a frozen read; for a simulated one, and for devices of a model written in Python, they are those
        of the linear read of the conductances before.

    Raises:
        InvalidArgument: Voltages that are not finite, or so large that a current would not be.
        RuntimeError: A circuit of curves and wires was not solved to 1e-10.
    """
    rows, columns = crossbar.rows, crossbar.columns
    tile_shape = crossbar.tile_shape or (rows, columns)
    if isinstance(crossbar, ReferenceColumn):
        return _ops.partial_sums(v, crossbar.matrix().to(v.dtype), tile_shape[0])
    devices = crossbar.devices
    if how.simulate:
        return _straight_read(v, crossbar, wires, devices.read_simulated)
    if not isinstance(devices, DeviceArray):
        return _straight_read(v, crossbar, wires, partial(devices.read_frozen, states=how.states))
    shape = shared_shape(devices)
    through_wires = wires is not None and not is_ohmic(devices)
    if shape is None or through_wires:
        params = [torch.as_tensor(devices.parameter(f.name), dtype=torch.float64) for f in devices.table.params]
        g = read_conductances(crossbar, how.states)
        arguments = (v, g, params, devices.table.name, [rows, columns, *tile_shape])
        if wires is not None and through_wires:
            return _read_ops.read_through_wires(*arguments, _as_tensor(wires))
        return _read_ops.read_nonlinear(*arguments)
    volts = _read_ops.read_shape(v, shape[0], list(shape[1]))
    return _ops.partial_sums(volts, read_matrix(crossbar, how.states, wires).to(v.dtype), tile_shape[0])


def _straight_read(v: Tensor, crossbar: Any, wires: Wires | Tensor | None, read: Callable[..., Tensor]) -> Tensor:
    """A read whose gradients are those of the linear one with the conductances as they were before."""
    ohm = None if wires is None else _as_tensor(wires).tolist()
    g: Tensor = crossbar.conductance_matrix
    tracked = [v, g, *([wires] if isinstance(wires, Tensor) else [])]
    linear = None
    if torch.is_grad_enabled() and any(x.requires_grad for x in tracked):
        # Of a copy: the read may write the conductances.
        before = _matrix_of(crossbar, g.clone(), wires).to(v.dtype)
        linear = _ops.partial_sums(v, before, (crossbar.tile_shape or (crossbar.rows,))[0])
    currents = read(v, crossbar.rows, crossbar.columns, wires=ohm).to(v.device, v.dtype)
    return currents if linear is None else _WithGradientOf.apply(currents, linear)


class _WithGradientOf(torch.autograd.Function):
    """The first tensor, with the gradient of the second."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, source: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        return None, grads[0]


def simulate_matmul(
    input: Tensor,
    crossbar: Any,
    nl: bool = True,
    tiles_map: Tensor | None = None,
    crossbar_shape: tuple[int, int] | None = None,
    max_input_voltage: float | None = None,
    ADC_resolution: int | None = None,
    ADC_overflow_rate: float = 0.0,
    quant_method: str | None = None,
    use_bindings: bool = True,
    *,
    source_resistance: Any = None,
    line_resistance: Any = None,
) -> Tensor:
    """Currents of a crossbar of non-linear devices.

    Args:
        input: Voltages (V) [inputs, rows], or [rows].
        crossbar: The ``Crossbar``. A reference column of the single column scheme is read linearly.
        nl: Every device contributes the current of its current-voltage curve at its present state, which stays (True),
            or the devices are simulated, one time step for each input vector in turn, and their states move (False).
        tiles_map: The crossbar's own ``tiles_map``, or None.
        crossbar_shape: The crossbar's own (rows, columns), or None.
        max_input_voltage: Voltages beyond +-max_input_voltage (V) are limited to it; None: they are not.
        ADC_resolution: Bits of the converters, one per tile and input; takes effect with ``quant_method``.
        ADC_overflow_rate: Fraction of a converter's inputs that may lie beyond its range, in [0, 1].
        quant_method: One of ``memtorch.bh.quant_methods``; None: no converters.
        use_bindings: Accepted for compatibility, without effect.
        source_resistance: Resistance between a source and its line (ohm), or a pair: at the word lines, at the sense
            ends of the bit lines; None: 0. Every device then sees the voltage that the solved circuit leaves it.
        line_resistance: Resistance of a line between neighbouring cells (ohm), or a pair: of word lines, of bit lines;
            None: 0.

    Returns:
        Currents (A) [inputs, columns], or [columns]. Differentiable by ``input``, by conductances and by resistances
        that are tensors: exactly for ``nl``, otherwise, and for models written in Python, as the linear read of the
        conductances before the call.

    Raises:
        InvalidArgument: Another shape, voltages that are not finite or too large for the model, a map or shape that is
            not the crossbar's, or a bad option. No device has moved then.
        RuntimeError: The circuit of a tile was not solved to 1e-10 of its largest device current; likewise.
    """
    op = "simulate_matmul"
    if not isinstance(crossbar, ReferenceColumn) and not isinstance(getattr(crossbar, "devices", None), DeviceIndexing):
        invalid(op, "crossbar", type(crossbar).__name__, "be a memtorch.bh.crossbar.Crossbar")
    single = isinstance(input, Tensor) and input.dim() == 1
    check_tensor(op, "input", input, (crossbar.rows,) if single else (-1, crossbar.rows))
    _check_tiles(op, crossbar, tiles_map, crossbar_shape)
    check_bool(op, "use_bindings", use_bindings)
    how = NonLinearRead(simulate=not check_bool(op, "nl", nl))
    adc = _ops.Adc.parse(op, ADC_resolution, ADC_overflow_rate, quant_method)
    v = (input.unsqueeze(0) if single else input).to(torch.promote_types(input.dtype, torch.float32))
    if max_input_voltage is not None:
        limit = check_float(op, "max_input_voltage", max_input_voltage, 0, exclusive=True, unit="V")
        v = v.clamp(-limit, limit)
    sums = nonlinear_partial_sums(crossbar, v, how, _resistances(op, source_resistance, line_resistance))
    if adc is None:
        currents = sums.sum(0)
    else:
        tile_columns = (crossbar.tile_shape or (0, crossbar.columns))[1]
        currents = adc(sums.unsqueeze(-1), _ops.tile_ends(crossbar.columns, tile_columns)).squeeze(-1)
    return currents.squeeze(0) if single else currents


def _resistances(op: str, source_resistance: Any, line_resistance: Any) -> Wires | Tensor | None:
    """Checked resistances: a tensor if a gradient is wanted, None if all wires are ideal."""
    wires = resistance_tensor(op, source_resistance, line_resistance)
    if wires.requires_grad and torch.is_grad_enabled():
        return wires
    return Wires.parse(op, *(pair.tolist() for pair in (wires[2:], wires[:2])))


def _check_tiles(op: str, crossbar: Any, tiles_map: Any, crossbar_shape: Any) -> None:
    """Raises ``InvalidArgument`` unless map and shape are the crossbar's, or None."""
    if tiles_map is not None:
        known = crossbar.tiles_map
        if known is None:
            invalid(op, "tiles_map", type(tiles_map).__name__, "be None because the crossbar has no tiles")
        check_tensor(op, "tiles_map", tiles_map, tuple(known.shape))
        if not torch.equal(tiles_map.to(known.device, known.dtype), known):
            invalid(op, "tiles_map", tiles_map.tolist(), f"be the crossbar's own: {known.tolist()}")
    if crossbar_shape is not None:
        shape = check_shape(op, "crossbar_shape", crossbar_shape, 2)
        if shape != (crossbar.rows, crossbar.columns):
            must = f"be the crossbar's (rows, columns): {(crossbar.rows, crossbar.columns)}"
            invalid(op, "crossbar_shape", crossbar_shape, must)
