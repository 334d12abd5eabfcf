"""Non-linear devices: currents follow each device's own current-voltage curve."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from memtorch._errors import InvalidArgument, check_bool, check_float, invalid
from memtorch.bh._finite_states import check_states
from memtorch.bh.crossbar._nonlinear import NonLinearRead
from memtorch.bh.nonideality._effects import Effect

__all__ = ["apply_non_linear", "non_linear_effect"]

_SWEEP = {
    "sweep_duration": "s",
    "sweep_voltage_signal_amplitude": "V",
    "sweep_voltage_signal_frequency": "Hz",
}


def apply_non_linear(
    layer: Any,
    sweep_duration: float | None = None,
    sweep_voltage_signal_amplitude: float | None = None,
    sweep_voltage_signal_frequency: float | None = None,
    num_conductance_states: int | None = None,
    simulate: bool = False,
) -> Any:
    """Lets a layer read its devices non-linearly from now on.

    Swept: the curve of every device is known for the voltages of the sweep A cos(2 pi f t), 0 <= t <= duration: from
    A cos(min(pi, 2 pi f duration)) to A. Each device carries the current of its curve at its present conductance, and
    no state changes. Beyond the sweep the current stays at that of its end; the layer warns once.

    Simulated: the input vectors are applied one after the other, one time step of the devices each, in the order of the
    samples, then of the positions and groups of a convolution. The states move, so that reading wears what is stored.
    The gradient of a simulated read is that of the linear one.

    Behind wires that resist each device has the voltage that the solved circuit of its tile leaves it, in both forms.

    Args:
        layer: A patched layer. ``layer.non_linear = None`` makes it linear again.
        sweep_duration: Length of the sweep (s).
        sweep_voltage_signal_amplitude: A (V).
        sweep_voltage_signal_frequency: f (Hz).
        num_conductance_states: Each device has the curve of the nearest of so many conductances, equally spaced from
            1/r_off to 1/r_on of its own (their mean for 1); None: that of its own conductance.
        simulate: Simulate the devices (True) or use their swept curves (False).

    Returns:
        The layer, which is changed in place.

    Raises:
        InvalidArgument: Not a patched layer, an argument out of range, or arguments that are missing or contradict each
            other. The layer is as before then.
    """
    sweep = (sweep_duration, sweep_voltage_signal_amplitude, sweep_voltage_signal_frequency)
    effect = non_linear_effect("apply_non_linear", simulate, *sweep, num_conductance_states)
    effect.act([layer])
    return layer


def non_linear_effect(
    op: str,
    simulate: Any = False,
    sweep_duration: Any = None,
    sweep_voltage_signal_amplitude: Any = None,
    sweep_voltage_signal_frequency: Any = None,
    num_conductance_states: Any = None,
) -> Effect:
    """The effect with checked arguments; see ``apply_non_linear``."""
    sweep = dict(
        zip(_SWEEP, (sweep_duration, sweep_voltage_signal_amplitude, sweep_voltage_signal_frequency), strict=True)
    )
    simulates = check_bool(op, "simulate", simulate)
    how = _simulated(op, sweep, num_conductance_states) if simulates else _swept(op, sweep, num_conductance_states)
    return Effect(partial(_plan, op, how), can_fail=True, on_layer=True)


def _simulated(op: str, sweep: dict[str, Any], states: Any) -> NonLinearRead:
    given = [name for name, value in sweep.items() if value is not None]
    given += ["num_conductance_states"] if states is not None else []
    if given:
        raise InvalidArgument(f"[{op}] {', '.join(given)} must not be given with simulate=True, which sweeps nothing")
    return NonLinearRead(simulate=True)


def _swept(op: str, sweep: dict[str, Any], states: Any) -> NonLinearRead:
    missing = [name for name, value in sweep.items() if value is None]
    if missing:
        raise InvalidArgument(f"[{op}] {', '.join(missing)} must be given, or simulate=True instead")
    duration, amplitude, frequency = (
        check_float(op, name, value, 0, exclusive=True, unit=_SWEEP[name]) for name, value in sweep.items()
    )
    if states is not None:
        states = check_states(op, "num_conductance_states", states)
    low = amplitude * math.cos(min(math.pi, 2 * math.pi * frequency * duration))
    return NonLinearRead(low=low, high=amplitude, states=states)


def _plan(op: str, how: NonLinearRead, layer: Any) -> Callable[[], None]:
    # The matrices of a recurrent layer are layers of their own.
    readers = layer.readers() if hasattr(layer, "readers") else [layer]
    if not all(hasattr(reader, "non_linear") for reader in readers):
        invalid(op, "layer", type(layer).__name__, "be a patched layer")

    def change() -> None:
        for reader in readers:
            reader.non_linear = how

    return change
