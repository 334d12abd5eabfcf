"""One circuit solved by this package, by badcrossbar and by ngspice, in one form that can be compared."""

from __future__ import annotations

import logging
import shutil
import warnings
from typing import NamedTuple

import numpy as np
import pytest
import torch

from memtorch import _engine
from memtorch.analysis._circuit import Circuit
from memtorch.analysis._netlist import Curves
from memtorch.analysis.spice import ngspice_values
from memtorch.bh.crossbar._wires import Wires

# Imported, it warns that it cannot draw; and where nobody handles what libraries log, it prints that from then on.
logging.root.addHandler(logging.NullHandler())
with warnings.catch_warnings(record=True):
    import badcrossbar

needs_ngspice = pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")


class Solution(NamedTuple):
    """All of one circuit, [rows, columns] each: volts at the nodes, amperes through what follows."""

    word_nodes: np.ndarray
    bit_nodes: np.ndarray
    devices: np.ndarray
    word: np.ndarray  # through the wire before each node of a word line
    bit: np.ndarray  # through the wire behind each node of a bit line; the last row are the currents that are read


def device_currents(g, across, steepness):
    """Of resistors, or I = g sinh(steepness V) / steepness."""
    return g * (across if steepness == 0 else np.sinh(steepness * across) / steepness)


def by_memtorch(g, v, wires, steepness=0.0):
    """Devices of g [rows, columns] siemens, sources v [rows] volts."""
    rows, columns = g.shape
    solver = _engine.GridSolver(rows, columns, *wires)
    nodes = np.empty((2, 1, rows, columns))
    # Currents and potentials add up what is missing at single nodes.
    solver.solve_nodes(g, v[None], None, *nodes, np.empty(1), steepness=steepness, tolerance=1e-12)
    devices = device_currents(g, nodes[0, 0] - nodes[1, 0], steepness)
    word, bit = np.empty((rows, columns + 1)), np.empty((rows + 1, columns))
    solver.branches(devices, word, bit)
    return Solution(*nodes[:, 0], devices, word[:, :-1], bit[1:])


def by_badcrossbar(g, v, word, bit):
    """Its first and last wires are like the others: ``Wires(word, bit, source=word, load=bit)``."""
    with np.errstate(divide="ignore"):
        ohm = 1 / g
    currents, voltages = badcrossbar.compute(v[:, None], ohm, r_i_word_line=word, r_i_bit_line=bit)
    return Solution(voltages.word_line, voltages.bit_line, currents.device, currents.word_line, currents.bit_line)


def by_ngspice(g, v, wires, steepness=0.0):
    """Currents of wires follow from its potentials, or are those of its sources of 0 V where wires are ideal."""
    rows, columns = g.shape
    curves = None
    if steepness != 0:
        params = {"a_p": 1 / steepness, "a_n": 1 / steepness, "b_p": steepness, "b_n": steepness}
        curves = Curves("Data_Driven", {name: [value] for name, value in params.items()})
    found = ngspice_values("test", Circuit(torch.from_numpy(g), torch.from_numpy(v), Wires(*wires)), curves)
    word, bit = (np.array([[found[f"v({line}{i}_{j})"] for j in range(columns)] for i in range(rows)]) for line in "wb")
    before = np.column_stack([v, word[:, :-1]])
    behind = np.vstack([bit[1:], np.zeros(columns)])
    word_ohm = np.full(g.shape, wires.word)
    word_ohm[:, 0] = wires.source
    bit_ohm = np.full(g.shape, wires.bit)
    bit_ohm[-1] = wires.load

    def through(line, volts, ohm):
        def one(i, j):
            return found[f"i(vs{line}{i}_{j})"] if ohm[i, j] == 0 else volts[i, j] / ohm[i, j]

        return np.array([[one(i, j) for j in range(columns)] for i in range(rows)])

    devices = device_currents(g, word - bit, steepness)
    return Solution(word, bit, devices, through("w", before - word, word_ohm), through("b", bit - behind, bit_ohm))
