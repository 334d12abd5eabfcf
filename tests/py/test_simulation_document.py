"""What docs/simulation.md says of reads."""

from __future__ import annotations

import pytest
import torch
from layer_tools import DOUBLE, SINGLE, VTEAM, patched
from torch import nn

from memtorch import InvalidArgument
from memtorch.bh import StochasticParameter
from memtorch.bh.memristor import Stanford_PKU

OPTIONS = {
    "ideal": {},
    "tiles": {"tile_shape": (3, 2)},
    "single column": {"scheme": SINGLE},
    "converters": {"tile_shape": (3, 2), "ADC_resolution": 4, "quant_method": "linear"},
    "limited inputs": {"max_input_voltage": 0.3},
    "devices that differ": {"params": {"r_on": StochasticParameter(loc=50, scale=5, min=20), "r_off": 1e4}},
    "noisy model": {"model": Stanford_PKU, "params": {"model_switch": 1}},
}


def devices_of(model):
    """Every tensor of a model; what else its state holds are settings."""
    state = model.state_dict().items()
    return {name: value.clone() for name, value in state if isinstance(value, torch.Tensor)}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("training", [True, False])
def test_inference_changes_no_device_and_draws_nothing(options, training):
    model = patched(nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)), **options).train(training)
    x = torch.randn(6, 5)
    before, random_state = devices_of(model), torch.get_rng_state()
    first = model(x)
    assert torch.equal(torch.get_rng_state(), random_state)
    after = devices_of(model)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(model(x), first)


@pytest.mark.parametrize("scheme", [DOUBLE, SINGLE])
def test_without_converters_tiles_change_no_result(scheme):
    layer, x = nn.Linear(7, 5), torch.randn(4, 7)
    assert torch.equal(patched(layer, scheme=scheme)(x), patched(layer, scheme=scheme, tile_shape=(3, 2))(x))


def test_a_resolution_without_a_method_has_no_effect_and_a_method_needs_one():
    layer, x = nn.Linear(7, 5), torch.randn(4, 7)
    assert torch.equal(patched(layer, ADC_resolution=2)(x), patched(layer)(x))
    with pytest.raises(InvalidArgument, match="ADC_resolution"):
        patched(layer, quant_method="linear")


def test_equal_weights_have_equal_targets_whatever_their_devices():
    wide = StochasticParameter(loc=50, scale=5, min=20, max=90)  # every device reaches 1 / 90 S
    layer = nn.Linear(4, 3, bias=False)
    nn.init.constant_(layer.weight, 0.5)
    mapped = []

    def mapping_routine(weight, r_on, r_off, scheme, p_l=None):
        mapped.append((r_on, r_off))
        g = torch.full_like(weight, 1 / 100)
        return g, g / 2

    model = patched(layer, VTEAM, {"r_on": wide, "r_off": 1e3}, mapping_routine=mapping_routine)
    assert mapped == [(50, 1e3)]
    positive = model.crossbars[0]
    assert positive.devices.column("r_on").unique().numel() > 1
    # A device holds a resistance: two reciprocals and the storage round by 2^-24 each.
    assert torch.allclose(positive.conductance_matrix, torch.tensor(1 / 100), rtol=4 * 2**-24, atol=0)
