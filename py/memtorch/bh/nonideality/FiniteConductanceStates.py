"""Devices that can only be written to a finite number of conductances."""

from __future__ import annotations

from functools import partial
from typing import Any

from memtorch.bh._finite_states import check_states
from memtorch.bh.nonideality._effects import Effect, Layer, act_on

__all__ = ["apply_finite_conductance_states"]


def apply_finite_conductance_states(layer: Layer, num_conductance_states: int) -> Layer:
    """Moves every device to the nearest of n conductances, equally spaced from its own 1/r_off to its own 1/r_on.

    Later writes end there too, and so does programming; voltages between them move a device freely. Stuck devices
    stay where they are. With one state that is the mean of 1/r_off and 1/r_on.

    Args:
        layer: A memristive layer; changed in place.
        num_conductance_states: n.

    Returns:
        The layer.

    Raises:
        InvalidArgument: Not a memristive layer, or n is not an integer from 1 to 2^24.
    """
    op = "apply_finite_conductance_states"
    return act_on(op, layer, finite_states_effect(op, num_conductance_states))


def finite_states_effect(op: str, conductance_states: Any) -> Effect:
    """The effect, its arguments checked."""
    states = check_states(op, "conductance_states", conductance_states)

    def act(crossbar: Any) -> None:
        crossbar.devices.finite_states = states
        crossbar.devices.settle()

    return Effect(lambda crossbar: partial(act, crossbar))
