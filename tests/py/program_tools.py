"""What the tests of programming by pulses share."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from memtorch.bh.memristor import VTEAM, Data_Driven, Data_Driven2021, LinearIonDrift, Memristor, Stanford_PKU

# Pulses that overshoot, disturb the neighbours and leave devices stuck.
ROUGH = {
    LinearIonDrift: {"pos_voltage_level": 4.0, "neg_voltage_level": -3.0, "pulse_duration": 1e-2},
    VTEAM: {"pos_voltage_level": 0.5, "neg_voltage_level": -0.5, "pulse_duration": 2e-10},
    Stanford_PKU: {"pos_voltage_level": 2.2, "neg_voltage_level": -2.2, "time_series_resolution": 1e-12},
    Data_Driven: {"pos_voltage_level": 1.0, "neg_voltage_level": -1.4, "pulse_duration": 1e-6},
    Data_Driven2021: {"pos_voltage_level": 1.5, "neg_voltage_level": -1.5, "pulse_duration": 1e-8},
}
ROUGH[Stanford_PKU]["pulse_duration"] = 2e-12


def assert_same_reports(a, b):
    for name in ("pulses", "error", "outcome", "forced"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name


def quietly(call, *args, **kwargs):
    """A call whose warning about devices that did not converge is expected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return call(*args, **kwargs)


class Leaky(Memristor):
    """A model in Python: every millisecond at 1 V moves g by a tenth of its range, +V lowers it."""

    polarity = -1

    def __init__(self, r_off=1e4, r_on=1e3, time_series_resolution=1e-3):
        super().__init__(r_off, r_on, time_series_resolution)
        self.g = 1 / r_off

    def simulate(self, voltage_signal, return_current=False):
        for v in np.atleast_1d(voltage_signal):
            if abs(v) > 0.5:
                speed = 100 * v * (1 / self.r_on - 1 / self.r_off)  # S/s
                self.set_conductance(self.g - speed * self.time_series_resolution)

    def set_conductance(self, conductance):
        self.g = min(max(conductance, 1 / self.r_off), 1 / self.r_on)

    def plot_hysteresis_loop(self):
        raise NotImplementedError

    def plot_bipolar_switching_behaviour(self):
        raise NotImplementedError
