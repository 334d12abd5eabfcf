"""Simulation of devices: cost per device and step, scaling with cores, one device against 1.1.6, memory, set-up."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from timing import Row, at_least, at_most, median, ratio, times_116, with_threads

import memtorch
from memtorch.bh._device_array import DeviceArray

# Milliseconds that MemTorch 1.1.6 takes for one device over 10,000 samples.
MEMTORCH_116_MS = {
    "LinearIonDrift": 11.5,
    "VTEAM": 8.0,
    "Stanford_PKU": 41.8,
    "Data_Driven": 28.2,
    "Data_Driven2021": 11.1,
}
BOUND_NS = {"LinearIonDrift": 5, "VTEAM": 5}
DEVICES, STEPS, SAMPLES = 16_384, 200, 10_000


def sine(model: type, steps: int) -> np.ndarray:
    """One period of the amplitude at which the model's own hysteresis plot is drawn, volts [steps]."""
    amplitude = {"LinearIonDrift": 5.0, "VTEAM": 1.0}.get(model.__name__, 1.5)
    return amplitude * np.sin(np.linspace(0, 2 * np.pi, steps))


def rows() -> list[Row]:
    """The rows of this benchmark."""
    table = []
    for name, reference_ms in MEMTORCH_116_MS.items():
        model = getattr(memtorch.bh.memristor, name)
        table += array_rows(model, BOUND_NS.get(name, 15))
        table.append(single_row(model, reference_ms * 1e-3))
    return table + memory_rows()


def array_rows(model: type, bound_ns: float) -> list[Row]:
    """Many devices: sharing waveform and parameters, then each with its own; one core, and two."""
    wave = sine(model, STEPS)
    shared = DeviceArray(model, {}, (DEVICES,))
    spread = torch.linspace(0.95, 1.05, DEVICES, dtype=torch.float64)
    own_params = DeviceArray(model, {"r_off": shared.column("r_off") * spread}, (DEVICES,))
    own_waves = spread[:, None].numpy() * wave
    cases = {
        "": (shared, wave),
        ", a waveform each": (shared, own_waves),
        ", an r_off each": (own_params, wave),
    }
    table = []
    for label, (devices, signal) in cases.items():
        seconds = median(with_threads(1, partial(devices.simulate, signal))) / (DEVICES * STEPS)
        item = f"{model.__name__}: {DEVICES} devices{label}, per device and step, one core"
        table.append(at_most(item, seconds * 1e9, bound_ns, "ns"))
    if torch.get_num_threads() > 1:
        run = partial(shared.simulate, wave)
        gain = ratio(with_threads(1, run), with_threads(2, run), 9)
        table.append(at_least(f"{model.__name__}: one core to two", gain, 1.6, digits=2))
    return table


def single_row(model: type, seconds_116: float) -> Row:
    """One device over a long waveform, against 1.1.6."""
    run = partial(model().simulate, sine(model, SAMPLES), return_current=True)
    item = f"{model.__name__}: one device, {SAMPLES} samples, 1.1.6 to ours (scaled by the loop)"
    return at_least(item, times_116(run, seconds_116), 20)


def memory_rows() -> list[Row]:
    """Bytes per device and the time to construct a million devices."""
    shape = (1024, 1024)
    crossbar = memtorch.bh.crossbar.Crossbar(memtorch.bh.memristor.VTEAM, {}, shape)
    held = sum(t.numel() * t.element_size() for t in crossbar.state_dict().values() if torch.is_tensor(t))
    construct = median(lambda: memtorch.bh.crossbar.Crossbar(memtorch.bh.memristor.VTEAM, {}, shape), repeats=7)
    return [
        at_most("memory per device, shared parameters", held / (shape[0] * shape[1]), 16, "bytes", 1),
        at_most("construct 1024x1024 devices", construct * 1e3, 50, "ms", 1),
    ]
