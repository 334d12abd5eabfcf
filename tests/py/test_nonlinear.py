"""Non-linear reads of crossbars, against one device and one voltage at a time."""

import copy

import pytest
import torch
from device_tools import each_model
from hypothesis import given
from hypothesis import strategies as st
from read_tools import crossbar_of, everything, same, voltages
from reference import nonlinear as reference
from reference.layers import converter

import memtorch
from memtorch import _read_ops
from memtorch.bh import Crossbar, simulate_matmul
from memtorch.bh.crossbar._operations import ReferenceColumn
from memtorch.bh.memristor import VTEAM, Data_Driven, Stanford_PKU

TILES = [None, (3, 2), (10, 3)]


# ---- Frozen ----


@each_model
@pytest.mark.parametrize("tile_shape", TILES)
@pytest.mark.parametrize("own", [False, True])
def test_a_frozen_read_adds_the_currents_of_the_devices_and_changes_nothing(model, tile_shape, own):
    crossbar = crossbar_of(model, tile_shape, own=own)
    v = voltages(model, 3)
    before = copy.deepcopy(everything(crossbar))
    got = simulate_matmul(v, crossbar)
    want = reference.frozen(crossbar, v).sum(1)
    # The read uses the conductance as it is stored, float32; the device its state, float64.
    assert torch.allclose(got, want, rtol=0, atol=2**-23 * want.abs().max().item())
    assert got.dtype == torch.float64
    assert same(everything(crossbar), before)


def test_nothing_is_limited_to_the_current_of_one_device():
    crossbar = crossbar_of(VTEAM, rows=200)
    v = torch.full((2, 200), 0.3)
    currents = simulate_matmul(v, crossbar, max_input_voltage=0.3)
    assert torch.allclose(currents, v @ crossbar.conductance_matrix, rtol=1e-5)  # 200 float32 sums
    assert (currents > 50 * crossbar.max_abs_conductance * 0.3).all()


@each_model
def test_a_curve_is_not_a_conductance_times_the_voltage(model):
    crossbar = crossbar_of(model)
    v = voltages(model, 4)
    linear = v @ crossbar.conductance_matrix.double()
    deviation = ((simulate_matmul(v, crossbar) - linear).abs().max() / linear.abs().max()).item()
    if model.__name__ in ("VTEAM", "LinearIonDrift"):  # ohmic in every state
        assert deviation < 1e-12
    else:
        assert deviation > 0.1


def test_the_voltages_are_limited():
    crossbar = crossbar_of(Stanford_PKU, (3, 2))
    v = voltages(Stanford_PKU, 3)
    assert torch.equal(
        simulate_matmul(v, crossbar, max_input_voltage=0.2), simulate_matmul(v.clamp(-0.2, 0.2), crossbar)
    )


@pytest.mark.parametrize("nl", [True, False])
def test_the_reference_column_takes_its_conductance_times_the_sum_of_the_inputs(nl):
    crossbar = crossbar_of(Stanford_PKU, (3, 2))
    v = voltages(Stanford_PKU, 3)
    got = simulate_matmul(v, ReferenceColumn(crossbar, 2e-4), nl=nl)
    assert torch.allclose(got, 2e-4 * v.sum(1, keepdim=True).expand(3, 5), rtol=1e-7)  # 2e-4 in float32


@given(st.integers(1, 6), st.integers(1, 6), st.sampled_from([None, (1, 1), (2, 3), (4, 9)]), st.integers(0, 100))
def test_devices_that_share_a_shape_read_like_devices_that_have_it_each(rows, columns, tile_shape, seed):
    crossbar = crossbar_of(Data_Driven, tile_shape, rows, columns, seed=seed)
    v = voltages(Data_Driven, 2, rows, seed)
    shared = simulate_matmul(v, crossbar)
    cells = torch.full(crossbar.devices.shape, 0.24, dtype=torch.float64)
    crossbar.devices._set_column("a_p", cells)  # the same value, as a column
    each = simulate_matmul(v, crossbar)
    # Sums of at most six rounded terms in another order.
    assert torch.allclose(each, shared, rtol=0, atol=1e-15 * shared.abs().max().item() * 6)


# ---- Simulated ----


@each_model
@pytest.mark.parametrize("tile_shape", TILES)
@pytest.mark.parametrize("own", [False, True])
def test_a_simulated_read_moves_every_device_one_step_for_each_input_in_turn(model, tile_shape, own):
    crossbar = crossbar_of(model, tile_shape, own=own)
    slow = copy.deepcopy(crossbar)
    v = voltages(model, 5)
    before = copy.deepcopy(everything(crossbar))
    got = simulate_matmul(v, crossbar, nl=False)
    want = reference.simulated(slow, v).sum(1)
    # Sums of seven rounded terms in another order.
    assert torch.allclose(got, want, rtol=0, atol=1e-14 * want.abs().max().item())
    assert same(everything(crossbar), everything(slow))
    assert not same(everything(crossbar), before)


def test_inputs_of_one_call_and_of_several_are_one_sequence():
    once = crossbar_of(Data_Driven, (3, 2))
    often = copy.deepcopy(once)
    v = voltages(Data_Driven, 70)
    together = simulate_matmul(v, once, nl=False)
    apart = torch.cat([simulate_matmul(part, often, nl=False) for part in v.split([1, 40, 29])])
    assert torch.equal(together, apart)
    # g is rounded between calls only; the states are the same bits.
    assert torch.equal(once.devices.column("r"), often.devices.column("r"))


def test_currents_depend_on_the_inputs_before():
    v = voltages(Data_Driven, 3)
    forwards = simulate_matmul(v, crossbar_of(Data_Driven), nl=False)
    backwards = simulate_matmul(v.flip(0), crossbar_of(Data_Driven), nl=False).flip(0)
    assert not torch.allclose(forwards, backwards, rtol=1e-3)


def test_noise_is_reproduced_by_torch_seeds():
    def read(seed):
        crossbar = Crossbar(Stanford_PKU, {"model_switch": 1, "time_series_resolution": 1e-9}, (4, 6), (3, 2))
        crossbar.write_conductance_matrix(torch.full((4, 6), 1e-5))
        torch.manual_seed(seed)
        return simulate_matmul(voltages(Stanford_PKU, 5, 6), crossbar, nl=False), crossbar.conductance_matrix.clone()

    assert all(torch.equal(a, b) for a, b in zip(read(3), read(3), strict=True))
    assert not torch.equal(read(3)[1], read(4)[1])


@pytest.mark.parametrize("nl", [True, False])
def test_any_number_of_threads_gives_the_same_bits(nl):
    v = voltages(Stanford_PKU, 40)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            crossbar = crossbar_of(Stanford_PKU, (3, 2), own=False)
            crossbar.devices._set_column("V_0", torch.full(crossbar.devices.shape, 0.25, dtype=torch.float64))
            results.append((simulate_matmul(v, crossbar, nl=nl), everything(crossbar)))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0][0], results[1][0])
    assert same(results[0][1], results[1][1])


# ---- Converters, shapes, gradients ----


@pytest.mark.parametrize("nl", [True, False])
@pytest.mark.parametrize("method", ["linear", "minmax"])
def test_converters_act_per_tile_and_input(nl, method):
    crossbar = crossbar_of(Stanford_PKU, (3, 2))
    v = voltages(Stanford_PKU, 3)
    slow = copy.deepcopy(crossbar)
    got = simulate_matmul(v, crossbar, nl=nl, ADC_resolution=3, quant_method=method)
    partial = (reference.frozen if nl else reference.simulated)(slow, v)  # [inputs, tiles down, columns]
    want = torch.zeros(3, 5, dtype=torch.float64)
    for k in range(3):
        for top in range(3):
            for left in range(0, 5, 2):
                currents = partial[k, top, left : left + 2].tolist()
                want[k, left : left + 2] += torch.tensor(converter(currents, 3, method), dtype=torch.float64)
    # The currents differ by the rounding of float32 conductances; no current here lies so near to a step.
    assert torch.allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("nl", [True, False])
def test_one_vector_gives_one_vector_and_no_vector_none(nl):
    crossbar = crossbar_of(Stanford_PKU, (3, 2))
    v = voltages(Stanford_PKU, 1)
    rows = simulate_matmul(v, copy.deepcopy(crossbar), nl=nl)
    assert rows.shape == (1, 5)
    assert torch.equal(simulate_matmul(v[0], copy.deepcopy(crossbar), nl=nl), rows[0])
    assert simulate_matmul(v[:0], crossbar, nl=nl).shape == (0, 5)
    assert simulate_matmul(torch.ones(2, 7, dtype=torch.int64), crossbar, nl=nl).dtype == torch.float32
    assert simulate_matmul(torch.ones(2, 7, dtype=torch.float16), crossbar, nl=nl).dtype == torch.float32


def test_map_and_shape_are_those_of_the_crossbar():
    crossbar = crossbar_of(VTEAM, (3, 2))
    v = voltages(VTEAM, 2)
    plain = simulate_matmul(v, crossbar)
    given_too = simulate_matmul(v, crossbar, True, crossbar.tiles_map, (crossbar.rows, crossbar.columns))
    assert torch.equal(plain, given_too)
    with pytest.raises(memtorch.InvalidArgument, match=r"crossbar_shape .* \(rows, columns\): \(7, 5\)"):
        simulate_matmul(v, crossbar, crossbar_shape=(5, 7))
    with pytest.raises(memtorch.InvalidArgument, match=r"tiles_map ...6.0, 7.0.* the crossbar's own"):
        simulate_matmul(v, crossbar, tiles_map=crossbar.tiles_map.flip(0))
    with pytest.raises(memtorch.InvalidArgument, match=r"tiles_map .* no tiles"):
        simulate_matmul(v, crossbar_of(VTEAM), tiles_map=crossbar.tiles_map)


@each_model
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("tile_shape", [None, (3, 2)])
def test_gradients_of_a_frozen_read_are_those_of_the_curves(model, own, tile_shape):
    crossbar = crossbar_of(model, tile_shape, own=own)
    crossbar.conductance_matrix.mul_(1e3)  # amperes become milliamperes, which gradcheck's tolerances suit
    v = voltages(model, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: simulate_matmul(v, crossbar), (v,))


def test_gradients_of_a_frozen_read_reach_the_conductances_of_devices_that_differ():
    crossbar = crossbar_of(Stanford_PKU, (3, 2), own=True)
    devices = crossbar.devices
    params = [torch.as_tensor(devices.parameter(f.name), dtype=torch.float64) for f in devices.table.params]
    v = voltages(Stanford_PKU, 2)
    g = (1e3 * devices.g.double()).requires_grad_()  # as above

    def read(g):
        return _read_ops.read_nonlinear(v, g, params, "Stanford_PKU", [7, 5, 3, 2])

    assert torch.autograd.gradcheck(read, (g,))


def test_gradients_of_a_simulated_read_are_those_of_the_linear_read_before_it():
    crossbar = crossbar_of(Data_Driven, (3, 2))
    v = voltages(Data_Driven, 4).requires_grad_()
    grad = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    want = grad @ crossbar.matrix().double().T
    simulate_matmul(v, crossbar, nl=False).backward(grad)
    assert torch.allclose(v.grad, want, rtol=1e-12)  # sums of five terms


@pytest.mark.host_only
def test_the_operators_are_registered_as_torch_wants_them():
    crossbar = crossbar_of(Stanford_PKU, (3, 2), own=True)
    devices = crossbar.devices
    v = voltages(Stanford_PKU, 2).requires_grad_()
    params = [torch.as_tensor(devices.parameter(f.name), dtype=torch.float64) for f in devices.table.params]
    arguments = (v, devices.g, params, "Stanford_PKU", [7, 5, 3, 2])
    torch.library.opcheck(_read_ops.read_nonlinear, arguments)
    defaults = [f.default for f in devices.table.params]
    torch.library.opcheck(_read_ops.read_shape, (v, "Stanford_PKU", defaults))


# ---- Bad input ----


@pytest.mark.parametrize("nl", [True, False])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input": [[1.0] * 7]}, "input .* torch.Tensor"),
        ({"input": torch.ones(2, 6)}, r"input .* \[any, 7\]"),
        ({"input": torch.ones(6)}, r"input .* \[7\]"),
        ({"input": torch.full((2, 7), torch.nan)}, "input .* finite"),
        pytest.param(
            {"input": torch.full((2, 7), 1e3)},
            "voltage .1000 V. must be small enough for Stanford_PKU",
            marks=pytest.mark.checks_values,
        ),
        ({"input": torch.ones(2, 7, dtype=torch.complex64)}, "input .* real"),
        ({"crossbar": torch.ones(7, 5)}, "crossbar .*Tensor.* must be a memtorch"),
        ({"max_input_voltage": 0}, "max_input_voltage .0 V."),
        ({"quant_method": "linear"}, "ADC_resolution"),
        ({"quant_method": "none", "ADC_resolution": 3}, "quant_method"),
        ({"ADC_overflow_rate": 2}, "ADC_overflow_rate"),
        ({"use_bindings": "yes"}, "use_bindings"),
        ({"crossbar_shape": 7}, "crossbar_shape"),
    ],
)
def test_bad_arguments_are_named_and_no_device_moves(nl, arguments, message):
    crossbar = crossbar_of(Stanford_PKU, (3, 2))
    before = copy.deepcopy(everything(crossbar))
    call = {"input": torch.ones(2, 7), "crossbar": crossbar, "nl": nl, **arguments}
    with pytest.raises(memtorch.InvalidArgument, match=message):
        simulate_matmul(**call)
    assert same(everything(crossbar), before)


def test_nl_is_true_or_false():
    with pytest.raises(memtorch.InvalidArgument, match="nl"):
        simulate_matmul(torch.ones(2, 7), crossbar_of(VTEAM), nl=None)
