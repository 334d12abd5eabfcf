"""Runs the program and recomputes what it prints."""

import math
import os
import pathlib
import re
import subprocess

import numpy as np

PROGRAM = pathlib.Path(os.environ["CROSSBAR"]).resolve()
TILE = 2
BITS = 8


def numbers(text: str, unit: str) -> list[float]:
    return [float(number) for number in re.findall(rf"(-?[\d.]+) {unit}\b", text)]


def digitised(partial: np.ndarray) -> np.ndarray:
    """One converter: partial sums [cols] to multiples of a power of two."""
    step = 2.0 ** (1 - BITS + math.ceil(math.log2(abs(partial).max())))
    return step * np.clip(np.floor(partial / step + 0.5), -(2 ** (BITS - 1)), 2 ** (BITS - 1) - 1)


def test_the_currents_are_those_of_the_printed_conductances() -> None:
    output = subprocess.run([PROGRAM], capture_output=True, text=True, check=True, timeout=60).stdout
    lines = output.splitlines()
    v = np.array([numbers(line, "V")[0] for line in lines[:4]])
    g = np.array([numbers(line, "mS") for line in lines[:4]]) * 1e-3
    currents = np.array([numbers(line, "mA") for line in lines[4:]]) * 1e-3
    np.testing.assert_allclose(g, np.array([[2, 5, 11], [7, 3, 19], [4, 17, 6], [9, 8, 13]]) * 1e-3, rtol=1e-6)
    assert currents.shape == (3, 2)

    half_digit = 0.51e-8  # currents are printed to 1e-5 mA
    np.testing.assert_allclose(currents[:, 0], v @ g, atol=half_digit)
    expected = np.zeros(3)
    for row in range(0, 4, TILE):
        for col in range(0, 3, TILE):
            rows, cols = slice(row, row + TILE), slice(col, col + TILE)
            expected[cols] += digitised(v[rows] @ g[rows, cols])
    np.testing.assert_allclose(currents[:, 1], expected, atol=half_digit)
    assert not np.allclose(currents[:, 0], currents[:, 1], rtol=0, atol=half_digit)
