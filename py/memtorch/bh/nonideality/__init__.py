"""Non-idealities: what real devices do to the conductances of a patched model."""

from memtorch.bh.nonideality import endurance_retention_models
from memtorch.bh.nonideality.CycleVariability import apply_cycle_variability
from memtorch.bh.nonideality.DeviceFaults import apply_device_faults
from memtorch.bh.nonideality.Endurance import apply_endurance_model
from memtorch.bh.nonideality.FiniteConductanceStates import apply_finite_conductance_states
from memtorch.bh.nonideality.NonIdeality import NonIdeality, apply_nonidealities, required
from memtorch.bh.nonideality.NonLinear import apply_non_linear
from memtorch.bh.nonideality.Retention import apply_retention_model

__all__ = [
    "NonIdeality",
    "apply_cycle_variability",
    "apply_device_faults",
    "apply_endurance_model",
    "apply_finite_conductance_states",
    "apply_non_linear",
    "apply_nonidealities",
    "apply_retention_model",
    "endurance_retention_models",
    "required",
]
