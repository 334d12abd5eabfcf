"""Linear ion drift: the boundary of the doped region moves with the charge that has passed."""

from __future__ import annotations

from memtorch._errors import check_float
from memtorch.bh.memristor._engine_model import EngineModel
from memtorch.bh.memristor.Memristor import (
    Curve,
    Memristor,
    plot_bipolar_switching_behaviour,
    plot_hysteresis_loop,
)
from memtorch.bh.memristor.window.Jogelkar import Jogelkar

__all__ = ["LinearIonDrift"]

# How near to its ends the state enters the window, which vanishes there and would hold it for ever: as in the engine.
_WINDOW_MARGIN = 1e-3


class LinearIonDrift(EngineModel, Memristor):
    """The LinearIonDrift model; the engine's table of it gives the parameters and the rest of this text."""

    model_name = "LinearIonDrift"

    @property
    def r_i(self) -> float:
        """Resistance of a fresh device (ohm): r_on."""
        return self.r_on

    def dxdt(self, current: float) -> float:
        """Rate of the state (1/s) at a current (A) beyond the write thresholds: u_v r_on / d^2 I f(x).

        f is Joglekar's window.
        """
        amperes = check_float("dxdt", "current", current, unit="A")
        x = min(max(self.x, _WINDOW_MARGIN), 1 - _WINDOW_MARGIN)
        return self.u_v * self.r_on / self.d**2 * amperes * Jogelkar(x, self.p)

    def plot_hysteresis_loop(
        self,
        duration: float = 4,
        voltage_signal_amplitude: float = 5,
        voltage_signal_frequency: float = 2.5,
        return_result: bool = False,
    ) -> Curve | None:
        """Plots the current under a sinusoidal voltage: see the function in ``memristor.Memristor``."""
        return plot_hysteresis_loop(
            self, duration, voltage_signal_amplitude, voltage_signal_frequency, return_result=return_result
        )

    def plot_bipolar_switching_behaviour(
        self,
        voltage_signal_amplitude: float = 5,
        voltage_signal_frequency: float = 2.5,
        log_scale: bool = True,
        return_result: bool = False,
    ) -> Curve | None:
        """Plots |current| under a triangular voltage: see the function in ``memristor.Memristor``."""
        return plot_bipolar_switching_behaviour(
            self, voltage_signal_amplitude, voltage_signal_frequency, log_scale, return_result
        )
