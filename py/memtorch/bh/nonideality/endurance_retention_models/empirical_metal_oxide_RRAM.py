"""An empirical model of endurance and retention of metal-oxide RRAM.

C. Lammie, M. Rahimi Azghadi and D. Ielmini, "Empirical Metal-Oxide RRAM Device Endurance and Retention Model for Deep
Learning Simulations", Semiconductor Science and Technology 36(6), 2021.

Both states hold up to a threshold, a number of cycles or a time, and degrade beyond it:

    threshold = p0 exp(p1 c + p2 t)          c: cell size, nm; t = min(T_threshold / T, 1)
    threshold = p0 exp(p1)                   without temperature
    sudden:   R -> stable resistance
    gradual:  R -> R (x / threshold)^(p3 (p1 c + p2 t))       t = 0 without temperature
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from memtorch._errors import check_choice, check_float, check_numbers, check_tensor, invalid
from memtorch.bh.nonideality._effects import Effect, Layer, act_on, bound_arguments, planned_move

__all__ = ["OperationMode", "model_endurance_retention", "model_endurance_retention_gradual", "scale_p_0"]

_CELL_SIZE = 10.0

Resistance = TypeVar("Resistance", float, Tensor)


@enum.unique
class OperationMode(enum.Enum):
    """How devices degrade beyond the threshold: at once, or by a power law."""

    sudden = enum.auto()
    gradual = enum.auto()


@dataclass(frozen=True)
class Transition:
    """What happens to resistances on one side of the convergence point: they become one value, or are scaled."""

    scale: float
    stable: float | None = None

    def of(self, resistance: Any) -> Any:
        """A resistance after the transition (ohm), a number or a tensor."""
        return resistance * self.scale if self.stable is None else resistance * 0 + self.stable

    def of_conductance(self, g: Tensor, where: Tensor) -> Tensor:
        """Conductances after the transition (S), for those chosen by ``where``."""
        if self.stable is None:
            return torch.where(where, g * (1 / self.scale), g)
        return g.masked_fill(where, 1 / self.stable)


def scale_p_0(
    p_0: float,
    p_1: float,
    v_stop: float,
    v_stop_min: float,
    v_stop_max: float,
    v_stop_optimal: float,
    cell_size: float = 10,
) -> float:
    """Scales p_0, fitted at the optimal stop voltage, to another one.

    With s(v) = (v - v_stop_min) / (v_stop_max - v_stop_min), the threshold p_0 exp(p_1 c) at the optimal voltage
    becomes 10^(k (1 - (2 s(v_stop) - 1)^2)), where k makes both agree at ``v_stop_optimal``.

    Args:
        p_0: Fitting parameter at ``v_stop_optimal``.
        p_1: Fitting parameter (1/nm).
        v_stop: Stop voltage (V).
        v_stop_min: Lowest stop voltage (V).
        v_stop_max: Highest stop voltage (V).
        v_stop_optimal: Stop voltage of the best endurance (V), between them.
        cell_size: c (nm).

    Returns:
        p_0 at ``v_stop``.

    Raises:
        InvalidArgument: An argument that is no finite number or out of range.
    """
    op = "scale_p_0"
    check_float(op, "p_0", p_0, 0, exclusive=True)
    check_float(op, "p_1", p_1, unit="1/nm")
    check_float(op, "cell_size", cell_size, 0, exclusive=True, unit="nm")
    check_float(op, "v_stop_min", v_stop_min, unit="V")
    check_float(op, "v_stop_max", v_stop_max, unit="V")
    if v_stop_max <= v_stop_min:
        invalid(op, "v_stop_max", v_stop_max, f"be > v_stop_min ({v_stop_min!r} V)", "V")

    def parabola(name: str, v: Any) -> float:
        position = (check_float(op, name, v, unit="V") - v_stop_min) / (v_stop_max - v_stop_min)
        return 1 - (2 * position - 1) * (2 * position - 1)  # infinite, not an error, where it overflows

    at_optimum = parabola("v_stop_optimal", v_stop_optimal)
    if at_optimum <= 0:
        invalid(op, "v_stop_optimal", v_stop_optimal, "lie between v_stop_min and v_stop_max", "V")
    k = (math.log10(p_0) + p_1 * cell_size / math.log(10)) / at_optimum
    exponent = k * parabola("v_stop", v_stop) - p_1 * cell_size / math.log(10)
    if not abs(exponent) < 300:
        invalid(op, "p_0", p_0, f"not be scaled by as much as 10^{exponent:g}")
    return 10**exponent


def model_endurance_retention(
    layer: Layer,
    operation_mode: OperationMode,
    x: float,
    p_lrs: Sequence[float] | None,
    stable_resistance_lrs: float | None,
    p_hrs: Sequence[float] | None,
    stable_resistance_hrs: float | None,
    cell_size: float | None,
    temperature: float | None,
    temperature_threshold: float = 298,
) -> Layer:
    """Degrades the conductances of a layer after x cycles, or a time x; see the head of the file for the equations.

    Devices below the convergence point (r_on + r_off) / 2, of the parameters that the crossbar was made with, follow
    the low-resistance state, those above it, then, the high-resistance state. A conductance that leaves the device's
    [1/r_off, 1/r_on] takes that bound along. Stuck devices stay.

    Args:
        layer: A memristive layer; changed in place.
        operation_mode: Sudden or gradual.
        x: Number of cycles, or time (s).
        p_lrs: [p0, p1, p2, p3] of the low-resistance state (p3 for gradual only); None: it does not degrade.
        stable_resistance_lrs: Where it ends (ohm); for sudden only.
        p_hrs: Likewise of the high-resistance state.
        stable_resistance_hrs: Likewise (ohm).
        cell_size: c (nm); None: 10.
        temperature: T (K); None: it is not taken into account.
        temperature_threshold: Temperature from which on it has an effect (K).

    Returns:
        The layer.

    Raises:
        InvalidArgument: Not a memristive layer, an argument out of range, or parameters that the device model does not
            allow. Nothing has changed then.
    """
    op = "model_endurance_retention"
    lrs, hrs = _transitions(
        op,
        "x",
        operation_mode=operation_mode,
        x=x,
        p_lrs=p_lrs,
        stable_resistance_lrs=stable_resistance_lrs,
        p_hrs=p_hrs,
        stable_resistance_hrs=stable_resistance_hrs,
        cell_size=cell_size,
        temperature=temperature,
        temperature_threshold=temperature_threshold,
    )
    return act_on(op, layer, _effect(op, lrs, hrs, wears=False))


def model_endurance_retention_gradual(
    initial_resistance: Resistance,
    x: float,
    p_0: float,
    p_1: float,
    p_2: float,
    p_3: float,
    threshold: float,
    temperature_constant: float,
    cell_size: float | None = None,
) -> Resistance:
    """Resistance beyond the threshold in gradual mode: R (x / threshold)^(p_3 (p_1 c + p_2 t)).

    Args:
        initial_resistance: R (ohm), a number, array or tensor.
        x: Number of cycles, or time (s).
        p_0: Part of ``threshold``; not used.
        p_1: Fitting parameter (1/nm).
        p_2: Fitting parameter.
        p_3: Fitting parameter.
        threshold: In the unit of ``x``.
        temperature_constant: t = min(T_threshold / T, 1), or 0.
        cell_size: c (nm); None: 10.

    Returns:
        The resistance (ohm), like ``initial_resistance``.

    Raises:
        InvalidArgument: An argument that is no finite number, or out of range.
    """
    op = "model_endurance_retention_gradual"
    numbers = {"p_0": p_0, "p_1": p_1, "p_2": p_2, "p_3": p_3, "temperature_constant": temperature_constant}
    p = {name: check_float(op, name, value) for name, value in numbers.items()}
    size = _cell_size(op, cell_size)
    cycles = check_float(op, "x", x, 0, exclusive=True)
    check_float(op, "threshold", threshold, 0, exclusive=True)
    exponent = p["p_3"] * (p["p_1"] * size + p["p_2"] * p["temperature_constant"])
    if isinstance(initial_resistance, (Tensor, np.ndarray)):
        check_tensor(op, "initial_resistance", check_numbers(op, "initial_resistance", initial_resistance, "ohm"))
    else:
        initial_resistance = check_float(op, "initial_resistance", initial_resistance, unit="ohm")
    return initial_resistance * _power(op, cycles / threshold, exponent)


def _cell_size(op: str, cell_size: Any) -> float:
    return _CELL_SIZE if cell_size is None else check_float(op, "cell_size", cell_size, 0, exclusive=True, unit="nm")


def _power(op: str, base: float, exponent: float) -> float:
    """base^exponent, in the range of float64's normal numbers."""
    magnitude = exponent * math.log(base) if base > 0 else math.inf  # a quotient may be too small for a float
    if not abs(magnitude) < 700:
        invalid(op, "x / threshold", base, f"not scale resistances by exp({magnitude:g})")
    return math.exp(magnitude)


def degradation_effect(op: str, x: Any, kwargs: Any, wears: bool) -> Effect:
    """The effect of ``model_endurance_retention(layer, x=x, **kwargs)``, its arguments checked.

    ``wears``: the bounds that a device can be written to degrade like its conductance.
    """
    name, x_name = ("endurance_model_kwargs", "x") if wears else ("retention_model_kwargs", "time")
    arguments = bound_arguments(op, name, model_endurance_retention, kwargs)
    return _effect(op, *_transitions(op, x_name, x=x, **arguments), wears=wears)


def _transitions(op: str, x_name: str, **given: Any) -> tuple[Transition | None, Transition | None]:
    """What happens to the low-resistance and to the high-resistance state; None: nothing."""
    mode = check_choice(op, "operation_mode", given["operation_mode"], OperationMode)
    x = check_float(op, x_name, given["x"], 0)
    size = _cell_size(op, given["cell_size"])
    knee = check_float(op, "temperature_threshold", given["temperature_threshold"], 0, exclusive=True, unit="K")
    warmth = None
    if given["temperature"] is not None:
        warmth = min(knee / check_float(op, "temperature", given["temperature"], 0, exclusive=True, unit="K"), 1.0)
    found = []
    for state in ("lrs", "hrs"):
        p = _fitting_parameters(op, f"p_{state}", given[f"p_{state}"], mode)
        stable = given[f"stable_resistance_{state}"]
        if stable is not None or (p is not None and mode is OperationMode.sudden):
            stable = check_float(op, f"stable_resistance_{state}", stable, 0, exclusive=True, unit="ohm")
        found.append(None if p is None else _transition(op, mode, x, p, stable, size, warmth))
    return found[0], found[1]


def _fitting_parameters(op: str, name: str, value: Any, mode: OperationMode) -> list[float] | None:
    if value is None:
        return None
    p = check_numbers(op, name, value).double().flatten().tolist()
    needed = 4 if mode is OperationMode.gradual else 3
    if not needed <= len(p) <= 4 or not all(map(math.isfinite, p)) or p[0] <= 0:
        numbers = "p0 > 0, p1, p2, p3" if needed == 4 else "p0 > 0, p1, p2 (and p3)"
        invalid(op, name, value, f"be None or the finite numbers {numbers}")
    return [*p, 0.0][:4]


def _transition(
    op: str, mode: OperationMode, x: float, p: list[float], stable: float | None, size: float, warmth: float | None
) -> Transition | None:
    p_0, p_1, p_2, p_3 = p
    exponent = p_1 if warmth is None else p_1 * size + p_2 * warmth
    if x == 0 or math.log(x) <= math.log(p_0) + exponent:
        return None
    if mode is OperationMode.sudden:
        return Transition(1.0, stable)
    threshold = p_0 * math.exp(exponent)  # below x, and so finite
    if threshold == 0:
        invalid(op, "threshold", threshold, "be above 0")
    return Transition(model_endurance_retention_gradual(1.0, x, p_0, p_1, p_2, p_3, threshold, warmth or 0.0, size))


def _effect(op: str, lrs: Transition | None, hrs: Transition | None, wears: bool) -> Effect:
    def plan(crossbar: Any) -> Callable[[], None]:
        devices = crossbar.devices
        middle = 2 / (crossbar.r_on_mean + crossbar.r_off_mean)
        g = devices.g
        if lrs is not None:
            g = lrs.of_conductance(g, g > middle)
        if hrs is not None:
            g = hrs.of_conductance(g, g < middle)
        if not wears:
            return planned_move(op, devices, g)
        r_on, r_off = (devices.parameter(name) for name in ("r_on", "r_off"))
        worn_on, worn_off = _worn(r_on, lrs, 1 / middle, below=True), _worn(r_off, hrs, 1 / middle, below=False)
        closed = _column(worn_on) >= _column(worn_off)
        if not bool(closed.any()):
            return planned_move(op, devices, g, worn_on, worn_off)
        change = planned_move(op, devices, g, _unless(closed, worn_on, r_on), _unless(closed, worn_off, r_off))
        closed = closed.to(g.device).expand(g.shape)

        def change_and_close() -> None:
            change()
            devices.stuck = closed if devices.stuck is None else closed | devices.stuck

        return change_and_close

    return Effect(plan, can_fail=True)


def _column(bound: float | Tensor) -> Tensor:
    return torch.as_tensor(bound, dtype=torch.float64)


def _worn(bound: float | Tensor, transition: Transition | None, middle: float, below: bool) -> float | Tensor:
    """A bound of devices after the transition of its state, where it lies on that state's side of the middle."""
    if transition is None:
        return bound
    affected = bound < middle if below else bound > middle
    if isinstance(affected, Tensor) and isinstance(bound, Tensor):
        return torch.where(affected, transition.of(bound), bound)
    return transition.of(bound) if affected else bound


def _unless(closed: Tensor, new: float | Tensor, old: float | Tensor) -> float | Tensor:
    """The new bounds, but the old ones of devices whose range has closed."""
    if closed.dim() == 0:
        return old
    return torch.where(closed, _column(old), _column(new))
