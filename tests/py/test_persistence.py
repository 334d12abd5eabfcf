"""Patched models through pickle, deepcopy, torch.save and state_dict: bit-equal outputs on the other side."""

import copy
import io
import pickle

import pytest
import torch
from layer_tools import SINGLE, VTEAM, patched
from torch import nn

import memtorch

OPTIONS = [
    {},
    {"tile_shape": (5, 3), "ADC_resolution": 6, "quant_method": "linear"},
    {"scheme": SINGLE, "max_input_voltage": 0.3},
    {"params": {"r_on": memtorch.bh.StochasticParameter(loc=50.0, scale=5.0, min=10.0)}, "tile_shape": (4, 4)},
]


def model(seed=0, **options):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5))
    return patched(net, **options)


def images():
    return torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(1))


def saved(value, **options):
    stream = io.BytesIO()
    torch.save(value, stream)
    stream.seek(0)
    return torch.load(stream, **options)


@pytest.fixture(params=OPTIONS, ids=["plain", "adc", "single", "stochastic"])
def worn(request):
    """A tuned model with a device that was moved by hand."""
    mine = model(**request.param)
    mine[3].crossbars[0].conductance_matrix.view(-1)[1] = 0.0123
    mine.tune_({str(memtorch.mn.Conv2d): {"input_batch_size": 1, "input_shape": 5}})
    return mine


@pytest.mark.parametrize(
    "through",
    [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), lambda m: saved(m, weights_only=False)],
    ids=["deepcopy", "pickle", "torch.save"],
)
def test_a_copy_of_the_model_is_bit_equal_and_independent(worn, through):
    before = worn(images())
    other = through(worn)
    assert torch.equal(other(images()), before)
    assert not other[0].forward_legacy_enabled
    # The methods belong to the copy.
    other.forward_legacy(True)
    assert other[0].forward_legacy_enabled
    assert not worn[0].forward_legacy_enabled
    other.forward_legacy(False)
    other.tune_({str(memtorch.mn.Conv2d): {"input_batch_size": 1, "input_shape": 5}})
    assert torch.equal(other(images()), before)
    with torch.no_grad():
        other[3].crossbars[0].conductance_matrix.mul_(0.9)
    assert not torch.equal(other(images()), before)
    assert torch.equal(worn(images()), before)


def test_a_copy_of_a_copy_has_methods(worn):
    other = copy.deepcopy(pickle.loads(pickle.dumps(worn)))
    assert other.tune_.__self__ is other
    other.disable_legacy()
    assert hasattr(worn, "forward_legacy")


@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "adc", "single", "stochastic"])
def test_a_state_dict_makes_a_freshly_patched_model_bit_equal(options):
    first, second = model(0, **options), model(1, **options)
    first.tune_({str(memtorch.mn.Conv2d): {"input_batch_size": 1, "input_shape": 5}})
    with torch.no_grad():
        first[0].crossbars[-1].conductance_matrix.mul_(0.8)
    second(images())
    second.load_state_dict(saved(first.state_dict(), weights_only=True))
    assert torch.equal(second(images()), first(images()))
    second.forward_legacy(True)
    first.forward_legacy(True)
    assert torch.equal(second(images()), first(images()))
    for name, value in first.state_dict().items():
        other = second.state_dict()[name]
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other


def test_a_state_dict_holds_crossbars_and_coefficients():
    keys = set(model().state_dict())
    assert {"0.weight", "0.bias", "3.transform_output.gain", "3.transform_output.offset"} <= keys
    assert {"0.crossbars.0.devices.g", "3.crossbars.1.devices.g"} <= keys


def test_a_model_without_digital_weights_persists():
    mine = model()
    mine.disable_legacy()
    before = mine(images())
    for other in (copy.deepcopy(mine), pickle.loads(pickle.dumps(mine))):
        assert torch.equal(other(images()), before)
        assert not hasattr(other, "forward_legacy")
    fresh = model(1)
    fresh.disable_legacy()
    fresh.load_state_dict(mine.state_dict())
    assert torch.equal(fresh(images()), before)


def test_a_copy_does_not_carry_the_cached_weight():
    mine = model()
    mine(images())
    assert mine[0]._readout is not None
    for other in (copy.deepcopy(mine), copy.copy(mine[0]), pickle.loads(pickle.dumps(mine))):
        assert (other[0] if isinstance(other, nn.Sequential) else other)._readout is None


@pytest.mark.parametrize("move", [lambda m: m.double(), lambda m: m.double().float()], ids=["double", "and back"])
def test_a_change_of_precision_keeps_conductances_and_coefficients(move):
    mine, other = model(), move(model())
    for a, b in ((mine[0], other[0]), (mine[3], other[3])):
        assert torch.equal(a.crossbars[0].matrix(), b.crossbars[0].matrix().to(a.crossbars[0].matrix().dtype))
        assert torch.equal(a.transform_output.gain, b.transform_output.gain)
    x = images().to(other[0].weight.dtype)
    # the same conductances, products in another precision: 48 terms
    assert torch.allclose(other(x).float(), mine(images()), rtol=1e-5, atol=1e-5)


def test_a_layer_alone_persists():
    layer = memtorch.mn.Linear(nn.Linear(4, 3), VTEAM, {}, verbose=False)
    layer.forward_legacy_enabled = False
    x = torch.ones(2, 4)
    assert torch.equal(pickle.loads(pickle.dumps(layer))(x), layer(x))
