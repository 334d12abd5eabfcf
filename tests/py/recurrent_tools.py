"""What the tests of the recurrent layers share."""

from __future__ import annotations

import copy

import torch
from layer_strategies import filled, generator
from torch import nn
from torch.nn.utils.rnn import pack_sequence

KINDS = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
LAYERS = {
    "RNN": nn.RNN(3, 4, num_layers=2, bidirectional=True),
    "RNN relu": nn.RNN(3, 4, nonlinearity="relu", batch_first=True, bias=False),
    "LSTM": nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True),
    "LSTM projected": nn.LSTM(3, 4, num_layers=2, proj_size=2, bidirectional=True),
    "GRU": nn.GRU(3, 4, num_layers=2, bidirectional=True),
}


def torch_layer(name):
    """One of ``LAYERS``, whose parameters need no gradient: torch chooses its products by that too."""
    return filled(copy.deepcopy(LAYERS[name]), 0).requires_grad_(False).eval()


def sequences(seed=1, features=3, steps=5, batch=5):
    """As many steps as sequences: it fits with batch_first and without."""
    return torch.randn(steps, batch, features, generator=generator(seed))


def packed(seed=1, features=3):
    lengths = [2, 5, 1, 5]
    return pack_sequence([sequences(seed, features)[:n, k] for k, n in enumerate(lengths)], enforce_sorted=False)


def tensors(result):
    """All tensors of (output, state)."""
    output, state = result
    return [getattr(output, "data", output), *(state if isinstance(state, tuple) else (state,))]


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(tensors(a), tensors(b), strict=True))


def close(a, b, atol=1e-5):
    """Rounding: tens of operations on numbers around 1, and as many conductances."""
    return all(torch.allclose(x, y, rtol=0, atol=atol) for x, y in zip(tensors(a), tensors(b), strict=True))
