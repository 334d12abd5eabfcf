"""Arguments of the programming functions: signals, and what is checked before anything changes."""

from __future__ import annotations

import copy
import math
import warnings

import numpy as np
import pytest
import torch
from device_tools import MODELS, assert_same_columns, spread_conductances, spread_crossbar

import memtorch
from memtorch import InvalidArgument
from memtorch.bh import gen_programming_signal, naive_program
from memtorch.bh.crossbar._programming import Outcome
from memtorch.bh.memristor import VTEAM

# ---- Signals ----


def test_a_signal_is_the_sampled_train_of_pulses():
    t, v = gen_programming_signal(2, 0.3, 0.2, -1.5, 0.1)
    np.testing.assert_array_equal(v, [-1.5, -1.5, -1.5, 0, 0] * 2)
    np.testing.assert_allclose(t, np.arange(10) * 0.1, rtol=1e-15)  # one rounding each
    assert t.dtype == v.dtype == np.float64


@pytest.mark.parametrize(("pulse", "rest"), [(1e-3, 0), (1e-3, 7e-5), (3e-7, 1.3e-6)])
@pytest.mark.parametrize("step", [1e-8, 5e-9])
def test_times_and_voltages_have_exactly_the_samples_of_the_durations(pulse, rest, step):
    t, v = gen_programming_signal(3, pulse, rest, 1, step)
    assert len(t) == len(v) == 3 * (round(pulse / step) + round(rest / step))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"number_of_pulses": 1.5}, "number_of_pulses"),
        ({"number_of_pulses": -1}, "number_of_pulses"),
        ({"number_of_pulses": 10**9, "pulse_duration": 1}, "number_of_pulses"),
        ({"pulse_duration": 2.5e-4}, "pulse_duration"),
        ({"pulse_duration": math.nan}, "pulse_duration"),
        ({"refactory_period": -1e-4}, "refactory_period"),
        ({"refactory_period": 1e300}, "refactory_period"),
        ({"voltage_level": "1"}, "voltage_level"),
        ({"time_series_resolution": 0}, "time_series_resolution"),
    ],
)
def test_bad_signals_are_named(change, name):
    arguments = {
        "number_of_pulses": 2,
        "pulse_duration": 1e-3,
        "refactory_period": 0,
        "voltage_level": 1,
        "time_series_resolution": 1e-4,
    }
    with pytest.raises(InvalidArgument, match=rf"\[gen_programming_signal\] {name}"):
        gen_programming_signal(**{**arguments, **change})


# ---- Bad arguments ----

BAD = [
    ("rel_tol", -0.1),
    ("rel_tol", "x"),
    ("pulse_duration", 0),
    ("pulse_duration", 1.5e-10),
    ("pulse_duration", math.inf),
    ("refactory_period", -1),
    ("pos_voltage_level", 0),
    ("pos_voltage_level", math.nan),
    ("neg_voltage_level", 0.5),
    ("timeout", -1),
    ("timeout", None),
    ("force_adjustment", -1e-3),
    ("force_adjustment_rel_tol", -1),
    ("force_adjustment_pos_voltage_threshold", math.nan),
    ("force_adjustment_neg_voltage_threshold", "0"),
    ("force_adjustment_voltage", -0.1),
    ("failure_iteration_threshold", 1.5),
    ("failure_iteration_threshold", -1),
    ("simulate_neighbours", "yes"),
    ("time_series_resolution", 0),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_bad_options_are_named_and_change_nothing(name, value):
    crossbar = spread_crossbar(VTEAM)
    before = copy.deepcopy(crossbar)
    options = {**VTEAM.programming_params, name: value}
    with pytest.raises(InvalidArgument, match=rf"\[naive_program\] {name} "):
        naive_program(crossbar, (0, 0), 0.01, **options)
    with pytest.raises(InvalidArgument, match=rf"\[write_conductance_matrix\] {name} "):
        crossbar.write_conductance_matrix(spread_conductances(VTEAM, 4, 5), False, naive_program, options)
    assert_same_columns(crossbar, before)
    assert crossbar.programming_report is None


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"crossbar": 1}, "crossbar"),
        ({"point": 1}, "point"),
        ({"point": (0,)}, "point"),
        ({"point": (0, 4)}, "point"),
        ({"point": (0, -5)}, "point"),
        ({"point": (0, 1.0)}, "point"),
        ({"point": (0, True)}, "point"),
        ({"conductance": 1.0}, "conductance"),
        ({"conductance": math.nan}, "conductance"),
        ({"conductance": 1e-9}, "conductance"),
        ({"conductance": "1"}, "conductance"),
    ],
)
def test_bad_points_and_targets_are_named_and_change_nothing(change, name):
    crossbar = spread_crossbar(VTEAM)
    before = copy.deepcopy(crossbar)
    arguments = {"crossbar": crossbar, "point": (0, 0), "conductance": 0.01, **change}
    with pytest.raises(InvalidArgument, match=rf"\[naive_program\] {name} "):
        naive_program(**arguments, **VTEAM.programming_params)
    assert_same_columns(crossbar, before)


def test_voltages_that_are_no_longer_finite_when_raised_are_named():
    huge = {"pos_voltage_level": 1.7e308, "force_adjustment_voltage": 1.7e308}
    with pytest.raises(InvalidArgument, match="force_adjustment_voltage"):
        naive_program(spread_crossbar(VTEAM), (0, 0), 0.01, **{**VTEAM.programming_params, **huge})


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("volts", [1e-300, 1e-5, 30, 1e3, 1e100, 1.7e308])
@pytest.mark.parametrize("step", [1e-300, 1.0, 1e300])
def test_no_pulse_gives_what_is_no_number(model, volts, step):
    crossbar = spread_crossbar(model, (3, 3))
    pulses = {
        "pos_voltage_level": volts,
        "neg_voltage_level": -volts,
        "pulse_duration": 3 * step,
        "refactory_period": step,
        "time_series_resolution": step,
        "failure_iteration_threshold": 5,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # most of these pulses miss
        crossbar.write_conductance_matrix(spread_conductances(model, 3, 3), False, naive_program, pulses)
    low, high = 1 / crossbar.r_off_mean, 1 / crossbar.r_on_mean
    slack = 2.0**-22  # float32 conductances
    assert crossbar.conductance_matrix.min() >= low * (1 - slack)
    assert crossbar.conductance_matrix.max() <= high * (1 + slack)
    assert bool(torch.isfinite(crossbar.programming_report.error).all())


def test_unknown_options_are_listed():
    crossbar = spread_crossbar(VTEAM)
    with pytest.raises(InvalidArgument, match=r"programming_routine_params \(pulse_length\) must be among .*rel_tol"):
        crossbar.write_conductance_matrix(spread_conductances(VTEAM, 4, 5), False, naive_program, {"pulse_length": 1})


def test_negative_indices_count_from_the_end():
    crossbar = spread_crossbar(VTEAM)
    naive_program(crossbar, (-1, -2), 0.01, **VTEAM.programming_params)
    assert crossbar.programming_report.outcome[4, 2] == Outcome.CONVERGED


def test_names_stand_where_1_1_6_has_them():
    assert memtorch.bh.naive_program is memtorch.bh.crossbar.naive_program is memtorch.bh.crossbar.Program.naive_program
    assert memtorch.bh.gen_programming_signal is memtorch.bh.crossbar.Program.gen_programming_signal
