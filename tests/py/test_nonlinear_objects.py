"""Non-linear reads of devices whose model is written in Python, against the built-in model of the same equations."""

import copy

import pytest
import torch
from layer_tools import DOUBLE, SINGLE, patched
from python_models import SWING, WithCurrent, crossbar_pair, each_pair, each_tiling
from torch import nn

from memtorch.bh import Crossbar, simulate_matmul
from memtorch.bh.nonideality.NonLinear import apply_non_linear

# Currents differ by the rounding of conductances and inputs to float32.
FLOAT32 = 1e-5


@each_pair
@each_tiling
@pytest.mark.parametrize("nl", [True, False])
@pytest.mark.parametrize("adc", [{}, {"ADC_resolution": 5, "quant_method": "minmax"}])
def test_simulate_matmul_takes_the_current_of_every_object(python, built_in, tile_shape, nl, adc):
    mine, other = crossbar_pair(python, built_in, tile_shape)
    v = SWING[python] * torch.rand(3, 5, dtype=torch.float64)
    got, want = (simulate_matmul(v, crossbar, nl=nl, **adc) for crossbar in (mine, other))
    assert torch.allclose(got, want, rtol=0, atol=FLOAT32 * want.abs().max().item())
    assert torch.allclose(mine.conductance_matrix, other.conductance_matrix, rtol=FLOAT32)


def test_an_object_may_have_a_curve_of_its_own():
    crossbar = Crossbar(WithCurrent, {}, (2, 3))
    v = torch.tensor([[1.0, 2.0, 3.0]])
    assert simulate_matmul(v, crossbar).tolist() == [[14.0, 14.0]]


@each_pair
@pytest.mark.parametrize("scheme", [DOUBLE, SINGLE])
@pytest.mark.parametrize("how", [{"sweep": 5.0}, {"sweep": 5.0, "states": 4}, {"simulate": True}])
@pytest.mark.parametrize(
    ("digital", "shape"),
    [(nn.Linear(4, 3), (2, 4)), (nn.Conv1d(2, 2, 2, groups=2), (1, 2, 4))],
    ids=["Linear", "Conv1d"],
)
def test_layers_read_objects_like_columns(python, built_in, scheme, how, digital, shape):
    x = SWING[python] * torch.rand(shape)
    outputs = []
    for model in (python, built_in):
        layer = patched(copy.deepcopy(digital), model, {}, scheme=scheme, tile_shape=(2, 2))
        if "sweep" in how:
            apply_non_linear(layer, 1, how["sweep"], 1, how.get("states"))
        else:
            apply_non_linear(layer, simulate=True)
        outputs.append(layer.read(x))
    scale = x.abs().sum().item() / built_in().r_on  # no column carries more, before what cancels is subtracted
    assert torch.allclose(*outputs, rtol=0, atol=FLOAT32 * scale)


@each_pair
@pytest.mark.parametrize("nl", [True, False])
def test_gradients_are_those_of_the_linear_read(python, built_in, nl):
    crossbar, _ = crossbar_pair(python, built_in, (3, 2))
    want = crossbar.matrix().double().sum(1)
    v = torch.ones(1, 5, dtype=torch.float64, requires_grad=True)
    simulate_matmul(v, crossbar, nl=nl).sum().backward()
    assert torch.allclose(v.grad[0], want, rtol=1e-12)  # sums of four terms
