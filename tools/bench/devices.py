"""Simulation of devices: cost per device and step, scaling with cores, one device against 1.1.6, memory, set-up."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from timing import Row, at_least, at_most, loop_factor, median, ratio

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


def with_threads(count: int, run: Callable[[], object]) -> Callable[[], None]:
    """`run`, on `count` threads."""

    def call() -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        try:
            run()
        finally:
            torch.set_num_threads(before)

    return call


def rows() -> list[Row]:
    """The rows of this benchmark."""
    table, factor = [], loop_factor()
    for name, reference_ms in MEMTORCH_116_MS.items():
        model = getattr(memtorch.bh.memristor, name)
        devices = DeviceArray(model, {}, (DEVICES,))
        wave = sine(model, STEPS)
        one_core = with_threads(1, partial(devices.simulate, wave))
        seconds = median(one_core) / (DEVICES * STEPS)
        table.append(
            at_most(
                f"{name}: {DEVICES} devices, per device and step, one core", seconds * 1e9, BOUND_NS.get(name, 15), "ns"
            )
        )
        if torch.get_num_threads() > 1:
            two_cores = with_threads(2, partial(devices.simulate, wave))
            table.append(at_least(f"{name}: one core to two", ratio(one_core, two_cores, 9), 1.6, digits=2))
        device, long_wave = model(), sine(model, SAMPLES)
        single = median(partial(device.simulate, long_wave, return_current=True))
        table.append(
            at_least(
                f"{name}: one device, {SAMPLES} samples, 1.1.6 to ours (scaled by the loop)",
                reference_ms * 1e-3 * factor / single,
                20,
            )
        )
    table += memory_rows()
    return table


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
