"""One valid call of every public function, constructor and method: what the tests of bad input start from.

A row is a function without arguments that makes everything anew. Names with a dot are methods; the others are names
that a package's ``__all__`` lists.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from importlib import import_module
from operator import attrgetter
from typing import Any

import torch
from device_tools import MODELS
from python_models import PythonDrift
from torch import nn

import memtorch
from memtorch.bh.crossbar import Crossbar, Scheme
from memtorch.bh.memristor import VTEAM
from memtorch.map import naive_map
from memtorch.mn.Module import patch_model


@dataclass
class Call:
    """A function with arguments by name; for a method also the object that it belongs to."""

    function: Callable[..., Any]
    arguments: dict[str, Any]
    owner: Any = None

    def __call__(self) -> Any:
        return self.function(**self.arguments)


Row = Callable[[], Call]

NONIDEALITY = "memtorch.bh.nonideality"
NAMESPACES = (
    "memtorch",
    "memtorch.bh",
    "memtorch.bh.memristor",
    "memtorch.bh.memristor.window",
    "memtorch.bh.crossbar",
    NONIDEALITY,
    f"{NONIDEALITY}.endurance_retention_models",
    "memtorch.map",
    "memtorch.mn",
    "memtorch.utils",
)


def public_functions() -> dict[str, Callable[..., Any]]:
    """Every public function and class that can be called, by name, but exceptions, enumerations, abstract classes."""
    found = {}
    for namespace in NAMESPACES:
        try:
            package = import_module(namespace)
        except ModuleNotFoundError:
            continue
        for name in package.__all__:
            value = getattr(package, name)
            is_class = isinstance(value, type)
            if is_class and (issubclass(value, (BaseException, Enum)) or inspect.isabstract(value)):
                continue
            if callable(value) and not isinstance(value, types.ModuleType):
                found[name] = value
    return found


def crossbar(model: type = VTEAM) -> Crossbar:
    """4 rows, 3 columns, tiles of 2 by 2, so that there is padding."""
    made = Crossbar(model, {}, (3, 4), tile_shape=(2, 2))
    made.write_conductance_matrix(torch.linspace(1e-3, 2e-2, 12).view(3, 4))
    return made


def patched(layer: nn.Module, **options: Any) -> nn.Module:
    """A patched model around a layer."""
    model = nn.Sequential(layer)
    return patch_model(model, VTEAM, {}, **{"tile_shape": (2, 2), "verbose": False, **options})


def non_ideality(name: str) -> Any:
    """A member of the enumeration."""
    return import_module(NONIDEALITY).NonIdeality[name]


def linear(**options: Any) -> Any:
    """A patched Linear(4, 3)."""
    return patched(nn.Linear(4, 3), **options)[0]


class Made:
    """An argument that is made anew for each call."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def made(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value.make() if isinstance(value, Made) else value for name, value in arguments.items()}


def by_name(name: str, /, **arguments: Any) -> Row:
    """A row of a function or class that a package lists."""
    return lambda: Call(public_functions()[name], made(arguments))


def method(make: Callable[[], Any], name: str, /, **arguments: Any) -> Row:
    """A row of a method, perhaps of an attribute ("devices.simulate"), of what ``make`` makes."""

    def row() -> Call:
        owner = make()
        return Call(attrgetter(name)(owner), made(arguments), owner)

    return row


def assignment(make: Callable[[], Any], name: str, value: Any) -> Row:
    """A row of an assignment to an attribute of what ``make`` makes."""

    def row() -> Call:
        owner = make()

        def assign(value: Any) -> None:
            setattr(owner, name, value)

        return Call(assign, made({"value": value}), owner)

    return row


def tensor(*shape: int, start: float = -1.0, end: float = 1.0) -> Made:
    return Made(lambda: torch.linspace(start, end, torch.Size(shape).numel()).view(shape))


def layer_row(name: str, first: str, layer: Callable[[], nn.Module]) -> Row:
    arguments = {first: Made(layer), "memristor_model": VTEAM, "memristor_model_params": Made(dict), "verbose": False}
    return by_name(name, **arguments)


TILES = Made(lambda: memtorch.gen_tiles(torch.linspace(-1, 1, 12).view(4, 3), (2, 2))[0])
TILES_MAP = Made(lambda: memtorch.gen_tiles(torch.ones(4, 3), (2, 2))[1])
INPUT_TILES = Made(lambda: memtorch.gen_tiles(torch.linspace(-1, 1, 8).view(2, 4), (2, 2), input=True)[0])
INPUT_TILES_MAP = Made(lambda: torch.arange(2.0))
ROW_TILES = Made(lambda: torch.linspace(-1, 1, 4).view(2, 2))
PULSES = {
    "number_of_pulses": 3,
    "pulse_duration": 1e-3,
    "refactory_period": 1e-3,
    "voltage_level": 1.0,
    "time_series_resolution": 1e-4,
}
WEAR = {
    "operation_mode": Made(lambda: import_module(f"{NONIDEALITY}.endurance_retention_models").OperationMode.gradual),
    "p_lrs": [1.0, 0.1, 0.1, 0.1],
    "stable_resistance_lrs": 60.0,
    "p_hrs": [1.0, 0.1, 0.1, -0.1],
    "stable_resistance_hrs": 900.0,
    "cell_size": 10.0,
    "temperature": 350.0,
}
# Each moves the resistance by about 1 ohm, well within 1 % of the target of 200 ohm.
VTEAM_PULSES = {"pulse_duration": 4e-9, "pos_voltage_level": 0.039, "neg_voltage_level": -0.2085}
CROSSBAR = Made(crossbar)
LAYER = Made(linear)
MODEL = Made(lambda: patched(nn.Linear(4, 3)))

CONDUCTANCES = Made(lambda: torch.linspace(1e-3, 2e-2, 12).view(4, 3))
PASSIVE = {"V_WL": tensor(4), "V_BL": tensor(3), "R_source": 1.0, "R_line": 2.0}
TILE = {"array": CROSSBAR, "v": tensor(4), "source_resistance": 1.0, "line_resistance": 2.0, "tile": 1}

ROWS: dict[str, Row] = {
    # ---- memtorch.utils
    "clip": by_name("clip", value=1.0, lower=0.0, upper=2.0),
    "convert_range": by_name("convert_range", old_value=1.0, old_min=0.0, old_max=2.0, new_min=0.0, new_max=1.0),
    "pad_tensor": by_name("pad_tensor", tensor=tensor(3, 3), tile_shape=(2, 2)),
    "LoadMNIST": by_name("LoadMNIST"),
    "LoadCIFAR10": by_name("LoadCIFAR10"),
    "LoadDigits": by_name("LoadDigits"),
    # ---- memtorch.map
    "naive_map": by_name("naive_map", weight=tensor(3, 4), r_on=50.0, r_off=1000.0, scheme=Scheme.DoubleColumn),
    "naive_scale": by_name("naive_scale", module=LAYER, input=tensor(2, 4)),
    "naive_tune": by_name("naive_tune", module=LAYER, input_shape=(5, 4), verbose=False),
    "LinearTransfer": by_name("LinearTransfer", gain=1.0, offset=0.0, r2=0.5),
    "LinearTransfer.forward": method(memtorch.map.LinearTransfer, "forward", readout=tensor(2, 3)),
    # ---- memtorch.bh
    "quantize": by_name("quantize", tensor=tensor(2, 3), quant=4, quant_method="linear"),
    "StochasticParameter": by_name("StochasticParameter", loc=5.0, scale=1.0),
    "Dict2Obj": by_name("Dict2Obj", dictionary=Made(lambda: {"a": 1})),
    "unpack_parameters": by_name("unpack_parameters", local_args=Made(lambda: {"r_on": 1.0, "r_off": 2.0})),
    # ---- memtorch.bh.memristor
    "Biolek": by_name("Biolek", voltage=1.0, x=0.5, p=1),
    "Jogelkar": by_name("Jogelkar", x=0.5, p=1),
    "Joglekar": by_name("Joglekar", x=0.5, p=1),
    "Prodromakis": by_name("Prodromakis", x=0.5, p=1, j=1.0),
    # ---- memtorch.bh.crossbar
    "Crossbar": by_name("Crossbar", memristor_model=VTEAM, memristor_model_params=Made(dict), shape=(3, 4)),
    "init_crossbar": by_name(
        "init_crossbar",
        weights=tensor(3, 4),
        memristor_model=VTEAM,
        memristor_model_params=Made(dict),
        transistor=True,
        mapping_routine=naive_map,
        programming_routine=None,
        tile_shape=(2, 2),
    ),
    "simulate_matmul": by_name("simulate_matmul", input=tensor(2, 4), crossbar=CROSSBAR),
    "solve_passive": by_name("solve_passive", conductance_matrix=CONDUCTANCES, **PASSIVE),
    "solve_passive of voltages": by_name(
        "solve_passive", conductance_matrix=CONDUCTANCES, **PASSIVE, det_readout_currents=False
    ),
    "effective_conductances": method(
        lambda: memtorch.bh.crossbar.Passive,
        "effective_conductances",
        conductance_matrix=CONDUCTANCES,
        source_resistance=1.0,
        line_resistance=(2.0, 3.0),
    ),
    "gen_programming_signal": by_name("gen_programming_signal", **PULSES),
    "naive_program": by_name("naive_program", crossbar=CROSSBAR, point=(0, 0, 0), conductance=5e-3, **VTEAM_PULSES),
    "Tile": by_name("Tile", tile_shape=(2, 2), patch_num=None),
    "Tile.update_array": method(lambda: memtorch.Tile((2, 2)), "update_array", new_array=tensor(2, 2)),
    "gen_tiles": by_name("gen_tiles", tensor=tensor(4, 3), tile_shape=(2, 2)),
    "tile_matmul": by_name(
        "tile_matmul",
        mat_a_tiles=INPUT_TILES,
        mat_a_tiles_map=INPUT_TILES_MAP,
        mat_a_shape=(2, 4),
        mat_b_tiles=TILES,
        mat_b_tiles_map=TILES_MAP,
        mat_b_shape=(4, 3),
    ),
    "tile_matmul_row": by_name(
        "tile_matmul_row",
        mat_a_row_tiles=ROW_TILES,
        mat_a_tiles_map=INPUT_TILES_MAP,
        mat_b_tiles=TILES,
        mat_b_tiles_map=TILES_MAP,
        mat_b_shape=(4, 3),
    ),
    "tiled_inference": by_name("tiled_inference", input=tensor(2, 4), m=LAYER, transistor=True),
    # ---- memtorch.analysis
    "ir_drop": method(lambda: memtorch.analysis, "ir_drop", **TILE),
    "spice_netlist": method(lambda: memtorch.analysis, "spice_netlist", **TILE),
    "wire_report": method(lambda: memtorch.analysis, "wire_report", model=LAYER, voltage=0.5),
    # ---- memtorch.mn
    "Linear": layer_row("Linear", "linear_layer", lambda: nn.Linear(4, 3)),
    "Conv1d": layer_row("Conv1d", "convolutional_layer", lambda: nn.Conv1d(2, 3, 2)),
    "Conv2d": layer_row("Conv2d", "convolutional_layer", lambda: nn.Conv2d(2, 3, 2)),
    "Conv3d": layer_row("Conv3d", "convolutional_layer", lambda: nn.Conv3d(2, 3, 2)),
    "RNN": layer_row("RNN", "rnn_layer", lambda: nn.RNN(3, 2)),
    "LSTM": layer_row("LSTM", "rnn_layer", lambda: nn.LSTM(3, 2)),
    "GRU": layer_row("GRU", "rnn_layer", lambda: nn.GRU(3, 2)),
    "RNNCell": layer_row("RNNCell", "rnn_cell", lambda: nn.RNNCell(3, 2)),
    "LSTMCell": layer_row("LSTMCell", "rnn_cell", lambda: nn.LSTMCell(3, 2)),
    "GRUCell": layer_row("GRUCell", "rnn_cell", lambda: nn.GRUCell(3, 2)),
    "RNN.forward": method(lambda: patched(nn.RNN(3, 2))[0], "forward", input=tensor(4, 2, 3), hx=tensor(1, 2, 2)),
    "LSTM.forward": method(lambda: patched(nn.LSTM(3, 2))[0], "forward", input=tensor(4, 2, 3)),
    "GRU.forward": method(lambda: patched(nn.GRU(3, 2))[0], "forward", input=tensor(4, 2, 3), hx=tensor(1, 2, 2)),
    "RNNCell.forward": method(lambda: patched(nn.RNNCell(3, 2))[0], "forward", input=tensor(4, 3), hx=tensor(4, 2)),
    "LSTMCell.forward": method(lambda: patched(nn.LSTMCell(3, 2))[0], "forward", input=tensor(4, 3)),
    "GRUCell.forward": method(lambda: patched(nn.GRUCell(3, 2))[0], "forward", input=tensor(4, 3), hx=tensor(4, 2)),
    "Linear.forward": method(linear, "forward", input=tensor(2, 4)),
    "Linear.forward with converters": method(
        lambda: linear(ADC_resolution=4, quant_method="linear"), "forward", input=tensor(2, 4)
    ),
    "Linear.forward with wires": method(lambda: linear(line_resistance=2.0), "forward", input=tensor(2, 4)),
    "Linear.line_resistance =": assignment(linear, "line_resistance", (1.0, 2.0)),
    "Linear.tune": method(linear, "tune", input_shape=5),
    "Linear.transform_output =": assignment(linear, "transform_output", Made(memtorch.map.LinearTransfer)),
    "Linear.max_input_voltage =": assignment(linear, "max_input_voltage", 0.3),
    "Conv1d.forward": method(lambda: patched(nn.Conv1d(2, 3, 2))[0], "forward", input=tensor(2, 2, 5)),
    "Conv1d.tune": method(lambda: patched(nn.Conv1d(2, 3, 2))[0], "tune", input_batch_size=2, input_shape=5),
    "Conv2d.forward": method(lambda: patched(nn.Conv2d(2, 3, 2))[0], "forward", input=tensor(2, 2, 5, 5)),
    "Conv2d.tune": method(lambda: patched(nn.Conv2d(2, 3, 2))[0], "tune", input_batch_size=2, input_shape=5),
    "Conv3d.forward": method(lambda: patched(nn.Conv3d(2, 3, 2))[0], "forward", input=tensor(2, 2, 5, 5, 5)),
    "Conv3d.tune": method(lambda: patched(nn.Conv3d(2, 3, 2))[0], "tune", input_batch_size=2, input_shape=5),
    "patch_model": by_name(
        "patch_model",
        model=Made(lambda: nn.Sequential(nn.Linear(4, 3))),
        memristor_model=VTEAM,
        memristor_model_params=Made(dict),
        verbose=False,
    ),
    "model.tune_": method(MODEL.make, "tune_", tune_kwargs=Made(lambda: {memtorch.mn.Linear: {"input_shape": 5}})),
    "model.forward_legacy": method(MODEL.make, "forward_legacy", enable=True),
    "model.set_cuda_malloc_heap_size": method(MODEL.make, "set_cuda_malloc_heap_size", cuda_malloc_heap_size=50),
    # ---- memtorch.bh.nonideality
    "apply_nonidealities": by_name(
        "apply_nonidealities",
        model=MODEL,
        non_idealities=Made(lambda: [non_ideality("DeviceFaults"), non_ideality("FiniteConductanceStates")]),
        lrs_proportion=0.2,
        hrs_proportion=0.2,
        electroform_proportion=0.1,
        conductance_states=4,
    ),
    "required": by_name("required", kwargs=Made(lambda: {"a": 1}), names=Made(lambda: ["a"])),
    "apply_finite_conductance_states": by_name(
        "apply_finite_conductance_states", layer=LAYER, num_conductance_states=4
    ),
    "apply_device_faults": by_name(
        "apply_device_faults", layer=LAYER, lrs_proportion=0.2, hrs_proportion=0.2, electroform_proportion=0.1
    ),
    "apply_non_linear": by_name(
        "apply_non_linear",
        layer=LAYER,
        sweep_duration=2.0,
        sweep_voltage_signal_amplitude=1.0,
        sweep_voltage_signal_frequency=0.5,
    ),
    "apply_cycle_variability": by_name(
        "apply_cycle_variability",
        layer=LAYER,
        r_off_kwargs=Made(lambda: {"loc": 1000.0, "scale": 10.0}),
        r_on_kwargs=Made(lambda: {"loc": 50.0, "scale": 1.0}),
    ),
    "apply_endurance_model": by_name("apply_endurance_model", layer=LAYER, x=1e4, **WEAR),
    "apply_retention_model": by_name(
        "apply_retention_model", layer=LAYER, time=1.0, initial_time=0.5, drift_coefficient=0.1
    ),
    "model_conductance_drift": by_name(
        "model_conductance_drift", layer=LAYER, x=1.0, initial_time=0.5, drift_coefficient=0.1
    ),
    "model_endurance_retention": by_name("model_endurance_retention", layer=LAYER, x=1e4, **WEAR),
    "model_endurance_retention_gradual": by_name(
        "model_endurance_retention_gradual",
        initial_resistance=tensor(3, start=50.0, end=100.0),
        x=1e4,
        p_0=1.0,
        p_1=0.1,
        p_2=0.1,
        p_3=0.1,
        threshold=1e3,
        temperature_constant=0.9,
        cell_size=10.0,
    ),
    "scale_p_0": by_name(
        "scale_p_0", p_0=1.0, p_1=0.1, v_stop=1.2, v_stop_min=1.0, v_stop_max=2.0, v_stop_optimal=1.5, cell_size=10.0
    ),
}

for _prefix, _model in (("Crossbar", VTEAM), ("Crossbar of Python models", PythonDrift)):
    _crossbar = partial(crossbar, _model)
    _targets = tensor(4, 2, 2, start=1e-3, end=1e-2)
    ROWS |= {
        f"{_prefix}.update": method(_crossbar, "update"),
        f"{_prefix}.write_conductance_matrix": method(
            _crossbar, "write_conductance_matrix", conductance_matrix=tensor(3, 4, start=1e-3, end=1e-2)
        ),
        f"{_prefix}.read": method(_crossbar, "read", v=tensor(2, 4)),
        f"{_prefix}.conductance_matrix =": assignment(_crossbar, "conductance_matrix", _targets),
        f"{_prefix}.devices =": assignment(_crossbar, "devices", Made(lambda make=_crossbar: make().devices)),
        f"{_prefix}.devices.set_conductance": method(_crossbar, "devices.set_conductance", conductance=_targets),
        f"{_prefix}.devices.set_params": method(_crossbar, "devices.set_params", r_off=2000.0, r_on=60.0),
        f"{_prefix}.devices.simulate": method(
            _crossbar, "devices.simulate", voltage=tensor(4, 2, 2, 5), return_current=True
        ),
        f"{_prefix}.devices.column": method(_crossbar, "devices.column", name="g"),
        f"{_prefix}.devices.write_g": method(_crossbar, "devices.write_g", conductance=_targets),
    }

for _model in MODELS:
    _name = _model.__name__
    ROWS |= {
        _name: by_name(_name),
        f"{_name}.simulate": method(_model, "simulate", voltage_signal=[0.5, 1.0], return_current=True),
        f"{_name}.set_conductance": method(_model, "set_conductance", conductance=5e-4),
        f"{_name}.plot_hysteresis_loop": method(
            partial(_model, time_series_resolution=1e-4), "plot_hysteresis_loop", duration=0.01, return_result=True
        ),
        f"{_name}.plot_bipolar_switching_behaviour": method(
            partial(_model, time_series_resolution=1e-4),
            "plot_bipolar_switching_behaviour",
            voltage_signal_frequency=10.0,
            return_result=True,
        ),
        f"{_name}.current": method(_model, "current", voltage=0.5),
        f"{_name}.g =": assignment(_model, "g", 5e-4),
        f"{_name}.r_on =": assignment(_model, "r_on", 700.0),
        f"{_name}.time_series_resolution =": assignment(_model, "time_series_resolution", 1e-6),
    }


def available() -> list[str]:
    """The rows of what there is."""
    functions = public_functions()
    return [name for name in ROWS if "." in name or name in functions]
