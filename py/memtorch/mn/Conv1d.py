"""Convolution over sequences."""

from __future__ import annotations

from typing import Any

from torch import nn

from memtorch.mn._convolution import Convolution
from memtorch.mn._layer import MemristiveLayer
from memtorch.mn._patched import memristive

__all__ = ["Conv1d"]


@memristive(nn.Conv1d, "convolutional_layer")
class Conv1d(nn.Conv1d, Convolution):
    """``torch.nn.Conv1d`` whose products are read from crossbars."""

    spatial_dims = 1
    sample_dims = 2
    forward = MemristiveLayer.forward

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        torch_layer, leading, options = self.parse(args, kwargs)
        super().__init__(**self.arguments(torch_layer))
        self.adopt(torch_layer, leading, options)

    def tune(self, input_batch_size: int = 8, input_shape: int = 32) -> None:
        """Fits ``transform_output`` to the digital layer.

        Args:
            input_batch_size: Number of random inputs.
            input_shape: Their length.
        """
        self._tune(input_batch_size, input_shape)
