"""Prodromakis' window."""

from __future__ import annotations

from typing import Any

from memtorch._errors import check_float
from memtorch._window_ops import window

__all__ = ["Prodromakis"]


def Prodromakis(x: Any, p: float = 1, j: float = 1.0) -> Any:
    """Height j: j (1 - ((x - 0.5)^2 + 0.75)^p): 0 at both ends, its height set by p and j.

    Args:
        x: Normalised state in [0, 1]: number, array or tensor.
        p: Exponent, > 0 and at most 1e50.
        j: Scale.

    Returns:
        A float for a number, else a float64 array or tensor.

    Raises:
        InvalidArgument: Not finite, ``x`` outside [0, 1] or ``p`` not positive.

    Reference: T. Prodromakis, B. P. Peh, C. Papavassiliou, C. Toumazou, "A Versatile Memristor Model With Nonlinear
    Dopant Kinetics", IEEE Transactions on Electron Devices 58(9), 2011.
    """
    exponent = check_float("Prodromakis", "p", p, 0, 1e50, exclusive=True)
    return window("Prodromakis", "prodromakis", x, exponent, check_float("Prodromakis", "j", j))
