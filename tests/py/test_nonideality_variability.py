"""Cycle variability: distributions, order of the bounds, what stays."""

from __future__ import annotations

import math

import pytest
import torch
from nonideality_tools import EPS, LAYOUTS, assert_agrees, assert_same_state, everything, layer
from torch.distributions import LogNormal, Normal, Uniform

from memtorch import InvalidArgument
from memtorch.bh import StochasticParameter
from memtorch.bh._device_array import DeviceArray
from memtorch.bh.memristor import VTEAM
from memtorch.bh.nonideality import apply_cycle_variability, apply_device_faults

OFF, ON = {"loc": 900, "scale": 30}, {"loc": 60, "scale": 3}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bounds_are_drawn_and_conductances_clipped_to_them(layout):
    mine = layer(layout)
    before = [crossbar.devices.g.clone() for crossbar in mine.crossbars]
    assert apply_cycle_variability(mine, r_off_kwargs=OFF, r_on_kwargs=ON) is mine
    for crossbar, old in zip(mine.crossbars, before, strict=True):
        devices = crossbar.devices
        r_on, r_off = devices.column("r_on"), devices.column("r_off")
        for column, given in ((r_on, ON), (r_off, OFF)):
            # 240 draws or more: five standard deviations of the mean, and of the variance.
            assert abs(column.mean() - given["loc"]) < 5 * given["scale"] / math.sqrt(column.numel())
            assert column.std() == pytest.approx(given["scale"], rel=5 / math.sqrt(2 * column.numel()))
            assert column.unique().numel() == column.numel()
        wanted = old.double().clamp(1 / r_off, 1 / r_on)
        torch.testing.assert_close(devices.g.double(), wanted, rtol=EPS, atol=0)
        inside = (old.double() > 1 / r_off) & (old.double() < 1 / r_on)
        assert torch.equal(devices.g[inside], old[inside]) and bool(inside.any())
        assert_agrees(devices)


def test_the_draws_are_those_of_stochastic_parameters():
    mine = layer()
    torch.manual_seed(3)
    apply_cycle_variability(
        mine, Uniform, 10.0, 2e3, r_off_kwargs={"low": 500, "high": 3e3}, r_on_kwargs={"low": 5, "high": 90}
    )
    torch.manual_seed(3)
    for crossbar in mine.crossbars:
        shape = crossbar.devices.shape
        pairs = {
            "r_off": StochasticParameter(Uniform, 10.0, 2e3, low=500, high=3e3),
            "r_on": StochasticParameter(Uniform, 10.0, 2e3, low=5, high=90),
        }
        twin = DeviceArray(VTEAM, {}, shape)
        twin.set_params(**pairs)
        for name in pairs:
            assert torch.equal(crossbar.devices.column(name), twin.column(name))
        assert crossbar.devices.column("r_on").min() == 10
        assert crossbar.devices.column("r_off").max() == 2e3


def test_pairs_out_of_order_and_samples_of_zero_are_drawn_again():
    mine = layer()
    apply_cycle_variability(
        mine, Normal, 0, r_off_kwargs={"loc": 300, "scale": 100}, r_on_kwargs={"loc": 100, "scale": 100}
    )
    for crossbar in mine.crossbars:
        r_on, r_off = crossbar.devices.column("r_on"), crossbar.devices.column("r_off")
        assert bool((r_on > 0).all()) and bool((r_on < r_off).all())


def test_stuck_cells_keep_their_conductance():
    mine = layer("double, tiled")
    apply_device_faults(mine, 0.2, 0.2, 0.0)
    before = [crossbar.devices.g.clone() for crossbar in mine.crossbars]
    apply_cycle_variability(
        mine, LogNormal, r_off_kwargs={"loc": 6, "scale": 0.3}, r_on_kwargs={"loc": 5, "scale": 0.1}
    )
    for crossbar, old in zip(mine.crossbars, before, strict=True):
        stuck = crossbar.devices.stuck
        assert torch.equal(crossbar.devices.g[stuck], old[stuck])
        assert_agrees(crossbar.devices)
        crossbar.devices.set_conductance(0.004)
        assert torch.equal(crossbar.devices.g[stuck], old[stuck])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"r_off_kwargs": {"loc": 1}, "r_on_kwargs": ON}, "scale"),
        ({}, "loc"),
        ({"r_off_kwargs": OFF, "r_on_kwargs": {"loc": 1, "scale": 1, "colour": 2}}, "colour"),
        ({"r_off_kwargs": OFF, "r_on_kwargs": [1]}, "r_on_kwargs"),
        ({"r_off_kwargs": {**OFF, "min": 3}, "r_on_kwargs": ON}, "r_off_kwargs"),
        ({"r_off_kwargs": OFF, "r_on_kwargs": ON, "min": 5, "max": 1}, "min"),
        ({"r_off_kwargs": OFF, "r_on_kwargs": ON, "distribution": int}, "distribution"),
        ({"r_off_kwargs": OFF, "r_on_kwargs": ON, "parallelize": 2}, "parallelize"),
        ({"r_off_kwargs": {"loc": 10, "scale": 1}, "r_on_kwargs": {"loc": 100, "scale": 1}}, "r_on"),
    ],
)
def test_bad_arguments_are_named_and_change_nothing(arguments, named):
    mine = layer()
    before = everything(mine)
    with pytest.raises(InvalidArgument, match=named):
        apply_cycle_variability(mine, **arguments)
    assert_same_state(everything(mine), before)
