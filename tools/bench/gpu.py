"""Speed on a GPU, timed by its own events: devices, reads with converters, wires, patching. Needs a GPU."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable

import torch
from timing import Row, at_least, at_most

import memtorch
from memtorch import _wire_ops
from memtorch.bh import Crossbar, naive_program, simulate_matmul
from memtorch.bh._device_array import DeviceArray
from memtorch.bh.memristor import VTEAM, LinearIonDrift, Stanford_PKU
from memtorch.mn.Module import patch_model

DEVICES = 2**24
STEPS = 100
LAYER, BATCH, TILE = 8192, 1024, 128
TILES = 1430
LARGE_TILES = (512, 1024)
SIDE, SMALL, INPUTS = 512, 32, 16
WEIGHTS = 10_000  # squared: 100 M
# What a device costs in memory traffic: its state is read and written, its conductance written.
BYTES_PER_STEP = 8 + 8 + 4
# What a float32 weight costs while it is patched onto two devices, pass by pass.
CHECK = 4  # is it finite
MAP = 4 + (4 + 2 * 4)  # the largest magnitude; from the weight to two targets
WRITE = 4 + (4 + 4) + (4 + 4 + 8)  # of one device: is the target finite; into the tile; clipped, with its state
GAIN = 4 + 2 * 4  # the least squares of weights and targets
BYTES_PER_WEIGHT = CHECK + MAP + 2 * WRITE + GAIN
# What no order of the work could spare: the weight is read for its range and for its devices, which are written.
FEWEST_BYTES_PER_WEIGHT = 2 * 4 + 2 * (4 + 8)
# solver.md, section 9: operations of an effective matrix of 128x128, in f64.
FLOP_PER_TILE = 100e9 / TILES


def seconds(run: Callable[[], object], repeats: int = 9, warmup: int = 2) -> float:
    """Median time of calls on the GPU."""
    for _ in range(warmup):
        run()
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1e-3)
    return statistics.median(times)


def copy_bandwidth() -> float:
    """Bytes per second, read and written, of torch's copy of 1 GiB: what the memory gives in practice."""
    source = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.numel() / seconds(lambda: target.copy_(source))


def chip_bandwidth() -> float | None:
    """Bytes per second by clock and width of the memory; None where torch does not say."""
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    clock = getattr(properties, "memory_clock_rate", None)  # kHz
    width = getattr(properties, "memory_bus_width", None)  # bits
    return None if not clock or not width else 2 * clock * 1e3 * width / 8


def product_rate() -> float:
    """Operations per second of torch's float64 product of 4096x4096: the peak that is reached in practice."""
    x = torch.rand(4096, 4096, dtype=torch.float64, device="cuda")
    return 2 * 4096**3 / seconds(lambda: x @ x)


def rows() -> list[Row]:
    """The rows of this benchmark."""
    if not memtorch.cuda.is_available():
        raise SystemExit(f"bench: gpu needs one: {memtorch.cuda.reason()}")
    measured, chip = copy_bandwidth(), chip_bandwidth()
    of_chip = "" if chip is None else f", {measured / chip * 100:.0f} % of {chip / 1e9:.0f} GB/s by clock and width"
    table = [Row("bandwidth of a copy", f"{measured / 1e9:.0f} GB/s{of_chip}", "-", True)]
    limit = chip or measured
    return [*table, *device_rows(limit), *read_rows(), *wire_rows(), *tile_rows(), patch_row(limit)]


def device_rows(bandwidth: float) -> list[Row]:
    """Many devices, one step and many."""
    table = []
    for model, volts in ((VTEAM, 0.3), (Stanford_PKU, 1.5)):
        devices = DeviceArray(model, {}, (DEVICES,)).to("cuda")
        one = torch.full((1,), volts, dtype=torch.float64, device="cuda")
        many = one.expand(STEPS).contiguous()
        step = seconds(lambda devices=devices, wave=one: devices.simulate(wave))
        share = DEVICES * BYTES_PER_STEP / step / bandwidth * 100
        table.append(at_least(f"{model.__name__}: {DEVICES} devices, one step, part of the bandwidth", share, 60, "%"))
        each = seconds(lambda devices=devices, wave=many: devices.simulate(wave)) / (DEVICES * STEPS) * 1e12
        item = f"{model.__name__}: {DEVICES} devices, {STEPS} steps, per device and step"
        table.append(Row(item, f"{each:.2f} ps", "compute-bound", True))
    return table


def read_rows() -> list[Row]:
    """A read with 8-bit converters per tile, against torch's own product."""
    layer = torch.nn.Linear(LAYER, LAYER, bias=False, device="cuda")
    options = {"ADC_resolution": 8, "quant_method": "linear", "ADC_overflow_rate": 0.0}
    model = patch_model(torch.nn.Sequential(layer), VTEAM, {}, tile_shape=(TILE, TILE), verbose=False, **options)
    x, weight = torch.rand(BATCH, LAYER, device="cuda"), torch.rand(LAYER, LAYER, device="cuda")
    with torch.no_grad():
        times = seconds(lambda: model(x)) / seconds(lambda: x @ weight)
    return [at_most(f"{LAYER}x{LAYER}, batch {BATCH}, 8-bit converters per tile, to torch's product", times, 2)]


def wire_rows() -> list[Row]:
    """Effective matrices in f64: many tiles, and a large one alone."""
    ohm = torch.tensor([1.0, 1.0, 10.0, 10.0], dtype=torch.float64)

    def solve(tiles: int, side: int) -> float:
        g = torch.empty(tiles, side, side, dtype=torch.float64, device="cuda").uniform_(1e-5, 1e-3)
        return seconds(lambda: _wire_ops.effective_conductances(g, ohm), repeats=5)

    time = solve(TILES, TILE)
    share = TILES * FLOP_PER_TILE / time / product_rate() * 100
    item = f"effective matrices of {TILES} tiles of {TILE}x{TILE}, f64 ({share:.0f} % of the rate of torch's product)"
    table = [at_most(item, time, 0.015, "s", 4)]
    for side in LARGE_TILES:
        table.append(
            Row(f"effective matrix of one tile of {side}x{side}, f64", f"{solve(1, side) * 1e3:.2f} ms", "-", True)
        )
    return table


def tile_rows() -> list[Row]:
    """Pulses and simulated reads through wires: a block of threads for each tile goes from solution to solution."""
    crossbar = Crossbar(LinearIonDrift, {}, (SIDE, SIDE), (SMALL, SMALL)).to("cuda")
    resistances = {"line_resistance": 1.0, "source_resistance": 1.0}
    # Cells that IR drop keeps from their targets are given up after so many pulses.
    options = {**LinearIonDrift.programming_params, **resistances, "failure_iteration_threshold": 30, "timeout": 1e9}
    targets = torch.empty(SIDE, SIDE, device="cuda").uniform_(1 / crossbar.r_off_mean, 1 / crossbar.r_on_mean)

    def write() -> None:
        crossbar.devices.reset()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            crossbar.write_conductance_matrix(targets, False, naive_program, options)

    writing = seconds(write, repeats=3, warmup=1)
    report = crossbar.programming_report
    assert report is not None
    v = torch.rand(INPUTS, SIDE, dtype=torch.float64, device="cuda")
    reading = seconds(lambda: simulate_matmul(v, crossbar, nl=False, **resistances), repeats=5)
    tiles = (SIDE // SMALL) ** 2
    what = f"{tiles} tiles of {SMALL}x{SMALL} LinearIonDrift, wires of 1 ohm"
    costs = {
        "write-verify, per pulse": writing / int(report.pulses.sum()),
        "simulated reads, per tile and input": reading / (tiles * INPUTS),
    }
    return [Row(f"{what}: {name}", f"{1e6 * cost:.2f} us", "-", True) for name, cost in costs.items()]


def patch_row(bandwidth: float) -> Row:
    """Patching many weights."""
    layer = torch.nn.Linear(WEIGHTS, WEIGHTS, bias=False, device="cuda")

    def patch() -> None:
        patch_model(torch.nn.Sequential(layer), VTEAM, {}, tile_shape=(TILE, TILE), verbose=False)

    rate = WEIGHTS**2 / seconds(patch, repeats=5) / bandwidth * 100
    least = f"{FEWEST_BYTES_PER_WEIGHT * rate:.0f} % if only {FEWEST_BYTES_PER_WEIGHT} are counted"
    item = f"patch {WEIGHTS**2 // 10**6} M weights, part of the bandwidth at {BYTES_PER_WEIGHT} bytes each ({least})"
    return at_least(item, BYTES_PER_WEIGHT * rate, 50, "%")
