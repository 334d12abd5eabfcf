"""The currents of crossbars with resistive wires by scipy's splu and by badcrossbar."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import splu

with warnings.catch_warnings(record=True):  # it cannot draw, and says so
    import badcrossbar
logging.getLogger("badcrossbar").setLevel(logging.WARNING)

Solver = Callable[[], np.ndarray]


def nodal_matrix(g: np.ndarray, ohm: float) -> scipy.sparse.csc_matrix:
    """Nodal analysis of one grid [2 n^2, 2 n^2], word nodes first."""
    n = len(g)
    index = np.arange(n * n).reshape(n, n)
    word, bit = index, index + n * n
    first = [word[:, :-1].ravel(), bit[:-1].ravel(), word.ravel()]
    second = [word[:, 1:].ravel(), bit[1:].ravel(), bit.ravel()]
    siemens = np.concatenate([np.full(n * (n - 1), 1 / ohm), np.full(n * (n - 1), 1 / ohm), g.ravel()])
    a, b = np.concatenate(first), np.concatenate(second)
    ends = np.concatenate([word[:, 0], bit[-1]])
    rows = np.concatenate([a, b, a, b, ends])
    cols = np.concatenate([a, b, b, a, ends])
    values = np.concatenate([siemens, siemens, -siemens, -siemens, np.full(2 * n, 1 / ohm)])
    return scipy.sparse.csc_matrix((values, (rows, cols)), shape=(2 * n * n, 2 * n * n))


def by_splu(g: np.ndarray, v: np.ndarray, ohm: float) -> Solver:
    """A call that gives the currents [vectors, n] under v [vectors, n]; the matrix is there before."""
    n, vectors = len(g), len(v)
    matrix = nodal_matrix(g, ohm)
    right = np.zeros((2 * n * n, vectors))
    right[np.arange(n) * n] = v.T / ohm
    bottom = slice(2 * n * n - n, None)
    return lambda: splu(matrix, permc_spec="MMD_AT_PLUS_A").solve(right)[bottom].T / ohm


def by_badcrossbar(g: np.ndarray, v: np.ndarray, ohm: float) -> Solver:
    """The same, called as its documentation does: it returns the potentials and the currents of all branches too.

    Without these, which it can leave out, it takes a sixth less time with 256 vectors at n = 128.
    """
    volts, resistances = v.T, 1 / g
    return lambda: badcrossbar.compute(volts, resistances, ohm).currents.output
