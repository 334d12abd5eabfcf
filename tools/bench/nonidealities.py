"""Cost per device of applying each non-ideality to ten million devices, on one core."""

from __future__ import annotations

import statistics
import time

import torch
from timing import Row, at_most

import memtorch
from memtorch.bh.nonideality import NonIdeality, apply_nonidealities
from memtorch.bh.nonideality.endurance_retention_models import (
    OperationMode,
    model_conductance_drift,
    model_endurance_retention,
)

SIDE = 3163  # squared: ten million

DEGRADATION = {
    "operation_mode": OperationMode.gradual,
    "p_lrs": [1.0, 0.2, 0.1, 0.01],
    "stable_resistance_lrs": None,
    "p_hrs": [1.0, 0.2, 0.1, -0.01],
    "stable_resistance_hrs": None,
    "cell_size": 10,
    "temperature": 350,
}
CASES = {
    "FiniteConductanceStates": {"conductance_states": 16},
    "DeviceFaults": {"lrs_proportion": 0.05, "hrs_proportion": 0.05, "electroform_proportion": 0.01},
    "Endurance": {"x": 1e4, "endurance_model": model_endurance_retention, "endurance_model_kwargs": DEGRADATION},
    "Retention": {"time": 1e4, "retention_model": model_conductance_drift, "retention_model_kwargs": {}},
    "CycleVariability": {"r_off_kwargs": {"loc": 1000, "scale": 50}, "r_on_kwargs": {"loc": 50, "scale": 5}},
}


class Layer(torch.nn.Module):
    """A crossbar without a network around it."""

    def __init__(self) -> None:
        super().__init__()
        self.crossbars = torch.nn.ModuleList(
            [memtorch.bh.crossbar.Crossbar(memtorch.bh.memristor.VTEAM, {}, (SIDE, SIDE), random_crossbar_init=True)]
        )


def cost(effects: list[NonIdeality], arguments: dict[str, object]) -> float:
    """Nanoseconds of processor time per device: the median of five fresh layers.

    One thread runs, so that processor time is elapsed time without what other programs took meanwhile.
    """
    seconds = []
    for _ in range(5):
        layer = Layer()
        start = time.process_time()
        apply_nonidealities(layer, effects, **arguments)
        seconds.append(time.process_time() - start)
    return statistics.median(seconds) / SIDE**2 * 1e9


def rows() -> list[Row]:
    """The rows of this benchmark."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [
            at_most(f"{name}, 10 million VTEAM devices, per device", cost([NonIdeality[name]], arguments), 30, "ns", 1)
            for name, arguments in CASES.items()
        ]
    finally:
        torch.set_num_threads(before)
