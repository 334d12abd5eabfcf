"""Convolution over images."""

from __future__ import annotations

from typing import Any

from torch import nn

from memtorch.mn._convolution import Convolution
from memtorch.mn._layer import MemristiveLayer
from memtorch.mn._patched import memristive

__all__ = ["Conv2d"]


@memristive(nn.Conv2d, "convolutional_layer")
class Conv2d(nn.Conv2d, Convolution):
    """``torch.nn.Conv2d`` whose products are read from crossbars."""

    spatial_dims = 2
    sample_dims = 3
    forward = MemristiveLayer.forward

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        torch_layer, leading, options = self.parse(args, kwargs)
        super().__init__(**self.arguments(torch_layer))
        self.adopt(torch_layer, leading, options)

    def tune(self, input_batch_size: int = 8, input_shape: int = 32) -> None:
        """Fits ``transform_output`` to the digital layer.

        Args:
            input_batch_size: Number of random inputs.
            input_shape: Their height and width.
        """
        self._tune(input_batch_size, input_shape)
