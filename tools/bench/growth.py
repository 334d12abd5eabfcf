"""How the time of exact wires grows with the number of lines n, from 32 to 1024, beside that of badcrossbar.

Takes some minutes; `tools/docs/wire_growth.py` draws the same measurements.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
from other_solvers import Solver, by_badcrossbar
from threadpoolctl import threadpool_limits
from timing import Row, at_most, processor
from wires import currents, devices

from memtorch import _engine

SIZES = (32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
VECTORS = (1, 256)
# Largest n of badcrossbar for so many vectors: beyond it, one solution takes most of a minute.
BEARABLE = {1: 512, 256: 256}
# The exponents are those from here on; below, what is done once per line counts too.
FIRST = 128
# The best of so many rounds, some time apart, each of as many calls as fit into so many seconds, or one.
ROUNDS, SECONDS = 3, 0.3


class Measurement(NamedTuple):
    """Processor seconds for the currents of n x n devices with wires of 1 ohm, on one thread."""

    solver: str
    vectors: int
    n: int
    seconds: float


def best(run: Solver) -> float:
    """Processor seconds of the fastest call of one round."""
    times = [processor(run)]
    while sum(times) < SECONDS:
        times.append(processor(run))
    return min(times)


def solvers(n: int, vectors: int) -> Iterator[tuple[str, Solver]]:
    """Names and calls, all on the same devices."""
    g = devices(1, n)
    v = np.random.default_rng(1).uniform(0, 0.3, (vectors, n))
    for dtype in ("float64", "float32"):
        yield f"memtorch {dtype}", currents(g.astype(dtype), v.astype(dtype))
    if n <= BEARABLE[vectors]:
        yield "badcrossbar", by_badcrossbar(g[0], v, 1.0)


def measure() -> list[Measurement]:
    """All solvers at all sizes."""
    found: dict[tuple[str, int, int], float] = {}
    threads = _engine.num_threads()
    _engine.set_num_threads(1)
    with threadpool_limits(1):
        for _, n, vectors in product(range(ROUNDS), SIZES, VECTORS):
            for name, run in solvers(n, vectors):
                key = name, vectors, n
                found[key] = min(best(run), found.get(key, math.inf))
    _engine.set_num_threads(threads)
    return [Measurement(*key, seconds) for key, seconds in found.items()]


def exponent(found: list[Measurement], solver: str, vectors: int) -> float:
    """Slope of log(seconds) over log(n), least squares."""
    points = [(one.n, one.seconds) for one in found if one[:2] == (solver, vectors) and one.n >= FIRST]
    n, seconds = np.log(np.array(points)).T
    return float(np.polyfit(n, seconds, 1)[0])


def rows() -> list[Row]:
    """The rows of this benchmark."""
    found = measure()
    return [
        at_most(
            f"currents of one vector, {dtype}, one core: power of n from {FIRST} to {SIZES[-1]} that time grows with",
            exponent(found, f"memtorch {dtype}", 1),
            3.1,
            "",
        )
        for dtype in ("float64", "float32")
    ]
