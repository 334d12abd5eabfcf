"""Behaviour of devices and circuits: memristor models, crossbars, quantization, stochastic parameters."""

from memtorch.bh import Quantize, crossbar, memristor, nonideality
from memtorch.bh.crossbar import (
    Crossbar,
    Scheme,
    Tile,
    gen_programming_signal,
    gen_tiles,
    init_crossbar,
    naive_program,
    simulate_matmul,
    solve_passive,
    tile_matmul,
    tile_matmul_row,
    tiled_inference,
)
from memtorch.bh.memristor import VTEAM, Data_Driven, Data_Driven2021, LinearIonDrift, Memristor, Stanford_PKU
from memtorch.bh.Quantize import quant_methods, quantize
from memtorch.bh.StochasticParameter import Dict2Obj, StochasticParameter, unpack_parameters

__all__ = [
    "VTEAM",
    "Crossbar",
    "Data_Driven",
    "Data_Driven2021",
    "Dict2Obj",
    "LinearIonDrift",
    "Memristor",
    "Quantize",
    "Scheme",
    "Stanford_PKU",
    "StochasticParameter",
    "Tile",
    "crossbar",
    "gen_programming_signal",
    "gen_tiles",
    "init_crossbar",
    "memristor",
    "naive_program",
    "nonideality",
    "quant_methods",
    "quantize",
    "simulate_matmul",
    "solve_passive",
    "tile_matmul",
    "tile_matmul_row",
    "tiled_inference",
    "unpack_parameters",
]
