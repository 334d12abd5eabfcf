"""Bounds that differ from one programming cycle to the next."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch.distributions import Distribution, Normal

from memtorch._errors import check_bool, check_mapping, invalid
from memtorch.bh.nonideality._effects import Effect, Layer, act_on
from memtorch.bh.StochasticParameter import StochasticParameter

__all__ = ["apply_cycle_variability"]


def apply_cycle_variability(
    layer: Layer,
    distribution: type[Distribution] = Normal,
    min: float = 0,
    max: float = math.inf,
    parallelize: bool = False,
    r_off_kwargs: Mapping[str, Any] = {},
    r_on_kwargs: Mapping[str, Any] = {},
) -> Layer:
    """Draws r_off and r_on of every device anew; conductances are clipped to the new bounds.

    Pairs that violate r_on < r_off are drawn again. A stuck device keeps its conductance, and its bounds reach as far.

    Args:
        layer: A memristive layer; changed in place.
        distribution: A class of ``torch.distributions``.
        min: Samples below are set to it (ohm).
        max: Samples above are set to it (ohm).
        parallelize: Accepted for compatibility; the devices are always drawn together.
        r_off_kwargs: Arguments of the distribution of r_off (ohm).
        r_on_kwargs: Arguments of the distribution of r_on (ohm).

    Returns:
        The layer.

    Raises:
        InvalidArgument: Not a memristive layer, arguments that do not suit the distribution, or pairs that violate
            r_on < r_off however often they are drawn. Nothing has changed then.
    """
    op = "apply_cycle_variability"
    check_bool(op, "parallelize", parallelize)
    return act_on(op, layer, cycle_variability_effect(op, r_off_kwargs, r_on_kwargs, distribution, min, max))


def cycle_variability_effect(
    op: str,
    r_off_kwargs: Any,
    r_on_kwargs: Any,
    distribution: type[Distribution] = Normal,
    min: float = 0,
    max: float = math.inf,
) -> Effect:
    """The effect, its arguments checked."""
    given = {"r_off": ("r_off_kwargs", r_off_kwargs), "r_on": ("r_on_kwargs", r_on_kwargs)}
    samplers = {}
    for name, (argument, kwargs) in given.items():
        arguments = check_mapping(op, argument, kwargs)
        own = [n for n in ("distribution", "min", "max", "function") if n in arguments]
        if own:
            invalid(op, argument, ", ".join(own), "hold only arguments of the distribution")
        samplers[name] = StochasticParameter(distribution, min, max, **arguments)

    def plan(crossbar: Any) -> Callable[[], None]:
        devices = crossbar.devices
        drawn = devices.new_params(**samplers)
        return lambda: devices.move(None, drawn)

    return Effect(plan, can_fail=True)
