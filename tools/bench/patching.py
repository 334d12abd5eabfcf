"""Cost of patching (map + write + tiles) per device, deterministic and with stochastic r_on and r_off.

A device is one memristor: a weight costs two (differential pair). MemTorch 1.1.6 takes 21 us per device.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from timing import Row, at_least, at_most, median, times_116

import memtorch
from memtorch.mn.Module import patch_model

TILE = (128, 128)
MEMTORCH_116_SECONDS_PER_DEVICE = 21e-6


SHAPE = (1024, 2048)  # of a Linear layer
DEVICES = 2 * SHAPE[0] * SHAPE[1]


def patching(params: dict[str, object]) -> Callable[[], object]:
    """Patches a Linear layer onto `DEVICES` devices."""
    layer = torch.nn.Linear(*SHAPE)
    return lambda: patch_model(
        torch.nn.Sequential(layer),
        memristor_model=memtorch.bh.memristor.VTEAM,
        memristor_model_params=params,
        module_parameters_to_patch=[torch.nn.Linear],
        tile_shape=TILE,
        verbose=False,
    )


def rows() -> list[Row]:
    """The rows of this benchmark."""
    normal = torch.distributions.normal.Normal
    fixed = patching({})
    drawn = patching(
        {
            "r_on": memtorch.bh.StochasticParameter(normal, loc=50.0, scale=5.0, min=1.0),
            "r_off": memtorch.bh.StochasticParameter(normal, loc=1000.0, scale=100.0, min=1.0),
        }
    )
    return [
        at_most(f"patch {DEVICES} devices, per device", median(fixed) / DEVICES * 1e9, 10, "ns"),
        at_most(f"patch {DEVICES} devices, r_on and r_off drawn, per device", median(drawn) / DEVICES * 1e9, 40, "ns"),
        at_least(
            f"patch {DEVICES} devices: 1.1.6 to ours (scaled by the loop)",
            times_116(fixed, DEVICES * MEMTORCH_116_SECONDS_PER_DEVICE),
            1000,
            digits=0,
        ),
    ]
