"""Netlists of tiles for ngspice, and a comparison with what it finds."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from memtorch._errors import invalid
from memtorch.analysis._circuit import Circuit, circuit
from memtorch.analysis.ir_drop import solve
from memtorch.bh.crossbar import Crossbar

__all__ = ["ngspice_difference", "spice_netlist"]

# Of one run of ngspice, s.
_TIME_LIMIT = 600


def spice_netlist(
    array: Crossbar | Tensor,
    v: Tensor,
    source_resistance: float | tuple[float, float] | None = None,
    line_resistance: float | tuple[float, float] | None = None,
    tile: int = 0,
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

    Raises:
        InvalidArgument: Shapes that do not fit, or values out of range.
    """
    return _netlist(circuit("spice_netlist", array, v, source_resistance, line_resistance, tile))


def ngspice_difference(
    array: Crossbar | Tensor,
    v: Tensor,
    source_resistance: float | tuple[float, float] | None = None,
    line_resistance: float | tuple[float, float] | None = None,
    tile: int = 0,
) -> float:
    """Largest difference between the currents that ngspice and this package find, relative to the largest current.

    Args:
        array: As ``spice_netlist``; so are the others.
        v: Likewise.
        source_resistance: Likewise.
        line_resistance: Likewise.
        tile: Likewise.

    Raises:
        InvalidArgument: Shapes that do not fit, values out of range, or ngspice is not installed.
        RuntimeError: ngspice fails, or takes more than ten minutes.
    """
    op = "ngspice_difference"
    checked = circuit(op, array, v, source_resistance, line_resistance, tile)
    program = shutil.which("ngspice")
    if program is None:
        invalid(op, "ngspice", "not found", "be installed, with its folder in PATH")
    ours = solve(checked).currents
    theirs = _ngspice(program, checked)
    largest = float(ours.abs().max())
    return float((ours - theirs).abs().max()) / (largest if largest > 0 else 1.0)


def _ngspice(program: str, tile: Circuit) -> Tensor:
    columns = tile.g.shape[1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tile.cir"
        path.write_text(_netlist(tile), encoding="ascii")
        command = [program, "-b", str(path)]
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=_TIME_LIMIT, check=False, cwd=folder)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"[ngspice_difference] ngspice took more than {_TIME_LIMIT} s") from None
    found = {int(k): float(i) for k, i in re.findall(r"^i\(vb(\d+)\) = (\S+)$", run.stdout, re.MULTILINE)}
    if sorted(found) != list(range(columns)):
        raise RuntimeError(
            f"[ngspice_difference] ngspice gave {len(found)} of {columns} currents: {run.stderr.strip()}"
        )
    return torch.tensor([found[k] for k in range(columns)], dtype=torch.float64)


def _netlist(tile: Circuit) -> str:
    rows, columns = tile.g.shape
    lines = [f"* {rows} x {columns} devices with resistive wires"]
    lines += [f"Vw{i} vw{i} 0 DC {volts!r}" for i, volts in enumerate(tile.v.tolist())]
    lines += [f"Vb{j} vb{j} 0 DC 0" for j in range(columns)]
    lines += _branches(tile)
    lines += [".options reltol=1e-12 abstol=1e-21 vntol=1e-15", ".control", "set numdgt=15", "op"]
    lines += [f"print i(vb{j})" for j in range(columns)]
    return "\n".join([*lines, ".endc", ".end", ""])


def _branches(tile: Circuit) -> Iterator[str]:
    rows, wires = len(tile.g), tile.wires
    for i, conductances in enumerate(tile.g.tolist()):
        for j, siemens in enumerate(conductances):
            before = f"vw{i}" if j == 0 else f"w{i}_{j - 1}"
            behind = f"vb{j}" if i == rows - 1 else f"b{i + 1}_{j}"
            yield _wire(f"w{i}_{j}", before, f"w{i}_{j}", wires.source if j == 0 else wires.word)
            if siemens > 0:
                yield f"Rg{i}_{j} w{i}_{j} b{i}_{j} {1 / siemens!r}"
            yield _wire(f"b{i}_{j}", f"b{i}_{j}", behind, wires.load if i == rows - 1 else wires.bit)


def _wire(name: str, one: str, other: str, ohm: float) -> str:
    return f"Rs{name} {one} {other} {ohm!r}" if ohm > 0 else f"Vs{name} {one} {other} DC 0"
