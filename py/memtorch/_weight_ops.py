"""The engine's operations on weights that become conductances, on the CPU or a GPU."""

from __future__ import annotations

import torch
from torch import Tensor

from memtorch import _engine, _ops

__all__ = ["least_squares_gain", "map_weights"]


def map_weights(
    w: Tensor, w_max: float, line: tuple[float, float], bounds: tuple[float, float], pair: bool
) -> list[Tensor]:
    """The conductances middle + slope * w / w_max, held within the bounds and rounded once.

    Args:
        w: Weights, float32 or float64, any shape.
        w_max: The largest magnitude; 0: all conductances are ``middle``.
        line: (middle, slope) in siemens.
        bounds: (low, high) in siemens.
        pair: Those of -w as well.

    Returns:
        One tensor like ``w``, or two.
    """
    source = _ops.placed(w)
    mapped = [torch.empty_like(source) for _ in range(2 if pair else 1)]
    _ops.engine_threads()
    _engine.map_weights(source.view(-1), w_max, *line, *bounds, *(g.view(-1) for g in mapped))
    return [g.to(w.device) for g in mapped]


def least_squares_gain(weight: Tensor, conductances: list[Tensor], reference: float) -> float:
    """Least squares of weight = gain * d, where d is a difference of conductances; 1 if all differences are zero.

    On a GPU one number is waited for.

    Args:
        weight: Any shape.
        conductances: (positive, negative), or one whose reference is a number: siemens, as many elements as ``weight``.
        reference: That number (S).

    Returns:
        The gain, 1/S.
    """
    dtype = torch.float64 if torch.float64 in (weight.dtype, *(g.dtype for g in conductances)) else torch.float32
    w, *columns = (_ops.placed(x.to(weight.device, dtype)).view(-1) for x in (weight, *conductances))
    sums = torch.empty(2, dtype=torch.float64, device=w.device)
    scratch = _ops.workspace(_engine.sum_weights_workspace(w.numel()), w) if _ops.on_gpu(w) else None
    _ops.engine_threads()
    positive, negative = columns if len(columns) == 2 else (columns[0], None)
    _engine.sum_weights(w, positive, negative, reference, sums, scratch)
    cross, square = sums.tolist()
    return cross / square if square > 0 else 1.0
