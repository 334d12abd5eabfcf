"""Endurance and retention against their formulas, one device at a time in Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nonideality_tools import EPS, LAYOUTS, MODELS, assert_agrees, assert_same_state, conductances, everything, layer
from reference.nonideality import degraded, drift, endured, threshold

from memtorch import InvalidArgument
from memtorch.bh.memristor import Stanford_PKU
from memtorch.bh.nonideality import apply_device_faults, apply_endurance_model, apply_retention_model
from memtorch.bh.nonideality.endurance_retention_models import (
    OperationMode,
    model_conductance_drift,
    model_endurance_retention,
    model_endurance_retention_gradual,
    scale_p_0,
)

# Thresholds of 4.1 (LRS) and 11.6 (HRS) cycles; beyond them both states approach each other.
P_LRS, P_HRS = [1.0, 0.1, 0.5, 0.2], [2.0, 0.1, 0.9, -0.1]


def wear(mode=OperationMode.gradual, **changes):
    """Arguments of the model, beside layer and x."""
    arguments = {
        "operation_mode": mode,
        "p_lrs": P_LRS,
        "stable_resistance_lrs": 300.0,
        "p_hrs": P_HRS,
        "stable_resistance_hrs": 700.0,
        "cell_size": 10,
        "temperature": 350,
        "temperature_threshold": 298,
    }
    return {**arguments, **changes}


def expected(crossbar, before, x, arguments):
    """The reference, for every device."""
    rest = [arguments[n] for n in ("p_lrs", "stable_resistance_lrs", "p_hrs", "stable_resistance_hrs")]
    rest += [arguments[n] for n in ("cell_size", "temperature", "temperature_threshold")]
    gradual = arguments["operation_mode"] is OperationMode.gradual
    means = (crossbar.r_on_mean, crossbar.r_off_mean)
    worn = [endured(g, *means, gradual, x, *rest) for g in before.double().flatten().tolist()]
    return torch.tensor(worn, dtype=torch.float64).view(before.shape)


# ---- Retention ----


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_drift_scales_every_conductance_and_takes_r_off_along(model, layout):
    mine = layer(layout, model)
    before = conductances(mine)
    assert apply_retention_model(mine, 1e3, model_conductance_drift, initial_time=1e-2, drift_coefficient=0.05) is mine
    for crossbar, old in zip(mine.crossbars, before, strict=True):
        devices = crossbar.devices
        wanted = old.double().cpu().apply_(lambda g: drift(g, 1e3, 1e-2, 0.05)).to(old.device)
        # One product and one rounding to float32; the state is a resistance or its like in float64.
        torch.testing.assert_close(devices.g.double(), wanted, rtol=2 * EPS, atol=0)
        fallen = wanted < 1 / crossbar.r_off_mean * (1 - EPS)
        assert bool(fallen.any()) and not bool(fallen.all())
        r_off = devices.column("r_off")
        torch.testing.assert_close(r_off[fallen], 1 / wanted[fallen], rtol=2 * EPS, atol=0)
        assert bool((r_off[~fallen] == crossbar.r_off_mean).all())
        assert devices.parameter("r_on") == crossbar.r_on_mean
        assert_agrees(devices)
        # What has drifted can be written to again, and no lower.
        now = devices.g.clone()
        devices.set_conductance(0.0)
        torch.testing.assert_close(devices.g[fallen], now[fallen], rtol=EPS, atol=0)


def test_drift_with_the_default_arguments():
    mine = layer()
    before = conductances(mine)
    model_conductance_drift(mine, 1e-9)
    for crossbar, old in zip(mine.crossbars, before, strict=True):
        torch.testing.assert_close(crossbar.devices.g, old * 1e3**-0.1, rtol=2 * EPS, atol=0)
    assert model_conductance_drift(mine, 2e-12, 0.0, 0.0) is mine  # an initial time of 0 counts as 1e-12 s


@pytest.mark.parametrize("layout", LAYOUTS)
def test_stuck_cells_neither_drift_nor_wear(layout):
    mine = layer(layout)
    apply_device_faults(mine, 0.2, 0.2, 0.0)
    before = [(crossbar.devices.stuck.clone(), crossbar.devices.g.clone()) for crossbar in mine.crossbars]
    apply_retention_model(mine, 1.0)
    apply_endurance_model(mine, 1e4, **wear())
    apply_endurance_model(mine, 1e4, **wear(OperationMode.sudden))
    for crossbar, (stuck, old) in zip(mine.crossbars, before, strict=True):
        assert torch.equal(crossbar.devices.g[stuck], old[stuck])
        assert not bool((crossbar.devices.g == old)[~stuck].any())
        assert_agrees(crossbar.devices)
        crossbar.devices.set_conductance(0.01)
        assert torch.equal(crossbar.devices.g[stuck], old[stuck])


@pytest.mark.parametrize("mode", OperationMode)
def test_the_empirical_model_of_retention_moves_conductances_only(mode):
    mine = layer()
    before = conductances(mine)
    arguments = wear(mode)
    assert apply_retention_model(mine, 1e3, model_endurance_retention, **arguments) is mine
    for crossbar, old in zip(mine.crossbars, before, strict=True):
        wanted = expected(crossbar, old, 1e3, arguments)
        torch.testing.assert_close(crossbar.devices.g.double(), wanted, rtol=3 * EPS, atol=0)
        assert not torch.equal(crossbar.devices.g, old)
        assert crossbar.devices.parameter("r_on") == 50
        torch.testing.assert_close(crossbar.devices.column("r_off"), (1 / wanted).clamp(min=1000), rtol=3 * EPS, atol=0)
        crossbar.devices.set_conductance(old)
        torch.testing.assert_close(crossbar.devices.g, old, rtol=EPS, atol=0)


# ---- Endurance ----


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("temperature", [None, 200, 350])
@pytest.mark.parametrize("mode", OperationMode)
@pytest.mark.parametrize("x", [0, 3, 8, 1e3])
def test_endurance_is_its_formula_for_conductances_and_bounds(layout, temperature, mode, x):
    mine = layer(layout)
    before = conductances(mine)
    arguments = wear(mode, temperature=temperature, cell_size=None if temperature == 200 else 12)
    apply_endurance_model(mine, x, **arguments)
    gradual = mode is OperationMode.gradual
    rest = [arguments[n] for n in ("cell_size", "temperature", "temperature_threshold")]
    r_on = degraded(50, gradual, x, P_LRS, 300.0, *rest)
    r_off = degraded(1000, gradual, x, P_HRS, 700.0, *rest)
    for crossbar, old in zip(mine.crossbars, before, strict=True):
        devices = crossbar.devices
        wanted = expected(crossbar, old, x, arguments)
        torch.testing.assert_close(devices.g.double(), wanted, rtol=3 * EPS, atol=0)
        assert devices.stuck is None
        # Bounds reach as far as the conductance, which is rounded to float32.
        torch.testing.assert_close(devices.column("r_on"), (1 / wanted).clamp(max=r_on), rtol=3 * EPS, atol=0)
        torch.testing.assert_close(devices.column("r_off"), (1 / wanted).clamp(min=r_off), rtol=3 * EPS, atol=0)
        assert_agrees(devices)
        # The wear is there to stay: writing the old conductances reaches the new bounds only.
        devices.set_conductance(old)
        assert bool((1 / devices.g.double() >= devices.column("r_on") * (1 - EPS)).all())
        assert bool((1 / devices.g.double() <= devices.column("r_off") * (1 + EPS)).all())


@pytest.mark.parametrize("mode", OperationMode)
@pytest.mark.parametrize(("lrs", "hrs"), [(None, P_HRS), (P_LRS, None), (None, None)])
def test_a_state_without_parameters_does_not_degrade(mode, lrs, hrs):
    mine = layer()
    before = conductances(mine)
    arguments = wear(mode, p_lrs=lrs, p_hrs=hrs)
    for state, p in (("lrs", lrs), ("hrs", hrs)):
        if p is None:
            arguments[f"stable_resistance_{state}"] = None
    apply_endurance_model(mine, 1e3, **arguments)
    for crossbar, old in zip(mine.crossbars, before, strict=True):
        wanted = expected(crossbar, old, 1e3, arguments)
        torch.testing.assert_close(crossbar.devices.g.double(), wanted, rtol=3 * EPS, atol=0)
        kept = (1 / old < 525) if lrs is None else (1 / old > 525)
        assert torch.equal(crossbar.devices.g[kept], old[kept]) and bool(kept.any())
    if lrs is None and hrs is None:
        assert mine.crossbars[0].devices.parameter("r_on") == 50


def test_the_convergence_point_is_that_of_the_given_parameters():
    mine = layer(params={"r_on": 200.0, "r_off": 400.0})
    before = conductances(mine)
    arguments = wear(OperationMode.sudden, stable_resistance_lrs=250.0, stable_resistance_hrs=350.0)
    apply_endurance_model(mine, 1e3, **arguments)
    for crossbar, old in zip(mine.crossbars, before, strict=True):
        stable = torch.where(1 / old.double() < 300, 1 / 250.0, 1 / 350.0).double()
        torch.testing.assert_close(crossbar.devices.g.double(), stable, rtol=2 * EPS, atol=0)
        assert (crossbar.devices.parameter("r_on"), crossbar.devices.parameter("r_off")) == (250, 350)


def test_devices_whose_range_closes_are_stuck_where_they_are():
    mine = layer("double, tiled")
    arguments = wear(OperationMode.sudden, stable_resistance_lrs=600.0, stable_resistance_hrs=500.0)
    before = conductances(mine)
    apply_endurance_model(mine, 1e3, **arguments)
    for crossbar, old in zip(mine.crossbars, before, strict=True):
        devices = crossbar.devices
        assert bool(devices.stuck.all())
        wanted = expected(crossbar, old, 1e3, arguments)  # beyond 525 ohm the second transition follows the first
        torch.testing.assert_close(devices.g.double(), wanted, rtol=3 * EPS, atol=0)
        devices.set_conductance(0.02)
        torch.testing.assert_close(devices.g.double(), wanted, rtol=3 * EPS, atol=0)
        assert_agrees(devices)


def test_only_the_devices_whose_own_range_closes_are_stuck():
    mine = layer()
    for crossbar in mine.crossbars:
        r_off = torch.full(crossbar.devices.shape, 1000.0, dtype=torch.float64)
        r_off[0] = 530.0
        crossbar.devices.set_params(r_on=50.1, r_off=r_off)  # 50.1 is no float32
    # r_on becomes 541.08 ohm by scaling; r_off stays.
    t = threshold([1.0, 0.1, 0.0], 10, 298)
    arguments = wear(p_lrs=[1.0, 0.1, 0.0, 1.0], p_hrs=None, temperature=298)
    apply_endurance_model(mine, t * 10.8, **arguments)
    for crossbar in mine.crossbars:
        devices = crossbar.devices
        assert bool(devices.stuck[0].all()) and not bool(devices.stuck[1:].any())
        assert bool((devices.column("r_on")[0] == 50.1).all())
        assert bool((devices.column("r_on")[1:] <= 541.08 * (1 + 1e-9)).all())
        assert_agrees(devices)


def test_wear_adds_up():
    mine, twin = layer(), layer()
    arguments = wear(p_hrs=None)
    for _ in range(2):
        apply_endurance_model(mine, 100, **arguments)
    factor = degraded(1.0, True, 100, P_LRS, None, 10, 350)
    for crossbar, fresh in zip(mine.crossbars, twin.crossbars, strict=True):
        g = fresh.devices.g.double()
        once = torch.where(1 / g < 525, g / factor, g)
        twice = torch.where(1 / once < 525, once / factor, once)
        torch.testing.assert_close(crossbar.devices.g.double(), twice, rtol=4 * EPS, atol=0)


# ---- The functions of the empirical model ----


@given(
    r=st.floats(1, 1e6),
    x=st.floats(1, 1e8),
    p=st.tuples(st.floats(0.1, 10), st.floats(-0.3, 0.3), st.floats(-1, 1), st.floats(-0.5, 0.5)),
    size=st.none() | st.floats(1, 50),
    temperature=st.none() | st.floats(100, 500),
)
def test_the_gradual_formula(r, x, p, size, temperature):
    start = threshold(list(p), size, temperature)
    if x <= start:
        return
    warmth = 0.0 if temperature is None else min(298 / temperature, 1)
    got = model_endurance_retention_gradual(r, x, *p, start, warmth, size)
    # The reference raises to a power, we take exp of a product of up to 20 * 25: 500 roundings of 2^-53.
    assert got == pytest.approx(degraded(r, True, x, list(p), None, size, temperature), rel=1e-12)
    assert type(got) is float


def test_the_gradual_formula_takes_tensors_and_arrays():
    r = torch.tensor([100.0, 200.0])
    torch.testing.assert_close(model_endurance_retention_gradual(r, 4.0, 1, 0.1, 0, 0.5, 1.0, 0), r * 4**0.5)
    got = model_endurance_retention_gradual(r.numpy(), 4.0, 1, 0.1, 0, 0.5, 1.0, 0)
    np.testing.assert_allclose(got, r.numpy() * 2, rtol=EPS)
    for bad in (None, "x", math.nan, torch.tensor([math.inf]), np.array([math.nan]), np.array(["a"])):
        with pytest.raises(InvalidArgument, match="initial_resistance"):
            model_endurance_retention_gradual(bad, 4.0, 1, 0.1, 0, 0.5, 1.0, 0)


@given(
    p_0=st.floats(1e-3, 1e3), p_1=st.floats(0, 0.5), v=st.floats(1.0, 2.0), best=st.floats(1.2, 1.8), c=st.floats(1, 30)
)
def test_scale_p_0(p_0, p_1, v, best, c):
    def parabola(voltage):
        return 1 - (2 * (voltage - 1.0) / (2.0 - 1.0) - 1) ** 2

    k = math.log10(p_0 * math.exp(p_1 * c)) / parabola(best)
    wanted = 10 ** (k * parabola(v)) / math.exp(p_1 * c)
    # Exponents of up to 15 with their rounding, times ln(10).
    assert scale_p_0(p_0, p_1, v, 1.0, 2.0, best, c) == pytest.approx(wanted, rel=1e-12)
    assert scale_p_0(p_0, p_1, best, 1.0, 2.0, best, c) == pytest.approx(p_0, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((0, 0.1, 1.5, 1, 2, 1.5), "p_0"),
        ((1, math.nan, 1.5, 1, 2, 1.5), "p_1"),
        ((1, 0.1, 1.5, 2, 1, 1.5), "v_stop_max"),
        ((1, 0.1, 1.5, 1, 2, 2), "v_stop_optimal"),
        ((1, 0.1, 1e9, 1, 2, 1.5), "p_0"),
        ((1, 0.1, 1.5, 1, 2, 1.5, 0), "cell_size"),
    ],
)
def test_bad_arguments_of_scale_p_0_are_named(arguments, named):
    with pytest.raises(InvalidArgument, match=rf"\[scale_p_0\] {named} "):
        scale_p_0(*arguments)


# ---- Bad input ----


@pytest.mark.parametrize(
    ("x", "changes", "named"),
    [
        (-1, {}, "x"),
        (math.inf, {}, "x"),
        ("many", {}, "x"),
        (1e3, {"operation_mode": "gradual"}, "operation_mode"),
        (1e3, {"p_lrs": [1, 2]}, "p_lrs"),
        (1e3, {"p_lrs": [1, 0.1, 0.2]}, "p_lrs"),
        (1e3, {"p_hrs": [0, 0.1, 0.2, 0.3]}, "p_hrs"),
        (1e3, {"p_hrs": [1, math.nan, 0.2, 0.3]}, "p_hrs"),
        (1e3, {"p_hrs": "wrong"}, "p_hrs"),
        (1e3, {"operation_mode": OperationMode.sudden, "stable_resistance_lrs": None}, "stable_resistance_lrs"),
        (1e3, {"stable_resistance_hrs": -1}, "stable_resistance_hrs"),
        (1e3, {"cell_size": 0}, "cell_size"),
        (1e3, {"temperature": 0}, "temperature"),
        (1e3, {"temperature_threshold": -1}, "temperature_threshold"),
        (1e3, {"colour": 1}, "colour"),
        (1e300, {"p_lrs": [1e-300, 0.1, 0.1, 50]}, "x / threshold"),
        (1e3, {"p_lrs": [1, -1e308, 0.1, 0.1]}, "threshold"),
    ],
)
def test_bad_arguments_of_endurance_are_named_and_change_nothing(x, changes, named):
    mine = layer()
    before = everything(mine)
    for apply, name_of_x in (
        (lambda: apply_endurance_model(mine, x, **wear(**changes)), "x"),
        (lambda: apply_retention_model(mine, x, model_endurance_retention, **wear(**changes)), "time"),
    ):
        with pytest.raises(InvalidArgument, match=rf"\] {name_of_x} " if named == "x" else named):
            apply()
        assert_same_state(everything(mine), before)


def test_missing_arguments_of_a_model_are_all_named():
    with pytest.raises(InvalidArgument, match="hold operation_mode, p_lrs, stable_resistance_lrs, p_hrs, stable_res"):
        apply_endurance_model(layer(), 1.0, cell_size=10, temperature=300)
    with pytest.raises(InvalidArgument, match="endurance_model"):
        apply_endurance_model(layer(), 1.0, model_conductance_drift)


@pytest.mark.parametrize(
    ("x", "arguments", "named"),
    [
        (1e-12, {}, "x"),
        (1.0, {"initial_time": 2.0}, "x"),
        (1.0, {"initial_time": -1.0}, "initial_time"),
        (1.0, {"drift_coefficient": 1.5}, "drift_coefficient"),
        (1.0, {"drift_coefficient": -0.1}, "drift_coefficient"),
        (math.nan, {}, "x"),
        (1e300, {"initial_time": 1e-300, "drift_coefficient": 1.0}, "conductances"),
    ],
)
def test_bad_arguments_of_drift_are_named_and_change_nothing(x, arguments, named):
    mine = layer()
    before = everything(mine)
    with pytest.raises(InvalidArgument, match=rf"\[model_conductance_drift\] {named} "):
        model_conductance_drift(mine, x, **arguments)
    assert_same_state(everything(mine), before)


def test_a_bound_that_the_model_does_not_allow_is_one_error_and_nothing_changes():
    mine = layer(model=Stanford_PKU)
    before = everything(mine)
    # Its low resistance would need a gap below 0.
    arguments = wear(OperationMode.sudden, stable_resistance_lrs=1.0, p_hrs=None)
    with pytest.raises(InvalidArgument, match=r"gap_min|r_on"):
        apply_endurance_model(mine, 1e3, **arguments)
    assert_same_state(everything(mine), before)
