"""Joglekar's window, under the name it had in MemTorch 1.1.6 and under its own."""

from __future__ import annotations

from typing import Any

from memtorch._errors import check_float
from memtorch._window_ops import window

__all__ = ["Jogelkar", "Joglekar"]


def Jogelkar(x: Any, p: float = 1) -> Any:
    """1 - (2x - 1)^(2p): 1 in the middle, 0 at both ends.

    Args:
        x: Normalised state in [0, 1]: number, array or tensor.
        p: Exponent, > 0 and at most 1e50.

    Returns:
        A float for a number, else a float64 array or tensor.

    Raises:
        InvalidArgument: Not finite, ``x`` outside [0, 1] or ``p`` not positive.

    Reference: Y. N. Joglekar, S. J. Wolf, "The Elusive Memristor: Properties of Basic Electrical Circuits",
    European Journal of Physics 30(4), 2009.
    """
    return window("Jogelkar", "joglekar", x, check_float("Jogelkar", "p", p, 0, 1e50, exclusive=True))


Joglekar = Jogelkar
