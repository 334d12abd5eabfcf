"""Cost of a patched recurrent layer against the same torch layer on the same sequences, without and with 8-bit ADCs."""

from __future__ import annotations

import copy
from functools import partial

import torch
from timing import Row, at_most, ratio, with_threads

import memtorch
from memtorch.mn.Module import patch_model

STEPS, BATCH = 100, 32


def rows() -> list[Row]:
    """The rows of this benchmark."""
    table = []
    x = torch.randn(STEPS, BATCH, 64, generator=torch.Generator().manual_seed(0))
    for kind in (torch.nn.RNN, torch.nn.LSTM, torch.nn.GRU):
        layer = kind(64, 128, num_layers=2).eval()
        name = f"{kind.__name__}(64, 128, num_layers=2), {STEPS} steps of {BATCH} sequences, one core"
        for label, options, bound, repeats in (
            ("no ADC", {}, 2, 25),
            ("8-bit ADC per 128x128 tile", {"ADC_resolution": 8, "quant_method": "linear"}, 10, 5),
        ):
            patched = patch_model(
                torch.nn.Sequential(copy.deepcopy(layer)),
                memristor_model=memtorch.bh.memristor.VTEAM,
                memristor_model_params={},
                tile_shape=(128, 128),
                verbose=False,
                **options,
            )
            with torch.no_grad():
                cost = ratio(with_threads(1, partial(patched, x)), with_threads(1, partial(layer, x)), repeats)
            table.append(at_most(f"{name}, {label}: patched to torch", cost, bound))
    return table
