"""Arrays of Python objects: copies, files, precision."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from layer_tools import each_copy, saved
from python_models import Counting, PythonDrift, PythonVTEAM, Rich
from torch import nn

from memtorch.bh import Crossbar, StochasticParameter
from memtorch.bh.memristor import VTEAM
from memtorch.mn.Module import patch_model


@each_copy
def test_copies_are_equal_and_independent(through):
    network = nn.Sequential(nn.Linear(4, 3))
    mine = patch_model(network, PythonVTEAM, {"r_on": StochasticParameter(loc=60, scale=3)}, verbose=False)
    mine[0].crossbars[0].devices[0][0].simulate([0.1])
    x = torch.randn(2, 4)
    before = mine(x)
    other = through(mine)
    assert torch.equal(other(x), before)
    other[0].crossbars[0].devices[1][1].set_conductance(0.0055)
    other[0].crossbars[1].conductance_matrix[0, 0] = 0.0066
    assert not torch.equal(other(x), before)
    assert torch.equal(mine(x), before)


def test_a_state_dict_carries_every_attribute_into_a_fresh_array():
    first, second = (Crossbar(Rich, {}, (2, 3), (2, 2)) for _ in range(2))
    first.devices[0][1][1].simulate([0.5, 0.25])
    first.devices[1][0][0].gain = 2.0
    first.write_conductance_matrix(torch.rand(2, 3) * 0.01)
    first.devices.stuck = torch.rand(first.devices.shape) < 0.5
    first.devices.finite_states = 7
    second.devices[0][0][0].simulate([1.0])
    state = saved(first.state_dict(), weights_only=True)
    second.load_state_dict(state)
    assert torch.equal(second.conductance_matrix, first.conductance_matrix)
    assert torch.equal(second.devices.stuck, first.devices.stuck)
    assert second.devices.finite_states == 7
    for mine, other in zip(first.devices.flat, second.devices.flat, strict=True):
        a, b = dict(vars(mine)), dict(vars(other))
        assert a.pop("law") is not b.pop("law")
        assert a.keys() == b.keys()
        for name in ("weights", "tensor"):
            np.testing.assert_array_equal(a.pop(name), b.pop(name))
        assert a == b
        assert [type(value) for value in a.values()] == [type(value) for value in b.values()]
    # What is saved does not follow the devices, and what is loaded does not share with the file.
    kept = copy.deepcopy(state["devices._extra_state"]["attributes"]["weights"])
    first.devices.simulate([1.0])
    second.devices.simulate([1.0])
    assert torch.equal(second.conductance_matrix, first.conductance_matrix)
    for mine, other in zip(
        kept[1].values(), state["devices._extra_state"]["attributes"]["weights"][1].values(), strict=True
    ):
        assert torch.equal(mine[1], other[1])


def test_a_state_dict_of_a_patched_model_makes_a_fresh_one_bit_equal():
    def patched(seed):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        params = {"r_on": StochasticParameter(loc=60, scale=3)}
        return patch_model(network, Counting, params, tile_shape=(2, 2), verbose=False)

    first, second = patched(0), patched(1)
    first.tune_()
    first[0].crossbars[0].devices.simulate([0.05])
    x = torch.randn(3, 4)
    second.load_state_dict(saved(first.state_dict(), weights_only=True))
    assert torch.equal(second(x), first(x))
    for model in (first, second):
        model[2].crossbars[1].devices.simulate([0.03, -0.3])
    assert torch.equal(second(x), first(x))


@pytest.mark.parametrize(
    ("model", "shape", "message"),
    [
        (PythonDrift, (2, 3), r"model \('python_models.PythonVTEAM'\) must be 'python_models.PythonDrift'"),
        (PythonVTEAM, (3, 3), r"shape \(\[3, 2\]\) must be \[3, 3\]"),
        (VTEAM, (2, 3), r"model .* must be 'VTEAM'"),
    ],
)
def test_a_state_of_another_model_or_shape_is_refused_and_changes_nothing(model, shape, message):
    state = Crossbar(PythonVTEAM, {}, (2, 3)).state_dict()
    crossbar = Crossbar(model, {}, shape)
    before = crossbar.conductance_matrix.clone()
    with pytest.raises(RuntimeError, match=message):
        crossbar.load_state_dict(state)
    assert torch.equal(crossbar.conductance_matrix, before)
    with pytest.raises(RuntimeError, match="no state of a device array"):
        Crossbar(PythonVTEAM, {}, (2, 3)).load_state_dict({"devices.g": before})


def test_precision_of_the_network_leaves_conductances_alone():
    crossbar = Crossbar(PythonVTEAM, {}, (2, 3))
    crossbar.write_conductance_matrix(torch.rand(2, 3) * 0.02)
    before = crossbar.conductance_matrix.clone()
    for module in (crossbar.half(), crossbar.double(), crossbar.to("cpu")):
        assert torch.equal(module.conductance_matrix, before)
    crossbar.devices[0][0].set_conductance(0.0123)
    assert crossbar.conductance_matrix[0, 0].item() == np.float32(0.0123)
