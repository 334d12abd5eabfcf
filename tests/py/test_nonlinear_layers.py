"""Layers with non-linear devices, against one input vector at a time, and ``apply_non_linear``."""

import copy
import math
import pickle
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from layer_tools import DOUBLE, SINGLE, VTEAM, patched
from reference.layers import converter
from reference.nonlinear import patches
from torch import nn

import memtorch
from memtorch.bh import StochasticParameter, simulate_matmul
from memtorch.bh.memristor import Data_Driven, Stanford_PKU
from memtorch.bh.nonideality import NonIdeality, apply_non_linear, apply_nonidealities
from memtorch.mn import _nonlinear

OWN = {"V_0": StochasticParameter(loc=0.25, scale=0.02, min=0.2, max=0.3)}
ADC = {"ADC_resolution": 4, "quant_method": "minmax"}
WIDE = (1, 2, 1)  # a sweep of 2 V, a whole period

LAYERS = {
    "Linear": (nn.Linear(7, 5), (3, 7)),
    "Linear, one vector": (nn.Linear(7, 5), (7,)),
    "Linear, more dimensions": (nn.Linear(7, 5, bias=False), (2, 2, 7)),
    "Conv1d": (nn.Conv1d(4, 6, 3, stride=2, padding="valid", groups=2), (2, 4, 9)),
    "Conv1d, unbatched": (nn.Conv1d(2, 3, 2, padding=1), (2, 5)),
    "Conv2d": (
        nn.Conv2d(4, 6, (3, 2), stride=(2, 1), dilation=(1, 2), padding=(1, 2), groups=2, padding_mode="circular"),
        (2, 4, 6, 5),
    ),
    "Conv2d, same": (nn.Conv2d(2, 3, (2, 3), padding="same", padding_mode="reflect", bias=False), (1, 2, 4, 5)),
    "Conv2d, depthwise": (nn.Conv2d(3, 3, 2, groups=3, padding=1, padding_mode="replicate"), (2, 3, 3, 3)),
    "Conv3d": (nn.Conv3d(2, 3, (2, 1, 2), padding=1), (1, 2, 3, 2, 3)),
}
each_layer = pytest.mark.parametrize(("digital", "shape"), LAYERS.values(), ids=LAYERS.keys())


def random_input(shape, scale=1.0, dtype=torch.float32, seed=0):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 2 - 1) * scale


def read_by_vector(layer, v, *, nl, adc=None):
    """The readout of a layer, one input vector after the other; simulated devices move.

    Args:
        layer: A memristive layer; its crossbars are the only part of it that is used.
        v: Voltages in the form of an input.
        nl: Frozen or simulated.
        adc: Bits and method, or None.
    """
    crossbars = layer.crossbars
    columns = crossbars[0].columns
    convolution = not isinstance(layer, nn.Linear)
    batched = v.unsqueeze(0) if convolution and v.dim() == layer.sample_dims else v
    vectors, sizes = patches(batched, layer) if convolution else (batched.reshape(-1, 1, 1, batched.shape[-1]), [])
    samples, positions, groups, _ = vectors.shape
    out = torch.zeros(samples, columns, positions, dtype=v.dtype)
    own = columns // groups
    for sample in range(samples):
        for position in range(positions):
            for group in range(groups):
                vector = vectors[sample, position, group]
                mine = slice(group * own, (group + 1) * own)
                currents = layer.crossbar_operation(crossbars, partial_currents, vector=vector, nl=nl)
                out[sample, mine, position] = summed(currents, mine, layer.tile_shape, adc)[mine]
    if not convolution:
        return out.reshape(*v.shape[:-1], columns)
    output = out.unflatten(2, sizes)
    return output if batched is v else output.squeeze(0)


def partial_currents(crossbar, vector, nl):
    """[tiles down, columns], each row of tiles driven alone, as its word lines are: the others' are at 0 V."""
    if not nl:  # every device must move once: the sum over the rows of tiles is all that can be asked for
        return simulate_matmul(vector, crossbar, nl=False).unsqueeze(0)
    height = (crossbar.tile_shape or (crossbar.rows,))[0]
    parts = []
    for top in range(0, crossbar.rows, height):
        alone = torch.zeros_like(vector)
        alone[top : top + height] = vector[top : top + height]
        parts.append(simulate_matmul(alone, crossbar))
    return torch.stack(parts)


def summed(currents, mine, tile_shape, adc):
    if adc is None:
        return currents.sum(0)
    out = torch.zeros_like(currents[0])
    width = (tile_shape or (0, currents.shape[1]))[1]
    for row in currents:
        for left in range(0, currents.shape[1], width):
            read = [c for c in range(left, min(left + width, currents.shape[1])) if mine.start <= c < mine.stop]
            for c, value in zip(read, converter(row[read].tolist(), *adc), strict=True) if read else ():
                out[c] += value
    return out


def near(got, want, terms=40):
    """Equal to within the rounding of float32 sums of ``terms`` products that cancel in part."""
    return torch.allclose(got, want, rtol=0, atol=terms * 2**-23 * max(want.abs().max().item(), 1e-30))


# ---- Against one input vector at a time ----


@each_layer
@pytest.mark.parametrize("scheme", [DOUBLE, SINGLE])
@pytest.mark.parametrize("tile_shape", [None, (3, 2)])
@pytest.mark.parametrize("params", [{}, OWN], ids=["one shape", "a shape each"])
def test_a_swept_layer_reads_every_vector_from_the_curves(digital, shape, scheme, tile_shape, params):
    layer = patched(digital, Stanford_PKU, params, scheme=scheme, tile_shape=tile_shape)
    x = random_input(shape)
    assert apply_non_linear(layer, *WIDE) is layer
    assert near(layer.read(x), read_by_vector(layer, x, nl=True))
    assert layer(x).shape == digital(x).shape


@each_layer
@pytest.mark.parametrize("scheme", [DOUBLE, SINGLE])
@pytest.mark.parametrize("tile_shape", [None, (3, 2)])
@pytest.mark.parametrize("params", [{}, OWN], ids=["one shape", "a shape each"])
def test_converters_of_a_swept_layer_act_per_tile_and_vector(digital, shape, scheme, tile_shape, params):
    layer = patched(digital, Stanford_PKU, params, scheme=scheme, tile_shape=tile_shape, **ADC)
    x = random_input(shape).double()
    apply_non_linear(layer, *WIDE)
    # float64 currents differ by some 1e-15 of the largest; none lies so near to the edge of a step.
    assert near(layer.read(x), read_by_vector(layer, x, nl=True, adc=(4, "minmax")))


@each_layer
@pytest.mark.parametrize("scheme", [DOUBLE, SINGLE])
@pytest.mark.parametrize("params", [{}, {"r_off": StochasticParameter(loc=17e3, scale=1e2, min=1e4)}])
def test_a_simulated_layer_reads_samples_positions_and_groups_in_turn(digital, shape, scheme, params):
    layer = patched(digital, Data_Driven, params, scheme=scheme, tile_shape=(3, 2))
    slow = copy.deepcopy(layer)
    apply_non_linear(layer, simulate=True)
    assert layer.simulate
    x = random_input(shape, 1.5)
    assert near(layer.read(x), read_by_vector(slow, x, nl=False))
    for moved, want in zip(layer.crossbars, slow.crossbars, strict=True):
        # The state is stored at every call of the slow loop, without rounding.
        assert torch.equal(moved.devices.column("r"), want.devices.column("r"))
        assert torch.equal(moved.conductance_matrix, want.conductance_matrix)


@pytest.mark.parametrize("simulate", [False, True])
@each_layer
def test_reading_in_parts_changes_nothing(digital, shape, simulate, monkeypatch):
    whole = patched(digital, Data_Driven, {}, scheme=SINGLE, tile_shape=(3, 2), **ADC)
    apply_non_linear(whole, simulate=True) if simulate else apply_non_linear(whole, *WIDE)
    x = random_input(shape)
    layers = [copy.deepcopy(whole) for _ in range(2)]
    want = whole.read(x)
    for layer, elements in zip(layers, (1, 200), strict=True):
        monkeypatch.setattr(_nonlinear, "_MAX_ELEMENTS", elements)
        # float32 products of another shape may round differently.
        assert near(layer.read(x), want)


@given(st.sampled_from(list(LAYERS)), st.sampled_from([DOUBLE, SINGLE]), st.sampled_from([None, (2, 3)]), st.booleans())
def test_devices_without_curvature_are_read_like_linear_ones(name, scheme, tile_shape, simulate):
    digital, shape = LAYERS[name]
    layer = patched(digital, VTEAM, {}, scheme=scheme, tile_shape=tile_shape, max_input_voltage=0.01)
    x = random_input(shape)  # at most 10 mV on a device: no VTEAM device moves
    want = layer(x)
    apply_non_linear(layer, simulate=True) if simulate else apply_non_linear(layer, *WIDE)
    assert near(layer(x), want, 200)


def test_a_sample_does_not_depend_on_its_batch_mates():
    for params in ({}, OWN):
        layer = patched(nn.Linear(7, 5), Stanford_PKU, params, max_input_voltage=0.3, tile_shape=(3, 2), **ADC)
        apply_non_linear(layer, *WIDE)
        x = random_input((3, 7))
        y = x.clone()
        y[1:] *= 1000
        assert torch.equal(layer(x)[0], layer(y)[0])


# ---- The sweep ----


def test_the_amplitude_is_honoured():
    layer = patched(nn.Linear(7, 5), Stanford_PKU, {})
    x = random_input((4, 7), 0.9)
    apply_non_linear(layer, 1, 1, 1)
    wide = layer(x)
    apply_non_linear(layer, 1, 0.5, 1)
    with pytest.warns(UserWarning, match="beyond the sweep .-0.5 to 0.5 V."):
        narrow = layer(x)
    assert not torch.allclose(wide, narrow, rtol=0.01)
    assert torch.equal(narrow, layer(x.clamp(-0.5, 0.5)))


def test_a_sweep_covers_the_voltages_that_it_passes():
    layer = patched(nn.Linear(7, 5), Stanford_PKU, {})
    for duration, low in ((10.0, -2.0), (0.25, -2.0), (1 / 6, 2 * math.cos(2 * math.pi / 3)), (0.125, 0.0)):
        apply_non_linear(layer, duration, 2, 2)
        assert layer.non_linear.low == pytest.approx(low, abs=1e-15)  # a cosine near its zero
        assert layer.non_linear.high == 2


def test_a_layer_warns_once_of_voltages_beyond_its_sweep():
    layer = patched(nn.Linear(7, 5), Stanford_PKU, {})
    x = random_input((4, 7))
    apply_non_linear(layer, 1, 0.1, 1)
    with pytest.warns(UserWarning, match="beyond the sweep"):
        layer(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(x)
        apply_non_linear(layer, *WIDE)
        layer(x)
        apply_non_linear(layer, simulate=True)
        layer(x)


def test_gradients_vanish_beyond_the_sweep():
    layer = patched(nn.Linear(2, 3), Stanford_PKU, {})
    apply_non_linear(layer, 1, 0.5, 1)
    x = torch.tensor([0.4, 0.7], requires_grad=True)
    with pytest.warns(UserWarning, match="beyond the sweep"):
        layer(x).sum().backward()
    assert x.grad[0] != 0
    assert x.grad[1] == 0


# ---- Conductance states ----


@pytest.mark.parametrize("states", [1, 2, 5])
@pytest.mark.parametrize("scheme", [DOUBLE, SINGLE])
@pytest.mark.parametrize("params", [{}, {**OWN, "r_off": StochasticParameter(loc=2e5, scale=1e4, min=1e5)}])
def test_devices_have_the_curve_of_the_nearest_state(states, scheme, params):
    layer = patched(nn.Linear(7, 5), Stanford_PKU, params, scheme=scheme, tile_shape=(3, 2))
    nearest = copy.deepcopy(layer)
    for crossbar in nearest.crossbars:
        low, high = (1 / torch.as_tensor(crossbar.devices.parameter(r), dtype=torch.float64) for r in ("r_off", "r_on"))
        fractions = [0.5] if states == 1 else [k / (states - 1) for k in range(states)]
        shape = crossbar.conductance_matrix.shape
        levels = torch.stack([(low + (high - low) * fraction).expand(shape) for fraction in fractions])
        index = (levels - crossbar.conductance_matrix).abs().argmin(0, keepdim=True)
        crossbar.conductance_matrix = levels.gather(0, index).squeeze(0)
    x = random_input((3, 7), 0.5)
    apply_non_linear(layer, *WIDE, num_conductance_states=states)
    apply_non_linear(nearest, *WIDE)
    assert near(layer.read(x), nearest.read(x))


@pytest.mark.parametrize("scheme", [DOUBLE, SINGLE])
def test_nothing_that_states_depend_on_changes_unseen(scheme):
    layer = patched(nn.Linear(7, 5), Stanford_PKU, {}, scheme=scheme)
    x = random_input((3, 7), 0.5)
    apply_non_linear(layer, *WIDE, num_conductance_states=3)

    def changed(change):
        before = layer(x)
        assert torch.equal(layer(x), before)
        change()
        return not torch.equal(layer(x), before)

    devices = layer.crossbars[0].devices
    assert changed(lambda: devices.set_params(r_off=1e5))
    assert changed(lambda: devices.set_params(r_off=torch.linspace(1e5, 1.3e5, 35).double().view(7, 5)))
    assert changed(lambda: devices.buffer("param_r_off").mul_(0.9))
    assert changed(lambda: layer.crossbars[0].conductance_matrix.copy_(torch.full((7, 5), 1.2e-3)))
    assert changed(lambda: apply_non_linear(layer, *WIDE, num_conductance_states=7))
    assert changed(lambda: apply_non_linear(layer, *WIDE))
    assert changed(lambda: devices.set_params(V_0=0.3))


# ---- A layer like any other ----


@pytest.mark.parametrize("params", [{}, OWN])
@pytest.mark.parametrize(("digital", "shape"), [LAYERS["Linear"], LAYERS["Conv2d"]])
def test_gradients_reach_the_inputs(digital, shape, params):
    layer = patched(copy.deepcopy(digital).double(), Stanford_PKU, params, tile_shape=(3, 2))
    apply_non_linear(layer, *WIDE)
    x = random_input(shape, 0.3, torch.float64)[:1].requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,))


@pytest.mark.parametrize("scheme", [DOUBLE, SINGLE])
def test_gradients_of_a_simulated_layer_are_those_of_the_linear_one(scheme):
    layer = patched(nn.Linear(7, 5), Data_Driven, {}, scheme=scheme)
    linear = copy.deepcopy(layer)
    apply_non_linear(layer, simulate=True)
    x, y = (random_input((3, 7)).requires_grad_() for _ in range(2))
    grad = random_input((3, 5), seed=1)
    layer(x).backward(grad)
    linear(y).backward(grad)
    assert torch.allclose(x.grad, y.grad, rtol=1e-4, atol=1e-6)  # float32 sums of conductances that cancel


@pytest.mark.parametrize("params", [{}, OWN])
def test_tuning_fits_what_the_devices_read(params):
    layer = patched(nn.Linear(20, 10), Stanford_PKU, params)
    apply_non_linear(layer, *WIDE)
    x = random_input((200, 20), 0.99)
    want = layer.digital(x) + layer.bias

    def error():
        return (layer(x) - want).square().mean().item()

    untuned = error()
    layer.tune()
    assert error() < 0.3 * untuned  # sinh(4 v) is steeper than 4 v all over [-1, 1]


@pytest.mark.parametrize("make", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
@pytest.mark.parametrize("simulate", [False, True])
def test_a_copy_reads_the_same(make, simulate):
    layer = patched(nn.Conv2d(2, 3, 2), Data_Driven, {}, max_input_voltage=0.5)
    apply_non_linear(layer, simulate=True) if simulate else apply_non_linear(layer, 1, 0.7, 1, 9)
    x = random_input((2, 2, 4, 4))
    twin = make(layer)
    assert twin.non_linear == layer.non_linear
    assert torch.equal(twin(x), layer(x))
    assert torch.equal(twin.crossbars[0].conductance_matrix, layer.crossbars[0].conductance_matrix)


def test_the_enumeration_sets_every_layer_of_a_model():
    model = patched(nn.Sequential(nn.Linear(7, 5), nn.Sequential(nn.ReLU(), nn.Linear(5, 2))), Stanford_PKU, {})
    twin = copy.deepcopy(model)
    x = random_input((3, 7))
    sweep = {"sweep_duration": 1, "sweep_voltage_signal_amplitude": 9, "sweep_voltage_signal_frequency": 1}
    apply_nonidealities(model, [NonIdeality.NonLinear], **sweep, num_conductance_states=7)
    for layer in (twin[0], twin[1][1]):
        apply_non_linear(layer, 1, 9, 1, 7)
    assert torch.equal(model(x), twin(x))
    apply_nonidealities(model, [NonIdeality.NonLinear], simulate=True)
    assert model[0].simulate
    assert model[1][1].simulate


def test_a_layer_can_be_made_linear_again():
    layer = patched(nn.Linear(7, 5), Stanford_PKU, {})
    x = random_input((3, 7))
    before = layer(x)
    assert layer.non_linear is None
    assert not layer.simulate
    apply_non_linear(layer, *WIDE)
    assert not torch.allclose(layer(x), before, rtol=0.01)
    layer.non_linear = None
    assert torch.equal(layer(x), before)


def test_no_call_of_a_non_linear_layer_warns():
    layer = patched(nn.Linear(7, 5), Stanford_PKU, {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        apply_non_linear(layer, *WIDE)
        layer(random_input((3, 7)))
        apply_non_linear(layer, simulate=True)
        layer(random_input((3, 7)))


# ---- Bad input ----


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "sweep_duration, sweep_voltage_signal_amplitude, sweep_voltage_signal_frequency must be given"),
        ({"sweep_duration": 1}, r"\] sweep_voltage_signal_amplitude, sweep_voltage_signal_frequency must be given"),
        ({"simulate": True, "sweep_duration": 1, "num_conductance_states": 3}, "duration, num_conductance_states must"),
        ({"simulate": 2}, "simulate"),
        ({"sweep_duration": 0}, "sweep_duration .0 s. must"),
        ({"sweep_voltage_signal_amplitude": -1}, "sweep_voltage_signal_amplitude .-1 V. must"),
        ({"sweep_voltage_signal_frequency": math.inf}, "sweep_voltage_signal_frequency .inf Hz. must"),
        ({"num_conductance_states": 0}, "num_conductance_states"),
        ({"num_conductance_states": 2.5}, "num_conductance_states"),
        ({"layer": nn.Linear(2, 2)}, "layer .Linear. must be a patched layer"),
    ],
)
def test_bad_arguments_are_named_together_and_change_nothing(arguments, message):
    layer = patched(nn.Linear(2, 2), VTEAM)
    sweep = dict(
        zip(("sweep_duration", "sweep_voltage_signal_amplitude", "sweep_voltage_signal_frequency"), WIDE, strict=True)
    )
    partial = not arguments or "simulate" in arguments or arguments == {"sweep_duration": 1}
    with pytest.raises(memtorch.InvalidArgument, match=message):
        apply_non_linear(**{"layer": layer, **({} if partial else sweep), **arguments})
    assert layer.non_linear is None
    with pytest.raises(memtorch.InvalidArgument, match="non_linear"):
        layer.non_linear = True
    assert layer.non_linear is None


@pytest.mark.checks_values
def test_voltages_that_no_device_could_carry_are_an_error_and_move_nothing():
    layer = patched(nn.Linear(2, 2), Stanford_PKU)
    before = [crossbar.conductance_matrix.clone() for crossbar in layer.crossbars]
    for x in (torch.full((1, 2), 1e4), torch.tensor([[0.1, torch.nan]])):
        apply_non_linear(layer, simulate=True)
        with pytest.raises(memtorch.InvalidArgument, match="voltage"):
            layer(x)
        apply_non_linear(layer, 1, 1e5, 1)
        with pytest.raises(memtorch.InvalidArgument, match="voltage"):
            layer(x)
    assert all(torch.equal(c.conductance_matrix, g) for c, g in zip(layer.crossbars, before, strict=True))
