"""Random arrays with resistive wires against badcrossbar 1.1.0 and ngspice: currents, nodes, and every branch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_tools import patched
from simulators import badcrossbar, by_badcrossbar, by_memtorch, by_ngspice, needs_ngspice
from torch import nn

import memtorch
from memtorch import _engine
from memtorch.analysis import ngspice_difference
from memtorch.bh import StochasticParameter, solve_passive
from memtorch.bh.crossbar import Crossbar
from memtorch.bh.crossbar._wires import Wires
from memtorch.bh.crossbar.Passive import effective_conductances

# What is promised. Both simulators factor the nodal matrix in float64 and have been found to err by 3e-12 at most.
LINEAR = 1e-10
NON_LINEAR = 1e-8
SHAPES = [(1, 1), (1, 9), (8, 1), (3, 5), (24, 17), (20, 41), (48, 48)]
OHM = st.sampled_from([0.0, 0.1, 1.0, 20.0])


def array(shape, unused=0.0, seed=0):
    """Conductances (S), a part of them open, and voltages (V) of both signs."""
    rng = np.random.default_rng(seed)
    g = 10 ** rng.uniform(-6, -2, shape)
    g[rng.random(shape) < unused] = 0
    return g, rng.uniform(-1, 1, shape[0])


@st.composite
def arrays(draw):
    shape = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    return array(shape, draw(st.sampled_from([0, 0.3, 0.95])), draw(st.integers(0, 2**32)))


def assert_same(ours, theirs, v, wires, tolerance=LINEAR):
    """Potentials in parts of the largest source, currents in parts of the largest of their kind.

    A current that the simulators find as a difference of two potentials has the rounding of these, too: a few units in
    the last place of the largest source over the wire's resistance.
    """
    volts = np.abs(v).max()
    ohm = min((x for x in wires if x > 0), default=np.inf)
    for name, mine, other in zip(ours._fields, ours, theirs, strict=True):
        allowed = tolerance * volts
        if not name.endswith("nodes"):
            allowed = tolerance * np.abs(other).max() + 8 * np.finfo(float).eps * volts / ohm
        np.testing.assert_allclose(mine, other, rtol=0, atol=allowed, err_msg=name)


# ---- badcrossbar ----


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("word", "bit"), [(0.5, 0.5), (20, 0.1), (0.1, 20), (0, 2), (2, 0), (0, 0)])
def test_every_branch_is_that_of_badcrossbar(shape, word, bit):
    g, v = array(shape, unused=0.2)
    wires = Wires(word, bit, word, bit)
    assert_same(by_memtorch(g, v, wires), by_badcrossbar(g, v, word, bit), v, wires)


@given(arrays(), OHM, OHM)
@settings(max_examples=150)
def test_any_array_is_solved_as_by_badcrossbar(circuit, word, bit):
    g, v = circuit
    wires = Wires(word, bit, word, bit)
    assert_same(by_memtorch(g, v, wires), by_badcrossbar(g, v, word, bit), v, wires)


@pytest.mark.parametrize("n", [32, 128])
def test_effective_conductances_give_the_currents_of_badcrossbar(n):
    """Positive voltages: every current is a sum without cancellation and can be compared by itself."""
    g, _ = array((n, n // 2))
    v = np.random.default_rng(1).uniform(0, 0.3, (5, n))
    expected = badcrossbar.compute(v.T, 1 / g, r_i_word_line=2.0, r_i_bit_line=3.0, all_currents=False).currents.output
    tensors = torch.from_numpy(g), torch.from_numpy(v)
    np.testing.assert_allclose(
        tensors[1] @ effective_conductances(tensors[0], (2.0, 3.0), (2.0, 3.0)), expected, LINEAR
    )
    # solve_passive has one resistance for all lines.
    expected = badcrossbar.compute(v.T, 1 / g, 2.0, all_currents=False).currents.output
    current = solve_passive(*tensors, torch.zeros(5, n // 2), 2.0, 2.0, n_input_batches=5)
    np.testing.assert_allclose(current, expected, LINEAR)


def test_a_layer_reads_what_badcrossbar_finds_for_its_two_crossbars():
    layer = patched(nn.Linear(11, 6), source_resistance=(2.0, 3.0), line_resistance=(2.0, 3.0))
    x = torch.randn(4, 11, dtype=torch.float64)
    positive, negative = (
        badcrossbar.compute(x.numpy().T, 1 / crossbar.matrix().double().numpy(), None, 2.0, 3.0).currents.output
        for crossbar in layer.crossbars
    )
    expected = positive - negative
    np.testing.assert_allclose(layer.read(x), expected, rtol=0, atol=LINEAR * np.abs(expected).max())


# ---- ngspice ----

WIRES = [
    Wires(1, 1, 1, 1),
    Wires(word=2, bit=3, source=5, load=7),
    Wires(word=0.1, bit=20, source=0, load=100),
    Wires(word=0, bit=0, source=3, load=0),
    Wires(0, 0, 0, 0),
]


@needs_ngspice
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("wires", WIRES)
def test_every_branch_is_that_of_ngspice(shape, wires):
    g, v = array(shape, unused=0.2)
    assert_same(by_memtorch(g, v, wires), by_ngspice(g, v, wires), v, wires)


@needs_ngspice
@given(arrays(), st.builds(Wires, OHM, OHM, OHM, OHM))
@settings(max_examples=40)
def test_any_array_is_solved_as_by_ngspice(circuit, wires):
    g, v = circuit
    assert_same(by_memtorch(g, v, wires), by_ngspice(g, v, wires), v, wires)


@needs_ngspice
@pytest.mark.parametrize("shape", [(1, 9), (8, 1), (3, 5), (24, 17)])
@pytest.mark.parametrize("wires", WIRES[:3])
def test_non_linear_devices_are_solved_as_by_ngspice(shape, wires):
    """I = g sinh(4 V) / 4."""
    g, v = array(shape, unused=0.2)
    assert_same(by_memtorch(g, v, wires, 4.0), by_ngspice(g, v, wires, 4.0), v, wires, NON_LINEAR)


@needs_ngspice
@pytest.mark.parametrize("tile_shape", [None, (4, 3)])
@pytest.mark.parametrize("model", [row["name"] for row in _engine.models()])
def test_every_model_is_read_as_by_ngspice(model, tile_shape):
    table = next(row for row in _engine.models() if row["name"] == model)
    # A parameter of the curve's shape, where it has one.
    varied = {"Stanford_PKU": "V_0", "Data_Driven": "b_p", "Data_Driven2021": "b_n"}.get(model, "r_off")
    mean = next(p["default"] for p in table["params"] if p["name"] == varied)
    drawn = StochasticParameter(loc=mean, scale=0.05 * mean, min=0.5 * mean)
    crossbar = Crossbar(getattr(memtorch.bh.memristor, model), {varied: drawn}, (5, 7), tile_shape)
    v = torch.randn(7) * 0.5
    for tile in range(1 if tile_shape is None else 4):
        assert ngspice_difference(crossbar, v, (5, 7), (2, 3), tile, curves=True) < NON_LINEAR
