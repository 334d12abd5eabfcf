"""What the tests of the layers share."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch import nn

import memtorch
from memtorch.bh.crossbar import Scheme
from memtorch.mn.Module import patch_model

VTEAM = memtorch.bh.memristor.VTEAM
DOUBLE, SINGLE = Scheme.DoubleColumn, Scheme.SingleColumn
EPS = torch.finfo(torch.float32).eps


def patched(module, model=VTEAM, params=None, **options):
    """A patched copy of a layer or model, computing on its crossbars."""
    return patch_model(copy.deepcopy(module), model, params or {}, verbose=False, **options)


def saved(value, **options):
    """What ``torch.load`` makes of what ``torch.save`` made of a value."""
    stream = io.BytesIO()
    torch.save(value, stream)
    stream.seek(0)
    return torch.load(stream, **options)


# The ways to a copy of a whole model.
each_copy = pytest.mark.parametrize(
    "through",
    [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), lambda m: saved(m, weights_only=False)],
    ids=["deepcopy", "pickle", "torch.save"],
)


def worst_error(layer: nn.Module, x: torch.Tensor, product, scheme=DOUBLE) -> torch.Tensor:
    """How far an ideal memristive layer may lie from its torch layer: rounding of float32 conductances.

    The mapping rounds the scaled weight and the sum with g_off, the device rounds r = 1 / g and back, the storage
    rounds once more, for each of two conductances of at most g_on: 8 roundings of eps / 2. In units of the weight that
    is 4 eps w_max g_on / (g_on - g_off), twice that for the single column with half the slope. Both products round each
    of their n terms and sums: 2 n eps / 2 of the sum of magnitudes, twice. Effective weight and gain round once more.

    Args:
        layer: The digital layer.
        x: Inputs.
        product: ``f(x, weight)``, the layer's operator without bias.
        scheme: How weights are represented.

    Returns:
        The bound, for every element of the output.
    """
    per_weight = weight_error(layer.weight, scheme)
    bias = 0.0 if layer.bias is None else 2 * EPS * layer.bias.abs().max()
    return product(x.detach().double().abs(), per_weight) + bias + 1e-30


def weight_error(weight: torch.Tensor, scheme=DOUBLE) -> torch.Tensor:
    """The part of ``worst_error`` that each weight contributes, per unit of its input; float64."""
    weight = weight.detach().double()
    g_on, g_off = 1 / 50, 1 / 1000  # VTEAM
    mapped = (4 if scheme is DOUBLE else 8) * EPS * weight.abs().max() * g_on / (g_on - g_off)
    return mapped + (2 * weight[0].numel() + 4) * EPS * weight.abs()


def plain(x: torch.Tensor) -> list:
    """Nested lists of Python floats."""
    return x.detach().double().tolist()


def set_exact(layer, generator: torch.Generator) -> torch.Tensor:
    """Writes conductances that are multiples of 2^-12 S, so that currents of integer inputs are exact in float32.

    Returns:
        The effective matrix [rows, columns].
    """
    parts = []
    for crossbar in layer.crossbars:
        # 5 to 81 over 4096 lies inside [1/1000, 1/50] S.
        g = torch.randint(5, 82, crossbar.conductance_matrix.shape, generator=generator) / 4096
        crossbar.conductance_matrix = g
        parts.append(crossbar.matrix().clone())
    return parts[0] - parts[1]


def integers(shape, generator: torch.Generator) -> torch.Tensor:
    """Inputs that are whole volts from -8 to 8."""
    return torch.randint(-8, 9, shape, generator=generator).float()
