"""What only a real GPU has: streams, graphs, several of them, memory that runs out. gpu_parity.py runs these.

Each check takes a CUDA device and returns what is wrong, one line each.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from gpu_scenarios import columns, patched, spread
from torch import nn

import memtorch
from memtorch.bh import simulate_matmul
from memtorch.bh.crossbar import Crossbar, naive_program
from memtorch.bh.memristor import VTEAM, LinearIonDrift, Stanford_PKU
from memtorch.mn.Module import patch_model

__all__ = ["CHECKS"]

CHECKS: dict[str, Callable[[torch.device], list[str]]] = {}


def check(function: Callable[[torch.device], list[str]]) -> Callable[[torch.device], list[str]]:
    """Registers a function."""
    CHECKS[function.__name__] = function
    return function


@contextlib.contextmanager
def no_waiting() -> Iterator[None]:
    """Torch's own operations raise if they wait for the GPU."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def crossbar_on(device: torch.device, size: int = 64) -> Crossbar:
    torch.manual_seed(1)
    crossbar = Crossbar(VTEAM, {}, (size, size)).to(device)
    crossbar.write_conductance_matrix(spread(VTEAM, (size, size)).to(device))
    return crossbar


def differing(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> list[str]:
    return [f"{name} differs" for name in expected if not torch.equal(found[name], expected[name])]


@check
def nothing_waits_for_the_gpu(device: torch.device) -> list[str]:
    crossbar = crossbar_on(device)
    model = patched(nn.Sequential(nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 20)), device)
    x = torch.randn(8, 40, dtype=torch.float64, device=device)
    wave, target = torch.full((10,), 0.3, dtype=torch.float64, device=device), crossbar.conductance_matrix.clone()
    model(x)
    with no_waiting():
        crossbar.devices.simulate(wave)
        crossbar.devices.set_conductance(target)
        crossbar.conductance_matrix.mul_(0.9)
        crossbar.update()
        crossbar.devices.reset()
        model(x)
    return []


@check
def work_is_queued_on_the_current_stream(device: torch.device) -> list[str]:
    expected, other = crossbar_on(device), crossbar_on(device)
    wave = torch.full((200,), 0.3, dtype=torch.float64, device=device)
    expected.devices.simulate(wave)
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        # What comes later on the stream sees what came before, though the stream starts late.
        torch.cuda._sleep(20_000_000)
        other.devices.simulate(wave)
        seen = other.conductance_matrix.clone()
    stream.synchronize()
    return [] if torch.equal(seen, expected.conductance_matrix) else ["a side stream gives other conductances"]


@check
def forward_passes_are_captured_in_graphs(device: torch.device) -> list[str]:
    layers = nn.Sequential(nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 20))
    model = patched(layers, device, ADC_resolution=8, quant_method="linear")
    x = torch.randn(8, 40, dtype=torch.float64, device=device)
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side), torch.no_grad():
        for _ in range(3):
            model(x)
    torch.cuda.current_stream(device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        out = model(x)
    x.copy_(torch.randn_like(x))
    graph.replay()
    with torch.no_grad():
        expected = model(x)
    return [] if torch.equal(out, expected) else ["a replayed graph gives other outputs"]


@check
def two_runs_give_the_same_bits(device: torch.device) -> list[str]:
    def once() -> dict[str, torch.Tensor]:
        crossbar = crossbar_on(device)
        crossbar.devices.simulate(torch.full((50,), 0.3, dtype=torch.float64))
        v = torch.ones(3, 64, dtype=torch.float64, device=device)
        currents = crossbar.read(v, source_resistance=10.0, line_resistance=1.0)
        return columns(crossbar.devices) | {"currents": currents}

    return differing(once(), once())


@check
def errors_leave_everything_as_it_was(device: torch.device) -> list[str]:
    crossbar = crossbar_on(device, 512)
    before = columns(crossbar.devices)
    free, _ = torch.cuda.mem_get_info(device)
    samples = 2 * free // (8 * 512 * 512) + 1  # currents of twice the memory that is left
    calls = {
        "voltages on the CPU": (lambda: crossbar.read(torch.ones(1, 512)), memtorch.InvalidArgument),
        "another shape": (
            lambda: crossbar.devices.set_conductance(torch.ones(3, device=device)),
            memtorch.InvalidArgument,
        ),
        "no memory": (
            lambda: crossbar.devices.simulate(torch.zeros(samples), return_current=True),
            torch.cuda.OutOfMemoryError,
        ),
    }
    lines = []
    for name, (call, error) in calls.items():
        try:
            call()
            lines.append(f"{name}: no error")
        except error:
            pass
    return lines + differing(columns(crossbar.devices), before)


@check
def bad_parameters_are_named_as_on_the_cpu(device: torch.device) -> list[str]:
    r_on = torch.full((64, 64), 50.0, dtype=torch.float64)
    lines = []
    for name, value in {"out of range": -1.0, "not below r_off": 5e3}.items():
        r_on[40, 3], said = value, []
        for place in (torch.device("cpu"), device):
            crossbar = Crossbar(VTEAM, {}, (64, 64), device=place)
            try:
                crossbar.devices.set_params(r_on=r_on.to(place))
                said.append("")
            except memtorch.InvalidArgument as error:
                said.append(str(error))
            if crossbar.devices.parameter("r_on") != 50.0:
                said.append(f"r_on has changed on {place}")
        if said != said[:1] * 2 or not said[0]:
            lines.append(f"{name}: {said}")
    return lines


@check
def models_are_patched_where_they_are(device: torch.device) -> list[str]:
    model = patch_model(nn.Sequential(nn.Linear(40, 30), nn.Conv2d(3, 4, 2)).to(device), VTEAM, {}, verbose=False)
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return [f"{name} is on {tensor.device}" for name, tensor in tensors.items() if tensor.device.type != device.type]


@check
def circuits_that_are_not_solved_move_no_device(device: torch.device) -> list[str]:
    # Wires of 1e6 ohm leave rounding above the tolerance between devices of 1 ohm, those of the second tile.
    pulsed = Crossbar(LinearIonDrift, {"r_on": 1.0, "r_off": 1e5}, (6, 10), (5, 6)).to(device)
    start = torch.full((6, 10), 2e-5)
    start[:, 5:].uniform_(0.1, 1)
    pulsed.write_conductance_matrix(start.to(device))
    options = {"pos_voltage_level": 5.0, "failure_iteration_threshold": 3, "line_resistance": 1e6}
    # For the second vector the first guess is a current 1e20 times what the wires let through.
    read = Crossbar(Stanford_PKU, {}, (5, 7), (3, 2)).to(device)
    read.write_conductance_matrix(spread(Stanford_PKU, (5, 7)).to(device))
    v = torch.tensor([0.5, 12.0], dtype=torch.float64, device=device)[:, None].expand(2, 7)
    calls: dict[str, tuple[Crossbar, Callable[[], Any]]] = {
        "pulses": (
            pulsed,
            lambda: pulsed.write_conductance_matrix(torch.full((6, 10), 0.5), False, naive_program, options),
        ),
        "a simulated read": (read, lambda: simulate_matmul(v, read, nl=False, line_resistance=2.0)),
    }
    lines = []
    for name, (crossbar, call) in calls.items():
        before = {key: column.clone() for key, column in columns(crossbar.devices).items()}
        try:
            call()
            lines.append(f"{name}: no error")
        except RuntimeError as error:
            if "residual" not in str(error):
                raise
        lines += differing(columns(crossbar.devices), before)
    return lines


@check
def every_gpu_computes(device: torch.device) -> list[str]:
    lines = []
    expected = columns(crossbar_on(torch.device("cpu")).devices)
    for index in range(memtorch.cuda.device_count()):
        crossbar = crossbar_on(torch.device("cuda", index))
        found = {name: column.cpu() for name, column in columns(crossbar.devices).items()}
        lines += [f"cuda:{index}: {line}" for line in differing(found, expected)]
        if index > 0:
            try:
                crossbar.devices.simulate(torch.zeros(3, device="cuda:0"))
                lines.append("voltages on another GPU: no error")
            except memtorch.InvalidArgument:
                pass
    return lines
