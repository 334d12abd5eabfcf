"""Encoding of inputs as word-line voltages (the DAC)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from memtorch._errors import check_bool, check_float, check_tensor, invalid

__all__ = ["naive_scale", "scale_factor"]


def naive_scale(module: nn.Module, input: Tensor, force_scale: bool = False) -> Tensor:
    """Encodes inputs as voltages within [-max_input_voltage, max_input_voltage].

    Each sample has one factor of its own: an input vector of a Linear layer, an image of a convolution. A patched layer
    knows the factor and divides the readout by it, so that its output still approximates that of the digital layer.

    Args:
        module: The layer; its ``max_input_voltage`` (V) is used, None means that inputs are volts already.
        input: [..., inputs] or [batch, channels, ...], as the layer takes them.
        force_scale: Samples below ``max_input_voltage`` are scaled up to it as well.

    Returns:
        Voltages, the shape of ``input``.

    Raises:
        InvalidArgument: ``max_input_voltage`` is not a positive number, or ``input`` is no real tensor.
    """
    factor = scale_factor(module, input, force_scale)
    return input if factor is None else input * factor


def scale_factor(module: nn.Module, input: Tensor, force_scale: bool = False) -> Tensor | None:
    """The factors by which ``naive_scale`` multiplies.

    Returns:
        One factor per sample, [batch, 1, ...] with as many dimensions as ``input``; None if nothing is scaled. A sample
        of zeros has factor 1. The factor is a setting of the converter: no gradient flows through it.

    Raises:
        InvalidArgument: See ``naive_scale``.
    """
    check_tensor("naive_scale", "input", input, finite=False)
    force_scale = check_bool("naive_scale", "force_scale", force_scale)
    limit = getattr(module, "max_input_voltage", None)
    if limit is None:
        return None
    limit = check_float("naive_scale", "max_input_voltage", limit, 0, exclusive=True, unit="V")
    if not input.is_floating_point():
        invalid("naive_scale", "input", str(input.dtype), "be a floating-point tensor")
    if input.numel() == 0:
        return None
    sample = _sample_dims(module, input)
    largest = input.detach().abs().amax(sample, keepdim=True) if sample else input.detach().abs()
    # A sample so small that the quotient overflows is scaled as far as its dtype reaches.
    factor = (limit / largest).clamp(max=torch.finfo(input.dtype).max)
    scaled = largest > 0 if force_scale else largest > limit
    return torch.where(scaled, factor, torch.ones_like(factor))


def _sample_dims(module: nn.Module, input: Tensor) -> list[int]:
    """The dimensions of ``input`` that make up one sample: all but the first, unless the module says how many."""
    count = getattr(module, "sample_dims", max(input.dim() - 1, 1))
    return list(range(max(input.dim() - count, 0), input.dim()))
