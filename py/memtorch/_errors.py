"""The package's exception, and the argument checks that raise it.

Every message has the form ``[op] name (value unit) must ...``: where it happened, which argument, what was got, what
is allowed. The engine's own errors have the same form and the same type.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from types import FunctionType
from typing import Any, NoReturn

import numpy as np
import torch

from memtorch._engine import InvalidArgument

# Beyond any memory: 4 TiB of float32.
_MAX_ELEMENTS = 2**40

__all__ = [
    "InvalidArgument",
    "check_bool",
    "check_choice",
    "check_float",
    "check_int",
    "check_mapping",
    "check_numbers",
    "check_place",
    "check_shape",
    "check_tensor",
    "invalid",
]


def invalid(op: str, name: str, value: Any, must: str, unit: str = "") -> NoReturn:
    """Raises ``InvalidArgument`` as ``[op] name (value unit) must ...``.

    Args:
        op: The function or class that the user called.
        name: The argument.
        value: What was got; long representations are cut.
        must: What is allowed, continuing the sentence after "must".
        unit: Unit of ``value``.

    Raises:
        InvalidArgument: Always.
    """
    shown = value if isinstance(value, str) else repr(value)
    if len(shown) > 80:
        shown = f"{shown[:77]}..."
    raise InvalidArgument(f"[{op}] {name} ({shown}{' ' if unit else ''}{unit}) must {must}") from None


def check_bool(op: str, name: str, value: Any) -> bool:
    """Returns ``value`` if it is True or False; 0 and 1 count too."""
    if isinstance(value, (bool, np.bool_)) or (isinstance(value, numbers.Integral) and value in (0, 1)):
        return bool(value)
    invalid(op, name, value, "be True or False")


def check_int(op: str, name: str, value: Any, minimum: int | None = None, maximum: int | None = None) -> int:
    """Returns ``value`` as an int if it is a whole number (no bool) in [minimum, maximum]."""
    allowed = "be an integer"
    if minimum is not None and maximum is not None:
        allowed += f" from {minimum} to {maximum}"
    elif minimum is not None:
        allowed += f" >= {minimum}"
    elif maximum is not None:
        allowed += f" <= {maximum}"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        invalid(op, name, value, allowed)
    number = int(value)
    if (minimum is not None and number < minimum) or (maximum is not None and number > maximum):
        invalid(op, name, value, allowed)
    return number


def check_float(
    op: str,
    name: str,
    value: Any,
    minimum: float | None = None,
    maximum: float | None = None,
    *,
    exclusive: bool = False,
    unit: str = "",
) -> float:
    """Returns ``value`` as a float if it is one finite real number within its bounds.

    Args:
        op: The function or class that the user called.
        name: The argument.
        value: A Python or numpy number, or a tensor or array of one element.
        minimum: Lower bound, or None.
        maximum: Upper bound, or None.
        exclusive: The lower bound itself is not allowed.
        unit: Unit of ``value`` in the message.

    Raises:
        InvalidArgument: Otherwise.
    """
    allowed = "be a finite number"
    if minimum is not None:
        allowed += f" {'>' if exclusive else '>='} {minimum:g}"
    if maximum is not None:
        allowed += f"{' and' if minimum is not None else ''} <= {maximum:g}"
    try:
        one = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
        number = math.nan if isinstance(one, (bool, str, bytes)) else float(one)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        number = math.nan
    low = minimum is not None and (number <= minimum if exclusive else number < minimum)
    if not math.isfinite(number) or low or (maximum is not None and number > maximum):
        invalid(op, name, value, allowed, unit)
    return number


def check_choice(op: str, name: str, value: Any, choices: Iterable[Any]) -> Any:
    """Returns ``value`` if it is one of ``choices``."""
    listed = list(choices)
    if not any(value is choice or (type(value) is type(choice) and value == choice) for choice in listed):
        texts = [choice.__name__ if isinstance(choice, FunctionType) else repr(choice) for choice in listed]
        invalid(op, name, value, f"be one of {', '.join(texts)}")
    return value


def check_shape(op: str, name: str, value: Any, length: int | Sequence[int] | None = None) -> tuple[int, ...]:
    """Returns ``value`` as a tuple of positive integers.

    Args:
        op: The function or class that the user called.
        name: The argument.
        value: A sequence of integers, ``torch.Size`` included.
        length: How many numbers there may be (one count, or several that are allowed).

    Raises:
        InvalidArgument: Otherwise.
    """
    lengths = (length,) if isinstance(length, int) else tuple(length or ())
    counts = (
        ", ".join(map(str, lengths[:-1])) + (" or " if len(lengths) > 1 else "") + f"{lengths[-1]} " if lengths else ""
    )
    allowed = f"be a sequence of {counts}positive integers"
    try:
        items: list[Any] = [] if isinstance(value, (str, bytes)) else list(value)
    except TypeError:
        invalid(op, name, value, allowed)
    whole = all(isinstance(n, numbers.Integral) and not isinstance(n, bool) for n in items)
    if not whole or not items or min(items) <= 0 or (lengths and len(items) not in lengths):
        invalid(op, name, value, allowed)
    shape = tuple(int(n) for n in items)
    if math.prod(shape) > _MAX_ELEMENTS:
        invalid(op, name, value, "hold at most 2^40 elements in all")
    return shape


def check_mapping(op: str, name: str, value: Any, must: str = "be a dict of keyword arguments") -> dict[str, Any]:
    """Returns ``value`` as a dict if it is a mapping whose keys are strings; else ``InvalidArgument`` says ``must``."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        invalid(op, name, value, must)
    return dict(value)


def check_numbers(op: str, name: str, value: Any, unit: str = "") -> torch.Tensor:
    """Returns numbers as a tensor without gradient: a tensor in its dtype, a number, list or array in float64.

    Raises:
        InvalidArgument: ``value`` is anything else, or holds a complex number.
    """
    if isinstance(value, torch.Tensor):
        tensor = check_tensor(op, name, value, finite=False).detach()
        if tensor.is_meta:
            invalid(op, name, "meta device", "be a tensor with data")
        return tensor
    try:
        if value is None:  # numpy reads it as NaN
            raise TypeError
        return torch.from_numpy(np.array(value, dtype=np.float64, order="C"))
    except (TypeError, ValueError, RuntimeError, OverflowError):
        invalid(op, name, value, "be real numbers: a number, list, numpy array or tensor", unit)


def check_place(op: str, name: str, value: torch.Tensor, device: torch.device, owner: str = "the crossbar") -> None:
    """Raises ``InvalidArgument`` if a tensor is on another GPU than its user; from and to the CPU it is copied."""
    place = value.device
    if place != device and "cpu" not in (place.type, device.type):
        invalid(op, name, str(value.device), f"be on the CPU or on the device of {owner} ({device})")


def check_tensor(
    op: str, name: str, value: Any, shape: Sequence[int] | None = None, *, finite: bool = True
) -> torch.Tensor:
    """Returns ``value`` if it is a real, dense tensor of the given shape.

    Args:
        op: The function or class that the user called.
        name: The argument.
        value: What the user gave.
        shape: The expected shape, -1 for any length, or None for any shape.
        finite: NaN and infinity are not allowed.

    Raises:
        InvalidArgument: Otherwise.
    """
    if not isinstance(value, torch.Tensor):
        invalid(op, name, type(value).__name__, "be a torch.Tensor")
    if value.is_complex():
        invalid(op, name, str(value.dtype), "be real")
    if value.layout is not torch.strided or value.is_quantized or (finite and value.is_meta):
        kind = "meta device" if value.is_meta else value.dtype if value.is_quantized else value.layout
        invalid(op, name, str(kind), "be a dense tensor with data")
    if shape is not None:
        fits = value.dim() == len(shape) and all(w in (-1, n) for w, n in zip(shape, value.shape, strict=True))
        if not fits:
            wanted = ", ".join("any" if w == -1 else str(w) for w in shape)
            invalid(op, name, f"shape {list(value.shape)}", f"have shape [{wanted}]")
    if finite and value.is_floating_point() and value.numel() > 0:
        low, high = torch.aminmax(value.detach())
        if not (math.isfinite(low.item()) and math.isfinite(high.item())):
            invalid(op, name, f"range {low.item():g} to {high.item():g}", "be finite")
    return value
