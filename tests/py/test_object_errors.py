"""Arrays of Python objects: what models and arguments must be, and what is left unchanged if they are not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from python_models import Bare, Broken, Careless, Strict

from memtorch import InvalidArgument
from memtorch.bh import Crossbar, StochasticParameter


@pytest.mark.parametrize(
    ("model", "params", "message"),
    [
        (Strict, {"r_onn": 1.0}, r"memristor_model_params \(r_onn\) must be keyword arguments of Strict: .*'r_onn'"),
        (Strict, {"r_on": 1e6}, r"r_on .*must lie below r_off"),
        (Careless, {"r_on": 1e6}, r"\[Careless\] r_on \(1000000.0 ohm\) must lie between 0 and r_off"),
        (Careless, {"r_on": StochasticParameter(loc=5.0, scale=0.1)}, r"r_on of device \[0, 0\] \(StochasticParam"),
        (Bare, {}, r"\[Bare\] r_on \(None ohm\) must be set by the model to a finite number"),
        (Strict, {"time_series_resolution": math.inf}, "time_series_resolution of device"),
    ],
)
def test_what_a_model_lacks_is_named(model, params, message):
    with pytest.raises(InvalidArgument, match=message):
        Crossbar(model, params, (2, 2))


@pytest.mark.parametrize("value", [None, "1", math.nan, math.inf, np.array([1.0, 2.0]), True])
def test_a_conductance_that_is_no_number_names_the_device(value, monkeypatch):
    monkeypatch.setattr(Broken, "value", 0.001)
    crossbar = Crossbar(Broken, {}, (2, 2))
    before = crossbar.conductance_matrix.clone()
    crossbar.devices[1][0].g = value
    for _ in range(2):
        with pytest.raises(InvalidArgument, match=r"\[Broken\] g of device \[1, 0\] .* must be"):
            crossbar.matrix()
    crossbar.devices[1][0].g = before[1, 0].item()
    assert torch.equal(crossbar.matrix(), before)
    monkeypatch.setattr(Broken, "value", value)
    with pytest.raises(InvalidArgument, match=r"\[Broken\] g of device \[0, 0\] .* must be"):
        Crossbar(Broken, {}, (2, 2))


@pytest.mark.parametrize(
    "value", [1, np.float32(1), np.int64(1), torch.tensor(1), torch.tensor([1.0]), np.array(1), np.ones((1, 1))]
)
def test_every_kind_of_number_is_a_conductance_and_none_truncates_the_others(value, monkeypatch):
    crossbar = Crossbar(Strict, {"r_on": 0.5}, (2, 2))
    crossbar.devices[0][0].g = value
    crossbar.devices[0][1].g = 0.25
    assert crossbar.conductance_matrix[0].tolist() == [1.0, 0.25]
    assert crossbar.conductance_matrix.dtype == torch.float32


def test_a_conductance_changed_in_place_is_seen():
    crossbar = Crossbar(Strict, {"r_on": 0.5}, (2, 2))
    crossbar.devices[0][0].g = torch.tensor(0.5)
    assert crossbar.conductance_matrix[0, 0] == 0.5
    crossbar.devices[0][0].g.mul_(2)
    assert crossbar.conductance_matrix[0, 0] == 1.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_entry_that_is_not_finite_is_refused_and_undone(value):
    crossbar = Crossbar(Strict, {}, (2, 2))
    before = crossbar.conductance_matrix.clone()
    crossbar.conductance_matrix[1, 1] = value
    with pytest.raises(InvalidArgument, match=r"\[conductance_matrix\] value of device \[1, 1\] .*must be finite"):
        crossbar.matrix()
    assert torch.equal(crossbar.matrix(), before)
    for write in (crossbar.devices.set_conductance, lambda g: setattr(crossbar, "conductance_matrix", g)):
        with pytest.raises(InvalidArgument, match="finite"):
            write(torch.full((2, 2), value))
        assert torch.equal(crossbar.matrix(), before)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.devices.set_conductance(torch.ones(3)),
        lambda c: c.devices.set_conductance("x"),
        lambda c: c.devices.set_conductance([1.0, 2.0]),
        lambda c: setattr(c, "conductance_matrix", torch.ones(3, 3)),
        lambda c: setattr(c.devices, "stuck", torch.ones(3, 3, dtype=torch.bool)),
        lambda c: setattr(c.devices, "stuck", torch.ones(2, 2)),
        lambda c: setattr(c.devices, "stuck", "x"),
        lambda c: setattr(c.devices, "stuck", [[True], [True, False]]),
        lambda c: setattr(c.devices, "finite_states", 0),
        lambda c: c.devices.simulate([math.nan]),
        lambda c: c.devices.simulate([]),
        lambda c: c.devices.simulate(torch.ones(3, 2)),
        lambda c: c.devices.simulate([1.0], rel_tol=0.1),
        lambda c: c.devices.simulate([1.0], return_current="x"),
        lambda c: c.write_conductance_matrix(torch.full((2, 2), math.nan)),
    ],
)
def test_bad_arguments_change_nothing(change):
    crossbar = Crossbar(Strict, {}, (2, 2))
    crossbar.write_conductance_matrix(torch.rand(2, 2) * 0.01)
    before = [dict(vars(device)) for device in crossbar.devices.flat]
    matrix = crossbar.conductance_matrix.clone()
    with pytest.raises(InvalidArgument):
        change(crossbar)
    assert [dict(vars(device)) for device in crossbar.devices.flat] == before
    assert torch.equal(crossbar.conductance_matrix, matrix)
    assert crossbar.devices.stuck is None


@pytest.mark.parametrize("result", [None, [1.0], [1.0, math.nan], "x", [[1.0, 2.0], [3.0, 4.0]]])
def test_currents_that_are_none_name_the_device(result, monkeypatch):
    monkeypatch.setattr(Strict, "simulate", lambda self, v, return_current=False: result)
    devices = Crossbar(Strict, {}, (2, 2)).devices
    with pytest.raises(InvalidArgument, match=r"\[Strict\] currents of device \[0, 0\] .* must be"):
        devices.simulate([0.1, 0.2], return_current=True)


def test_a_model_whose_simulate_returns_no_current_says_so():
    devices = Crossbar(Strict, {}, (2, 2)).devices
    before = devices.g.clone()
    devices.simulate([0.1])
    torch.testing.assert_close(devices.g, before * 1.01)
    with pytest.raises(InvalidArgument, match=r"\[Strict\] simulate .* must take return_current"):
        devices.read_frozen(torch.ones(1, 2), 2, 2)
