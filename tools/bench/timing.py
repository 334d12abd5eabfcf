"""Timing for machines that are shared and noisy: medians, and ratios of runs taken in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

# A Python loop of 10^6 steps where MemTorch 1.1.6 was timed, seconds. Figures of 1.1.6 are scaled by this
# machine's own time for such a loop before they are compared with. What a step did is not recorded; here it adds a
# number. (20 float products of 512x512 took 0.044 s there, and take 0.047 s on the machine of docs/performance.md: by
# that measure 1.1.6 would be twice as slow as this scaling says.)
REFERENCE_LOOP_SECONDS = 0.041


@dataclass(frozen=True)
class Row:
    """One line of the benchmark table."""

    item: str
    measured: str
    bound: str
    holds: bool | None = None


def once(run: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def processor(run: Callable[[], object]) -> float:
    """Processor seconds of one call: on one thread, elapsed time without what other programs took meanwhile."""
    start = time.process_time()
    run()
    return time.process_time() - start


def median(run: Callable[[], object], repeats: int = 9, warmup: int = 2) -> float:
    """Median seconds of `repeats` calls after `warmup` calls."""
    for _ in range(warmup):
        run()
    return statistics.median(once(run) for _ in range(repeats))


def ratio(run: Callable[[], object], reference: Callable[[], object], repeats: int = 25) -> float:
    """Median over pairs of the time of `run` to that of `reference`, taken in turn so that drift cancels."""
    for _ in range(3):
        run()
        reference()
    return statistics.median(once(run) / once(reference) for _ in range(repeats))


def with_threads(count: int, run: Callable[[], object]) -> Callable[[], None]:
    """`run`, on `count` threads."""

    def call() -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        try:
            run()
        finally:
            torch.set_num_threads(before)

    return call


def loop() -> None:
    """The calibration loop."""
    total = 0
    for step in range(1_000_000):
        total += step


def times_116(run: Callable[[], object], seconds_116: float) -> float:
    """How often faster `run` is than MemTorch 1.1.6, which took `seconds_116` beside the reference loop.

    Both are timed warm, as 1.1.6 was, close together, three times.
    """
    ratios = [median(loop, repeats=3, warmup=1) / median(run) for _ in range(3)]
    return statistics.median(ratios) * seconds_116 / REFERENCE_LOOP_SECONDS


def at_most(item: str, value: float, bound: float, unit: str = "x", digits: int = 2) -> Row:
    """A row whose value must not exceed its bound."""
    return Row(item, f"{value:.{digits}f} {unit}", f"at most {bound:g} {unit}", value <= bound)


def at_least(item: str, value: float, bound: float, unit: str = "x", digits: int = 1) -> Row:
    """A row whose value must reach its bound."""
    return Row(item, f"{value:.{digits}f} {unit}", f"at least {bound:g} {unit}", value >= bound)
