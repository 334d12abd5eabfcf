"""The window functions against the papers' formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memtorch import InvalidArgument
from memtorch.bh.memristor.window import Biolek, Jogelkar, Joglekar, Prodromakis

STATES = st.floats(0, 1)
EXPONENTS = st.sampled_from([1, 2, 3, 4, 0.5, 2.5])
ROUNDING = 1e-14  # A power and two differences near 1: a few units of 2^-53.

# x = 0.1, p = 1, 2, 4.
TABLE = [
    (lambda p: Joglekar(0.1, p), [0.36, 0.5904, 0.83222784]),
    (lambda p: Biolek(1.0, 0.1, p), [0.99, 0.9999, 1 - 1e-8]),
    (lambda p: Biolek(-1.0, 0.1, p), [0.19, 0.3439, 0.56953279]),
    (lambda p: Biolek(0.0, 0.1, p), [0.19, 0.3439, 0.56953279]),
    (lambda p: Prodromakis(0.1, p), [0.09, 0.1719, 0.31425039]),
]


@pytest.mark.parametrize(("window", "values"), TABLE)
def test_tabulated_values(window, values):
    for p, expected in zip((1, 2, 4), values, strict=True):
        assert window(p) == pytest.approx(expected, abs=1e-8)  # The table has eight digits.


@given(STATES, EXPONENTS)
def test_joglekar(x, p):
    assert Jogelkar(x, p) == pytest.approx(1 - abs(2 * x - 1) ** (2 * p), abs=ROUNDING)


@given(STATES, EXPONENTS, st.sampled_from([-1.0, 0.0, 2.0]))
def test_biolek(x, p, voltage):
    ahead = x if voltage > 0 else 1 - x
    assert Biolek(voltage, x, p) == pytest.approx(1 - ahead ** (2 * p), abs=ROUNDING)


@given(STATES, EXPONENTS, st.floats(0.1, 3))
def test_prodromakis(x, p, j):
    assert Prodromakis(x, p, j) == pytest.approx(j * (1 - ((x - 0.5) ** 2 + 0.75) ** p), abs=3 * ROUNDING)


@pytest.mark.parametrize("p", [1, 2, 7])
def test_windows_vanish_where_the_papers_say(p):
    for window in (Joglekar, Prodromakis):
        assert window(0.0, p) == window(1.0, p) == 0
    assert Biolek(1.0, 1.0, p) == Biolek(-1.0, 0.0, p) == 0
    assert Biolek(1.0, 0.0, p) == Biolek(-1.0, 1.0, p) == 1


def test_both_spellings_are_the_same_function():
    assert Joglekar is Jogelkar


def test_defaults():
    assert Biolek(1.0) == 0
    assert Jogelkar(0.5) == 1
    assert Prodromakis(0.5) == 0.25


def test_a_number_gives_a_float_and_arrays_give_arrays():
    assert type(Jogelkar(0.25)) is float
    assert type(Jogelkar(np.float64(0.25))) is float
    x = np.linspace(0, 1, 12).reshape(3, 4)
    y = Jogelkar(x[:, ::-1], 2)
    assert isinstance(y, np.ndarray)
    np.testing.assert_allclose(y, 1 - (2 * x[:, ::-1] - 1) ** 4, rtol=0, atol=ROUNDING)
    z = Prodromakis(torch.linspace(0, 1, 5))
    assert isinstance(z, torch.Tensor) and z.shape == (5,)


def test_biolek_broadcasts_voltage_and_state():
    got = Biolek(np.array([[1.0], [-1.0]]), np.array([0.0, 0.3, 1.0]))
    np.testing.assert_allclose(got, [[1, 1 - 0.09, 0], [0, 1 - 0.49, 1]], rtol=0, atol=ROUNDING)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: Jogelkar(1.1), "x"),
        (lambda: Jogelkar(math.nan), "x"),
        (lambda: Jogelkar("a"), "x"),
        (lambda: Jogelkar(0.5, 0), "p"),
        (lambda: Biolek(math.inf, 0.5), "voltage"),
        (lambda: Prodromakis(0.5, 1, math.nan), "j"),
    ],
)
def test_bad_arguments_are_named(call, named):
    with pytest.raises(InvalidArgument, match=rf"\] {named} \("):
        call()
