"""Reads of layers whose devices are non-linear (``layer.non_linear``).

Where the devices of a pair of crossbars share the shape of their current-voltage curve, currents are the ordinary
product of the effective weight with shaped voltages, and the linear way of the layer serves. Otherwise, and where
devices are simulated, every crossbar is read by input vectors: the rows that a layer drives at one time. A convolution
has one for every sample, output position and group, in this order; a simulated read applies them in turn.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from memtorch import _read_ops
from memtorch._errors import invalid
from memtorch.bh._finite_states import MAX_STATES
from memtorch.bh.crossbar._nonlinear import NonLinearRead, is_ohmic, nonlinear_partial_sums, shared_shape
from memtorch.bh.crossbar._operations import DoubleColumnOperation

__all__ = ["limited", "read_from_state", "read_to_state", "read_vectors", "shaped", "state_bounds", "state_differences"]

_STATE_VERSION = 1

# Voltages and partial sums held at a time.
_MAX_ELEMENTS = 2**21


def state_bounds(crossbars: Iterable[Any]) -> list[Any]:
    """Resistances between which conductance states lie: a number where devices share it, else a tensor."""
    return [crossbar.devices.parameter(name) for crossbar in crossbars for name in ("r_on", "r_off")]


def limited(layer: Any, v: Tensor) -> Tensor:
    """Voltages within the range where the curves are known; the first time that some lie beyond it, a warning.

    Raises:
        InvalidArgument: Voltages that are not finite.
    """
    how: NonLinearRead = layer.non_linear
    if v.numel() == 0 or (how.low == -math.inf and how.high == math.inf):
        return v
    low, high = torch.stack(torch.aminmax(v.detach())).tolist()  # one look, since it waits for a GPU
    if not (math.isfinite(low) and math.isfinite(high)):
        invalid(type(layer).__name__, "voltage", f"range {low:g} to {high:g}", "be finite", "V")
    if low >= how.low and high <= how.high:
        return v
    if not layer._warned_of_range:
        layer._warned_of_range = True
        warnings.warn(
            f"[{type(layer).__name__}] voltages ({low:g} to {high:g} V) lie beyond the sweep "
            f"({how.low:g} to {how.high:g} V): devices carry the current of its ends there",
            stacklevel=2,
        )
    return v.clamp(how.low, how.high)


def shaped(layer: Any, v: Tensor) -> Tensor | None:
    """The voltages that make the linear read of the layer give its currents; None if there are none."""
    if layer.non_linear.simulate or not isinstance(layer.crossbar_operation, DoubleColumnOperation):
        return None
    shapes = {shared_shape(crossbar.devices) for crossbar in layer.crossbars}
    shape = shapes.pop()
    if shapes or shape is None:
        return None
    if layer.options.wires is not None and not all(is_ohmic(crossbar.devices) for crossbar in layer.crossbars):
        return None
    return _read_ops.read_shape(v, shape[0], list(shape[1]))


def read_vectors(layer: Any, v: Tensor) -> Tensor:
    """Currents of a layer, digitised if it has converters, by input vectors.

    Args:
        layer: The layer.
        v: Voltages, as the layer takes its inputs.

    Returns:
        As the layer returns its output, amperes.
    """
    windows = layer.windows(v)
    crossbar = layer.crossbars[0]
    down = -(-crossbar.rows // (crossbar.tile_shape or (crossbar.rows,))[0])
    # For each vector its rows, the currents of both crossbars, and what becomes of them.
    needed = crossbar.rows + 3 * down * crossbar.columns
    currents = [
        torch.cat([_read(layer, line) for line in lines], 2) for lines in _parts(windows, _position_dims(layer), needed)
    ]
    sizes = windows.shape[1 : _position_dims(layer) + 1]
    return layer.from_windows(torch.cat(currents).unflatten(2, sizes), v)


def _position_dims(layer: Any) -> int:
    """The dimensions of an output, or one of a vector, that number the positions of a sample."""
    return max(layer.sample_dims - 1, 1)


def _parts(windows: Tensor, position_dims: int, needed: int) -> Iterator[tuple[Tensor, ...]]:
    """Windows in parts of few samples, each in parts of few lines: positions with the same first index."""
    vectors = math.prod(windows.shape[2 : position_dims + 2])  # of a line
    lines = max(1, _MAX_ELEMENTS // max(1, needed * vectors))
    for part in windows.split(max(1, lines // max(1, windows.shape[1]))):
        yield part.split(lines, 1)


def _read(layer: Any, windows: Tensor) -> Tensor:
    """Currents [samples, columns, positions] of windows, as ``layer.windows`` gives them."""
    groups_at = _position_dims(layer) + 1
    samples, groups = windows.shape[0], windows.shape[groups_at]
    positions = math.prod(windows.shape[1:groups_at])
    crossbar = layer.crossbars[0]
    vectors = windows.reshape(samples * positions * groups, crossbar.rows)
    read = partial(nonlinear_partial_sums, v=vectors, how=layer.non_linear, wires=layer.options.wires)
    sums = layer.crossbar_operation(layer.crossbars, read)  # [tiles down, vectors, columns]
    if groups > 1:  # a group reads its own columns only
        own = sums.view(-1, samples * positions, groups, groups, crossbar.columns // groups).diagonal(0, 2, 3)
        sums = own.transpose(2, 3).flatten(2)
    sums = sums.unflatten(1, (samples, positions)).transpose(2, 3)
    if layer.options.adc is None:
        return sums.sum(0)
    return layer.options.adc(sums.contiguous(), layer.converter_ends())


# ---- In a state_dict ----


def read_to_state(how: NonLinearRead | None) -> dict[str, Any]:
    """How a layer is read as plain Python values, which ``torch.load(weights_only=True)`` takes."""
    return {"version": _STATE_VERSION, "non_linear": None if how is None else dataclasses.asdict(how)}


def read_from_state(extra: Mapping[str, Any]) -> NonLinearRead | None:
    """The same as the layer holds it; ``extra`` has no differences."""
    return None if extra["non_linear"] is None else NonLinearRead(**extra["non_linear"])


def state_differences(extra: Any) -> list[str]:
    """Why ``extra`` is not what ``read_to_state`` returns, one reason each; empty if it is."""
    if not isinstance(extra, Mapping) or set(extra) != {"version", "non_linear"}:
        return [f"_extra_state ({extra!r}) must hold version and non_linear"]
    if type(extra["version"]) is not int or extra["version"] != _STATE_VERSION:
        return [f"version ({extra['version']!r}) must be {_STATE_VERSION}"]
    how = extra["non_linear"]
    if how is None:
        return []
    names = [field.name for field in dataclasses.fields(NonLinearRead)]
    if not isinstance(how, Mapping) or set(how) != set(names):
        return [f"non_linear ({how!r}) must be None or hold {', '.join(names)}"]
    found = []
    if not isinstance(how["simulate"], bool):
        found.append(f"simulate ({how['simulate']!r}) must be True or False")
    low, high = how["low"], how["high"]
    if not (isinstance(low, float) and isinstance(high, float) and low <= high):
        found.append(f"low and high ({low!r}, {high!r} V) must be voltages with low <= high")
    states = how["states"]
    if states is not None and not (type(states) is int and 1 <= states <= MAX_STATES):
        found.append(f"states ({states!r}) must be None or an integer from 1 to {MAX_STATES}")
    return found
