"""Models of what write cycles and time do to conductances."""

from memtorch.bh.nonideality.endurance_retention_models.conductance_drift import model_conductance_drift
from memtorch.bh.nonideality.endurance_retention_models.empirical_metal_oxide_RRAM import (
    OperationMode,
    model_endurance_retention,
    model_endurance_retention_gradual,
    scale_p_0,
)

__all__ = [
    "OperationMode",
    "model_conductance_drift",
    "model_endurance_retention",
    "model_endurance_retention_gradual",
    "scale_p_0",
]
