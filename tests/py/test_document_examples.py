"""The code examples of the 1.1.6 API document, with a small ``Net`` in place of the one that they import.

Where the document imports memtorch only at its top, so does this file.
"""

from __future__ import annotations

import copy

import pytest
import torch

import memtorch
from memtorch import InvalidArgument


class Net(torch.nn.Module):
    """A convolution and two fully connected layers: images [n, 1, 8, 8] to logits [n, 10]."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 4, 3)
        self.hidden = torch.nn.Linear(4 * 6 * 6, 32)
        self.output = torch.nn.Linear(32, 10)

    def forward(self, x):
        x = torch.relu(self.conv(x)).flatten(1)
        return self.output(torch.relu(self.hidden(x)))


def check_equal(patched, digital, x):
    """With ideal devices a patched module computes what the digital one does.

    Conductances are float32: 4 to 8 roundings of 6e-8 each per weight, relative to the largest weight, and as many per
    product; 1e-4 of the largest output leaves room for the few hundred terms of each sum here, whatever their signs.
    """
    expected = digital(x).detach()
    assert torch.allclose(patched(x), expected, rtol=0, atol=1e-4 * expected.abs().max().item())


def test_crossbar():
    crossbar = memtorch.bh.crossbar.Crossbar(
        memtorch.bh.memristor.VTEAM, {"r_on": 1e2, "r_off": 1e4}, shape=(100, 100), tile_shape=(64, 64)
    )
    matrix = torch.zeros(100, 100).uniform_(1e-4, 1e-2)  # torch takes the bounds in this order only
    crossbar.write_conductance_matrix(matrix, transistor=True)
    crossbar.devices[0][0][0].set_conductance(1e-4)
    crossbar.update(from_devices=True, parallelize=True)
    expected = matrix.T.clone()
    expected[0, 0] = 1e-4
    # Each device holds a resistance: two reciprocals and the storage round by 2^-24 each.
    assert torch.allclose(crossbar.matrix(), expected, rtol=4 * 2**-24, atol=0)


def test_stochastic_parameter_as_printed_lacks_the_arguments_of_its_distribution():
    with pytest.raises(InvalidArgument, match=r"\[StochasticParameter\] arguments of Normal lack loc, scale; .* among"):
        memtorch.bh.StochasticParameter(min=1e3, max=1e2)
    with pytest.raises(InvalidArgument, match=r"\[StochasticParameter\] min \(1000.0\) must be <= max \(100.0\)"):
        memtorch.bh.StochasticParameter(loc=5e2, scale=3e2, min=1e3, max=1e2)


def test_stochastic_parameter_with_them():
    crossbar = memtorch.bh.crossbar.Crossbar(
        memtorch.bh.memristor.VTEAM,
        {"r_on": memtorch.bh.StochasticParameter(loc=5e2, scale=3e2, min=1e2, max=1e3), "r_off": 1e4},
        shape=(100, 100),
        tile_shape=(64, 64),
    )
    r_on = crossbar.devices.column("r_on")
    assert r_on.min() == 1e2 and r_on.max() == 1e3  # four tenths of a normal distribution lie beyond these bounds
    assert r_on.unique().numel() > 1000
    assert crossbar.r_on_mean == 5e2


def test_layer_with_scaling_routine():
    from memtorch.map.Input import naive_scale

    linear = torch.nn.Linear(10, 10)
    m = memtorch.mn.Linear(linear, memtorch.bh.memristor.VTEAM, {}, tile_shape=(64, 64), scaling_routine=naive_scale)
    m.forward_legacy_enabled = False
    check_equal(m, linear, torch.rand(5, 10))


def test_model_with_scaling_routine():
    from memtorch.map.Input import naive_scale
    from memtorch.mn.Module import patch_model

    model = Net()
    patched_model = patch_model(
        copy.deepcopy(model),
        memtorch.bh.memristor.VTEAM,
        {},
        module_parameters_to_patch=[torch.nn.Linear],
        scaling_routine=naive_scale,
    )
    assert type(patched_model.hidden) is type(patched_model.output) is memtorch.mn.Linear
    assert type(patched_model.conv) is torch.nn.Conv2d
    check_equal(patched_model, model, torch.rand(5, 1, 8, 8))


def test_layer_with_mapping_routine():
    from memtorch.map.Parameter import naive_map

    linear = torch.nn.Linear(10, 10)
    m = memtorch.mn.Linear(linear, memtorch.bh.memristor.VTEAM, {}, tile_shape=(64, 64), mapping_routine=naive_map)
    m.forward_legacy_enabled = False
    check_equal(m, linear, torch.rand(5, 10))


def test_model_with_mapping_routine():
    from memtorch.map.Parameter import naive_map
    from memtorch.mn.Module import patch_model

    model = Net()
    patched_model = patch_model(
        copy.deepcopy(model),
        memtorch.bh.memristor.VTEAM,
        {},
        module_parameters_to_patch=[torch.nn.Linear],
        mapping_routine=naive_map,
    )
    assert type(patched_model.conv) is torch.nn.Conv2d
    check_equal(patched_model, model, torch.rand(5, 1, 8, 8))


def test_model_with_converters():
    from memtorch.map.Input import naive_scale
    from memtorch.map.Parameter import naive_map
    from memtorch.mn.Module import patch_model

    model = Net()
    reference_memristor = memtorch.bh.memristor.VTEAM
    patched_model = patch_model(
        copy.deepcopy(model),
        memristor_model=reference_memristor,
        memristor_model_params={},
        module_parameters_to_patch=[torch.nn.Linear, torch.nn.Conv2d],
        mapping_routine=naive_map,
        transistor=True,
        programming_routine=None,
        tile_shape=(128, 128),
        max_input_voltage=0.3,
        scaling_routine=naive_scale,
        ADC_resolution=8,
        ADC_overflow_rate=0.0,
        quant_method="linear",
    )
    assert type(patched_model.conv) is memtorch.mn.Conv2d
    x = torch.rand(50, 1, 8, 8)
    digital, output = model(x).detach(), patched_model(x).detach()
    # A converter's step is at most 2^(2-8) of its largest input: an error of 2^-7 of that, twice, since a step spreads
    # evenly its root mean square is below 1 % of a layer's outputs, and three layers follow each other.
    error = (output - digital).square().mean().sqrt() / digital.square().mean().sqrt()
    assert 0 < error < 0.03
