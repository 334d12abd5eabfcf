"""Non-linear reads of arrays whose devices are Python objects: every device's own I-V, one call after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from memtorch._errors import check_bool, check_int, check_tensor, invalid
from memtorch.bh._object_model import frozen_currents, simulated_currents

__all__ = ["object_partial_currents"]


def object_partial_currents(array: Any, v: Tensor, columns: int, simulate: bool) -> Tensor:
    """What each row of tiles contributes to the currents of the columns.

    Args:
        array: The ``ObjectArray`` [rows, columns], or [tiles, tile_rows, tile_columns] numbered row by row.
        v: Voltages [inputs, rows] (V).
        columns: Columns in use.
        simulate: The devices really see the voltages, one sample for each input vector in their order, padding cells
            included, and their states move; otherwise they carry the currents of their present states.

    Returns:
        [tiles down, inputs, columns] amperes, float32 or the wider dtype of ``v``.

    Raises:
        InvalidArgument: Voltages that are not finite or have another shape.
    """
    op = "read_nonlinear"
    check_tensor(op, "v", v, (-1, -1))
    check_int(op, "columns", columns, 1)
    moves = check_bool(op, "simulate", simulate)
    inputs, rows = v.shape
    height, width = array.shape[-2:]
    down, across = -(-rows // height), -(-columns // width)
    if (down, across) != (1, 1) and (array.ndim == 2 or down * across != array.shape[0]):
        invalid(op, "v", f"shape {list(v.shape)}", f"fit {columns} columns of devices of shape {list(array.shape)}")
    volts = np.zeros((down * height, inputs))
    volts[:rows] = v.detach().double().cpu().numpy().T
    partial = np.zeros((down, across * width, inputs))
    stuck = np.zeros(array.shape, bool) if array.stuck is None else array.stuck.cpu().numpy()
    stuck = stuck.reshape(-1)
    for k, device in enumerate(array.flat):
        tile, row, column = (int(n) for n in np.unravel_index(k, (down * across, height, width)))
        row, column = tile // across * height + row, tile % across * width + column
        name = f"current at row {row}, column {column}"
        if moves and not stuck[k]:
            samples = [simulated_currents(name, device, np.array([volt]), True) for volt in volts[row]]
            current = np.concatenate([np.zeros(0), *samples])
        elif row < rows and column < columns:
            current = frozen_currents(name, device, volts[row])
        else:
            continue
        partial[tile // across, column] += current
    if moves:
        array.sync()
    out = torch.from_numpy(partial[:, :columns]).transpose(1, 2)
    return out.to(v.device, torch.promote_types(v.dtype, torch.float32))
