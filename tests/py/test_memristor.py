"""The device models as objects: against slow scalar references, closed forms, and the documented interface."""

from __future__ import annotations

import copy
import inspect
import math
import pickle

import numpy as np
import pytest
import torch
from device_tools import MODELS, SWING, columns_of, each_model
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import devices as reference

import memtorch
from memtorch import InvalidArgument
from memtorch.bh.memristor import VTEAM, Data_Driven, Data_Driven2021, LinearIonDrift, Memristor, Stanford_PKU

# Names, order and defaults of MemTorch 1.1.6; additions come after them.
SIGNATURES = {
    LinearIonDrift: {
        "time_series_resolution": 1e-4,
        "u_v": 1e-14,
        "d": 10e-9,
        "r_on": 100,
        "r_off": 16e3,
        "pos_write_threshold": 0.55,
        "neg_write_threshold": -0.55,
        "p": 1,
    },
    VTEAM: {
        "time_series_resolution": 1e-10,
        "r_off": 1000,
        "r_on": 50,
        "d": 3e-9,
        "k_on": -10,
        "k_off": 5e-4,
        "alpha_on": 3,
        "alpha_off": 1,
        "v_on": -0.2,
        "v_off": 0.02,
        "x_on": 0,
        "x_off": 3e-9,
    },
    Stanford_PKU: {"time_series_resolution": 1e-4, **reference.Stanford_PKU.PARAMS},
    Data_Driven: {
        "time_series_resolution": 1e-8,
        "r_off": 17e3,
        "r_on": 1280,
        "A_p": 743.47,
        "A_n": -68012.28374,
        "t_p": 6.51,
        "t_n": 0.31645,
        "k_p": 5.11e-4,
        "k_n": 1.17e-3,
        "r_p": [16719, 0],
        "r_n": [29304.82557, 23692.77225],
        "eta": 1,
        "a_p": 0.24,
        "a_n": 0.24,
        "b_p": 3,
        "b_n": 3,
    },
    Data_Driven2021: {
        "time_series_resolution": 1e-10,
        "r_off": 3000,
        "r_on": 1600,
        "A_p": 600.10075,
        "A_n": -34.5988399,
        "t_p": -0.0212028,
        "t_n": -0.05343997,
        "k_p": 5.11e-4,
        "k_n": 1.17e-3,
        "r_p": [2699.2336, -672.930205],
        "r_n": [649.413746, -1474.32358],
        "a_p": 0.32046175,
        "a_n": 0.32046175,
        "b_p": 2.71689828,
        "b_n": 2.71689828,
    },
}
STATE = {model: reference.MODELS[model.__name__].STATE for model in MODELS}


# ---- The documented interface ----


@each_model
def test_signature_has_names_order_and_defaults_of_1_1_6(model):
    parameters = list(inspect.signature(model).parameters.values())
    assert parameters[-1].kind is inspect.Parameter.VAR_KEYWORD
    expected = SIGNATURES[model]
    got = {p.name: p.default for p in parameters[: len(expected)]}
    assert got == expected
    assert list(got) == list(expected)


@each_model
def test_every_parameter_is_documented_with_its_default_and_is_an_attribute(model):
    device = model()
    for name, value in SIGNATURES[model].items():
        assert f"    {name}: " in model.__doc__
        assert getattr(device, name) == value
        if name != "time_series_resolution":
            assert getattr(model, name).__doc__


@each_model
def test_positional_and_keyword_arguments_are_the_same(model):
    values = list(SIGNATURES[model].values())
    assert columns_of(model(*values)) == columns_of(model(**dict(zip(SIGNATURES[model], values, strict=True))))


def test_all_subclasses_of_memristor_can_be_instantiated():
    def walk(cls):
        for sub in cls.__subclasses__():
            yield sub
            yield from walk(sub)

    found = [cls for cls in walk(Memristor) if cls.__module__.startswith("memtorch.")]
    assert set(found) == set(MODELS)
    for cls in found:
        assert Memristor in cls.__bases__
        assert cls().g > 0


@each_model
def test_unknown_and_repeated_arguments_are_errors_that_list_the_parameters(model):
    with pytest.raises(InvalidArgument, match=rf"\[{model.__name__}\] 'resistance' must be among .*r_on"):
        model(resistance=1)
    with pytest.raises(InvalidArgument, match="be given once"):
        model(1e-4, time_series_resolution=1e-4)
    with pytest.raises(InvalidArgument, match="positional"):
        model(*range(40))


@each_model
@pytest.mark.parametrize(
    "bad",
    [
        {"r_on": -1.0},
        {"r_on": math.nan},
        {"r_on": "100"},
        {"r_on": 1e9},
        {"time_series_resolution": 0},
        {"time_series_resolution": math.inf},
    ],
)
def test_bad_parameters_are_named(model, bad):
    (name,) = bad
    with pytest.raises(InvalidArgument, match=rf"\[{model.__name__}\] {name}"):
        model(**bad)


def test_lists_must_have_two_numbers():
    assert Data_Driven(r_p=[16000, 1.5]).r_p == [16000, 1.5]
    for wrong in (16000, [1.0], "ab", [1, 2, 3], [1, None]):
        with pytest.raises(InvalidArgument, match="r_p"):
            Data_Driven(r_p=wrong)


# ---- Fresh devices and conductances ----


@each_model
def test_a_fresh_device_agrees_with_the_reference(model):
    oracle = reference.MODELS[model.__name__]
    device = model()
    state = oracle.initial(oracle.PARAMS)
    # exp and log of the engine are good to a few units of 2^-53.
    assert getattr(device, oracle.STATE) == pytest.approx(state, rel=1e-13)
    assert device.g == pytest.approx(oracle.conductance(oracle.PARAMS, state), rel=1e-13)
    assert device.get_resistance() == 1 / device.g
    assert device.finite_states is None


@each_model
@given(fraction=st.floats(0, 1))
def test_set_conductance_inverts_the_conductance_of_the_state(model, fraction):
    device = model()
    g = 1 / device.r_off * (device.r_off / device.r_on) ** fraction
    device.set_conductance(g)
    oracle = reference.MODELS[model.__name__]
    # 1/g - r_on (or r_off - 1/g) loses digits near the ends: r_off / r_on units of 2^-53 at worst.
    assert device.g == pytest.approx(g, rel=2e-13 * device.r_off / device.r_on)
    state = getattr(device, oracle.STATE)
    assert device.g == pytest.approx(oracle.conductance(oracle.PARAMS, state), rel=1e-12)
    assert device.current(1e-3) != 0


@each_model
@pytest.mark.parametrize("conductance", [0, -1, 1e-30, 1e6])
def test_set_conductance_clips_to_the_range_of_the_device(model, conductance):
    device = model()
    device.set_conductance(conductance)
    end = device.r_on if conductance > 1 else device.r_off
    assert device.get_resistance() == pytest.approx(end, rel=1e-12)


@each_model
@pytest.mark.parametrize("bad", [math.nan, math.inf, "1e-4", None, [1e-4, 1e-4]])
def test_a_bad_conductance_changes_nothing(model, bad):
    device = model()
    device.simulate([SWING[model] / 2] * 3)
    before = columns_of(device)
    with pytest.raises(InvalidArgument, match="conductance"):
        device.set_conductance(bad)
    assert columns_of(device) == before


# ---- Simulation ----


@each_model
@settings(max_examples=25)
@given(data=st.data())
def test_simulate_agrees_with_the_reference(model, data):
    oracle = reference.MODELS[model.__name__]
    swing = SWING[model]
    voltages = data.draw(st.lists(st.floats(-swing, swing), min_size=1, max_size=60))
    fraction = data.draw(st.floats(0, 1))
    device = model()
    device.set_conductance(1 / device.r_off + fraction * (1 / device.r_on - 1 / device.r_off))
    start = getattr(device, oracle.STATE)
    current = device.simulate(voltages, return_current=True)
    state, expected = reference.simulate(oracle, oracle.PARAMS, start, voltages, oracle.DT)
    # Rounding of 60 steps, with exp(k R) amplifying that of the data-driven models' k R by up to 20.
    np.testing.assert_allclose(current, expected, rtol=1e-10, atol=0)
    assert getattr(device, oracle.STATE) == pytest.approx(state, rel=1e-10)
    assert device.g == pytest.approx(oracle.conductance(oracle.PARAMS, state), rel=1e-10)


@each_model
@settings(max_examples=25)
@given(data=st.data())
def test_any_waveform_leaves_the_device_within_its_bounds(model, data):
    voltages = data.draw(st.lists(st.floats(-3, 3), min_size=1, max_size=40))
    device = model()
    current = device.simulate(voltages, return_current=True)
    assert np.isfinite(current).all()
    assert 1 / device.r_off * (1 - 1e-12) <= device.g <= 1 / device.r_on * (1 + 1e-12)  # rounding of 1/r


@each_model
def test_the_stated_polarity_raises_the_conductance(model):
    device = model()
    device.set_conductance(math.sqrt(1 / device.r_off / device.r_on))
    start = device.g
    device.simulate([model.polarity * SWING[model]] * 5)
    raised = device.g
    device.simulate([-model.polarity * SWING[model]] * 5)
    assert raised > start
    assert device.g < raised


@each_model
@pytest.mark.parametrize(
    "signal",
    [
        [0.1, -0.2, 0.3],
        (0.1, -0.2, 0.3),
        np.array([0.1, -0.2, 0.3]),
        np.array([[0.1], [-0.2], [0.3]]),
        np.array([[[0.1, -0.2, 0.3]]]),
        np.array([0.1, 9, -0.2, 9, 0.3])[::2],
        torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64),
        torch.tensor([[0.1], [-0.2], [0.3]], dtype=torch.float64, requires_grad=True),
    ],
)
def test_all_kinds_of_signals_are_taken(model, signal):
    current = model().simulate(signal, return_current=True)
    assert isinstance(current, np.ndarray)
    assert current.dtype == np.float64
    np.testing.assert_array_equal(current, model().simulate([0.1, -0.2, 0.3], return_current=True))


@each_model
def test_a_scalar_is_one_sample_and_nothing_is_returned_unless_asked(model):
    assert model().simulate(0.1, return_current=True).shape == (1,)
    assert model().simulate(np.float32(0.1)) is None
    assert model().simulate([0.1]) is None


@each_model
@pytest.mark.parametrize("bad", [[], [math.nan], [0.1, math.inf], ["a"], None, np.zeros((2, 2)), [[1, 2], [3]], [1j]])
def test_a_bad_signal_changes_nothing(model, bad):
    device = model()
    before = columns_of(device)
    with pytest.raises(InvalidArgument, match=r"\[simulate\] voltage_signal"):
        device.simulate(bad)
    assert columns_of(device) == before


@each_model
def test_a_signal_in_two_parts_is_the_whole_signal(model):
    signal = SWING[model] * np.sin(np.linspace(0, 6, 50))
    whole, parts = model(), model()
    current = whole.simulate(signal, return_current=True)
    pieces = [parts.simulate(piece, return_current=True) for piece in (signal[:20], signal[20:])]
    # Stanford_PKU takes its temperature from the current of the last sample, which a new signal starts without.
    rtol = 1e-2 if model is Stanford_PKU else 0
    np.testing.assert_allclose(np.concatenate(pieces), current, rtol=rtol)


@each_model
def test_currents_do_not_move_the_device_when_only_read(model):
    device = model()
    device.set_conductance(math.sqrt(1 / device.r_off / device.r_on))
    before = columns_of(device)
    oracle = reference.MODELS[model.__name__]
    expected = reference.simulate(oracle, oracle.PARAMS, getattr(device, oracle.STATE), [SWING[model]], 0.0)[1][0]
    assert device.current(SWING[model]) == pytest.approx(expected, rel=1e-12)  # exp and sinh
    assert columns_of(device) == before


# ---- Attributes ----


@each_model
def test_writing_the_state_moves_the_conductance_along(model):
    device = model()
    oracle = reference.MODELS[model.__name__]
    low, high = sorted(oracle.state(oracle.PARAMS, 1 / r) for r in (device.r_on, device.r_off))
    middle = (low + high) / 2
    setattr(device, oracle.STATE, middle)
    assert getattr(device, oracle.STATE) == middle
    assert device.g == pytest.approx(oracle.conductance(oracle.PARAMS, middle), rel=1e-12)
    before = columns_of(device)
    for bad in (high + 0.1 * (high - low), low - 0.1 * (high - low), math.nan, "a"):
        with pytest.raises(InvalidArgument, match=oracle.STATE):
            setattr(device, oracle.STATE, bad)
    assert columns_of(device) == before


@each_model
def test_the_state_follows_a_written_conductance(model):
    device, twin = model(), model()
    g = math.sqrt(1 / device.r_off / device.r_on)
    device.g = g
    twin.set_conductance(g)
    assert device.g == g
    assert getattr(device, STATE[model]) == getattr(twin, STATE[model])
    device.g = 1e3  # is shown as written; the state is that of r_on
    assert device.g == 1e3
    device.simulate([0.0])
    assert device.get_resistance() == pytest.approx(device.r_on, rel=1e-12)
    with pytest.raises(InvalidArgument, match="g"):
        device.g = math.nan


@each_model
def test_writing_a_parameter_keeps_a_conductance_that_is_still_possible(model):
    device = model()
    device.set_conductance(math.sqrt(1 / device.r_off / device.r_on))
    g = device.g
    device.r_off = device.r_off * 1.25
    # g becomes that of the state derived from it: r_off / r_on roundings of 2^-53.
    assert device.g == pytest.approx(g, rel=2e-13 * device.r_off / device.r_on)
    twin = model(r_off=device.r_off)
    twin.set_conductance(g)
    assert getattr(device, STATE[model]) == pytest.approx(getattr(twin, STATE[model]), rel=1e-12)
    device.r_off = device.r_on * 1.0001
    assert device.get_resistance() == pytest.approx(device.r_off, rel=1e-9)


@each_model
def test_a_bad_parameter_changes_nothing(model):
    device = model()
    before = columns_of(device)
    for name, bad in (("r_on", device.r_off), ("r_off", -1), ("r_on", math.nan), ("r_off", "x")):
        with pytest.raises(InvalidArgument, match="r_o"):
            setattr(device, name, bad)
    assert columns_of(device) == before


def test_unknown_attributes_are_errors_that_list_the_known_ones():
    with pytest.raises(AttributeError, match=r"no attribute 'x_of'; it has g, .*x_off"):
        VTEAM().x_of = 1
    with pytest.raises(AttributeError):
        VTEAM().nothing  # noqa: B018


def test_write_thresholds():
    assert (VTEAM().pos_write_threshold, VTEAM().neg_write_threshold) == (0.02, -0.2)
    assert (LinearIonDrift().pos_write_threshold, LinearIonDrift().neg_write_threshold) == (0.55, -0.55)
    assert (Data_Driven().pos_write_threshold, Stanford_PKU().neg_write_threshold) == (0, 0)


@each_model
def test_copies_and_pickles_are_exact_and_independent(model):
    device = model(r_on=model().r_on * 1.01, time_series_resolution=2e-9)
    device.simulate([SWING[model]] * 4)
    for twin in (copy.deepcopy(device), copy.copy(device), pickle.loads(pickle.dumps(device))):
        assert type(twin) is model
        assert columns_of(twin) == columns_of(device)
        assert twin.time_series_resolution == 2e-9
        before = columns_of(device)
        twin.set_conductance(1 / twin.r_off)
        assert columns_of(device) == before


def test_reference_takes_the_mean_of_stochastic_parameters():
    r_on = memtorch.bh.StochasticParameter(loc=100, scale=10)
    assert VTEAM(r_on=r_on, reference=True).r_on == 100
    assert VTEAM(r_on=r_on).r_on != 100
