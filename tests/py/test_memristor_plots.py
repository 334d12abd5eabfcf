"""The plot methods of the device models, and models that users write."""

from __future__ import annotations

import copy
import inspect
import math

import numpy as np
import pytest
from device_tools import columns_of, each_model

import memtorch
from memtorch import InvalidArgument
from memtorch.bh.memristor import VTEAM, Data_Driven, Data_Driven2021, LinearIonDrift, Memristor, Stanford_PKU
from memtorch.bh.memristor.Memristor import plot_bipolar_switching_behaviour, plot_hysteresis_loop

PLOT_DEFAULTS = {
    LinearIonDrift: ((4, 5, 2.5), (5, 2.5)),
    VTEAM: ((200e-9, 1, 50e6), (1.5, 50e6)),
    Stanford_PKU: ((0.5, 1.5, 10), (1.5, 0.05)),
    Data_Driven: ((1e-3, 1.5, 10e3), (1.5, 10e3)),
    Data_Driven2021: ((1e-3, 1.5, 10e3), (1.5, 10e3)),
}


@each_model
def test_plot_methods_have_the_documented_arguments(model):
    loop = {n: p.default for n, p in inspect.signature(model.plot_hysteresis_loop).parameters.items() if n != "self"}
    names = ("duration", "voltage_signal_amplitude", "voltage_signal_frequency")
    expected = dict(zip(names, PLOT_DEFAULTS[model][0], strict=True))
    scale = {"log_scale": False} if model is Stanford_PKU else {}
    assert loop == {**expected, **scale, "return_result": False}
    switching = inspect.signature(model.plot_bipolar_switching_behaviour).parameters
    got = {n: p.default for n, p in switching.items() if n != "self"}
    bipolar = dict(zip(names[1:], PLOT_DEFAULTS[model][1], strict=True))
    assert got == {**bipolar, "log_scale": True, "return_result": False}


def short_plots(device):
    """Both plot methods over 200 samples."""
    dt = device.time_series_resolution
    return [
        lambda **kw: device.plot_hysteresis_loop(
            duration=200 * dt, voltage_signal_amplitude=1.2, voltage_signal_frequency=1 / (200 * dt), **kw
        ),
        lambda **kw: device.plot_bipolar_switching_behaviour(
            voltage_signal_amplitude=1.2, voltage_signal_frequency=1 / (200 * dt), **kw
        ),
    ]


@each_model
def test_plots_return_what_a_copy_does_and_leave_device_and_figures_alone(model):
    import matplotlib.pyplot as plt

    device = model()
    before = columns_of(device)
    for plot in short_plots(device):
        voltage, current = plot(return_result=True)
        assert 200 <= len(voltage) <= 202  # arange(0, T + dt, dt), give or take rounding
        assert np.abs(voltage).max() == pytest.approx(1.2, rel=1e-3)  # the crest may fall between two of 200 samples
        np.testing.assert_array_equal(current, copy.deepcopy(device).simulate(voltage, return_current=True))
    assert columns_of(device) == before
    assert plt.get_fignums() == []


@each_model
def test_plots_draw_on_the_current_figure_with_units(model):
    import matplotlib.pyplot as plt

    device = model()
    figure, axes = plt.subplots(1, 2)
    for ax, plot in zip(axes, short_plots(device), strict=True):
        plt.sca(ax)
        assert plot() is None
        assert len(ax.lines) == 1
        assert ax.get_xlabel() == "Voltage (V)"
        assert ax.get_ylabel().endswith("(A)")
        assert model.__name__ in ax.get_title()
    assert axes[1].get_yscale() == "log"
    assert plt.get_fignums() == [figure.number]
    figure.canvas.draw()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [((0, 1, 1), "duration"), ((1, math.nan, 1), "voltage_signal_amplitude"), ((1, 1, -1), "voltage_signal_frequency")],
)
def test_bad_plot_arguments_are_named(arguments, named):
    with pytest.raises(InvalidArgument, match=rf"\[plot_hysteresis_loop\] {named}"):
        VTEAM().plot_hysteresis_loop(*arguments)


# ---- Users' own models ----


class Resistor(Memristor):
    """A user's model: V = R I, with r_off for the first second."""

    def __init__(self, time_series_resolution=0.1, r_off=100.0, r_on=10.0, **kwargs):
        args = memtorch.bh.unpack_parameters(locals())
        super().__init__(args.r_off, args.r_on, args.time_series_resolution)
        self.g = 1 / self.r_off

    def simulate(self, voltage_signal, return_current=False):
        current = self.g * np.asarray(voltage_signal, dtype=float)
        return current if return_current else None

    def set_conductance(self, conductance):
        self.g = memtorch.utils.clip(conductance, 1 / self.r_off, 1 / self.r_on)

    def plot_hysteresis_loop(self, return_result=False):
        return plot_hysteresis_loop(self, 1, 2, 1, return_result=return_result)

    def plot_bipolar_switching_behaviour(self, return_result=False):
        return plot_bipolar_switching_behaviour(self, 2, 1, return_result=return_result)


def test_models_written_in_python_work_with_the_plot_functions():
    device = Resistor()
    device.set_conductance(1)
    assert device.get_resistance() == pytest.approx(10, rel=1e-15)
    for plot in (device.plot_hysteresis_loop, device.plot_bipolar_switching_behaviour):
        voltage, current = plot(return_result=True)
        np.testing.assert_array_equal(current, voltage * 0.1)
        assert plot() is None


class Plain(Resistor):
    """A model that leaves its plots to the base class."""

    plot_hysteresis_loop = Memristor.plot_hysteresis_loop
    plot_bipolar_switching_behaviour = Memristor.plot_bipolar_switching_behaviour


def test_a_model_without_plot_methods_has_those_of_the_base_class():
    device, other = Plain(), Resistor()
    for mine, expected in (
        (device.plot_hysteresis_loop(1, 2, 1, return_result=True), other.plot_hysteresis_loop(return_result=True)),
        (
            device.plot_bipolar_switching_behaviour(2, 1, return_result=True),
            other.plot_bipolar_switching_behaviour(return_result=True),
        ),
    ):
        np.testing.assert_array_equal(mine, expected)
    assert device.plot_hysteresis_loop(1, 2, 1) is None
