"""What of a network runs on crossbars."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn

__all__ = ["LayerSummary", "PatchReport", "summary"]


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
        rows = [LayerSummary._fields, *([str(field) for field in row] for row in (*self, self.total))]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = []
        for row in rows:
            texts = [field.ljust(width) for field, width in zip(row[:2], widths, strict=False)]
            numbers = [field.rjust(width) for field, width in zip(row[2:], widths[2:], strict=True)]
            lines.append("  ".join(texts + numbers))
        return "\n".join(lines)

    __repr__ = __str__


def summary(path: str, layer: nn.Module) -> LayerSummary:
    """The line of one memristive layer."""
    crossbars: list[Any] = list(layer.crossbars)  # type: ignore[arg-type]
    tiles = sum(1 if crossbar.tiles_map is None else crossbar.tiles_map.numel() for crossbar in crossbars)
    devices = sum(crossbar.devices.size for crossbar in crossbars)
    return LayerSummary(path or "model", type(layer).__name__, len(crossbars), tiles, devices)
