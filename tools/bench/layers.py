"""Cost of a patched layer against the same torch layer on the same batch, without and with an 8-bit ADC per tile."""

from __future__ import annotations

import copy
from functools import partial

import torch
from timing import Row, at_most, ratio

import memtorch
from memtorch.mn.Module import patch_model

CASES = {
    "Linear(784, 512), batch 256": (torch.nn.Linear(784, 512), (256, 784), 3),
    "Conv2d(32, 64, 3, padding=1), batch 64 of 16x16": (torch.nn.Conv2d(32, 64, 3, padding=1), (64, 32, 16, 16), 4),
    "Conv2d(128, 128, 3, padding=1), batch 16 of 16x16": (
        torch.nn.Conv2d(128, 128, 3, padding=1),
        (16, 128, 16, 16),
        4,
    ),
}


def rows() -> list[Row]:
    """The rows of this benchmark."""
    table = []
    for name, (layer, shape, adc_bound) in CASES.items():
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        for label, options, bound in (
            ("no ADC", {}, 1.2),
            ("8-bit ADC per 128x128 tile", {"ADC_resolution": 8, "quant_method": "linear"}, adc_bound),
        ):
            patched = patch_model(
                torch.nn.Sequential(copy.deepcopy(layer)),
                memristor_model=memtorch.bh.memristor.VTEAM,
                memristor_model_params={},
                module_parameters_to_patch=[type(layer)],
                tile_shape=(128, 128),
                verbose=False,
                **options,
            )
            with torch.no_grad():
                cost = ratio(partial(patched, x), partial(layer, x))
            table.append(at_most(f"{name}, {label}: patched to torch", cost, bound))
    return table
