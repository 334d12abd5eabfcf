"""Cost of patching (map + write + tiles) per device, deterministic and with stochastic r_on and r_off.

A device is one memristor: a weight costs two (differential pair). MemTorch 1.1.6 takes 21 us per device.
"""

from __future__ import annotations

import torch
from timing import Row, at_least, at_most, loop_factor, median

import memtorch
from memtorch.mn.Module import patch_model

TILE = (128, 128)
MEMTORCH_116_SECONDS_PER_DEVICE = 21e-6


def seconds_per_device(params: dict[str, object], shape: tuple[int, int] = (1024, 2048)) -> float:
    """Seconds per device of patching a Linear layer with 2 x rows x columns devices."""
    layer = torch.nn.Linear(*shape)

    def patch() -> None:
        patch_model(
            torch.nn.Sequential(layer),
            memristor_model=memtorch.bh.memristor.VTEAM,
            memristor_model_params=params,
            module_parameters_to_patch=[torch.nn.Linear],
            tile_shape=TILE,
            verbose=False,
        )

    return median(patch, repeats=7) / (2 * shape[0] * shape[1])


def rows() -> list[Row]:
    """The rows of this benchmark."""
    normal = torch.distributions.normal.Normal
    stochastic = {
        "r_on": memtorch.bh.StochasticParameter(normal, loc=50.0, scale=5.0, min=1.0),
        "r_off": memtorch.bh.StochasticParameter(normal, loc=1000.0, scale=100.0, min=1.0),
    }
    fixed = seconds_per_device({})
    drawn = seconds_per_device(stochastic)
    return [
        at_most("patch 4.2 M devices, deterministic, per device", fixed * 1e9, 10, "ns"),
        at_most("patch 4.2 M devices, r_on and r_off drawn, per device", drawn * 1e9, 40, "ns"),
        at_least(
            "1.1.6 to ours, per device (scaled by the loop)",
            MEMTORCH_116_SECONDS_PER_DEVICE * loop_factor() / fixed,
            1000,
            digits=0,
        ),
    ]
