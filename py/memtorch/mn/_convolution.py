"""What the convolutions have in common, in any number of dimensions.

A crossbar holds [in_channels / groups * kernel elements, out_channels]; its rows are numbered by channel, then by
kernel element. The input vector of an output position is the patch under the kernel. Groups are read one after the
other: a group drives the rows with its own channels, and only its own columns are read.

No patch is ever laid out in memory. The rows of one row of tiles are a slice of the channels, so its partial sums are a
convolution of this slice with weights that are zero outside the tile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from memtorch._errors import check_int, invalid
from memtorch._ops import tile_ends
from memtorch.map.Module import naive_tune
from memtorch.mn._layer import MemristiveLayer
from memtorch.mn._readout import read_in_parts

__all__ = ["Convolution"]


@dataclass(frozen=True)
class TileRow:
    """One row of tiles: the channels [start, stop) of each group that it touches, and its share of their weights."""

    start: int
    stop: int
    weight: Tensor  # [out_channels, stop - start, *kernel_size], zero outside the tile


class Convolution(MemristiveLayer):
    """Base of the memristive convolutions; stands after the torch class in their bases."""

    spatial_dims: ClassVar[int]

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    groups: int
    dilation: tuple[int, ...]
    padding_mode: Any
    _reversed_padding_repeated_twice: list[int]
    _conv_forward: Any

    @staticmethod
    def arguments(torch_layer: Any) -> dict[str, Any]:
        """The constructor arguments of a torch convolution, for a copy without storage."""
        names = ["in_channels", "out_channels", "kernel_size", "stride"]
        names += ["padding", "dilation", "groups", "padding_mode"]
        return {name: getattr(torch_layer, name) for name in names} | {"device": "meta"}

    def _tune(self, input_batch_size: int, input_shape: int) -> None:
        side = check_int("tune", "input_shape", input_shape, 1)
        shape = (input_batch_size, self.in_channels, *[side] * self.spatial_dims)
        self.transform_output = naive_tune(self, shape, self.options.verbose)

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The torch convolution with the layer's padding, stride, dilation and groups."""
        return self._conv_forward(x, weight, bias)

    def weight_shape(self) -> tuple[int, ...]:
        """(out_channels, in_channels / groups, *kernel_size)."""
        return self.out_channels, self.in_channels // self.groups, *self.kernel_size

    def split(self, weight: Tensor) -> list[TileRow]:
        """The rows of tiles, from the top."""
        elements = math.prod(self.kernel_size)
        rows = weight.flatten(1).shape[1]
        tile_rows = self._tile_shape()[0]
        parts = []
        for first in range(0, rows, tile_rows):
            last = min(first + tile_rows, rows)
            start, stop = first // elements, -(-last // elements)
            part = torch.zeros_like(weight[:, start:stop], memory_format=torch.contiguous_format)
            inside = slice(first - start * elements, last - start * elements)
            part.flatten(1)[:, inside] = weight.flatten(1)[:, first:last]
            parts.append(TileRow(start, stop, part))
        return parts

    def digitized_product(self, v: Tensor, tiles: list[TileRow]) -> Tensor:
        """One convolution per row of tiles, then the converters."""
        batched = v.unsqueeze(0) if v.dim() == self.sample_dims else v
        sums_per_sample = len(tiles) * self.out_channels * math.prod(batched.shape[2:]) // math.prod(self.stride)
        output = read_in_parts(lambda part: self._digitized_part(part, tiles), batched, sums_per_sample)
        return output if batched is v else output.squeeze(0)

    def _digitized_part(self, v: Tensor, tiles: list[TileRow]) -> Tensor:
        adc = self.options.adc
        assert adc is not None
        grouped = v.unflatten(1, (self.groups, -1))
        partial = torch.stack(
            [self.product(grouped[:, :, t.start : t.stop].flatten(1, 2), t.weight, None) for t in tiles]
        )
        return adc(partial.flatten(3), self.converter_ends()).unflatten(2, partial.shape[3:])

    def windows(self, v: Tensor) -> Tensor:
        """The patches under the kernel, [samples, *output sizes, groups, channels of a group, *kernel_size]."""
        n = self.spatial_dims
        batched = v.unsqueeze(0) if v.dim() == self.sample_dims else v
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        x = nn.functional.pad(batched, self._reversed_padding_repeated_twice, mode)
        for k in range(n):
            reach = self.dilation[k] * (self.kernel_size[k] - 1) + 1
            x = x.unfold(2 + k, reach, self.stride[k])[..., :: self.dilation[k]]
        grouped = x.unflatten(1, (self.groups, self.in_channels // self.groups))
        return grouped.permute(0, *range(3, 3 + n), 1, 2, *range(3 + n, 3 + 2 * n))

    def from_windows(self, currents: Tensor, v: Tensor) -> Tensor:
        """[samples, out_channels, *output sizes], or without samples like ``v``."""
        return currents.squeeze(0) if v.dim() == self.sample_dims else currents

    def converter_ends(self) -> list[int]:
        """Columns at which another converter range begins: the next tile, or the next group."""
        per_group = self.out_channels // self.groups
        tiles = tile_ends(self.out_channels, self._tile_shape()[1])
        return sorted({*tiles, *range(per_group, self.out_channels + 1, per_group)})

    def check_input(self, x: Tensor) -> None:
        """[batch, in_channels, ...] or [in_channels, ...]."""
        if x.dim() not in (self.spatial_dims + 1, self.spatial_dims + 2) or x.shape[-self.spatial_dims - 1] != (
            self.in_channels
        ):
            sizes = ", ".join(["size"] * self.spatial_dims)
            must = f"have shape [batch, {self.in_channels}, {sizes}] or [{self.in_channels}, {sizes}]"
            invalid(type(self).__name__, "input", f"shape {list(x.shape)}", must)

    def _tile_shape(self) -> tuple[int, int]:
        rows = self.in_channels // self.groups * math.prod(self.kernel_size)
        return self.options.tile_shape or (rows, self.out_channels)
