"""The base class of all memristor models, and the two plots that every model offers."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memtorch._errors import check_bool, check_float, invalid
from memtorch.bh._signals import FROZEN_STEP

__all__ = ["Memristor", "plot_bipolar_switching_behaviour", "plot_hysteresis_loop"]

# Vector and raster backends alike take seconds for more points than a figure can show.
_MAX_DRAWN_POINTS = 200_000

# Their voltages and currents fill 3 GB.
_MAX_SAMPLES = 200_000_000

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]


class Memristor(ABC):
    """A two-terminal device with a conductance that voltages change.

    To try a model of your own, subclass it and write ``simulate`` and ``set_conductance``; docs/extending.md has an
    example. Crossbars, layers, programming and non-idealities then take it like a built-in model.

    Args:
        r_off: Resistance of the high-resistance state (ohm).
        r_on: Resistance of the low-resistance state (ohm).
        time_series_resolution: Time between samples (s).
        pos_write_threshold: Positive voltage from which the state moves (V).
        neg_write_threshold: Negative voltage from which the state moves (V).

    Attributes:
        g: Conductance (S).
    """

    def __init__(
        self,
        r_off: float,
        r_on: float,
        time_series_resolution: float,
        pos_write_threshold: float = 0,
        neg_write_threshold: float = 0,
    ) -> None:
        self.r_off = r_off
        self.r_on = r_on
        self.time_series_resolution = time_series_resolution
        self.pos_write_threshold = pos_write_threshold
        self.neg_write_threshold = neg_write_threshold
        self.g: Any = None
        self.finite_states: int | None = None

    @abstractmethod
    def simulate(self, voltage_signal: Any, return_current: bool = False) -> NDArray[np.float64] | None:
        """Applies a voltage signal (V), one sample every ``time_series_resolution``; the state moves.

        Returns:
            The currents (A), or None without ``return_current``.
        """

    @abstractmethod
    def set_conductance(self, conductance: float) -> None:
        """Sets the conductance (S)."""

    def plot_hysteresis_loop(self, *args: Any, **kwargs: Any) -> Curve | None:
        """Plots the current under a sinusoidal voltage: see the function in this file for the arguments."""
        return plot_hysteresis_loop(self, *args, **kwargs)

    def plot_bipolar_switching_behaviour(self, *args: Any, **kwargs: Any) -> Curve | None:
        """Plots the magnitude of the current under a triangular voltage: see the function in this file."""
        return plot_bipolar_switching_behaviour(self, *args, **kwargs)

    def get_resistance(self) -> float:
        """Resistance (ohm): 1 / g."""
        return 1 / self.g

    def current(self, voltage: float) -> float:
        """The current (A) in the present state at a voltage (V): that of a copy, for a time too short to move it.

        Raises:
            InvalidArgument: A voltage or a current that is not a finite number.
        """
        frozen = copy.deepcopy(self)
        frozen.time_series_resolution = FROZEN_STEP
        volts = check_float("current", "voltage", voltage, unit="V")
        current = np.asarray(frozen.simulate(np.array([volts]), return_current=True), dtype=np.float64)
        return check_float(type(self).__name__, "current", current.item() if current.size == 1 else current, unit="A")


def plot_hysteresis_loop(
    memristor_model: Memristor,
    duration: float,
    voltage_signal_amplitude: float,
    voltage_signal_frequency: float,
    log_scale: bool = False,
    return_result: bool = False,
) -> Curve | None:
    """Simulates a copy of a device under A sin(2 pi f t) and draws current against voltage on the current figure.

    Args:
        memristor_model: The device; it is not changed.
        duration: Length of the signal (s).
        voltage_signal_amplitude: A (V).
        voltage_signal_frequency: f (Hz).
        log_scale: Draw the current on a symmetric logarithmic axis.
        return_result: Return the curve and draw nothing.

    Returns:
        None, or (voltage [samples] V, current [samples] A).

    Raises:
        InvalidArgument: A number that is not finite, or not positive where it must be.
    """
    op = "plot_hysteresis_loop"
    step = memristor_model.time_series_resolution
    check_float(op, "duration", duration, 0, exclusive=True, unit="s")
    check_float(op, "voltage_signal_amplitude", voltage_signal_amplitude, unit="V")
    check_float(op, "voltage_signal_frequency", voltage_signal_frequency, 0, exclusive=True, unit="Hz")
    check_bool(op, "log_scale", log_scale)
    _check_samples(op, "duration", duration, duration / step, "s")
    t = np.arange(0, duration + step, step)
    voltage = voltage_signal_amplitude * np.sin(2 * np.pi * voltage_signal_frequency * t)
    current = _simulated(memristor_model, voltage)
    if check_bool(op, "return_result", return_result):
        return voltage, current
    _draw(memristor_model, "Hysteresis loop", voltage, current, "Current (A)", "symlog" if log_scale else "linear")
    return None


def plot_bipolar_switching_behaviour(
    memristor_model: Memristor,
    voltage_signal_amplitude: float,
    voltage_signal_frequency: float,
    log_scale: bool = True,
    return_result: bool = False,
) -> Curve | None:
    """Simulates a copy of a device under one triangle 0, A, -A, 0 and draws |current| against voltage.

    Args:
        memristor_model: The device; it is not changed.
        voltage_signal_amplitude: A (V).
        voltage_signal_frequency: The triangle lasts one period (Hz).
        log_scale: Draw the current on a logarithmic axis.
        return_result: Return the curve and draw nothing.

    Returns:
        None, or (voltage [samples] V, current [samples] A).

    Raises:
        InvalidArgument: A number that is not finite, or not positive where it must be.
    """
    op = "plot_bipolar_switching_behaviour"
    step = memristor_model.time_series_resolution
    check_float(op, "voltage_signal_amplitude", voltage_signal_amplitude, unit="V")
    frequency = check_float(op, "voltage_signal_frequency", voltage_signal_frequency, 0, exclusive=True, unit="Hz")
    check_bool(op, "log_scale", log_scale)
    _check_samples(op, "voltage_signal_frequency", frequency, 1 / frequency / step, "Hz")
    phase = np.arange(0, 1 / frequency + step, step) * frequency
    voltage = voltage_signal_amplitude * np.interp(phase, [0, 0.25, 0.75, 1], [0, 1, -1, 0])
    current = _simulated(memristor_model, voltage)
    if check_bool(op, "return_result", return_result):
        return voltage, current
    scale = "log" if log_scale else "linear"
    _draw(memristor_model, "Bipolar switching", voltage, np.abs(current), "|Current| (A)", scale)
    return None


def _check_samples(op: str, name: str, value: float, samples: float, unit: str) -> None:
    if samples > _MAX_SAMPLES:
        invalid(op, name, value, f"give at most {_MAX_SAMPLES:,} samples at the device's time step", unit)


def _simulated(memristor_model: Memristor, voltage: NDArray[np.float64]) -> NDArray[np.float64]:
    current = copy.deepcopy(memristor_model).simulate(voltage, return_current=True)
    return np.asarray(current, dtype=np.float64)


def _draw(
    memristor_model: Memristor,
    title: str,
    voltage: NDArray[np.float64],
    current: NDArray[np.float64],
    label: str,
    scale: str,
) -> None:
    import matplotlib.pyplot as plt

    stride = -(-len(voltage) // _MAX_DRAWN_POINTS)
    voltage, current = voltage[::stride], current[::stride]
    axes = plt.gca()
    if scale == "symlog":
        axes.set_yscale("symlog", linthresh=max(float(np.abs(current).max()) * 1e-6, np.finfo(float).tiny))
    elif scale == "log":
        axes.set_yscale("log", nonpositive="mask")
    axes.plot(voltage, current)
    axes.set_title(f"{title} of {type(memristor_model).__name__}")
    axes.set_xlabel("Voltage (V)")
    axes.set_ylabel(label)
    # Headless canvases name no framework; showing them would only raise a warning.
    if getattr(plt.gcf().canvas, "required_interactive_framework", None) is not None:
        plt.show()
