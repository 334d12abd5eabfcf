"""What a pulse on one device of a tile puts across all of them: bias schemes and wires."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from memtorch._errors import invalid
from memtorch._wire_ops import VoltageSolver
from memtorch.bh.crossbar._wires import Wires

__all__ = ["BIAS_SCHEMES", "Bias", "TileVoltages", "check_bias_scheme"]


class Bias(NamedTuple):
    """Potentials of the lines that are not selected while the selected word line is at V, the selected bit line at 0 V.

    Attributes:
        word: Of the word lines, in parts of V.
        bit: Of the bit lines.
        floating: All of them are open instead.
    """

    word: float
    bit: float
    floating: bool


BIAS_SCHEMES = {
    "V/2": Bias(1 / 2, 1 / 2, False),
    "V/3": Bias(1 / 3, 2 / 3, False),
    "floating": Bias(1 / 2, 1 / 2, True),  # the middle is where their solution is sought
}


def check_bias_scheme(op: str, name: Any) -> Bias:
    """Returns the scheme of a name.

    Raises:
        InvalidArgument: Not among ``BIAS_SCHEMES``.
    """
    if not isinstance(name, str) or name not in BIAS_SCHEMES:
        invalid(op, "bias_scheme", name, f"be one of {', '.join(BIAS_SCHEMES)}")
    return BIAS_SCHEMES[name]


class TileVoltages:
    """Voltages across the devices of a tile while one of them is pulsed, in parts of the pulse's voltage.

    Args:
        shape: (rows, columns).
        cell: (row, column) of the pulsed device.
        bias: The scheme.
        wires: Resistances (ohm).
    """

    def __init__(self, shape: tuple[int, int], cell: tuple[int, int], bias: Bias, wires: Wires) -> None:
        word = torch.full((shape[0],), bias.word, dtype=torch.float64)
        bit = torch.full((shape[1],), bias.bit, dtype=torch.float64)
        word[cell[0]], bit[cell[1]] = 1, 0
        self.solved = bias.floating or any(wires)
        self._parts = (word.unsqueeze(1) - bit).numpy()
        if self.solved:
            lines_open = [torch.arange(n) != k if bias.floating else None for n, k in zip(shape, cell, strict=True)]
            self._solver = VoltageSolver(shape, wires, word, bit, *lines_open)
            self._solved_for: NDArray[np.float64] | None = None

    def of(self, g: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """They, [rows, columns].

        Args:
            g: Conductances (S) [rows, columns], where voltages are ``solved``: with resistive wires or open lines.

        Raises:
            InvalidArgument: A conductance that is not in [0, 1e6] S.
            RuntimeError: The circuit was not solved to 1e-10 of its largest device current.
        """
        if self.solved and g is not None and not (self._solved_for is not None and np.array_equal(g, self._solved_for)):
            self._parts = self._solver.across(torch.from_numpy(g)).numpy()
            self._solved_for = g
        return self._parts
