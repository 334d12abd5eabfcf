"""Non-linear reads of arrays whose devices are Python objects: every device's own I-V, one call after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memtorch._errors import check_tensor
from memtorch.bh._object_model import frozen_currents, simulated_currents

__all__ = ["object_partial_currents"]


def object_partial_currents(
    array: Any, v: Tensor, rows: int, columns: int, *, simulate: bool = False, states: int | None = None
) -> Tensor:
    """What each row of tiles contributes to the currents of the columns.

    Args:
        array: The ``ObjectArray`` [rows, columns], or [tiles, tile_rows, tile_columns] numbered row by row.
        v: Voltages [inputs, rows] (V).
        rows: Word lines in use; those of padding cells are at 0 V.
        columns: Columns in use.
        simulate: The devices really see the voltages, one sample for each input vector in their order, padding cells
            included, and their states move; otherwise they carry the currents of their present states.
        states: Each device carries the current of the nearest of so many conductances, equally spaced from 1/r_off to
            1/r_on of its own, and does not change; None: that of its own state.

    Returns:
        [tiles down, inputs, columns] amperes, float64.

    Raises:
        InvalidArgument: Voltages that are not finite or have another shape, or currents that are not finite.
    """
    check_tensor("read", "v", v, (-1, rows))
    height, width = array.shape[-2:]
    across = -(-columns // width)
    volts = np.zeros((-(-rows // height) * height, v.shape[0]))
    volts[:rows] = v.detach().double().cpu().numpy().T
    partial = np.zeros((volts.shape[0] // height, across * width, v.shape[0]))
    array.sync()
    for k, device in enumerate(array.flat):
        tile, row, column = (int(n) for n in np.unravel_index(k, (partial.shape[0] * across, height, width)))
        row, column = tile // across * height + row, tile % across * width + column
        name = f"current at row {row}, column {column}"
        if simulate and not array.is_stuck(k):
            current = _stepped(name, device, volts[row])
        elif row < rows and column < columns:
            current = frozen_currents(name, device if states is None else array.in_state(k, states), volts[row])
        else:
            continue
        partial[tile // across, column] += current
    if simulate:
        array.sync()
    return torch.from_numpy(partial[:, :columns]).transpose(1, 2).contiguous().to(v.device)


def _stepped(name: str, device: Any, voltage: NDArray[np.float64]) -> NDArray[np.float64]:
    """The currents [n] (A) of as many calls of ``simulate`` with one sample each."""
    currents = [simulated_currents(name, device, np.array([volts]), True) for volts in voltage]
    return np.array([current[0] for current in currents if current is not None])
