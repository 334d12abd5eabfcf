"""Resistances of the wires of a crossbar, and the effective conductances that follow from them.

Currents of a crossbar with resistive wires are linear in the voltages that drive it. Its effective conductances are the
matrix of this map: solved once for what is programmed, they take the place of the devices' conductances in every read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from memtorch import _ops
from memtorch._errors import check_float, invalid
from memtorch._wire_ops import effective_conductances

__all__ = [
    "SolvedWires",
    "WiredTiles",
    "Wires",
    "check_conductances",
    "checked_ohm",
    "resistance_tensor",
]

# As the engine has them: within these bounds no intermediate value of a solution overflows.
_MAX_OHM = 1e12
_MAX_SIEMENS = 1e6


def check_conductances(op: str, name: str, g: Tensor) -> Tensor:
    """Returns ``g`` if it is what devices between resistive wires may conduct, in [0, 1e6] S."""
    if g.numel() > 0:
        low, high = (end.item() for end in torch.aminmax(g.detach()))
        if low < 0 or high > _MAX_SIEMENS:
            invalid(op, name, f"range {low:g} to {high:g}", f"be in [0, {_MAX_SIEMENS:g}]", "S")
    return g


class Wires(NamedTuple):
    """Resistances (ohm); 0 is an ideal wire.

    Attributes:
        word: Of a word line between neighbouring cells.
        bit: Of a bit line between neighbouring cells.
        source: Between a driver and the first cell of its word line.
        load: Between the last cell of a bit line and its sense end.
    """

    word: float
    bit: float
    source: float
    load: float

    @staticmethod
    def parse(op: str, source_resistance: Any, line_resistance: Any) -> Wires | None:
        """Checks the two arguments of 1.1.6; each is a number, a pair (of word lines, of bit lines), or None.

        Args:
            op: The function or class that the user called.
            source_resistance: Between a source and its line, ohm; None: 0.
            line_resistance: Of a line between neighbouring cells, ohm; None: 0.

        Returns:
            None if all wires are ideal.

        Raises:
            InvalidArgument: Not a number or a pair of numbers in [0, 1e12].
        """
        given = ("source_resistance", source_resistance), ("line_resistance", line_resistance)
        (source, load), (word, bit) = (
            [_fixed(op, name, number) for number in _pair(op, name, value)] for name, value in given
        )
        wires = Wires(word, bit, source, load)
        return wires if any(wires) else None

    def tensor(self) -> Tensor:
        """As ``effective_conductances`` takes them, float64 [4]."""
        return torch.tensor(self, dtype=torch.float64)


def _pair(op: str, name: str, value: Any) -> tuple[Any, Any]:
    """(of word lines, of bit lines), not checked any further: a pair as it is, one value twice, None as 0."""
    if value is None:
        return 0.0, 0.0
    if not isinstance(value, (Sequence, torch.Size)) or isinstance(value, (str, bytes)):
        return value, value
    if len(value) != 2:
        invalid(op, name, value, "be a number, or two: of word lines and of bit lines", "ohm")
    return value[0], value[1]


def _fixed(op: str, name: str, value: Any) -> float:
    if isinstance(value, Tensor) and value.requires_grad:
        must = "not require a gradient here; memtorch.bh.crossbar.Passive.effective_conductances gives it"
        invalid(op, name, value, must, "ohm")
    return check_float(op, name, value, 0, _MAX_OHM, unit="ohm")


def checked_ohm(op: str, name: str, value: Any) -> Tensor:
    """A checked resistance, float64 [], on the CPU, where solvers read it; a tensor keeps its gradient."""
    plain = value.detach() if isinstance(value, Tensor) else value
    number = check_float(op, name, plain, 0, _MAX_OHM, unit="ohm")
    if isinstance(value, Tensor):
        return value.to("cpu", torch.float64).reshape(())
    return torch.tensor(number, dtype=torch.float64)


def resistance_tensor(op: str, source_resistance: Any, line_resistance: Any) -> Tensor:
    """The two arguments as ``Wires.tensor`` gives them; those that are tensors keep their gradients.

    Args:
        op: As ``Wires.parse``.
        source_resistance: Likewise.
        line_resistance: Likewise.

    Raises:
        InvalidArgument: Likewise.
    """
    given = ("source_resistance", source_resistance), ("line_resistance", line_resistance)
    (source, load), (word, bit) = (
        [checked_ohm(op, name, number) for number in _pair(op, name, value)] for name, value in given
    )
    return torch.stack([word, bit, source, load])


class SolvedWires(NamedTuple):
    """What a crossbar keeps of its solved wires.

    Attributes:
        wires: Their resistances.
        tiles: Tiles whose effective conductances are kept.
        solutions: How many tiles have been solved so far, those solved anew because they changed included.
        memory: Bytes that are kept.
    """

    wires: Wires
    tiles: int
    solutions: int
    memory: int


class _EffectiveTiles:
    """Effective conductances of the tiles of one crossbar, kept until a tile changes.

    What is kept is float64 and twice the memory of float32 conductances; 16 bytes more for each tile tell whether its
    conductances are still the ones that were solved. On a GPU, a copy of the conductances does.

    Args:
        wires: Resistances of all tiles.
    """

    def __init__(self, wires: Wires) -> None:
        self.wires = wires
        self._solutions = 0
        self._source: tuple[Tensor, int] | None = None
        self._digests: list[bytes] = []
        self._copy = self._effective = torch.empty(0)

    def summary(self) -> SolvedWires:
        """What is kept."""
        memory = sum(tensor.numel() * tensor.element_size() for tensor in (self._effective, self._copy))
        memory += sum(map(len, self._digests))
        return SolvedWires(self.wires, len(self._effective), self._solutions, memory)

    def of(self, g: Tensor) -> Tensor:
        """Effective conductances (S) of tiles.

        Args:
            g: Conductances (S) [tiles, rows, columns].

        Returns:
            [tiles, rows, columns], float64, kept here: not to be written.
        """
        if self._source is None or not self._is_current(g):
            with torch.inference_mode(False), torch.no_grad():
                self._solve(g)
            # Holding on to the source keeps its address from being given to another tensor.
            self._source = g, g._version
        return self._effective

    def _is_current(self, g: Tensor) -> bool:
        assert self._source is not None
        kept, version = self._source
        same = kept.data_ptr() == g.data_ptr() and kept.shape == g.shape and kept.device == g.device
        return same and g._version == version

    def _solve(self, g: Tensor) -> None:
        """Solves the tiles that are not the ones that were solved before."""
        fits = self._effective.shape == g.shape and self._effective.device == g.device
        tiles = _ops.placed(g)
        changed = self._changed_copies(tiles, fits) if _ops.on_gpu(g) else self._changed_digests(tiles, fits)
        if len(changed) == len(tiles):
            self._effective = effective_conductances(tiles, self.wires.tensor()).to(g.device)
        elif len(changed) > 0:
            solved = effective_conductances(tiles.index_select(0, changed), self.wires.tensor())
            # Not in place: whoever was given the old ones keeps them as they were.
            self._effective = self._effective.index_copy(0, changed.to(g.device), solved.to(g.device))
        self._solutions += len(changed)

    def _changed_digests(self, tiles: Tensor, fits: bool) -> Tensor:
        """The indices of tiles that are not those of the last call; all of them unless ``fits``."""
        digests = [hashlib.blake2b(tile.numpy(), digest_size=16).digest() for tile in tiles]
        known = self._digests if fits else [b""] * len(digests)
        self._digests = digests
        changed = [i for i, (new, old) in enumerate(zip(digests, known, strict=True)) if new != old]
        return torch.tensor(changed, dtype=torch.int64)

    def _changed_copies(self, tiles: Tensor, fits: bool) -> Tensor:
        """The same on a GPU, where tiles stay; the one place that waits for it, after something was written."""
        fits = fits and self._copy.dtype == tiles.dtype
        before, self._copy = self._copy, tiles.clone()
        if not fits:
            return torch.arange(len(tiles), device=tiles.device)
        return (tiles != before).flatten(1).any(1).nonzero().view(-1)


class WiredTiles:
    """What a crossbar offers to those who read it through resistive wires."""

    tile_shape: tuple[int, ...] | None
    rows: int
    columns: int
    conductance_matrix: Any
    _solved: _EffectiveTiles | None = None

    def effective_tiles(self, wires: Wires | None) -> Tensor:
        """What the ends of the wires see in place of the conductances (S), in the shape of ``conductance_matrix``.

        Tiles are solved whole, their padding included: its cells conduct, its word lines are held at 0 V like its bit
        lines. Solutions are kept until a tile's conductances change, for one set of wires.

        Args:
            wires: Resistances of the wires of every tile; None: ideal wires.

        Returns:
            The conductances themselves for ideal wires; else float64, not to be written. Where the conductances
            require a gradient, it is solved anew, with its gradient.

        Raises:
            InvalidArgument: Conductances that are not in [0, 1e6] S; a GPU does not look at them.
        """
        g: Tensor = self.conductance_matrix
        if wires is None:
            return g
        if g.requires_grad and torch.is_grad_enabled():
            return effective_conductances(g.view(-1, *g.shape[-2:]), wires.tensor()).view(g.shape)
        if self._solved is None or self._solved.wires != wires:
            self._solved = _EffectiveTiles(wires)
        return self._solved.of(g.view(-1, *g.shape[-2:])).view(g.shape)

    def effective_matrix(self, wires: Wires | None) -> Tensor:
        """The same as a matrix [rows, columns] without padding."""
        tiles = self.effective_tiles(wires)
        return tiles if self.tile_shape is None else _ops.gather_tiles(tiles, self.rows, self.columns)

    def solved_wires(self) -> SolvedWires | None:
        """What is kept of the solution of resistive wires; None if nothing is."""
        return None if self._solved is None else self._solved.summary()

    def __getstate__(self) -> dict[str, Any]:
        """Without what can be solved again."""
        return {name: value for name, value in self.__dict__.items() if name != "_solved"}
