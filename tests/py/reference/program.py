"""Write-verify of single devices in an array, all voltages by nodal analysis before every pulse."""

from __future__ import annotations

import numpy as np

from reference import wires

# What the lines that are not selected are driven with, in parts of the pulse: word lines, bit lines; None: open.
SCHEMES = {"V/2": (1 / 2, 1 / 2), "V/3": (1 / 3, 2 / 3), "floating": (None, None)}


def parts(g, cell, scheme, word=0.0, bit=0.0, source=0.0, load=0.0):
    """Voltages across devices of conductances g [rows, columns] (S) while 1 V is put on ``cell``, [rows, columns]."""
    rows, columns = np.shape(g)
    other_word, other_bit = SCHEMES[scheme]
    v_word = [1.0 if i == cell[0] else other_word for i in range(rows)]
    v_bit = [0.0 if j == cell[1] else other_bit for j in range(columns)]
    return wires.device_voltages(g, v_word, v_bit, word, bit, source, load)


def write_verify(devices, cell, target, scheme, ohm, positive, negative, samples, rel_tol, most, neighbours=True):
    """Pulses one device until it is near its target.

    Args:
        devices: Array [rows, columns] of objects with ``g``, ``simulate`` and ``polarity``.
        cell: (row, column).
        target: Conductance (S).
        scheme: A key of ``SCHEMES``.
        ohm: Resistances: word, bit, source, load.
        positive: Voltage of positive pulses (V).
        negative: Of negative ones.
        samples: Time steps of a pulse.
        rel_tol: What is near.
        most: Largest number of pulses.
        neighbours: Whether the other devices feel the pulses.

    Returns:
        The number of pulses.
    """
    device = devices[cell]
    for pulse in range(most):
        g = np.vectorize(lambda d: float(d.g))(devices)
        if abs(g[cell] - target) <= rel_tol * max(g[cell], target):
            return pulse
        v = positive if (g[cell] < target) == (device.polarity > 0) else negative
        volts = v * parts(g, cell, scheme, **ohm)
        for other in np.ndindex(devices.shape):
            if other == cell or neighbours:
                devices[other].simulate(np.full(samples, volts[other]))
    return most
