"""Reads of non-linear devices, one device and one voltage at a time."""

from __future__ import annotations

import itertools

import torch


def cells(crossbar):
    """(index into ``devices``, row, column, row of tiles) of every cell, padding included."""
    height, width = crossbar.tile_shape or (crossbar.rows, crossbar.columns)
    across = -(-crossbar.columns // width)
    down = -(-crossbar.rows // height)
    for tile, i, j in itertools.product(range(down * across), range(height), range(width)):
        top, left = tile // across, tile % across
        point = (i, j) if crossbar.tile_shape is None else (tile, i, j)
        yield point, top * height + i, left * width + j, top


def read(crossbar, v, current):
    """What each row of tiles gives for one input vector.

    Args:
        crossbar: The crossbar.
        v: [rows] volts; word lines beyond are at 0 V.
        current: ``f(device, voltage)``, amperes; called for every cell, padding included.

    Returns:
        [tiles down, columns], float64.
    """
    height = (crossbar.tile_shape or (crossbar.rows,))[0]
    out = torch.zeros(-(-crossbar.rows // height), crossbar.columns, dtype=torch.float64)
    for point, row, column, top in cells(crossbar):
        volts = float(v[row]) if row < crossbar.rows else 0.0
        amperes = current(crossbar.devices[point], volts)
        if row < crossbar.rows and column < crossbar.columns:
            out[top, column] += amperes
    return out


def frozen(crossbar, v):
    """Every device carries the current of its present state: [inputs, tiles down, columns]."""
    return torch.stack([read(crossbar, row, lambda device, volts: device.current(volts)) for row in v])


def simulated(crossbar, v):
    """Every device is simulated for one sample, one input vector after the other; the crossbar changes."""

    def step(device, volts):
        return device.simulate([volts], return_current=True).item()

    return torch.stack([read(crossbar, row, step) for row in v])


def patches(x, conv):
    """The input vectors of a convolution, [samples, positions, groups, rows]: patch by patch from the padded input.

    Args:
        x: [samples, channels, ...].
        conv: The torch convolution, for its sizes.
    """
    n = len(conv.kernel_size)
    if conv.padding == "same":
        lost = [d * (k - 1) for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
        pads = [(total // 2, total - total // 2) for total in lost]
    else:
        pads = [(p, p) for p in ((0,) * n if conv.padding == "valid" else conv.padding)]
    mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
    padded = torch.nn.functional.pad(x, [side for pair in reversed(pads) for side in pair], mode)
    reach = [d * (k - 1) + 1 for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
    sizes = [(size - r) // s + 1 for size, r, s in zip(padded.shape[2:], reach, conv.stride, strict=True)]
    channels = conv.in_channels // conv.groups
    vectors = []
    for sample in padded:
        for position in itertools.product(*map(range, sizes)):
            first = [p * s for p, s in zip(position, conv.stride, strict=True)]
            window = (slice(None), *(slice(a, a + r, d) for a, r, d in zip(first, reach, conv.dilation, strict=True)))
            patch = sample[window]
            vectors += [patch[g * channels : (g + 1) * channels].flatten() for g in range(conv.groups)]
    return torch.stack(vectors).view(x.shape[0], -1, conv.groups, vectors[0].numel()), sizes
