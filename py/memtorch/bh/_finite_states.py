"""Conductances that equally spaced states leave: how many there may be, and which is nearest."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from memtorch import _ops
from memtorch._errors import check_int

__all__ = ["MAX_STATES", "check_states", "nearest_states"]

# Levels closer than the spacing of float32 conductances would be no levels.
MAX_STATES = 2**24


def check_states(op: str, name: str, value: Any) -> int:
    """Returns ``value`` if it is a number of states."""
    return check_int(op, name, value, 1, MAX_STATES)


def nearest_states(g: Tensor, states: int, low: Tensor, high: Tensor) -> Tensor:
    """Moves conductances to the nearest of equally spaced states, the upper of two that are equally near.

    Args:
        g: Conductances (S), any shape.
        states: Number of states; the only one lies in the middle.
        low: The lowest state (S), float64, one element or the shape of ``g``.
        high: The highest, likewise.

    Returns:
        A new tensor like ``g``.
    """
    return _ops.quantize(g, "", states, 0.0, low, high)
