"""Quantization of tensors."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from memtorch import _ops
from memtorch._errors import check_bool, check_choice, check_float, check_int, check_tensor, invalid

__all__ = ["quant_methods", "quantize"]

quant_methods: list[str] = _ops.QUANT_METHODS


def quantize(
    tensor: Tensor,
    quant: int,
    overflow_rate: float = 0.0,
    quant_method: str | None = None,
    min: float | Tensor = math.nan,
    max: float | Tensor = math.nan,
    override_original: bool = False,
) -> Tensor:
    """Quantizes a tensor, with one range for all its elements.

    With M the magnitude that a fraction ``overflow_rate`` of the elements exceeds and b bits:

    * "linear": steps of 2^(1 - b + ceil(log2 M));
    * "log": the logarithm of the magnitude linearly with b - 1 bits, and the sign;
    * "minmax": 2^b levels from the smallest to the largest element;
    * "log_minmax": the logarithm of the magnitude by minmax with b - 1 bits, and the sign;
    * "tanh": tanh(x / M) by minmax;
    * None: ``quant`` levels from the smallest to the largest element.

    Gradients pass straight through, as if nothing had been quantized.

    Args:
        tensor: Any shape; integers become float32.
        quant: Bits (with a method, 1 to 32) or number of levels (without).
        overflow_rate: Fraction of the elements that may lie beyond the range, in [0, 1].
        quant_method: One of ``quant_methods``, or None.
        min: Lower bound, a number or a tensor that broadcasts to ``tensor``; NaN: none given.
        max: Upper bound, likewise.
        override_original: Write the result into ``tensor`` (a view of another tensor included) and return that.

    Returns:
        The quantized tensor on the input's device.

    Raises:
        InvalidArgument: NaN or infinite elements, an unknown method, or an option out of range.
    """
    op = "quantize"
    check_tensor(op, "tensor", tensor, finite=False)
    if quant_method is not None:
        check_choice(op, "quant_method", quant_method, quant_methods)
        check_int(op, "quant", quant, 1, 32)
    else:
        check_int(op, "quant", quant, 1)
    rate = check_float(op, "overflow_rate", overflow_rate, 0, 1)
    low, high = _bound(op, "min", min, tensor), _bound(op, "max", max, tensor)
    in_place = check_bool(op, "override_original", override_original)
    if in_place and not tensor.is_floating_point():
        invalid(op, "tensor", str(tensor.dtype), "be floating point to be overwritten")
    source = tensor if tensor.is_floating_point() else tensor.to(torch.float32)
    if source.numel() == 0:
        return tensor if in_place else source.clone()
    if not in_place:
        return _ops.quantize(source, quant_method or "", quant, rate, low, high)
    with torch.no_grad():
        tensor.copy_(_ops.quantize(source.detach(), quant_method or "", quant, rate, low, high))
    return tensor


def _bound(op: str, name: str, bound: Any, tensor: Tensor) -> Tensor | None:
    """A bound as the engine takes it: None, one number, or one for each element of ``tensor``."""
    if isinstance(bound, Tensor) and bound.numel() != 1:
        try:
            expanded = bound.detach().to("cpu", torch.float64).expand(tensor.shape)
        except RuntimeError:
            invalid(op, name, f"shape {list(bound.shape)}", f"broadcast to {list(tensor.shape)}")
        if bool(expanded.isnan().any()):
            invalid(op, name, bound, "hold no NaN")
        return expanded.contiguous()
    if isinstance(bound, (float, Tensor)) and math.isnan(float(bound)):
        return None
    return torch.tensor(check_float(op, name, bound), dtype=torch.float64)
