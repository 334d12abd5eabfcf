"""Layers with a converter per tile, one input vector, one tile and one element at a time."""

from __future__ import annotations

import itertools

from reference.quantize import linear, nearest_level, quantize


def converter(values, bits, method, overflow_rate=0.0, adc_range=None):
    """What the converter of one tile makes of one vector of currents."""
    if not any(values):
        return values  # nothing flows: every method reads zero
    if adc_range is None:
        return quantize(values, bits, method, overflow_rate)
    values = [min(max(v, -adc_range), adc_range) for v in values]
    if method == "linear":
        return [linear(v, adc_range, bits) for v in values]
    assert method == "minmax"
    return [nearest_level(v, -adc_range, adc_range, 2**bits) for v in values]


def read(v, matrix, tile_shape, columns=None, **adc):
    """Digitised currents of one input vector.

    Args:
        v: Voltages, one per row of ``matrix``.
        matrix: Effective conductances, a list of rows.
        tile_shape: (tile_rows, tile_columns).
        columns: (first, last + 1) of the columns that are read; all of them if None.
        **adc: Arguments of ``converter``.
    """
    first, end = columns or (0, len(matrix[0]))
    out = [0.0] * (end - first)
    for top in range(0, len(matrix), tile_shape[0]):
        rows = range(top, min(top + tile_shape[0], len(matrix)))
        for left in range(0, len(matrix[0]), tile_shape[1]):
            read_here = range(max(left, first), min(left + tile_shape[1], end))
            currents = [sum(v[r] * matrix[r][c] for r in rows) for c in read_here]
            if currents:
                for c, digitised in zip(read_here, converter(currents, **adc), strict=True):
                    out[c - first] += digitised
    return out


def outside(i, n, mode):
    """The pixel that padding puts at position ``i`` of a line of ``n`` pixels; None for zero."""
    if 0 <= i < n:
        return i
    if mode == "zeros":
        return None
    if mode == "replicate":
        return min(max(i, 0), n - 1)
    if mode == "circular":
        return i % n
    assert mode == "reflect"
    return -i if i < 0 else 2 * (n - 1) - i


def conv2d(x, matrix, conv, tile_shape, **adc):
    """Digitised currents [outputs][height][width] of one image.

    Args:
        x: [channels][height][width].
        matrix: Effective conductances [channels / groups * kernel elements][outputs].
        conv: The torch convolution, for its sizes.
        tile_shape: (tile_rows, tile_columns).
        **adc: Arguments of ``converter``.
    """
    (kh, kw), (sh, sw), (dh, dw) = conv.kernel_size, conv.stride, conv.dilation
    height, width = len(x[0]), len(x[0][0])
    if conv.padding == "same":
        lost = [dh * (kh - 1), dw * (kw - 1)]
        before, total = [n // 2 for n in lost], lost
    else:
        before = [0, 0] if conv.padding == "valid" else list(conv.padding)
        total = [2 * n for n in before]
    rows = range((height + total[0] - dh * (kh - 1) - 1) // sh + 1)
    columns = range((width + total[1] - dw * (kw - 1) - 1) // sw + 1)
    channels, outputs = conv.in_channels // conv.groups, conv.out_channels // conv.groups
    out = [[[0.0 for _ in columns] for _ in rows] for _ in range(conv.out_channels)]

    def pixel(c, i, j):
        i, j = outside(i, height, conv.padding_mode), outside(j, width, conv.padding_mode)
        return 0.0 if i is None or j is None else x[c][i][j]

    for group, i, j in itertools.product(range(conv.groups), rows, columns):
        patch = [
            pixel(group * channels + c, i * sh - before[0] + a * dh, j * sw - before[1] + b * dw)
            for c in range(channels)
            for a in range(kh)
            for b in range(kw)
        ]
        read_here = (group * outputs, (group + 1) * outputs)
        for o, value in enumerate(read(patch, matrix, tile_shape, read_here, **adc)):
            out[group * outputs + o][i][j] = value
    return out
