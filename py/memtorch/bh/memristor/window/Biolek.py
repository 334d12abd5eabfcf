"""Biolek's window."""

from __future__ import annotations

from typing import Any

from memtorch._errors import check_float
from memtorch._window_ops import window

__all__ = ["Biolek"]


def Biolek(voltage: Any, x: Any = 1.0, p: float = 1) -> Any:
    """1 - x^(2p) for positive voltages and 1 - (1 - x)^(2p) otherwise: it vanishes only at the end ahead.

    Args:
        voltage: Voltage (V): number, array or tensor.
        x: Normalised state in [0, 1]: number, array or tensor, broadcast against ``voltage``.
        p: Exponent, > 0 and at most 1e50.

    Returns:
        A float for numbers, else a float64 array or tensor.

    Raises:
        InvalidArgument: Not finite, ``x`` outside [0, 1] or ``p`` not positive.

    Reference: Z. Biolek, D. Biolek, V. Biolkova, "SPICE Model of Memristor with Nonlinear Dopant Drift",
    Radioengineering 18(2), 2009.
    """
    exponent = check_float("Biolek", "p", p, 0, 1e50, exclusive=True)
    return window("Biolek", "biolek", x, exponent, voltage=voltage)
