"""Patched models through pickle, deepcopy, torch.save and state_dict: bit-equal outputs on the other side."""

import copy
import pickle

import pytest
import torch
from layer_tools import SINGLE, VTEAM, each_copy, patched, saved
from nonideality_tools import assert_same_state, everything
from torch import nn

import memtorch
from memtorch.bh._device_array import DeviceArray
from memtorch.bh.memristor import Stanford_PKU
from memtorch.bh.nonideality import NonIdeality, apply_nonidealities
from memtorch.bh.nonideality.endurance_retention_models import OperationMode, model_endurance_retention

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


@pytest.fixture(params=OPTIONS, ids=["plain", "adc", "single", "stochastic"])
def worn(request):
    """A tuned model with a device that was moved by hand."""
    mine = model(**request.param)
    mine[3].crossbars[0].conductance_matrix.view(-1)[1] = 0.0123
    mine.tune_({str(memtorch.mn.Conv2d): {"input_batch_size": 1, "input_shape": 5}})
    return mine


@each_copy
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


# ---- Everything that devices can go through ----

TUNING = {str(memtorch.mn.Conv2d): {"input_batch_size": 1, "input_shape": 5}}
NOISY = {
    "model": Stanford_PKU,
    "params": {
        "model_switch": 1,
        "r_on": memtorch.bh.StochasticParameter(loc=700.0, scale=20.0, min=600.0),
        "gap_init": 1e-9,
        "time_series_resolution": 1e-9,
    },
}
LIVES = {"VTEAM": {}, "VTEAM, tiled": {"tile_shape": (5, 3)}, "noisy, tiled": {**NOISY, "tile_shape": (5, 3)}}


def lived(**options):
    """A model with faults, finite states, wear, moved devices and tuned layers, whose devices have drawn noise."""
    mine = model(**options)
    wear = {
        "operation_mode": OperationMode.gradual,
        "p_lrs": [1.0, 0.1, 0.5, 0.02],
        "stable_resistance_lrs": None,
        "p_hrs": None,
        "stable_resistance_hrs": None,
        "cell_size": 10,
        "temperature": 350,
    }
    effects = [NonIdeality.DeviceFaults, NonIdeality.FiniteConductanceStates, NonIdeality.Endurance]
    apply_nonidealities(
        mine,
        effects,
        lrs_proportion=0.05,
        hrs_proportion=0.1,
        electroform_proportion=0.0,
        conductance_states=9,
        x=100,
        endurance_model=model_endurance_retention,
        endurance_model_kwargs=wear,
    )
    for layer in (mine[0], mine[3]):
        for crossbar in layer.crossbars:
            crossbar.devices.simulate([0.3, 0.4, -0.1])
    mine.tune_(TUNING)
    return mine


def go_on(mine):
    """What the model gives now, and after more voltages and a write."""
    results = [mine(images())]
    for layer in (mine[0], mine[3]):
        for crossbar in layer.crossbars:
            results.append(crossbar.devices.simulate([0.2, 0.9, 1.5], return_current=True))
            crossbar.devices.set_conductance(crossbar.devices.g * 0.9)
    return [*results, mine(images())]


@pytest.mark.parametrize("options", LIVES.values(), ids=LIVES)
@pytest.mark.parametrize("through", ["state_dict", "deepcopy", "pickle", "torch.save"])
def test_a_model_that_has_lived_goes_on_bit_for_bit(options, through):
    mine = lived(**options)
    if through == "state_dict":
        other = model(1, **options)
        other(images())
        other.load_state_dict(saved(mine.state_dict(), weights_only=True))
    elif through == "deepcopy":
        other = copy.deepcopy(mine)
    elif through == "pickle":
        other = pickle.loads(pickle.dumps(mine))
    else:
        other = saved(mine, weights_only=False)
    assert_same_state(everything(other), everything(mine))
    for got, expected in zip(go_on(other), go_on(mine), strict=True):
        assert torch.equal(got, expected)
    assert_same_state(everything(other), everything(mine))


def test_noise_goes_on_where_it_was_saved_and_differs_from_draw_to_draw():
    def fresh():
        return DeviceArray(Stanford_PKU, NOISY["params"], (2, 3))

    array, other = fresh(), fresh()
    array.simulate([0.5])
    other.load_state_dict(array.state_dict())
    first, second = (array.simulate([0.5] * 4, return_current=True) for _ in range(2))
    assert not torch.equal(first, second)
    torch.manual_seed(99)  # the array has its own generator by now
    assert torch.equal(other.simulate([0.5] * 4, return_current=True), first)
    assert torch.equal(other.simulate([0.5] * 4, return_current=True), second)
    assert not torch.equal(fresh().simulate([0.5] * 4, return_current=True), first)


def test_devices_without_noise_draw_no_key():
    array = DeviceArray(VTEAM, {}, (2, 3))
    state = torch.get_rng_state()
    array.simulate([0.5])
    assert torch.equal(torch.get_rng_state(), state)
    assert array.get_extra_state()["noise"] == {"key": None, "draws": 0}


def test_a_state_of_version_1_still_loads():
    mine, other = model(), model(1)
    apply_nonidealities(other, [NonIdeality.FiniteConductanceStates], conductance_states=3)
    other[0].crossbars[0].devices[0][0].stuck = True
    state = mine.state_dict()
    for name, value in list(state.items()):
        if name.endswith("devices._extra_state"):
            old = {key: value[key] for key in ("model", "shape", "time_series_resolution", "shared")}
            state[name] = {"version": 1, **old}
        elif name.endswith("_extra_state"):
            del state[name]
    other.load_state_dict(saved(state, weights_only=True))
    assert torch.equal(other(images()), mine(images()))
    devices = other[0].crossbars[0].devices
    assert (devices.stuck, devices.finite_states) == (None, None)


@pytest.mark.parametrize(
    ("other", "differences"),
    [
        (
            lambda: patched(nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 6))),
            ["0.weight: shape", "0.crossbars.0.devices: shape", "0.crossbars.1.devices: shape", "3.bias: shape"],
        ),
        (
            lambda: model(model=memtorch.bh.memristor.LinearIonDrift),
            ["0.crossbars.0.devices: model ('LinearIonDrift') must be 'VTEAM'", "3.crossbars.1.devices: model"],
        ),
        (lambda: model(tile_shape=(4, 4)), ["0.crossbars.0.devices: shape ([5, 4, 4]) must be [18, 3]"]),
    ],
    ids=["shape", "model", "tiles"],
)
@pytest.mark.parametrize("strict", [True, False])
def test_a_state_of_another_model_is_refused_with_all_differences_and_changes_nothing(other, differences, strict):
    mine = lived()
    before = everything(mine)
    with pytest.raises(RuntimeError) as error:
        mine.load_state_dict(other().state_dict(), strict=strict)
    for difference in differences:
        assert difference in str(error.value)
    assert_same_state(everything(mine), before)


def test_a_copy_checks_what_is_loaded_too_and_part_of_a_state_can_be_loaded():
    mine = pickle.loads(pickle.dumps(model()))
    wrong = model(tile_shape=(4, 4)).state_dict()
    with pytest.raises(RuntimeError, match="the state is not of this model"):
        mine.load_state_dict(wrong)
    before = everything(mine)
    mine.load_state_dict({"0.bias": torch.ones(3)}, strict=False)
    assert torch.equal(mine[0].bias, torch.ones(3))
    assert_same_state(everything(mine), {**before, "0.bias": torch.ones(3)})
    with pytest.raises(RuntimeError, match=r"Missing key.*crossbars.0.devices.g"):
        mine.load_state_dict({"0.bias": torch.ones(3)})


def test_every_difference_of_an_array_is_named():
    array = DeviceArray(VTEAM, {}, (2, 3))
    state = DeviceArray(VTEAM, {}, (3, 2)).state_dict()
    state["_extra_state"]["version"] = 99
    del state["state_x"]
    state["stuck"] = torch.ones(1)
    with pytest.raises(RuntimeError) as error:
        array.load_state_dict(state)
    for difference in (
        r"version (99) must be in [1, 2]",
        "shape ([3, 2]) must be [2, 3]",
        "columns (",
        "stuck (shape [1])",
    ):
        assert difference in str(error.value)
