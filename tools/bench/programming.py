"""Write-verify programming of passive arrays with half-selected cells: cost, success, scaling, resistive wires."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from devices import with_threads
from other_solvers import nodal_matrix
from scipy.sparse.linalg import splu
from timing import REFERENCE_LOOP_SECONDS, Row, at_least, at_most, loop, median, ratio

from memtorch.bh import Crossbar, naive_program
from memtorch.bh.memristor import LinearIonDrift

SIDE = 128
STEP = 3e-5  # s: ten samples make the pulse of LinearIonDrift's own set
PARAMS = {"time_series_resolution": STEP}
PULSES = {**LinearIonDrift.programming_params, "time_series_resolution": STEP}
# Write thresholds below half of the pulses: every cell of a row and a column moves with each pulse, and the cells that
# are already written with it. No pulses can write such an array whole; this measures what simulating it costs.
MOVING = {"pos_write_threshold": 0.2, "neg_write_threshold": -0.2}
# MemTorch 1.1.6 with its default arguments, extrapolated from 68 devices (beside the reference loop of timing.py).
SECONDS_116_64X64 = 7200.0


def fresh(params: dict[str, float], shape: tuple[int, int], tile_shape: tuple[int, int] | None = None) -> Crossbar:
    """A crossbar whose devices stand at 1 / r_off."""
    return Crossbar(LinearIonDrift, {**PARAMS, **params}, shape, tile_shape)


def targets(shape: tuple[int, int]) -> torch.Tensor:
    """Conductances uniform over the range (S)."""
    low, high = 1 / 16e3, 1 / 100
    return low + (high - low) * torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def write(
    params: dict[str, float], shape: tuple[int, int], tile_shape: tuple[int, int] | None = None, **pulses: object
) -> Crossbar:
    """Programs a fresh crossbar."""
    crossbar = fresh(params, shape, tile_shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of cells out of tolerance: counted below
        crossbar.write_conductance_matrix(targets(shape), False, naive_program, {**PULSES, **pulses})
    return crossbar


def in_tolerance(crossbar: Crossbar) -> float:
    """Percentage of cells within rel_tol of their targets after the whole write."""
    counts = crossbar.programming_report.counts()
    return 100 * counts["converged"] / sum(counts.values())


def rows() -> list[Row]:
    """The rows of this benchmark."""
    shape = (SIDE, SIDE)
    what = f"write-verify {SIDE}x{SIDE} LinearIonDrift, 10 samples a pulse, neighbours"
    held = partial(write, {}, shape)
    table = [seconds_row(f"{what}, one core", held), success_row(f"{what}, cells in rel_tol", held())]
    table.append(moving_row((64, 64)))
    small = partial(write, {}, (64, 64))
    ours = median(with_threads(1, small), repeats=3, warmup=1) / median(loop, repeats=3, warmup=1)
    gain = SECONDS_116_64X64 / REFERENCE_LOOP_SECONDS / ours
    table.append(at_least("write-verify 64x64, 1.1.6 to ours (scaled by the loop)", gain, 1000))
    if torch.get_num_threads() > 1:
        tiled = partial(write, MOVING, (64, 64), (32, 32))
        gain = ratio(with_threads(1, tiled), with_threads(2, tiled), 3)
        table.append(at_least("write-verify of 4 tiles: one core to two", gain, 1.6, digits=2))
    return table + wired_rows(32, 1.0)


def wired_rows(side: int, ohm: float) -> list[Row]:
    """Cost of a pulse through resistive wires, where only the pulsed cell moves, and where its neighbours do."""
    # Cells that IR drop keeps from their targets are given up after so many pulses.
    wires = {"line_resistance": ohm, "source_resistance": ohm, "failure_iteration_threshold": 30}
    what = f"write-verify {side}x{side} LinearIonDrift through wires of {ohm:g} ohm"
    seconds = {}
    for name, params in (("whose neighbours hold", {}), ("that moves at V/2", MOVING)):
        run = partial(write, params, (side, side), **wires)
        crossbar = run()
        pulses = int(crossbar.programming_report.pulses.sum())
        seconds[name] = median(with_threads(1, run), repeats=3, warmup=0) / pulses
    matrix = nodal_matrix(crossbar.conductance_matrix.double().numpy(), ohm)
    right = np.ones(matrix.shape[0])
    theirs = median(lambda: splu(matrix, permc_spec="MMD_AT_PLUS_A").solve(right))
    table = [
        at_most(f"{what}, {name}, per pulse, one core", 1e6 * spent, bound, "us")
        for (name, spent), bound in zip(seconds.items(), (10, 100), strict=True)
    ]
    gain = theirs / seconds["that moves at V/2"]
    return [*table, at_least(f"{what}, that moves at V/2: scipy's splu at every pulse to ours", gain, 50)]


def seconds_row(item: str, run: Callable[[], object], repeats: int = 3) -> Row:
    """Seconds of one write."""
    return at_most(item, median(with_threads(1, run), repeats, warmup=0), 5, "s")


def moving_row(shape: tuple[int, int]) -> Row:
    """Cost where half-selected devices move, per device and sample of a pulse."""
    seconds = median(with_threads(1, partial(write, MOVING, shape)), repeats=1, warmup=0)
    report = write(MOVING, shape).programming_report
    neighbours = sum(shape) - 2
    samples = int(report.pulses.sum()) * round(PULSES["pulse_duration"] / STEP) * neighbours
    item = f"write-verify {shape[0]}x{shape[1]} LinearIonDrift that moves at V/2 ({seconds:.1f} s, one core)"
    return at_most(f"{item}, per neighbour and sample", seconds / samples * 1e9, 2, "ns")


def success_row(item: str, crossbar: Crossbar) -> Row:
    """Cells that are where they should be."""
    return at_least(item, in_tolerance(crossbar), 99, "%", 2)
