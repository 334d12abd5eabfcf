"""Non-idealities one device at a time, in plain Python floats: what the vectorised ones must equal."""

from __future__ import annotations

import math


def nearest_state(g: float, states: int, g_low: float, g_high: float) -> float:
    """The nearest of equally spaced states, the upper one of two equally near; one state: the mean of the bounds."""
    if states == 1:
        return (g_low + g_high) / 2
    levels = [g_low + k * (g_high - g_low) / (states - 1) for k in range(states)]
    return min(reversed(levels), key=lambda level: abs(level - g))


def drift(g: float, x: float, initial_time: float, drift_coefficient: float) -> float:
    """Conductance drift."""
    return g * (x / (initial_time or 1e-12)) ** -drift_coefficient


def threshold(p: list[float], cell_size: float | None, temperature: float | None, knee: float = 298) -> float:
    """Cycles or time from which a state degrades."""
    if temperature is None:
        return p[0] * math.exp(p[1])
    return p[0] * math.exp(p[1] * (cell_size or 10) + p[2] * min(knee / temperature, 1))


def degraded(
    r: float,
    gradual: bool,
    x: float,
    p: list[float] | None,
    stable: float | None,
    cell_size: float | None,
    temperature: float | None,
    knee: float = 298,
) -> float:
    """A resistance after its own state's transition."""
    if p is None or x <= threshold(p, cell_size, temperature, knee):
        return r
    if not gradual:
        return stable
    warmth = 0 if temperature is None else min(knee / temperature, 1)
    exponent = p[3] * (p[1] * (cell_size or 10) + p[2] * warmth)
    return r * (x / threshold(p, cell_size, temperature, knee)) ** exponent


def endured(g: float, r_on: float, r_off: float, gradual: bool, x: float, p_lrs, stable_lrs, p_hrs, stable_hrs, *rest):
    """A conductance after both transitions; r_on and r_off are the means that the crossbar was made with."""
    convergence = (r_on + r_off) / 2
    r = 1 / g
    if r < convergence:
        r = degraded(r, gradual, x, p_lrs, stable_lrs, *rest)
    if r > convergence:
        r = degraded(r, gradual, x, p_hrs, stable_hrs, *rest)
    return 1 / r
