"""The Stanford-PKU model of metal-oxide RRAM: a tunnelling gap that grows and shrinks."""

from __future__ import annotations

from memtorch._errors import check_float
from memtorch.bh.memristor._engine_model import EngineModel
from memtorch.bh.memristor.Memristor import (
    Curve,
    Memristor,
    plot_bipolar_switching_behaviour,
    plot_hysteresis_loop,
)

__all__ = ["Stanford_PKU"]


class Stanford_PKU(EngineModel, Memristor):
    """The Stanford_PKU model; the engine's table of it gives the parameters and the rest of this text."""

    model_name = "Stanford_PKU"
    noise_switch = "model_switch"

    @property
    def gap_min(self) -> float:
        """Gap at r_on (m)."""
        return self.array.state_bounds("gap", self.row)[0]

    @property
    def gap_max(self) -> float:
        """Gap at r_off (m)."""
        return self.array.state_bounds("gap", self.row)[1]

    def T_current(self, voltage: float, current: float) -> float:
        """Temperature of the filament (K) that a voltage (V) and a current (A) heat."""
        volts = check_float("T_current", "voltage", voltage, unit="V")
        amperes = check_float("T_current", "current", current, unit="A")
        return self.T_init + abs(volts * amperes * self.R_th)

    def plot_hysteresis_loop(
        self,
        duration: float = 0.5,
        voltage_signal_amplitude: float = 1.5,
        voltage_signal_frequency: float = 10,
        log_scale: bool = False,
        return_result: bool = False,
    ) -> Curve | None:
        """Plots the current under a sinusoidal voltage: see the function in ``memristor.Memristor``."""
        return plot_hysteresis_loop(
            self, duration, voltage_signal_amplitude, voltage_signal_frequency, log_scale, return_result
        )

    def plot_bipolar_switching_behaviour(
        self,
        voltage_signal_amplitude: float = 1.5,
        voltage_signal_frequency: float = 0.05,
        log_scale: bool = True,
        return_result: bool = False,
    ) -> Curve | None:
        """Plots |current| under a triangular voltage: see the function in ``memristor.Memristor``."""
        return plot_bipolar_switching_behaviour(
            self, voltage_signal_amplitude, voltage_signal_frequency, log_scale, return_result
        )
