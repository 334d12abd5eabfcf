"""Crossbars of device models written in Python: equal to the built-in models that they re-implement, one storage."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from python_models import (
    DOUBLE,
    FLOAT32,
    SWING,
    Counting,
    Preset,
    PythonVTEAM,
    Strict,
    crossbar_pair,
    each_pair,
    each_tiling,
)
from torch import nn

import memtorch
from memtorch import InvalidArgument
from memtorch.bh import Crossbar, Scheme, StochasticParameter
from memtorch.bh._object_array import ObjectArray
from memtorch.bh.memristor import VTEAM
from memtorch.mn.Module import patch_model


def assert_alike(mine, other, tolerance=FLOAT32):
    torch.testing.assert_close(mine.conductance_matrix, other.conductance_matrix, rtol=tolerance, atol=0)


def shown(crossbar):
    """What the objects hold, as the matrix must show it."""
    g = [device.g for device in np.asarray(crossbar.devices).flat]
    return torch.tensor(g, dtype=torch.float32).view(crossbar.devices.shape)


# ---- Equal to the built-in models ----


@each_pair
@each_tiling
def test_writes_reads_and_updates_equal_the_built_in_model(python, built_in, tile_shape):
    mine, other = crossbar_pair(python, built_in, tile_shape)
    assert isinstance(mine.devices, ObjectArray)
    assert mine.devices.shape == other.devices.shape
    assert (mine.r_on_mean, mine.r_off_mean) == (other.r_on_mean, other.r_off_mean)
    assert mine.time_series_resolution == other.time_series_resolution
    assert_alike(mine, other)
    assert torch.equal(mine.conductance_matrix, shown(mine))
    v = torch.randn(6, 5)
    # Products of five terms, each rounded to float32.
    torch.testing.assert_close(mine.read(v), other.read(v), rtol=1e-5, atol=1e-7)
    for from_devices in (True, False):
        mine.update(from_devices)
        other.update(from_devices)
        assert_alike(mine, other)


@each_pair
@each_tiling
def test_voltages_move_the_devices_as_they_move_built_in_ones(python, built_in, tile_shape):
    mine, other = crossbar_pair(python, built_in, tile_shape)
    signal = SWING[python] * np.sin(np.linspace(0, 9, 25))
    currents = [c.devices.simulate(signal, return_current=True) for c in (mine, other)]
    assert currents[0].shape == (*mine.devices.shape, 25)
    torch.testing.assert_close(*currents, rtol=DOUBLE, atol=1e-15)
    assert_alike(mine, other, 2 * FLOAT32)
    each = SWING[python] * torch.randn(*mine.devices.shape, 7, dtype=torch.float64)
    currents = [c.devices.simulate(each, return_current=True) for c in (mine, other)]
    torch.testing.assert_close(*currents, rtol=DOUBLE, atol=1e-15)
    assert [c.devices.simulate(signal) for c in (mine, other)] == [None, None]
    one = [c.devices.simulate([SWING[python]] * 3, return_current=True, row=2) for c in (mine, other)]
    assert one[0].shape == (3,)
    torch.testing.assert_close(*one, rtol=DOUBLE, atol=0)
    last = (0,) * (len(mine.devices.shape) - 1) + (1,)
    pulse = [-SWING[python]] * 4
    np.testing.assert_allclose(
        mine.devices[last].simulate(pulse, return_current=True),
        other.devices[last].simulate(pulse, return_current=True),
        rtol=DOUBLE,
    )


@each_pair
@pytest.mark.parametrize("scheme", list(Scheme), ids=lambda scheme: scheme.name)
@pytest.mark.parametrize(
    "options",
    [{}, {"tile_shape": (3, 2)}, {"tile_shape": (3, 2), "ADC_resolution": 8, "quant_method": "linear"}],
    ids=["plain", "tiled", "adc"],
)
def test_a_patched_network_equals_one_of_the_built_in_model(python, built_in, scheme, options):
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    models = [
        patch_model(copy.deepcopy(network), model, {}, scheme=scheme, verbose=False, **options)
        for model in (python, built_in)
    ]
    x = torch.randn(5, 1, 4, 4)
    kwargs = {str(memtorch.mn.Conv2d): {"input_batch_size": 2, "input_shape": 4}}
    # Conductances differ by a float32 spacing; a converter of 8 bits may round that to the next of 256 levels.
    tolerance = 0.03 if "quant_method" in options else 2e-5
    scale = network(x).abs().max().item()
    for tuned in (False, True):
        if tuned:
            for model in models:
                model.tune_(kwargs)
        mine, other = (model(x) for model in models)
        torch.testing.assert_close(mine, other, rtol=0, atol=tolerance * scale)
        assert mine.std() > 0
    if not options:
        torch.testing.assert_close(models[0](x), network(x), rtol=0, atol=1e-4 * scale)  # rounding of conductances


def test_stochastic_parameters_are_drawn_for_every_device_and_the_reference_has_their_means():
    r_on = StochasticParameter(loc=100.0, scale=10.0, min=50.0)
    crossbar = Crossbar(PythonVTEAM, {"r_on": r_on, "r_off": 5e3}, (6, 5))
    drawn = crossbar.devices.parameter("r_on")
    assert drawn.shape == (5, 6)
    assert len(drawn.unique()) == 30
    assert crossbar.r_on_mean == 100.0
    assert crossbar.devices.parameter("r_off") == crossbar.r_off_mean == 5e3
    crossbar.write_conductance_matrix(torch.ones(6, 5))
    torch.testing.assert_close(crossbar.conductance_matrix, (1 / drawn).float(), rtol=FLOAT32, atol=0)
    torch.manual_seed(5)
    first = Crossbar(PythonVTEAM, {"r_on": r_on}, (2, 2)).devices.parameter("r_on")
    torch.manual_seed(5)
    assert torch.equal(first, Crossbar(PythonVTEAM, {"r_on": r_on}, (2, 2)).devices.parameter("r_on"))


def test_a_constructor_without_keyword_arguments_gets_means_for_its_reference():
    crossbar = Crossbar(Strict, {"r_on": StochasticParameter(loc=100.0, scale=10.0)}, (3, 3))
    assert crossbar.r_on_mean == 100.0
    assert len(crossbar.devices.parameter("r_on").unique()) == 9


def test_a_constructor_that_takes_any_keyword_is_told_which_device_is_the_reference():
    class Told(PythonVTEAM):
        references = 0

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            Told.references += bool(kwargs.get("reference"))

    Crossbar(Told, {"r_on": 60.0}, (2, 2))
    assert Told.references == 1


def test_random_initialisation_lies_within_the_range():
    crossbar = Crossbar(PythonVTEAM, {}, (6, 6), random_crossbar_init=True)
    assert crossbar.conductance_matrix.min() >= 1 / 1000 * (1 - FLOAT32)
    assert crossbar.conductance_matrix.max() <= 1 / 50 * (1 + FLOAT32)
    assert len(crossbar.conductance_matrix.unique()) > 30
    assert torch.equal(crossbar.conductance_matrix, shown(crossbar))


# ---- Subclasses of built-in models ----


def test_a_subclass_that_overrides_the_physics_of_a_built_in_model_is_used_as_it_is():
    mine, other = crossbar_pair(Counting, VTEAM, (3, 2))
    assert isinstance(mine.devices, ObjectArray)
    assert_alike(mine, other)
    for crossbar in (mine, other):
        crossbar.devices.simulate([0.2, -0.3])
    assert_alike(mine, other)
    assert {device.pulses for device in mine.devices.flat} == {1}
    for copied in (copy.deepcopy(mine), pickle.loads(pickle.dumps(mine))):
        assert {device.pulses for device in copied.devices.flat} == {1}
        assert torch.equal(copied.conductance_matrix, mine.conductance_matrix)


def test_a_subclass_with_a_constructor_of_its_own_keeps_it():
    crossbar = Crossbar(Preset, {}, (2, 3))
    assert (crossbar.r_on_mean, crossbar.r_off_mean) == (20.0, 400.0)
    assert crossbar.devices.parameter("r_on") == 20.0
    crossbar.write_conductance_matrix(torch.ones(2, 3))
    torch.testing.assert_close(crossbar.conductance_matrix, torch.full((3, 2), 1 / 20), rtol=FLOAT32, atol=0)


# ---- One storage ----


def test_devices_are_the_objects_themselves_and_behave_like_an_object_array():
    crossbar = Crossbar(PythonVTEAM, {}, (4, 5), (3, 2))
    devices = crossbar.devices
    assert type(devices[1][2][0]) is PythonVTEAM
    assert devices[1][2][0] is devices[1, 2, 0]
    assert np.asarray(devices).shape == devices.shape == (4, 3, 2)
    assert [d for row in devices[0] for d in row] == list(devices[0].flat)
    assert np.vectorize(lambda d: d.r_on)(devices).tolist() == np.full((4, 3, 2), 50.0).tolist()
    assert repr(crossbar) == "Crossbar(PythonVTEAM, rows=5, columns=4, 4 tiles of (3, 2), 24 Python objects)"
    assert repr(crossbar.devices) == "ObjectArray(PythonVTEAM, shape=(4, 3, 2))"
    assert repr(crossbar.devices[0, 1]) == "DeviceRow(PythonVTEAM, shape=(2,))"


def test_objects_and_matrix_are_one_storage():
    crossbar = Crossbar(PythonVTEAM, {}, (4, 5))
    devices = crossbar.devices
    devices[1][2].set_conductance(0.01)
    assert crossbar.conductance_matrix[1, 2].item() == np.float32(0.01)
    devices[0][0].g = 0.015
    assert crossbar.matrix()[0, 0].item() == np.float32(0.015)
    assert crossbar.max_abs_conductance.item() == np.float32(0.015)
    crossbar.conductance_matrix[2, 3] = 0.004
    assert devices[2][3].g == np.float32(0.004)
    assert devices[2][3].x == pytest.approx(3e-9 * (1 / 0.004 - 50) / 950, rel=1e-6)  # float32 target
    crossbar.conductance_matrix = torch.full((5, 4), 0.007)
    assert {device.g for device in devices.flat} == {float(np.float32(0.007))}
    crossbar.conductance_matrix[0, 0] = 5.0  # a device holds no more than 1 / r_on
    assert crossbar.conductance_matrix[0, 0].item() == np.float32(1 / 50)
    assert torch.equal(crossbar.conductance_matrix, shown(crossbar))


def test_what_is_written_into_the_matrix_wins_over_what_an_object_did_meanwhile():
    crossbar = Crossbar(PythonVTEAM, {}, (2, 2))
    matrix = crossbar.conductance_matrix
    crossbar.devices[0][0].set_conductance(0.01)
    crossbar.devices[0][1].set_conductance(0.012)
    matrix[0, 0] = 0.005
    assert crossbar.devices[0][0].g == np.float32(0.005)
    assert crossbar.conductance_matrix[0].tolist() == [np.float32(0.005), np.float32(0.012)]


def test_an_unchanged_array_keeps_its_version_so_that_caches_hold():
    layer = patch_model(nn.Sequential(nn.Linear(4, 3)), PythonVTEAM, {}, verbose=False)[0]
    x = torch.randn(2, 4)
    first = layer(x)
    readout = layer._readout
    assert torch.equal(layer(x), first)
    assert layer._readout is readout
    layer.crossbars[0].devices[0][0].set_conductance(0.019)
    assert not torch.equal(layer(x), first)
    with torch.inference_mode():
        layer.crossbars[0].devices[0][0].set_conductance(0.002)
        changed = layer(x)
    assert torch.equal(layer(x), changed)
    assert layer.crossbars[0].conductance_matrix[0, 0].item() == np.float32(0.002)


def test_devices_are_replaced_by_assignment():
    crossbar = Crossbar(PythonVTEAM, {}, (2, 3))
    other = PythonVTEAM(r_on=80.0)
    other.set_conductance(0.011)
    crossbar.devices[1, 1] = other
    assert crossbar.devices[1][1] is other
    assert crossbar.conductance_matrix[1, 1].item() == np.float32(0.011)
    crossbar.devices[0][0] = other  # one device stands in one cell: the second gets a copy
    assert crossbar.devices[0][0] is not other
    assert (crossbar.devices[0][0].g, crossbar.devices[0][0].r_on) == (0.011, 80.0)
    crossbar.devices[:] = np.asarray(crossbar.devices)[::-1]
    assert crossbar.conductance_matrix[2, 0].item() == np.float32(0.011)
    crossbar.devices = crossbar.devices
    assert crossbar.devices[1][1] is other
    with pytest.raises(InvalidArgument, match=r"device \(VTEAM\) must be a PythonVTEAM"):
        crossbar.devices[0, 0] = VTEAM()
    broken = PythonVTEAM()
    broken.g = math.nan
    before = crossbar.devices[0][0]
    with pytest.raises(InvalidArgument, match=r"g of device \[0, 0\] \(nan S\) must be a finite number"):
        crossbar.devices[0, 0] = broken
    assert crossbar.devices[0][0] is before


def test_a_programming_routine_is_called_device_by_device():
    def routine(crossbar, point, conductance, step):
        device = crossbar.devices[point]
        while abs(device.g - conductance) > 0.02 * conductance:
            device.simulate([step if conductance < device.g else -10 * step])
        return crossbar.devices

    crossbar = Crossbar(PythonVTEAM, {"time_series_resolution": 1e-12}, (3, 4), (3, 2))
    targets = torch.empty(3, 4).uniform_(0.002, 0.018)
    crossbar.write_conductance_matrix(
        targets, transistor=False, programming_routine=routine, programming_routine_params={"step": 0.03}
    )
    torch.testing.assert_close(crossbar.matrix(), targets.T, rtol=0.021, atol=0)


# ---- Stuck cells, finite states, parameters ----


def test_stuck_cells_ignore_everything():
    crossbar = Crossbar(PythonVTEAM, {}, (2, 2))
    crossbar.write_conductance_matrix(torch.full((2, 2), 0.01))
    mask = torch.tensor([[True, False], [False, False]])
    crossbar.devices.stuck = mask
    frozen = crossbar.conductance_matrix[0, 0].item()
    moved = [
        lambda: crossbar.devices.simulate([0.1, 0.1]),
        lambda: crossbar.devices[0][0].simulate([0.1]),
        lambda: crossbar.devices[0][0].set_conductance(0.003),
        lambda: setattr(crossbar.devices[0][0], "g", 0.004),
        lambda: crossbar.conductance_matrix.fill_(0.006),
        lambda: setattr(crossbar, "conductance_matrix", torch.full((2, 2), 0.005)),
        lambda: crossbar.write_conductance_matrix(torch.full((2, 2), 0.015)),
        lambda: crossbar.devices.set_params(r_on=100.0),
        lambda: crossbar.update(from_devices=False),
    ]
    for move in moved:
        move()
        assert crossbar.conductance_matrix[0, 0].item() == frozen
        # A conductance survives R = 1 / g and back to a few roundings of float64.
        assert crossbar.devices[0][0].g == pytest.approx(frozen, rel=1e-14)
    assert crossbar.conductance_matrix.flatten()[1:].tolist() == [np.float32(0.01)] * 3  # clipped by the new r_on
    assert [device.r_on for device in crossbar.devices.flat] == [50.0, 100.0, 100.0, 100.0]
    currents = crossbar.devices.simulate([0.5, -0.5], return_current=True)
    np.testing.assert_allclose(currents[0, 0], [0.5 * frozen, -0.5 * frozen], rtol=1e-7)
    assert crossbar.devices.stuck.tolist() == mask.tolist()
    crossbar.devices.stuck = None
    crossbar.devices.set_conductance(0.002)
    assert crossbar.conductance_matrix[0, 0].item() == np.float32(0.002)


@pytest.mark.parametrize("states", [1, 2, 5])
def test_exact_writes_go_to_the_nearest_of_finite_states(states):
    crossbar = Crossbar(PythonVTEAM, {}, (3, 4))
    crossbar.devices.finite_states = states
    targets = torch.rand(3, 4) * 0.025
    crossbar.write_conductance_matrix(targets)
    levels = torch.linspace(1 / 1000, 1 / 50, states) if states > 1 else torch.tensor([(1 / 1000 + 1 / 50) / 2])
    nearest = levels[(targets.T.unsqueeze(-1) - levels).abs().argmin(-1)]
    torch.testing.assert_close(crossbar.conductance_matrix, nearest, rtol=1e-6, atol=0)  # float32 levels
    crossbar.devices.simulate([0.05])
    assert not torch.equal(crossbar.conductance_matrix, nearest) or states == 2
    crossbar.devices.settle()
    distance = (crossbar.conductance_matrix.unsqueeze(-1) - levels).abs().amin(-1)
    assert distance.max() < 1e-8  # rounding of float32 levels up to 0.02 S


def test_parameters_are_written_to_every_object_or_to_none():
    crossbar = Crossbar(PythonVTEAM, {}, (2, 3))
    devices = crossbar.devices
    devices.set_conductance(1 / 50)
    r_on = torch.arange(60.0, 66).view(3, 2)
    devices.set_params(r_on=r_on)
    assert torch.equal(devices.parameter("r_on"), r_on.double())
    torch.testing.assert_close(crossbar.conductance_matrix, 1 / r_on, rtol=FLOAT32, atol=0)
    devices.set_params(r_off=StochasticParameter(loc=5e3, scale=10), r_on=70.0)
    assert devices.parameter("r_on") == 70.0
    assert len(devices.parameter("r_off").unique()) == 6
    devices.set_params(row=4, r_on=75.0)
    assert devices[2][0].r_on == devices.value("r_on", 4) == 75.0
    before = (crossbar.conductance_matrix.clone(), devices.column("r_on"), devices.column("r_off"))
    for bad, message in [
        ({"r_onn": 1.0}, r"r_onn of device \[0, 0\] \(None\) must be set by the model"),
        ({"r_on": 1e6}, r"r_on of device \[0, 0\] \(1000000.0 ohm\) must lie between 0 and r_off"),
        ({"r_on": 60.0, "r_off": math.nan}, "r_off .*must be finite"),
        ({"r_on": torch.ones(4)}, r"r_on \(shape \[4\]\) must have shape \[3, 2\]"),
        ({"r_on": "x"}, "r_on .*must be real numbers"),
    ]:
        with pytest.raises(InvalidArgument, match=message):
            devices.set_params(**bad)
        after = (crossbar.conductance_matrix, devices.column("r_on"), devices.column("r_off"))
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_time_step_is_written_to_all_devices():
    devices = Crossbar(PythonVTEAM, {}, (2, 2)).devices
    devices.time_series_resolution = 1e-12
    assert {device.time_series_resolution for device in devices.flat} == {1e-12}
    with pytest.raises(InvalidArgument, match="time_series_resolution"):
        devices.time_series_resolution = 0


def test_conductances_and_bounds_move_together():
    crossbar = Crossbar(PythonVTEAM, {}, (2, 2))
    crossbar.write_conductance_matrix(torch.full((2, 2), 0.01))
    devices = crossbar.devices
    devices.stuck = torch.tensor([[True, False], [False, False]])
    before = crossbar.conductance_matrix.clone()
    new = devices.new_params(r_on=torch.tensor([[40.0, 40.0], [30.0, 50.0]]), fresh=["r_on"])
    assert torch.equal(crossbar.conductance_matrix, before)
    assert devices.parameter("r_on") == 50.0
    devices.move(torch.tensor([[0.025, 0.025], [0.03, 0.03]]), new)
    expected = torch.tensor([[0.01, 0.025], [0.03, 0.02]])  # stuck, moved, moved, clipped
    torch.testing.assert_close(crossbar.conductance_matrix, expected, rtol=FLOAT32, atol=0)
    assert [device.r_on for device in devices.flat] == [50.0, 40.0, 30.0, 50.0]
    devices.move(None, devices.new_params(r_on=100.0))
    torch.testing.assert_close(crossbar.conductance_matrix, torch.full((2, 2), 0.01), rtol=FLOAT32, atol=0)


def test_a_cell_is_stuck_only_as_long_as_its_device_stands_there():
    crossbar = Crossbar(PythonVTEAM, {}, (2, 2))
    devices = crossbar.devices
    devices.set_stuck_of(0, True)
    assert [devices.is_stuck(k) for k in range(4)] == [True, False, False, False]
    devices[1, 1] = devices[0, 0]
    assert devices.stuck.tolist() == [[True, False], [False, True]]
    devices[0, 0] = PythonVTEAM()
    assert devices.stuck.tolist() == [[False, False], [False, True]]
    assert crossbar.conductance_matrix[0, 0].item() == np.float32(1 / 50)
    devices.stuck = torch.zeros(2, 2, dtype=torch.bool)
    assert devices.stuck is None


def test_devices_settle_one_by_one():
    devices = Crossbar(PythonVTEAM, {}, (2, 2)).devices
    devices.settle()
    assert devices.finite_states is None
    devices.set_conductance(0.012)
    devices.finite_states = 2
    for rows in (slice(0, 1), [1], torch.tensor([False, False, True, False]).numpy()):
        devices.settle(rows)
    torch.testing.assert_close(devices.g.flatten(), torch.tensor([0.02, 0.02, 0.02, 0.012]), rtol=FLOAT32, atol=0)


# ---- Any sequence of operations ----

LOW, HIGH = 1 / 1000, 1 / 50
CELL = st.integers(0, 5)
CONDUCTANCE = st.floats(0, 0.03)
OPERATION = st.one_of(
    st.tuples(st.just("matrix"), CELL, CONDUCTANCE),
    st.tuples(st.just("object"), CELL, CONDUCTANCE),
    st.tuples(st.just("attribute"), CELL, st.floats(LOW, HIGH)),
    st.tuples(st.just("simulate one"), CELL, st.floats(-0.5, 0.5)),
    st.tuples(st.just("simulate"), st.just(0), st.floats(-0.5, 0.5)),
    st.tuples(st.just("set all"), st.just(0), CONDUCTANCE),
    st.tuples(st.just("update"), st.just(0), st.just(0.0)),
    st.tuples(st.just("stick"), CELL, st.just(0.0)),
    st.tuples(st.just("read"), st.just(0), st.just(0.0)),
)


def rounded(value):
    return float(np.float32(value))


def play_alone(singles, stuck, kind, cell, value):
    """An operation on devices that know of no array."""
    chosen = range(6) if kind in ("simulate", "set all") else [cell]
    for k in chosen:
        if k in stuck or kind in ("update", "read", "stick"):
            continue
        if kind in ("matrix", "set all"):
            # An entry that does not change what the matrix shows is no write.
            if kind == "set all" or rounded(value) != rounded(singles[k].g):
                singles[k].set_conductance(min(max(rounded(value), LOW), HIGH))
        elif kind == "object":
            singles[k].set_conductance(value)
        elif kind == "attribute":
            singles[k].g = value
        else:
            singles[k].simulate([value])
    if kind == "stick":
        stuck.add(cell)


def play_on_array(crossbar, kind, cell, value):
    point = divmod(cell, 2)
    devices = crossbar.devices
    if kind == "matrix":
        crossbar.conductance_matrix[point] = value
    elif kind == "object":
        devices[point].set_conductance(value)
    elif kind == "attribute":
        devices[point].g = value
    elif kind == "simulate one":
        devices[point].simulate([value])
    elif kind == "simulate":
        devices.simulate([value])
    elif kind == "set all":
        devices.set_conductance(value)
    elif kind == "update":
        crossbar.update()
    elif kind == "stick":
        mask = torch.zeros(3, 2, dtype=torch.bool) if devices.stuck is None else devices.stuck.clone()
        mask[point] = True
        devices.stuck = mask
    else:
        crossbar.matrix()


@given(st.lists(OPERATION, max_size=12))
def test_any_sequence_of_operations_equals_that_on_single_devices(operations):
    crossbar = Crossbar(PythonVTEAM, {}, (2, 3))
    singles = [copy.deepcopy(device) for device in crossbar.devices.flat]
    stuck = set()
    for operation in operations:
        play_alone(singles, stuck, *operation)
        play_on_array(crossbar, *operation)
    expected = torch.tensor([device.g for device in singles]).view(3, 2)
    # A stuck device gets its conductance back through R = 1 / g, to a few roundings of float64.
    torch.testing.assert_close(crossbar.conductance_matrix, expected, rtol=FLOAT32, atol=0)
    assert torch.equal(crossbar.conductance_matrix, shown(crossbar))
