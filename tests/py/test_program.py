"""Programming by pulses: the engine against the pulse-by-pulse loop, convergence, limits, reports."""

from __future__ import annotations

import copy
import functools
import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from device_tools import MODELS, assert_same_columns, each_model, spread_conductances, spread_crossbar
from program_tools import ROUGH, Leaky, assert_same_reports, quietly

from memtorch import InvalidArgument
from memtorch.bh import Crossbar, Scheme, init_crossbar, naive_program
from memtorch.bh.crossbar._programming import Outcome, Pulses, program_device
from memtorch.bh.crossbar.Program import _OPTIONS
from memtorch.bh.memristor import VTEAM, Data_Driven, Data_Driven2021, LinearIonDrift, Stanford_PKU
from memtorch.map.Parameter import naive_map
from memtorch.mn.Module import patch_model

# Models whose half-selected devices hold still under the pulses of their own set.
THRESHOLD_MODELS = [LinearIonDrift, VTEAM, Stanford_PKU]

# ---- The engine against the loop in Python ----


@each_model
@pytest.mark.parametrize(
    "more", [{}, {"refactory_period": 1}, {"force_adjustment_voltage": 0.3}, {"bias_scheme": "V/3"}]
)
@pytest.mark.parametrize("neighbours", [True, False])
@pytest.mark.parametrize("tile_shape", [None, (3, 2)])
def test_the_engine_does_what_the_loop_over_pulses_does(model, more, neighbours, tile_shape):
    options = {**ROUGH[model], "failure_iteration_threshold": 15, "simulate_neighbours": neighbours, **more}
    if "refactory_period" in more:
        options["refactory_period"] = options["pulse_duration"]
    fast = spread_crossbar(model, tile_shape=tile_shape)
    slow = copy.deepcopy(fast)
    pulses = Pulses.parse("test", {**_OPTIONS, **options}, fast.time_series_resolution)
    points = [(0, 0), (2, 1), (1, 1)] if tile_shape is None else [(0, 0, 0), (1, 2, 1), (0, 1, 1)]
    ends = [1 / fast.r_on_mean, 1 / fast.r_off_mean, (1 / fast.r_on_mean + 1 / fast.r_off_mean) / 2]
    for point, target in zip(points, ends, strict=True):
        assert quietly(naive_program, fast, point, target, **options) is fast.devices
        result = program_device(slow.devices, point, target, pulses)
        report = fast.programming_report
        assert result == tuple(c[point].item() for c in (report.pulses, report.error, report.outcome, report.forced))
        assert_same_columns(fast, slow)
    assert (fast.programming_report.outcome != Outcome.NOT_PROGRAMMED).sum() == 3


@each_model
@pytest.mark.parametrize("tile_shape", [None, (3, 2)])
def test_a_matrix_is_programmed_as_cell_by_cell(model, tile_shape):
    options = {**ROUGH[model], "failure_iteration_threshold": 30}
    whole = spread_crossbar(model, tile_shape=tile_shape)
    single = copy.deepcopy(whole)
    targets = spread_conductances(model, 4, 5)
    quietly(whole.write_conductance_matrix, targets, False, naive_program, options)
    for point, row, column in single._used_cells():
        quietly(naive_program, single, point, float(targets.T[row, column]), **options)
    assert_same_columns(whole, single)
    for name in ("pulses", "forced"):
        assert torch.equal(getattr(whole.programming_report, name), getattr(single.programming_report, name))


# ---- Convergence ----


@each_model
@pytest.mark.parametrize("start", ["r_on", "r_off"])
def test_every_model_converges_with_its_own_pulses(model, start):
    device = model()
    low, high = 1 / device.r_off, 1 / device.r_on
    for part in np.linspace(0, 1, 6):
        for target in (low + part * (high - low), low * (high / low) ** part):
            crossbar = Crossbar(model, {}, (3, 3))
            crossbar.write_conductance_matrix(torch.full((3, 3), 1 / getattr(device, start)))
            naive_program(crossbar, (1, 1), target, **model.programming_params)
            assert crossbar.programming_report.outcome[1, 1] == Outcome.CONVERGED
            assert math.isclose(crossbar.devices[1][1].g, target, rel_tol=0.01)


@pytest.mark.parametrize("model", THRESHOLD_MODELS)
@pytest.mark.parametrize("tile_shape", [None, (16, 16)])
def test_whole_arrays_are_within_tolerance_after_a_write(model, tile_shape):
    crossbar = Crossbar(model, {}, (30, 20), tile_shape)
    targets = spread_conductances(model, 30, 20)
    crossbar.write_conductance_matrix(targets, False, naive_program, model.programming_params)
    near = torch.isclose(crossbar.matrix().double(), targets.T, rtol=0.01, atol=0)
    assert near.double().mean() >= 0.99
    assert crossbar.programming_report.counts()["converged"] == 600


def test_data_driven_2021_holds_arrays_between_the_boundaries_of_half_the_voltage():
    # Half of 1.4 V moves resistances below 649 + 1474 * 0.7 = 1681 ohm and above 2699 - 673 * 0.7 = 2228 ohm.
    crossbar = Crossbar(Data_Driven2021, {}, (24, 20))
    targets = 1 / torch.empty(24, 20, dtype=torch.float64).uniform_(1820, 2210)
    pulses = {**Data_Driven2021.programming_params, "pos_voltage_level": 1.4, "neg_voltage_level": -1.4}
    crossbar.write_conductance_matrix(targets, False, naive_program, pulses)
    assert crossbar.programming_report.counts()["converged"] == 480


@pytest.mark.parametrize("model", [Data_Driven, Data_Driven2021])
def test_disturbed_devices_are_counted_in_the_report_and_in_one_warning(model):
    crossbar = Crossbar(model, {}, (12, 10))
    targets = spread_conductances(model, 12, 10)
    with pytest.warns(UserWarning) as caught:
        crossbar.write_conductance_matrix(targets, False, naive_program, model.programming_params)
    error = (crossbar.matrix().double() - targets.T).abs() / torch.maximum(crossbar.matrix().double(), targets.T)
    disturbed = int((error > 0.01).sum())
    assert disturbed > 0
    assert len(caught) == 1
    assert f"[write_conductance_matrix] {disturbed} of 120 devices" in str(caught[0].message)
    report = crossbar.programming_report
    assert report.counts()["disturbed"] == disturbed
    assert report.counts()["converged"] == 120 - disturbed
    torch.testing.assert_close(report.error, error, rtol=1e-12, atol=0)  # the same few operations in another order


def test_polarity_decides_the_sign_of_the_pulses():
    """MemTorch 1.1.6 took +V to raise every model's conductance and drove VTEAM and Data_Driven to the wrong bound."""
    for model in MODELS:
        crossbar = Crossbar(model, {}, (1, 1))
        middle = (1 / crossbar.r_on_mean + 1 / crossbar.r_off_mean) / 2
        crossbar.write_conductance_matrix(torch.full((1, 1), middle))
        options = {**model.programming_params, "failure_iteration_threshold": 1, "rel_tol": 0}
        for target in (1 / crossbar.r_on_mean, 1 / crossbar.r_off_mean):
            before = crossbar.devices[0][0].g
            quietly(naive_program, crossbar, (0, 0), target, **options)
            assert (crossbar.devices[0][0].g - before) * (target - before) > 0


def test_default_arguments_finish():
    """A default pulse of 1 ms is 10^7 samples of VTEAM: all but the first few change nothing and are not computed."""
    crossbar = spread_crossbar(VTEAM, (6, 5))
    target = spread_conductances(VTEAM, 6, 5)
    quietly(crossbar.write_conductance_matrix, target, False, naive_program, {})
    assert crossbar.programming_report.counts()["not_programmed"] == 0


def test_devices_of_python_models_are_programmed_too():
    devices = np.empty((2, 3), dtype=object)
    for index in np.ndindex(2, 3):
        devices[index] = Leaky()
    crossbar = SimpleNamespace(devices=devices)
    # 3e-4 S above 1/r_off = 1e-4 S takes 6.7 steps of 0.05 * 9e-4 S (half a step per half a time step).
    assert naive_program(crossbar, (1, 2), 4e-4, rel_tol=0.08, time_series_resolution=5e-4) is devices
    assert crossbar.programming_report.pulses[1, 2] == 3  # of two samples
    assert crossbar.programming_report.counts() == {
        **dict.fromkeys(("pulse_limit", "timeout", "faulty", "disturbed"), 0),
        "not_programmed": 5,
        "converged": 1,
    }
    assert devices[1, 2].g == pytest.approx(3.7e-4)
    assert devices[0, 0].g == devices[1, 0].g == 1e-4  # half of 1 V is below its threshold
    assert devices[1, 2].time_series_resolution == 1e-3


@pytest.mark.parametrize("tile_shape", [None, (2, 2)])
def test_crossbars_of_python_models_are_programmed_and_report(tile_shape):
    crossbar = Crossbar(Leaky, {"time_series_resolution": 1e-4}, (3, 4), tile_shape)
    targets = torch.empty(3, 4, dtype=torch.float64).uniform_(1e-4, 1e-3)
    pulses = {"pulse_duration": 1e-4, "rel_tol": 0.1}  # a step of 1 % of the range is at most 9 % of g
    crossbar.write_conductance_matrix(targets, False, naive_program, pulses)
    torch.testing.assert_close(crossbar.matrix().double(), targets.T, rtol=0.112, atol=0)  # 10 % of the larger
    counts = crossbar.programming_report.counts()
    assert counts["converged"] == 12
    assert counts["not_programmed"] == crossbar.devices.size - 12
    assert crossbar.programming_report.pulses.sum() > 12


# ---- Limits, force ----


def test_limits_end_programming_and_the_report_says_which():
    crossbar = Crossbar(LinearIonDrift, {}, (2, 2))
    below = {"pos_voltage_level": 0.1, "neg_voltage_level": -0.1, "force_adjustment": 0}
    with pytest.warns(UserWarning, match=r"\[naive_program\] 1 of 1 devices .*failure_iteration_threshold"):
        naive_program(crossbar, (0, 1), 5e-3, failure_iteration_threshold=7, **below)
    with pytest.warns(UserWarning, match="1 reached timeout"):
        naive_program(crossbar, (1, 0), 5e-3, timeout=0, **below)
    report = crossbar.programming_report
    assert report.outcome.tolist() == [[0, Outcome.PULSE_LIMIT], [Outcome.TIMEOUT, 0]]
    assert report.pulses[0, 1] == 7
    assert 1 <= report.pulses[1, 0] <= 65  # the clock is looked at after at most 64
    assert report.error[0, 1].item() == pytest.approx(1 - (1 / 16e3) / 5e-3)
    text = repr(report)
    assert "pulse limit" in text
    assert "timeout" in text
    assert "disturbed" not in text


STUCK = {"pos_voltage_level": 0.1, "neg_voltage_level": -0.1, "rel_tol": 0.02, "failure_iteration_threshold": 20}


@pytest.mark.parametrize(
    ("options", "target", "pulses", "forced", "g"),
    [
        ({"force_adjustment": 1e-4}, 9.5e-3, 4, 4, 9.6e-3),  # 9.6e-3 is the first within 2 %
        ({"force_adjustment": 1.0}, 9.5e-3, 1, 1, 9.5e-3),  # never past the target
        ({"force_adjustment": 1e-4}, 5e-3, 20, 11, 8.9e-3),  # steps end below 9e-3, 10 % from the bound
        ({"force_adjustment": 1e-4, "force_adjustment_rel_tol": 0.02}, 5e-3, 20, 3, 9.7e-3),
        ({"force_adjustment": 0.0}, 9.5e-3, 20, 0, 1e-2),
        (
            {"force_adjustment_pos_voltage_threshold": 0.2, "force_adjustment_neg_voltage_threshold": -0.2},
            9.5e-3,
            20,
            0,
            1e-2,
        ),
        ({"force_adjustment_neg_voltage_threshold": -0.1}, 9.5e-3, 1, 1, 9.5e-3),
    ],
)
def test_a_stuck_device_is_moved_in_steps_towards_its_target(options, target, pulses, forced, g):
    crossbar = Crossbar(LinearIonDrift, {}, (1, 2))
    crossbar.write_conductance_matrix(torch.full((1, 2), 1e-2))
    thresholds = {"force_adjustment_pos_voltage_threshold": 1, "force_adjustment_neg_voltage_threshold": 0}
    quietly(naive_program, crossbar, (0, 0), target, **{**STUCK, **thresholds, **options})
    report = crossbar.programming_report
    assert (report.pulses[0, 0].item(), report.forced[0, 0].item()) == (pulses, forced)
    assert crossbar.devices[0][0].g == pytest.approx(g, rel=1e-5)  # some ten float32 roundings


def test_a_device_in_the_middle_is_not_forced():
    crossbar = Crossbar(LinearIonDrift, {}, (1, 1))
    crossbar.write_conductance_matrix(torch.full((1, 1), 5e-3))
    quietly(naive_program, crossbar, (0, 0), 7e-3, **STUCK)
    assert crossbar.devices[0][0].g == pytest.approx(5e-3)
    assert crossbar.programming_report.forced.item() == 0


def test_a_stuck_device_can_be_pulsed_at_a_raised_voltage():
    crossbar = Crossbar(LinearIonDrift, {}, (1, 1))
    crossbar.write_conductance_matrix(torch.full((1, 1), 1e-2))
    options = {**STUCK, "pulse_duration": 1e-4, "failure_iteration_threshold": 200}
    naive_program(crossbar, (0, 0), 9.4e-3, force_adjustment_voltage=0.5, **options)
    report = crossbar.programming_report
    # Pulses at -0.6 V move it, those at -0.1 V in between do not.
    assert report.outcome.item() == Outcome.CONVERGED
    assert report.pulses.item() == 2 * report.forced.item() > 0


# ---- Crossbars, layers, models ----


def test_padding_is_not_programmed_but_sees_pulses():
    crossbar = Crossbar(VTEAM, {}, (3, 3), (2, 2))
    used = crossbar._in_cells(torch.ones(3, 3)) != 0
    crossbar.write_conductance_matrix(torch.full((3, 3), 0.01))
    before = crossbar.conductance_matrix.clone()
    quietly(crossbar.write_conductance_matrix, spread_conductances(VTEAM, 3, 3), False, naive_program, ROUGH[VTEAM])
    outcome = crossbar.programming_report.outcome
    assert bool((outcome[used] != Outcome.NOT_PROGRAMMED).all())
    assert bool((outcome[~used] == Outcome.NOT_PROGRAMMED).all())
    assert bool((crossbar.conductance_matrix[~used] != before[~used]).any())


def test_an_exact_write_has_no_report_and_reports_are_copied():
    crossbar = Crossbar(VTEAM, {}, (3, 2))
    assert crossbar.programming_report is None
    crossbar.write_conductance_matrix(spread_conductances(VTEAM, 3, 2), False, naive_program, VTEAM.programming_params)
    for copied in (copy.deepcopy(crossbar), pickle.loads(pickle.dumps(crossbar))):
        assert_same_reports(copied.programming_report, crossbar.programming_report)
    crossbar.write_conductance_matrix(spread_conductances(VTEAM, 3, 2))
    assert crossbar.programming_report is None


def test_targets_of_a_matrix_are_clipped_to_each_device():
    r_on = torch.tensor([[50.0, 60.0], [70.0, 80.0]], dtype=torch.float64)
    crossbar = Crossbar(VTEAM, {"r_on": r_on}, (2, 2))
    crossbar.write_conductance_matrix(torch.ones(2, 2), False, naive_program, VTEAM.programming_params)
    torch.testing.assert_close(crossbar.conductance_matrix.double(), 1 / r_on, rtol=0.0102, atol=0)  # rel_tol, rounded


def test_float32_targets_at_the_bounds_are_in_range():
    crossbar = Crossbar(VTEAM, {"r_on": 1e3, "r_off": 3e4}, (1, 1))
    for bound in (1 / torch.tensor(1e3), 1 / torch.tensor(3e4)):
        naive_program(crossbar, (0, 0), bound, **{**VTEAM.programming_params, "pos_voltage_level": 1.0})
    with pytest.raises(InvalidArgument, match="conductance"):
        naive_program(crossbar, (0, 0), 1e-9)


def test_partial_routines_are_programmed_in_one_go_as_well():
    routine = functools.partial(naive_program, **VTEAM.programming_params)
    crossbar = Crossbar(VTEAM, {}, (3, 2))
    crossbar.write_conductance_matrix(spread_conductances(VTEAM, 3, 2), False, routine, {"rel_tol": 0.05})
    assert crossbar.programming_report.counts()["converged"] == 6
    assert crossbar.programming_report.error.max() > 0.01


@pytest.mark.parametrize("scheme", list(Scheme))
@pytest.mark.parametrize("tile_shape", [None, (4, 3)])
def test_crossbars_are_initialised_by_pulses(scheme, tile_shape):
    weights = torch.randn(5, 6)
    arguments = (weights, LinearIonDrift, {}, False, naive_map, naive_program, LinearIonDrift.programming_params)
    pulsed, _ = init_crossbar(*arguments, scheme=scheme, tile_shape=tile_shape)
    exact, _ = init_crossbar(*arguments[:3], True, naive_map, None, scheme=scheme, tile_shape=tile_shape)
    for a, b in zip(pulsed, exact, strict=True):
        torch.testing.assert_close(a.matrix(), b.matrix(), rtol=0.0102, atol=0)  # rel_tol of the larger, and rounding
        assert a.programming_report.counts()["converged"] == 30


@pytest.mark.parametrize("scheme", list(Scheme))
@pytest.mark.parametrize("tile_shape", [None, (16, 16)])
def test_patched_models_are_programmed_and_compute(scheme, tile_shape):
    digital = torch.nn.Sequential(torch.nn.Conv1d(3, 6, 3), torch.nn.Flatten(), torch.nn.Linear(36, 4))
    patched = patch_model(
        copy.deepcopy(digital),
        memristor_model=VTEAM,
        memristor_model_params={},
        mapping_routine=naive_map,
        transistor=False,
        programming_routine=naive_program,
        programming_routine_params=VTEAM.programming_params,
        scheme=scheme,
        tile_shape=tile_shape,
        verbose=False,
    )
    for layer in (patched[0], patched[2]):
        for crossbar in layer.crossbars:
            counts = crossbar.programming_report.counts()
            assert counts["converged"] + counts["not_programmed"] == crossbar.devices.size
    x = torch.randn(64, 3, 8)
    error = (patched(x) - digital(x)).std() / digital(x).std()
    assert 0 < error < 0.1  # each conductance is up to 1 % off: of 1/r_on = 20/r_off, where weights are differences


def test_noise_is_reproduced_by_torch_seeds():
    def programmed(seed):
        torch.manual_seed(0)
        crossbar = Crossbar(Stanford_PKU, {"model_switch": 1}, (4, 3))
        targets = spread_conductances(Stanford_PKU, 4, 3)
        torch.manual_seed(seed)
        options = {**Stanford_PKU.programming_params, "failure_iteration_threshold": 50}
        quietly(crossbar.write_conductance_matrix, targets, False, naive_program, options)
        return crossbar.conductance_matrix

    assert torch.equal(programmed(1), programmed(1))
    assert not torch.equal(programmed(1), programmed(2))
