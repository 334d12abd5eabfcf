"""memtorch.mn.Linear against torch.nn.Linear, and against plain loops where converters act."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from layer_tools import DOUBLE, EPS, SINGLE, VTEAM, integers, patched, plain, set_exact, worst_error
from reference.layers import read
from torch import nn

import memtorch
from memtorch.mn import _readout

METHODS = memtorch.bh.quant_methods


def generator(seed):
    return torch.Generator().manual_seed(seed)


def random_linear(inputs, outputs, bias=True, dtype=torch.float32, seed=0):
    layer = nn.Linear(inputs, outputs, bias=bias, dtype=dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-1, 1, generator=generator(seed))
    return layer


# ---- Without converters ----


@given(
    st.integers(1, 20),
    st.integers(1, 20),
    st.booleans(),
    st.sampled_from([DOUBLE, SINGLE]),
    st.sampled_from([None, (1, 1), (3, 2), (7, 30)]),
    st.sampled_from([None, 0.3]),
    st.sampled_from([(), (1,), (4,), (2, 3), (2, 1, 3), (0,)]),
    st.sampled_from([torch.float32, torch.float64]),
    st.integers(0, 1000),
)
def test_an_ideal_layer_equals_torch(inputs, outputs, bias, scheme, tile_shape, limit, leading, dtype, seed):
    digital = random_linear(inputs, outputs, bias, dtype, seed)
    x = torch.randn(*leading, inputs, generator=generator(seed + 1), dtype=dtype)
    layer = patched(digital, scheme=scheme, tile_shape=tile_shape, max_input_voltage=limit)
    output, want = layer(x), digital(x)
    assert output.dtype == want.dtype
    assert output.shape == want.shape
    # scaling multiplies and divides each sample once more
    bound = worst_error(digital, x, nn.functional.linear, scheme) * (1.2 if limit else 1)
    assert ((output.double() - want.double()).abs() <= bound).all()


def test_single_column_does_not_drop_negative_weights():
    digital = random_linear(16, 8)
    digital.weight.data = -digital.weight.data.abs()
    x = torch.randn(5, 16, generator=generator(1))
    layer = patched(digital, scheme=SINGLE)
    assert ((layer(x) - digital(x)).abs() <= worst_error(digital, x, nn.functional.linear, SINGLE)).all()


def test_a_sample_does_not_depend_on_its_batch_mates():
    digital = random_linear(9, 4)
    for options in ({}, {"ADC_resolution": 4, "quant_method": "linear", "tile_shape": (4, 3)}):
        layer = patched(digital, max_input_voltage=0.3, **options)
        x = torch.randn(3, 9, generator=generator(0))
        y = x.clone()
        y[1:] *= 1000
        assert torch.equal(layer(x)[0], layer(y)[0])


def test_gradients_reach_the_inputs():
    digital = random_linear(5, 3)
    for options in ({}, {"max_input_voltage": 0.1}, {"ADC_resolution": 16, "quant_method": "linear"}):
        layer = patched(digital, **options)
        x = torch.randn(2, 5, generator=generator(0), requires_grad=True)
        layer(x).square().sum().backward()
        y = x.detach().clone().requires_grad_()
        digital(y).square().sum().backward()
        # twice the relative error of the outputs: 16 bits for the converters, else rounding
        assert torch.allclose(x.grad, y.grad, rtol=1e-3 if "quant_method" in options else 1e-5, atol=1e-4)


def test_inference_mode_leaves_a_layer_that_can_still_be_differentiated():
    with torch.inference_mode():
        layer = patched(random_linear(4, 2))
        layer(torch.ones(1, 4))
    x = torch.ones(1, 4, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.shape == (1, 4)


def test_legacy_computes_digitally():
    digital = random_linear(6, 5)
    layer = patched(digital, ADC_resolution=2, quant_method="linear")
    x = torch.randn(3, 6, generator=generator(2))
    assert not torch.equal(layer(x), digital(x))
    layer.forward_legacy(True)
    assert torch.equal(layer(x), digital(x))


def test_a_fresh_layer_computes_digitally():
    digital = random_linear(3, 2)
    assert memtorch.mn.Linear(digital, VTEAM, {}, verbose=False).forward_legacy_enabled


def test_parameters_are_shared_and_frozen():
    digital = random_linear(3, 2)
    layer = memtorch.mn.Linear(digital, VTEAM, {}, verbose=False)
    assert layer.weight.data_ptr() == digital.weight.data_ptr()
    assert not any(parameter.requires_grad for parameter in layer.parameters())
    assert digital.weight.requires_grad


def test_half_precision_does_not_lose_the_currents():
    digital = random_linear(8, 4)
    x = torch.randn(3, 8, generator=generator(3)).half()
    for options in ({}, {"max_input_voltage": 0.3}, {"ADC_resolution": 12, "quant_method": "linear"}):
        layer = patched(digital, params={"r_on": 5e6, "r_off": 1e8}, **options).half()
        output = layer(x)
        assert output.dtype == torch.float16
        # half precision: 8 products of rounded factors, and 12 bits
        assert torch.allclose(output.float(), digital(x.float()), rtol=0.01, atol=0.01)


# ---- The cached weight ----


def written(layer, how):
    crossbar = layer.crossbars[0]
    if how == "element":
        crossbar.conductance_matrix[0, 1] = 0.015
    elif how == "device":
        crossbar.devices[0][1].set_conductance(0.015)
        crossbar.update(from_devices=True)
    elif how == "g of a device":
        crossbar.devices[0][1].g = 0.015
    elif how == "whole":
        matrix = crossbar.conductance_matrix.clone()
        matrix[0, 1] = 0.015
        crossbar.conductance_matrix = matrix
    elif how == "load_state_dict":
        state = copy.deepcopy(layer.state_dict())
        state["crossbars.0.devices.g"][0, 1] = 0.015
        layer.load_state_dict(state)
    elif how == "crossbar":
        other = memtorch.bh.crossbar.Crossbar(VTEAM, {}, tuple(layer.weight.shape))
        target = crossbar.conductance_matrix.clone()
        target[0, 1] = 0.015
        other.write_conductance_matrix(target.t())
        layer.crossbars[0] = other
    else:
        with torch.inference_mode():
            crossbar.conductance_matrix[0, 1] = 0.015


@pytest.mark.parametrize("adc", [{}, {"ADC_resolution": 16, "quant_method": "linear"}])
@pytest.mark.parametrize(
    "how", ["element", "device", "g of a device", "whole", "load_state_dict", "crossbar", "inference mode"]
)
def test_no_way_of_writing_leaves_a_stale_weight(how, adc):
    layer = patched(random_linear(4, 3), **adc)
    x = torch.eye(4)
    before = layer(x)
    written(layer, how)
    change = layer(x) - before
    matrix = layer.crossbars[0].matrix() - layer.crossbars[1].matrix()
    assert change[0, 1].abs() > 0.01
    # 16 bits of the largest output; without converters rounding alone
    fresh = matrix * layer.transform_output.gain.float() + layer.bias
    assert torch.allclose(layer(x), fresh, rtol=0, atol=1e-4 if adc else 1e-6)


def test_changed_coefficients_and_bias_take_effect():
    layer = patched(random_linear(4, 3))
    x = torch.ones(1, 4)
    before = layer(x)
    layer.transform_output.offset += 2
    layer.bias.data = layer.bias.data + 3
    assert torch.allclose(layer(x), before + 5, rtol=4 * EPS)
    layer.transform_output.gain.zero_()
    assert torch.allclose(layer(x), layer.bias + 2, rtol=4 * EPS)


def test_any_function_may_transform_the_output():
    digital = random_linear(4, 3)
    layer = patched(digital)
    x, gain = torch.ones(2, 4), layer.transform_output.gain
    layer.transform_output = lambda i: 2 * gain * i
    assert torch.allclose(layer(x), 2 * (digital(x) - digital.bias) + digital.bias, rtol=1e-5)
    layer.transform_output = nn.Identity()
    assert torch.allclose(layer(x), layer.read(x) + layer.bias)
    with pytest.raises(memtorch.InvalidArgument, match="transform_output"):
        layer.transform_output = 3


# ---- Converters ----


@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([None, (1, 1), (2, 4), (4, 3), (16, 16)]),
    st.integers(1, 10),
    st.sampled_from([0.0, 0.2, 1.0]),
    st.integers(0, 1000),
)
def test_converters_act_per_tile_and_vector(inputs, outputs, tile_shape, bits, overflow_rate, seed):
    layer = patched(
        random_linear(inputs, outputs),
        tile_shape=tile_shape,
        ADC_resolution=bits,
        ADC_overflow_rate=overflow_rate,
        quant_method="linear",
    )
    matrix = plain(set_exact(layer, generator(seed)))
    x = integers((3, inputs), generator(seed + 1))
    want = [
        read(v, matrix, tile_shape or (inputs, outputs), bits=bits, method="linear", overflow_rate=overflow_rate)
        for v in plain(x)
    ]
    # Currents are exact in float32, steps are powers of two: nothing is left to round.
    assert plain(layer.read(x)) == want


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("tile_shape", [None, (4, 3)])
def test_every_method_acts_per_tile_and_vector(method, tile_shape):
    layer = patched(random_linear(10, 7), tile_shape=tile_shape, ADC_resolution=6, quant_method=method)
    matrix = plain(set_exact(layer, generator(0)))
    x = torch.randn(8, 10, generator=generator(1))  # integers would lie half-way between two levels
    want = [read(v, matrix, tile_shape or (10, 7), bits=6, method=method) for v in plain(x)]
    # Currents, logarithms and level positions are rounded; a step of 6 bits is far more: none may be a step off.
    assert torch.allclose(layer.read(x), torch.tensor(want), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("method", ["linear", "minmax"])
def test_a_fixed_range_serves_every_converter(method):
    layer = patched(random_linear(6, 5), tile_shape=(4, 2), ADC_resolution=5, quant_method=method, ADC_range=0.1)
    matrix = plain(set_exact(layer, generator(2)))
    x = integers((6, 6), generator(3))
    want = [read(v, matrix, (4, 2), bits=5, method=method, adc_range=0.1) for v in plain(x)]
    assert torch.allclose(layer.read(x), torch.tensor(want), rtol=1e-6)


def test_converters_give_the_output_of_the_digital_layer_within_their_resolution():
    digital = random_linear(40, 12)
    x = torch.randn(2, 3, 40, generator=generator(4))
    tiled = patched(digital, tile_shape=(16, 8), ADC_resolution=14, quant_method="linear")
    # 3 converters of 14 bits: half a step each, where a step is at most 2^-12 of the largest partial sum
    largest = x.abs().sum(-1).max() * digital.weight.abs().max()
    assert torch.allclose(tiled(x), digital(x), rtol=0, atol=(3 * 2**-13 * largest).item())


def test_input_scaling_changes_nothing_that_converters_with_ranges_from_the_data_see():
    digital = random_linear(8, 4)
    options = {"ADC_resolution": 6, "quant_method": "linear", "tile_shape": (4, 4)}
    layer = patched(digital, **options)
    scaled = patched(digital, max_input_voltage=0.25, scaling_routine_params={"force_scale": True}, **options)
    x = integers((3, 8), generator(5))
    x[:, 0] = 8  # so that the factor is a power of two and exact
    assert torch.equal(layer.read(x), scaled.read(x))


def test_a_batch_read_in_parts_reads_the_same(monkeypatch):
    layer = patched(random_linear(9, 4), tile_shape=(4, 3), ADC_resolution=5, quant_method="linear")
    set_exact(layer, generator(0))
    x = integers((5, 9), generator(1))
    whole = layer.read(x)
    for limit in (1, 2 * 3 * 4):
        monkeypatch.setattr(_readout, "_MAX_PARTIAL_SUMS", limit)
        assert torch.equal(layer.read(x), whole)


def test_resolution_alone_is_no_converter():
    digital = random_linear(4, 3)
    x = torch.ones(1, 4)
    assert torch.equal(patched(digital, ADC_resolution=2)(x), patched(digital)(x))


# ---- Routines of the user ----


def test_a_scaling_routine_may_give_its_factor():
    digital = random_linear(4, 3)
    x = torch.randn(2, 4, generator=generator(6))
    known = patched(digital, scaling_routine=lambda layer, x, by: (x * by, by), scaling_routine_params={"by": 4.0})
    assert torch.allclose(known(x), digital(x), atol=1e-5)
    unknown = patched(digital, scaling_routine=lambda layer, x: x * 4.0)
    assert torch.allclose(unknown(x), 4 * (digital(x) - digital.bias) + digital.bias, atol=1e-5)
    wrong = patched(digital, scaling_routine=lambda layer, x: x[:, :2])
    with pytest.raises(memtorch.InvalidArgument, match="voltages"):
        wrong(x)


def test_a_mapping_routine_of_the_user_is_called_with_the_documented_arguments():
    def halved(weight, r_on, r_off, scheme, p_l):
        assert (r_on, r_off, scheme, p_l) == (50, 1000, DOUBLE, None)
        positive, negative = memtorch.map.naive_map(weight, r_on, r_off, scheme, p_l)
        return (positive + 1 / r_off) / 2, (negative + 1 / r_off) / 2

    digital = random_linear(5, 4)
    x = torch.randn(3, 5, generator=generator(7))
    layer = patched(digital, mapping_routine=halved)
    assert layer.crossbars[0].conductance_matrix.max() < 0.011
    # The nominal gain follows from the least-squares fit. Halved differences double the share of the roundings.
    bound = 2 * worst_error(digital, x, nn.functional.linear)
    assert ((layer(x) - digital(x)).abs() <= bound).all()


def test_passive_cells_are_written_by_the_programming_routine():
    points = []

    def program(crossbar, point, conductance, shift):
        points.append(point)
        crossbar.devices[point].set_conductance(conductance + shift)
        return crossbar.devices

    digital = random_linear(3, 2)
    layer = patched(digital, transistor=False, programming_routine=program, programming_routine_params={"shift": 0.001})
    assert len(points) == 2 * 3 * 2
    positive, _ = memtorch.map.naive_map(digital.weight, 50, 1000, DOUBLE)
    want = (positive.t() + 0.001).clamp(max=1 / 50)
    assert torch.allclose(layer.crossbars[0].conductance_matrix, want, rtol=4 * EPS)


# ---- Errors ----


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("mapping_routine", 3),
        ("transistor", "yes"),
        ("transistor", False),
        ("programming_routine", 1),
        ("programming_routine_params", [1]),
        ("p_l", 0),
        ("p_l", "half"),
        ("scheme", "DoubleColumn"),
        ("tile_shape", 128),
        ("tile_shape", (0, 4)),
        ("tile_shape", (4, 4, 4)),
        ("max_input_voltage", -1),
        ("max_input_voltage", float("nan")),
        ("scaling_routine", None),
        ("scaling_routine_params", None),
        ("source_resistance", -5.0),
        ("source_resistance", "5"),
        ("line_resistance", float("nan")),
        ("line_resistance", (1.0, -1.0)),
        ("line_resistance", (1.0,)),
        ("ADC_resolution", 0),
        ("ADC_resolution", 2.5),
        ("ADC_overflow_rate", 1.1),
        ("ADC_overflow_rate", None),
        ("quant_method", "logarithmic"),
        ("quant_method", "linear"),
        ("ADC_range", 1e-3),
        ("random_crossbar_init", 2),
        ("verbose", None),
        ("cuda_malloc_heap_size", -1),
        ("tile_size", (4, 4)),
        ("memristor_model_params", None),
        ("memristor_model_params", {"r_onn": 3}),
        ("memristor_model", nn.Linear),
    ],
)
def test_bad_options_are_named(option, value):
    arguments = {"memristor_model": VTEAM, "memristor_model_params": {}, option: value}
    named = {"transistor": "programming_routine|transistor", "quant_method": "quant_method|ADC_resolution"}
    with pytest.raises(memtorch.InvalidArgument, match=named.get(option, "r_onn" if value == {"r_onn": 3} else option)):
        memtorch.mn.Linear(nn.Linear(2, 2), **arguments)


def test_options_are_attributes_that_stay_checked():
    layer = patched(random_linear(4, 3), tile_shape=(2, 2))
    assert (layer.tile_shape, layer.transistor, layer.scheme, layer.quant_method) == ((2, 2), True, DOUBLE, None)
    layer.ADC_resolution = 3
    layer.quant_method = "linear"
    x = torch.randn(2, 4, generator=generator(8))
    coarse = layer(x)
    layer.ADC_resolution = 16
    assert not torch.allclose(layer(x), coarse, rtol=1e-3)
    with pytest.raises(memtorch.InvalidArgument, match="quant_method"):
        layer.quant_method = "none"
    with pytest.raises(memtorch.InvalidArgument, match=r"tile_shape.*patch again"):
        layer.tile_shape = (3, 3)
    assert layer.options.quant_method == "linear"


@pytest.mark.parametrize(
    "x", [torch.ones(2, 5), torch.ones(()), torch.ones(2, 4, dtype=torch.int64), [1.0, 2.0, 3.0, 4.0]]
)
def test_inputs_that_do_not_fit_are_named(x):
    layer = patched(random_linear(4, 3))
    with pytest.raises(memtorch.InvalidArgument, match=r"^\[Linear\] input "):
        layer(x)


def test_only_digital_linear_layers_are_taken():
    layer = patched(random_linear(4, 3))

    class Doubled(nn.Linear):
        def forward(self, input):
            return 2 * super().forward(input)

    for wrong in (layer, nn.Conv1d(1, 1, 1), Doubled(2, 2), nn.LazyLinear(3), None):
        with pytest.raises(memtorch.InvalidArgument, match=r"^\[Linear\] linear_layer "):
            memtorch.mn.Linear(wrong, VTEAM, {})
