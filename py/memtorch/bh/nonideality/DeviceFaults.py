"""Cells that are stuck at low or at high resistance."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memtorch import _ops
from memtorch._errors import check_float, invalid
from memtorch.bh.nonideality._effects import Effect, Layer, act_on
from memtorch.bh.nonideality.CycleVariability import apply_cycle_variability

__all__ = ["apply_cycle_variability", "apply_device_faults"]

# Cells whose random numbers are looked at together: they stay in the processor's cache.
_CHUNK = 2**17


def apply_device_faults(
    layer: Layer, lrs_proportion: float, hrs_proportion: float, electroform_proportion: float
) -> Layer:
    """Lets random cells fail: each goes to 1/r_on or 1/r_off of its device and is stuck there for good.

    int(N p) cells fail in each way, no cell in two, where N counts the cells that still work: a cell that is stuck
    already keeps its fault. The padding cells of tiles fail in the same proportions, drawn apart from the used ones.

    Args:
        layer: A memristive layer; changed in place.
        lrs_proportion: Proportion of cells stuck at low resistance (1/r_on).
        hrs_proportion: Proportion of cells stuck at high resistance (1/r_off).
        electroform_proportion: Proportion of cells that could not be electroformed: at high resistance, too.

    Returns:
        The layer.

    Raises:
        InvalidArgument: Not a memristive layer, or proportions outside [0, 1] or of more than 1 in all.
    """
    op = "apply_device_faults"
    return act_on(op, layer, device_faults_effect(op, lrs_proportion, hrs_proportion, electroform_proportion))


def device_faults_effect(op: str, lrs_proportion: Any, hrs_proportion: Any, electroform_proportion: Any) -> Effect:
    """The effect, its arguments checked."""
    lrs = check_float(op, "lrs_proportion", lrs_proportion, 0, 1)
    hrs = check_float(op, "hrs_proportion", hrs_proportion, 0, 1)
    hrs += check_float(op, "electroform_proportion", electroform_proportion, 0, 1)
    if lrs + hrs > 1 + 1e-12:  # room for the rounding of two sums
        must = "be at most 1: no cell fails in two ways"
        invalid(op, "lrs_proportion + hrs_proportion + electroform_proportion", lrs + hrs, must)
    return Effect(lambda crossbar: partial(_fail, crossbar, lrs, hrs))


def _fail(crossbar: Any, lrs: float, hrs: float) -> None:
    devices = crossbar.devices
    devices.sync()
    stuck = torch.zeros_like(devices.g, dtype=torch.bool) if devices.stuck is None else devices.stuck.clone()
    for cells in _groups(crossbar):
        count = cells if isinstance(cells, int) else cells.numel()
        ends = {"r_on": _count(count, lrs), "r_off": _count(count, hrs)}
        chosen = _choose(count, list(ends.values()), devices.g)
        for name, drawn in zip(ends, chosen, strict=True):
            rows = drawn if isinstance(cells, int) else cells[drawn]
            resistance = devices.parameter(name)
            if isinstance(resistance, Tensor):
                resistance = resistance.view(-1)[rows]
            with torch.no_grad():
                devices.g.view(-1)[rows] = torch.as_tensor(1 / resistance, dtype=devices.g.dtype).to(devices.g.device)
            stuck.view(-1)[rows] = True
    devices.stuck = stuck


def _count(cells: int, proportion: float) -> int:
    """int(N p), where a product that is a whole number but for rounding is that number."""
    return min(int(cells * proportion * (1 + 1e-12)), cells)


def _groups(crossbar: Any) -> list[int | Tensor]:
    """Rows of the working cells in the columns of the devices: the used ones and the padding; a number: the first n."""
    devices = crossbar.devices
    padded = crossbar.tile_shape is not None and crossbar.rows * crossbar.columns < devices.size
    if not padded and devices.stuck is None:
        return [devices.size]
    works = torch.ones_like(devices.g, dtype=torch.bool) if devices.stuck is None else ~devices.stuck
    used = torch.ones_like(works)
    if padded:
        cells = torch.ones(crossbar.rows, crossbar.columns, device=devices.g.device)
        used = _ops.scatter_tiles(cells, *crossbar.tile_shape, 0.0) > 0
    return [group.view(-1).nonzero().squeeze(1) for group in (used & works, ~used & works)]


def _choose(cells: int, counts: list[int], like: Tensor) -> list[Tensor]:
    """Disjoint random subsets of range(cells) of the given sizes: those of the smallest of as many random numbers.

    ``like``: a tensor on the device that they are for.
    """
    wanted = sum(counts)
    if wanted == 0:
        return [torch.empty(0, dtype=torch.int64, device=like.device) for _ in counts]
    seed = _ops.random_seed()
    if _ops.on_gpu(like):
        numbers = _ops.random_uniform_(torch.empty(cells, dtype=torch.float64, device=like.device), seed)
        return list(numbers.argsort()[:wanted].split(counts))
    return [torch.from_numpy(rows).to(like.device) for rows in _chosen(cells, counts, seed)]


def _chosen(cells: int, counts: list[int], seed: int) -> list[NDArray[np.intp]]:
    """``_choose`` on the CPU, where few numbers are ordered and none are kept that cannot be chosen."""
    wanted = sum(counts)
    # Six standard deviations more than enough numbers lie below this limit, so that few need to be ordered.
    limit = (wanted + 6 * wanted**0.5 + 36) / max(cells, 1)
    numbers, rows = _below(limit, cells, seed)
    if rows.size < wanted:
        numbers, rows = _below(1.0, cells, seed)
    ends = np.cumsum(counts)
    order = np.argpartition(numbers, [*(end for end in ends if end < numbers.size), 0])[:wanted]
    return [np.sort(part) for part in np.split(rows[order], ends[:-1])]


def _below(limit: float, cells: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The random numbers of ``range(cells)`` that lie below a limit, and whose they are."""
    numbers, rows = [np.empty(0)], [np.empty(0, np.intp)]
    chunk = torch.empty(min(_CHUNK, cells), dtype=torch.float64)
    for first in range(0, cells, _CHUNK):
        drawn = _ops.random_uniform_(chunk[: cells - first], seed, first=first).numpy()
        near = (drawn < limit).nonzero()[0]
        numbers.append(drawn[near])
        rows.append(near + first)
    return np.concatenate(numbers), np.concatenate(rows)
