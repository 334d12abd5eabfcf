"""What write cycles do to devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from memtorch._errors import check_choice
from memtorch.bh.nonideality._effects import Effect, Layer, act_on
from memtorch.bh.nonideality.endurance_retention_models.empirical_metal_oxide_RRAM import (
    degradation_effect,
    model_endurance_retention,
)

__all__ = ["apply_endurance_model"]


def apply_endurance_model(
    layer: Layer,
    x: float,
    endurance_model: Callable[..., Any] = model_endurance_retention,
    **endurance_model_kwargs: Any,
) -> Layer:
    """Wears devices out by x write cycles: conductances degrade, and so do the bounds that can be written.

    r_on becomes what the model makes of a device at r_on, r_off what it makes of one at r_off, and both reach as far as
    the device's own conductance. A device whose range closes (r_on would not be below r_off) is stuck from then on.

    Args:
        layer: A memristive layer; changed in place.
        x: Number of write cycles.
        endurance_model: ``model_endurance_retention``.
        **endurance_model_kwargs: Its arguments, beside layer and x.

    Returns:
        The layer.

    Raises:
        InvalidArgument: Not a memristive layer, another model, an argument missing, unknown or out of range, or
            parameters that the device model does not allow. Nothing has changed then.
    """
    op = "apply_endurance_model"
    return act_on(op, layer, endurance_effect(op, x, endurance_model, endurance_model_kwargs))


def endurance_effect(op: str, x: Any, endurance_model: Any, endurance_model_kwargs: Any) -> Effect:
    """The effect, its arguments checked."""
    check_choice(op, "endurance_model", endurance_model, [model_endurance_retention])
    return degradation_effect(op, x, endurance_model_kwargs, wears=True)
