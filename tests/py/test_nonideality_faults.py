"""Stuck devices, and the faults that make them so."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from device_tools import SWING, each_model
from hypothesis import given
from hypothesis import strategies as st
from nonideality_tools import EPS, LAYOUTS, assert_agrees, everything, layer, used_cells

from memtorch import InvalidArgument
from memtorch.bh._device_array import DeviceArray
from memtorch.bh.crossbar import Crossbar
from memtorch.bh.memristor import VTEAM, Stanford_PKU
from memtorch.bh.nonideality import apply_device_faults

# ---- Stuck devices ----


def half_stuck(model, shape=(4, 5)):
    """Devices between their bounds, every other one stuck."""
    fresh = model()
    spread = torch.linspace(1, 1.2, math.prod(shape), dtype=torch.float64).view(shape)
    array = DeviceArray(model, {"r_off": fresh.r_off * spread}, shape)
    array.set_conductance(torch.linspace(1.1 / fresh.r_off, 0.9 / fresh.r_on, math.prod(shape)).view(shape))
    array.stuck = torch.arange(math.prod(shape)).view(shape) % 2 == 0
    return array


@each_model
def test_nothing_moves_a_stuck_device(model):
    array = half_stuck(model)
    low, high = 1 / array[0, 1].r_off, 1 / array[0, 1].r_on
    state = array.table.states[0].name
    other = model()
    other.set_conductance((low + high) / 2)
    ways = {
        "simulate": lambda: array.simulate([SWING[model], -SWING[model]] * 3),
        "simulate with error control": lambda: array.simulate([SWING[model]], rel_tol=0.1),
        "simulate one": lambda: [d.simulate([-SWING[model]] * 2) for d in array.flat],
        "set_conductance to one number": lambda: array.set_conductance(high),
        "set_conductance": lambda: array.set_conductance(torch.full((4, 5), low)),
        "set_conductance of one": lambda: [d.set_conductance((low + high) / 2) for d in array.flat],
        "g of one": lambda: [setattr(d, "g", high) for d in array.flat],
        "state of one": lambda: [setattr(d, state, getattr(other, state)) for d in array.flat],
        "write_g": lambda: array.write_g(torch.full((4, 5), low)),
        "writes into the tensor": lambda: array.g.fill_((low + high) / 2),
        "writes into the tensor, then set_conductance": lambda: (array.g.fill_(high), array.set_conductance()),
        "writes into the tensor, then write_g": lambda: (array.g.fill_(low), array.write_g(array.g * 1.01)),
        "update": lambda: array.update_conductance(),
        "reset": lambda: array.reset(),
        "finite states": lambda: (array.set_finite_states(1), array.settle()),
    }
    for name, write in ways.items():
        before = {n: array.column(n) for n in ("g", *(s.name for s in array.table.states))}
        write()
        for column, old in before.items():
            assert torch.equal(array.column(column)[array.stuck], old[array.stuck]), name
        array.sync()
        assert torch.equal(array.g[array.stuck], before["g"][array.stuck]), name
        assert all(device.g == g for device, g in zip(array.flat, array.g.view(-1), strict=True)), name
        moves = name not in ("update", "writes into the tensor, then write_g")
        assert not moves or not torch.equal(array.g, before["g"]), name


@each_model
def test_a_stuck_device_carries_the_current_of_its_frozen_state(model):
    array = half_stuck(model)
    signal = [SWING[model], SWING[model], -SWING[model], 0.1]
    expected = [[device.current(v) for v in signal] for device in array.flat]
    current = array.simulate(signal, return_current=True).view(20, 4)
    for k, row in enumerate(expected[::2]):
        # The same formula by two paths of the engine: rounding of float64.
        torch.testing.assert_close(current[2 * k], torch.tensor(row, dtype=torch.float64), rtol=1e-13, atol=0)


def test_no_reader_sees_what_was_written_to_a_stuck_cell():
    crossbar = Crossbar(VTEAM, {}, (3, 4), (2, 2))
    crossbar.devices.stuck = torch.ones(crossbar.devices.shape, dtype=torch.bool)
    g = crossbar.conductance_matrix.clone()
    for read in (
        lambda: crossbar.conductance_matrix,
        lambda: crossbar.matrix().sum(),
        lambda: crossbar.max_abs_conductance,
        lambda: crossbar.read(torch.ones(4)),
        lambda: crossbar.devices[0][1][1].g,
        lambda: crossbar.devices.column("g"),
    ):
        expected = copy.deepcopy(read())
        crossbar.devices.g.fill_(0.02 if expected is not None else 0)
        got = read()
        assert torch.equal(torch.as_tensor(got), torch.as_tensor(expected))
    assert torch.equal(crossbar.devices.g, g)


def test_parameters_of_a_stuck_device_change_as_far_as_its_conductance_allows():
    array = DeviceArray(VTEAM, {}, (2, 2))
    array.set_conductance(torch.tensor([[1 / 900, 1 / 500], [1 / 900, 1 / 60]]))
    array.stuck = torch.tensor([[True, False], [False, True]])
    g = array.g.clone()
    array.set_params(r_off=600.0, r_on=100.0)
    assert array.column("r_off").tolist() == [[pytest.approx(900, rel=EPS), 600], [600, 600]]
    assert array.column("r_on").tolist() == [[100, 100], [100, pytest.approx(60, rel=EPS)]]
    assert torch.equal(array.g, torch.tensor([[g[0, 0], g[0, 1]], [1 / 600, g[1, 1]]]))
    assert_agrees(array)
    array[0, 0].r_off = 700.0
    assert array[0, 0].r_off == pytest.approx(900, rel=EPS)
    array.sync()
    assert torch.equal(array.g[0, 0], g[0, 0])


def test_a_device_is_stuck_and_freed_by_its_attribute_and_replaced_whole():
    array = DeviceArray(VTEAM, {}, (3,))
    assert array.stuck is None and not array[0].stuck
    array[1].stuck = True
    assert array.stuck.tolist() == [False, True, False]
    array.set_conductance(0.01)
    twin = copy.deepcopy(array[1])
    twin.set_conductance(0.003)
    assert twin.stuck and twin.g == array[1].g == pytest.approx(0.02, rel=EPS)
    array[2] = array[1]
    array[1] = VTEAM()
    assert array.stuck.tolist() == [False, False, True]
    array[2].stuck = False
    assert array.stuck is None
    array.set_conductance(0.005)
    assert torch.equal(array.g, torch.full((3,), 0.005))


def test_memory_of_arrays_without_stuck_devices_stays():
    array = DeviceArray(VTEAM, {}, (8, 8))
    array.stuck = torch.zeros(8, 8, dtype=torch.bool)
    assert array.stuck is None
    assert "stuck" not in array.state_dict()


@pytest.mark.parametrize("bad", [torch.ones(2, 2), torch.ones(3, dtype=torch.bool), [[1, 0], [0, 1]], "all"])
def test_bad_masks_are_named(bad):
    array = DeviceArray(VTEAM, {}, (2, 2))
    with pytest.raises(InvalidArgument, match=r"stuck .* must (be bool|have shape)"):
        array.stuck = bad
    assert array.stuck is None


# ---- Faults ----


def counts(crossbar, cells):
    """Among some cells: how many are stuck at 1/r_on, at 1/r_off, and how many are there."""
    devices = crossbar.devices
    stuck = torch.zeros(devices.shape, dtype=torch.bool) if devices.stuck is None else devices.stuck
    at_on = devices.g == (1 / devices.column("r_on")).float()
    at_off = devices.g == (1 / devices.column("r_off")).float()
    assert bool((at_on | at_off)[stuck].all())
    return [int((stuck & where & cells).sum()) for where in (at_on, at_off)] + [int(cells.sum())]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_exact_proportions_of_used_and_of_padding_cells_fail(layout):
    mine = layer(layout, params={"r_on": 50.0})
    for crossbar in mine.crossbars:
        crossbar.devices.set_params(r_off=1000 + torch.rand(crossbar.devices.shape, dtype=torch.float64))
    before = [crossbar.devices.g.clone() for crossbar in mine.crossbars]
    assert apply_device_faults(mine, 0.11, 0.05, 0.02) is mine
    for crossbar, old in zip(mine.crossbars, before, strict=True):
        used = used_cells(crossbar)
        for cells in (used, ~used):
            lrs, hrs, total = counts(crossbar, cells)
            assert (lrs, hrs) == (int(0.11 * total), int(0.07 * total))
        assert torch.equal(crossbar.devices.g[~crossbar.devices.stuck], old[~crossbar.devices.stuck])
        assert_agrees(crossbar.devices)


@given(
    lrs=st.floats(0, 1),
    hrs=st.floats(0, 1),
    electroform=st.floats(0, 1),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_any_proportions_give_disjoint_sets_of_exact_size(lrs, hrs, electroform, shape):
    total = max(1.0, lrs + hrs + electroform)
    lrs, hrs, electroform = (p / total for p in (lrs, hrs, electroform))
    crossbar = Crossbar(VTEAM, {}, shape, (4, 3))
    crossbar.devices.set_conductance(0.005)
    holder = torch.nn.Module()
    holder.crossbars = torch.nn.ModuleList([crossbar])
    apply_device_faults(holder, lrs, hrs, electroform)
    used = used_cells(crossbar)
    for cells in (used, ~used):
        on, off, n = counts(crossbar, cells)
        # int(N p), where a whole number of cells that rounding has spoilt counts as whole
        assert abs(on - n * lrs) < 1 and on <= n * lrs + 1e-9
        assert abs(off - n * (hrs + electroform)) < 1 and off <= n * (hrs + electroform) + 1e-9


def test_a_whole_number_of_cells_survives_rounding():
    crossbar = Crossbar(VTEAM, {}, (10, 10))
    holder = torch.nn.Module()
    holder.crossbars = torch.nn.ModuleList([crossbar])
    apply_device_faults(holder, 0.29, 0.0, 0.0)  # 0.29 * 100 is 28.999999999999996
    assert int(crossbar.devices.stuck.sum()) == 29


def test_every_cell_fails_equally_often():
    total = torch.zeros(20, 10)
    for _ in range(400):
        crossbar = Crossbar(VTEAM, {}, (10, 20))
        holder = torch.nn.Module()
        holder.crossbars = torch.nn.ModuleList([crossbar])
        apply_device_faults(holder, 0.25, 0.25, 0)
        total += (crossbar.devices.g == 0.02) & crossbar.devices.stuck
    # 400 draws of probability 1/4: mean 100, standard deviation 8.7; five of them for 200 cells.
    assert total.min() > 100 - 44 and total.max() < 100 + 44
    assert total.mean() == 100


def test_faults_are_reproduced_by_torch_seeds_for_any_number_of_threads():
    results = []
    threads = torch.get_num_threads()
    for count in (1, 2):
        torch.set_num_threads(count)
        try:
            mine = layer(features=(700, 400))
            torch.manual_seed(5)
            apply_device_faults(mine, 0.1, 0.2, 0.0)
            results.append([crossbar.devices.g.clone() for crossbar in mine.crossbars])
        finally:
            torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert not torch.equal(results[0][0] == 0.02, results[0][1] == 0.02)  # the crossbars draw apart


def test_a_second_application_strikes_cells_that_still_work():
    mine = layer("double, tiled")
    apply_device_faults(mine, 0.2, 0.0, 0.0)
    first = [(c.devices.stuck.clone(), c.devices.g.clone(), counts(c, used_cells(c))) for c in mine.crossbars]
    apply_device_faults(mine, 0.0, 0.5, 0.0)
    for crossbar, (stuck, g, (lrs, _, total)) in zip(mine.crossbars, first, strict=True):
        assert torch.equal(crossbar.devices.g[stuck], g[stuck])
        assert counts(crossbar, used_cells(crossbar))[:2] == [lrs, int((total - lrs) * 0.5)]
    apply_device_faults(mine, 1.0, 0.0, 0.0)
    assert all(bool(c.devices.stuck.all()) for c in mine.crossbars)
    apply_device_faults(mine, 1.0, 0.0, 0.0)  # none is left: nothing happens


def test_no_faults_leave_the_outputs_alone():
    mine = layer("single, tiled")
    x = torch.rand(4, 20)
    before = mine(x)
    apply_device_faults(mine, 0.0, 0.0, 0.0)
    assert torch.equal(mine(x), before)


def test_faults_outlive_writes_and_show_in_the_outputs():
    mine = layer("double, tiled")
    apply_device_faults(mine, 0.1, 0.1, 0.0)
    x = torch.rand(4, 20)
    for crossbar in mine.crossbars:
        stuck, g = crossbar.devices.stuck, crossbar.devices.g.clone()
        crossbar.write_conductance_matrix(torch.full((12, 20), 0.01))
        crossbar.update(from_devices=False)
        crossbar.update(from_devices=True)
        assert torch.equal(crossbar.devices.g[stuck], g[stuck])
        used = used_cells(crossbar)
        assert torch.equal(crossbar.devices.g[~stuck & used], torch.full((int((~stuck & used).sum()),), 0.01))
    positive, negative = (crossbar.matrix().double() for crossbar in mine.crossbars)
    # The difference of float32 conductances and 20 products of float32.
    torch.testing.assert_close(mine.read(x).double(), x.double() @ (positive - negative), rtol=1e-5, atol=1e-7)


def test_faults_of_a_model_that_computes_its_state_keep_float32_conductances():
    mine = layer(model=Stanford_PKU)
    apply_device_faults(mine, 0.3, 0.3, 0.0)
    assert_agrees(mine.crossbars[0].devices)


@pytest.mark.parametrize(
    ("proportions", "named"),
    [
        ((-0.1, 0, 0), "lrs_proportion"),
        ((0, 1.1, 0), "hrs_proportion"),
        ((0, 0, math.nan), "electroform_proportion"),
        ((0, "x", 0), "hrs_proportion"),
        ((0.5, 0.4, 0.2), "at most 1"),
    ],
)
def test_bad_proportions_are_named_and_change_nothing(proportions, named):
    mine = layer()
    before = everything(mine)
    with pytest.raises(InvalidArgument, match=named):
        apply_device_faults(mine, *proportions)
    after = everything(mine)
    assert all(torch.equal(before[k], after[k]) for k in before if isinstance(before[k], torch.Tensor))
    with pytest.raises(InvalidArgument, match=r"layer .* must be a memristive layer"):
        apply_device_faults(torch.nn.Linear(2, 2), 0, 0, 0)
