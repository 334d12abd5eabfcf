"""How non-linear devices are read, through state_dict: what was saved, what older states lack, what is malformed."""

import copy
import math
import warnings

import pytest
import torch
from layer_tools import SINGLE, patched, saved
from nonideality_tools import assert_same_state, everything
from torch import nn

import memtorch
from memtorch.bh import StochasticParameter
from memtorch.bh.memristor import Data_Driven, Stanford_PKU
from memtorch.bh.nonideality import NonIdeality, apply_non_linear, apply_nonidealities

SETTINGS = {
    "linear": None,
    "swept": {"sweep_duration": 0.25, "sweep_voltage_signal_amplitude": 0.7, "sweep_voltage_signal_frequency": 1},
    "simulated": {"simulate": True},
}
SETTINGS["states"] = {**SETTINGS["swept"], "num_conductance_states": 5}
each_setting = pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
MODELS = {
    "one shape": {"model": Data_Driven, "params": {}},
    "tiled, single, converters": {
        "model": Data_Driven,
        "params": {},
        "scheme": SINGLE,
        "tile_shape": (5, 3),
        "ADC_resolution": 6,
        "quant_method": "linear",
    },
    "noisy, a shape each": {
        "model": Stanford_PKU,
        "params": {"model_switch": 1, "V_0": StochasticParameter(loc=0.25, scale=0.02, min=0.2, max=0.3)},
        "max_input_voltage": 0.3,
    },
}
RECURRENT = {"RNN": nn.RNN(3, 4, 2), "LSTM": nn.LSTM(3, 4), "GRU": nn.GRU(3, 4), "cell": nn.GRUCell(3, 4)}
# The keys of an entry and, each time, one value that is not allowed.
MALFORMED = {
    "no entry": (lambda entry: None, "must hold version and non_linear"),
    "key missing": (lambda entry: {"version": 1}, "must hold version and non_linear"),
    "key too many": (lambda entry: {**entry, "colour": 1}, "must hold version and non_linear"),
    "version": (lambda entry: {**entry, "version": 2}, r"version \(2\) must be 1"),
    "bool version": (lambda entry: {**entry, "version": True}, r"version \(True\) must be 1"),
    "no setting": (lambda entry: {**entry, "non_linear": 5}, r"non_linear \(5\) must be None or hold simulate, low"),
    "part of it": (lambda entry: {**entry, "non_linear": {"simulate": True}}, "must be None or hold simulate, low"),
    "simulate": (lambda entry: changed(entry, simulate=1), r"simulate \(1\) must be True or False"),
    "NaN": (lambda entry: changed(entry, low=math.nan), r"low and high \(nan, .* V\) must"),
    "text": (lambda entry: changed(entry, high="1"), "low and high .* must"),
    "order": (lambda entry: changed(entry, low=1.0, high=-1.0), "with low <= high"),
    "no states": (lambda entry: changed(entry, states=0), r"states \(0\) must be None or an integer from 1 to"),
    "half a state": (lambda entry: changed(entry, states=2.5), r"states \(2.5\) must be None or an integer"),
}


def changed(entry, **values):
    return {**entry, "non_linear": {**entry["non_linear"], **values}}


def network(seed=0, **options):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))
    return patched(net, **options)


def images(count=3):
    return torch.rand(count, 2, 4, 4, generator=torch.Generator().manual_seed(1)) * 0.6


def applied(one, setting):
    if setting is None:
        for layer in one.modules():
            if hasattr(layer, "non_linear"):
                layer.non_linear = None
        return one
    return apply_nonidealities(one, [NonIdeality.NonLinear], **setting)


def quietly(call):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*beyond the sweep")
        return call()


@each_setting
@pytest.mark.parametrize("before", [None, {"simulate": True}], ids=["into a linear model", "into a simulated model"])
@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
def test_a_state_dict_makes_a_freshly_patched_model_read_the_same_bit_for_bit(setting, before, options):
    mine, other = applied(network(0, **options), setting), applied(network(1, **options), before)
    for one in (mine, other):  # read once, so that states have moved, noise is drawn and weights are cached
        quietly(lambda one=one: one(images()))
    other.load_state_dict(saved(mine.state_dict(), weights_only=True))
    assert [other[k].non_linear for k in (0, 3)] == [mine[k].non_linear for k in (0, 3)]
    assert_same_state(everything(other), everything(mine))
    for _ in range(2):  # a simulated read goes on from where the first one has left the devices
        assert torch.equal(quietly(lambda: other(images())), quietly(lambda: mine(images())))
    assert_same_state(everything(other), everything(mine))


@each_setting
@pytest.mark.parametrize("digital", RECURRENT.values(), ids=RECURRENT)
def test_every_matrix_of_a_recurrent_layer_keeps_how_it_is_read(digital, setting):
    torch.manual_seed(3)
    mine, other = (patched(digital, Data_Driven, {}) for _ in range(2))
    applied(mine, setting)
    x = torch.rand(5, 3) * 0.6
    quietly(lambda: mine(x))
    other.load_state_dict(saved(mine.state_dict(), weights_only=True))
    assert [matrix.non_linear for matrix in other.readers()] == [matrix.non_linear for matrix in mine.readers()]
    got, want = (quietly(lambda one=one: one(x)) for one in (other, mine))
    torch.testing.assert_close(got, want, rtol=0, atol=0)


def test_layers_of_one_model_may_differ():
    mine = network(0, **MODELS["one shape"])
    apply_non_linear(mine[0], simulate=True)
    apply_non_linear(mine[3], **SETTINGS["states"])
    other = network(1, **MODELS["one shape"])
    other.load_state_dict(mine.state_dict())
    assert [other[0].simulate, other[3].simulate, other[3].non_linear.states] == [True, False, 5]
    # Plain numbers: the entry of one model is not shared with another.
    assert mine.state_dict()["3._extra_state"] == {
        "version": 1,
        "non_linear": {"simulate": False, "low": 0.7 * math.cos(math.pi / 2), "high": 0.7, "states": 5},
    }


def test_a_loaded_layer_warns_of_voltages_beyond_its_sweep_again():
    mine, other = (network(seed, **MODELS["one shape"]) for seed in (0, 1))
    applied(mine, SETTINGS["swept"])
    other.load_state_dict(mine.state_dict())
    with pytest.warns(UserWarning, match="beyond the sweep"):
        other(images() * 10)


@each_setting
def test_a_state_that_says_nothing_of_it_leaves_layers_linear(setting):
    mine, other = (network(seed, **MODELS["one shape"]) for seed in (0, 1))
    state = mine.state_dict()
    entries = [name for name in state if name.endswith("_extra_state") and "devices" not in name]
    assert entries == ["0._extra_state", "3._extra_state"]
    for name in entries:
        del state[name]
    applied(other, setting)
    assert str(other.load_state_dict(saved(state, weights_only=True), strict=True)) == "<All keys matched successfully>"
    assert [other[k].non_linear for k in (0, 3)] == [None, None]
    assert torch.equal(other(images()), mine(images()))


def test_a_part_of_a_state_without_devices_changes_no_way_of_reading():
    mine = applied(network(**MODELS["one shape"]), SETTINGS["swept"])
    before = mine[0].non_linear
    mine.load_state_dict({"0.bias": torch.ones(4)}, strict=False)
    assert mine[0].non_linear == before
    assert torch.equal(mine[0].bias, torch.ones(4))


@pytest.mark.parametrize(("change", "message"), MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("kind", ["model", "part of a module", "layer", "recurrent layer"])
def test_a_malformed_entry_is_named_and_changes_nothing(change, message, kind):
    if kind == "recurrent layer":
        mine, other = (patched(nn.RNN(3, 4), Data_Driven, {}) for _ in range(2))
        name = "matrices.weight_hh_l0._extra_state"
    else:
        mine, other = (network(seed, **MODELS["one shape"]) for seed in (0, 1))
        name = "3._extra_state"
        if kind == "layer":
            mine, other, name = mine[3], other[3], "_extra_state"
        elif kind == "part of a module":
            mine, other, name = nn.ModuleDict({"a": mine}), nn.ModuleDict({"a": other}), f"a.{name}"
    apply_nonidealities(mine, [NonIdeality.NonLinear], simulate=True)
    apply_nonidealities(other, [NonIdeality.NonLinear], **SETTINGS["states"])
    state = copy.deepcopy(mine.state_dict())
    state[name] = change(state[name])
    before = everything(other)
    with pytest.raises(RuntimeError, match=message):
        other.load_state_dict(state)
    assert_same_state(everything(other), before)


@pytest.mark.parametrize(("change", "message"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_entry_that_is_set_directly_is_refused_too(change, message):
    layer = network(**MODELS["one shape"])[3]
    apply_non_linear(layer, **SETTINGS["states"])
    before = layer.non_linear
    with pytest.raises(memtorch.InvalidArgument, match=message):
        layer.set_extra_state(change(layer.get_extra_state()))
    assert layer.non_linear == before


def test_all_differences_are_listed_together():
    mine, other = (network(seed, **MODELS["one shape"]) for seed in (0, 1))
    state = mine.state_dict()
    state["0._extra_state"] = {"version": 9, "non_linear": None}
    state["0.bias"] = torch.ones(7)
    state["3._extra_state"] = None
    state["3.crossbars.0.devices._extra_state"]["model"] = "VTEAM"
    before = everything(other)
    with pytest.raises(RuntimeError) as error:
        other.load_state_dict(state)
    for difference in (
        "0: version (9) must be 1",
        "0.bias: shape ([7]) must be [4]",
        "3: _extra_state (None) must hold",
        "3.crossbars.0.devices: model",
    ):
        assert difference in str(error.value)
    assert_same_state(everything(other), before)
