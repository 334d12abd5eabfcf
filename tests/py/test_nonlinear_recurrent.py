"""Recurrent layers with non-linear devices: every matrix is read non-linearly."""

import copy

import pytest
import torch
from layer_tools import VTEAM, patched
from torch import nn

import memtorch
from memtorch.bh.memristor import Data_Driven, Stanford_PKU
from memtorch.bh.nonideality.NonLinear import apply_non_linear

KINDS = {"RNN": nn.RNN(3, 4, 2), "LSTM": nn.LSTM(3, 4), "GRU": nn.GRU(3, 4)}
each_kind = pytest.mark.parametrize("digital", KINDS.values(), ids=KINDS)


def sequence(scale=1.0):
    return (torch.rand(5, 2, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1) * scale


@each_kind
def test_devices_without_curvature_are_read_like_linear_ones(digital):
    layer = patched(digital, VTEAM, {}, tile_shape=(2, 3))
    want = layer(sequence())[0]
    apply_non_linear(layer, 1, 1, 1)
    # tanh and sigmoid contract; 5 steps of sums of at most 7 float32 products
    assert torch.allclose(layer(sequence())[0], want, atol=1e-5)


@pytest.mark.parametrize("simulate", [False, True])
def test_a_network_is_its_matrices_read_step_by_step(simulate):
    layer = patched(nn.RNN(3, 4), Data_Driven if simulate else Stanford_PKU, {}, tile_shape=(2, 3))
    linear = layer(sequence())[0]
    assert (apply_non_linear(layer, simulate=True) if simulate else apply_non_linear(layer, 1, 2, 1)) is layer
    slow = copy.deepcopy(layer)
    output, last = layer(sequence())
    h = torch.zeros(2, 4)
    for x, got in zip(sequence(), output, strict=True):
        h = torch.tanh(slow.matrices["weight_ih_l0"](x) + slow.matrices["weight_hh_l0"](h))
        assert torch.allclose(got, h, atol=1e-6)  # sums of at most 7 float32 products
    assert torch.allclose(last[0], h, atol=1e-6)
    assert not torch.allclose(output, linear, atol=1e-3)
    for crossbar, want in zip(layer.crossbars, slow.crossbars, strict=True):
        assert torch.equal(crossbar.conductance_matrix, want.conductance_matrix)


@each_kind
def test_bad_arguments_change_no_matrix(digital):
    layer = patched(digital, VTEAM, {})
    with pytest.raises(memtorch.InvalidArgument, match="sweep_duration"):
        apply_non_linear(layer, 0, 1, 1)
    assert all(matrix.non_linear is None for matrix in layer.matrices.values())
