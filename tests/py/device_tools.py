"""What the tests of devices share."""

from __future__ import annotations

import pytest
import torch

from memtorch.bh import Crossbar
from memtorch.bh.memristor import VTEAM, Data_Driven, Data_Driven2021, LinearIonDrift, Stanford_PKU

MODELS = [LinearIonDrift, VTEAM, Stanford_PKU, Data_Driven, Data_Driven2021]

# Voltages that move each model within tens of default samples.
SWING = {LinearIonDrift: 5.0, VTEAM: 0.3, Stanford_PKU: 1.6, Data_Driven: 1.5, Data_Driven2021: 1.2}

each_model = pytest.mark.parametrize("model", MODELS)


def columns_of(device):
    """Everything that a device is."""
    array = device.array
    names = ["g", *(s.name for s in array.table.states), *(p.name for p in array.table.params)]
    return {name: array.value(name, device.row) for name in names}


def spread_conductances(model, *shape):
    """Conductances over the whole range of the default device."""
    device = model()
    low, high = 1 / device.r_off, 1 / device.r_on
    return low + (high - low) * torch.rand(*shape, dtype=torch.float64)


def spread_crossbar(model, shape=(4, 5), tile_shape=None):
    """A crossbar of default devices that hold such conductances."""
    crossbar = Crossbar(model, {}, shape, tile_shape)
    crossbar.write_conductance_matrix(spread_conductances(model, *shape))
    return crossbar


def changing_columns(crossbar):
    """Every column that programming changes."""
    devices = crossbar.devices
    return {name: devices.column(name).clone() for name in ["g", *(s.name for s in devices.table.states)]}


def assert_same_columns(a, b):
    """Two crossbars whose devices are in the same state, bit for bit."""
    for name, column in changing_columns(a).items():
        assert torch.equal(column, changing_columns(b)[name]), name
