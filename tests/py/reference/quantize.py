"""The quantizers, one element at a time."""

from __future__ import annotations

import math


def magnitude(values, overflow_rate):
    """The magnitude that a fraction ``overflow_rate`` of the values exceeds."""
    ordered = sorted((abs(v) for v in values), reverse=True)
    return ordered[min(math.floor(overflow_rate * len(ordered) + 0.5), len(ordered) - 1)]


def nearest_level(value, low, high, levels):
    if levels == 1:
        return (low + high) / 2
    if high == low:
        return low
    step = (high - low) / (levels - 1)
    return low + step * min(max(math.floor((value - low) / step + 0.5), 0), levels - 1)


def linear_step(m, bits):
    return 2.0 ** (1 - bits + math.ceil(math.log2(m)))


def linear(value, m, bits):
    if m == 0:
        return 0.0
    step = linear_step(m, bits)
    return step * min(max(math.floor(value / step + 0.5), -(2 ** (bits - 1))), 2 ** (bits - 1) - 1)


def quantize(values, quant, method=None, overflow_rate=0.0):
    """``values`` quantized with one range for all of them, taken from the data."""
    if method is None or method == "minmax":
        levels = quant if method is None else 2**quant
        return [nearest_level(v, min(values), max(values), levels) for v in values]
    if method == "linear":
        m = magnitude(values, overflow_rate)
        return [linear(v, m, quant) for v in values]
    if method == "tanh":
        m = magnitude(values, overflow_rate)
        top = math.tanh(1)
        result = []
        for v in values:
            t = nearest_level(math.tanh(v / m) / top, -1, 1, 2**quant)
            result.append(m * math.atanh(t * top))
        return result
    logs = [math.log(abs(v)) for v in values if v != 0]
    if method == "log":
        m = magnitude(logs, overflow_rate)

        def rounded(x):
            return linear(x, m, quant - 1)
    else:

        def rounded(x):
            return nearest_level(x, min(logs), max(logs), 2 ** (quant - 1))

    return [0.0 if v == 0 else math.copysign(math.exp(rounded(math.log(abs(v)))), v) for v in values]
