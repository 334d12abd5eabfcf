"""Voltage signals as users give them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from memtorch._errors import check_numbers, invalid

__all__ = ["FROZEN_STEP", "array_signal", "voltage_signal"]

# A time step (s) so small that no update survives rounding: a sample then reads a device without moving it.
FROZEN_STEP = 1e-200


def voltage_signal(op: str, signal: Any) -> Tensor:
    """A voltage signal as a contiguous float64 tensor, checked to be finite numbers (V).

    On a GPU it stays there, and its values are not looked at, because that would wait for the GPU.

    Raises:
        InvalidArgument: Not numeric, empty, or not finite.
    """
    given = check_numbers(op, "voltage_signal", signal, "V")
    array = given.to(given.device if given.is_cuda else "cpu", torch.float64).contiguous()
    if array.dim() == 0:
        array = array.view(1)
    if array.numel() == 0:
        invalid(op, "voltage_signal", f"shape {list(array.shape)}", "hold at least one sample")
    if array.is_cuda:
        return array
    # A sum is finite only if every term is; only a doubtful one needs a look at the elements.
    if not math.isfinite(array.sum().item()) and not bool(torch.isfinite(array).all()):
        invalid(op, "voltage_signal", signal, "be finite", "V")
    return array


def array_signal(op: str, signal: Any, shape: tuple[int, ...], *, single: bool = False) -> Tensor:
    """The voltages of an array of devices, checked as ``voltage_signal`` does.

    Args:
        op: The function that the user called.
        signal: [steps], the same for all devices, or [*shape, steps] (V).
        shape: Shape of the array.
        single: Only one device of it gets the signal.

    Returns:
        [steps], or [devices, steps].

    Raises:
        InvalidArgument: Voltages that are not finite or of another shape.
    """
    voltages = voltage_signal(op, signal)
    if not single and voltages.dim() > 1 and tuple(voltages.shape[:-1]) == shape:
        return voltages.view(math.prod(shape), -1)
    if voltages.numel() != max(voltages.shape):
        allowed = "[steps]" if single else f"[steps] or [{', '.join(map(str, shape))}, steps]"
        invalid(op, "voltage_signal", f"shape {list(voltages.shape)}", f"have shape {allowed}")
    return voltages.view(-1)
