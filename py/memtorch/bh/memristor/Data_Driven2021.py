"""The 2021 form of the data-driven model: the resistance approaches a voltage-dependent boundary."""

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

__all__ = ["Data_Driven2021"]


class Data_Driven2021(EngineModel, Memristor):
    """The Data_Driven2021 model; the engine's table of it gives the parameters and the rest of this text."""

    model_name = "Data_Driven2021"

    def r_pn(self, voltage: float) -> float:
        """Resistance (ohm) that a voltage (V) drives towards: r[0] + r[1] V, with r_p above 0 V and r_n otherwise."""
        volts = check_float("r_pn", "voltage", voltage, unit="V")
        r = self.r_p if volts > 0 else self.r_n
        return r[0] + r[1] * volts

    def s_pn(self, voltage: float) -> float:
        """Switching sensitivity (1 / (ohm s)) at a voltage (V): A (exp(|V| / t) - 1)."""
        volts = check_float("s_pn", "voltage", voltage, unit="V")
        scale, decay = (self.A_p, self.t_p) if volts > 0 else (self.A_n, self.t_n)
        return scale * math.expm1(abs(volts) / decay)

    def dRdt(self, voltage: float) -> float:
        """Rate of the resistance (ohm/s) at a voltage (V): s (rho - R)^2, before the boundary stops it."""
        return self.s_pn(voltage) * (self.r_pn(voltage) - 1 / self.g) ** 2

    def plot_hysteresis_loop(
        self,
        duration: float = 1e-3,
        voltage_signal_amplitude: float = 1.5,
        voltage_signal_frequency: float = 10e3,
        return_result: bool = False,
    ) -> Curve | None:
        """Plots the current under a sinusoidal voltage: see the function in ``memristor.Memristor``."""
        return plot_hysteresis_loop(
            self, duration, voltage_signal_amplitude, voltage_signal_frequency, return_result=return_result
        )

    def plot_bipolar_switching_behaviour(
        self,
        voltage_signal_amplitude: float = 1.5,
        voltage_signal_frequency: float = 10e3,
        log_scale: bool = True,
        return_result: bool = False,
    ) -> Curve | None:
        """Plots |current| under a triangular voltage: see the function in ``memristor.Memristor``."""
        return plot_bipolar_switching_behaviour(
            self, voltage_signal_amplitude, voltage_signal_frequency, log_scale, return_result
        )
