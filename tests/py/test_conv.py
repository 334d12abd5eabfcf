"""The memristive convolutions against torch's, and against plain loops where converters act."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from layer_strategies import TORCH, convolutions, generator
from layer_tools import DOUBLE, SINGLE, integers, patched, plain, set_exact, worst_error
from reference.layers import conv2d
from torch import nn

import memtorch
from memtorch.mn import _readout

# torch tells so when it pads asymmetrically.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")


def small_conv(**arguments):
    layer = nn.Conv2d(3, 4, 3, **arguments)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-1, 1, generator=generator(0))
    return layer


# ---- Without converters ----


@pytest.mark.parametrize("dims", [1, 2, 3])
@given(data=st.data())
def test_an_ideal_layer_equals_torch(dims, data):
    digital, size, seed = data.draw(convolutions(dims))
    batch = data.draw(st.sampled_from([(), (0,), (1,), (3,)]))
    scheme = data.draw(st.sampled_from([DOUBLE, SINGLE]))
    limit = data.draw(st.sampled_from([None, 0.3]))
    tile_shape = data.draw(st.sampled_from([None, (4, 2)]))
    layer = patched(digital, scheme=scheme, max_input_voltage=limit, tile_shape=tile_shape)
    x = torch.randn(*batch, digital.in_channels, *size, dtype=digital.weight.dtype, generator=generator(seed))
    output, want = layer(x), digital(x)
    assert output.dtype == want.dtype
    assert output.shape == want.shape
    bound = worst_error(digital, x, lambda x, weight: digital._conv_forward(x, weight, None), scheme)
    # scaling multiplies and divides each sample once more
    assert ((output.double() - want.double()).abs() <= bound * (1.2 if limit else 1)).all()


def test_layers_without_bias_have_none():
    layer = patched(small_conv(bias=False))
    assert layer.bias is None
    assert torch.equal(layer(torch.zeros(1, 3, 5, 5)), torch.zeros(1, 4, 3, 3))


def test_a_sample_does_not_depend_on_its_batch_mates():
    for options in ({}, {"ADC_resolution": 4, "quant_method": "linear", "tile_shape": (8, 3)}):
        layer = patched(small_conv(), max_input_voltage=0.3, **options)
        x = torch.randn(3, 3, 6, 6, generator=generator(0))
        y = x.clone()
        y[1:] *= 1000
        assert torch.equal(layer(x)[0], layer(y)[0])


@pytest.mark.parametrize("options", [{}, {"max_input_voltage": 0.1}, {"ADC_resolution": 16, "quant_method": "linear"}])
def test_gradients_reach_the_inputs(options):
    digital = small_conv(padding=1)
    layer = patched(digital, **options)
    x = torch.randn(2, 3, 5, 5, generator=generator(0), requires_grad=True)
    layer(x).sum().backward()
    y = x.detach().clone().requires_grad_()
    digital(y).sum().backward()
    # The gradient of a sum does not see the outputs: rounding of 36 terms and of the conductances.
    assert torch.allclose(x.grad, y.grad, rtol=0, atol=1e-5)


def test_inputs_of_any_memory_format_are_taken():
    digital = small_conv()
    x = torch.randn(2, 3, 6, 5, generator=generator(1))
    for options in ({}, {"ADC_resolution": 6, "quant_method": "linear", "tile_shape": (5, 2)}):
        layer = patched(digital, **options)
        set_exact(layer, generator(2))
        exact = integers((2, 3, 6, 5), generator(3))
        assert torch.equal(layer.read(exact), layer.read(exact.to(memory_format=torch.channels_last)))
        strided = x.transpose(2, 3).contiguous().transpose(2, 3)
        assert torch.allclose(layer(x), layer(strided), rtol=0, atol=1e-6 if not options else 1)


# ---- Converters ----


@given(
    data=st.data(),
    tile_shape=st.sampled_from([None, (1, 1), (4, 2), (7, 3), (9, 4), (40, 40)]),
    bits=st.integers(2, 9),
    overflow_rate=st.sampled_from([0.0, 0.3]),
)
def test_converters_act_per_tile_and_position(data, tile_shape, bits, overflow_rate):
    digital, size, seed = data.draw(convolutions(2))
    digital = digital.float()
    layer = patched(
        digital,
        tile_shape=tile_shape,
        ADC_resolution=bits,
        ADC_overflow_rate=overflow_rate,
        quant_method="linear",
    )
    matrix = plain(set_exact(layer, generator(seed)))
    x = integers((2, digital.in_channels, *size), generator(seed))
    whole = (len(matrix), len(matrix[0]))
    want = [
        conv2d(image, matrix, digital, tile_shape or whole, bits=bits, method="linear", overflow_rate=overflow_rate)
        for image in plain(x)
    ]
    # Currents are exact in float32, steps are powers of two: nothing is left to round.
    assert plain(layer.read(x)) == want
    assert plain(layer.read(x[0])) == want[0]


@pytest.mark.parametrize("method", memtorch.bh.quant_methods)
@pytest.mark.parametrize("groups", [1, 2])
def test_every_method_acts_per_tile_and_position(method, groups):
    digital = nn.Conv2d(4, 6, (3, 2), padding=1, groups=groups)
    layer = patched(digital, tile_shape=(5, 4), ADC_resolution=6, quant_method=method)
    matrix = plain(set_exact(layer, generator(0)))
    x = torch.randn(2, 4, 4, 4, generator=generator(1))  # integers would lie half-way between two levels
    want = [conv2d(image, matrix, digital, (5, 4), bits=6, method=method) for image in plain(x)]
    # Currents, logarithms and level positions are rounded; a step of 6 bits is far more: none may be a step off.
    assert torch.allclose(layer.read(x), torch.tensor(want), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dims", [1, 3])
def test_other_dimensions_read_as_two_do(dims):
    """A 2-d convolution with kernels of height 1, written as 1-d, and again as 3-d."""
    flat = nn.Conv2d(3, 4, (1, 3), padding=(0, 1), bias=False)
    kernel, padding = ((3,), (1,)) if dims == 1 else ((1, 1, 3), (0, 0, 1))
    other = TORCH[dims](3, 4, kernel, padding=padding, bias=False)
    options = {"tile_shape": (5, 3), "ADC_resolution": 5, "quant_method": "linear"}
    a, b = patched(flat, **options), patched(other, **options)
    for layer in (a, b):
        set_exact(layer, generator(0))
    x = integers((2, 3, 1, 7), generator(1))
    y = x.squeeze(2) if dims == 1 else x.unsqueeze(2)
    assert torch.equal(a.read(x).flatten(), b.read(y).flatten())


def test_a_batch_read_in_parts_reads_the_same(monkeypatch):
    layer = patched(small_conv(), tile_shape=(8, 3), ADC_resolution=5, quant_method="linear")
    set_exact(layer, generator(0))
    x = integers((5, 3, 6, 6), generator(1))
    whole = layer.read(x)
    monkeypatch.setattr(_readout, "_MAX_PARTIAL_SUMS", 4 * 4 * 36 * 2)
    assert torch.equal(layer.read(x), whole)
    monkeypatch.setattr(_readout, "_MAX_PARTIAL_SUMS", 1)
    assert torch.equal(layer.read(x), whole)


# ---- Tuning and errors ----


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_tuning_recovers_a_lost_transfer(dims):
    digital = TORCH[dims](2, 3, 3)
    layer = patched(digital)
    nominal = layer.transform_output.gain.item()
    layer.transform_output = nn.Identity()
    layer.tune(input_batch_size=2, input_shape=6)
    # least squares of exact points with float32 rounding
    assert layer.transform_output.gain.item() == pytest.approx(nominal, rel=1e-6)


@pytest.mark.parametrize(
    "x", [torch.ones(1, 2, 5, 5), torch.ones(5, 5), torch.ones(1, 1, 3, 5, 5), torch.ones(3, 5, 5).long()]
)
def test_inputs_that_do_not_fit_are_named(x):
    with pytest.raises(memtorch.InvalidArgument, match=r"^\[Conv2d\] input "):
        patched(small_conv())(x)


@pytest.mark.parametrize("arguments", [{"input_batch_size": 0}, {"input_shape": -3}, {"input_shape": 2.5}])
def test_bad_tuning_arguments_are_named(arguments):
    with pytest.raises(memtorch.InvalidArgument, match="input_shape"):
        patched(small_conv()).tune(**arguments)


def test_tuning_inputs_smaller_than_the_kernel_are_an_error():
    with pytest.raises(memtorch.InvalidArgument, match=r"input_shape .* must fit the layer"):
        patched(small_conv()).tune(input_shape=2)


def test_only_a_convolution_of_the_right_dimension_is_taken():
    with pytest.raises(memtorch.InvalidArgument, match=r"convolutional_layer \(Conv1d\) must be a torch.nn.Conv2d"):
        memtorch.mn.Conv2d(nn.Conv1d(1, 1, 1), memtorch.bh.memristor.VTEAM, {})
