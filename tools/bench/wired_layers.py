"""Layers with resistive wires: reads from solved tiles, the solution of a whole network, and training through it."""

from __future__ import annotations

import copy
from functools import partial

import torch
from timing import Row, at_most, median, once, ratio

import memtorch
from memtorch._wire_ops import effective_conductances
from memtorch.bh.crossbar._wires import Wires
from memtorch.mn.Module import patch_model

# The weights of ResNet-18, 11.7 million, as differential pairs in tiles of 128x128.
RESNET_TILES = 1430
WIRES = Wires(word=1.0, bit=1.0, source=1.0, load=1.0)


def cached_reads() -> list[Row]:
    """A read of solved tiles against one with ideal wires: the same product."""
    layer = torch.nn.Linear(784, 512)
    x = torch.randn(256, 784, generator=torch.Generator().manual_seed(0))
    table = []
    for label, adc in (("no ADC", {}), ("8-bit ADC", {"ADC_resolution": 8, "quant_method": "linear"})):
        ideal, wired = (
            patch_model(
                torch.nn.Sequential(copy.deepcopy(layer)),
                memristor_model=memtorch.bh.memristor.VTEAM,
                memristor_model_params={"r_on": 1e4, "r_off": 1e6},
                tile_shape=(128, 128),
                verbose=False,
                **adc,
                **wires,
            )
            for wires in ({}, {"source_resistance": 1.0, "line_resistance": 1.0})
        )
        with torch.no_grad():
            cost = ratio(partial(wired, x), partial(ideal, x))
        table.append(at_most(f"Linear(784, 512), batch 256, {label}: solved wires to ideal ones", cost, 1.1))
    return table


def network() -> list[Row]:
    """All effective matrices of a network, from conductances to what reads need; then after one tile has changed."""
    crossbar = memtorch.bh.Crossbar(
        memtorch.bh.memristor.VTEAM, {"r_on": 1e4, "r_off": 1e6}, (128, 128 * RESNET_TILES), (128, 128), True, 50, True
    )
    item = f"{RESNET_TILES} tiles of 128x128"
    seconds = once(lambda: crossbar.effective_tiles(WIRES))
    table = [at_most(f"{item}: effective matrices, float64, first solution", seconds, 2, "s")]
    kept = crossbar.solved_wires().memory
    g = crossbar.conductance_matrix
    table.append(at_most(f"{item}: kept memory to conductances", kept / (g.numel() * g.element_size()), 2.001))

    def change() -> None:
        g[7, 3, 5] *= 0.999
        crossbar.effective_tiles(WIRES)

    return [*table, at_most(f"{item}: after one of them has changed", median(change, repeats=3), 0.5, "s")]


def training() -> list[Row]:
    """Forward and backward of effective conductances to the forward alone, on one tile."""
    g = (torch.rand(8, 128, 128, generator=torch.Generator().manual_seed(0)) * 1e-4).double().requires_grad_()
    wires = WIRES.tensor()
    weights = torch.randn(g.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def forward() -> torch.Tensor:
        return effective_conductances(g, wires)

    def backward() -> None:
        torch.autograd.grad((weights * forward()).sum(), g)

    # Forward, the forward sweep that the gradient repeats, and at most 2.2 times as much for the reverse sweep.
    return [at_most("8 tiles of 128x128: forward and backward to forward", ratio(backward, forward, repeats=9), 4.2)]


def rows() -> list[Row]:
    """The rows of this benchmark."""
    return cached_reads() + network() + training()
