"""The solver of resistive wires, as Python sees it; its mathematics is tested in tests/cpp/grid_solver_test.cc."""

import numpy as np
import pytest
import torch
from reference import wires as reference

from memtorch import _engine

# These tests are also run with the engine of GPUs (tests/py/BUILD.bazel), which is given its scratch memory.
EMULATED = _engine.cuda_architectures() == ["emulated"]

# Currents of the first and the last bit line of seeded arrays with wires of 1 ohm, as badcrossbar 1.1.0 gives them.
RECORDED = {
    16: (9.317244421379018e-05, 1.0632428445168334e-04),
    32: (2.2777601467403776e-04, 2.1381067358363005e-04),
    64: (4.310724856880413e-04, 4.8458109785629386e-04),
    128: (8.956439987787008e-04, 7.21301566005226e-04),
}


def workspace(solver, out, gradient=False):
    """What a GPU needs beside the arrays; these tests are also run with the engine that emulates one."""
    if not EMULATED:
        return None
    single = out.dtype in (np.float32, torch.float32)
    return np.empty(solver.workspace(len(out), single=single, gradient=gradient), dtype=np.uint8)


def effective_matrix(solver, g, out):
    solver.effective_matrix(g, out, workspace(solver, out))


@pytest.mark.parametrize("n", RECORDED)
def test_currents_of_seeded_arrays(n):
    rng = np.random.default_rng(0)
    g = rng.uniform(1e-6, 1e-4, (n, n))
    v = rng.uniform(0, 0.3, n)
    effective = np.empty((1, n, n))
    effective_matrix(_engine.GridSolver(n, n, 1, 1, 1, 1), g[None], effective)
    current = v @ effective[0]
    # badcrossbar solves by LU and was compared with ngspice to 4e-13.
    np.testing.assert_allclose(current[[0, -1]], RECORDED[n], rtol=1e-11)


@pytest.mark.parametrize(("rows", "cols"), [(47, 33), (34, 50)])
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-10), (np.float32, 1e-5)])
def test_several_leaves_on_either_side_the_last_ones_padded(rows, cols, dtype, rtol):
    rng = np.random.default_rng(rows)
    g = (10 ** rng.uniform(-6, -3, (1, rows, cols))).astype(dtype)
    v = rng.uniform(0.1, 0.3, rows)
    effective = np.empty_like(g)
    effective_matrix(_engine.GridSolver(rows, cols, 2, 3, 5, 7), g, effective)
    expected = reference.currents(g[0].astype(np.float64), v, np.zeros(cols), 2, 3, 5, 7)
    # float32 keeps every component to 1e-5; dense LU loses some digits of float64.
    np.testing.assert_allclose(v @ effective[0].astype(np.float64), expected, rtol=rtol)


def test_dtype_of_the_result_is_the_precision():
    g = torch.full((2, 20, 30), 1e-4)
    solver = _engine.GridSolver(20, 30, word=2, bit=3, source=5, load=7)
    exact = torch.empty(2, 20, 30, dtype=torch.float64)
    single = torch.empty(2, 20, 30)
    effective_matrix(solver, g, exact)
    effective_matrix(solver, g, single)
    difference = ((single - exact) / exact).abs().max()
    # float32 keeps every component to 1e-5; a result that was only rounded to float32 would differ by 6e-8.
    assert 6e-8 < difference < 1e-5


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_effective_matrices_are_verified(dtype, tolerance):
    g = torch.rand(2, 20, 30, dtype=torch.float64) * 1e-3
    solver = _engine.GridSolver(20, 30, word=2, bit=3, source=5, load=7)
    effective, residual = torch.empty(2, 20, 30, dtype=dtype), np.empty(2)
    effective_matrix(solver, g, effective)
    solver.verify(g, effective, residual, tolerance)
    assert (residual <= tolerance).all()
    with pytest.raises(RuntimeError, match=r"\[effective_matrix\] residual .* of tile 0 must be at most"):
        solver.verify(g, g.to(dtype), residual, tolerance)  # wires are not ideal
    with pytest.raises(_engine.InvalidArgument, match=r"\[effective_matrix\] residual must hold 2 elements, got 1"):
        solver.verify(g, effective, residual[:1], tolerance)


def test_both_ends_take_part():
    g = torch.full((1, 4, 6), 1e-3, dtype=torch.float64)
    both = torch.empty_like(g)
    effective_matrix(_engine.GridSolver(4, 6, 2, 3, 5, 7, drive_both=True, sense_both=True), g, both)
    # The circuit is its own mirror image, left to right and top to bottom; 24 devices round a few times each.
    torch.testing.assert_close(both, both.flip(1, 2), rtol=1e-14, atol=0)


@pytest.mark.parametrize(("rows", "cols"), [(20, 36), (150, 130)])
def test_gradient_is_that_of_finite_differences(rows, cols):
    rng = np.random.default_rng(2)
    g = rng.uniform(1e-4, 1e-3, (1, rows, cols))
    upstream = rng.normal(size=g.shape)
    solver = _engine.GridSolver(rows, cols, 5, 6, 7, 8)
    gradient = np.empty_like(g)
    solver.gradient(g, upstream, gradient, workspace(solver, gradient, gradient=True))

    def total(step, i, j):
        changed = g.copy()
        changed[0, i, j] += step
        effective = np.empty_like(g)
        effective_matrix(solver, changed, effective)
        return (upstream * effective).sum()

    for i, j in ((0, 0), (rows - 1, cols - 1), (7, 20), (rows - 7, 3)):
        step = 1e-4 * g[0, i, j]
        difference = (total(step, i, j) - total(-step, i, j)) / (2 * step)
        # Central differences: (step / g)^2 of the third derivative, and rounding of a sum of some 1e-2 over 1e-8.
        assert difference == pytest.approx(gradient[0, i, j], rel=1e-6, abs=1e-8)


def solved(solver, g, word_volts, bit_volts, **options):
    """Potentials of word and bit nodes [vectors, rows, cols]."""
    shape = (len(word_volts), *g.shape)
    word, bit, residual = np.empty(shape), np.empty(shape), np.empty(len(word_volts))
    linear = options.get("steepness", 0) == 0
    memory = np.empty(solver.nodes_workspace(len(word_volts), linear), dtype=np.uint8) if EMULATED else None
    solver.solve_nodes(g, word_volts, bit_volts, word, bit, residual, workspace=memory, **options)
    assert (residual <= 1e-10).all()
    return word, bit


def test_potentials_give_the_currents_of_the_effective_matrix():
    rng = np.random.default_rng(1)
    g = rng.uniform(1e-6, 1e-3, (24, 40))
    v = rng.uniform(-0.3, 0.3, (5, 24))
    solver = _engine.GridSolver(24, 40, 2, 3, 5, 7)
    effective = np.empty((1, 24, 40))
    effective_matrix(solver, g[None], effective)
    word, bit = solved(solver, g, v, None)
    device = g * (word - bit)
    # The potentials hold Kirchhoff's law to 1e-10 of the largest device current, and 24 devices add up.
    np.testing.assert_allclose(device.sum(1), v @ effective[0], rtol=0, atol=24 * 1e-10 * np.abs(device).max())
    along, down = np.empty((24, 41)), np.empty((25, 40))
    solver.branches(device[0], along, down)
    # Sums of the same 24 or 40 numbers in another order.
    np.testing.assert_allclose(down[-1], device[0].sum(0), rtol=1e-13)
    np.testing.assert_allclose(along[:, 0], device[0].sum(1), rtol=0, atol=1e-14 * np.abs(device).sum())


@pytest.mark.parametrize("both", [False, True])
def test_batches_find_what_single_vectors_find(both):
    rng = np.random.default_rng(3)
    g = rng.uniform(1e-4, 1e-2, (40, 52))
    v, senses = rng.uniform(-0.3, 0.3, (300, 40)), rng.uniform(-0.3, 0.3, (300, 52))
    solver = _engine.GridSolver(40, 52, 2, 3, 5, 7, drive_both=both, sense_both=both)
    nodes = solved(solver, g, v, senses, tolerance=1e-13)
    for k in (0, 150, 299):
        one = solved(solver, g, v[k : k + 1], senses[k : k + 1], tolerance=1e-13)
        for many, single in zip(nodes, one, strict=True):
            # 300 vectors come from the factors of one elimination, one from an iteration, as all do on a GPU. They hold
            # Kirchhoff's law to 1e-13 of the largest current, some 1e-3 A, on lines of some hundred ohm.
            np.testing.assert_allclose(many[k], single[0], rtol=0, atol=1e-12)
            assert np.array_equal(many[k], single[0]) == EMULATED


def test_gradient_by_wires_of_a_single_device():
    """One device between two lines is a series of resistors: I = v / (1 / g + source + load)."""
    g, ohm = 1 / 345, 0.5
    solver = _engine.GridSolver(1, 1, 1, 1, ohm, ohm)
    gradient = np.empty((2, 4))
    solver.wire_gradient(np.full((2, 1, 1), g), np.array([[[1.0]], [[-2.0]]]), gradient)
    slope = -1 / (1 / g + 2 * ohm) ** 2
    expected = np.array([[0, 0, slope, slope], [0, 0, -2 * slope, -2 * slope]])
    np.testing.assert_allclose(gradient, expected, rtol=1e-14)  # a few roundings


def test_non_linear_devices_and_open_lines():
    ohm = np.array([[345, 903, 755, 257, 646], [652, 401, 508, 166, 454], [442, 874, 190, 244, 635]])
    g = 0.72 / ohm
    solver = _engine.GridSolver(3, 5, 0.5, 0.5, 0.5, 0.5)
    v = np.array([[0.15, 0.23, 0.17]])
    word, bit = solved(solver, g, v, np.zeros((1, 5)), steepness=3.0)
    current = (g * np.sinh(3 * (word - bit)) / 3).sum(1)[0]
    # ngspice 39, I = 0.24 / R sinh(3 V).
    recorded = [0.0008788170814646, 0.0007063439312737, 0.001150847710819, 0.001982798002155, 0.0007518912957082]
    np.testing.assert_allclose(current, recorded, rtol=1e-8)
    bit_open = np.array([False, True, False, False, False])
    word, bit = solved(solver, g, v, np.zeros((1, 5)), bit_open=bit_open)
    # An open line takes no current: what enters it leaves it, to 1e-10 of the largest current of a device.
    device = (g * (word - bit))[0]
    assert abs(device[:, 1].sum()) <= 3e-10 * np.abs(device).max()


def test_errors_name_the_argument():
    with pytest.raises(_engine.InvalidArgument, match=r"\[grid_solver\] bit \(-1 ohm\) must be in"):
        _engine.GridSolver(2, 2, 1, -1, 1, 1)
    solver = _engine.GridSolver(2, 2, 1, 1, 1, 1)
    with pytest.raises(_engine.InvalidArgument, match=r"\[effective_matrix\] g must have shape \[tiles, rows, cols\]"):
        solver.effective_matrix(torch.ones(2, 2), torch.ones(1, 2, 2))
    with pytest.raises(_engine.InvalidArgument, match=r"\[grid_wire_gradient\] upstream must hold 4 elements, got 8"):
        solver.wire_gradient(torch.ones(1, 2, 2), torch.ones(2, 2, 2, dtype=torch.float64), np.empty((1, 4)))
    with pytest.raises(_engine.InvalidArgument, match=r"\[grid_wire_gradient\] gradient must hold 4 elements, got 5"):
        solver.wire_gradient(torch.ones(1, 2, 2), torch.ones(1, 2, 2, dtype=torch.float64), np.empty(5))
    with pytest.raises(_engine.InvalidArgument, match=r"\[grid_wire_gradient\] tolerance \(0\) must be above 0"):
        solver.wire_gradient(torch.ones(1, 2, 2), torch.ones(1, 2, 2).double(), np.empty((1, 4)), tolerance=0.0)
    with pytest.raises(_engine.InvalidArgument, match=r"\[effective_matrix\] g must be float32 or float64"):
        solver.effective_matrix(torch.ones(1, 2, 2, dtype=torch.int32), torch.ones(1, 2, 2))
    with pytest.raises(_engine.InvalidArgument, match=r"\[effective_matrix\] out \(\[2, 2, 2\]\) must have shape"):
        solver.effective_matrix(torch.ones(1, 2, 2), torch.ones(2, 2, 2))
