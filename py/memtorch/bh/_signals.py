"""Voltage signals as users give them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memtorch._errors import invalid

__all__ = ["voltage_signal"]


def voltage_signal(op: str, signal: Any) -> Tensor:
    """A voltage signal as a contiguous float64 CPU tensor, checked to be finite numbers (V).

    Raises:
        InvalidArgument: Not numeric, empty, or not finite.
    """
    try:
        if isinstance(signal, Tensor):
            array = signal.detach().to("cpu", torch.float64).contiguous()
        else:
            array = torch.from_numpy(np.array(signal, dtype=np.float64, order="C", ndmin=1))
    except (TypeError, ValueError):
        invalid(op, "voltage_signal", signal, "be numbers: a list, numpy array, tensor or scalar")
    if array.numel() == 0:
        invalid(op, "voltage_signal", f"shape {list(array.shape)}", "hold at least one sample")
    # A sum is finite only if every term is; only a doubtful one needs a look at the elements.
    if not math.isfinite(array.sum().item()) and not bool(torch.isfinite(array).all()):
        invalid(op, "voltage_signal", signal, "be finite", "V")
    return array
