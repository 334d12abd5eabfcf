"""The five device models as scalar loops: one step per sample, written from the equations.

Every model is a class with ``DT``, ``PARAMS`` (defaults), a state variable named by ``STATE``, and

* ``conductance(p, s)`` and ``state(p, g)``, its inverse, g already clipped to [1/r_off, 1/r_on];
* ``step(p, s, v, dt, last)``: one sample, returning (new state, recorded current).

References: the papers named in the docstrings.
"""

from __future__ import annotations

import math
from typing import ClassVar


def clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


class LinearIonDrift:
    """Strukov et al., Nature 453 (2008), with Joglekar's window and write thresholds. x = 1: low resistance."""

    NAME, STATE, DT, POLARITY, READS_FIRST = "LinearIonDrift", "x", 1e-4, 1, True
    MARGIN = 1e-3  # Distance from its bounds at which x enters the window, so that no device freezes there.
    PARAMS: ClassVar[dict[str, float]] = {
        "u_v": 1e-14,
        "d": 10e-9,
        "r_on": 100.0,
        "r_off": 16e3,
        "pos_write_threshold": 0.55,
        "neg_write_threshold": -0.55,
        "p": 1.0,
    }

    @staticmethod
    def initial(p):
        return 1.0

    @staticmethod
    def resistance(p, x):
        return p["r_on"] * x + p["r_off"] * (1 - x)

    @classmethod
    def conductance(cls, p, x):
        return 1 / cls.resistance(p, x)

    @staticmethod
    def state(p, g):
        return (p["r_off"] - 1 / g) / (p["r_off"] - p["r_on"])

    @classmethod
    def window(cls, p, x):
        return 1 - (2 * clamp(x, cls.MARGIN, 1 - cls.MARGIN) - 1) ** (2 * p["p"])

    @classmethod
    def step(cls, p, x, v, dt, last):
        current = v / cls.resistance(p, x)
        if v >= p["pos_write_threshold"] or v <= p["neg_write_threshold"]:
            x = clamp(x + p["u_v"] * p["r_on"] / p["d"] ** 2 * current * cls.window(p, x) * dt, 0, 1)
        return x, current


class VTEAM:
    """Kvatinsky et al., IEEE TCAS-II 62(8) (2015). x = 0: low resistance."""

    NAME, STATE, DT, POLARITY, READS_FIRST = "VTEAM", "x", 1e-10, -1, False
    PARAMS: ClassVar[dict[str, float]] = {
        "r_off": 1000.0,
        "r_on": 50.0,
        "d": 3e-9,
        "k_on": -10.0,
        "k_off": 5e-4,
        "alpha_on": 3.0,
        "alpha_off": 1.0,
        "v_on": -0.2,
        "v_off": 0.02,
        "x_on": 0.0,
        "x_off": 3e-9,
        "exponential_iv": 0.0,
    }

    @staticmethod
    def initial(p):
        return p["x_on"]

    @staticmethod
    def resistance(p, x):
        if p["exponential_iv"]:
            return p["r_on"] * math.exp(math.log(p["r_off"] / p["r_on"]) * x / p["d"])
        return p["r_off"] * x / p["d"] + p["r_on"] * (1 - x / p["d"])

    @classmethod
    def conductance(cls, p, x):
        return 1 / cls.resistance(p, x)

    @staticmethod
    def state(p, g):
        if p["exponential_iv"]:
            return p["d"] * math.log(1 / g / p["r_on"]) / math.log(p["r_off"] / p["r_on"])
        return p["d"] * (1 / g - p["r_on"]) / (p["r_off"] - p["r_on"])

    @staticmethod
    def rate(p, v):
        if v >= p["v_off"]:
            return p["k_off"] * (v / p["v_off"] - 1) ** p["alpha_off"]
        if v <= p["v_on"]:
            return p["k_on"] * (v / p["v_on"] - 1) ** p["alpha_on"]
        return 0.0

    @classmethod
    def step(cls, p, x, v, dt, last):
        x = clamp(x + cls.rate(p, v) * dt, p["x_on"], p["x_off"])
        return x, v / cls.resistance(p, x)


class Stanford_PKU:
    """Jiang et al., SISPAD (2014), without noise. A narrow gap: low resistance."""

    NAME, STATE, DT, POLARITY, READS_FIRST = "Stanford_PKU", "gap", 1e-4, 1, False
    Q, K = 1.6e-19, 1.3806503e-23
    PARAMS: ClassVar[dict[str, float]] = {
        "r_off": 218586.0,
        "r_on": 542.0,
        "gap_init": 2e-10,
        "g_0": 0.25e-9,
        "V_0": 0.25,
        "I_0": 1e-3,
        "read_voltage": 0.1,
        "T_init": 298.0,
        "R_th": 2.1e3,
        "gamma_init": 16.0,
        "beta": 0.8,
        "t_ox": 12e-9,
        "F_min": 1.4e9,
        "vel_0": 10.0,
        "E_a": 0.6,
        "a_0": 0.25e-9,
        "delta_g_init": 0.02,
        "model_switch": 0.0,
        "T_crit": 450.0,
        "T_smth": 500.0,
    }

    @classmethod
    def bounds(cls, p):
        return cls.state(p, 1 / p["r_on"]), cls.state(p, 1 / p["r_off"])

    @classmethod
    def initial(cls, p):
        return clamp(p["gap_init"], *cls.bounds(p))

    @staticmethod
    def current(p, gap, v):
        return p["I_0"] * math.exp(-gap / p["g_0"]) * math.sinh(v / p["V_0"])

    @classmethod
    def conductance(cls, p, gap):
        return cls.current(p, gap, p["read_voltage"]) / p["read_voltage"]

    @staticmethod
    def state(p, g):
        v = p["read_voltage"]
        return p["g_0"] * math.log(p["I_0"] * math.sinh(v / p["V_0"]) / (g * v))

    @classmethod
    def step(cls, p, gap, v, dt, last):
        temperature = p["T_init"] + abs(v * last * p["R_th"])
        gamma = p["gamma_init"] - p["beta"] * (gap / 1e-9) ** 3
        if gamma * abs(v) / p["t_ox"] < p["F_min"]:
            gamma = 0.0
        barrier = math.exp(-cls.Q * p["E_a"] / (cls.K * temperature))
        field = math.sinh(gamma * p["a_0"] * cls.Q * v / (p["t_ox"] * cls.K * temperature))
        gap = clamp(gap - p["vel_0"] * barrier * field * dt, *cls.bounds(p))
        return gap, cls.current(p, gap, v)


class Data_Driven:
    """Messaris et al., IEEE TCAD 37(12) (2018). The state is the resistance."""

    NAME, STATE, DT, POLARITY, READS_FIRST = "Data_Driven", "r", 1e-8, -1, True
    PARAMS: ClassVar[dict[str, float]] = {
        "r_off": 17e3,
        "r_on": 1280.0,
        "A_p": 743.47,
        "A_n": -68012.28374,
        "t_p": 6.51,
        "t_n": 0.31645,
        "k_p": 5.11e-4,
        "k_n": 1.17e-3,
        "r_p_0": 16719.0,
        "r_p_1": 0.0,
        "r_n_0": 29304.82557,
        "r_n_1": 23692.77225,
        "eta": 1.0,
        "a_p": 0.24,
        "a_n": 0.24,
        "b_p": 3.0,
        "b_n": 3.0,
    }

    @staticmethod
    def initial(p):
        return p["r_on"]

    @staticmethod
    def conductance(p, r):
        return 1 / r

    @staticmethod
    def state(p, g):
        return 1 / g

    @staticmethod
    def current(p, r, v):
        a, b = (p["a_p"], p["b_p"]) if v > 0 else (p["a_n"], p["b_n"])
        return a / r * math.sinh(b * v)

    @classmethod
    def step(cls, p, r, v, dt, last):
        current = cls.current(p, r, v)
        if v > 0:
            rho = p["r_p_0"] + p["r_p_1"] * v
            s = p["A_p"] * (math.exp(p["t_p"] * abs(v)) - 1)
            ek = p["eta"] * p["k_p"]
            # ln(exp(ek rho) + exp(-ek s dt) (exp(ek r) - exp(ek rho))) / k_p, relative to exp(ek rho)
            moved = (ek * rho + math.log(1 + math.exp(-ek * s * dt) * (math.exp(ek * (r - rho)) - 1))) / p["k_p"]
            if moved <= p["eta"] * rho:
                r = clamp(moved, p["r_on"], p["r_off"])
        elif v < 0:
            rho = p["r_n_0"] + p["r_n_1"] * v
            s = p["A_n"] * (math.exp(p["t_n"] * abs(v)) - 1)
            ek = p["eta"] * p["k_n"]
            grown = math.exp(ek * s * dt)
            moved = (ek * r - math.log(grown - math.exp(ek * (r - rho)) * (grown - 1))) / p["k_n"]
            if moved >= p["eta"] * rho:
                r = clamp(moved, p["r_on"], p["r_off"])
        return r, current


class Data_Driven2021:
    """Maldonado et al. style closed form of dR/dt = s (rho - R)^2. The state is the resistance."""

    NAME, STATE, DT, POLARITY, READS_FIRST = "Data_Driven2021", "r", 1e-10, 1, True
    PARAMS: ClassVar[dict[str, float]] = {
        "r_off": 3000.0,
        "r_on": 1600.0,
        "A_p": 600.10075,
        "A_n": -34.5988399,
        "t_p": -0.0212028,
        "t_n": -0.05343997,
        "k_p": 5.11e-4,
        "k_n": 1.17e-3,
        "r_p_0": 2699.2336,
        "r_p_1": -672.930205,
        "r_n_0": 649.413746,
        "r_n_1": -1474.32358,
        "a_p": 0.32046175,
        "a_n": 0.32046175,
        "b_p": 2.71689828,
        "b_n": 2.71689828,
    }

    initial = staticmethod(Data_Driven.initial)
    conductance = staticmethod(Data_Driven.conductance)
    state = staticmethod(Data_Driven.state)
    current = staticmethod(Data_Driven.current)

    @staticmethod
    def boundary(p, v):
        return p["r_p_0"] + p["r_p_1"] * v if v > 0 else p["r_n_0"] + p["r_n_1"] * v

    @staticmethod
    def sensitivity(p, v):
        a, t = (p["A_p"], p["t_p"]) if v > 0 else (p["A_n"], p["t_n"])
        return a * (math.exp(abs(v) / t) - 1)

    @classmethod
    def step(cls, p, r, v, dt, last):
        current = cls.current(p, r, v)
        if v != 0:
            rho, s = cls.boundary(p, v), cls.sensitivity(p, v)
            moved = (r + s * rho * (rho - r) * dt) / (1 + s * (rho - r) * dt)
            beyond = moved < rho if v > 0 else moved > rho
            if not beyond:
                r = clamp(moved, p["r_on"], p["r_off"])
        return r, current


MODELS = {model.NAME: model for model in (LinearIonDrift, VTEAM, Stanford_PKU, Data_Driven, Data_Driven2021)}


def set_conductance(model, params, g):
    """The state at a conductance, clipped to [1/r_off, 1/r_on]."""
    return model.state(params, clamp(g, 1 / params["r_off"], 1 / params["r_on"]))


def simulate(model, params, state, voltages, dt):
    """Final state and the recorded currents of one device, one explicit step per sample."""
    currents, last = [], 0.0
    for v in voltages:
        state, last = model.step(params, state, v, dt, last)
        currents.append(last)
    return state, currents
