"""The device models against closed forms of their equations."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memtorch import InvalidArgument
from memtorch.bh.memristor import VTEAM, Data_Driven, Data_Driven2021, LinearIonDrift, Stanford_PKU

VTEAM_RATES = {
    0.05: 7.5e-4,
    0.1: 2e-3,
    0.5: 1.2e-2,
    1: 2.45e-2,
    -0.25: -0.15625,
    -0.3: -1.25,
    -0.5: -33.75,
    -1: -640,
    0: 0,
    0.01: 0,
    -0.1: 0,
}


@pytest.mark.parametrize(("voltage", "rate"), VTEAM_RATES.items())
def test_vteam_rates(voltage, rate):
    device = VTEAM()
    device.x = 1.5e-9
    assert device.dxdt(voltage) == pytest.approx(rate, rel=1e-12)
    device.time_series_resolution = 1e-18  # 640 m/s move x by 6.4e-16 m: no bound is reached
    start = device.x
    device.simulate(voltage)
    # x is kept to 2^-53 of 1.5e-9 m, which is a large part of such a step.
    assert device.x - start == pytest.approx(rate * 1e-18, abs=4e-25)


@pytest.mark.parametrize(("voltage", "duration"), [(1.0, 122.449e-9), (-0.3, 2.4e-9), (-1.0, 4.6875e-12)])
def test_vteam_switches_fully_in_the_closed_form_time(voltage, duration):
    steps = 10_000
    for factor, done in ((0.999, False), (1.001, True)):
        device = VTEAM(time_series_resolution=duration * factor / steps)
        device.x = 0 if voltage > 0 else 3e-9
        device.simulate(np.full(steps, voltage))
        assert (device.x == (3e-9 if voltage > 0 else 0)) is done


def test_vteam_converges_to_the_analytic_half_period_of_a_sine():
    for steps in (100, 1000, 10_000):
        dt = 10e-9 / steps
        device = VTEAM(time_series_resolution=dt)
        device.simulate(0.1 * np.sin(2 * np.pi * 50e6 * dt * np.arange(steps)))
        # The rate is continuous and 0 at both ends: the sum converges with the square of the step.
        assert device.x == pytest.approx(1.12348781932e-11, rel=5 / steps**2 + 1e-11)  # twelve digits are given


def test_vteam_exponential_form_has_the_same_ends_and_the_geometric_middle():
    device = VTEAM(exponential_iv=1)
    device.x = 0
    assert device.get_resistance() == pytest.approx(50, rel=1e-13)
    device.x = 3e-9
    assert device.get_resistance() == pytest.approx(1000, rel=1e-13)
    device.x = 1.5e-9
    assert device.get_resistance() == pytest.approx(math.sqrt(50 * 1000), rel=1e-13)
    assert device.lamda == math.log(20)


@pytest.mark.parametrize(
    ("gap", "currents"),
    [
        (0.2e-9, [1.845629e-04, 3.990517e-04, 1.629653e-03, 1.226215e-02]),
        (1e-9, [7.523191e-06, 1.626623e-05, 6.642827e-05, 4.998323e-04]),
    ],
)
def test_stanford_pku_currents(gap, currents):
    device = Stanford_PKU(r_on=500)
    device.gap = gap
    for voltage, expected in zip((0.1, 0.2, 0.5, 1.0), currents, strict=True):
        assert device.current(voltage) == pytest.approx(expected, rel=1e-6)  # seven digits are tabulated


def test_stanford_pku_gap_bounds_and_temperature():
    device = Stanford_PKU()
    assert device.gap_min == pytest.approx(0.20008274e-9, rel=1e-7)  # digits of the table
    assert device.gap_max == pytest.approx(1.69999994e-9, rel=1e-7)
    assert device.T_current(2.0, -1e-3) == 298 + 2e-3 * 2.1e3


def test_stanford_pku_holds_below_its_field_threshold_and_g_is_read_at_the_read_voltage():
    device = Stanford_PKU(gap_init=1e-9)
    before = device.gap
    device.simulate(np.full(100, 1.0))
    assert device.gap == before
    device.simulate([1.5])
    assert device.gap < before
    assert device.g == pytest.approx(device.current(0.1) / 0.1, rel=1e-12)


@pytest.mark.parametrize(("time", "expected"), [(1e-3, 5030.357840), (5e-3, 4951.009998), (10e-3, 4850.0)])
def test_linear_ion_drift_without_window_follows_the_square_root(time, expected):
    steps = 2000
    # An exponent that large makes the window 1 wherever |2x - 1| < 1.
    device = LinearIonDrift(r_on=100, r_off=1e4, p=1e6, time_series_resolution=time / steps)
    device.set_conductance(1 / 5050)
    device.simulate(np.ones(steps))
    # Explicit Euler on dR/dt = -c / R: relative error of about (1 - R/R0)^2 / (2 steps).
    assert device.get_resistance() == pytest.approx(expected, rel=(1 - expected / 5050) ** 2 / steps + 1e-9)


@given(x=st.floats(0, 1), voltage=st.floats(0.6, 5))
def test_linear_ion_drift_rate_is_the_step_that_simulate_takes(x, voltage):
    device = LinearIonDrift()
    device.x = x
    current = device.current(voltage)
    rate = device.dxdt(current)
    start = device.x
    device.simulate(voltage)
    # x near 1 is kept to 2^-53.
    assert device.x == pytest.approx(min(start + rate * 1e-4, 1), abs=1e-15)
    assert device.r_i == device.r_on


def test_linear_ion_drift_starts_at_low_resistance_and_its_default_loop_is_pinched():
    device = LinearIonDrift()
    assert 0.1 / device.current(0.1) == pytest.approx(100, rel=1e-13)
    voltage, current = device.plot_hysteresis_loop(return_result=True)
    resistance = voltage[1:] / current[1:]
    settled = np.abs(voltage[1:]) > 1e-6
    assert resistance[settled].max() > 50 * resistance[settled].min()  # a loop, not a line
    assert np.abs(current[np.abs(voltage) < 1e-9]).max() < 1e-10  # through the origin


def test_data_driven_2021_closed_form_converges_to_its_rate():
    device = Data_Driven2021(time_series_resolution=1e-15)
    # rho(0.6 V) is about 2295 ohm; the boundary lets R move towards it from above only.
    device.set_conductance(1 / 2800)
    start = device.get_resistance()
    rate = device.dRdt(0.6)
    assert rate == pytest.approx(device.s_pn(0.6) * (device.r_pn(0.6) - start) ** 2, rel=1e-9)
    device.simulate([0.6])
    # The step of 1e-15 s moves R by 1e-7 ohm, of which 2^-53 * 2800 ohm / 1e-7 ohm = 3e-6 is rounding.
    assert device.get_resistance() - start == pytest.approx(rate * 1e-15, rel=1e-4)


# ---- Error-controlled steps ----


def test_error_controlled_steps_reach_the_analytic_solution_where_explicit_steps_jump():
    explicit, controlled = VTEAM(), VTEAM()
    for device in (explicit, controlled):
        device.x = 3e-9
    explicit.simulate([-0.2, -0.25])
    controlled.simulate([-0.2, -0.25], rel_tol=1e-6)
    # From -0.2 to -0.25 V the voltage is a line: with u = V / v_on - 1 up to 0.25 the integral of u^3 is dt 0.25^3 / 4.
    # Then -0.25 V is held for another dt.
    expected = 3e-9 - 10 * 1e-10 * 0.25**3 * (1 / 4 + 1)
    # The tolerance is a fraction of the 3e-9 m range, and a handful of sub-steps each may use it.
    assert controlled.x == pytest.approx(expected, abs=1e-5 * 3e-9)
    assert explicit.x == pytest.approx(3e-9 - 0.15625 * 1e-10, rel=1e-12)


@pytest.mark.parametrize("bad", [0, -1, 2, math.nan, "x"])
def test_bad_tolerances_are_rejected(bad):
    with pytest.raises(InvalidArgument, match="rel_tol"):
        VTEAM().simulate([0.1], rel_tol=bad)


# ---- Noise ----


def test_noise_is_reproduced_by_torch_seeds_and_drawn_only_when_switched_on():
    def run(switch):
        torch.manual_seed(7)
        device = Stanford_PKU(model_switch=switch, gap_init=1e-9, time_series_resolution=1e-9)
        current = device.simulate(np.full(50, 0.5), return_current=True)
        return current, torch.get_rng_state()

    noisy, _ = run(1)
    again, _ = run(1)
    np.testing.assert_array_equal(noisy, again)
    quiet, state = run(0)
    assert not np.array_equal(noisy, quiet)
    torch.manual_seed(7)
    assert torch.equal(state, torch.get_rng_state())


# ---- Where the data-driven models differ from MemTorch 1.1.6 ----


@pytest.mark.parametrize(
    ("eta", "start", "dt"), [(1, 5000, 1e-14), (2, 5000, 1e-16), (0.5, 5000, 1e-13), (-1, 16_900, 1e-10)]
)
def test_data_driven_moves_at_the_rate_of_its_equation_for_every_eta(eta, start, dt):
    sensitivity = math.copysign(743.47, eta)
    device = Data_Driven(eta=eta, A_p=sensitivity, A_n=math.copysign(68012.0, -eta), time_series_resolution=dt)
    device.set_conductance(1 / start)
    before = device.get_resistance()
    device.simulate([1.0])
    # dR/dt = s (exp(eta k (rho - R)) - 1) with s = A (exp(t |V|) - 1). 1.1.6 arrives at eta R.
    rate = sensitivity * math.expm1(6.51) * math.expm1(eta * 5.11e-4 * (16_719 - before))
    # Steps of 9e-7 to 8e-6 ohm: rounding R to 2^-53 is up to 1e-6 of them, the curvature, k times the step, far less.
    assert device.get_resistance() - before == pytest.approx(rate * dt, rel=3e-6)


@pytest.mark.parametrize(
    ("model", "bad", "named"),
    [
        (Data_Driven, {"eta": 0}, "eta"),
        (Data_Driven, {"A_p": -743.47}, "A_p"),
        (Data_Driven, {"A_n": 68012.0}, "A_n"),
        (Data_Driven, {"eta": -1}, "A_p"),
        (Data_Driven2021, {"A_p": -600.0}, "A_p"),
        (Data_Driven2021, {"A_n": 34.6}, "A_n"),
        (Data_Driven2021, {"t_p": 0.02}, "t_p"),
        (Data_Driven2021, {"t_n": 0.05}, "t_n"),
    ],
)
def test_signs_that_would_drive_a_device_away_from_its_boundary_are_rejected(model, bad, named):
    with pytest.raises(InvalidArgument, match=rf"\[{model.__name__}\] {named} "):
        model(**bad)


@given(resistance=st.floats(1600, 3000), voltage=st.floats(-2, 2), time=st.floats(-12, 6).map(lambda x: 10**x))
def test_data_driven_2021_never_passes_its_boundary(resistance, voltage, time):
    device = Data_Driven2021(time_series_resolution=time)
    device.set_conductance(1 / resistance)
    before = device.get_resistance()
    boundary = device.r_pn(voltage)
    device.simulate([voltage])
    after = device.get_resistance()
    low, high = sorted([before, boundary])
    moves = voltage != 0 and (boundary < before if voltage > 0 else boundary > before)
    # R and the boundary are rounded to 2^-53 of themselves, in a handful of operations.
    slack = 2**-50 * high
    assert low - slack <= after <= high + slack if moves else after == before


def test_data_driven_2021_ignores_k():
    signal = 1.5 * np.sin(np.linspace(0, 7, 100))
    usual, other = Data_Driven2021(), Data_Driven2021(k_p=7.0, k_n=-3.0)
    np.testing.assert_array_equal(*(device.simulate(signal, return_current=True) for device in (usual, other)))


@pytest.mark.parametrize(
    ("device", "voltage"),
    [
        (LinearIonDrift(), -5.0),
        (VTEAM(), 1.0),
        (Stanford_PKU(gap_init=1e-9, model_switch=0), 1.5),
        (Data_Driven(), 1.0),
        (Data_Driven2021(time_series_resolution=1e-6), -1.0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_with_a_tolerance_a_current_is_that_of_its_own_time(device, voltage):
    def current_now():
        still = copy.deepcopy(device)
        still.time_series_resolution = 1e-30  # nothing moves
        return still.simulate([voltage], return_current=True)[0]

    both = copy.deepcopy(device).simulate([voltage, voltage], return_current=True, rel_tol=1e-3)
    first = current_now()
    device.simulate([voltage], rel_tol=1e-3)
    # The same steps from the same state; the still device reads by another path, a few operations of 2^-53 each.
    np.testing.assert_allclose(both, [first, current_now()], rtol=1e-14)
    assert both[0] != both[1]
