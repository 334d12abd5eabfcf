"""Programming through wires and under bias schemes, against nodal analysis before every pulse."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from device_tools import MODELS, assert_same_columns, each_model, spread_conductances, spread_crossbar
from program_tools import ROUGH, Leaky, assert_same_reports, quietly
from python_models import PythonDrift, PythonVTEAM
from reference import program as reference

import memtorch
from memtorch import InvalidArgument, _engine
from memtorch.bh import Crossbar, Scheme, init_crossbar, naive_program
from memtorch.bh.crossbar._programming import Outcome
from memtorch.bh.crossbar._wires import Wires
from memtorch.bh.memristor import VTEAM, LinearIonDrift
from memtorch.map.Parameter import naive_map

SCHEMES = list(reference.SCHEMES)
each_scheme = pytest.mark.parametrize("scheme", SCHEMES)

# Of word and bit lines between cells, at the drivers, at the sense ends.
OHM = {"word": 2.0, "bit": 3.0, "source": 5.0, "load": 7.0}
RESISTANCES = {"source_resistance": (5.0, 7.0), "line_resistance": (2.0, 3.0)}
IDEAL = dict.fromkeys(OHM, 0.0)
# Of which VTEAM's pulses, twice their threshold, leave enough everywhere.
SLIGHT = {"source_resistance": (0.05, 0.07), "line_resistance": (0.02, 0.03)}

# Resistances (ohm) of a tile whose voltages were recorded.
RECORDED_OHM = torch.tensor([[345, 903, 755, 257, 646], [652, 401, 508, 166, 454], [442, 874, 190, 244, 635.0]])


# ---- Voltages ----


def voltmeters(g):
    """A crossbar of conductances g [rows, columns] (S) whose devices move by 3e-4 of their range per volt and pulse."""
    params = {"r_on": 1.0, "r_off": 2000.0, "v_off": 1e-20, "v_on": -1e-20, "alpha_off": 1, "alpha_on": 1}
    params |= {"k_off": 3e-26, "k_on": -3e-26, "d": 1e-9, "x_off": 1e-9, "time_series_resolution": 1e-7}
    crossbar = Crossbar(VTEAM, params, tuple(g.T.shape))
    crossbar.write_conductance_matrix(g.T)
    return crossbar


def readings(crossbar, cell, **options):
    """What all devices see of a pulse of 1 V on one of them (V) [rows, columns]."""
    x = crossbar.devices.column("x").clone()
    pulse = {"pulse_duration": 1e-7, "failure_iteration_threshold": 1, "force_adjustment": 0}
    quietly(naive_program, crossbar, cell, 1 / 2000, **pulse, **options)
    return (crossbar.devices.column("x") - x) / (3e-6 * 1e-7)


def test_voltages_are_those_recorded_of_write_disturb():
    """Nodal analysis with badcrossbar 1.1.0, 8 decimals."""
    volts = readings(voltmeters(1 / RECORDED_OHM), (1, 2), source_resistance=0.5, line_resistance=0.5)
    recorded = [
        [-0.00106924, -0.00185394, 0.49482542, -0.00382967, -0.00200413],
        [0.49528808, 0.49124415, 0.98560604, 0.48461198, 0.48590674],
        [-0.00165729, -0.00317335, 0.49355514, -0.00527542, -0.00436073],
    ]
    # Half of the last digit, and conductances in float32: 6e-8 of a voltage drop of 1.5 %.
    torch.testing.assert_close(volts, torch.tensor(recorded, dtype=torch.float64), rtol=0, atol=6e-9)


@each_scheme
@pytest.mark.parametrize("ohm", [IDEAL, OHM, {**IDEAL, "source": 40.0}, {**IDEAL, "bit": 300.0}])
@pytest.mark.parametrize("shape", [(3, 5), (1, 4), (4, 1), (1, 1)])
def test_voltages_are_those_of_nodal_analysis(scheme, ohm, shape):
    g = torch.empty(shape, dtype=torch.float64).uniform_(1e-3, 0.5)
    crossbar = voltmeters(g)
    cell = (shape[0] // 2, shape[1] - 1)
    stored = crossbar.conductance_matrix.double().numpy()
    given = {"source_resistance": (ohm["source"], ohm["load"]), "line_resistance": (ohm["word"], ohm["bit"])}
    volts = readings(crossbar, cell, bias_scheme=scheme, **given)
    expected = torch.from_numpy(reference.parts(stored, cell, scheme, **ohm))
    # States of 1e-9 m resolve 2e-25 m of the 3e-13 m that they move per volt; circuits are solved to 1e-12.
    torch.testing.assert_close(volts, expected, rtol=0, atol=1e-11)


# ---- Against the slow loop ----


@each_scheme
@pytest.mark.parametrize("ohm", [IDEAL, OHM])
@pytest.mark.parametrize("neighbours", [True, False])
@pytest.mark.parametrize("model", [(VTEAM, PythonVTEAM), (LinearIonDrift, PythonDrift)], ids=lambda m: m[0].__name__)
def test_arrays_are_written_as_by_nodal_analysis_before_every_pulse(model, ohm, neighbours, scheme):
    built_in, in_python = model
    pulses = {"pos_voltage_level": 0.5, "neg_voltage_level": -0.5, "pulse_duration": 2e-10}
    if built_in is LinearIonDrift:  # moves at any voltage
        pulses = {"pos_voltage_level": 4.0, "neg_voltage_level": -3.0, "pulse_duration": 5e-4}
    params = {"pos_write_threshold": 0.0, "neg_write_threshold": 0.0} if built_in is LinearIonDrift else {}
    engine = Crossbar(built_in, params, (3, 4))
    objects = Crossbar(in_python, {}, (3, 4))
    slow = np.empty((4, 3), dtype=object)
    start, targets = spread_conductances(built_in, 3, 4), spread_conductances(built_in, 3, 4)
    for crossbar in (engine, objects):
        crossbar.write_conductance_matrix(start)
    for cell in np.ndindex(4, 3):
        slow[cell] = in_python()
        slow[cell].polarity = built_in.polarity
        slow[cell].set_conductance(float(objects.devices[cell].g))
        objects.devices[cell].polarity = built_in.polarity
        if built_in is LinearIonDrift:
            slow[cell].parameters = _moving(slow[cell])
            objects.devices[cell].parameters = _moving(objects.devices[cell])
    given = {} if ohm is IDEAL else RESISTANCES
    options = {**pulses, **given, "bias_scheme": scheme, "simulate_neighbours": neighbours}
    samples = round(pulses["pulse_duration"] / engine.time_series_resolution)
    for cell in [(0, 2), (3, 0), (1, 1)]:
        target = targets.T[cell].item()
        limits = {"rel_tol": 0.02, "failure_iteration_threshold": 12, "force_adjustment": 0}
        for crossbar in (engine, objects):
            quietly(naive_program, crossbar, cell, target, **options, **limits)
        levels = pulses["pos_voltage_level"], pulses["neg_voltage_level"]
        count = reference.write_verify(slow, cell, target, scheme, ohm, *levels, samples, 0.02, 12, neighbours)
        assert engine.programming_report.pulses[cell] == objects.programming_report.pulses[cell] == count
    expected = torch.tensor([[float(slow[i, j].g) for j in range(3)] for i in range(4)], dtype=torch.float64)
    torch.testing.assert_close(objects.devices.column("g").double(), expected, rtol=2e-7, atol=0)  # float32 shown
    # Conductances that the circuit sees are rounded to float32 in the engine, some dozens of times.
    torch.testing.assert_close(engine.conductance_matrix.double(), expected, rtol=5e-6, atol=0)


def _moving(device):
    parameters = type(device).parameters
    return lambda: {**parameters(device), "pos_write_threshold": 0.0, "neg_write_threshold": 0.0}


@each_scheme
def test_a_python_model_is_disturbed_by_what_it_sees(scheme):
    """Leaky devices move from 0.5 V on: at 1.4 V those in row and column under V/2 do, under V/3 nobody else does."""
    crossbar = Crossbar(Leaky, {}, (3, 4))
    middle = torch.full((3, 4), 5.5e-4)
    crossbar.write_conductance_matrix(middle)
    before = crossbar.conductance_matrix.clone()
    pulse = {"pos_voltage_level": 1.4, "neg_voltage_level": -1.4, "failure_iteration_threshold": 1}
    quietly(naive_program, crossbar, (1, 1), 1e-3, bias_scheme=scheme, **pulse)
    moved = (crossbar.conductance_matrix != before).tolist()
    # Floating, the way around is 2, then 6, then 3 equal devices side by side: they divide V like 3 : 1 : 2.
    volts = 1.4 * reference.parts(before.double().numpy(), (1, 1), scheme)
    assert moved == (np.abs(volts) > 0.5).tolist()
    assert sum(map(sum, moved)) == {"V/2": 6, "V/3": 1, "floating": 3}[scheme]


@each_model
def test_hardly_any_resistance_is_none(model):
    for scheme in SCHEMES:
        ideal = spread_crossbar(model)
        wired = copy.deepcopy(ideal)
        targets = spread_conductances(model, 4, 5)
        options = {**ROUGH[model], "failure_iteration_threshold": 6, "bias_scheme": scheme}
        quietly(ideal.write_conductance_matrix, targets, False, naive_program, options)
        quietly(wired.write_conductance_matrix, targets, False, naive_program, {**options, "line_resistance": 1e-20})
        # Rounding of voltages, 1e-12, may round a conductance to the neighbouring float32.
        torch.testing.assert_close(wired.matrix(), ideal.matrix(), rtol=3e-7, atol=0)
        assert torch.equal(wired.programming_report.pulses, ideal.programming_report.pulses)


@each_model
@each_scheme
@pytest.mark.parametrize("resistances", [{}, RESISTANCES])
def test_a_matrix_is_programmed_as_cell_by_cell_and_on_any_number_of_threads(model, scheme, resistances):
    options = {**ROUGH[model], "failure_iteration_threshold": 5, "bias_scheme": scheme, **resistances}
    whole = spread_crossbar(model, tile_shape=(3, 2))
    single, threaded = copy.deepcopy(whole), copy.deepcopy(whole)
    targets = spread_conductances(model, 4, 5)
    quietly(whole.write_conductance_matrix, targets, False, naive_program, options)
    for point, row, column in single._used_cells():
        quietly(naive_program, single, point, float(targets.T[row, column]), **options)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        quietly(threaded.write_conductance_matrix, targets, False, naive_program, options)
    finally:
        torch.set_num_threads(before)
    for other in (single, threaded):
        assert_same_columns(whole, other)
    assert_same_reports(whole.programming_report, threaded.programming_report)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_cell_far_from_driver_and_sense_end_takes_more_pulses(scheme):
    pulses = []
    for cell in [(15, 0), (0, 15)]:  # word lines are driven at the left, bit lines sensed at the bottom
        crossbar = Crossbar(LinearIonDrift, {}, (16, 16))
        crossbar.write_conductance_matrix(torch.full((16, 16), 1e-3))
        options = {"pos_voltage_level": 2.0, "rel_tol": 0.1, "simulate_neighbours": False, "bias_scheme": scheme}
        naive_program(crossbar, cell, 3e-3, source_resistance=5.0, line_resistance=5.0, **options)
        assert crossbar.programming_report.outcome[cell] == Outcome.CONVERGED
        pulses.append(crossbar.programming_report.pulses[cell].item())
    assert pulses[1] > pulses[0]


@each_scheme
def test_a_device_that_does_not_move_is_given_up_after_its_timeout(scheme):
    crossbar = spread_crossbar(LinearIonDrift)
    below = {"pos_voltage_level": 0.1, "neg_voltage_level": -0.1, "force_adjustment": 0, "timeout": 0}
    quietly(naive_program, crossbar, (1, 2), 0.01, bias_scheme=scheme, line_resistance=1.0, **below)
    assert crossbar.programming_report.outcome[1, 2] == Outcome.TIMEOUT
    assert 1 <= crossbar.programming_report.pulses[1, 2] <= 65  # the clock is looked at after at most 64


@each_scheme
def test_a_stuck_device_is_forced_by_the_voltage_of_its_driver(scheme):
    """The device itself sees less than the threshold of 0.1 V."""
    crossbar = Crossbar(LinearIonDrift, {}, (2, 2))
    crossbar.write_conductance_matrix(torch.full((2, 2), 1e-2))
    pulses = {"pos_voltage_level": 0.1, "neg_voltage_level": -0.1, "rel_tol": 0.02, "force_adjustment": 1e-4}
    pulses |= {"force_adjustment_pos_voltage_threshold": 1, "force_adjustment_neg_voltage_threshold": -0.1}
    naive_program(crossbar, (0, 1), 9.5e-3, bias_scheme=scheme, source_resistance=50.0, **pulses)
    assert crossbar.programming_report.forced[0, 1] == 4  # 9.6e-3 S is the first within 2 %
    assert crossbar.devices[0][1].g == pytest.approx(9.6e-3, rel=1e-6)  # four float32 roundings


# ---- Which wires ----


def test_layers_program_through_their_wires():
    def written(programming_params, **options):
        torch.manual_seed(0)
        layer = memtorch.mn.Linear(
            torch.nn.Linear(6, 5),
            VTEAM,
            {},
            transistor=False,
            programming_routine=naive_program,
            programming_routine_params={**VTEAM.programming_params, **programming_params},
            verbose=False,
            **options,
        )
        return layer, [crossbar.conductance_matrix for crossbar in layer.crossbars]

    layer, through = written({}, **SLIGHT)
    _, ideal = written({})
    _, told = written(SLIGHT)
    _, refused = written({"source_resistance": 0}, **SLIGHT)
    assert all(map(torch.equal, through, told))
    assert all(map(torch.equal, ideal, refused))
    assert not any(map(torch.equal, through, ideal))
    assert layer.crossbars[0].wires == Wires(0.02, 0.03, 0.05, 0.07)
    assert copy.deepcopy(layer).crossbars[0].wires == pickle.loads(pickle.dumps(layer)).crossbars[1].wires
    layer.line_resistance = 1.0
    assert layer.crossbars[1].wires == Wires(1.0, 1.0, 0.05, 0.07)
    layer.line_resistance = layer.source_resistance = None
    assert layer.crossbars[0].wires is None


def test_a_crossbar_meets_its_own_wires_unless_told_otherwise():
    arguments = (torch.randn(4, 5), VTEAM, {}, False, naive_map, naive_program, VTEAM.programming_params)
    (wired,), _ = init_crossbar(*arguments, scheme=Scheme.SingleColumn, tile_shape=None, **SLIGHT)
    told, free = copy.deepcopy(wired), copy.deepcopy(wired)
    told.wires = free.wires = None
    target = wired.devices[4, 3].g + 1e-3
    naive_program(wired, (4, 3), target, **VTEAM.programming_params)
    naive_program(told, (4, 3), target, **VTEAM.programming_params, **SLIGHT)
    naive_program(free, (4, 3), target, **VTEAM.programming_params)
    assert_same_columns(wired, told)
    assert not torch.equal(wired.conductance_matrix, free.conductance_matrix)
    with pytest.raises(InvalidArgument, match=r"\[init_crossbar\] line_resistance \(-1 ohm\)"):
        init_crossbar(*arguments, line_resistance=-1)


def test_one_resistance_given_leaves_the_other_at_zero():
    one, both = spread_crossbar(VTEAM), spread_crossbar(VTEAM)
    both.write_conductance_matrix(one.conductance_matrix.T)
    one.wires = Wires(9.0, 9.0, 9.0, 9.0)
    naive_program(one, (2, 2), 0.01, **VTEAM.programming_params, line_resistance=0.02)
    naive_program(both, (2, 2), 0.01, **VTEAM.programming_params, line_resistance=(0.02, 0.02), source_resistance=0)
    assert_same_columns(one, both)


def test_padding_cells_conduct_and_are_disturbed():
    crossbar = Crossbar(VTEAM, {}, (3, 3), (2, 2))
    padding = crossbar._in_cells(torch.ones(3, 3)) == 0
    crossbar.write_conductance_matrix(torch.full((3, 3), 0.01))
    before = crossbar.conductance_matrix.clone()
    options = {**ROUGH[VTEAM], "bias_scheme": "floating", **RESISTANCES}
    quietly(crossbar.write_conductance_matrix, spread_conductances(VTEAM, 3, 3), False, naive_program, options)
    assert bool((crossbar.programming_report.outcome[padding] == Outcome.NOT_PROGRAMMED).all())
    assert bool((crossbar.conductance_matrix[padding] != before[padding]).any())


# ---- Errors ----


@pytest.mark.parametrize("model", [VTEAM, PythonVTEAM])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bias_scheme", "V/4"),
        ("bias_scheme", None),
        ("bias_scheme", ["V/2"]),
        ("source_resistance", -1),
        ("source_resistance", float("nan")),
        ("line_resistance", (1, 2, 3)),
        ("line_resistance", (1, 1e13)),
        ("line_resistance", "1"),
    ],
)
def test_bad_options_are_named_and_change_nothing(model, name, value):
    crossbar = Crossbar(model, {}, (3, 4))
    crossbar.write_conductance_matrix(spread_conductances(VTEAM, 3, 4))
    before = crossbar.conductance_matrix.clone()
    options = {**VTEAM.programming_params, name: value}
    with pytest.raises(InvalidArgument, match=rf"\[naive_program\] {name} "):
        naive_program(crossbar, (0, 0), 0.01, **options)
    with pytest.raises(InvalidArgument, match=rf"\[write_conductance_matrix\] {name} "):
        crossbar.write_conductance_matrix(spread_conductances(VTEAM, 3, 4), False, naive_program, options)
    assert torch.equal(crossbar.conductance_matrix, before)
    assert crossbar.programming_report is None


@pytest.mark.parametrize("model", [LinearIonDrift, PythonDrift])
def test_a_circuit_that_is_not_solved_is_an_error_and_changes_nothing(model):
    """Wires of 1e6 ohm leave rounding above the tolerance between devices of 1 ohm, those of the second tile."""
    crossbar = Crossbar(model, {"r_on": 1.0, "r_off": 1e5}, (6, 10), (5, 6))
    start = torch.full((6, 10), 2e-5)
    start[:, 5:].uniform_(0.1, 1)
    crossbar.write_conductance_matrix(start)

    def states():
        return [(float(crossbar.devices[cell].g), float(crossbar.devices[cell].x)) for cell in np.ndindex(2, 5, 6)]

    before = states()
    options = {"pos_voltage_level": 5.0, "failure_iteration_threshold": 3, "line_resistance": 1e6}
    before_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the first tile is written before the second fails
    try:
        with pytest.raises(RuntimeError, match="residual"):
            crossbar.write_conductance_matrix(torch.full((6, 10), 0.5), False, naive_program, options)
    finally:
        torch.set_num_threads(before_threads)
    with pytest.raises(RuntimeError, match="residual"):
        naive_program(crossbar, (1, 0, 4), 0.5, **{**options, "line_resistance": 1e9})
    assert states() == before
    assert crossbar.programming_report is None
    quietly(naive_program, crossbar, (0, 4, 0), 0.5, **options)
    assert states() != before


def test_plain_arrays_of_objects_are_restored_too(monkeypatch):
    devices = np.empty((2, 2), dtype=object)
    for index in np.ndindex(2, 2):
        devices[index] = Leaky()
    solver, calls = _engine.GridSolver, []

    class Failing:
        def __init__(self, *args):
            self.solver = solver(*args)
            self.nodes_workspace = self.solver.nodes_workspace

        def solve_nodes(self, *args, **kwargs):
            calls.append(1)
            if len(calls) > 2:
                raise RuntimeError("residual")
            self.solver.solve_nodes(*args, **kwargs)

    monkeypatch.setattr("memtorch._wire_ops._engine.GridSolver", Failing)
    crossbar = type("Plain", (), {"devices": devices})()
    with pytest.raises(RuntimeError, match="residual"):
        naive_program(crossbar, (0, 1), 1e-3, bias_scheme="floating", pos_voltage_level=2, neg_voltage_level=-2)
    assert [devices[index].g for index in np.ndindex(2, 2)] == [1e-4] * 4
    assert len(calls) > 2


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("volts", [1e-300, 30, 1.7e308])
@pytest.mark.parametrize("step", [1e-300, 1.0, 1e300])
@each_scheme
def test_no_pulse_gives_what_is_no_number(model, volts, step, scheme):
    crossbar = spread_crossbar(model, (3, 3))
    pulses = {
        "pos_voltage_level": volts,
        "neg_voltage_level": -volts,
        "pulse_duration": 2 * step,
        "time_series_resolution": step,
        "failure_iteration_threshold": 4,
        "bias_scheme": scheme,
        "line_resistance": 1.0,
    }
    quietly(crossbar.write_conductance_matrix, spread_conductances(model, 3, 3), False, naive_program, pulses)
    slack = 2.0**-22  # float32 conductances
    assert crossbar.conductance_matrix.min() >= (1 - slack) / crossbar.r_off_mean
    assert crossbar.conductance_matrix.max() <= (1 + slack) / crossbar.r_on_mean
    assert bool(torch.isfinite(crossbar.programming_report.error).all())
