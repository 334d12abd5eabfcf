"""Programming of devices in passive crossbars by voltage pulses."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memtorch._errors import check_float, check_int, check_mapping, check_tensor, invalid
from memtorch.bh._device_array import DeviceArray
from memtorch.bh.crossbar._programming import (
    Outcome,
    ProgrammingReport,
    Pulses,
    check_target,
    program_device,
    pulse_samples,
    warn_of_failures,
)
from memtorch.bh.crossbar._wires import Wires

__all__ = ["gen_programming_signal", "naive_program"]

# 16 GiB of voltages.
_MOST_SIGNAL_SAMPLES = 2**31


def gen_programming_signal(
    number_of_pulses: int,
    pulse_duration: float,
    refactory_period: float,
    voltage_level: float,
    time_series_resolution: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Samples a train of pulses.

    Args:
        number_of_pulses: Number of pulses.
        pulse_duration: Duration of a pulse (s), a multiple of ``time_series_resolution``.
        refactory_period: Time at 0 V after each pulse (s), likewise.
        voltage_level: Voltage of the pulses (V).
        time_series_resolution: Time between samples (s).

    Returns:
        Times (s) and voltages (V), both [samples].

    Raises:
        InvalidArgument: An argument out of range, a duration that is no multiple, or more than 2^31 samples.
    """
    op = "gen_programming_signal"
    count = check_int(op, "number_of_pulses", number_of_pulses, 0)
    step = check_float(op, "time_series_resolution", time_series_resolution, 0, exclusive=True, unit="s")
    on = pulse_samples(op, "pulse_duration", pulse_duration, step)
    off = pulse_samples(op, "refactory_period", refactory_period, step)
    level = check_float(op, "voltage_level", voltage_level, unit="V")
    if count * (on + off) > _MOST_SIGNAL_SAMPLES:
        invalid(op, "number_of_pulses", number_of_pulses, f"give at most 2^31 samples, got {count * (on + off)}")
    voltage = np.tile(np.concatenate([np.full(on, level), np.zeros(off)]), count)
    return np.arange(len(voltage), dtype=np.float64) * step, voltage


def naive_program(
    crossbar: Any,
    point: tuple[int, ...],
    conductance: float,
    rel_tol: float = 0.01,
    pulse_duration: float = 1e-3,
    refactory_period: float = 0,
    pos_voltage_level: float = 1.0,
    neg_voltage_level: float = -1.0,
    timeout: float = 5,
    force_adjustment: float = 1e-3,
    force_adjustment_rel_tol: float = 1e-1,
    force_adjustment_pos_voltage_threshold: float = 0,
    force_adjustment_neg_voltage_threshold: float = 0,
    failure_iteration_threshold: int = 1000,
    simulate_neighbours: bool = True,
    *,
    force_adjustment_voltage: float = 0.0,
    time_series_resolution: float | None = None,
    bias_scheme: str = "V/2",
    source_resistance: float | tuple[float, float] | None = None,
    line_resistance: float | tuple[float, float] | None = None,
) -> Any:
    """Programs one device by pulses: reads it, pulses it towards the target, and reads again, until it is near enough.

    The sign of a pulse follows from the model's ``polarity``. A pulse of V volts puts the device's word line at V and
    its bit line at 0 V; ``bias_scheme`` says where the other lines of the tile are, and so what other devices see:

    * ``"V/2"``: all at V/2. Devices of the same row or column see V/2, all others nothing.
    * ``"V/3"``: word lines at V/3, bit lines at 2 V/3. Devices of the same row or column see V/3, all others -V/3.
    * ``"floating"``: open. What the devices see is solved, from the currents that sneak through them.

    That is with ideal wires. With resistive ones the voltages across all devices of the tile are solved for their
    conductances before each pulse, and the programmed device, too, sees less than V; currents are g V. A solution takes
    10 to 50 us for 32x32 devices and 0.3 to 1 ms for 128x128, more where wires take most of the voltage. It is not
    repeated while no conductance changes, and two serve a device for as long as only its own does. Between pulses the
    device is read without wires.

    ``crossbar.programming_report`` tells for every device how it went; a device that did not get there is warned about.
    Every built-in model has a set of pulses that reaches its whole range: ``naive_program(crossbar, point, g,
    **VTEAM.programming_params)``. It is made for V/2 with ideal wires.

    Args:
        crossbar: The crossbar; its devices may be of any model.
        point: Index of the device into ``crossbar.devices``: (row, column), or (tile, row, column).
        conductance: Target (S), in the range of the device.
        rel_tol: The device is near enough if ``math.isclose(conductance, device.g, rel_tol=rel_tol)``.
        pulse_duration: Duration of a pulse (s), a multiple of the time step.
        refactory_period: Time at 0 V after each pulse (s), likewise.
        pos_voltage_level: Voltage of positive pulses (V), that of the driver. So are those below.
        neg_voltage_level: Voltage of negative pulses (V).
        timeout: Computing time (s) after which the device is given up.
        force_adjustment: Step (S) towards the target, not past it, by which a stuck device is moved: one that a pulse
            did not move at all, near one of its bounds. 0: none.
        force_adjustment_rel_tol: What is near a bound, relative to 1 / r_on or 1 / r_off.
        force_adjustment_pos_voltage_threshold: Devices are forced after pulses of at least this voltage (V) ...
        force_adjustment_neg_voltage_threshold: ... or of at most this one (V).
        failure_iteration_threshold: Number of pulses after which the device is given up.
        simulate_neighbours: Simulate what pulses do to the other devices of the tile. Without it they hold still, but
            wires and open lines still decide what the programmed device sees.
        force_adjustment_voltage: Above 0: a stuck device is not moved by ``force_adjustment``, but pulsed at a voltage
            that much (V) larger until it moves.
        time_series_resolution: Time step of the pulses (s); None: that of the devices.
        bias_scheme: One of ``"V/2"``, ``"V/3"``, ``"floating"``.
        source_resistance: Between a source and its line (ohm); a pair: at the word lines, at the bit lines.
        line_resistance: Of a line between neighbouring cells (ohm); a pair: of word lines, of bit lines. If neither
            resistance is given, those of ``crossbar.wires`` act: a layer's crossbars have the layer's.

    Returns:
        ``crossbar.devices``, as MemTorch 1.1.6.

    Raises:
        InvalidArgument: An argument out of range; nothing has then changed.
        RuntimeError: A circuit was not solved to 1e-10 of its largest device current; nothing has then changed.
    """
    given = {name: value for name, value in locals().items() if name in _OPTIONS}
    op = "naive_program"
    devices: Any = getattr(crossbar, "devices", None)
    if not hasattr(devices, "shape"):
        invalid(op, "crossbar", type(crossbar).__name__, "be a Crossbar")
    index = _check_point(op, point, tuple(devices.shape))
    device = devices[index]
    step, wires = (getattr(of, name, None) for of, name in ((device, "time_series_resolution"), (crossbar, "wires")))
    pulses = Pulses.parse(op, given, step, wires)
    target = check_target(op, conductance, float(device.r_on), float(device.r_off))
    report = getattr(crossbar, "programming_report", None)
    if report is None or tuple(report.outcome.shape) != tuple(devices.shape):
        report = ProgrammingReport.empty(tuple(devices.shape))
    if isinstance(devices, DeviceArray):
        _program_tile(devices, index, target, pulses, report)
    else:
        with _unchanged_on_error(devices, pulses):
            _record(report, index, program_device(devices, index, target, pulses))
    crossbar.programming_report = report
    chosen = torch.zeros(report.outcome.shape, dtype=torch.bool)
    chosen[index] = True
    warn_of_failures(op, report, chosen, pulses.rel_tol)
    return devices


# The keyword arguments of naive_program with their defaults.
_OPTIONS = {
    name: parameter.default
    for name, parameter in inspect.signature(naive_program).parameters.items()
    if parameter.default is not parameter.empty
}


def _check_point(op: str, point: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the index of one device, negative numbers counted from the end."""
    must = f"be {len(shape)} integers, an index into devices of shape {shape}"
    if isinstance(point, Tensor):
        check_tensor(op, "point", point)
    listed = isinstance(point, (tuple, list, np.ndarray, Tensor)) and getattr(point, "ndim", 1) == 1
    items = list(point) if listed else []
    if len(items) != len(shape):
        invalid(op, "point", point, must)
    index = []
    for item, length in zip(items, shape, strict=True):
        scalar = isinstance(item, (Tensor, np.ndarray)) and item.ndim == 0
        k = check_int(op, "point", item.item() if scalar else item)
        if not -length <= k < length:
            invalid(op, "point", point, must)
        index.append(k % length)
    return tuple(index)


def _record(report: ProgrammingReport, index: tuple[int, ...], result: tuple[int, float, int, int]) -> None:
    for column, value in zip((report.pulses, report.error, report.outcome, report.forced), result, strict=True):
        column[index] = value


def _program_tile(
    devices: DeviceArray, index: tuple[int, ...], target: float, pulses: Pulses, report: ProgrammingReport
) -> None:
    """One engine call for one device, which sees the columns of its tile only."""
    rows, columns = devices.shape[-2:]
    size = rows * columns
    tile = index[0] if len(index) == 3 else 0
    cell = index[-2] * columns + index[-1]
    selected = np.zeros(size, dtype=bool)
    selected[cell] = True
    part = slice(tile * size, (tile + 1) * size)
    devices.program((1, rows, columns), np.full(size, target), selected, report.columns(part), pulses, rows=part)


def programs_naively(routine: Any) -> bool:
    """Whether a programming routine is ``naive_program``, perhaps with some keyword arguments fixed."""
    if isinstance(routine, functools.partial):
        return routine.func is naive_program and not routine.args
    return routine is naive_program


@contextlib.contextmanager
def _unchanged_on_error(devices: Any, pulses: Pulses) -> Iterator[None]:
    """Gives devices of a model in Python their state back if a circuit is not solved, as the engine does its own."""
    restore = _restorer(devices) if pulses.solved else None
    try:
        yield
    except BaseException:
        if restore is not None:
            restore()
        raise


def _restorer(devices: Any) -> Callable[[], Any]:
    """What puts the devices back into their present state."""
    if hasattr(devices, "state_dict"):
        return functools.partial(devices.load_state_dict, copy.deepcopy(devices.state_dict()))
    attributes = [(vars(device), copy.deepcopy(vars(device))) for device in devices.flat]
    return lambda: [current.update(saved) for current, saved in attributes]


def program_matrix(
    op: str,
    devices: Any,
    targets: Tensor,
    used: Tensor,
    routine: Any,
    params: Mapping[str, Any],
    wires: Wires | None = None,
) -> ProgrammingReport:
    """Programs many devices as ``naive_program`` does one after the other, and warns once.

    Args:
        op: The function that the user called.
        devices: The devices [*shape].
        targets: Conductances [*shape] (S), each within the range of its device.
        used: Which devices to program [*shape], bool.
        routine: ``naive_program``, or a partial of it.
        params: Its keyword arguments.
        wires: Those of the crossbar, which act if the keyword arguments have none.

    Returns:
        The report.

    Raises:
        InvalidArgument: An argument out of range; nothing has then changed.
    """
    fixed = routine.keywords if isinstance(routine, functools.partial) else {}
    given = {**fixed, **check_mapping(op, "programming_routine_params", params)}
    unknown = [name for name in given if name not in _OPTIONS]
    if unknown:
        known = f"be among the arguments of naive_program: {', '.join(_OPTIONS)}"
        invalid(op, "programming_routine_params", ", ".join(unknown), known)
    shape = tuple(devices.shape)
    first = devices[(0,) * len(shape)]
    pulses = Pulses.parse(op, {**_OPTIONS, **given}, getattr(first, "time_series_resolution", None), wires)
    report = ProgrammingReport.empty(shape)
    if isinstance(devices, DeviceArray):
        tiles = math.prod(shape[:-2])
        wanted, selected = (column.reshape(-1).contiguous().numpy() for column in (targets, used))
        devices.program((tiles, *shape[-2:]), wanted, selected, report.columns(slice(None)), pulses)
    else:
        with _unchanged_on_error(devices, pulses):
            for index in map(tuple, used.nonzero().tolist()):
                _record(report, index, program_device(devices, index, targets[index].item(), pulses))
        _mark_disturbed(devices, targets, report, pulses)
    warn_of_failures(op, report, used, pulses.rel_tol)
    return report


def _mark_disturbed(devices: Any, targets: Tensor, report: ProgrammingReport, pulses: Pulses) -> None:
    """Looks at all programmed devices once more: later pulses may have moved them."""
    for index in map(tuple, report.outcome.nonzero().tolist()):
        g, target = float(devices[index].g), targets[index].item()
        report.error[index] = abs(target - g) / max(abs(target), abs(g))
        if report.outcome[index] == Outcome.CONVERGED and not pulses.near(target, g):
            report.outcome[index] = Outcome.DISTURBED
