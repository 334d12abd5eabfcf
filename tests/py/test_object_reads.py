"""Arrays of Python objects: non-linear reads against sums over single devices."""

from __future__ import annotations

import math

import pytest
import torch
from python_models import (
    DOUBLE,
    FLOAT32,
    SWING,
    Counting,
    Ohmic,
    PythonVTEAM,
    WithCurrent,
    crossbar_pair,
    each_pair,
    each_tiling,
)

from memtorch import InvalidArgument
from memtorch.bh import Crossbar


@each_pair
@each_tiling
@pytest.mark.parametrize("simulate", [False, True])
def test_nonlinear_reads_are_the_sums_over_single_devices(python, built_in, tile_shape, simulate):
    mine, other = crossbar_pair(python, built_in, tile_shape)
    v = SWING[python] * torch.rand(3, 5, dtype=torch.float64)
    height = 5 if tile_shape is None else tile_shape[0]
    expected = torch.zeros(-(-5 // height), 3, 4, dtype=torch.float64)
    for n in range(3):
        for point, row, column in other._used_cells():
            device = other.devices[point]
            volts = v[n, row].item()
            current = device.simulate([volts], return_current=True)[0] if simulate else device.current(volts)
            expected[row // height, n, column] += current
    read = mine.devices.read_simulated if simulate else mine.devices.read_frozen
    partial = read(v, 5, 4)
    assert partial.dtype == torch.float64
    torch.testing.assert_close(partial, expected, rtol=DOUBLE, atol=0)
    used = [point for point, _, _ in mine._used_cells()]
    for point in used:
        assert mine.conductance_matrix[point].item() == pytest.approx(other.conductance_matrix[point].item(), rel=1e-6)


def test_the_current_of_a_device_is_its_own_method_unless_simulate_is_newer():
    crossbar = Crossbar(Ohmic, {}, (1, 1))
    assert crossbar.devices.read_frozen(torch.tensor([[0.5]]), 1, 1).item() == 1.5
    counting = Crossbar(Counting, {}, (1, 1))
    current = counting.devices.read_frozen(torch.tensor([[0.5], [0.0]]), 1, 1)
    assert current.flatten().tolist() == pytest.approx([0.5 / 1000, 0.0], rel=FLOAT32)
    assert counting.devices[0][0].pulses == 0
    with_method = Crossbar(WithCurrent, {}, (1, 1))
    assert with_method.devices.read_frozen(torch.tensor([[0.5]]), 1, 1).item() == 0.25


@each_pair
def test_every_device_tells_its_current_without_moving(python, built_in):
    mine, other = crossbar_pair(python, built_in)
    for device, reference in zip(mine.devices.flat, other.devices.flat, strict=True):
        before = dict(vars(device))
        for volts in (SWING[python], -SWING[python], 0.0):
            assert device.current(volts) == pytest.approx(reference.current(volts), rel=DOUBLE)
        assert vars(device) == before
    assert Ohmic().current(0.5) == 1.5
    with pytest.raises(InvalidArgument, match=r"\[current\] voltage"):
        mine.devices[0][0].current(math.nan)
    silent = python()
    silent.simulate = lambda voltage_signal, return_current: None
    with pytest.raises(InvalidArgument, match=rf"\[{python.__name__}\] current \(.*nan.* A\) must be a finite number"):
        silent.current(0.5)


def test_a_stuck_cell_conducts_in_a_simulated_read():
    crossbar = Crossbar(PythonVTEAM, {}, (1, 2))
    crossbar.write_conductance_matrix(torch.full((1, 2), 0.01))
    crossbar.devices.stuck = torch.tensor([[True], [False]])
    before = crossbar.conductance_matrix.clone()
    current = crossbar.devices.read_simulated(torch.tensor([[0.3, 0.0]]), 2, 1)
    assert current.item() == pytest.approx(0.003, rel=1e-6)  # float32 conductance
    assert torch.equal(crossbar.conductance_matrix, before)


def test_a_device_may_be_read_at_the_nearest_of_some_conductances():
    crossbar = Crossbar(PythonVTEAM, {}, (3, 4))
    crossbar.write_conductance_matrix(torch.rand(3, 4) * 0.02)
    before = crossbar.conductance_matrix.clone()
    levels = torch.linspace(1 / 1000, 1 / 50, 4)
    nearest = levels[(before.unsqueeze(-1) - levels).abs().argmin(-1)]
    v = torch.rand(2, 4)
    current = crossbar.devices.read_frozen(v, 4, 3, states=4)
    torch.testing.assert_close(current[0].float(), v @ nearest, rtol=1e-5, atol=0)  # products in float32
    assert torch.equal(crossbar.conductance_matrix, before)


@pytest.mark.parametrize("v", [torch.ones(2, 9), torch.ones(5), torch.full((1, 5), math.nan)])
def test_reads_check_their_voltages(v):
    devices = Crossbar(PythonVTEAM, {}, (4, 5), (3, 2)).devices
    for read in (devices.read_frozen, devices.read_simulated):
        with pytest.raises(InvalidArgument, match=r"\[read\] v"):
            read(v, 5, 4)
