"""The engine's tables of device models as Python sees them: names, defaults, units, and the 1.1.6 form of parameters.

A parameter that 1.1.6 gives as a list (``r_p=[16719, 0]``) is several numbers in the engine (``r_p_0``, ``r_p_1``).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from memtorch import _ops
from memtorch._errors import InvalidArgument, check_float, check_numbers, invalid

__all__ = ["Field", "ModelTable", "model_table"]


@dataclass(frozen=True)
class Field:
    """One parameter or state variable: its name, default, unit, allowed range and meaning.

    ``shapes``: the shape of the current-voltage curve depends on it, not only its scale.
    """

    name: str
    default: float
    unit: str
    range: str
    doc: str
    shapes: bool


@dataclass(frozen=True)
class ModelTable:
    """One device model.

    Attributes:
        name: Its name in the engine and in Python.
        summary: One line.
        reference: The paper.
        time_series_resolution: Default time step, seconds.
        polarity: Sign of the voltage that raises the conductance.
        programming_params: Keyword arguments of ``naive_program`` that reach every conductance in the range of a device
            with default parameters.
        reads_first: A sample's current is recorded before (True) or after the update of the state.
        params: The engine's parameters.
        states: The engine's state variables.
        lists: Parameters that Python gives as lists: public name to the engine's names.
    """

    name: str
    summary: str
    reference: str
    time_series_resolution: float
    polarity: int
    reads_first: bool
    programming_params: dict[str, Any]
    params: tuple[Field, ...]
    states: tuple[Field, ...]
    lists: dict[str, tuple[str, ...]]

    @property
    def public_defaults(self) -> dict[str, Any]:
        """Parameters by public name, in the order of the 1.1.6 signature, with their defaults."""
        defaults = {field.name: field.default for field in self.params}
        result: dict[str, Any] = {}
        for name in defaults:
            owner = next((public for public, parts in self.lists.items() if name in parts), None)
            if owner is None:
                result[name] = defaults[name]
            elif owner not in result:
                result[owner] = [defaults[part] for part in self.lists[owner]]
        return result

    def signature(self) -> inspect.Signature:
        """The constructor's signature: ``(time_series_resolution, <parameters>, **kwargs)``."""
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        values = {"time_series_resolution": self.time_series_resolution, **self.public_defaults}
        parameters = [inspect.Parameter(name, kind, default=value) for name, value in values.items()]
        return inspect.Signature([*parameters, inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)])

    def docstring(self) -> str:
        """A docstring with every parameter and state variable."""
        lines = [self.summary, "", "Args:"]
        lines.append(f"    time_series_resolution: Time between samples (s). Default {self.time_series_resolution:g}.")
        fields = {field.name: field for field in self.params}
        for name, default in self.public_defaults.items():
            field = fields.get(name) or fields[self.lists[name][0]]
            shown = default if isinstance(default, list) else f"{default:g}"
            unit = f" ({field.unit})" if field.unit else ""
            lines.append(f"    {name}: {field.doc.rstrip('.')}{unit}. Default {shown}.")
        lines.append("    **kwargs: ``reference=True`` takes the means of stochastic parameters instead of samples.")
        lines += ["", "Attributes:", "    g: Conductance (S)."]
        for state in self.states:
            unit = f" ({state.unit})" if state.unit else ""
            lines.append(f"    {state.name}: {state.doc.rstrip('.')}{unit}.")
        lines += ["", "Raises:", "    InvalidArgument: An unknown parameter, or one out of its range."]
        lines += ["", f"Reference: {self.reference}"]
        return "\n".join(lines)

    def flatten(self, given: Mapping[str, Any], complete: bool = True) -> dict[str, Any]:
        """Engine parameters by name from parameters by public (or engine) name.

        Numbers become floats; tensors, arrays (one value per device) and callables (stochastic) are passed on.
        ``complete`` fills in the defaults of those not given.

        Raises:
            InvalidArgument: An unknown name, or a value of the wrong type.
        """
        units = {field.name: field.unit for field in self.params}
        values: dict[str, Any] = {field.name: field.default for field in self.params} if complete else {}
        unknown = [name for name in given if name not in units and name not in self.lists]
        if unknown:
            raise InvalidArgument(
                f"[{self.name}] {', '.join(map(repr, unknown))} must be among its parameters: "
                f"time_series_resolution, {', '.join(self.public_defaults)}"
            )
        for name, value in given.items():
            parts = self.lists.get(name)
            if parts is None:
                values[name] = self._value(name, value, units[name])
                continue
            listed = isinstance(value, (Sequence, np.ndarray, torch.Tensor)) and not isinstance(value, (str, bytes))
            if not listed or getattr(value, "ndim", 1) == 0 or len(value) != len(parts):
                invalid(self.name, name, value, f"be a list of {len(parts)} numbers")
            values.update(
                {p: self._value(f"{name}[{k}]", v, units[p]) for k, (p, v) in enumerate(zip(parts, value, strict=True))}
            )
        return values

    def _value(self, name: str, value: Any, unit: str) -> Any:
        if callable(value) and not isinstance(value, type):
            return value
        if isinstance(value, (torch.Tensor, np.ndarray)) and value.ndim > 0:
            return check_numbers(self.name, name, value, unit)
        return check_float(self.name, name, value, unit=unit)


def _fields(rows: list[dict[str, Any]]) -> tuple[Field, ...]:
    return tuple(Field(**row) for row in rows)


def _lists(names: list[str]) -> dict[str, tuple[str, ...]]:
    """Groups name_0, name_1, ...; a lone name_0 is a name of its own."""
    groups: dict[str, list[str]] = {}
    for name in names:
        match = re.fullmatch(r"(.+)_(\d+)", name)
        if match and int(match[2]) == len(groups.get(match[1], [])):
            groups.setdefault(match[1], []).append(name)
    return {public: tuple(parts) for public, parts in groups.items() if len(parts) > 1}


_TABLES: dict[str, ModelTable] = {
    row["name"]: ModelTable(
        **{
            **row,
            "params": _fields(row["params"]),
            "states": _fields(row["states"]),
            "lists": _lists([param["name"] for param in row["params"]]),
        }
    )
    for row in _ops.models()
}


def model_table(name: str) -> ModelTable:
    """The table of one of the engine's models."""
    return _TABLES[name]
