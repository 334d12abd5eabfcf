"""Crossbars of weight tensors, and the pairs that stand for signed weights."""

from __future__ import annotations

import math
import pickle

import pytest
import torch

from memtorch import InvalidArgument
from memtorch.bh import Scheme, StochasticParameter, init_crossbar
from memtorch.bh.memristor import VTEAM

PARAMS = {"r_on": 1e2, "r_off": 1e4}
FLOAT32 = 2.0**-23  # spacing of float32 conductances, twice the rounding error

each_tiling = pytest.mark.parametrize("tile_shape", [None, (4, 3), (64, 64)])


def linear_map(weights, r_on, r_off, scheme, p_l):
    """[0, 1] or [-1, 1] onto the conductance range, in float64."""
    low, high = 1 / r_off, 1 / r_on
    w = weights.double()
    if scheme is Scheme.SingleColumn:
        return low + (high - low) * (w + 1) / 2
    return tuple(low + (high - low) * part.clamp(min=0) for part in (w, -w))


@each_tiling
@pytest.mark.parametrize("scheme", list(Scheme))
@pytest.mark.parametrize("shape", [(7, 9), (5, 2, 3, 2)])
def test_pairs_represent_signed_weights_in_conductances_and_currents(scheme, tile_shape, shape):
    weights = torch.rand(shape) * 2 - 1
    crossbars, out = init_crossbar(weights, VTEAM, PARAMS, True, linear_map, None, scheme=scheme, tile_shape=tile_shape)
    assert len(crossbars) == (2 if scheme is Scheme.DoubleColumn else 1)
    slope = (1e-2 - 1e-4) / (1 if scheme is Scheme.DoubleColumn else 2)
    expected = slope * weights.flatten(1).T
    modules = torch.nn.ModuleList(crossbars)
    for given_ in (crossbars, modules):
        got = out(given_, lambda crossbar: crossbar.matrix())
        # The difference of two float32 conductances of at most 1e-2 S.
        torch.testing.assert_close(got, expected, rtol=0, atol=4 * FLOAT32 * 1e-2)
    v = torch.randn(4, expected.shape[0])
    for operation in (lambda c: c.read(v), lambda c: v @ c.matrix()):
        torch.testing.assert_close(out(crossbars, operation), v @ expected, rtol=0, atol=1e-6)  # 12 terms of 1e-2
    tiles = out(crossbars, lambda crossbar: crossbar.conductance_matrix)
    assert tiles.shape == crossbars[0].conductance_matrix.shape


def test_the_operation_is_given_index_and_arguments():
    crossbars, out = init_crossbar(torch.rand(2, 3), VTEAM, PARAMS, True, linear_map, None)
    swapped = out(crossbars, lambda c, scale: scale * c.matrix(), idx=(1, 0), scale=2.0)
    assert torch.equal(swapped, 2 * (crossbars[1].matrix() - crossbars[0].matrix()))


def test_operations_pickle():
    for scheme in Scheme:
        crossbars, out = init_crossbar(torch.rand(2, 3), VTEAM, PARAMS, True, linear_map, None, scheme=scheme)
        twin, twin_out = pickle.loads(pickle.dumps((crossbars, out)))
        assert torch.equal(twin_out(twin, lambda c: c.matrix()), out(crossbars, lambda c: c.matrix()))


def test_the_mapping_sees_the_means_of_stochastic_parameters():
    seen = []

    def mapping(weights, r_on, r_off, scheme, p_l):
        seen.append((r_on, r_off, scheme, p_l))
        return linear_map(weights, r_on, r_off, scheme, p_l)

    params = {"r_on": StochasticParameter(loc=100, scale=10), "r_off": 1e4}
    init_crossbar(torch.rand(2, 3), VTEAM, params, True, mapping, None, p_l=0.5)
    assert seen == [(100, 1e4, Scheme.DoubleColumn, 0.5)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scheme": "DoubleColumn"}, "scheme"),
        ({"mapping_routine": None}, "mapping_routine"),
        ({"mapping_routine": lambda w, *a, **k: w}, "two tensors"),
        ({"mapping_routine": lambda w, *a, **k: (w, w, w)}, "two tensors"),
        ({"scheme": Scheme.SingleColumn, "mapping_routine": lambda w, *a, **k: (w, w)}, "one tensor"),
        ({"transistor": False}, "programming_routine"),
        ({"weights": [[1.0]]}, "weights"),
        ({"weights": torch.full((2, 2), math.nan)}, "weights"),
    ],
)
def test_bad_arguments_of_init_crossbar_are_named(change, message):
    arguments = {
        "weights": torch.rand(2, 3),
        "memristor_model": VTEAM,
        "memristor_model_params": PARAMS,
        "transistor": True,
        "mapping_routine": linear_map,
        "programming_routine": None,
        **change,
    }
    with pytest.raises(InvalidArgument, match=message):
        init_crossbar(**arguments)


def test_scheme_values():
    assert {s.name: s.value for s in Scheme} == {"SingleColumn": 1, "DoubleColumn": 2}
