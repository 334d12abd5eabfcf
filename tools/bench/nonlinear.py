"""Cost of reading a layer of non-linear devices, per device and input vector on one core, and against the linear read.

A layer on differential pairs has two devices per weight; both are counted.
"""

from __future__ import annotations

import copy
import warnings

import torch
from timing import Row, at_most, median

from memtorch.bh import StochasticParameter
from memtorch.bh.memristor import VTEAM, Data_Driven, Data_Driven2021, LinearIonDrift, Stanford_PKU
from memtorch.bh.nonideality.NonLinear import apply_non_linear
from memtorch.mn.Module import patch_model

INPUTS, OUTPUTS, BATCH = 784, 512, 256
# Models with a voltage that moves them, and a parameter of the curve's shape (VTEAM and LinearIonDrift are ohmic).
MODELS = {
    LinearIonDrift: (5.0, None),
    VTEAM: (0.3, None),
    Stanford_PKU: (1.6, "V_0"),
    Data_Driven: (1.5, "b_p"),
    Data_Driven2021: (1.2, "b_p"),
}


def cost(layer: torch.nn.Module, x: torch.Tensor) -> float:
    """Nanoseconds per device and input vector."""
    with torch.no_grad():
        return median(lambda: layer(x), repeats=3, warmup=1) / (2 * INPUTS * OUTPUTS * BATCH) * 1e9


def rows() -> list[Row]:
    """The rows of this benchmark."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [row for model in MODELS for row in rows_of(model)]
    finally:
        torch.set_num_threads(threads)


def rows_of(model: type) -> list[Row]:
    """The rows of one device model."""
    volts, shape = MODELS[model]
    digital = torch.nn.Linear(INPUTS, OUTPUTS)
    x = (torch.rand(BATCH, INPUTS, generator=torch.Generator().manual_seed(0)) * 2 - 1) * volts
    table = []
    for label, params in (
        ("", {}),
        (f", a {shape} each", shape and {shape: StochasticParameter(loc=getattr(model(), shape), scale=0.01, min=0.1)}),
        (", an r_off each", {"r_off": StochasticParameter(loc=model().r_off, scale=1.0)}),
    ):
        if params is None:
            continue
        layer = patch_model(copy.deepcopy(digital), model, params, tile_shape=(128, 128), verbose=False)
        name = f"{model.__name__}: Linear({INPUTS}, {OUTPUTS}), batch {BATCH}{label}"
        apply_non_linear(layer, 1, volts, 1)
        table.append(at_most(f"{name}: swept, per device and vector, one core", cost(layer, x), 20, "ns"))
        apply_non_linear(layer, simulate=True)
        table.append(at_most(f"{name}: simulated, per device and vector, one core", cost(layer, x), 20, "ns"))
    return table
