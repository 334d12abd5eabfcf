"""Devices with curves of their own behind resistive wires: simulated ones, ones written in Python, whole layers."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from device_tools import each_model
from layer_tools import DOUBLE, SINGLE, patched
from python_models import SWING as PYTHON_SWING
from python_models import Ohmic, PythonVTEAM, Strict, WithCurrent, crossbar_pair, each_pair, each_tiling
from read_tools import OWN, crossbar_of, everything, same, voltages
from reference import nonlinear as reference
from reference import wires as circuits
from reference.layers import converter
from torch import nn

import memtorch
from memtorch import _engine, _read_ops
from memtorch.bh import Crossbar, StochasticParameter, simulate_matmul
from memtorch.bh.memristor import VTEAM, Data_Driven, Stanford_PKU
from memtorch.bh.nonideality import NonIdeality, apply_non_linear, apply_nonidealities

OHM = {"word": 2.0, "bit": 3.0, "source": 5.0, "load": 7.0}
RESISTANCES = {"source_resistance": (5.0, 7.0), "line_resistance": (2.0, 3.0)}
READS_FIRST = {row["name"]: row["reads_first"] for row in _engine.models()}
# Reads take conductances as they are stored, devices their states in float64.
FLOAT32 = 1e-6
# A device moves by the voltage that it sees, which follows from conductances of 24 bits in the reference; the speeds of
# the models rise with the voltage up to a hundred times as steeply.
MOVED = 1e-4


def close(got, want, tolerance):
    torch.testing.assert_close(got.double(), want.double(), rtol=0, atol=tolerance * want.abs().max().item())


def states_of(crossbar):
    """The devices' states [states, devices]."""
    return torch.stack([crossbar.devices.column(field.name).view(-1) for field in crossbar.devices.table.states])


def close_moves(before, got, want):
    """Equal changes of the devices' states, to within a part of the largest."""
    close(states_of(got) - before, states_of(want) - before, MOVED)
    close(got.conductance_matrix, want.conductance_matrix, MOVED)


# ---- simulate_matmul ----


@each_model
@pytest.mark.parametrize("tile_shape", [None, (3, 2)])
@pytest.mark.parametrize("own", [False, True])
def test_a_frozen_read_solves_the_curves_of_every_tile(model, tile_shape, own):
    crossbar = crossbar_of(model, tile_shape, own=own)
    v = voltages(model, 2) / 2
    before = copy.deepcopy(everything(crossbar))
    got = simulate_matmul(v, crossbar, **RESISTANCES)
    close(got, reference.through_wires(crossbar, v, OHM).sum(1), FLOAT32)
    assert same(everything(crossbar), before)


@each_model
@pytest.mark.parametrize("tile_shape", [None, (3, 2)])
@pytest.mark.parametrize("own", [False, True])
def test_a_simulated_read_moves_every_device_at_its_solved_voltage(model, tile_shape, own):
    crossbar = crossbar_of(model, tile_shape, own=own)
    # Resistances like the devices' own, so that what they see is far from what is driven.
    ohm = {name: r * crossbar.r_on_mean / 100 for name, r in OHM.items()}
    slow, ideal, before = copy.deepcopy(crossbar), copy.deepcopy(crossbar), states_of(crossbar)
    v = voltages(model, 4)
    resistances = {
        "source_resistance": (ohm["source"], ohm["load"]),
        "line_resistance": (ohm["word"], ohm["bit"]),
    }
    got = simulate_matmul(v, crossbar, nl=False, **resistances)
    want = reference.through_wires(slow, v, ohm, simulate=True, reads_first=READS_FIRST[model.__name__]).sum(1)
    close(got, want, MOVED)
    close_moves(before, crossbar, slow)
    simulate_matmul(v, ideal, nl=False)
    moved, unhindered = states_of(crossbar) - before, states_of(ideal) - before
    assert (moved - unhindered).abs().max() > 0.01 * unhindered.abs().max()


@each_model
@pytest.mark.parametrize("nl", [True, False])
def test_ideal_wires_are_the_limit(model, nl):
    v = voltages(model, 3)
    ideal = crossbar_of(model, (3, 2), own=True)
    wired, zero = (copy.deepcopy(ideal) for _ in range(2))
    before = states_of(ideal)
    want = simulate_matmul(v, ideal, nl=nl)
    # The least voltage that a wire of 1e-9 ohm can take is far below the rounding of what is compared.
    close(simulate_matmul(v, wired, nl=nl, line_resistance=1e-9), want, MOVED)
    close_moves(before, wired, ideal)
    assert torch.equal(simulate_matmul(v, zero, nl=nl, line_resistance=0, source_resistance=(0, 0)), want)
    assert same(everything(zero), everything(ideal))


def test_what_is_read_meets_kirchhoffs_law_after_devices_have_moved():
    """A device that falls from r_off to r_on in one step cannot draw more than its wires let through."""
    crossbar = Crossbar(VTEAM, {}, (1, 1))
    v = torch.tensor([[-1.0]], dtype=torch.float64)
    current = simulate_matmul(v, crossbar, nl=False, source_resistance=(1000.0, 0.0))
    # As the device is then, in series with its wire; 1e-7 for the float32 conductance.
    want = -1 / (1000 + 1 / crossbar.conductance_matrix.double())
    torch.testing.assert_close(current, want, rtol=1e-7, atol=0)
    assert crossbar.conductance_matrix.item() > 5 / 1000  # from 1 / 1000


def test_stuck_devices_load_the_wires_and_do_not_move():
    crossbar = crossbar_of(Data_Driven, (3, 2))
    stuck = torch.zeros(crossbar.devices.shape, dtype=torch.bool)
    stuck.view(-1)[::3] = True
    crossbar.devices.stuck = stuck
    slow, before = copy.deepcopy(crossbar), states_of(crossbar)
    v = voltages(Data_Driven, 4)
    got = simulate_matmul(v, crossbar, nl=False, **RESISTANCES)
    close(got, reference.through_wires(slow, v, OHM, simulate=True).sum(1), MOVED)
    close_moves(before, crossbar, slow)
    moved = states_of(crossbar)[0] != before[0]
    assert not moved[stuck.view(-1)].any()
    assert moved.sum() > moved.numel() / 3


def test_inputs_of_one_call_and_of_several_are_one_sequence():
    once = crossbar_of(Data_Driven, (3, 2))
    often = copy.deepcopy(once)
    v = voltages(Data_Driven, 7)
    together = simulate_matmul(v, once, nl=False, **RESISTANCES)
    apart = torch.cat([simulate_matmul(part, often, nl=False, **RESISTANCES) for part in v.split([1, 4, 2])])
    assert torch.equal(together, apart)
    assert torch.equal(once.devices.column("r"), often.devices.column("r"))


def test_noise_is_reproduced_by_torch_seeds():
    def read(seed):
        crossbar = Crossbar(Stanford_PKU, {"model_switch": 1, "time_series_resolution": 1e-9}, (4, 6), (3, 2))
        crossbar.write_conductance_matrix(torch.full((4, 6), 1e-5))
        torch.manual_seed(seed)
        return simulate_matmul(voltages(Stanford_PKU, 3, 6), crossbar, nl=False, **RESISTANCES)

    assert torch.equal(read(3), read(3))
    assert not torch.equal(read(3), read(4))


@pytest.mark.parametrize("nl", [True, False])
def test_converters_digitise_the_solved_currents_of_every_tile(nl):
    crossbar = crossbar_of(Data_Driven, (3, 2))
    v = voltages(Data_Driven, 3)
    slow = copy.deepcopy(crossbar)
    got = simulate_matmul(v, crossbar, nl=nl, ADC_resolution=3, quant_method="minmax", **RESISTANCES)
    want = torch.zeros(3, 5, dtype=torch.float64)
    partial = reference.through_wires(slow, v, OHM, simulate=not nl)
    for k in range(3):
        for top in range(3):
            for left in range(0, 5, 2):
                currents = partial[k, top, left : left + 2].tolist()
                want[k, left : left + 2] += torch.tensor(converter(currents, 3, "minmax"), dtype=torch.float64)
    close(got, want, MOVED)  # no current here lies so near to a step


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("model", [VTEAM, Data_Driven])
def test_gradients_by_voltages_and_resistances(model, own):
    crossbar = crossbar_of(model, (3, 2), own=own)
    crossbar.conductance_matrix.mul_(10)
    v = (voltages(model, 2) / 3).requires_grad_()
    source, line = (torch.tensor(r, dtype=torch.float64, requires_grad=True) for r in (3.0, 2.0))

    def read(v, source, line):
        # Milliamperes, which gradcheck's tolerances suit.
        return 1e3 * simulate_matmul(v, crossbar, source_resistance=source, line_resistance=(line, 1.5))

    assert torch.autograd.gradcheck(read, (v, source, line), atol=1e-4)


def test_gradients_by_conductances():
    """Hardware-aware training: a crossbar's conductances that ask for a gradient get that of the operator."""
    crossbar = crossbar_of(Data_Driven, (3, 2))
    devices = crossbar.devices
    v, upstream = voltages(Data_Driven, 2), torch.randn(2, 5, dtype=torch.float64)
    crossbar.conductance_matrix.requires_grad_()
    simulate_matmul(v, crossbar, **RESISTANCES).backward(upstream)
    g = devices.g.detach().double().requires_grad_()
    params = [torch.as_tensor(devices.parameter(f.name), dtype=torch.float64) for f in devices.table.params]
    wires = torch.tensor(list(OHM.values()), dtype=torch.float64)
    read = _read_ops.read_through_wires(v, g, params, "Data_Driven", [7, 5, 3, 2], wires)
    read.sum(0).backward(upstream)
    torch.testing.assert_close(crossbar.conductance_matrix.grad, g.grad.float())


@pytest.mark.parametrize("model", [Data_Driven, Ohmic])
def test_gradients_of_a_simulated_read_are_those_of_the_linear_read_before_it(model):
    crossbar = Crossbar(model, {}, (5, 7), (3, 2))
    if model is Data_Driven:
        crossbar = crossbar_of(model, (3, 2))
    v = (voltages(Data_Driven, 2) / 10).requires_grad_()
    line = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    grad = torch.randn(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    g = crossbar.conductance_matrix.double()
    tiles = memtorch.bh.crossbar.Passive.effective_conductances(g, None, line)
    linear = torch.zeros(7, 5, dtype=torch.float64)
    for k, tile in enumerate(tiles):
        top, left = k // 3 * 3, k % 3 * 2
        linear[top : top + 3, left : left + 2] = tile[: 7 - top, : 5 - left]
    want = torch.autograd.grad((v @ linear * grad).sum(), (v, line))
    got = torch.autograd.grad((simulate_matmul(v, crossbar, nl=False, line_resistance=line) * grad).sum(), (v, line))
    for mine, other in zip(got, want, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=0)  # sums of a hundred terms


@pytest.mark.parametrize("nl", [True, False])
@pytest.mark.parametrize(
    ("resistances", "message"),
    [
        ({"line_resistance": -1}, r"line_resistance \(-1 ohm\) must"),
        ({"source_resistance": (1, 2, 3)}, "source_resistance .* two"),
        ({"line_resistance": math.nan}, "line_resistance .* finite"),
        ({"line_resistance": "1"}, "line_resistance"),
        ({"line_resistance": torch.tensor(-1.0, requires_grad=True)}, r"line_resistance \(tensor\(-1\..*\) ohm\) must"),
    ],
)
def test_bad_resistances_are_named_and_no_device_moves(nl, resistances, message):
    crossbar = crossbar_of(Stanford_PKU, (3, 2))
    before = copy.deepcopy(everything(crossbar))
    with pytest.raises(memtorch.InvalidArgument, match=rf"\[simulate_matmul\] {message}"):
        simulate_matmul(voltages(Stanford_PKU, 2), crossbar, nl=nl, **resistances)
    assert same(everything(crossbar), before)


def test_where_a_circuit_is_not_solved_no_device_moves():
    crossbar = crossbar_of(Stanford_PKU, (3, 2))
    before = copy.deepcopy(everything(crossbar))
    v = voltages(Stanford_PKU, 3)
    v[2] = 12.0  # the first guess is a current 1e20 times what the wires let through
    with pytest.raises(RuntimeError, match="residual"):
        simulate_matmul(v, crossbar, nl=False, **RESISTANCES)
    assert same(everything(crossbar), before)


# ---- Models written in Python ----


@each_pair
@each_tiling
def test_linear_reads_of_objects_see_the_wires(python, built_in, tile_shape):
    mine, other = crossbar_pair(python, built_in, tile_shape)
    v = torch.rand(3, 5, dtype=torch.float64)
    close(mine.read(v, **RESISTANCES), other.read(v, **RESISTANCES), FLOAT32)


@each_pair
@pytest.mark.parametrize("tile_shape", [None, (3, 2)])
@pytest.mark.parametrize("nl", [True, False])
def test_objects_are_read_like_columns(python, built_in, tile_shape, nl):
    mine, other = crossbar_pair(python, built_in, tile_shape)
    v = PYTHON_SWING[python] * torch.rand(3, 5, dtype=torch.float64)
    got, want = (simulate_matmul(v, crossbar, nl=nl, **RESISTANCES) for crossbar in (mine, other))
    close(got, want, MOVED)
    close(mine.conductance_matrix, other.conductance_matrix, MOVED)


class PythonSinh(Strict):
    """A curve without a ``current`` of its own, seen only through ``simulate``; records before it moves, or after."""

    records_first = True

    def simulate(self, voltage_signal, return_current=False):
        currents = []
        for v in voltage_signal:
            before = 0.25 * np.sinh(4 * v) * self.g
            self.g = min(self.g * (1 + 1e3 * self.time_series_resolution * abs(v)), 1 / self.r_on)
            currents.append(before if self.records_first else 0.25 * np.sinh(4 * v) * self.g)
        return np.array(currents) if return_current else None


class LatePythonSinh(PythonSinh):
    records_first = False


@pytest.mark.parametrize("model", [PythonSinh, LatePythonSinh])
@pytest.mark.parametrize("tile_shape", [None, (3, 2)])
def test_curves_of_objects_are_solved_with_the_wires(model, tile_shape):
    def crossbar_of_objects():
        crossbar = Crossbar(model, {"r_on": 100.0, "r_off": 1e4}, (3, 4), tile_shape)
        crossbar.write_conductance_matrix(torch.linspace(1e-3, 9e-3, 12).view(3, 4))
        return crossbar

    crossbar = crossbar_of_objects()
    v = torch.tensor([[0.4, -0.3, 0.5, 0.2], [0.1, 0.6, -0.5, 0.3]], dtype=torch.float64)
    expected = expected_sinh(crossbar, v, moves=False, late=False)
    close(simulate_matmul(v, crossbar, **RESISTANCES), expected, 1e-8)
    before = [device.g for device in crossbar.devices.flat]
    expected = expected_sinh(crossbar, v, moves=True, late=not model.records_first)
    close(simulate_matmul(v, crossbar, nl=False, **RESISTANCES), expected, 1e-8)
    moved = crossbar_of_objects()
    simulate_matmul(v, moved, nl=False, **RESISTANCES)
    assert [device.g for device in moved.devices.flat] == [device.g for device in crossbar.devices.flat]
    assert all(now > then for now, then in zip((d.g for d in crossbar.devices.flat), before, strict=True))


def expected_sinh(crossbar, v, *, moves, late):
    """Currents [inputs, columns] of the above, every tile by a dense Newton's method; nothing changes."""
    height, width = crossbar.tile_shape or (crossbar.rows, crossbar.columns)
    across = -(-crossbar.columns // width)
    g = np.array([device.g for device in crossbar.devices.flat]).reshape(-1, height, width)
    out = torch.zeros(len(v), across * width, dtype=torch.float64)
    for k in range(len(g)):
        for read, line in zip(out, v.numpy(), strict=True):
            driven = np.zeros(height)
            used = line[k // across * height :][:height]
            driven[: len(used)] = used

            def solve(g=g, k=k, driven=driven):
                return circuits.nonlinear_device_voltages(
                    lambda x: 0.25 * np.sinh(4 * x) * g[k],
                    lambda x: np.cosh(4 * x) * g[k],
                    (height, width),
                    driven,
                    np.zeros(width),
                    **OHM,
                )

            volts = solve()
            amperes = 0.25 * np.sinh(4 * volts) * g[k]
            if moves:
                g[k] = np.minimum(g[k] * (1 + np.abs(volts)), 1 / 100.0)  # 1e3 / s times 1 ms
                if late:
                    amperes = 0.25 * np.sinh(4 * solve()) * g[k]
            left = k % across * width
            read[left : left + width] += torch.from_numpy(amperes.sum(0))
    return out[:, : crossbar.columns]


def test_a_quadratic_device_in_series_with_its_wires_is_solved_in_closed_form():
    crossbar = Crossbar(WithCurrent, {}, (1, 1))
    v = torch.tensor([[0.5], [3.0]], dtype=torch.float64)
    currents = simulate_matmul(v, crossbar, source_resistance=(0.4, 0.3), line_resistance=5.0)
    want = ((torch.sqrt(1 + 4 * 0.7 * v) - 1) / 1.4) ** 2  # u + 0.7 u^2 = v
    torch.testing.assert_close(currents, want, rtol=1e-10, atol=0)


class Jump(WithCurrent):
    """A current that leaps over what the wires would let through; every sample counts."""

    samples = 0

    def simulate(self, voltage_signal, return_current=False):
        self.samples += 1
        return np.array([self.current(v) for v in voltage_signal]) if return_current else None

    def current(self, voltage):
        return 0.0 if voltage < 0.5 else 1.0


def test_objects_stay_as_they_are_where_a_circuit_has_no_solution():
    crossbar = Crossbar(Jump, {}, (1, 1))
    device = crossbar.devices[0][0]
    simulate_matmul(torch.tensor([[0.1]]), crossbar, nl=False, source_resistance=0.35)
    assert device.samples == 1
    with pytest.raises(RuntimeError, match="residual"):
        simulate_matmul(torch.tensor([[0.1], [1.0]]), crossbar, nl=False, source_resistance=0.35)
    assert crossbar.devices[0][0] is device
    assert device.samples == 1


def test_currents_that_are_no_numbers_are_named():
    class NoNumber(WithCurrent):
        def current(self, voltage):
            return math.nan

    with pytest.raises(memtorch.InvalidArgument, match=r"NoNumber.*current of device \[0, 0\].* must be finite"):
        simulate_matmul(torch.ones(1, 2), Crossbar(NoNumber, {}, (2, 2)), line_resistance=1.0)


# ---- Layers ----

SPREAD = {n: StochasticParameter(loc=x, scale=x / 20, min=x / 2, max=2 * x) for n, x in OWN["Data_Driven"].items()}
SWEEP = (1.0, 2.0, 1.0)  # of 2 V, a whole period
ADC = {"ADC_resolution": 4, "quant_method": "minmax"}


def slow_readout(layer, vectors, simulate, adc):
    """The readout [vectors, columns] of a layer for input vectors in turn."""
    crossbars = layer.crossbars
    parts = [reference.through_wires(crossbar, vectors, OHM, simulate=simulate) for crossbar in crossbars]
    height, width = layer.tile_shape or (crossbars[0].rows, crossbars[0].columns)
    if len(parts) == 2:
        sums = parts[0] - parts[1]
    else:
        reference_column = layer.crossbar_operation.conductance * torch.stack(
            [part.sum(1, keepdim=True) for part in vectors.double().split(height, 1)], 1
        )
        sums = parts[0] - reference_column
    if adc is None:
        return sums.sum(1)
    out = torch.zeros_like(sums[:, 0])
    for k, top in np.ndindex(*sums.shape[:2]):
        for left in range(0, sums.shape[2], width):
            currents = sums[k, top, left : left + width].tolist()
            out[k, left : left + width] += torch.tensor(converter(currents, *adc), dtype=torch.float64)
    return out


@pytest.mark.parametrize("scheme", [DOUBLE, SINGLE])
@pytest.mark.parametrize("tile_shape", [None, (3, 2)])
@pytest.mark.parametrize("simulate", [False, True])
@pytest.mark.parametrize("adc", [False, True])
@pytest.mark.parametrize("params", [{}, SPREAD])
def test_layers_solve_curves_and_wires_in_every_combination(scheme, tile_shape, simulate, adc, params):
    torch.manual_seed(5)
    converters = ADC if adc else {}
    layer = patched(
        nn.Linear(7, 5), Data_Driven, params, scheme=scheme, tile_shape=tile_shape, **RESISTANCES, **converters
    )
    apply_non_linear(layer, simulate=True) if simulate else apply_non_linear(layer, *SWEEP)
    slow = copy.deepcopy(layer)
    x = torch.rand(4, 7, dtype=torch.float64) * 2 - 1
    want = slow_readout(slow, x, simulate, (4, "minmax") if adc else None)
    # What cancels in a difference of columns was rounded before.
    close(layer.read(x), want, 10 * MOVED)
    for mine, other in zip(layer.crossbars, slow.crossbars, strict=True):
        close(mine.conductance_matrix, other.conductance_matrix, MOVED)


@pytest.mark.parametrize("simulate", [False, True])
def test_convolutions_drive_positions_in_turn(simulate):
    torch.manual_seed(6)
    layer = patched(nn.Conv1d(2, 3, 2, padding=1), Data_Driven, {}, tile_shape=(3, 2), **RESISTANCES)
    apply_non_linear(layer, simulate=True) if simulate else apply_non_linear(layer, *SWEEP)
    slow = copy.deepcopy(layer)
    x = torch.rand(2, 2, 4, dtype=torch.float64) * 2 - 1
    vectors, sizes = reference.patches(x, layer)
    want = slow_readout(slow, vectors.reshape(-1, 4), simulate, None)
    close(layer.read(x), want.view(2, *sizes, 3).transpose(1, 2), 10 * MOVED)


@pytest.mark.parametrize("how", [{"simulate": True}, dict(zip(("a", "b", "c"), SWEEP, strict=True))])
def test_recurrent_layers_meet_the_limit_of_ideal_wires(how):
    torch.manual_seed(7)
    digital = nn.GRU(3, 4)
    x = torch.randn(5, 2, 3)
    outputs = []
    for resistances in ({}, {"line_resistance": 1e-9}):
        layer = patched(digital, Data_Driven, {}, tile_shape=(3, 2), max_input_voltage=0.5, **resistances)
        apply_non_linear(layer, *([] if "simulate" in how else how.values()), **(how if "simulate" in how else {}))
        outputs.append(layer(x)[0])
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-4)  # float32 through five steps of a recurrence


@pytest.mark.parametrize(("simulate", "states"), [(False, None), (False, 4), (True, None)])
def test_layers_of_objects_read_like_layers_of_columns(simulate, states):
    outputs = []
    x = 0.2 * torch.rand(2, 4, dtype=torch.float64)
    digital = nn.Linear(4, 3)
    for model in (PythonVTEAM, VTEAM):
        layer = patched(digital, model, {}, tile_shape=(2, 2), **RESISTANCES)
        apply_non_linear(layer, simulate=True) if simulate else apply_non_linear(layer, *SWEEP, states)
        outputs.append(layer.read(x))
    close(*outputs, 10 * MOVED)


@pytest.mark.parametrize("simulate", [False, True])
def test_the_order_of_options_and_effects_does_not_matter(simulate):
    sweep = dict(
        zip(("sweep_duration", "sweep_voltage_signal_amplitude", "sweep_voltage_signal_frequency"), SWEEP, strict=True)
    )
    how = {"simulate": True} if simulate else sweep
    torch.manual_seed(8)
    digital = nn.Sequential(nn.Linear(7, 5))
    x = torch.rand(3, 7)
    before = patched(digital, Data_Driven, {}, **RESISTANCES)
    apply_nonidealities(before, [NonIdeality.NonLinear], **how)
    after = patched(digital, Data_Driven, {})
    apply_nonidealities(after, [NonIdeality.NonLinear], **how)
    after[0].source_resistance, after[0].line_resistance = RESISTANCES.values()
    ideal = patched(digital, Data_Driven, {})
    apply_nonidealities(ideal, [NonIdeality.NonLinear], **how)
    assert torch.equal(before(x), after(x))
    assert not torch.allclose(before(x), ideal(x), rtol=1e-3)


@pytest.mark.parametrize("simulate", [False, True])
def test_layers_pass_gradients_to_their_inputs(simulate):
    layer = patched(nn.Linear(7, 5).double(), Data_Driven, {}, tile_shape=(3, 2), **RESISTANCES)
    x = (torch.rand(2, 7, dtype=torch.float64) - 0.5).requires_grad_()
    if not simulate:
        apply_non_linear(layer, *SWEEP)
        assert torch.autograd.gradcheck(layer, (x,), atol=1e-4)
        return
    linear = copy.deepcopy(layer)
    apply_non_linear(layer, simulate=True)
    mine, other = (torch.autograd.grad(read(x).sum(), x)[0] for read in (layer, linear))
    torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-12)  # the same sums in another order
