"""What a pulse on one device of a tile puts across all of them: bias schemes and wires."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from memtorch import _engine
from memtorch._errors import invalid
from memtorch._ops import engine_threads

__all__ = ["BIAS_SCHEMES", "Bias", "TileVoltages", "check_bias_scheme"]

# As the engine has them (engine/program_wires.cc).
_TOLERANCES = (1e-12, 1e-10)


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
        wires: Resistances (ohm): of a word line segment, of a bit line segment, at the drivers, at the sense ends.
    """

    def __init__(self, shape: tuple[int, int], cell: tuple[int, int], bias: Bias, wires: tuple[float, ...]) -> None:
        self.solved = bias.floating or any(wires)
        word = torch.full((shape[0],), bias.word, dtype=torch.float64)
        bit = torch.full((shape[1],), bias.bit, dtype=torch.float64)
        word[cell[0]], bit[cell[1]] = 1, 0
        self._volts = word, bit
        self._open: tuple[Any, Any] = None, None
        if bias.floating:
            self._open = torch.arange(shape[0]) != cell[0], torch.arange(shape[1]) != cell[1]
        self._solver = _engine.GridSolver(*shape, *wires)
        self._nodes = torch.empty(1, *shape, dtype=torch.float64), bit.expand(1, *shape).contiguous()
        self._solved_for: NDArray[np.float64] | None = None

    def of(self, g: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """They, [rows, columns].

        Args:
            g: Conductances (S) [rows, columns]; read only where voltages are ``solved``: with resistive wires or
                open lines.

        Raises:
            InvalidArgument: A conductance that is not in [0, 1e6] S.
            RuntimeError: The circuit was not solved to 1e-10 of its largest device current.
        """
        word, bit = self._volts
        if not self.solved:
            return (word.unsqueeze(1) - bit).numpy()
        assert g is not None
        if self._solved_for is None or not np.array_equal(g, self._solved_for):
            self._solve(g)
            self._solved_for = g
        word, bit = self._nodes
        return (word - bit)[0].numpy()

    def _solve(self, g: NDArray[np.float64]) -> None:
        """Moves the potentials, which may be those at other conductances, to their solution."""
        (word, bit), (word_open, bit_open) = self._volts, self._open
        given = g, word.unsqueeze(0), bit.unsqueeze(0), *self._nodes, torch.empty(1, dtype=torch.float64)
        engine_threads()
        for tolerance in _TOLERANCES:
            try:
                self._solver.solve_nodes(
                    *given, tolerance=tolerance, warm=True, word_open=word_open, bit_open=bit_open
                )
                return
            except RuntimeError:
                if tolerance == _TOLERANCES[-1]:
                    raise
