"""Crossbars: one storage, exact writes, reads, and the pairs that stand for signed weights."""

from __future__ import annotations

import copy
import io
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import memtorch
from memtorch import InvalidArgument
from memtorch.bh import Crossbar, StochasticParameter
from memtorch.bh.memristor import VTEAM, Data_Driven, Data_Driven2021, LinearIonDrift, Memristor, Stanford_PKU

MODELS = [LinearIonDrift, VTEAM, Stanford_PKU, Data_Driven, Data_Driven2021]
PARAMS = {"r_on": 1e2, "r_off": 1e4}
FLOAT32 = 2.0**-23  # spacing of float32 conductances, twice the rounding error

each_model = pytest.mark.parametrize("model", MODELS)
each_tiling = pytest.mark.parametrize("tile_shape", [None, (4, 3), (64, 64)])


def targets(columns, rows, low=1e-4, high=1e-2):
    return torch.empty(columns, rows, dtype=torch.float64).uniform_(low, high)


def written(tile_shape=(4, 3), columns=7, rows=9, params=PARAMS, model=VTEAM):
    crossbar = Crossbar(model, params, (columns, rows), tile_shape)
    g = targets(columns, rows)
    crossbar.write_conductance_matrix(g)
    return crossbar, g


# ---- Construction ----


@pytest.mark.parametrize(
    ("shape", "rows"),
    [((5, 7), 7), ((5, 7, 2), 14), ((5, 7, 2, 3), 42), ((5, 2, 3, 2, 2), 24), (torch.Size([5, 7]), 7)],
)
def test_shapes(shape, rows):
    crossbar = Crossbar(VTEAM, {}, shape)
    assert (crossbar.columns, crossbar.rows) == (5, rows)
    assert crossbar.devices.shape == crossbar.conductance_matrix.shape == (rows, 5)
    assert crossbar.tiles_map is None
    tiled = Crossbar(VTEAM, {}, shape, tile_shape=(4, 3))
    down = -(-rows // 4)
    assert tiled.devices.shape == tiled.conductance_matrix.shape == (down * 2, 4, 3)
    assert tiled.tiles_map.shape == (down, 2)
    assert tiled.matrix().shape == (rows, 5)


@each_model
def test_fresh_devices_hold_1_over_r_off_in_both_views(model):
    crossbar = Crossbar(model, {}, (3, 4), tile_shape=(2, 2))
    assert crossbar.conductance_matrix.dtype == torch.float32
    for device in crossbar.devices.flat:
        assert isinstance(device, model)
        assert device.get_resistance() == pytest.approx(device.r_off, rel=FLOAT32)
    assert crossbar.time_series_resolution == model().time_series_resolution


def test_random_initialisation_uses_the_given_range():
    crossbar = Crossbar(VTEAM, {"r_on": 1e3, "r_off": 1e5}, (60, 50), random_crossbar_init=True)
    g = crossbar.conductance_matrix
    assert g.min() >= 1e-5 * (1 - FLOAT32)
    assert g.max() <= 1e-3 * (1 + FLOAT32)
    middle, deviation = (1e-3 + 1e-5) / 2, (1e-3 - 1e-5) / math.sqrt(12 * 3000)
    assert abs(g.mean() - middle) < 5 * deviation  # five standard errors


@each_model
@each_tiling
def test_crossbars_that_start_at_a_matrix_are_those_that_it_is_written_to(model, tile_shape):
    spread = StochasticParameter(loc=model().r_on, scale=model().r_on / 50)
    g = torch.linspace(0, 2 / model().r_on, 63).view(7, 9)
    crossbars = []
    for start in (g, None):
        torch.manual_seed(3)
        crossbars.append(Crossbar(model, {"r_on": spread}, (7, 9), tile_shape, conductance_matrix=start))
    mine, twin = crossbars
    twin.write_conductance_matrix(g)
    for name, column in twin.devices.named_buffers():
        assert torch.equal(column, dict(mine.devices.named_buffers())[name])
    mine.devices.simulate([0.1])  # its states count as up to date
    twin.devices.simulate([0.1])
    assert torch.equal(mine.conductance_matrix, twin.conductance_matrix)


def test_means_are_those_of_the_given_parameters():
    params = {"r_on": StochasticParameter(loc=100, scale=10), "r_off": 5e4}
    crossbar = Crossbar(VTEAM, params, (3, 3))
    assert (crossbar.r_on_mean, crossbar.r_off_mean) == (100, 5e4)
    default = Crossbar(VTEAM, {}, (3, 3))
    assert (default.r_on_mean, default.r_off_mean) == (50, 1000)
    assert default.memristor_model is VTEAM
    assert crossbar.memristor_model_params == params


# ---- Writing ----


@each_model
@each_tiling
def test_written_conductances_are_what_the_devices_hold(model, tile_shape):
    fresh = model()
    crossbar = Crossbar(model, {}, (7, 9), tile_shape)
    g = targets(7, 9, 1 / fresh.r_off, 1 / fresh.r_on)
    crossbar.write_conductance_matrix(g.float())
    # float32 targets; the state's conductance is r_off / r_on roundings of 2^-53 off.
    torch.testing.assert_close(crossbar.matrix(), g.T.float(), rtol=2 * FLOAT32, atol=0)
    from_devices = np.vectorize(lambda d: d.g)(crossbar.devices)
    np.testing.assert_array_equal(from_devices, crossbar.conductance_matrix)
    implied = np.vectorize(lambda d: d.current(1e-3) / 1e-3)(crossbar.devices)
    before = crossbar.conductance_matrix.clone()
    crossbar.update(from_devices=True)
    crossbar.update(from_devices=False, parallelize=True)
    torch.testing.assert_close(crossbar.conductance_matrix, before, rtol=2 * FLOAT32, atol=0)
    assert (implied > 0).all()


@settings(max_examples=30)
@given(columns=st.integers(1, 9), rows=st.integers(1, 9), height=st.integers(1, 4), width=st.integers(1, 4))
def test_targets_are_clipped_to_each_device_and_padding_holds_1_over_r_off(columns, rows, height, width):
    params = {"r_on": StochasticParameter(loc=100, scale=10), "r_off": 1e4}
    crossbar = Crossbar(VTEAM, params, (columns, rows), (height, width))
    g = targets(columns, rows, -1e-2, 3e-2)
    crossbar.write_conductance_matrix(g)
    ceiling = memtorch._ops.gather_tiles(1 / crossbar.devices.column("r_on"), rows, columns)
    expected = torch.minimum(g.T.clamp(min=1e-4), ceiling)
    torch.testing.assert_close(crossbar.matrix().double(), expected, rtol=2 * FLOAT32, atol=0)
    # Everything beyond the matrix sums to what padding of 1 / r_off gives.
    padding = crossbar.devices.size - rows * columns
    rest = crossbar.conductance_matrix.double().sum() - crossbar.matrix().double().sum()
    assert rest == pytest.approx(padding * 1e-4, rel=1e-5, abs=1e-9)  # float32 sums of at most 144 cells


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 2), (5, 2, 3, 2), (5, 2, 3, 2, 2)])
@each_tiling
def test_kernels_are_written_outputs_by_rest(shape, tile_shape):
    crossbar = Crossbar(VTEAM, PARAMS, shape, tile_shape)
    g = torch.empty(shape).uniform_(1e-4, 1e-2)
    crossbar.write_conductance_matrix(g)
    torch.testing.assert_close(crossbar.matrix(), g.flatten(1).T, rtol=2 * FLOAT32, atol=0)
    flat = Crossbar(VTEAM, PARAMS, shape, tile_shape)
    flat.write_conductance_matrix(g.flatten(1))
    assert torch.equal(flat.matrix(), crossbar.matrix())


def test_strided_and_double_targets_are_written_alike():
    g = targets(7, 9)
    results = []
    for form in (g, g.float(), g.T.contiguous().T, torch.stack([g, g], 2)[..., 0]):
        crossbar = Crossbar(VTEAM, PARAMS, (7, 9), (4, 3))
        crossbar.write_conductance_matrix(form)
        results.append(crossbar.matrix())
    for other in results[1:]:
        assert torch.equal(results[0], other)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.zeros(9, 7), r"have shape \[7, 9\]"),
        (torch.zeros(7), "shape"),
        ([[1.0]], "torch.Tensor"),
        (torch.full((7, 9), math.nan), "finite"),
        (torch.full((7, 9), math.inf), "finite"),
    ],
)
def test_bad_targets_change_nothing(bad, message):
    crossbar, _ = written()
    before = crossbar.conductance_matrix.clone()
    with pytest.raises(InvalidArgument, match=rf"\[write_conductance_matrix\] conductance_matrix .*{message}"):
        crossbar.write_conductance_matrix(bad)
    assert torch.equal(crossbar.conductance_matrix, before)


@each_tiling
def test_passive_cells_are_written_one_by_one_by_the_routine(tile_shape):
    crossbar = Crossbar(VTEAM, PARAMS, (5, 7), tile_shape)
    g = targets(5, 7, -1e-2, 3e-2)
    visited = []

    def routine(crossbar, point, conductance, scale):
        visited.append(point)
        assert 1e-4 <= conductance <= 1e-2
        crossbar.devices[point].set_conductance(scale * conductance)
        return crossbar.devices

    crossbar.write_conductance_matrix(g, False, routine, {"scale": 0.5})
    expected = (0.5 * g.T.clamp(1e-4, 1e-2)).clamp(min=1e-4)
    torch.testing.assert_close(crossbar.matrix().double(), expected, rtol=2 * FLOAT32, atol=0)
    assert len(visited) == len(set(visited)) == 35
    assert visited == sorted(visited)
    with pytest.raises(InvalidArgument, match="programming_routine"):
        crossbar.write_conductance_matrix(g, transistor=False)


def test_a_routine_may_return_an_object_array_of_devices():
    crossbar = Crossbar(VTEAM, PARAMS, (2, 3))

    def routine(crossbar, point, conductance):
        devices = copy.deepcopy(np.asarray(crossbar.devices))
        devices[point].set_conductance(conductance)
        return devices

    g = targets(2, 3)
    crossbar.write_conductance_matrix(g, False, routine)
    torch.testing.assert_close(crossbar.matrix().double(), g.T, rtol=2 * FLOAT32, atol=0)


# ---- One storage ----


def test_devices_and_matrix_are_one_storage():
    crossbar, _ = written()
    crossbar.devices[0][1][2].set_conductance(5e-3)
    assert crossbar.conductance_matrix[0, 1, 2] == np.float32(5e-3)
    crossbar.conductance_matrix[0, 1, 2] = 2e-3
    assert crossbar.devices[0, 1, 2].g == np.float32(2e-3)
    # x = d (1/g - r_on) / (r_off - r_on), from a float32 conductance
    assert crossbar.devices[0, 1, 2].x == pytest.approx(3e-9 * 400 / 9900, rel=2 * FLOAT32 * 500 / 400)
    whole = torch.full(crossbar.conductance_matrix.shape, 1e-3)
    storage = crossbar.conductance_matrix
    crossbar.conductance_matrix = whole
    assert crossbar.conductance_matrix is storage
    assert crossbar.devices[1, 0, 0].get_resistance() == pytest.approx(1000, rel=FLOAT32)
    crossbar.conductance_matrix = torch.nn.Parameter(2 * whole)
    assert torch.equal(storage, 2 * whole)
    with pytest.raises(InvalidArgument, match="conductance_matrix"):
        crossbar.conductance_matrix = whole[0]


@pytest.mark.checks_values
def test_conductances_that_are_not_finite_are_not_taken():
    crossbar, _ = written()
    before = crossbar.conductance_matrix.clone()
    with pytest.raises(InvalidArgument, match="conductance_matrix"):
        crossbar.conductance_matrix = before * math.nan
    assert torch.equal(crossbar.conductance_matrix, before)


def test_devices_can_be_replaced():
    crossbar, _ = written()
    other, _ = written()
    crossbar.devices = crossbar.devices
    crossbar.devices = other.devices
    assert crossbar.conductance_matrix is other.conductance_matrix
    third, _ = written()
    crossbar.devices = np.asarray(third.devices)
    assert torch.equal(crossbar.conductance_matrix, third.conductance_matrix)
    for bad, message in [
        (None, "array of devices"),
        (Crossbar(VTEAM, {}, (2, 2)).devices, "shape"),
        (np.asarray(written(model=LinearIonDrift)[0].devices), "VTEAM"),
    ]:
        with pytest.raises(InvalidArgument, match=message):
            crossbar.devices = bad


def test_max_abs_conductance_is_always_current():
    crossbar, _ = written()
    assert crossbar.max_abs_conductance.shape == ()
    assert crossbar.max_abs_conductance == crossbar.conductance_matrix.max()
    crossbar.conductance_matrix[0, 0, 0] = 9.0
    assert crossbar.max_abs_conductance == 9


# ---- Reading ----


@each_tiling
def test_currents_are_voltages_times_conductances(tile_shape):
    crossbar, _ = written(tile_shape)
    v = torch.randn(6, 9)
    expected = v.double() @ crossbar.matrix().double()
    got = crossbar.read(v)
    # float32 sums of 9 terms
    torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=9 * FLOAT32 * 3 * 1e-2)
    assert torch.equal(crossbar.read(v[2]), crossbar.read(v)[2]) or torch.allclose(crossbar.read(v[2]), got[2])
    assert crossbar.read(v.double()).dtype == torch.float64
    assert crossbar.read(v.half()).dtype == torch.float32


@each_tiling
def test_converters_digitise_the_tiles(tile_shape):
    crossbar, _ = written(tile_shape)
    v = torch.randn(6, 9)
    errors = [
        (crossbar.read(v, ADC_resolution=bits, quant_method="linear") - crossbar.read(v)).abs().max()
        for bits in (4, 8, 12)
    ]
    # Four bits more divide the step by 16; the largest of many errors scales alike.
    assert errors[0] > 5 * errors[1] > 25 * errors[2] > 0
    fixed = crossbar.read(v, ADC_resolution=8, quant_method="linear", ADC_range=1.0)
    step = 2.0**-7
    torch.testing.assert_close(fixed / step, (fixed / step).round())
    for options in ({"quant_method": "linear"}, {"ADC_range": 1.0}, {"ADC_resolution": 99, "quant_method": "linear"}):
        with pytest.raises(InvalidArgument, match="ADC_"):
            crossbar.read(v, **options)


def test_reads_are_differentiable_in_the_voltages():
    crossbar, _ = written()
    v = torch.randn(2, 9, requires_grad=True)
    crossbar.read(v, ADC_resolution=8, quant_method="linear").sum().backward()
    torch.testing.assert_close(v.grad, crossbar.matrix().sum(1).expand(2, 9))  # straight through the converters


@pytest.mark.parametrize(
    "bad",
    [
        torch.zeros(7),
        torch.zeros(2, 7),
        [0.0] * 9,
        pytest.param(torch.full((9,), math.nan), marks=pytest.mark.checks_values),
    ],
)
def test_bad_voltages_are_rejected(bad):
    with pytest.raises(InvalidArgument, match=r"\[read\] v"):
        written()[0].read(bad)


# ---- Modules ----


def test_crossbars_copy_pickle_save_and_load_exactly():
    params = {"r_on": StochasticParameter(loc=100, scale=10), "r_off": 1e4}
    crossbar, _ = written(params=params)
    crossbar.devices.simulate([0.05, -0.3])
    buffer = io.BytesIO()
    torch.save(crossbar.state_dict(), buffer)
    buffer.seek(0)
    loaded = Crossbar(VTEAM, {}, (7, 9), (4, 3))
    loaded.load_state_dict(torch.load(buffer, weights_only=True))
    for twin in (copy.deepcopy(crossbar), pickle.loads(pickle.dumps(crossbar)), loaded):
        assert torch.equal(twin.conductance_matrix, crossbar.conductance_matrix)
        assert torch.equal(twin.devices.column("x"), crossbar.devices.column("x"))
        assert torch.equal(twin.devices.column("r_on"), crossbar.devices.column("r_on"))
        twin.conductance_matrix[0, 0, 0] = 7.0
        assert crossbar.conductance_matrix[0, 0, 0] != 7
    with pytest.raises(RuntimeError, match=r"shape .* must be \[9, 4, 3\]|shape"):
        Crossbar(VTEAM, {}, (7, 5), (4, 3)).load_state_dict(crossbar.state_dict())


def test_crossbars_keep_their_dtypes_and_have_no_parameters():
    crossbar, _ = written()
    before = crossbar.conductance_matrix.clone()
    torch.nn.ModuleList([crossbar]).half()
    assert torch.equal(crossbar.conductance_matrix, before)
    assert crossbar.conductance_matrix.dtype == torch.float32
    assert list(crossbar.parameters()) == []


def test_the_representation_tells_model_size_and_tiles():
    assert repr(Crossbar(VTEAM, {}, (7, 9), (4, 3))) == (
        "Crossbar(VTEAM, rows=9, columns=7, 9 tiles of (4, 3), 108 devices in 1296 bytes)"
    )


class Unfinished(Memristor):
    """A model that lacks what every model must have."""

    def simulate(self, voltage_signal, return_current=False):
        return None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"memristor_model": int}, "memristor_model"),
        ({"memristor_model": Unfinished}, r"memristor_model \(Unfinished\) must define set_conductance$"),
        ({"memristor_model": Memristor}, r"memristor_model \(Memristor\) must define set_conductance, simulate$"),
        ({"memristor_model": VTEAM()}, "memristor_model"),
        ({"memristor_model_params": None}, "memristor_model_params"),
        ({"memristor_model_params": {"r_onn": 1}}, "'r_onn' must be among"),
        ({"memristor_model_params": {"r_on": 1e9}}, "r_on"),
        ({"shape": (3,)}, "shape"),
        ({"shape": (3, 0)}, "shape"),
        ({"shape": 3}, "shape"),
        ({"tile_shape": (1, 2, 3)}, "tile_shape"),
        ({"tile_shape": (0, 2)}, "tile_shape"),
        ({"use_bindings": "x"}, "use_bindings"),
        ({"cuda_malloc_heap_size": -1}, "cuda_malloc_heap_size"),
        ({"random_crossbar_init": "x"}, "random_crossbar_init"),
        ({"device": "meta"}, "device"),
        ({"conductance_matrix": torch.ones(3, 4)}, "conductance_matrix"),
        ({"conductance_matrix": torch.full((3, 3), math.nan)}, "conductance_matrix"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    given_ = {"memristor_model": VTEAM, "memristor_model_params": {}, "shape": (3, 3), **arguments}
    with pytest.raises(InvalidArgument, match=message):
        Crossbar(**given_)
