"""Netlists of tiles for ngspice, and a comparison with what it finds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memtorch import _read_ops
from memtorch._errors import invalid
from memtorch.analysis._circuit import Circuit, circuit
from memtorch.analysis._netlist import Curves, device_curves, netlist
from memtorch.analysis.ir_drop import solve
from memtorch.bh.crossbar import Crossbar

__all__ = ["ngspice_difference", "ngspice_values", "spice_netlist"]

# Of one run of ngspice, s.
_TIME_LIMIT = 600


def spice_netlist(
    array: Crossbar | Tensor,
    v: Tensor,
    source_resistance: float | tuple[float, float] | None = None,
    line_resistance: float | tuple[float, float] | None = None,
    tile: int = 0,
    curves: bool = False,
) -> str:
    """One tile as a netlist that ``ngspice -b`` solves: it prints the currents i(vb0), i(vb1), ... into the sense ends.

    Nodes: w3_7 and b3_7 are the word and the bit line at row 3, column 7; vw3 and vb7 are the ends of these lines. A
    wire without resistance is a source of 0 V, since ngspice knows no resistor of 0 ohm. Open devices are left out.

    Args:
        array: A ``Crossbar``, or conductances (S) [rows, columns].
        v: Voltages (V) [rows] of all word lines of ``array``.
        source_resistance: Between a source and its line (ohm), or a pair: at the word lines, at the bit lines.
        line_resistance: Of a line between neighbouring cells (ohm), or a pair: of word lines, of bit lines.
        tile: Which tile of the crossbar; its padding is part of it.
        curves: Whether the devices of a crossbar follow their current-voltage curves at their present states (True) or
            are resistors (False).

    Raises:
        InvalidArgument: Shapes that do not fit, values out of range, or curves that are not known.
    """
    op = "spice_netlist"
    checked = circuit(op, array, v, source_resistance, line_resistance, tile)
    shown = [f"print i(vb{j})" for j in range(checked.g.shape[1])]
    return netlist(checked, device_curves(op, array, tile, curves), shown)


def ngspice_difference(
    array: Crossbar | Tensor,
    v: Tensor,
    source_resistance: float | tuple[float, float] | None = None,
    line_resistance: float | tuple[float, float] | None = None,
    tile: int = 0,
    curves: bool = False,
) -> float:
    """Largest difference between what ngspice and this package find.

    That is of the currents into the sense ends, relative to the largest; and, of devices that are resistors, of the
    voltages across all of them, relative to the largest source.

    Args:
        array: As ``spice_netlist``; so are the others.
        v: Likewise.
        source_resistance: Likewise.
        line_resistance: Likewise.
        tile: Likewise.
        curves: Likewise.

    Raises:
        InvalidArgument: Shapes that do not fit, values out of range, or ngspice is not installed.
        RuntimeError: ngspice fails, or takes more than ten minutes.
    """
    op = "ngspice_difference"
    checked = circuit(op, array, v, source_resistance, line_resistance, tile)
    known = device_curves(op, array, tile, curves)
    found = ngspice_values(op, checked, known)
    rows, columns = checked.g.shape
    amperes = torch.tensor([found[f"i(vb{j})"] for j in range(columns)], dtype=torch.float64)
    if known is not None:
        return _relative(amperes, _currents(checked, known))
    word, bit = (
        torch.tensor([[found[f"v({line}{i}_{j})"] for j in range(columns)] for i in range(rows)], dtype=torch.float64)
        for line in "wb"
    )
    ours = solve(checked)
    return max(_relative(amperes, ours.currents), _relative(word - bit, ours.voltages, checked.v))


def ngspice_values(op: str, tile: Circuit, curves: Curves | None) -> dict[str, float]:
    """What ngspice finds: every node as v(name), volts, and the current of every source as i(name), amperes.

    Args:
        op: The function that the user called.
        tile: A checked circuit.
        curves: Of its devices; None: resistors.

    Raises:
        InvalidArgument: ngspice is not installed.
        RuntimeError: It fails, or takes more than ten minutes.
    """
    program = shutil.which("ngspice")
    if program is None:
        invalid(op, "ngspice", "not found", "be installed, with its folder in PATH")
    with tempfile.TemporaryDirectory() as folder:
        path, result = Path(folder) / "tile.cir", Path(folder) / "tile.raw"
        # Printed numbers would have fewer digits.
        path.write_text(netlist(tile, curves, ["set filetype=binary", "write tile.raw all"]), encoding="ascii")
        # A home without the user's settings; with none ngspice crashes.
        how: dict[str, Any] = {"cwd": folder, "env": {**os.environ, "HOME": folder}, "timeout": _TIME_LIMIT}
        try:
            run = subprocess.run([program, "-b", str(path)], capture_output=True, text=True, check=False, **how)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"[{op}] ngspice took more than {_TIME_LIMIT} s") from None
        if not result.exists():
            why = run.stderr.strip()[:500] or f"it ended with status {run.returncode}"
            raise RuntimeError(f"[{op}] ngspice found no operating point: {why}")
        head, _, values = result.read_bytes().partition(b"Binary:\n")
    names = re.findall(r"^\t\d+\t(\S+)\t", head.decode("ascii"), re.MULTILINE)
    return dict(zip(names, np.frombuffer(values, dtype=np.float64).tolist(), strict=True))


def _currents(tile: Circuit, curves: Curves) -> Tensor:
    """What this package finds for devices with curves: currents into the sense ends (A) [columns]."""
    params = [torch.tensor(values, dtype=torch.float64) for values in curves.params.values()]
    grid = [*tile.g.shape, *tile.g.shape]
    arguments = (tile.v.unsqueeze(0), tile.g, params, curves.model, grid, tile.wires.tensor())
    currents: Tensor = _read_ops.read_through_wires(*arguments)
    return currents[0, 0]


def _relative(theirs: Tensor, ours: Tensor, scale: Tensor | None = None) -> float:
    """Largest difference in parts of the largest element of ``scale``, by default of ``ours``."""
    largest = float((ours if scale is None else scale).abs().max())
    return float((ours - theirs).abs().max()) / (largest if largest > 0 else 1.0)
