"""What a GPU must compute as the CPU does: each scenario runs on a device and returns everything that came out.

Nothing but torch and memtorch is needed, so that this runs on a machine that has no more. gpu_parity.py compares.
"""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import LogNormal, Uniform

import memtorch
from memtorch.bh import quant_methods, simulate_matmul
from memtorch.bh.crossbar import Crossbar, Scheme, naive_program
from memtorch.bh.memristor import VTEAM, Data_Driven, Data_Driven2021, LinearIonDrift, Stanford_PKU
from memtorch.bh.nonideality import NonIdeality, apply_nonidealities
from memtorch.bh.nonideality.endurance_retention_models import (
    OperationMode,
    model_conductance_drift,
    model_endurance_retention,
)
from memtorch.mn.Module import patch_model

__all__ = ["SCENARIOS", "Scenario", "run"]

SEED = 20240229
Results = dict[str, Tensor]

# Voltages that move each model within tens of default samples.
SWING = {LinearIonDrift: 5.0, VTEAM: 0.3, Stanford_PKU: 1.6, Data_Driven: 1.5, Data_Driven2021: 1.2}
# Products of float64 sum in another order; 10^4 roundings of 2^-53 are far above what the longest sum here makes.
SUMS = 1e-12


@dataclass(frozen=True)
class Scenario:
    """Something to run.

    Attributes:
        name: What it is called.
        results: ``f(device)``.
        rel: How far results may lie apart, relative to the largest magnitude; 0: bit for bit.
    """

    name: str
    results: Callable[[torch.device], Results]
    rel: float


SCENARIOS: dict[str, Scenario] = {}


def scenario(rel: float = 0.0) -> Callable[[Callable[[torch.device], Results]], Callable[[torch.device], Results]]:
    """Registers a function."""

    def register(function: Callable[[torch.device], Results]) -> Callable[[torch.device], Results]:
        SCENARIOS[function.__name__] = Scenario(function.__name__, function, rel)
        return function

    return register


def run(name: str, device: torch.device) -> Results:
    """The results of a scenario on a device, on the CPU."""
    torch.manual_seed(SEED)
    return {key: value.detach().cpu() for key, value in SCENARIOS[name].results(device).items()}


def columns(devices: Any, prefix: str = "") -> Results:
    """All columns of an array of devices."""
    table = devices.table
    names = ["g", *(s.name for s in table.states), *(p.name for p in table.params)]
    return {f"{prefix}{name}": devices.column(name) for name in names}


def of_model(model: nn.Module) -> Results:
    """All columns of all crossbars of a patched model."""
    crossbars = [module for module in model.modules() if isinstance(module, Crossbar)]
    found: Results = {}
    for k, crossbar in enumerate(crossbars):
        found |= columns(crossbar.devices, f"{k}.")
        if crossbar.devices.stuck is not None:
            found[f"{k}.stuck"] = crossbar.devices.stuck
    return found


def spread(model: Any, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """Conductances over the whole range of the default device."""
    device = model()
    low, high = 1 / device.r_off, 1 / device.r_on
    return (low + (high - low) * torch.rand(shape, dtype=torch.float64)).to(dtype)


def patched(module: nn.Module, device: torch.device, **options: Any) -> nn.Module:
    """A module on memristors, float64, on a device."""
    options = {"tile_shape": (16, 12), "verbose": False, **options}
    return patch_model(module.double(), VTEAM, {}, **options).to(device)


# ---- Devices --------------------------------------------------------------------------------------------------------


@scenario()
def devices_that_are_simulated(device: torch.device) -> Results:
    found: Results = {}
    for model, swing in SWING.items():
        crossbar = Crossbar(model, {}, (31, 33)).to(device)
        crossbar.write_conductance_matrix(spread(model, (31, 33)).to(device))
        wave = swing * torch.sin(torch.linspace(0, 9, 24, dtype=torch.float64))
        current = crossbar.devices.simulate(wave, return_current=True)
        found |= columns(crossbar.devices, f"{model.__name__} ")
        found[f"{model.__name__} current"] = current
    return found


@scenario()
def devices_with_parameters_and_waveforms_of_their_own(device: torch.device) -> Results:
    found: Results = {}
    for model, swing in SWING.items():
        own = {"r_off": model().r_off * torch.linspace(0.9, 1.1, 7 * 5, dtype=torch.float64)}
        crossbar = Crossbar(model, {}, (5, 7)).to(device)
        crossbar.devices.set_params(**own)
        waves = swing * torch.randn(7, 5, 11, dtype=torch.float64)
        crossbar.devices.simulate(waves.to(device), rel_tol=1e-2 if model is VTEAM else None)
        found |= columns(crossbar.devices, f"{model.__name__} ")
    return found


@scenario()
def conductances_that_are_written_in_every_way(device: torch.device) -> Results:
    crossbar = Crossbar(VTEAM, {}, (6, 9), (4, 4)).to(device)
    targets = spread(VTEAM, (6, 9))
    crossbar.write_conductance_matrix(targets.to(device))
    found = columns(crossbar.devices, "exact ")
    crossbar.conductance_matrix.mul_(1.5)  # some leave their range
    crossbar.update(from_devices=False)
    found |= columns(crossbar.devices, "clipped ")
    crossbar.conductance_matrix[0, 1] = 5e-4
    crossbar.devices[0][2][1].set_conductance(7e-4)
    found |= columns(crossbar.devices, "one ")
    crossbar.devices.set_conductance(1.0)
    found |= columns(crossbar.devices, "all ")
    crossbar.devices.reset()
    return found | columns(crossbar.devices, "reset ")


@scenario()
def devices_that_are_stuck_or_have_finite_states(device: torch.device) -> Results:
    crossbar = Crossbar(VTEAM, {}, (8, 8)).to(device)
    crossbar.devices.finite_states = 5
    crossbar.write_conductance_matrix(spread(VTEAM, (8, 8)).to(device))
    found = columns(crossbar.devices, "states ")
    crossbar.devices.stuck = torch.rand(8, 8) < 0.3
    crossbar.devices.simulate([0.3, 0.3, -0.3])
    crossbar.conductance_matrix.fill_(5e-4)
    crossbar.devices.sync()
    return found | columns(crossbar.devices, "stuck ")


def pairs_that_overlap() -> dict[str, Any]:
    """Parameters to draw, of which some have to be drawn again because r_on is not below r_off."""
    return {
        "r_on": memtorch.bh.StochasticParameter(LogNormal, loc=4.0, scale=0.3, min=10.0),
        "r_off": memtorch.bh.StochasticParameter(loc=100.0, scale=20.0, max=130.0),
    }


@scenario()
def devices_with_parameters_that_are_drawn(device: torch.device) -> Results:
    uniform = memtorch.bh.StochasticParameter(Uniform, min=-1.0, low=-0.3, high=-0.1)
    drawn = pairs_that_overlap() | {"v_on": uniform, "k_on": lambda return_mean=False: -10.0}
    crossbar = Crossbar(VTEAM, drawn, (16, 16), device=device)
    crossbar.write_conductance_matrix(spread(VTEAM, (16, 16)).to(device))
    moved = Crossbar(VTEAM, drawn, (8, 8)).to(device)
    anywhere = Crossbar(VTEAM, {}, (8, 8), random_crossbar_init=True, device=device)
    return columns(crossbar.devices) | columns(moved.devices, "moved ") | columns(anywhere.devices, "anywhere ")


@scenario()
def devices_with_parameters_that_are_set(device: torch.device) -> Results:
    crossbar = Crossbar(VTEAM, {}, (9, 7), device=device)
    crossbar.write_conductance_matrix(spread(VTEAM, (9, 7)).to(device))
    devices = crossbar.devices
    devices.stuck = torch.rand(7, 9) < 0.3
    devices.set_params(r_off=torch.linspace(900, 1100, 63, dtype=torch.float64).view(7, 9).to(device))
    devices.set_params(**pairs_that_overlap())  # which stuck devices take as far as they have to
    found = columns(devices, "all ")
    devices.set_params(row=5, r_on=70.0, v_off=0.03)
    devices[1][2].r_off = 2000.0
    return found | columns(devices, "one ")


@scenario()
def models_that_are_patched_where_they_are(device: torch.device) -> Results:
    found: Results = {}
    for dtype in (torch.float32, torch.float64):
        for name, options in {
            "pair": {"tile_shape": (16, 12)},
            "single": {"scheme": Scheme.SingleColumn, "tile_shape": None},
            "saturated": {"p_l": 0.9, "tile_shape": (5, 64)},
        }.items():
            digital = nn.Sequential(nn.Linear(37, 41), nn.Conv2d(3, 5, 3)).to(device, dtype)
            params = pairs_that_overlap() if name == "single" else {}
            model = patch_model(digital, VTEAM, params, verbose=False, **options)
            found |= {f"{name} {dtype} {key}": value for key, value in of_model(model).items()}
            for k, layer in enumerate(model):
                found[f"{name} {dtype} {k} gain"] = layer.transform_output.gain
    return found


@scenario()
def devices_that_are_programmed(device: torch.device) -> Results:
    crossbar = Crossbar(VTEAM, {}, (5, 4), (3, 3)).to(device)
    options = {**VTEAM.programming_params, "timeout": 1e9}
    crossbar.write_conductance_matrix(spread(VTEAM, (5, 4)).to(device), False, naive_program, options)
    report = crossbar.programming_report
    assert report is not None
    return columns(crossbar.devices) | {"pulses": report.pulses, "outcome": report.outcome}


# Voltages come from solutions to 1e-12 of the largest current, which can be some 1e3 of a voltage's own part in it;
# float32 conductances may round to neighbours, 6e-8 apart, and then do for some pulses.
@scenario(1e-6)
def devices_that_are_programmed_through_wires(device: torch.device) -> Results:
    found: Results = {}
    circuits: dict[str, dict[str, Any]] = {
        "resistive": {"source_resistance": (0.05, 0.07), "line_resistance": (0.02, 0.03)},
        "floating": {"bias_scheme": "floating"},
    }
    for name, circuit in circuits.items():
        crossbar = Crossbar(VTEAM, {}, (5, 4), (3, 3)).to(device)
        options = {**VTEAM.programming_params, "timeout": 1e9, **circuit}
        crossbar.write_conductance_matrix(spread(VTEAM, (5, 4)).to(device), False, naive_program, options)
        report = crossbar.programming_report
        assert report is not None
        found |= columns(crossbar.devices, f"{name} ")
        found |= {f"{name} pulses": report.pulses, f"{name} outcome": report.outcome}
    return found


# ---- Numbers --------------------------------------------------------------------------------------------------------


@scenario()
def quantized_tensors(device: torch.device) -> Results:
    found: Results = {}
    for dtype in (torch.float32, torch.float64):
        x = torch.randn(37, 29, dtype=dtype).to(device)
        for method in quant_methods:
            for rate in (0.0, 0.02):
                found[f"{method} {rate} {dtype}"] = memtorch.bh.quantize(x, 6, rate, method)
        found[f"levels {dtype}"] = memtorch.bh.quantize(x, 9, min=-1.0, max=2.0)
    return found


# ---- Reads ----------------------------------------------------------------------------------------------------------


@scenario(SUMS)
def reads_of_a_crossbar(device: torch.device) -> Results:
    crossbar = Crossbar(VTEAM, {}, (20, 30), (8, 8)).to(device)
    crossbar.write_conductance_matrix(spread(VTEAM, (20, 30)).to(device))
    v = torch.randn(5, 30, dtype=torch.float64).to(device)
    return {
        "ideal": crossbar.read(v),
        "converters": crossbar.read(v, ADC_resolution=8, quant_method="linear", ADC_overflow_rate=0.01),
    }


# Solvers eliminate in another order: a thousandth of the accuracy that they are held to.
@scenario(1e-9)
def reads_through_wires(device: torch.device) -> Results:
    crossbar = Crossbar(VTEAM, {}, (20, 30), (16, 12)).to(device)
    crossbar.write_conductance_matrix(spread(VTEAM, (20, 30)).to(device))
    v = torch.randn(5, 30, dtype=torch.float64).to(device).requires_grad_()
    currents = crossbar.read(v, source_resistance=20.0, line_resistance=2.0)
    (gradient,) = torch.autograd.grad(currents.square().sum(), v)
    return {"currents": currents, "gradient": gradient}


# A voltage that is off by the 1e-10 of a solution moves a state that runs through its range in a step by more.
@scenario(1e-6)
def simulated_reads_through_wires(device: torch.device) -> Results:
    found: Results = {}
    for model, swing in SWING.items():
        crossbar = Crossbar(model, {}, (9, 20), (8, 8)).to(device)
        crossbar.write_conductance_matrix(spread(model, (9, 20)).to(device))
        v = swing * torch.rand(4, 20, dtype=torch.float64)
        found[f"{model.__name__} currents"] = simulate_matmul(
            v.to(device), crossbar, nl=False, source_resistance=5.0, line_resistance=0.5
        )
        found |= columns(crossbar.devices, f"{model.__name__} ")
    return found


@scenario(SUMS)
def layers(device: torch.device) -> Results:
    modules: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
        "linear": (nn.Linear(40, 23), (6, 40)),
        "conv1d": (nn.Conv1d(3, 5, 3, padding=1), (2, 3, 9)),
        "conv2d": (nn.Conv2d(4, 6, 3, groups=2), (2, 4, 8, 7)),
        "conv3d": (nn.Conv3d(2, 3, 2), (2, 2, 4, 4, 4)),
    }
    found: Results = {}
    for name, (module, shape) in modules.items():
        for label, options in {"ideal": {}, "converters": {"ADC_resolution": 8, "quant_method": "linear"}}.items():
            model = patched(copy.deepcopy(module), device, **options)
            x = torch.randn(shape, dtype=torch.float64).to(device).requires_grad_()
            out = model(x)
            found[f"{name} {label}"] = out
            (found[f"{name} {label} gradient"],) = torch.autograd.grad(out.square().sum(), x)
    return found


@scenario(SUMS)
def recurrent_layers(device: torch.device) -> Results:
    found: Results = {}
    x = torch.randn(4, 2, 10, dtype=torch.float64).to(device)
    for kind in (nn.RNN, nn.LSTM, nn.GRU):
        model = patched(kind(10, 7), device, ADC_resolution=10, quant_method="linear")
        found[kind.__name__] = model(x)[0]
    return found


@scenario(1e-9)  # as through wires
def layers_behind_wires(device: torch.device) -> Results:
    model = patched(nn.Linear(30, 20), device, source_resistance=10.0, line_resistance=1.0)
    return {"out": model(torch.randn(3, 30, dtype=torch.float64).to(device))}


@scenario(SUMS)
def layers_of_non_linear_devices(device: torch.device) -> Results:
    found: Results = {}
    x = torch.randn(4, 12, dtype=torch.float64)
    for model in (Stanford_PKU, Data_Driven):
        swept = patch_model(
            nn.Linear(12, 6).double(), model, {}, tile_shape=(8, 8), verbose=False, max_input_voltage=0.3
        ).to(device)
        simulated = copy.deepcopy(swept)
        effect = {"sweep_duration": 2.0, "sweep_voltage_signal_amplitude": 1.0, "sweep_voltage_signal_frequency": 0.5}
        apply_nonidealities(swept, [NonIdeality.NonLinear], **effect)
        apply_nonidealities(simulated, [NonIdeality.NonLinear], simulate=True)
        found[f"{model.__name__} swept"] = swept(x.to(device))
        found[f"{model.__name__} simulated"] = simulated(x.to(device))
        found |= {f"{model.__name__} {key}": value for key, value in of_model(simulated).items()}
    return found


# ---- Non-idealities and copies --------------------------------------------------------------------------------------


EFFECTS: dict[str, tuple[NonIdeality, dict[str, Any]]] = {
    "faults": (
        NonIdeality.DeviceFaults,
        {"lrs_proportion": 0.1, "hrs_proportion": 0.2, "electroform_proportion": 0.05},
    ),
    "finite states": (NonIdeality.FiniteConductanceStates, {"conductance_states": 7}),
    "cycle variability": (
        NonIdeality.CycleVariability,
        {"r_off_kwargs": {"loc": 1000, "scale": 20}, "r_on_kwargs": {"loc": 50, "scale": 2}},
    ),
    "retention": (
        NonIdeality.Retention,
        {
            "time": 1e3,
            "retention_model": model_conductance_drift,
            "retention_model_kwargs": {"initial_time": 1.0, "drift_coefficient": 0.05},
        },
    ),
    "endurance": (
        NonIdeality.Endurance,
        {
            "x": 1e4,
            "endurance_model": model_endurance_retention,
            "endurance_model_kwargs": {
                "operation_mode": OperationMode.gradual,
                "p_lrs": [1, 0.3, 0, 0.02],
                "stable_resistance_lrs": None,
                "p_hrs": [1, 0.2, 0, -0.03],
                "stable_resistance_hrs": None,
                "cell_size": None,
                "temperature": None,
            },
        },
    ),
}


@scenario()
def nonidealities(device: torch.device) -> Results:
    found: Results = {}
    for name, (effect, options) in EFFECTS.items():
        model = patched(nn.Linear(40, 30), device)
        apply_nonidealities(model, [effect], **options)
        found |= {f"{name} {key}": value for key, value in of_model(model).items()}
    return found


@scenario()
def copies_and_states(device: torch.device) -> Results:
    model = patched(nn.Sequential(nn.Linear(20, 10), nn.Linear(10, 5)), device)
    apply_nonidealities(model, [NonIdeality.DeviceFaults], **EFFECTS["faults"][1])
    stream = io.BytesIO()
    torch.save(model.state_dict(), stream)
    stream.seek(0)
    loaded = patched(nn.Sequential(nn.Linear(20, 10), nn.Linear(10, 5)), torch.device("cpu"))
    loaded.load_state_dict(torch.load(stream, map_location="cpu", weights_only=True))
    found: Results = {}
    others = {
        "loaded": loaded,
        "copied": copy.deepcopy(model),
        "pickled": pickle.loads(pickle.dumps(model)),
        "moved": copy.deepcopy(model).cpu().to(device),
    }
    for name, other in others.items():
        found |= {f"{name} {key}": value for key, value in of_model(other).items()}
    return found
