"""Finite conductance states: against a slow reference, and on every way in which devices are written."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nonideality_tools import EPS, LAYOUTS, MODELS, assert_agrees, conductances, layer
from python_models import PythonVTEAM
from reference.nonideality import nearest_state

from memtorch import InvalidArgument
from memtorch.bh import Crossbar, StochasticParameter
from memtorch.bh._device_array import DeviceArray
from memtorch.bh.crossbar._nonlinear import NonLinearRead, nonlinear_partial_sums
from memtorch.bh.memristor import VTEAM
from memtorch.bh.nonideality import apply_finite_conductance_states


def assert_nearest(after, before, states, r_on, r_off):
    """Every conductance is the nearest state, or the other neighbour where rounding cannot tell which is nearer."""
    for g, old, on, off in zip(*(t.double().flatten().tolist() for t in (after, before, r_on, r_off)), strict=True):
        wanted = nearest_state(old, states, 1 / off, 1 / on)
        if abs(g - wanted) > 2 * EPS * wanted:  # the level is rounded, and the device's resistance once more
            assert abs(abs(g - old) - abs(wanted - old)) < 2 * EPS * wanted
            assert g == pytest.approx(nearest_state(g, states, 1 / off, 1 / on), rel=2 * EPS)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_conductances_go_to_the_nearest_state_of_each_device(model, layout):
    fresh = model()
    mine = layer(
        layout,
        model,
        {
            "r_on": StochasticParameter(
                loc=fresh.r_on, scale=0.1 * fresh.r_on, min=0.5 * fresh.r_on, max=1.5 * fresh.r_on
            ),
            "r_off": 2 * fresh.r_off,
        },
    )
    before = conductances(mine)
    assert apply_finite_conductance_states(mine, 6) is mine
    for crossbar, old in zip(mine.crossbars, before, strict=True):
        devices = crossbar.devices
        assert_nearest(devices.g, old, 6, devices.column("r_on"), devices.column("r_off"))
        assert not torch.equal(devices.g, old)
        assert_agrees(devices)


@given(states=st.integers(1, 300), fraction=st.floats(0, 1))
def test_a_single_device_takes_the_nearest_state(states, fraction):
    device = VTEAM()
    device.finite_states = states
    g = 1 / 1000 + fraction * (1 / 50 - 1 / 1000)
    device.set_conductance(g)
    # A single device computes in float64: a level, and the resistance that the state stands for, are a few roundings.
    wanted = nearest_state(g, states, 1 / 1000, 1 / 50)
    if device.g != pytest.approx(wanted, rel=1e-12):
        step = (1 / 50 - 1 / 1000) / (states - 1)
        assert abs(device.g - g) == pytest.approx(step / 2, rel=1e-9)  # halfway between two


@pytest.mark.parametrize(("target", "wanted"), [(0.4375, 0.625), (0.8125, 1.0)])
@pytest.mark.parametrize("model", [VTEAM, PythonVTEAM])
def test_the_upper_of_two_equally_near_states_is_taken_by_reads_and_by_writes(model, target, wanted):
    crossbar = Crossbar(model, {"r_on": 1.0, "r_off": 4.0}, (1, 1))  # states at 0.25, 0.625 and 1 S, all exact
    crossbar.write_conductance_matrix(torch.tensor([[target]]))
    read = nonlinear_partial_sums(crossbar, torch.tensor([[1.0]]), NonLinearRead(states=3))
    assert read.item() == wanted
    crossbar.devices.finite_states = 3
    crossbar.devices.settle()
    assert crossbar.matrix().item() == wanted


def test_every_exact_write_ends_at_a_state_and_voltages_move_freely():
    mine = layer("double, tiled")
    apply_finite_conductance_states(mine, 4)
    crossbar = mine.crossbars[0]
    levels = torch.linspace(1 / 1000, 1 / 50, 4)

    def at_levels(g):
        return bool(((g.reshape(-1, 1) - levels).abs() < 2 * EPS * levels).any(1).all())

    writes = [
        lambda: crossbar.write_conductance_matrix(torch.empty(12, 20).uniform_(0.001, 0.02)),
        lambda: crossbar.devices.set_conductance(0.0123),
        lambda: crossbar.devices.set_conductance(torch.full(crossbar.devices.shape, 0.0061)),
        lambda: crossbar.devices[0][1][2].set_conductance(0.0032),
        lambda: (crossbar.conductance_matrix.uniform_(0.001, 0.02), crossbar.update(from_devices=False)),
    ]
    for write in writes:
        before = crossbar.devices.g.clone()
        write()
        assert at_levels(crossbar.devices.g)
        assert not torch.equal(crossbar.devices.g, before)
    crossbar.devices.simulate([0.025] * 10)  # VTEAM leaves its state slowly above 0.02 V
    moved = crossbar.devices.g.clone()
    assert not at_levels(moved)
    crossbar.update(from_devices=True)
    assert torch.equal(crossbar.devices.g, moved)
    crossbar.devices.settle(slice(0, 35))  # the first tile
    assert at_levels(crossbar.devices.g[0])
    assert torch.equal(crossbar.devices.g[1:], moved[1:])
    crossbar.devices.settle()
    assert at_levels(crossbar.devices.g)


def test_a_direct_write_into_the_conductances_is_kept_as_it_is():
    mine = layer()
    apply_finite_conductance_states(mine, 2)
    mine.crossbars[0].conductance_matrix[0, 0] = 0.01234
    mine.crossbars[0].devices.sync()
    assert mine.crossbars[0].conductance_matrix[0, 0] == torch.tensor(0.01234)


def test_states_can_be_taken_away_again_and_are_copied_with_the_devices():
    array = DeviceArray(VTEAM, {}, (3,))
    array.finite_states = 2
    twin = copy.deepcopy(array)
    single = copy.deepcopy(array[1])
    assert (twin.finite_states, single.finite_states, array[0].finite_states) == (2, 2, 2)
    array.finite_states = None
    array.set_conductance(0.007)
    twin.set_conductance(0.007)
    assert torch.equal(array.g, torch.full((3,), 0.007))
    assert torch.equal(twin.g, torch.full((3,), 1 / 1000))
    array.settle()
    assert torch.equal(array.g, torch.full((3,), 0.007))


@pytest.mark.parametrize("bad", [0, -1, 2.5, "two", True, 2**24 + 1, None])
def test_bad_numbers_of_states_are_named_and_change_nothing(bad):
    mine = layer()
    before = conductances(mine)
    with pytest.raises(InvalidArgument, match=r"conductance_states .* must be an integer"):
        apply_finite_conductance_states(mine, bad)
    assert all(torch.equal(a, b) for a, b in zip(conductances(mine), before, strict=True))
    assert mine.crossbars[0].devices.finite_states is None
    if bad is not None:
        with pytest.raises(InvalidArgument, match="finite_states"):
            mine.crossbars[0].devices.finite_states = bad
    with pytest.raises(InvalidArgument, match="be set on the whole array"):
        mine.crossbars[0].devices[0][0].finite_states = 3
