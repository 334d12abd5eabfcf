"""Convolution over volumes."""

from __future__ import annotations

from typing import Any

from torch import nn

from memtorch.mn._convolution import Convolution
from memtorch.mn._layer import MemristiveLayer
from memtorch.mn._patched import memristive

__all__ = ["Conv3d"]

# 1.1.6 lists these options of Conv3d in an order of their own.
_ORDER = ("line_resistance", "source_resistance", "ADC_overflow_rate", "ADC_resolution")


@memristive(nn.Conv3d, "convolutional_layer", _ORDER)
class Conv3d(nn.Conv3d, Convolution):
    """``torch.nn.Conv3d`` whose products are read from crossbars."""

    spatial_dims = 3
    sample_dims = 4
    forward = MemristiveLayer.forward

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        torch_layer, leading, options = self.parse(args, kwargs)
        super().__init__(**self.arguments(torch_layer))
        self.adopt(torch_layer, leading, options)

    def tune(self, input_batch_size: int = 4, input_shape: int = 32) -> None:
        """Fits ``transform_output`` to the digital layer.

        Args:
            input_batch_size: Number of random inputs.
            input_shape: Their depth, height and width.
        """
        self._tune(input_batch_size, input_shape)
