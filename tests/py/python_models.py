"""Device models as users write them, from the equations of the slow references."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from reference import devices as reference

import memtorch
from memtorch.bh import Crossbar
from memtorch.bh.memristor import VTEAM, LinearIonDrift, Memristor


class PythonModel(Memristor):
    """A built-in model again, one sample after the other."""

    equations: ClassVar[Any]

    def __init__(self, time_series_resolution=None, r_off=None, r_on=None, **kwargs):
        defaults = self.equations.PARAMS
        r_off, r_on = r_off or defaults["r_off"], r_on or defaults["r_on"]
        args = memtorch.bh.unpack_parameters(locals())
        super().__init__(args.r_off, args.r_on, time_series_resolution or self.equations.DT)
        self.x = self.equations.initial(self.parameters())
        self.g = self.equations.conductance(self.parameters(), self.x)

    def parameters(self):
        return {**self.equations.PARAMS, "r_off": self.r_off, "r_on": self.r_on}

    def simulate(self, voltage_signal, return_current=False):
        currents = []
        for v in voltage_signal:
            self.x, current = self.equations.step(self.parameters(), self.x, float(v), self.time_series_resolution, 0.0)
            currents.append(current)
        self.g = self.equations.conductance(self.parameters(), self.x)
        return np.array(currents) if return_current else None

    def set_conductance(self, conductance):
        self.g = reference.clamp(conductance, 1 / self.r_off, 1 / self.r_on)
        self.x = self.equations.state(self.parameters(), self.g)


class PythonVTEAM(PythonModel):
    equations = reference.VTEAM


class PythonDrift(PythonModel):
    equations = reference.LinearIonDrift


class Rich(Memristor):
    """An ohmic device with one attribute of every kind that can be saved, and a function, which cannot."""

    def __init__(self, time_series_resolution=1e-3, r_off=1e4, r_on=1e2, gain=0.5):
        super().__init__(r_off, r_on, time_series_resolution)
        self.set_conductance(1 / r_off)
        self.gain, self.count, self.name, self.armed, self.note = gain, 0, "fresh", False, None
        self.trace, self.pair = [0.0, 1], (2, "b")
        self.weights = np.arange(3.0)
        self.tensor = torch.zeros(2)
        self.table = {"a": [1.5], 2: None}
        self.law = lambda v: gain * v

    def simulate(self, voltage_signal, return_current=False):
        self.count += len(voltage_signal)
        self.name, self.armed, self.trace = "used", True, [*self.trace, float(voltage_signal[-1])]
        self.weights = self.weights + self.gain * np.sum(voltage_signal)
        self.tensor += 1
        self.table["a"].append(0.1)
        self.latest = float(voltage_signal[-1])
        return np.asarray(voltage_signal) * self.g if return_current else None

    def set_conductance(self, conductance):
        self.g = conductance


class Counting(VTEAM):
    """A built-in model that counts its pulses."""

    pulses = 0

    def simulate(self, voltage_signal, return_current=False):
        self.pulses += 1
        return super().simulate(voltage_signal, return_current)


class Ohmic(VTEAM):
    """A built-in model with another I-V."""

    def simulate(self, voltage_signal, return_current=False):
        return 3.0 * np.asarray(voltage_signal) if return_current else None


class Preset(VTEAM):
    """A built-in model with other defaults."""

    def __init__(self, **kwargs):
        super().__init__(**{"r_on": 20.0, "r_off": 400.0, **kwargs})


class Strict(Memristor):
    """A model that takes exactly its arguments."""

    def __init__(self, time_series_resolution=1e-3, r_off=1e4, r_on=1e2):
        args = memtorch.bh.unpack_parameters(locals())
        super().__init__(args.r_off, args.r_on, args.time_series_resolution)

    def simulate(self, voltage_signal):
        self.g *= 1.01

    def set_conductance(self, conductance):
        self.g = conductance


class WithCurrent(Strict):
    def current(self, voltage):
        return voltage**2


class Broken(Strict):
    """A model whose conductance is whatever its class says."""

    value = None

    def set_conductance(self, conductance):
        self.g = self.value


class Careless(Strict):
    """A model that never samples its parameters."""

    def __init__(self, time_series_resolution=1e-3, r_off=1e4, r_on=1e2):
        Memristor.__init__(self, r_off, r_on, time_series_resolution)


class Bare(Strict):
    """A model that never calls the base constructor."""

    def __init__(self):
        self.g = 1.0


# ---- Comparisons with the built-in models ----

PAIRS = [(PythonVTEAM, VTEAM), (PythonDrift, LinearIonDrift)]
SWING = {PythonVTEAM: 0.3, PythonDrift: 5.0}  # V; move the devices within tens of default samples
# The state and the conductance that it stands for are computed in float64 by the same equations in another order.
DOUBLE = 1e-9
FLOAT32 = 2.0**-23  # spacing of the stored conductances, twice the rounding error

each_pair = pytest.mark.parametrize(("python", "built_in"), PAIRS, ids=["VTEAM", "LinearIonDrift"])
each_tiling = pytest.mark.parametrize("tile_shape", [None, (3, 2), (64, 64)])


def crossbar_pair(python, built_in, tile_shape=None, shape=(4, 5), seed=0):
    """The same conductances, random and partly out of range, on a crossbar of either kind."""
    fresh = built_in()
    generator = torch.Generator().manual_seed(seed)
    g = torch.rand(shape, generator=generator) * 1.2 / fresh.r_on
    crossbars = [Crossbar(model, {}, shape, tile_shape) for model in (python, built_in)]
    for crossbar in crossbars:
        crossbar.write_conductance_matrix(g)
    return crossbars
