"""``solve_passive`` against nodal analysis, recorded numbers, and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import wires as reference

import memtorch
from memtorch import InvalidArgument, _engine, _wire_ops
from memtorch._wire_sweep import operating_point
from memtorch.bh import solve_passive
from memtorch.bh.crossbar.Passive import effective_conductances

# What the issue of exact wires asks for on linear circuits. The nodal analyses that are compared with lose up to three
# digits more than float64 has, by subtracting the conductances of wires from each other.
EXACT = 1e-10

OHM = torch.tensor(
    [[345, 903, 755, 257, 646], [652, 401, 508, 166, 454], [442, 874, 190, 244, 635]], dtype=torch.float64
)
VOLTS = torch.tensor([1.5, 2.3, 1.7], dtype=torch.float64)
RESISTANCE = st.sampled_from([0.0, 0.1, 1.0, 20.0])


def zeros(*shape):
    return torch.zeros(*shape, dtype=torch.float64)


def close(actual, expected, tolerance=EXACT):
    """Within ``tolerance`` of the largest value: a current may be the small rest of larger ones."""
    expected = torch.as_tensor(expected)
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * expected.abs().max().item())


@st.composite
def circuits(draw, most=6):
    """Random arrays with open devices, voltages on both sides, and resistances that may be zero."""
    shape = draw(st.integers(1, most)), draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    g = 10 ** rng.uniform(-6, -2, shape)
    g[rng.random(shape) < draw(st.sampled_from([0, 0.3, 0.95]))] = 0
    return g, rng.normal(size=shape[0]), rng.normal(size=shape[1]), draw(RESISTANCE), draw(RESISTANCE)


def test_recorded_currents_of_a_small_array():
    """As ngspice 39 and badcrossbar 1.1.0 give them; they agree to 3e-13."""
    expected = [0.01158502542155, 0.009190641636252, 0.01511568117326, 0.02583320822126, 0.009811792882657]
    current = solve_passive(1 / OHM, VOLTS, zeros(5), R_source=0.5, R_line=0.5)
    np.testing.assert_allclose(current, expected, rtol=EXACT)


@pytest.mark.parametrize(
    ("n", "first", "last"),
    [
        (16, 9.317244421379018e-05, 1.0632428445168334e-04),
        (32, 2.2777601467403776e-04, 2.1381067358363005e-04),
        (64, 4.310724856880413e-04, 4.8458109785629386e-04),
        (128, 8.956439987787008e-04, 7.21301566005226e-04),
    ],
)
def test_recorded_currents_of_seeded_arrays(n, first, last):
    rng = np.random.default_rng(0)
    g = torch.from_numpy(rng.uniform(1e-6, 1e-4, (n, n)))
    v = torch.from_numpy(rng.uniform(0, 0.3, n))
    current = solve_passive(g, v, zeros(n), 1, 1)
    np.testing.assert_allclose(current[[0, -1]], [first, last], rtol=EXACT)  # badcrossbar 1.1.0
    across = solve_passive(g, v, zeros(n), 1, 1, det_readout_currents=False)
    np.testing.assert_allclose((g * across).sum(0), current, rtol=1e-12)  # two ways to solve the same circuit


@given(circuits())
@settings(max_examples=150)
def test_currents_and_voltages_are_those_of_nodal_analysis(circuit):
    g, v_word, v_bit, source, line = circuit
    arguments = torch.from_numpy(g), torch.from_numpy(v_word)
    wires = {"word": line, "bit": line, "source": source, "load": source}
    driven = solve_passive(*arguments, torch.from_numpy(v_bit), source, line)
    close(driven, reference.currents(g, v_word, v_bit, **wires))
    grounded = solve_passive(*arguments, torch.zeros(g.shape[1]), source, line)
    close(grounded, reference.currents(g, v_word, 0 * v_bit, **wires))
    across = solve_passive(*arguments, torch.from_numpy(v_bit), source, line, det_readout_currents=False)
    close(across, reference.device_voltages(g, v_word, v_bit, **wires))


@pytest.mark.parametrize("det_readout_currents", [True, False])
@pytest.mark.parametrize("source", [0.0, 5.0])
def test_zero_resistances_are_exact_limits(source, det_readout_currents):
    """1.1.6 is wrong by a factor of 1000 without R_source and crashes without R_line."""
    g = 1 / OHM
    v_bit = torch.linspace(-1, 1, 5, dtype=torch.float64)
    limit = solve_passive(g, VOLTS, v_bit, source, 0, det_readout_currents=det_readout_currents)
    # A billionth of an ohm shifts voltages by about 1e-9 of themselves, of 15 devices of 1/200 S with 1e-9 ohm: 1e-10.
    near = solve_passive(g, VOLTS, v_bit, source, 1e-9, det_readout_currents=det_readout_currents)
    torch.testing.assert_close(limit, near, rtol=1e-9, atol=1e-9 * near.abs().max().item())
    if source == 0:
        across = VOLTS[:, None] - v_bit
        expected = (g * across).sum(0) if det_readout_currents else across
        # A product of 3 terms.
        torch.testing.assert_close(limit, expected, rtol=1e-14, atol=1e-15 * expected.abs().max().item())


def ladder(g, line, end):
    """Resistance of a ladder of shunts g to ground, ``line`` between them, seen through ``end``: a continued fraction.

    Returns the resistance; g[0] is the farthest shunt.
    """
    siemens = g[0]
    for shunt in g[1:]:
        siemens = shunt + 1 / (line + 1 / siemens)
    return end + 1 / siemens


def test_one_row_and_one_column_are_ladders():
    """1.1.6 crashes with one row and is wrong by 1 % with one column."""
    g = torch.tensor([1e-3, 2e-3, 5e-4, 4e-3, 1e-3], dtype=torch.float64)
    # One row, ideal bit lines cannot be asked for: the load is a series resistance of every device.
    row = solve_passive(g[None], torch.ones(1), zeros(5), R_source=3, R_line=7)
    through_loads = [1 / (1 / x + 3) for x in g.tolist()]
    assert row.sum().item() == pytest.approx(1 / ladder(through_loads[::-1], 7, 3), rel=1e-14)
    # One column, all drivers at the same voltage: the same ladder, seen from the sense end.
    column = solve_passive(g[:, None], torch.ones(5), zeros(1), R_source=3, R_line=7)
    assert column.item() == pytest.approx(1 / ladder(through_loads, 7, 3), rel=1e-14)


@given(circuits())
def test_only_differences_of_voltages_matter_and_power_is_balanced(circuit):
    g, v_word, v_bit, source, line = (torch.from_numpy(x) if isinstance(x, np.ndarray) else x for x in circuit)
    current = solve_passive(g, v_word, v_bit, source, line)
    close(solve_passive(g, v_word + 2, v_bit + 2, source, line), current, 1e-12)  # some 50 roundings of 2 to 5 volts
    across = solve_passive(g, v_word, v_bit, source, line, det_readout_currents=False)
    amperes = g * across
    along_word = amperes.flip(1).cumsum(1).flip(1)  # through the segment before each cell
    along_bit = amperes.cumsum(0)  # through the segment behind each cell
    lost = (amperes * across).sum()
    for along, ends in ((along_word, along_word[:, 0]), (along_bit.t(), along_bit[-1])):
        inner = along[:, 1:] if along is along_word else along[:, :-1]
        lost = lost + line * (inner**2).sum() + source * (ends**2).sum()
    supplied = (v_word * amperes.sum(1)).sum() - (v_bit * amperes.sum(0)).sum()
    scale = (v_word.abs().max() + v_bit.abs().max()) * amperes.abs().sum() + 1e-30
    assert abs(lost - supplied) <= 1e-12 * scale  # rounding of the voltages, as above


@pytest.mark.parametrize(("ohm", "high"), [(1e6, -2), (100, 3), (1e-6, 3)])
def test_hard_circuits_are_solved(ohm, high):
    """Wires of 10^4 times the resistance of devices, shorts, wires of next to nothing: two solvers agree."""
    rng = np.random.default_rng(3)
    g = torch.from_numpy(10 ** rng.uniform(-9, -2, (32, 32)))
    g[torch.from_numpy(rng.random((32, 32)) < 0.02)] = 10.0**high
    v = torch.from_numpy(rng.normal(size=32))
    by_elimination = solve_passive(g, v, zeros(32), ohm, ohm)
    by_iteration = solve_passive(g, v + 1, zeros(32) + 1, ohm, ohm)
    close(by_iteration, by_elimination, 1e-9)  # Kirchhoff's law to 1e-10 of a device current, at some of 32 nodes


def test_the_circuit_is_reciprocal():
    """A volt on word line i drives into bit line j what a volt on bit line j drives out of word line i."""
    g = torch.rand(4, 6, dtype=torch.float64) * 1e-2
    for i, j in ((0, 0), (1, 4), (3, 2)):
        there = solve_passive(g, torch.eye(4)[i], torch.zeros(6), 2, 3)[j]
        back = g * solve_passive(g, torch.zeros(4), torch.eye(6)[j], 2, 3, det_readout_currents=False)
        assert there.item() == pytest.approx(-back[i].sum().item(), rel=1e-12)


def test_inputs_come_one_by_one_or_in_batches():
    g = torch.rand(4, 3, dtype=torch.float64) * 1e-2
    v_word, v_bit = torch.randn(5, 4, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    for currents, shape in ((True, (3,)), (False, (4, 3))):
        options = {"R_source": 2, "R_line": 3, "det_readout_currents": currents}
        together = solve_passive(g, v_word, v_bit, **options, n_input_batches=5)
        assert together.shape == (5, *shape)
        for k in range(5):
            alone = solve_passive(g, v_word[k], v_bit[k], **options)
            assert alone.shape == shape
            close(together[k], alone, 1e-14)  # products of matrices add in another order than those with vectors
        for one_for_all in (
            solve_passive(g, v_word, v_bit[0], **options),
            solve_passive(g, v_word, v_bit[:1].expand(5, 3), **options),
        ):
            close(one_for_all, solve_passive(g, v_word, v_bit[0].repeat(5, 1), **options), 1e-14)
        assert solve_passive(g, v_word[0], v_bit[0], **options, n_input_batches=1).shape == (1, *shape)
        assert solve_passive(g, v_word[:1], v_bit[0], **options).shape == (1, *shape)


def test_dtypes_follow_the_arguments():
    g, v = torch.rand(3, 4) * 1e-2, torch.ones(3)
    single = solve_passive(g, v, torch.zeros(4), 1, 1)
    exact = solve_passive(g.double(), v.double(), zeros(4), 1, 1)
    assert single.dtype == torch.float32
    assert exact.dtype == torch.float64
    assert torch.equal(single, exact.float())  # solved in float64, rounded once
    whole = solve_passive(torch.ones(2, 2, dtype=torch.int64), torch.ones(2, dtype=torch.int64), torch.zeros(2), 1, 1)
    assert whole.dtype == torch.float32


@pytest.mark.parametrize(("rows", "columns"), [(3, 2), (2, 3), (1, 4), (4, 1)])
def test_gradients_are_exact(rows, columns):
    g = (torch.rand(rows, columns, dtype=torch.float64) * 1e-2).requires_grad_()
    v_word = torch.randn(2, rows, dtype=torch.float64, requires_grad=True)
    v_bit = torch.randn(2, columns, dtype=torch.float64, requires_grad=True)
    source, line = (torch.tensor(r, dtype=torch.float64, requires_grad=True) for r in (5.0, 7.0))
    for currents in (True, False):
        # Central differences of 1e-6 over conductances of 1e-2: their own error is some 1e-8 of the gradient.
        inputs = g, v_word, v_bit, source, line
        assert torch.autograd.gradcheck(lambda *x, c=currents: solve_passive(*x, None, c), inputs)
        with torch.no_grad():
            plain = solve_passive(g, v_word, v_bit, 5, 7, None, currents)
        close(solve_passive(g, v_word, v_bit, 5, 7, None, currents).detach(), plain, 1e-11)  # two ways to solve it
    grounded = zeros(columns)
    assert torch.autograd.gradcheck(lambda g, v, *r: solve_passive(g, v, grounded, *r), (g, v_word, source, line))


@pytest.mark.parametrize("shape", [(2, 3, 4), (5, 3), (1, 4), (4, 1), (1, 1)])
def test_gradients_of_effective_conductances_are_exact(shape):
    g = (torch.rand(shape, dtype=torch.float64) * 1e-2).requires_grad_()
    ohm = [torch.tensor(r, dtype=torch.float64, requires_grad=True) for r in (2.0, 3.0, 5.0, 7.0)]

    def effective(g, word, bit, source, load):
        return effective_conductances(g, (source, load), (word, bit))

    # Differences of 1e-6 as above; gradients by resistances are some 1e-5 S / ohm.
    assert torch.autograd.gradcheck(effective, (g, *ohm), atol=1e-9)
    ideal = torch.autograd.functional.jacobian(effective_conductances, g)
    identity = torch.eye(g.numel(), dtype=torch.float64).view(*shape, *shape)
    torch.testing.assert_close(ideal, identity, rtol=0, atol=1e-14)  # ideal wires change nothing; 12 roundings


def test_gradients_of_large_arrays_are_those_of_finite_differences():
    """Beyond one block of the solver; the derivative along a random direction."""
    g = (torch.rand(1, 40, 70, dtype=torch.float64) * 1e-3).requires_grad_()
    ohm = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64, requires_grad=True)
    weights, direction = torch.randn_like(g), torch.randn_like(g) * g.detach()
    turn = torch.tensor([0.5, -1.0, 0.7, 1.1], dtype=torch.float64)

    def total(step):
        return (weights * _wire_ops.effective_conductances(g + step * direction, ohm + step * turn)).sum()

    slopes = torch.autograd.grad(total(0), (g, ohm))
    expected = ((slopes[0] * direction).sum() + (slopes[1] * turn).sum()).item()
    with torch.no_grad():
        difference = ((total(1e-4) - total(-1e-4)) / 2e-4).item()
    assert difference == pytest.approx(expected, rel=1e-6)  # 1e-8 of a third derivative, rounding of 1e-16 / 1e-4


@pytest.mark.host_only
def test_gradients_by_resistances_where_potentials_lose_the_currents():
    """Shorts between wires of kilohms: differences of the engine's potentials do not hold Kirchhoff's law."""
    g = torch.rand(12, 9, dtype=torch.float64) * 1e-5
    g.view(-1)[::7] = 1e3
    wires = torch.tensor([2e4, 1e4, 3e4, 1e3], dtype=torch.float64, requires_grad=True)
    weights = torch.randn_like(g)
    with pytest.raises(RuntimeError, match=r"\[solve_nodes\] residual"):
        out = torch.empty(1, 4, dtype=torch.float64)
        _engine.GridSolver(12, 9, *wires.tolist()).wire_gradient(g[None], weights[None], out)
    (slope,) = torch.autograd.grad((weights * _wire_ops.effective_conductances(g[None], wires)[0]).sum(), wires)
    currents = operating_point(g, torch.eye(12, dtype=torch.float64), zeros(12, 9), wires)[1].sum(1)
    (expected,) = torch.autograd.grad((weights * currents).sum(), wires)
    close(slope, expected)


def test_effective_conductances_take_the_place_of_conductances():
    g = torch.rand(2, 4, 3, dtype=torch.float64) * 1e-2
    v = torch.randn(5, 4, dtype=torch.float64)
    effective = effective_conductances(g, 5, 7)
    for k in range(2):
        close(v @ effective[k], solve_passive(g[k], v, zeros(3), 5, 7), 1e-14)  # the same solution
        assert torch.equal(effective_conductances(g[k], 5, 7), effective[k])
    expected = reference.effective_matrix(g[0].numpy(), word=2, bit=3, source=5, load=7)
    close(effective_conductances(g[0], (5, 7), (2, 3)), expected)
    assert effective_conductances(g.float(), 5).dtype == torch.float32


def test_weights_can_be_trained_for_the_wires_that_they_meet():
    """Mapped by ``naive_map``, read through wires, with a digital gain: descent regains most of what the wires cost."""
    target = torch.randn(6, 8, dtype=torch.float64)
    gain = (target.abs().max() / (1 / 1e3 - 1 / 1e5)).requires_grad_()
    weight = target.clone().requires_grad_()
    optimizer = torch.optim.Adam([{"params": [weight], "lr": 0.02}, {"params": [gain], "lr": 0.01 * gain.item()}])
    losses = []
    for _ in range(100):
        positive, negative = memtorch.map.naive_map(weight, 1e3, 1e5, scheme=memtorch.bh.Scheme.DoubleColumn)
        effective = effective_conductances(torch.stack([positive.t(), negative.t()]), 10, 10)
        loss = (gain * (effective[0] - effective[1]) - target.t()).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.01 * losses[0]


G, ROW, COLUMN = torch.ones(2, 3), torch.ones(2), torch.zeros(3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, ROW, COLUMN, 1, 1), r"\[solve_passive\] conductance_matrix \(NoneType\) must be a torch.Tensor"),
        ((torch.ones(2), ROW, COLUMN, 1, 1), "conductance_matrix .* must have shape"),
        ((torch.ones(0, 3), torch.ones(0), COLUMN, 1, 1), "conductance_matrix .* must hold at least one device"),
        ((-G, ROW, COLUMN, 1, 1), r"conductance_matrix \(range -1 to -1 S\) must be in \[0, 1e\+06\]"),
        ((G * 1e7, ROW, COLUMN, 1, 1), "conductance_matrix .* must be in"),
        ((G * math.nan, ROW, COLUMN, 1, 1), "conductance_matrix .* must be finite"),
        ((G, torch.ones(3), COLUMN, 1, 1), r"V_WL \(shape \[3\]\) must have shape \[2\]"),
        ((G, torch.ones(4, 3), COLUMN, 1, 1), r"V_WL \(shape \[4, 3\]\) must have shape \[any, 2\]"),
        ((G, ROW, torch.ones(2), 1, 1), "V_BL .* must have shape"),
        ((G, ROW * math.inf, COLUMN, 1, 1), "V_WL .* must be finite"),
        ((G, torch.ones(4, 2), torch.ones(5, 3), 1, 1), r"V_BL \(5 inputs\) must hold 4 inputs"),
        ((G, torch.ones(4, 2), COLUMN, 1, 1, 5), r"V_WL \(4 inputs\) must hold 5 inputs"),
        ((G, ROW, COLUMN, 1, 1, 3), r"n_input_batches \(3\) must be 1 or None for single vectors"),
        ((G, ROW, COLUMN, 1, 1, 0), "n_input_batches .* must be an integer >= 1"),
        ((G, ROW, COLUMN, -1, 1), r"R_source \(-1 ohm\) must be a finite number >= 0"),
        ((G, ROW, COLUMN, 1, math.nan), r"R_line \(nan ohm\) must be a finite number >= 0"),
        ((G, ROW, COLUMN, 1, 1e13), r"R_line .* <= 1e\+12"),
        ((G, ROW, COLUMN, 1, 1, None, "yes"), "det_readout_currents .* must be True or False"),
        ((G, ROW, COLUMN, 1, 1, None, True, 2), "use_bindings .* must be True or False"),
        ((G, ROW, COLUMN, 1, 1, None, True, True, 0), "cuda_malloc_heap_size .* must be an integer >= 1"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(InvalidArgument, match=message):
        solve_passive(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.ones(2),), "conductance_matrix .* must have shape"),
        ((torch.ones(2, 2, dtype=torch.int64),), "conductance_matrix .* must hold floating-point numbers"),
        ((torch.ones(0, 2),), "conductance_matrix .* at least one"),
        ((-G,), "conductance_matrix .* must be in"),
        ((G, -1), r"source_resistance \(-1 ohm\) must be a finite number >= 0"),
        ((G, None, (1, 2, 3)), "line_resistance .* must be a number, or two"),
        ((G, None, "1"), "line_resistance .* must be a finite number"),
    ],
)
def test_bad_arguments_of_effective_conductances_are_named(arguments, message):
    with pytest.raises(InvalidArgument, match=message):
        effective_conductances(*arguments)


def test_where_it_is_found():
    assert memtorch.bh.crossbar.Passive.solve_passive is solve_passive
    assert memtorch.bh.crossbar.solve_passive is solve_passive


@pytest.mark.host_only
def test_the_operator_is_well_formed():
    """Schema, fake and autograd registration, as torch checks them."""
    wires = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64, requires_grad=True)
    for dtype in (torch.float32, torch.float64):
        g = torch.rand(2, 5, 3, dtype=dtype, requires_grad=True)
        torch.library.opcheck(torch.ops.memtorch.effective_conductances.default, (g, wires))
