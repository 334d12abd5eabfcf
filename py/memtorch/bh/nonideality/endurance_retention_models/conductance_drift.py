"""Conductance drift: a power law in time, as phase-change devices and others show it."""

from __future__ import annotations

from typing import Any

from memtorch._errors import check_float, invalid
from memtorch.bh.nonideality._effects import Effect, Layer, act_on, bound_arguments, planned_move

__all__ = ["model_conductance_drift"]

_SHORTEST_TIME = 1e-12


def model_conductance_drift(
    layer: Layer, x: float, initial_time: float = 1e-12, drift_coefficient: float = 0.1
) -> Layer:
    """Lets every conductance drift to G (x / initial_time)^(-drift_coefficient).

    A conductance that falls below the device's 1/r_off takes r_off along. Stuck devices do not drift.

    Args:
        layer: A memristive layer; changed in place.
        x: Time since the devices were written (s); above ``initial_time``.
        initial_time: Time at which they had the present conductances (s); 0 counts as 1e-12.
        drift_coefficient: In [0, 1].

    Returns:
        The layer.

    Raises:
        InvalidArgument: Not a memristive layer, an argument out of range, or parameters that the device model does not
            allow. Nothing has changed then.
    """
    op = "model_conductance_drift"
    return act_on(op, layer, _effect(op, "x", x, initial_time, drift_coefficient))


def drift_effect(op: str, x: Any, kwargs: Any) -> Effect:
    """The effect of ``model_conductance_drift(layer, x, **kwargs)``, where x is called time, its arguments checked."""
    return _effect(op, "time", x, **bound_arguments(op, "retention_model_kwargs", model_conductance_drift, kwargs))


def _effect(op: str, name: str, x: Any, initial_time: Any, drift_coefficient: Any) -> Effect:
    start = check_float(op, "initial_time", initial_time, 0, unit="s") or _SHORTEST_TIME
    time = check_float(op, name, x, 0, exclusive=True, unit="s")
    if time <= start:
        invalid(op, name, time, f"be > initial_time ({start:g} s)", "s")
    exponent = check_float(op, "drift_coefficient", drift_coefficient, 0, 1)
    factor = (time / start) ** -exponent if time / start < float("inf") else 0.0
    return Effect(lambda crossbar: planned_move(op, crossbar.devices, crossbar.devices.g * factor), can_fail=True)
