"""Crossbars and layers with resistive wires against nodal analysis of every tile of every crossbar."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from layer_tools import DOUBLE, SINGLE, VTEAM, patched, plain
from reference import layers as converters
from reference import wires as reference
from torch import nn

import memtorch
from memtorch import _ops
from memtorch.bh import gen_tiles, tile_matmul, tile_matmul_row, tiled_inference
from memtorch.bh.crossbar import Crossbar
from memtorch.bh.nonideality.NonLinear import apply_non_linear

# Of word and bit lines between cells, at the drivers, at the sense ends: all different, so that none can stand for
# another. VTEAM devices have 50 to 1000 ohm.
OHM = {"word": 2.0, "bit": 3.0, "source": 5.0, "load": 7.0}
RESISTANCES = {"source_resistance": (5.0, 7.0), "line_resistance": (2.0, 3.0)}
G_OFF = 1 / 1000
SINGLE_PRECISION = 1e-6  # float32 conductances and sums of some 10 products, some 10 times 6e-8


def written_crossbar(rows, columns, tile_shape, seed=0):
    crossbar = Crossbar(VTEAM, {}, (columns, rows), tile_shape)
    generator = torch.Generator().manual_seed(seed)
    crossbar.write_conductance_matrix(torch.empty(columns, rows).uniform_(1 / 1000, 1 / 50, generator=generator))
    return crossbar


def solved(crossbar, **ohm):
    """The effective matrix of a crossbar as nodal analysis gives it, float64 [rows, columns]."""
    shape = crossbar.tile_shape or (crossbar.rows, crossbar.columns)
    g = crossbar.matrix().double().numpy()
    return torch.from_numpy(reference.tiled_effective_matrix(g, shape, np.float32(G_OFF), **{**OHM, **ohm}))


def close(actual, expected, tolerance=SINGLE_PRECISION):
    torch.testing.assert_close(actual.double(), expected.double(), rtol=0, atol=tolerance * expected.abs().max().item())


# ---- Crossbars ----


@pytest.mark.parametrize("tile_shape", [None, (3, 2), (4, 8), (1, 1), (7, 5)])
def test_a_read_is_that_of_the_solved_tiles(tile_shape):
    """Tiles that are used in part are solved whole, with their padding cells."""
    crossbar = written_crossbar(7, 5, tile_shape)
    v = torch.randn(4, 7, dtype=torch.float64)
    expected = v @ solved(crossbar)
    # Both solve in float64; nodal analysis loses up to three digits.
    close(crossbar.read(v, **RESISTANCES), expected, 1e-11)
    single = crossbar.read(v.float(), **RESISTANCES)
    assert single.dtype == torch.float32
    close(single, expected)
    assert crossbar.read(v[0], **RESISTANCES).shape == (5,)


def test_one_resistance_serves_both_lines_and_one_left_out_is_zero():
    crossbar = written_crossbar(4, 3, None)
    v = torch.randn(2, 4, dtype=torch.float64)
    for options, ohm in (
        ({"source_resistance": 4}, {"word": 0, "bit": 0, "source": 4, "load": 4}),
        ({"line_resistance": 4.0}, {"word": 4, "bit": 4, "source": 0, "load": 0}),
        ({"source_resistance": 0, "line_resistance": [0, 6]}, {"word": 0, "bit": 6, "source": 0, "load": 0}),
    ):
        close(crossbar.read(v, **options), v @ solved(crossbar, **ohm), 1e-11)  # as above
    assert torch.equal(crossbar.read(v, source_resistance=0, line_resistance=0.0), crossbar.read(v))


def test_converters_follow_the_wires():
    crossbar = written_crossbar(7, 5, (3, 2))
    v = torch.randn(3, 7, dtype=torch.float64)
    matrix = plain(solved(crossbar))
    got = crossbar.read(v, **RESISTANCES, ADC_resolution=6, quant_method="linear")
    expected = [converters.read(row, matrix, (3, 2), bits=6, method="linear") for row in plain(v)]
    close(got, torch.tensor(expected), 1e-11)  # a level is met or missed by 1/64


def test_gradients_reach_the_voltages():
    crossbar = written_crossbar(4, 3, (2, 2))
    v = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(crossbar.read(v, **RESISTANCES).sum(), v)
    close(grad, solved(crossbar).sum(1).expand(2, 4), 1e-11)


def test_gradients_reach_conductances_that_require_them():
    crossbar = written_crossbar(4, 3, (2, 2))
    crossbar.conductance_matrix.requires_grad_()
    v = torch.randn(2, 4, dtype=torch.float64)
    weights = torch.randn(2, 3, dtype=torch.float64)
    (grad,) = torch.autograd.grad((weights * crossbar.read(v, **RESISTANCES)).sum(), crossbar.conductance_matrix)
    g = crossbar.conductance_matrix.detach().double().requires_grad_()
    tiles = memtorch.bh.crossbar.Passive.effective_conductances(g, (5, 7), (2, 3))
    currents = v @ torch.cat([torch.cat([tiles[0], tiles[1][:, :1]], 1), torch.cat([tiles[2], tiles[3][:, :1]], 1)])
    (expected,) = torch.autograd.grad((weights * currents).sum(), g)
    close(grad, expected)


def test_only_tiles_that_changed_are_solved_again():
    crossbar = written_crossbar(8, 8, (4, 4))
    v = torch.randn(2, 8, dtype=torch.float64)

    def solutions():
        close(crossbar.read(v, **RESISTANCES), v @ solved(crossbar), 1e-11)
        return crossbar.solved_wires().solutions

    assert crossbar.solved_wires() is None
    assert solutions() == 4
    assert solutions() == 4  # nothing happened
    crossbar.conductance_matrix[2, 1, 3] *= 0.5
    assert solutions() == 5
    crossbar.conductance_matrix.mul_(1.0)  # a write that changes nothing
    assert solutions() == 5
    crossbar.devices[3][0][0].set_conductance(1 / 60)
    assert solutions() == 6
    crossbar.conductance_matrix = crossbar.conductance_matrix * 0.9
    assert solutions() == 10
    crossbar.write_conductance_matrix(torch.full((8, 8), 1 / 70))
    assert solutions() == 14
    crossbar.read(v, line_resistance=1)  # other wires take the place of these
    assert crossbar.solved_wires().solutions == 4
    assert crossbar.solved_wires().wires == (1, 1, 0, 0)
    assert solutions() == 4


def test_currents_that_were_given_out_stay_as_they_were():
    crossbar = written_crossbar(4, 3, None)
    v = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    current = crossbar.read(v, **RESISTANCES)
    before = solved(crossbar)
    crossbar.conductance_matrix[0, 0] *= 0.5
    crossbar.read(v.detach(), **RESISTANCES)
    (grad,) = torch.autograd.grad(current.sum(), v)
    close(grad, before.sum(1).expand(2, 4), 1e-11)


def test_what_is_kept_is_shown_and_bounded():
    crossbar = written_crossbar(8, 8, (4, 4))
    assert "SolvedWires" not in repr(crossbar)
    crossbar.read(torch.ones(8), **RESISTANCES)
    kept = crossbar.solved_wires()
    assert kept.wires == (2, 3, 5, 7)
    assert kept.tiles == 4
    conductances = crossbar.conductance_matrix
    size = conductances.numel() * conductances.element_size()
    # float64 beside float32, and 16 bytes for each tile, or on a GPU a copy.
    assert kept.memory == 2 * size + (size if _ops.on_gpu(conductances) else 4 * 16)
    assert repr(kept) in repr(crossbar)
    assert f"memory={kept.memory}" in repr(crossbar)


def test_solutions_are_not_copied_nor_saved():
    crossbar = written_crossbar(4, 4, (2, 2))
    v = torch.randn(3, 4)
    before = crossbar.read(v, **RESISTANCES)
    for other in (copy.deepcopy(crossbar), pickle.loads(pickle.dumps(crossbar))):
        assert other.solved_wires() is None
        assert torch.equal(other.read(v, **RESISTANCES), before)
    assert crossbar.solved_wires().solutions == 4
    assert not any("solved" in name for name in crossbar.state_dict())


def test_bad_resistances_are_named_and_solve_nothing():
    crossbar = written_crossbar(4, 4, (2, 2))
    crossbar.read(torch.ones(4), **RESISTANCES)
    before = crossbar.solved_wires()
    for options in (
        {"source_resistance": -1},
        {"line_resistance": float("inf")},
        {"line_resistance": "1"},
        {"source_resistance": (1, 2, 3)},
        {"source_resistance": (1, None)},
        {"line_resistance": 1e13},
        {"line_resistance": torch.tensor(1.0, requires_grad=True)},
    ):
        with pytest.raises(memtorch.InvalidArgument, match=rf"\[read\] {next(iter(options))} "):
            crossbar.read(torch.ones(4), **options)
    with pytest.raises(memtorch.InvalidArgument, match="v "):
        crossbar.read(torch.ones(5), **RESISTANCES)
    assert crossbar.solved_wires() == before


# ---- Layers ----


def effective_weight(layer, g_m=(1 / 50 + 1 / 1000) / 2):
    """Currents per volt of a layer: each crossbar solved by itself, the reference column subtracted digitally."""
    parts = [solved(crossbar) for crossbar in layer.crossbars]
    return parts[0] - (parts[1] if len(parts) == 2 else g_m)


@pytest.mark.parametrize("scheme", [DOUBLE, SINGLE])
@pytest.mark.parametrize("tile_shape", [None, (3, 2), (8, 8)])
@pytest.mark.parametrize("transistor", [True, False])
def test_linear_layers_read_the_difference_of_solved_crossbars(scheme, tile_shape, transistor):
    layer = patched(nn.Linear(7, 5), scheme=scheme, tile_shape=tile_shape, **RESISTANCES)
    layer.transistor = transistor  # 1.1.6 ignores the wires of cells with a transistor
    x = torch.randn(2, 3, 7)
    weight = effective_weight(layer)
    close(layer.read(x), x.double() @ weight)
    gain = layer.transform_output.gain.double()
    close(layer(x), x.double() @ weight * gain + layer.bias)
    ideal = layer.crossbars[0].matrix().double() - effective_weight(layer)
    assert ideal.abs().max() > 1e-4  # the wires matter in this test


def test_float64_inputs_are_read_as_exactly_as_the_wires_are_solved():
    layer = patched(nn.Linear(7, 5), tile_shape=(4, 4), **RESISTANCES)
    x = torch.randn(3, 7, dtype=torch.float64)
    close(layer.read(x), x @ effective_weight(layer), 1e-10)


@pytest.mark.parametrize("scheme", [DOUBLE, SINGLE])
@pytest.mark.parametrize("tile_shape", [None, (3, 2)])
def test_converters_of_layers_follow_the_wires(scheme, tile_shape):
    layer = patched(nn.Linear(7, 5), scheme=scheme, tile_shape=tile_shape, **RESISTANCES)
    layer.ADC_resolution, layer.quant_method = 6, "linear"
    x = torch.randn(4, 7, dtype=torch.float64)
    weight = plain(effective_weight(layer))
    expected = [converters.read(v, weight, tile_shape or (7, 5), bits=6, method="linear") for v in plain(x)]
    close(layer.read(x), torch.tensor(expected), 1e-10)  # a level is met or missed by 1/64


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv1d(2, 3, 3, padding=1, stride=2),
        nn.Conv2d(4, 4, (2, 1), groups=2, padding_mode="circular", padding=1),
        nn.Conv3d(1, 2, 2),
    ],
    ids=lambda module: type(module).__name__,
)
def test_convolutions_read_solved_crossbars(module):
    layer = patched(module, tile_shape=(3, 2), **RESISTANCES)
    x = torch.randn(2, module.in_channels, *[4] * layer.spatial_dims)
    weight = effective_weight(layer).t().reshape(layer.weight_shape())
    close(layer.read(x), layer.product(x.double(), weight, None))


def test_recurrent_layers_read_solved_crossbars():
    layer = patched(nn.LSTM(3, 4), tile_shape=(3, 2), **RESISTANCES)
    digital = nn.LSTM(3, 4)
    for name, matrix in layer.matrices.items():
        weight = effective_weight(matrix) * matrix.transform_output.gain.double()
        getattr(digital, name).data = weight.t().float()
        getattr(digital, name.replace("weight", "bias")).data = matrix.bias
    x = torch.randn(5, 2, 3)
    close(layer(x)[0], digital(x)[0], 1e-5)  # the same, after five steps
    assert [kept.wires for kept in layer.solved_wires()] == [(2, 3, 5, 7)] * 4


def test_options_can_be_changed_and_writes_are_seen():
    layer = patched(nn.Linear(7, 5), tile_shape=(4, 4))
    x = torch.randn(3, 7)
    ideal = layer(x)
    assert layer.solved_wires() == (None, None)
    layer.line_resistance = (2.0, 3.0)
    layer.source_resistance = (5.0, 7.0)
    wired = layer(x)
    close(layer.read(x), x.double() @ effective_weight(layer))
    for kept in layer.solved_wires():
        assert (kept.tiles, kept.solutions) == (4, 4)
    layer.crossbars[0].conductance_matrix[0, 0, 0] *= 0.5
    assert not torch.equal(layer(x), wired)
    close(layer.read(x), x.double() @ effective_weight(layer))
    assert [kept.solutions for kept in layer.solved_wires()] == [5, 4]
    layer.line_resistance = layer.source_resistance = None
    layer.crossbars[0].conductance_matrix[0, 0, 0] *= 2
    assert torch.equal(layer(x), ideal)


def test_wires_are_shown_by_models_and_survive_copies():
    model = patched(nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 3)), tile_shape=(4, 4), **RESISTANCES)
    x = torch.randn(3, 7)
    before = model(x)
    assert repr(model).count("SolvedWires(") == 2  # torch shows equal crossbars of a pair once
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(x), before)
    fresh = patched(nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 3)), tile_shape=(4, 4), **RESISTANCES)
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh(x), before)


def test_tuning_sees_the_wires():
    layer = patched(nn.Linear(16, 8), line_resistance=1.0)
    x = torch.rand(64, 16) * 2 - 1
    digital = layer.product(x, layer.weight, layer.bias)
    untuned = (layer(x) - digital).square().mean()
    layer.tune()
    # A scalar cannot make up for what differs from cell to cell, but for the mean loss.
    assert (layer(x) - digital).square().mean() < 0.5 * untuned


# ---- Non-linear reads ----


@pytest.mark.parametrize("scheme", [DOUBLE, SINGLE])
@pytest.mark.parametrize("adc", [{}, {"ADC_resolution": 6, "quant_method": "linear"}])
def test_frozen_reads_of_ohmic_devices_see_the_wires(scheme, adc):
    layer = patched(nn.Linear(7, 5), tile_shape=(3, 2), scheme=scheme, **RESISTANCES, **adc)
    x = torch.randn(4, 7)
    linear = layer.read(x)
    apply_non_linear(layer, sweep_duration=1.0, sweep_voltage_signal_amplitude=10.0, sweep_voltage_signal_frequency=1)
    close(layer.read(x), linear)
    # With few states devices conduct what the nearest state does, and the wires meet that.
    apply_non_linear(
        layer,
        sweep_duration=1.0,
        sweep_voltage_signal_amplitude=10.0,
        sweep_voltage_signal_frequency=1,
        num_conductance_states=4,
    )
    states = torch.linspace(1 / 1000, 1 / 50, 4)
    for crossbar in layer.crossbars:
        g = crossbar.conductance_matrix
        g.copy_(states[(g.unsqueeze(-1) - states).abs().argmin(-1)])
    few = layer.read(x)
    layer.non_linear = None
    close(few, layer.read(x))


# ---- Products of tiles ----


def test_products_of_tiles_take_resistances():
    crossbar = written_crossbar(7, 5, (3, 2))
    v = torch.randn(4, 7, dtype=torch.float64)
    parts, parts_map = gen_tiles(v, (3, 2), input=True)
    expected = v @ solved(crossbar)
    tiles, tiles_map = crossbar.conductance_matrix.double(), crossbar.tiles_map
    product = tile_matmul(parts, parts_map, (4, 7), tiles, tiles_map, (7, 5), **RESISTANCES)
    close(product, expected, 1e-11)  # as above
    for transistor in (True, False):
        row = tile_matmul_row(parts[:, 2], parts_map, tiles, tiles_map, (7, 5), **RESISTANCES, transistor=transistor)
        close(row, expected[2], 1e-11)
    single = tile_matmul(parts.float(), parts_map, (4, 7), tiles.float(), tiles_map, (7, 5), **RESISTANCES)
    assert single.dtype == torch.float32
    close(single, expected)


@pytest.mark.parametrize("scheme", [DOUBLE, SINGLE])
@pytest.mark.parametrize("adc", [{}, {"ADC_resolution": 6, "quant_method": "linear"}])
def test_tiled_inference_is_the_layers_readout(scheme, adc):
    layer = patched(nn.Linear(7, 5), tile_shape=(3, 2), scheme=scheme, **RESISTANCES, **adc)
    v = torch.randn(4, 7)
    for transistor in (True, False):
        close(tiled_inference(v, layer, transistor), layer.read(v), 1e-6)
