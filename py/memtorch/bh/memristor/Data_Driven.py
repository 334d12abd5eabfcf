"""A model fitted to measured switching surfaces, with a resistance boundary for every voltage."""

from __future__ import annotations

from memtorch.bh.memristor._engine_model import EngineModel
from memtorch.bh.memristor.Memristor import (
    Curve,
    Memristor,
    plot_bipolar_switching_behaviour,
    plot_hysteresis_loop,
)

__all__ = ["Data_Driven"]


class Data_Driven(EngineModel, Memristor):
    """The Data_Driven model; the engine's table of it gives the parameters and the rest of this text."""

    model_name = "Data_Driven"

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
