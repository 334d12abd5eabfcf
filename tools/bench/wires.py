"""Exact wires: the effective matrix against the product kernel's peak and other solvers, and single vectors."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
from other_solvers import Solver, by_badcrossbar, by_splu
from threadpoolctl import threadpool_limits
from timing import Row, at_least, at_most, median, processor, ratio

from memtorch import _engine

# Operations of a square grid of n lines, in n^3; counted, the leading term of the nested elimination.
OPERATIONS = 33.5
# Bounds in ms on one vector with all node potentials of a 128x128 grid, by wire resistance and conductances: linear
# devices, and I = g sinh(4 v) / 4 below 0.5 V.
NODES = {(1.0, 1e-4): (0.2, 0.7), (5.0, 1e-3): (0.4, 1.2), (20.0, 1e-2): (1.2, 3.5)}


def devices(tiles: int, n: int, high: float = 1e-4) -> np.ndarray:
    """Conductances [tiles, n, n], log-uniform from 1e-6 S to `high`."""
    return 10 ** np.random.default_rng(0).uniform(-6, np.log10(high), (tiles, n, n))


def solver(n: int, ohm: float = 1.0) -> _engine.GridSolver:
    """A solver for n x n devices with all wires of `ohm`."""
    return _engine.GridSolver(n, n, ohm, ohm, ohm, ohm)


def effective(n: int, tiles: int, dtype: str) -> Callable[[], None]:
    """A call that solves `tiles` grids."""
    g = devices(tiles, n).astype(dtype)
    out = np.empty_like(g)
    grid = solver(n)
    return lambda: grid.effective_matrix(g, out)


def currents(g: np.ndarray, v: np.ndarray) -> Solver:
    """A call that solves one grid [1, n, n] with wires of 1 ohm and gives its currents [vectors, n] under v."""
    grid = solver(len(v[0]))
    out = np.empty_like(g)

    def run() -> np.ndarray:
        grid.effective_matrix(g, out)
        return v @ out[0]

    return run


def fraction_of_peak(n: int, dtype: str) -> float:
    """Speed of one grid on one core, percent of the product kernel's, both in processor time."""
    run = effective(n, 1, dtype)
    single = dtype == "float32"
    repeats = 200
    operations = _engine.run_product_kernel(repeats, single)
    # The best of each: what another job takes of the caches is in neither.
    rounds = 40 if n <= 128 else 10
    peak = max(operations / processor(lambda: _engine.run_product_kernel(repeats, single)) for _ in range(rounds))
    return 100 * OPERATIONS * n**3 / min(processor(run) for _ in range(rounds)) / peak


def gradient_to_forward(n: int) -> float:
    """Time of the gradient of one grid, its own forward sweep included, to that of the effective matrix."""
    g = devices(1, n)
    upstream, gradient = np.ones_like(g), np.empty_like(g)
    grid = solver(n)
    return ratio(lambda: grid.gradient(g, upstream, gradient), effective(n, 1, "float64"))


def with_threads(count: int, run: Callable[[], object]) -> float:
    """Median seconds with `count` threads."""
    _engine.set_num_threads(count)
    seconds = median(run, repeats=7)
    _engine.set_num_threads(1)
    return seconds


def against(other: Callable[[np.ndarray, np.ndarray, float], Solver], n: int, vectors: int) -> float:
    """Processor time of another solver to ours for the currents of `vectors` input vectors, taken in turn."""
    g = devices(1, n)
    v = np.random.default_rng(1).uniform(0, 0.3, (vectors, n))
    ours, theirs = currents(g, v), other(g[0], v, 1.0)
    with threadpool_limits(1):  # of the product with the vectors
        np.testing.assert_allclose(ours(), theirs(), rtol=1e-9)
        return statistics.median(
            processor(theirs) / statistics.median(processor(ours) for _ in range(9)) for _ in range(5)
        )


def one_vector(ohm: float, high: float, steepness: float) -> float:
    """Milliseconds for all potentials of a 128x128 grid under one vector."""
    n = 128
    g = devices(1, n, high)[0]
    v = np.random.default_rng(1).uniform(0, 0.5, (1, n))
    word, bit, residual = np.empty((1, n, n)), np.empty((1, n, n)), np.empty(1)
    grid = solver(n, ohm)
    run = lambda: grid.solve_nodes(g, v, None, word, bit, residual, steepness=steepness)  # noqa: E731
    return 1e3 * median(run, repeats=25)


def batch_of_nodes(vectors: int) -> tuple[float, float]:
    """For all potentials of a 128x128 grid per vector of a batch: milliseconds, and the ratio to one vector alone."""
    n = 128
    g = devices(1, n)[0]
    v = np.random.default_rng(1).uniform(0, 0.5, (vectors, n))
    word, bit, residual = np.empty((vectors, n, n)), np.empty((vectors, n, n)), np.empty(vectors)
    grid = solver(n)
    together = lambda: grid.solve_nodes(g, v, None, word, bit, residual)  # noqa: E731
    alone = lambda: grid.solve_nodes(g, v[:1], None, word[:1], bit[:1], residual[:1])  # noqa: E731
    together(), alone()
    # Other programs take their share of a long run, and none of a short one.
    batch, single = (statistics.median(processor(run) for _ in range(15)) for run in (together, alone))
    return 1e3 * batch / vectors, batch / vectors / single


def wire_gradient_to_forward(n: int) -> float:
    """Time of the gradient of one grid by its resistances to that of the effective matrix."""
    g = devices(1, n)
    upstream, gradient = np.ones_like(g), np.empty((1, 4))
    grid = solver(n)
    run, forward = lambda: grid.wire_gradient(g, upstream, gradient), effective(n, 1, "float64")
    run(), forward()
    return statistics.median(processor(run) / processor(forward) for _ in range(9))


def rows() -> list[Row]:
    """The rows of this benchmark."""
    threads = _engine.num_threads()
    _engine.set_num_threads(1)
    table = []
    for n, bound in ((128, 50), (512, 60)):
        for dtype in ("float64", "float32"):
            item = f"effective matrix {n}x{n}, {dtype}, one core: of the product kernel's peak"
            table.append(at_least(item, fraction_of_peak(n, dtype), bound, "%"))
    for item, run in (
        ("effective matrix, 32 tiles of 128x128: one core to two", effective(128, 32, "float64")),
        ("effective matrix, one grid of 512x512: one core to two", effective(512, 1, "float64")),
    ):
        table.append(at_least(item, with_threads(1, run) / with_threads(2, run), 1.9, digits=2))
    for label, other, bounds in (("scipy's splu", by_splu, (70, 400)), ("badcrossbar", by_badcrossbar, (150, 700))):
        for vectors, bound in zip((1, 256), bounds, strict=True):
            item = f"128x128, {vectors} vector{'s' * (vectors > 1)}, one core: {label} to ours"
            table.append(at_least(item, against(other, 128, vectors), bound))
    # The goal, 2.2 times the forward sweep, is on what the gradient adds to it.
    table.append(at_most("128x128, one core: forward and gradient to forward", gradient_to_forward(128), 3.2))
    growth = median(effective(1024, 1, "float64"), repeats=3) / median(effective(512, 1, "float64"), repeats=3)
    table.append(at_most("effective matrix, one core: 1024x1024 to 512x512", growth, 8.5))
    for (ohm, high), bounds in NODES.items():
        for label, steepness, bound in zip(("linear", "sinh"), (0.0, 4.0), bounds, strict=True):
            item = f"all potentials, 128x128, {ohm:g} ohm, up to {high:g} S, {label}, one vector, one core"
            table.append(at_most(item, one_vector(ohm, high, steepness), bound, "ms"))
    batch, share = batch_of_nodes(256)
    item = "all potentials, 128x128, 1 ohm, linear, batch of 256, one core: per vector"
    table.append(at_most(item, batch, 0.1, "ms", digits=3))
    table.append(at_most(f"{item}, to one vector alone", share, 1))
    item = "128x128, one core: gradient by the resistances to effective matrix"
    table.append(at_most(item, wire_gradient_to_forward(128), 60, digits=1))
    _engine.set_num_threads(threads)
    return table
