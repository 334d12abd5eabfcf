"""Crossbars with resistive wires by nodal analysis: every resistor is written down, one dense system is solved."""

from __future__ import annotations

import numpy as np


class Nodes:
    """Names of nodes; names that an ideal wire joins are one node."""

    def __init__(self):
        self._leader = {}

    def find(self, name):
        """The name that stands for ``name``."""
        leader = self._leader.setdefault(name, name)
        if leader != name:
            leader = self._leader[name] = self.find(leader)
        return leader

    def join(self, a, b):
        """Makes two names one node; one whose voltage is given stays the leader."""
        a, b = self.find(a), self.find(b)
        if a != b:
            if b[0] == "given":
                a, b = b, a
            self._leader[b] = a


def resistors(g, word, bit, source, load):
    """(node, node, conductance or None for an ideal wire) of every resistor of the circuit."""
    rows, columns = g.shape

    def wire(a, b, ohm):
        return a, b, None if ohm == 0 else 1 / ohm

    for i in range(rows):
        yield wire(("given", "word", i), ("word", i, 0), source)
        for j in range(columns):
            if j > 0:
                yield wire(("word", i, j - 1), ("word", i, j), word)
            yield ("word", i, j), ("bit", i, j), g[i, j]
            if i > 0:
                yield wire(("bit", i - 1, j), ("bit", i, j), bit)
    for j in range(columns):
        yield wire(("bit", rows - 1, j), ("given", "bit", j), load)


def device_voltages(g, v_word, v_bit, word, bit, source, load):
    """Voltages across the devices.

    Args:
        g: Conductances (S) [rows, columns].
        v_word: [rows], volts; None: the driver is cut off.
        v_bit: [columns], volts; None: likewise.
        word: Resistance of a word line segment (ohm).
        bit: Of a bit line segment.
        source: Between a driver and its word line.
        load: Between a bit line and its sense end.

    Returns:
        [rows, columns], volts.
    """
    g = np.asarray(g, dtype=np.float64)
    nodes = Nodes()
    listed = list(resistors(g, word, bit, source, load))
    for a, b, siemens in listed:
        if siemens is None:
            nodes.join(a, b)
    given = {("given", "word", i): v for i, v in enumerate(v_word) if v is not None}
    given |= {("given", "bit", j): v for j, v in enumerate(v_bit) if v is not None}
    names = {nodes.find(name) for a, b, _ in listed for name in (a, b)} - set(given)
    number = {name: k for k, name in enumerate(sorted(names, key=str))}
    matrix, right = np.zeros((len(number),) * 2), np.zeros(len(number))
    for a, b, siemens in listed:
        if siemens is None:
            continue
        ends = nodes.find(a), nodes.find(b)
        for this, other in (ends, ends[::-1]):
            if this in number:
                matrix[number[this], number[this]] += siemens
                if other in number:
                    matrix[number[this], number[other]] -= siemens
                else:
                    right[number[this]] += siemens * given[other]
    volts = dict(zip(number, np.linalg.solve(matrix, right), strict=True)) | given if number else given

    def at(*name):
        return volts[nodes.find(name)]

    rows, columns = g.shape
    return np.array([[at("word", i, j) - at("bit", i, j) for j in range(columns)] for i in range(rows)])


def currents(g, v_word, v_bit, word, bit, source, load):
    """Currents into the sense ends [columns], amperes; arguments as ``device_voltages``."""
    return (np.asarray(g) * device_voltages(g, v_word, v_bit, word, bit, source, load)).sum(0)


def effective_matrix(g, word, bit, source, load):
    """Effective conductances [rows, columns], siemens: one driver at 1 V at a time."""
    rows, columns = np.shape(g)
    return np.array([currents(g, unit, np.zeros(columns), word, bit, source, load) for unit in np.eye(rows)])


def tiled_effective_matrix(g, tile_shape, padding, word, bit, source, load):
    """Effective conductances [rows, columns] of a matrix in tiles, each a whole array of its own.

    Args:
        g: Conductances (S) [rows, columns].
        tile_shape: (tile_rows, tile_columns).
        padding: Conductance of the cells of the last tiles beyond the matrix (S).
        word: Resistances as ``device_voltages``.
        bit: Likewise.
        source: Likewise.
        load: Likewise.
    """
    g = np.asarray(g, dtype=np.float64)
    out = np.empty_like(g)
    for top in range(0, g.shape[0], tile_shape[0]):
        for left in range(0, g.shape[1], tile_shape[1]):
            used = g[top : top + tile_shape[0], left : left + tile_shape[1]]
            tile = np.full(tile_shape, padding)
            tile[: used.shape[0], : used.shape[1]] = used
            solved = effective_matrix(tile, word, bit, source, load)
            out[top : top + tile_shape[0], left : left + tile_shape[1]] = solved[: used.shape[0], : used.shape[1]]
    return out


def nonlinear_device_voltages(current, slope, shape, v_word, v_bit, word, bit, source, load):
    """Voltages across devices with curves of their own, by Newton's method with dense matrices.

    A device sees the voltage between its lines' ends less what the currents of all devices lose along the wires that
    they share with it: v = ideal - lost I(v).

    Args:
        current: ``f(voltages [rows, columns])``, amperes.
        slope: Its derivative, siemens.
        shape: (rows, columns).
        v_word: As ``device_voltages``.
        v_bit: Likewise.
        word: Likewise.
        bit: Likewise.
        source: Likewise.
        load: Likewise.

    Returns:
        [rows, columns], volts.
    """
    rows, columns = shape
    ideal = np.subtract.outer(np.asarray(v_word, dtype=np.float64), np.asarray(v_bit, dtype=np.float64)).ravel()
    # What one ampere through device (k, l) takes from the voltage of device (i, j): along the wires that they share.
    i, j = (x.ravel() for x in np.indices(shape))
    same_word, same_bit = np.equal.outer(i, i), np.equal.outer(j, j)
    along = source + word * np.minimum.outer(j, j)
    down = load + bit * (rows - 1 - np.maximum.outer(i, i))
    lost = same_word * along + same_bit * down
    v = np.zeros(rows * columns)
    for _ in range(200):
        error = v + lost @ current(v.reshape(shape)).ravel() - ideal
        step = np.linalg.solve(np.eye(v.size) + lost * slope(v.reshape(shape)).ravel(), error)
        v = v - step
        if np.abs(step).max() <= 1e-15 * np.abs(ideal).max():
            break
    return v.reshape(shape)
