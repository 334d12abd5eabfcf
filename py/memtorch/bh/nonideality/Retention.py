"""What time does to devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from memtorch._errors import check_choice
from memtorch.bh.nonideality._effects import Effect, Layer, act_on
from memtorch.bh.nonideality.endurance_retention_models.conductance_drift import (
    drift_effect,
    model_conductance_drift,
)
from memtorch.bh.nonideality.endurance_retention_models.empirical_metal_oxide_RRAM import (
    degradation_effect,
    model_endurance_retention,
)

__all__ = ["apply_retention_model"]


def apply_retention_model(
    layer: Layer,
    time: float,
    retention_model: Callable[..., Any] = model_conductance_drift,
    **retention_model_kwargs: Any,
) -> Layer:
    """Lets conductances drift for a time.

    A conductance that leaves the device's [1/r_off, 1/r_on] takes that bound along. Stuck devices do not drift.

    Args:
        layer: A memristive layer; changed in place.
        time: In the unit that the model's parameters are for; seconds by default.
        retention_model: ``model_conductance_drift`` or ``model_endurance_retention``.
        **retention_model_kwargs: Its arguments, beside layer and x.

    Returns:
        The layer.

    Raises:
        InvalidArgument: Not a memristive layer, another model, an argument missing, unknown or out of range, or
            parameters that the device model does not allow. Nothing has changed then.
    """
    op = "apply_retention_model"
    return act_on(op, layer, retention_effect(op, time, retention_model, retention_model_kwargs))


def retention_effect(op: str, time: Any, retention_model: Any, retention_model_kwargs: Any) -> Effect:
    """The effect, its arguments checked."""
    check_choice(op, "retention_model", retention_model, [model_conductance_drift, model_endurance_retention])
    if retention_model is model_conductance_drift:
        return drift_effect(op, time, retention_model_kwargs)
    return degradation_effect(op, time, retention_model_kwargs, wears=False)
