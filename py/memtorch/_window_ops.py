"""The engine's window functions on whatever the user gave."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memtorch import _engine
from memtorch._errors import check_numbers, invalid

__all__ = ["window"]


def window(op: str, name: str, x: Any, *parameters: float, voltage: Any = None) -> Any:
    """Evaluates one of the engine's windows on whatever the user gave.

    Args:
        op: The public function, for messages.
        name: The engine's function: "biolek", "joglekar" or "prodromakis".
        x: Number, numpy array or tensor.
        *parameters: The window's exponents and scale.
        voltage: For "biolek": number or array, broadcast against ``x``.

    Returns:
        A float for numbers, a float64 array or tensor (on the input's device) otherwise.

    Raises:
        InvalidArgument: Something is not numeric, not finite, or ``x`` lies outside [0, 1].
    """
    columns = []
    for argument, value in (("x", x), ("voltage", 0.0 if voltage is None else voltage)):
        column = check_numbers(op, argument, value).to("cpu", torch.float64)
        if not bool(torch.isfinite(column).all()):
            invalid(op, argument, value, "be finite")
        columns.append(column)
    if columns[0].numel() and (columns[0].min() < 0 or columns[0].max() > 1):
        invalid(op, "x", x, "be in [0, 1]")
    try:
        state, volts = (c.contiguous() for c in torch.broadcast_tensors(*columns))
    except RuntimeError:
        shapes = " and ".join(str(list(c.shape)) for c in columns)
        invalid(op, "voltage", f"shapes {shapes} of x and voltage", "broadcast against each other")
    out = torch.empty_like(state)
    leading = (volts.view(-1),) if name == "biolek" else ()
    getattr(_engine, name)(state.view(-1), *leading, *parameters, out.view(-1))
    given = x if voltage is None or isinstance(x, Tensor) or not isinstance(voltage, Tensor) else voltage
    if isinstance(given, Tensor):
        return out.to(given.device)
    return out.numpy() if out.dim() > 0 else out.item()
