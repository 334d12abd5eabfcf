"""What of a network runs on crossbars."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn

__all__ = ["LayerSummary", "PatchReport", "aligned", "summary"]


def aligned(rows: list[list[str]], texts: int) -> str:
    """Rows of cells as lines: the first ``texts`` columns flush left, numbers flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < texts else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells))
    return "\n".join(lines)


class LayerSummary(NamedTuple):
    """One memristive layer of a model."""

    path: str
    layer: str
    crossbars: int
    tiles: int
    devices: int


class PatchReport(tuple[LayerSummary, ...]):
    """The memristive layers of a model; printed, it is a table with a line of totals."""

    __slots__ = ()

    @property
    def total(self) -> LayerSummary:
        """The sums over all layers."""
        counts = (sum(getattr(row, name) for row in self) for name in ("crossbars", "tiles", "devices"))
        return LayerSummary("total", f"{len(self)} layer{'' if len(self) == 1 else 's'}", *counts)

    def __str__(self) -> str:
        return aligned([list(LayerSummary._fields), *([str(field) for field in row] for row in (*self, self.total))], 2)

    __repr__ = __str__


def summary(path: str, layer: nn.Module) -> LayerSummary:
    """The line of one memristive layer."""
    crossbars: list[Any] = list(layer.crossbars)  # type: ignore[arg-type]
    tiles = sum(1 if crossbar.tiles_map is None else crossbar.tiles_map.numel() for crossbar in crossbars)
    devices = sum(crossbar.devices.size for crossbar in crossbars)
    return LayerSummary(path or "model", type(layer).__name__, len(crossbars), tiles, devices)
