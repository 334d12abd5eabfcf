"""VTEAM: a state variable that moves only beyond voltage thresholds."""

from __future__ import annotations

import math

from memtorch._errors import check_float
from memtorch.bh.memristor._engine_model import EngineModel
from memtorch.bh.memristor.Memristor import (
    Curve,
    Memristor,
    plot_bipolar_switching_behaviour,
    plot_hysteresis_loop,
)

__all__ = ["VTEAM"]


class VTEAM(EngineModel, Memristor):
    """The VTEAM model; the engine's table of it gives the parameters and the rest of this text."""

    model_name = "VTEAM"

    pos_write_threshold: float = property(  # type: ignore[assignment]
        lambda self: self.v_off, doc="Positive voltage from which the state moves (V): v_off."
    )
    neg_write_threshold: float = property(  # type: ignore[assignment]
        lambda self: self.v_on, doc="Negative voltage from which the state moves (V): v_on."
    )

    @property
    def lamda(self) -> float:
        """Fitting parameter of the exponential I-V form: ln(r_off / r_on)."""
        return math.log(self.r_off / self.r_on)

    def dxdt(self, voltage: float) -> float:
        """Rate of the state (m/s) at a voltage (V)."""
        volts = check_float("dxdt", "voltage", voltage, unit="V")
        if volts >= self.v_off:
            return self.k_off * (volts / self.v_off - 1) ** self.alpha_off
        if volts <= self.v_on:
            return self.k_on * (volts / self.v_on - 1) ** self.alpha_on
        return 0.0

    def plot_hysteresis_loop(
        self,
        duration: float = 200e-9,
        voltage_signal_amplitude: float = 1,
        voltage_signal_frequency: float = 50e6,
        return_result: bool = False,
    ) -> Curve | None:
        """Plots the current under a sinusoidal voltage: see the function in ``memristor.Memristor``."""
        return plot_hysteresis_loop(
            self, duration, voltage_signal_amplitude, voltage_signal_frequency, return_result=return_result
        )

    def plot_bipolar_switching_behaviour(
        self,
        voltage_signal_amplitude: float = 1.5,
        voltage_signal_frequency: float = 50e6,
        log_scale: bool = True,
        return_result: bool = False,
    ) -> Curve | None:
        """Plots |current| under a triangular voltage: see the function in ``memristor.Memristor``."""
        return plot_bipolar_switching_behaviour(
            self, voltage_signal_amplitude, voltage_signal_frequency, log_scale, return_result
        )
