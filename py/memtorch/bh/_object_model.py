"""Device models written in Python: what is asked of their classes, and the currents of single devices."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from memtorch._errors import check_float, invalid
from memtorch.bh._signals import FROZEN_STEP
from memtorch.bh.memristor.Memristor import Memristor
from memtorch.bh.StochasticParameter import draw

__all__ = [
    "accepts_keyword",
    "check_arguments",
    "check_model",
    "check_resistances",
    "frozen_currents",
    "frozen_curve",
    "number_of",
    "reference_object",
    "simulated_currents",
]


def check_model(op: str, memristor_model: Any) -> None:
    """Raises ``InvalidArgument`` unless a class is a device model that can be instantiated."""
    if not (isinstance(memristor_model, type) and issubclass(memristor_model, Memristor)):
        shown = getattr(memristor_model, "__name__", memristor_model)
        invalid(op, "memristor_model", shown, "be a class of memtorch.bh.memristor or a subclass of its Memristor")
    missing = sorted(getattr(memristor_model, "__abstractmethods__", ()))
    if missing:
        invalid(op, "memristor_model", memristor_model.__name__, f"define {', '.join(missing)}")


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # written in C, without a signature
        return {}


def accepts_keyword(function: Callable[..., Any], name: str) -> bool:
    """Whether a function or class takes a keyword argument."""
    parameters = _parameters(function)
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def check_arguments(op: str, memristor_model: type, params: Mapping[str, Any]) -> None:
    """Raises ``InvalidArgument`` unless a model's constructor takes these keyword arguments."""
    try:
        inspect.signature(memristor_model).bind(**params)
    except TypeError as error:
        must = f"be keyword arguments of {memristor_model.__name__}: {error}"
        invalid(op, "memristor_model_params", ", ".join(params) or "none", must)


def _is_stochastic(value: Any) -> bool:
    return callable(value) and not isinstance(value, type) and "return_mean" in _parameters(value)


def reference_object(op: str, memristor_model: type, params: Mapping[str, Any]) -> Any:
    """A device with the means of all stochastic parameters.

    The constructor gets ``reference=True`` besides if it takes that or any keyword argument, as in MemTorch 1.1.6.

    Raises:
        InvalidArgument: Arguments that the constructor does not take, or a device without 0 < r_on < r_off.
    """
    means = {n: draw(n, v, mean=True) if _is_stochastic(v) else v for n, v in params.items()}
    check_arguments(op, memristor_model, means)
    flag = {"reference": True} if accepts_keyword(memristor_model, "reference") else {}
    device = memristor_model(**{**means, **flag})
    r_on, r_off = (number_of(device, name, name, "ohm") for name in ("r_on", "r_off"))
    check_resistances(memristor_model.__name__, "r_on", r_on, r_off)
    return device


def check_resistances(op: str, name: str, r_on: float, r_off: float) -> None:
    """Raises ``InvalidArgument`` unless 0 < r_on < r_off (ohm); ``name`` is r_on's for messages."""
    if not 0 < r_on < r_off:
        invalid(op, name, r_on, f"lie between 0 and r_off ({r_off!r} ohm)", "ohm")


def number_of(device: Any, name: str, label: str, unit: str) -> float:
    """An attribute of a device as a finite float.

    Args:
        device: An object of a model written in Python.
        name: The attribute.
        label: The attribute for messages.
        unit: Its unit for messages.

    Raises:
        InvalidArgument: It is missing, or no finite number.
    """
    value = getattr(device, name, None)
    if type(value) is float and math.isfinite(value):
        return value
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()  # numpy's own conversion takes no more than 0 dimensions
    if value is None:
        invalid(type(device).__name__, label, value, "be set by the model to a finite number", unit)
    return check_float(type(device).__name__, label, value, unit=unit)


def _checked(op: str, name: str, currents: Any, count: int) -> NDArray[np.float64]:
    """What a model returned as float64 currents [count].

    Raises:
        InvalidArgument: It is anything else.
    """
    try:
        if currents is None:  # numpy reads it as NaN
            raise TypeError
        array = np.asarray(currents.detach().cpu() if isinstance(currents, Tensor) else currents, dtype=np.float64)
    except (TypeError, ValueError):
        invalid(op, name, type(currents).__name__, f"be {count} numbers, one for each voltage", "")
    if array.size != count:
        invalid(op, name, f"shape {list(array.shape)}", f"be {count} numbers, one for each voltage")
    if not np.isfinite(array).all():
        invalid(op, name, array.tolist(), "be finite", "A")
    return array.reshape(-1)


def simulated_currents(
    name: str, device: Any, voltage: NDArray[np.float64], return_current: bool, **options: Any
) -> NDArray[np.float64] | None:
    """One call of a device's ``simulate``: the currents [steps] (A) if wanted, checked; ``name`` is for messages."""
    if not return_current:
        device.simulate(voltage, **options)
        return None
    try:
        currents = device.simulate(voltage, return_current=True, **options)
    except TypeError:
        if accepts_keyword(device.simulate, "return_current"):
            raise
        invalid(type(device).__name__, "simulate", "without return_current", "take return_current where currents count")
    return _checked(type(device).__name__, name, currents, len(voltage))


def _definer(device: Any, name: str) -> int:
    """How far up its bases a device's class takes a method from; beyond all of them if there is none."""
    bases = type(device).__mro__
    return next((k for k, base in enumerate(bases) if callable(vars(base).get(name))), len(bases))


def frozen_curve(name: str, device: Any) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """The currents [n] (A) that a device carries in its present state, a function of voltages [n] (V).

    The device's own ``current(voltage)`` gives them, unless it is inherited from further up than ``simulate`` and so
    may describe another device. Otherwise a copy simulates the voltages in steps too short for anything to move. The
    function raises ``InvalidArgument`` where they are not finite numbers; ``name`` is theirs for messages.
    """
    if _definer(device, "current") <= _definer(device, "simulate"):

        def own(voltage: NDArray[np.float64]) -> NDArray[np.float64]:
            return _checked(type(device).__name__, name, [device.current(float(v)) for v in voltage], len(voltage))

        return own
    frozen = copy.deepcopy(device)
    frozen.time_series_resolution = FROZEN_STEP

    def simulated(voltage: NDArray[np.float64]) -> NDArray[np.float64]:
        currents = simulated_currents(name, frozen, np.array(voltage, dtype=np.float64), True)
        assert currents is not None
        return currents

    return simulated


def frozen_currents(name: str, device: Any, voltage: NDArray[np.float64]) -> NDArray[np.float64]:
    """The currents [n] (A) that a device carries in its present state at voltages [n] (V); it does not change.

    Raises:
        InvalidArgument: Currents that are not finite numbers.
    """
    return frozen_curve(name, device)(voltage)
