"""Where 1.1.6 users find things."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import types

import pytest

import memtorch

# What a script for 1.1.6 may import from where. memtorch itself exposes bh, nonideality, map, mn and utils once more.
NAMESPACES = {
    "memtorch.bh": "Crossbar Data_Driven Data_Driven2021 Dict2Obj LinearIonDrift Memristor Quantize Scheme "
    "Stanford_PKU StochasticParameter Tile VTEAM crossbar gen_programming_signal gen_tiles init_crossbar memristor "
    "naive_program quant_methods quantize simulate_matmul solve_passive tile_matmul tile_matmul_row "
    "tiled_inference unpack_parameters",
    "memtorch.bh.memristor": "Data_Driven Data_Driven2021 LinearIonDrift Memristor Stanford_PKU VTEAM window",
    "memtorch.bh.memristor.window": "Biolek Jogelkar Joglekar Prodromakis",
    "memtorch.bh.crossbar": "Crossbar Scheme Tile gen_programming_signal gen_tiles init_crossbar naive_program "
    "simulate_matmul solve_passive tile_matmul tile_matmul_row tiled_inference",
    "memtorch.bh.nonideality": "NonIdeality apply_cycle_variability apply_device_faults apply_endurance_model "
    "apply_finite_conductance_states apply_non_linear apply_nonidealities apply_retention_model "
    "endurance_retention_models required",
    "memtorch.map": "naive_map naive_scale naive_tune",
    "memtorch.mn": "Conv1d Conv2d Conv3d GRU LSTM Linear RNN patch_model supported_module_parameters",
    "memtorch.submodules": "",
    "memtorch.utils": "LoadCIFAR10 LoadDigits LoadMNIST clip convert_range pad_tensor",
}


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_star_imports_expose_the_names(namespace):
    names: dict[str, object] = {}
    exec(f"from {namespace} import *", names)
    assert set(NAMESPACES[namespace].split()) <= set(names)
    assert not {"np", "torch", "nn", "math", "annotations"} & set(names)


def test_the_package_exposes_everything_again():
    names: dict[str, object] = {}
    exec("from memtorch import *", names)
    for namespace in ("bh", "bh.nonideality", "map", "mn", "utils"):
        assert set(NAMESPACES[f"memtorch.{namespace}"].split()) <= set(names)
    assert names["__version__"] == memtorch.__version__


def test_everything_public_stands_in_the_package_too():
    assert memtorch.VTEAM is memtorch.bh.memristor.VTEAM
    assert memtorch.naive_map is memtorch.map.naive_map
    assert memtorch.patch_model is memtorch.mn.patch_model
    assert memtorch.clip is memtorch.utils.clip
    assert set(memtorch.__all__) <= set(dir(memtorch))


def test_classes_and_functions_hide_their_modules_which_can_still_be_imported_from():
    assert isinstance(memtorch.bh.crossbar.Crossbar, type)
    assert isinstance(memtorch.bh.crossbar.Tile, type)
    assert isinstance(memtorch.bh.memristor.Memristor, type)
    assert isinstance(memtorch.bh.Quantize, types.ModuleType)
    assert callable(memtorch.bh.StochasticParameter)
    from memtorch.bh.crossbar.Crossbar import init_crossbar
    from memtorch.bh.crossbar.Tile import gen_tiles
    from memtorch.bh.memristor.Memristor import plot_bipolar_switching_behaviour, plot_hysteresis_loop
    from memtorch.bh.StochasticParameter import Dict2Obj

    assert (init_crossbar, gen_tiles) == (memtorch.bh.init_crossbar, memtorch.bh.gen_tiles)
    assert callable(plot_hysteresis_loop) and callable(plot_bipolar_switching_behaviour)
    assert Dict2Obj is memtorch.bh.Dict2Obj


@pytest.mark.parametrize("name", ["memtorch_bindings", "memtorch_cuda_bindings"])
def test_no_compiled_module_stands_beside_the_package(name):
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(name)


def test_importing_loads_no_plotting_and_no_learning_library():
    code = "import sys, memtorch; print([m for m in ('matplotlib', 'sklearn', 'scipy') if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert found.stdout.strip() == "[]"
