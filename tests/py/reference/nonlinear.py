"""Reads of non-linear devices, one device and one voltage at a time."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from reference import wires as circuits


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


def shape_of(model, p, v):
    """The current per siemens of a built-in model (V), and its derivative.

    Args:
        model: Name of the model.
        p: Its parameters by name, numbers or arrays.
        v: Voltages.
    """
    if model in ("LinearIonDrift", "VTEAM"):
        return v, np.ones_like(v)
    if model == "Stanford_PKU":
        scale = p["read_voltage"] / np.sinh(p["read_voltage"] / p["V_0"])
        return scale * np.sinh(v / p["V_0"]), scale / p["V_0"] * np.cosh(v / p["V_0"])
    a, b = np.where(v > 0, p["a_p"], p["a_n"]), np.where(v > 0, p["b_p"], p["b_n"])
    return a * np.sinh(b * v), a * b * np.cosh(b * v)


def through_wires(crossbar, v, ohm, *, simulate=False, reads_first=True):
    """Currents of built-in models through resistive wires, every tile by a dense Newton's method.

    Args:
        crossbar: The crossbar; it changes if ``simulate``.
        v: [inputs, rows] volts.
        ohm: Resistances by name, as ``circuits.device_voltages`` takes them.
        simulate: Every device is simulated for one sample at the voltage that it has, one input vector after the other.
        reads_first: Whether a sample records the current before the device moves; else the circuit is solved again.

    Returns:
        [inputs, tiles down, columns], float64.
    """
    height, width = crossbar.tile_shape or (crossbar.rows, crossbar.columns)
    down, across = -(-crossbar.rows // height), -(-crossbar.columns // width)
    model, names = crossbar.memristor_model.__name__, ("read_voltage", "V_0", "a_p", "a_n", "b_p", "b_n")
    known = {field.name for field in crossbar.devices.table.params}
    params = {name: crossbar.devices.column(name).view(-1, height, width).numpy() for name in names if name in known}
    driven = np.zeros((len(v), down * height))
    driven[:, : crossbar.rows] = v
    out = torch.zeros(len(v), down, across * width, dtype=torch.float64)
    for tile in range(down * across):
        devices = crossbar.devices if crossbar.tile_shape is None else crossbar.devices[tile]
        p = {name: column[tile] for name, column in params.items()}

        def solve(line, tile=tile, p=p):
            g = crossbar.conductance_matrix.view(-1, height, width)[tile].double().numpy()
            curves = (lambda x, k=k: g * shape_of(model, p, x)[k] for k in range(2))
            volts = circuits.nonlinear_device_voltages(*curves, (height, width), line, np.zeros(width), **ohm)
            return volts, g * shape_of(model, p, volts)[0]

        for read, line in zip(out, driven[:, tile // across * height :][:, :height], strict=True):
            volts, amperes = solve(line)
            if simulate:
                for i, j in itertools.product(range(height), range(width)):
                    devices[i][j].simulate([volts[i, j]])
                amperes = amperes if reads_first else solve(line)[1]
            left = tile % across * width
            read[tile // across, left : left + width] += torch.from_numpy(amperes.sum(0))
    return out[:, :, : crossbar.columns]


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
