"""Recurrent layers, one sequence, one direction and one time step at a time, with bounds of the rounding errors."""

from __future__ import annotations

import torch

EPS = torch.finfo(torch.float32).eps


class Bounded:
    """A vector, and how far results computed in float32 may lie from it.

    Every operation adds up the errors of its operands and its own rounding (eps / 2 for sums and products; up to 4 eps
    of a result of at most 1 for tanh and sigmoid, which libraries approximate).
    """

    def __init__(self, value, error=None):
        self.value = value
        self.error = torch.zeros_like(value) if error is None else error

    def __add__(self, other):
        value = self.value + other.value
        return Bounded(value, self.error + other.error + EPS / 2 * value.abs())

    def __sub__(self, other):
        value = self.value - other.value
        return Bounded(value, self.error + other.error + EPS / 2 * value.abs())

    def __mul__(self, other):
        value = self.value * other.value
        spread = self.value.abs() * other.error + other.value.abs() * self.error + self.error * other.error
        return Bounded(value, spread + EPS / 2 * value.abs())

    def tanh(self):
        return Bounded(self.value.tanh(), self.error + 4 * EPS)  # slope at most 1

    def sigmoid(self):
        return Bounded(self.value.sigmoid(), self.error / 4 + 4 * EPS)  # slope at most 1/4

    def relu(self):
        return Bounded(self.value.relu(), self.error)

    def chunk(self, count):
        parts = zip(self.value.chunk(count), self.error.chunk(count), strict=True)
        return [Bounded(value, error) for value, error in parts]

    def join(self, other):
        return Bounded(torch.cat([self.value, other.value]), torch.cat([self.error, other.error]))


def cell(layer, x, state, product):
    """One time step.

    Args:
        layer: The torch layer.
        x: Input vector.
        state: [h], or [h, c] of an LSTM.
        product: ``f(kind, vector)``: product with the weight of kind "ih", "hh" or "hr", plus bias.

    Returns:
        The next state.
    """
    one = Bounded(torch.ones(layer.hidden_size, dtype=torch.float64))
    if layer.mode == "LSTM":
        h, c = state
        i, f, g, o = (product("ih", x) + product("hh", h)).chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return [product("hr", h) if layer.proj_size else h, c]
    (h,) = state
    if layer.mode == "GRU":
        (r, z, n), (hr, hz, hn) = product("ih", x).chunk(3), product("hh", h).chunk(3)
        n = (n + (r + hr).sigmoid() * hn).tanh()
        z = (z + hz).sigmoid()
        return [(one - z) * n + z * h]
    h = product("ih", x) + product("hh", h)
    return [h.relu() if layer.mode == "RNN_RELU" else h.tanh()]


def run(layer, x, initial, product):
    """A whole sequence.

    Args:
        layer: The torch layer.
        x: Input vectors, one per time step.
        initial: A state for every layer and direction.
        product: ``f(name, vector)``: product with the weight of that name, plus bias.

    Returns:
        (outputs, final states).
    """
    final = []
    for number in range(layer.num_layers):
        both = []
        for suffix in [f"l{number}", f"l{number}_reverse"][: 1 + layer.bidirectional]:
            state, outputs = initial[len(final)], []
            for vector in reversed(x) if both else x:
                state = cell(layer, vector, state, lambda kind, v, s=suffix: product(f"weight_{kind}_{s}", v))
                outputs.append(state[0])
            final.append(state)
            both.append(outputs[::-1] if both else outputs)
        x = both[0] if len(both) == 1 else [a.join(b) for a, b in zip(*both, strict=True)]
    return x, final
