"""Layers with random legal arguments, for property tests."""

from __future__ import annotations

import warnings

import torch
from hypothesis import assume
from hypothesis import strategies as st
from torch import nn

TORCH = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
DTYPES = st.sampled_from([torch.float32, torch.float64])


def generator(seed):
    return torch.Generator().manual_seed(seed)


def filled(layer, seed):
    """The layer with parameters uniform in [-1, 1)."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-1, 1, generator=generator(seed))
    return layer


@st.composite
def convolutions(draw, dims):
    """A convolution with any legal arguments, and the size of an input that it takes."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))

    def each(low, high):
        return tuple(draw(st.lists(st.integers(low, high), min_size=dims, max_size=dims)))

    size = each(3, 6)
    kernel, dilation = each(1, 3), each(1, 2)
    mode = draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
    padding = draw(st.one_of(st.sampled_from(["same", "valid"]), st.just(each(0, 2))))
    stride = (1,) * dims if padding == "same" else each(1, 3)
    added = padding if isinstance(padding, tuple) else (0,) * dims
    if padding != "same":
        assume(all(s + 2 * p >= d * (k - 1) + 1 for s, p, d, k in zip(size, added, dilation, kernel, strict=True)))
    layer = TORCH[dims](
        groups * draw(st.integers(1, 3)),
        groups * draw(st.integers(1, 3)),
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=draw(st.booleans()),
        padding_mode=mode,
        dtype=draw(DTYPES),
    )
    seed = draw(st.integers(0, 1000))
    return filled(layer, seed), size, seed


@st.composite
def recurrents(draw, kinds=(nn.RNN, nn.LSTM, nn.GRU)):
    """A recurrent layer with any legal arguments, in evaluation mode."""
    kind = draw(st.sampled_from(kinds))
    hidden = draw(st.integers(1, 5))
    own = {}
    if kind is nn.RNN:
        own["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    if kind is nn.LSTM:
        own["proj_size"] = draw(st.integers(0, hidden - 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dropout with a single layer
        layer = kind(
            draw(st.integers(1, 5)),
            hidden,
            num_layers=draw(st.integers(1, 3)),
            bias=draw(st.booleans()),
            batch_first=draw(st.booleans()),
            dropout=draw(st.sampled_from([0.0, 0.5])),
            bidirectional=draw(st.booleans()),
            dtype=draw(DTYPES),
            **own,
        )
    return filled(layer, draw(st.integers(0, 1000))).eval()
