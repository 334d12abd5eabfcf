"""Fully connected layer."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from memtorch._errors import invalid
from memtorch._ops import tile_ends
from memtorch.map.Module import naive_tune
from memtorch.mn._layer import MemristiveLayer
from memtorch.mn._patched import memristive
from memtorch.mn._readout import read_in_parts

__all__ = ["Linear"]


@memristive(nn.Linear, "linear_layer")
class Linear(nn.Linear, MemristiveLayer):
    """``torch.nn.Linear`` whose product is read from crossbars.

    A crossbar holds the transposed weight: [in_features, out_features].
    """

    sample_dims = 1
    forward = MemristiveLayer.forward

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        torch_layer, leading, options = self.parse(args, kwargs)
        super().__init__(torch_layer.in_features, torch_layer.out_features, device="meta")
        self.adopt(torch_layer, leading, options)

    def tune(self, input_shape: int = 4098) -> None:
        """Fits ``transform_output`` to the digital layer.

        Args:
            input_shape: Number of random input vectors.
        """
        self.transform_output = naive_tune(self, (input_shape, self.in_features), self.options.verbose)

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """``torch.nn.functional.linear``."""
        return nn.functional.linear(x, weight, bias)

    def weight_shape(self) -> tuple[int, ...]:
        """(out_features, in_features)."""
        return self.out_features, self.in_features

    def split(self, weight: Tensor) -> Tensor:
        """[tile rows of the grid, rows of a tile, out_features], the last tile filled up with zeros."""
        tile_rows = self._tile_shape()[0]
        rows = nn.functional.pad(weight.t(), (0, 0, 0, -self.in_features % tile_rows))
        return rows.contiguous().unflatten(0, (-1, tile_rows))

    def digitized_product(self, v: Tensor, tiles: Tensor) -> Tensor:
        """One batched product over the tile rows of the grid, then the converters."""
        vectors = v.reshape(-1, self.in_features)
        summed = read_in_parts(lambda part: self._digitized_part(part, tiles), vectors, tiles.shape[0] * tiles.shape[2])
        return summed.reshape(*v.shape[:-1], self.out_features)

    def _digitized_part(self, v: Tensor, tiles: Tensor) -> Tensor:
        adc = self.options.adc
        assert adc is not None
        down, tile_rows, _ = tiles.shape
        padded = nn.functional.pad(v, (0, down * tile_rows - self.in_features))
        partial = torch.bmm(padded.unflatten(1, (down, tile_rows)).transpose(0, 1), tiles)
        return adc(partial.unsqueeze(-1), self.converter_ends()).squeeze(-1)

    def windows(self, v: Tensor) -> Tensor:
        """[vectors, 1, 1, in_features]."""
        return v.reshape(math.prod(v.shape[:-1]), 1, 1, self.in_features)

    def from_windows(self, currents: Tensor, v: Tensor) -> Tensor:
        """[..., out_features]."""
        return currents.reshape(*v.shape[:-1], self.out_features)

    def converter_ends(self) -> list[int]:
        """The column ends of the tiles."""
        return tile_ends(self.out_features, self._tile_shape()[1])

    def check_input(self, x: Tensor) -> None:
        """[..., in_features]."""
        if x.dim() == 0 or x.shape[-1] != self.in_features:
            invalid("Linear", "input", f"shape {list(x.shape)}", f"have shape [..., {self.in_features}]")

    def _tile_shape(self) -> tuple[int, int]:
        return self.options.tile_shape or (self.in_features, self.out_features)
