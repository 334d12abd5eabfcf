"""Crossbars and voltages for tests of non-linear reads."""

import torch
from device_tools import SWING

from memtorch.bh import Crossbar, StochasticParameter

# Parameters on which a curve's shape depends, a value for every device; VTEAM and LinearIonDrift have none.
OWN = {"Stanford_PKU": {"V_0": 0.25}, "Data_Driven": {"a_p": 0.24, "b_n": 3.0}, "Data_Driven2021": {"b_p": 2.7}}


def crossbar_of(model, tile_shape=None, rows=7, columns=5, own=False, seed=0):
    """A crossbar of devices all over their range, each with parameters of its own if ``own``."""
    generator = torch.Generator().manual_seed(seed)
    params = {}
    if own:
        spread = {**OWN.get(model.__name__, {}), "r_off": model().r_off}
        params = {n: StochasticParameter(loc=x, scale=x / 20, min=x / 2, max=2 * x) for n, x in spread.items()}
    crossbar = Crossbar(model, params, (columns, rows), tile_shape)
    low, high = 1 / crossbar.r_off_mean, 1 / crossbar.r_on_mean
    g = torch.rand(columns, rows, generator=generator) * 0.8 + 0.1
    crossbar.write_conductance_matrix(low + g * (high - low))
    return crossbar


def voltages(model, inputs, rows=7, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(inputs, rows, generator=generator, dtype=torch.float64) * 2 - 1) * SWING[model]


def everything(crossbar):
    return {name: value for name, value in crossbar.state_dict().items() if isinstance(value, torch.Tensor)}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
