"""Crossbars and their tiles."""

from memtorch.bh.crossbar.Crossbar import Crossbar, Scheme, init_crossbar, simulate_matmul
from memtorch.bh.crossbar.Passive import solve_passive
from memtorch.bh.crossbar.Program import gen_programming_signal, naive_program
from memtorch.bh.crossbar.Tile import Tile, gen_tiles, tile_matmul, tile_matmul_row, tiled_inference

__all__ = [
    "Crossbar",
    "Scheme",
    "Tile",
    "gen_programming_signal",
    "gen_tiles",
    "init_crossbar",
    "naive_program",
    "simulate_matmul",
    "solve_passive",
    "tile_matmul",
    "tile_matmul_row",
    "tiled_inference",
]
