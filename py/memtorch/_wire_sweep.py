"""Voltages and currents of all devices of a crossbar with resistive wires, both ends driven at any voltages.

Row by row. A word line with its devices, seen from the nodes b of the bit lines, draws device currents

    i = Y (V - b),   Y = (I + G R)^-1 G,   R_jk = r_source + r_word min(j, k)

since V - b is the sum of the voltages across the devices, i / G, and along the word line, R i. The currents that flow
down the bit lines below a row are J = c - T b. The segments below it, of resistance r, turn this into

    J = (I + r T)^-1 (c - T b')   at the nodes b' of the next row,

whose own currents are added. At the bottom b' is given; going back up yields every b, and with it all else. No
conductance of a wire appears: an ideal wire is r = 0, exactly, and the eigenvalues of I + G R and I + r T are at least
1. Every step is an operation of torch, so that results can be differentiated by everything that enters.

Cost: max(rows, columns) solutions with matrices of min(rows, columns) squared.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["operating_point"]


def operating_point(g: Tensor, v_word: Tensor, v_bit: Tensor, wires: Tensor) -> tuple[Tensor, Tensor]:
    """Voltages across the devices, from word line to bit line, and their currents.

    Args:
        g: Conductances (S) [rows, columns], float64.
        v_word: Voltages of the drivers (V) [inputs, rows], float64.
        v_bit: Voltages of the sense ends (V) [inputs, columns], float64.
        wires: Resistances (ohm) [4], float64: word line, bit line, source, load.

    Returns:
        Voltages (V) and currents (A), [inputs, rows, columns] each.
    """
    if g.shape[1] <= g.shape[0]:
        return _sweep(g, v_word, v_bit, wires)
    # The circuit seen with word lines as bit lines: the driven ends lie at the first column and at the last row again.
    turned = g.flip(0, 1).t()
    volts, amperes = _sweep(turned, v_bit.flip(1), v_word.flip(1), wires[[1, 0, 3, 2]])
    return -volts.transpose(1, 2).flip(1, 2), -amperes.transpose(1, 2).flip(1, 2)


def _sweep(g: Tensor, v_word: Tensor, v_bit: Tensor, wires: Tensor) -> tuple[Tensor, Tensor]:
    rows, columns = g.shape
    word, bit, source, load = wires
    index = torch.arange(columns, device=g.device)
    line = source + word * torch.minimum(index, index[:, None])  # R
    identity = torch.eye(columns, dtype=g.dtype, device=g.device)
    below = [bit] * (rows - 1) + [load]

    drawn: list[Tensor] = []  # Y of each row
    steps: list[tuple[Tensor, Tensor]] = []  # J = d - P b' of each row
    p, d = torch.zeros_like(identity), torch.zeros_like(v_bit.t())
    for i in range(rows):
        y = torch.linalg.solve(identity + g[i, :, None] * line, torch.diag(g[i]))
        t = p + y
        c = d + y.sum(1, keepdim=True) * v_word[:, i]
        solved = torch.linalg.solve(identity + below[i] * t, torch.cat([t, c], 1))
        p, d = solved[:, :columns], solved[:, columns:]
        drawn.append(y)
        steps.append((p, d))

    volts, amperes = [], []
    b = v_bit.t()
    for i in reversed(range(rows)):
        p, d = steps[i]
        b = b + below[i] * (d - p @ b)
        given = v_word[:, i] - b
        current = drawn[i] @ given
        volts.append((given - line @ current).t())
        amperes.append(current.t())
    return torch.stack(volts[::-1], 1), torch.stack(amperes[::-1], 1)
