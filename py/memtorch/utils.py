"""Small helpers on numbers and tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memtorch._errors import check_shape, invalid

__all__ = ["clip", "convert_range", "pad_tensor"]


def convert_range(old_value: Any, old_min: float, old_max: float, new_min: float, new_max: float) -> Any:
    """Maps [old_min, old_max] linearly onto [new_min, new_max]; values outside are extrapolated.

    Args:
        old_value: A number, array or tensor.
        old_min: Maps to ``new_min``.
        old_max: Maps to ``new_max``.
        new_min: Lower end of the new range.
        new_max: Upper end of the new range.

    Returns:
        The mapped value(s).

    Raises:
        InvalidArgument: ``old_min`` equals ``old_max``.
    """
    if old_min == old_max:
        invalid("convert_range", "old_max", old_max, f"differ from old_min ({old_min!r})")
    return (old_value - old_min) * (new_max - new_min) / (old_max - old_min) + new_min


def clip(value: float, lower: float, upper: float) -> float:
    """Returns ``value`` limited to [lower, upper].

    Raises:
        InvalidArgument: ``lower`` exceeds ``upper``.
    """
    if lower > upper:
        invalid("clip", "lower", lower, f"be <= upper ({upper!r})")
    return min(max(value, lower), upper)


def pad_tensor(tensor: Tensor, tile_shape: tuple[int, int]) -> Tensor:
    """Pads with zeros at the end of each dimension to whole tiles.

    Args:
        tensor: [n] or [rows, columns].
        tile_shape: (tile_rows, tile_columns); for a vector only the first counts.

    Returns:
        float32 [n'] or [rows', columns'] on the tensor's device, each a multiple of the tile.

    Raises:
        InvalidArgument: Another rank, or a bad ``tile_shape``.
    """
    if not isinstance(tensor, Tensor) or tensor.dim() not in (1, 2):
        got = f"shape {list(tensor.shape)}" if isinstance(tensor, Tensor) else type(tensor).__name__
        invalid("pad_tensor", "tensor", got, "be a torch.Tensor with 1 or 2 dimensions")
    tile = check_shape("pad_tensor", "tile_shape", tile_shape, (1, 2) if tensor.dim() == 1 else 2)
    padding: list[int] = []
    for length, step in reversed(list(zip(tensor.shape, tile, strict=False))):
        padding += [0, -length % step]
    return torch.nn.functional.pad(tensor.to(torch.float32), padding)
