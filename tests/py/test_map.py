"""Mapping, scaling and tuning against their closed forms."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from layer_tools import DOUBLE, EPS, SINGLE, VTEAM, patched
from torch import nn

import memtorch
from memtorch.map.Input import naive_scale
from memtorch.map.Module import LinearTransfer, naive_tune
from memtorch.map.Parameter import naive_map

R_ON, R_OFF = 50.0, 1000.0
G_ON, G_OFF = 1 / R_ON, 1 / R_OFF

weights = st.lists(st.floats(-1e6, 1e6, width=32, allow_subnormal=False), min_size=1, max_size=40).map(torch.tensor)


# ---- naive_map ----


@given(weights, st.booleans())
def test_double_column_is_linear_in_the_weight(w, double_precision):
    w = w.double() if double_precision else w
    positive, negative = naive_map(w, R_ON, R_OFF, DOUBLE)
    w_max = w.abs().max().item()
    for g, sign in ((positive, 1), (negative, -1)):
        assert g.dtype == w.dtype
        want = [G_OFF + (G_ON - G_OFF) * max(sign * x, 0) / w_max if w_max else G_OFF for x in w.tolist()]
        # scale, product and sum are each rounded once, at most at g_on
        assert torch.allclose(g.double(), torch.tensor(want, dtype=torch.float64), rtol=0, atol=2 * EPS * G_ON)


@given(weights)
def test_single_column_is_linear_in_the_weight_and_keeps_negative_weights(w):
    g = naive_map(w, R_ON, R_OFF, SINGLE)
    w_max = w.abs().max().item()
    middle, half = (G_ON + G_OFF) / 2, (G_ON - G_OFF) / 2
    want = [middle + half * x / w_max if w_max else middle for x in w.tolist()]
    assert torch.allclose(g.double(), torch.tensor(want, dtype=torch.float64), rtol=0, atol=2 * EPS * G_ON)


@given(weights, st.sampled_from([DOUBLE, SINGLE]), st.floats(0.01, 1))
def test_conductances_stay_within_the_device_range(w, scheme, p_l):
    try:
        mapped = naive_map(w, R_ON, R_OFF, scheme, p_l)
    except memtorch.InvalidArgument:
        assert (w == 0).any()  # the proportion retained was all zeros
        return
    for g in mapped if scheme is DOUBLE else [mapped]:
        assert g.shape == w.shape
        low, high = (torch.tensor(bound, dtype=torch.float32) for bound in (G_OFF, G_ON))
        assert (g >= low).all()
        assert (g <= high).all()


@given(weights, st.floats(0.01, 1))
def test_p_l_is_the_proportion_of_weights_retained(w, p_l):
    try:
        g = naive_map(w, R_ON, R_OFF, SINGLE, p_l)
    except memtorch.InvalidArgument:
        return
    # the weight at which the mapping saturates, taken from the definition
    ordered = sorted(w.abs().tolist())
    w_max = next(m for k, m in enumerate(ordered, 1) if k >= p_l * len(ordered) - 1e-6)
    scale = (G_ON - G_OFF) / 2 / w_max if w_max else 0
    want = ((G_ON + G_OFF) / 2 + scale * w.double()).clamp(G_OFF, G_ON)
    assert torch.allclose(g.double(), want, rtol=0, atol=2 * EPS * G_ON)


@pytest.mark.parametrize("scheme", [DOUBLE, SINGLE])
def test_retaining_all_weights_is_the_same_as_no_p_l(scheme):
    w = torch.randn(50, generator=torch.Generator().manual_seed(0))
    for a, b in zip(naive_map(w, R_ON, R_OFF, scheme, 1.0), naive_map(w, R_ON, R_OFF, scheme), strict=True):
        assert torch.equal(a, b)


def test_zero_weights_map_to_no_difference():
    positive, negative = naive_map(torch.zeros(3, 4), R_ON, R_OFF, DOUBLE)
    assert torch.equal(positive, negative)
    assert positive[0, 0].item() == pytest.approx(G_OFF, rel=EPS)
    assert naive_map(torch.zeros(2), R_ON, R_OFF, SINGLE)[0].item() == pytest.approx((G_ON + G_OFF) / 2, rel=EPS)


def test_weights_too_small_to_invert_still_map_to_finite_conductances():
    for dtype, tiny in ((torch.float32, 1e-44), (torch.float64, 5e-324)):
        positive, negative = naive_map(torch.tensor([tiny, 0.0, -tiny], dtype=dtype), R_ON, R_OFF, DOUBLE)
        assert positive.tolist() == pytest.approx([G_ON, G_OFF, G_OFF], rel=2 * EPS)
        assert negative.tolist() == pytest.approx([G_OFF, G_OFF, G_ON], rel=2 * EPS)


def test_mapping_takes_any_strides_and_half_precision():
    w = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))
    for a, b in zip(naive_map(w.t(), R_ON, R_OFF, DOUBLE), naive_map(w, R_ON, R_OFF, DOUBLE), strict=True):
        assert torch.equal(a, b.t())
    half = naive_map(w.half(), R_ON, R_OFF, DOUBLE)[0]
    assert torch.equal(half, naive_map(w.half().float(), R_ON, R_OFF, DOUBLE)[0])


def test_mapping_leaves_the_weight_alone():
    w = nn.Parameter(torch.tensor([1.0, -2.0]))
    naive_map(w, R_ON, R_OFF, DOUBLE)
    with torch.no_grad():
        assert not naive_map(w, R_ON, R_OFF, DOUBLE)[0].requires_grad
    assert w.tolist() == [1.0, -2.0]


@pytest.mark.parametrize("scheme", [DOUBLE, SINGLE])
@pytest.mark.parametrize("p_l", [None, 0.7])
def test_naive_map_is_differentiable(scheme, p_l):
    w = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    # Differences of 1e-6 of weights of about 1, whose third derivative is about that too.
    assert torch.autograd.gradcheck(lambda w: naive_map(w, R_ON, R_OFF, scheme, p_l), w, atol=1e-9)
    mapped, plain = (
        [g] if scheme is SINGLE else g
        for g in (naive_map(w, R_ON, R_OFF, scheme, p_l), naive_map(w.detach(), R_ON, R_OFF, scheme, p_l))
    )
    for with_gradient, without in zip(mapped, plain, strict=True):
        # Four roundings of half of 2.2e-16.
        torch.testing.assert_close(with_gradient.detach(), without, rtol=0, atol=5e-16 * G_ON)
    zero = torch.zeros(2, requires_grad=True)
    (grad,) = torch.autograd.grad(naive_map(zero, R_ON, R_OFF, SINGLE).sum(), zero)
    assert torch.equal(grad, torch.zeros(2))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"weight": torch.tensor([1.0, math.nan])}, "weight"),
        ({"weight": torch.tensor([1.0, -math.inf])}, "weight"),
        ({"weight": torch.empty(0)}, "weight"),
        ({"weight": torch.ones(2, dtype=torch.int64)}, "weight"),
        ({"weight": [1.0]}, "weight"),
        ({"r_on": 0.0}, "r_on"),
        ({"r_on": 1000.0}, "r_on"),
        ({"r_off": math.inf}, "r_off"),
        ({"scheme": "DoubleColumn"}, "scheme"),
        ({"p_l": 0.0}, "p_l"),
        ({"p_l": 1.5}, "p_l"),
        ({"p_l": math.nan}, "p_l"),
    ],
)
def test_bad_mapping_arguments_are_named(change, named):
    arguments = {"weight": torch.ones(3), "r_on": R_ON, "r_off": R_OFF, "scheme": DOUBLE} | change
    with pytest.raises(memtorch.InvalidArgument, match=rf"^\[naive_map\] {named} "):
        naive_map(**arguments)


def test_p_l_that_retains_only_zeros_is_an_error():
    with pytest.raises(memtorch.InvalidArgument, match="p_l"):
        naive_map(torch.tensor([0.0, 0.0, 0.0, 5.0]), R_ON, R_OFF, DOUBLE, 0.5)


# ---- naive_scale ----


def module(limit, dims=1):
    return SimpleNamespace(max_input_voltage=limit, sample_dims=dims)


samples = st.lists(st.lists(st.floats(-100, 100, width=32), min_size=3, max_size=3), min_size=1, max_size=6)


@given(samples, st.floats(0.05, 10), st.booleans())
def test_every_sample_is_scaled_by_a_factor_of_its_own(rows, limit, force):
    v = naive_scale(module(limit), torch.tensor(rows), force)
    for row, scaled in zip(rows, v.tolist(), strict=True):
        largest = max(map(abs, row))
        factor = limit / largest if largest > 0 and (force or largest > limit) else 1.0
        factor = min(factor, torch.finfo(torch.float32).max)
        # quotient, product and the largest element itself are rounded
        assert scaled == pytest.approx([x * factor for x in row], rel=3 * EPS, abs=1e-44)


def test_convolutions_scale_by_image():
    x = torch.ones(2, 3, 2, 2)
    x[1, 2, 1, 1] = 4
    v = naive_scale(module(1.0, 3), x)
    assert torch.equal(v[0], x[0])
    assert torch.equal(v[1], x[1] / 4)


def test_zero_samples_stay_zero():
    assert torch.equal(naive_scale(module(0.3), torch.zeros(2, 4), force_scale=True), torch.zeros(2, 4))


def test_without_a_limit_inputs_are_volts():
    x = torch.randn(2, 3)
    assert naive_scale(module(None), x, force_scale=True) is x


@pytest.mark.parametrize("limit", [0, -1.0, math.inf, math.nan, "1"])
def test_bad_limits_are_named(limit):
    with pytest.raises(memtorch.InvalidArgument, match=r"^\[naive_scale\] max_input_voltage "):
        naive_scale(module(limit), torch.ones(1, 2))


# ---- naive_tune ----


def layer_and_input(**options):
    torch.manual_seed(0)
    layer = nn.Linear(6, 4)
    return layer, patched(layer, **options), torch.randn(5, 6)


def test_tuning_finds_the_transfer_that_was_lost():
    _, layer, _ = layer_and_input()
    nominal = layer.transform_output
    layer.transform_output = LinearTransfer(3.0, 5.0)
    transfer = naive_tune(layer, (100, 6), verbose=False)
    # A least-squares fit of 400 exact points; both sides carry float32 rounding.
    assert transfer.gain.item() == pytest.approx(nominal.gain.item(), rel=10 * EPS)
    assert transfer.offset.item() == pytest.approx(0, abs=EPS)
    assert transfer.r2 == pytest.approx(1, abs=1e-9)


def test_tuning_corrects_a_global_change_of_all_conductances():
    digital, layer, x = layer_and_input()
    for crossbar in layer.crossbars:
        crossbar.conductance_matrix = crossbar.conductance_matrix * 0.5 + 1e-4
    assert not torch.allclose(layer(x), digital(x), rtol=0.1)
    layer.tune()
    # g is halved, so are its roundings: the bound of an ideal layer, with room for the fit
    assert torch.allclose(layer(x), digital(x), rtol=0, atol=2e-5 * digital(x).abs().max().item())


def test_tuning_twice_is_harmless():
    _, layer, x = layer_and_input(max_input_voltage=0.3)
    layer.tune()
    once = layer(x)
    layer.tune()
    assert torch.equal(layer(x), once)


def test_tuning_draws_no_global_random_number_and_keeps_the_bias():
    _, layer, _ = layer_and_input()
    state, bias = torch.get_rng_state(), layer.bias.clone()
    layer.tune(7)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(layer.bias, bias)


def test_a_failed_tuning_changes_nothing(monkeypatch):
    _, layer, x = layer_and_input()
    before, transform = layer(x), layer.transform_output
    monkeypatch.setattr(type(layer), "read", lambda self, x: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        layer.tune()
    monkeypatch.undo()
    assert layer.transform_output is transform
    assert torch.equal(layer(x), before)


def test_tuning_a_layer_of_zeros_gives_zeros():
    digital = nn.Linear(3, 2)
    nn.init.zeros_(digital.weight)
    layer = patched(digital)
    layer.tune()
    x = torch.randn(4, 3)
    assert torch.equal(layer(x), digital(x))


def test_tuning_reports_the_coefficient_of_determination(capsys):
    layer = memtorch.mn.Linear(nn.Linear(6, 4), VTEAM, {})
    layer.tune()
    printed = capsys.readouterr().out
    assert f"R^2 = {layer.transform_output.r2:.6f}" in printed
    naive_tune(layer, (9, 6), verbose=False)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("shape", [(4, 5), (4,), (), "46", (4, -6)])
def test_bad_tuning_shapes_are_named(shape):
    with pytest.raises(memtorch.InvalidArgument, match="input"):
        naive_tune(layer_and_input()[1], shape)


def test_tuning_asks_for_a_patched_layer():
    with pytest.raises(memtorch.InvalidArgument, match=r"^\[naive_tune\] module \(Linear\) must be a patched layer"):
        naive_tune(nn.Linear(2, 2), (4, 2))


def test_coefficients_keep_their_precision_when_the_model_loses_its():
    transfer = LinearTransfer(1 / 3, 1 / 7).half()
    assert transfer.gain.item() == 1 / 3
    assert transfer.offset.dtype == torch.float64
