"""Quantization against slow references and its defining properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import quantize as reference

from memtorch import InvalidArgument, _ops
from memtorch.bh import quant_methods, quantize

METHODS = ["linear", "log", "log_minmax", "minmax", "tanh"]
# Doubles whose squares, logarithms and differences neither overflow nor vanish.
VALUES = st.lists(st.one_of(st.just(0.0), st.floats(1e-9, 1e6), st.floats(-1e6, -1e-9)), min_size=1, max_size=40)

each_method = pytest.mark.parametrize("method", METHODS)


def test_the_methods_are_the_documented_five():
    assert quant_methods == METHODS
    assert isinstance(quant_methods, list)


@pytest.mark.parametrize("method", [*METHODS, None])
@settings(max_examples=150)
@given(values=VALUES, bits=st.integers(2, 10), rate=st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_agrees_with_the_reference(method, values, bits, rate):
    if method in ("log", "log_minmax") and not any(values):
        values = [*values, 1.0]
    if method == "tanh" and reference.magnitude(values, rate) == 0:
        return  # without a range everything is 0; tested below
    expected = np.array(reference.quantize(values, bits, method, rate))
    got = quantize(torch.tensor(values, dtype=torch.float64), bits, rate, method).numpy()
    # Rounding of the quantizer's functions moves a value to the neighbouring level where it lies halfway between two:
    # such elements must still be one of the levels around them. All others agree to the accuracy of exp and log.
    same = np.isclose(got, expected, rtol=1e-9, atol=1e-12 * max(map(abs, values)))
    for k in np.flatnonzero(~same):
        shaken = [
            reference.quantize([*values[:k], values[k] * (1 + e), *values[k + 1 :]], bits, method, rate)[k]
            for e in (1e-9, -1e-9)
        ]
        assert any(math.isclose(got[k], s, rel_tol=1e-6, abs_tol=1e-9 * max(map(abs, values))) for s in shaken), (
            values[k],
            got[k],
            expected[k],
        )


@each_method
@settings(max_examples=60)
@given(values=VALUES, bits=st.integers(1, 8))
def test_is_monotone_and_has_at_most_two_to_the_bits_levels(method, values, bits):
    x = torch.tensor(values, dtype=torch.float64)
    y = quantize(x, bits, quant_method=method)
    assert torch.isfinite(y).all()
    order = torch.argsort(x)
    assert (torch.diff(y[order]) >= 0).all()
    extra = 1 if method.startswith("log") else 0  # 0 stays 0 beside the levels of both signs
    assert y.unique().numel() <= 2**bits + extra
    if method.startswith("log"):
        assert torch.equal(torch.sign(y), torch.sign(x))


@settings(max_examples=60)
@given(values=VALUES, bits=st.integers(1, 12))
def test_linear_error_is_at_most_half_a_step_within_the_range(values, bits):
    x = torch.tensor(values, dtype=torch.float64)
    m = x.abs().max().item()
    if m == 0:
        assert torch.equal(quantize(x, bits, quant_method="linear"), x)
        return
    step = reference.linear_step(m, bits)
    y = quantize(x, bits, quant_method="linear")
    assert torch.equal(y / step, (y / step).round())
    inside = x <= step * (2 ** (bits - 1) - 1)
    assert ((y - x).abs()[inside] <= step / 2).all()


@settings(max_examples=60)
@given(values=VALUES, levels=st.integers(1, 50))
def test_levels_are_the_nearest_of_a_uniform_grid(values, levels):
    x = torch.tensor(values, dtype=torch.float64)
    low, high = x.min(), x.max()
    y = quantize(x, levels)
    if levels == 1:
        assert torch.allclose(y, (low + high) / 2, rtol=1e-15)
    else:
        half = (high - low) / (levels - 1) / 2
        assert ((y - x).abs() <= half * (1 + 1e-9) + 1e-12 * max(abs(low), abs(high))).all()
    assert torch.allclose(quantize(y, levels), y, rtol=1e-12) or levels == 1  # idempotent


def test_an_overflow_rate_cuts_off_the_largest_elements():
    x = torch.cat([torch.linspace(-1, 1, 99), torch.tensor([100.0])])
    assert quantize(x, 8, quant_method="linear").unique().numel() < 10
    fine = quantize(x, 8, 0.01, "linear")
    assert fine.unique().numel() > 90
    assert fine[-1] == 127 / 128


@each_method
def test_bounds_clip(method):
    x = torch.linspace(1, 10, 50)
    y = quantize(x, 6, quant_method=method, min=2.0, max=5.0)
    # The logarithm is rounded to multiples of 2^(1 - 5 + ceil(log2(ln 5))) = 1/8 after clipping, the others of less.
    assert y.min() >= 2.0 * math.exp(-1 / 16)
    assert y.max() <= 5.0 * math.exp(1 / 16)
    assert y.unique().numel() > 4


def test_zero_is_a_bound_like_any_other():
    x = torch.tensor([-1.0, 0.4, 1.0])
    assert torch.equal(quantize(x, 2, min=0.0), torch.tensor([0.0, 0.0, 1.0]))
    assert torch.equal(quantize(x, 2, max=0), torch.tensor([-1.0, 0.0, 0.0]))


def test_bounds_may_differ_between_elements():
    x = torch.tensor([[0.2, 0.8], [3.0, 9.0]])
    low = torch.tensor([[0.0], [2.0]])
    high = torch.tensor([[1.0], [6.0]])
    assert torch.equal(quantize(x, 3, min=low, max=high), torch.tensor([[0.0, 1.0], [4 - 2.0, 6.0]]) + _nudge(x))
    with pytest.raises(InvalidArgument, match=r"min .*broadcast"):
        quantize(x, 3, min=torch.zeros(3))
    with pytest.raises(InvalidArgument, match="NaN"):
        quantize(x, 3, min=torch.tensor([[0.0], [math.nan]]))


def _nudge(x):
    """3.0 lies halfway between the levels 2 and 4: rounded up."""
    return torch.tensor([[0.0, 0.0], [2.0, 0.0]])


@pytest.mark.parametrize("method", [*METHODS, None])
def test_degenerate_tensors(method):
    assert quantize(torch.zeros(0), 3, quant_method=method).shape == (0,)
    assert torch.equal(quantize(torch.zeros(3), 3, quant_method=method), torch.zeros(3))
    one = quantize(torch.full((4,), 0.5), 3, quant_method=method)
    assert one.unique().numel() == 1
    assert one[0] == pytest.approx(0.5, rel=0.6)  # three bits of a logarithm
    assert quantize(torch.tensor(0.5), 8, quant_method=method).shape == ()
    assert quantize(torch.randn(5), 1, quant_method=method).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floating_dtypes_are_kept(dtype):
    x = torch.tensor([-1.0, 0.25, 0.5, 1.0], dtype=dtype)
    y = quantize(x, 5)
    assert y.dtype == dtype
    assert torch.equal(y, torch.tensor([-1.0, 0.5, 0.5, 1.0], dtype=dtype)) or torch.equal(
        y, torch.tensor([-1.0, 0.0, 0.5, 1.0], dtype=dtype)
    )


def test_integers_become_float32():
    assert quantize(torch.arange(5), 3).dtype == torch.float32


def test_the_original_is_kept_unless_it_is_overridden():
    x = torch.randn(4, 6)
    kept = x.clone()
    y = quantize(x, 2)
    assert torch.equal(x, kept)
    assert quantize(x, 2, override_original=True) is x
    assert torch.equal(x, y)


def test_a_view_is_overridden_in_place():
    base = torch.randn(4, 6, dtype=torch.float64)
    kept = base.clone()
    view = base.T[1:4, ::2]
    expected = quantize(view.clone(), 3, quant_method="linear")
    assert quantize(view, 3, quant_method="linear", override_original=True) is view
    assert torch.equal(base.T[1:4, ::2], expected)
    untouched = torch.ones(6, 4, dtype=torch.bool)
    untouched[1:4, ::2] = False
    assert torch.equal(base.T[untouched], kept.T[untouched])


def test_a_leaf_that_requires_grad_can_be_overridden():
    x = torch.randn(5, requires_grad=True)
    quantize(x, 2, override_original=True)
    assert x.requires_grad and x.is_leaf and x.unique().numel() == 2


def test_gradients_pass_straight_through():
    x = torch.randn(3, 4, requires_grad=True)
    weights = torch.randn(3, 4)
    (quantize(x, 4, quant_method="linear") * weights).sum().backward()
    assert torch.equal(x.grad, weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tensor": [1.0]}, "tensor"),
        pytest.param({"tensor": torch.tensor([1.0, math.nan])}, "finite|NaN", marks=pytest.mark.checks_values),
        pytest.param({"tensor": torch.tensor([1.0, math.inf])}, "finite|NaN", marks=pytest.mark.checks_values),
        ({"quant": 0}, "quant"),
        ({"quant": 1.5}, "quant"),
        ({"quant": 33, "quant_method": "linear"}, "quant .* from 1 to 32"),
        ({"overflow_rate": 1.5}, "overflow_rate"),
        ({"overflow_rate": math.nan}, "overflow_rate"),
        ({"quant_method": "cubic"}, "'linear', 'log', 'log_minmax', 'minmax', 'tanh'"),
        ({"min": 2.0, "max": 1.0}, "min"),
        ({"max": math.inf}, "max"),
        ({"min": "x"}, "min"),
        ({"tensor": torch.arange(3), "override_original": True}, "floating point"),
    ],
)
def test_bad_arguments_are_named_and_change_nothing(change, message):
    arguments = {"tensor": torch.tensor([0.1, 0.7, 0.9]), "quant": 2, "override_original": True, **change}
    tensor = arguments["tensor"]
    before = tensor.clone() if isinstance(tensor, torch.Tensor) else None
    with pytest.raises(InvalidArgument, match=message):
        quantize(**arguments)
    if before is not None:
        assert torch.equal(torch.nan_to_num(tensor), torch.nan_to_num(before))


# ---- The operators behind it ----


@pytest.mark.host_only
def test_operators_are_well_formed():
    """Schema, fake, autograd registration and compilation, as torch checks them."""
    check = torch.library.opcheck
    x = torch.randn(6, requires_grad=True)
    check(torch.ops.memtorch.quantize.default, (x, "linear", 4, 0.0, None, None))
    bounds = (torch.zeros(6, dtype=torch.float64), torch.ones(6, dtype=torch.float64))
    check(torch.ops.memtorch.quantize.default, (x, "", 4, 0.0, *bounds))
    partial = torch.randn(2, 3, 5, 2, requires_grad=True)
    check(torch.ops.memtorch.digitize_and_sum.default, (partial, [3, 5], "linear", 8, 0.0, 0.0))


def test_converters_digitise_every_part_tile_and_input_on_their_own():
    partial = torch.randn(3, 2, 7, 4, dtype=torch.float64) * torch.logspace(-3, 0, 7, dtype=torch.float64)[:, None]
    got = _ops.digitize_and_sum(partial, [3, 6, 7], "linear", 5, 0.0, 0.0)
    expected = torch.zeros(2, 7, 4, dtype=torch.float64)
    for part in range(3):
        for outer in range(2):
            for inner in range(4):
                for low, high in ((0, 3), (3, 6), (6, 7)):
                    own = partial[part, outer, low:high, inner].tolist()
                    expected[outer, low:high, inner] += torch.tensor(reference.quantize(own, 5, "linear"))
    # Sums of three multiples of powers of two: exact.
    assert torch.equal(got, expected)


def test_a_fixed_range_is_the_same_for_every_converter():
    partial = torch.tensor([[[[0.3]], [[0.04]], [[1.7]]]], dtype=torch.float64)
    got = _ops.digitize_and_sum(partial, [1], "linear", 4, 0.0, 1.0)
    step = 2.0**-3
    assert got.flatten().tolist() == [0.25, 0.0, 7 * step]


def test_gradients_of_converters_pass_straight_through():
    partial = torch.randn(3, 2, 4, 1, requires_grad=True)
    weights = torch.randn(2, 4, 1)
    (_ops.digitize_and_sum(partial, [4], "linear", 4, 0.0, 0.0) * weights).sum().backward()
    assert torch.equal(partial.grad, weights.expand(3, 2, 4, 1))


@pytest.mark.host_only
def test_operators_compile():
    """Under torch.compile's tracer without code generation, which needs a compiler."""

    def f(x):
        return _ops.quantize(x * 2, "linear", 4, 0.0, None, None) + 1

    x = torch.randn(8)
    assert torch.equal(torch.compile(f, backend="eager", fullgraph=True)(x), f(x))
