"""What arrays of Python objects keep in a state_dict: the objects' attributes in plain values and tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from memtorch.bh._versioned_columns import VersionedColumns

__all__ = ["ObjectState"]

_STATE_DICT_VERSION = 1
_PLAIN = (type(None), bool, int, float, str)


class _Unsaved(Exception):
    """A value that has no form in a state_dict."""


def _encode(value: Any) -> Any:
    """A value as plain values and tensors that ``torch.load(weights_only=True)`` reads: lists carry their kind first.

    Raises:
        _Unsaved: It is a function or another object.
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return value.item()
    if isinstance(value, Tensor):
        return ["tensor", value.detach().clone()]
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return ["array", torch.from_numpy(np.array(value))]
    if isinstance(value, nn.Module):
        return ["module", {n: v.clone() if isinstance(v, Tensor) else v for n, v in value.state_dict().items()}]
    if type(value) in (list, tuple):
        return [type(value).__name__, *map(_encode, value)]
    if type(value) is dict:
        return ["dict", *([_encode(key), _encode(item)] for key, item in value.items())]
    raise _Unsaved


def _decode(encoded: Any) -> Any:
    if not isinstance(encoded, list):
        return encoded
    kind, *content = encoded
    if kind == "tensor":
        return content[0].clone()
    if kind == "array":
        return content[0].cpu().numpy().copy()
    if kind == "dict":
        return {_decode(key): _decode(item) for key, item in content}
    items = [_decode(item) for item in content]
    return tuple(items) if kind == "tuple" else items


def _attributes(device: Any) -> dict[str, Any]:
    """The attributes of a device that can be saved, encoded."""
    found = {}
    for name, value in vars(device).items():
        try:
            found[name] = _encode(value)
        except _Unsaved:
            continue
    return found


def _restore(device: Any, attributes: Mapping[str, Any]) -> None:
    """Gives a device its saved attributes; what cannot be saved stays as its constructor made it."""
    for name in set(_attributes(device)) - set(attributes):
        del vars(device)[name]
    for name, encoded in attributes.items():
        if isinstance(encoded, list) and encoded[0] == "module":
            vars(device)[name].load_state_dict(encoded[1])
        else:
            vars(device)[name] = _decode(encoded)


def _packed(devices: list[dict[str, Any]]) -> dict[str, Any]:
    """Attributes of all devices by name: ["all", value], ["floats", tensor], or ["each", {number: value}]."""
    columns: dict[str, Any] = {}
    for name in sorted({name for attributes in devices for name in attributes}):
        each = {k: attributes[name] for k, attributes in enumerate(devices) if name in attributes}
        values = list(each.values())
        complete = len(each) == len(devices)
        # repr tells 1 from 1.0 and True, and 0.0 from -0.0, and two NaN are alike.
        if complete and not isinstance(values[0], list) and len({repr(value) for value in values}) == 1:
            columns[name] = ["all", values[0]]
        elif complete and all(type(value) is float for value in values):
            columns[name] = ["floats", torch.tensor(values, dtype=torch.float64)]
        else:
            columns[name] = ["each", each]
    return columns


def _unpacked(columns: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    devices: list[dict[str, Any]] = [{} for _ in range(count)]
    for name, (kind, content) in columns.items():
        if kind != "each":
            content = dict(enumerate([content] * count if kind == "all" else content.tolist()))
        for k, value in content.items():
            devices[k][name] = value
    return devices


class ObjectState(VersionedColumns):
    """The state_dict of an array of Python objects: ``g``, ``stuck``, and the attributes of every object.

    Numbers, strings, lists, tuples, dicts, numpy arrays, tensors and modules are saved; functions and other objects
    stay as the constructor of the array that is loaded into has made them.
    """

    memristor_model: type
    _shape: tuple[int, ...]
    _objects: list[Any]
    _held: list[float]
    _finite_states: int | None

    def sync(self) -> None:
        """Brings ``g`` up to date."""
        raise NotImplementedError

    def _model_path(self) -> str:
        return f"{self.memristor_model.__module__}.{self.memristor_model.__qualname__}"

    def get_extra_state(self) -> dict[str, Any]:
        """What is not a tensor of ``shape``: model, shape, and the objects' attributes."""
        return {
            "version": _STATE_DICT_VERSION,
            "model": self._model_path(),
            "shape": list(self._shape),
            "finite_states": self._finite_states,
            "attributes": _packed([_attributes(device) for device in self._objects]),
        }

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        self.sync()
        super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load(self, mine: Mapping[str, Any]) -> None:
        extra = mine["_extra_state"]
        for device, attributes in zip(self._objects, _unpacked(extra["attributes"], len(self._objects)), strict=True):
            _restore(device, attributes)
        column = self.buffer("g")
        with torch.no_grad():
            column.copy_(mine["g"])
        self._held = [float(device.g) for device in self._objects]
        self._finite_states = extra["finite_states"]
        stuck = mine.get("stuck")
        self._buffers["stuck"] = None if stuck is None else stuck.to(column.device, torch.bool, copy=True)

    def differences(self, mine: Mapping[str, Any]) -> list[str]:
        """Why a state_dict cannot be loaded, one reason each: another version, model or shape, other tensors."""
        extra = mine.get("_extra_state")
        if not isinstance(extra, Mapping):
            return [f"_extra_state ({extra!r}) must be there: this is no state of a device array"]
        expected = {"version": _STATE_DICT_VERSION, "model": self._model_path(), "shape": list(self._shape)}
        found = [
            f"{name} ({extra.get(name)!r}) must be {value!r}"
            for name, value in expected.items()
            if extra.get(name) != value
        ]
        tensors = {name: value for name, value in mine.items() if name != "_extra_state"}
        if set(tensors) | {"stuck"} != {"g", "stuck"}:
            found.append(f"columns ({sorted(tensors)}) must be g, and stuck if devices are stuck")
        for name, tensor in tensors.items():
            if tuple(tensor.shape) != tuple(extra.get("shape", ())):
                found.append(f"{name} (shape {list(tensor.shape)}) must have shape {list(self._shape)}")
        return found
