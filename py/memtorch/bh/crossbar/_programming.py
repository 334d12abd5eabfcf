"""What programming by voltage pulses needs and gives: checked pulses, the report, and the loop for any device."""

from __future__ import annotations

import contextlib
import enum
import math
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memtorch._errors import check_bool, check_float, check_int, invalid
from memtorch.bh.crossbar._bias import Bias, TileVoltages, check_bias_scheme
from memtorch.bh.crossbar._wires import Wires

__all__ = ["Outcome", "ProgrammingReport", "Pulses", "program_device", "pulse_samples", "warn_of_failures"]

# Beyond this doubles do not tell neighbouring numbers of samples apart.
_MOST_SAMPLES = 2**53
# float32(1 / r_on) may exceed 1 / r_on by its rounding.
_RANGE_SLACK = 2.0**-23

Point = tuple[int, ...]


class Outcome(enum.IntEnum):
    """How the programming of a device ended."""

    NOT_PROGRAMMED = 0
    CONVERGED = 1
    PULSE_LIMIT = 2
    TIMEOUT = 3
    FAULTY = 4
    DISTURBED = 5


@dataclass(eq=False, repr=False)
class ProgrammingReport:
    """What pulses did to the devices of a crossbar, one element per device, in the shape of ``devices``.

    Attributes:
        pulses: How many each got, int64.
        error: |target - g| / max(|target|, |g|) in the end, float64.
        outcome: An ``Outcome`` each, uint8. Disturbed devices had converged before pulses on others moved them out of
            tolerance; faulty ones take no pulse.
        forced: Conductance steps, or pulses at a raised voltage, that got stuck devices going, int64.
    """

    pulses: Tensor
    error: Tensor
    outcome: Tensor
    forced: Tensor

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> ProgrammingReport:
        """The report of devices that have not been programmed."""
        pulses, forced = (torch.zeros(shape, dtype=torch.int64) for _ in range(2))
        error = torch.zeros(shape, dtype=torch.float64)
        return cls(pulses, error, torch.zeros(shape, dtype=torch.uint8), forced)

    def columns(self, rows: slice) -> list[Any]:
        """Pulses, error, outcome and forced as flat arrays on the report's own memory, of some devices."""
        return [column.view(-1)[rows].numpy() for column in (self.pulses, self.error, self.outcome, self.forced)]

    def counts(self) -> dict[str, int]:
        """How many devices ended in which way, by the name of the outcome in lower case."""
        counted = torch.bincount(self.outcome.view(-1).int(), minlength=len(Outcome)).tolist()
        return {outcome.name.lower(): counted[outcome] for outcome in Outcome}

    def __repr__(self) -> str:
        lines = [f"ProgrammingReport of {self.outcome.numel()} devices"]
        lines.append(f"{'outcome':<16}{'devices':>9}{'pulses: mean':>14}{'most':>10}{'largest error':>15}{'forced':>8}")
        for outcome in Outcome:
            chosen = self.outcome == outcome
            if not bool(chosen.any()):
                continue
            pulses, error = self.pulses[chosen], self.error[chosen].max().item()
            name = outcome.name.lower().replace("_", " ")
            numbers = f"{len(pulses):>9}{pulses.double().mean().item():>14.1f}{pulses.max().item():>10}"
            lines.append(f"{name:<16}{numbers}{error:>15.2g}{int((self.forced[chosen] > 0).sum()):>8}")
        return "\n".join(lines)


def warn_of_failures(op: str, report: ProgrammingReport, chosen: Tensor, rel_tol: float) -> None:
    """One warning with counts if some of the chosen devices [*shape] are not where they should be."""
    outcomes = report.outcome[chosen]
    reasons = {
        Outcome.PULSE_LIMIT: "reached failure_iteration_threshold",
        Outcome.TIMEOUT: "reached timeout",
        Outcome.FAULTY: "are faulty",
        Outcome.DISTURBED: "were disturbed by pulses on other devices",
    }
    counts = {reason: int((outcomes == outcome).sum()) for outcome, reason in reasons.items()}
    failed = sum(counts.values())
    if failed:
        why = ", ".join(f"{count} {reason}" for reason, count in counts.items() if count)
        text = (
            f"[{op}] {failed} of {len(outcomes)} devices are not within rel_tol ({rel_tol:g}) of their targets: {why}"
        )
        warnings.warn(f"{text}; see the crossbar's programming_report", stacklevel=3)


def pulse_samples(op: str, name: str, duration: Any, step: float) -> int:
    """How many time steps (s) a duration (s) has.

    Raises:
        InvalidArgument: Negative, or no multiple of the step.
    """
    seconds = check_float(op, name, duration, 0, unit="s")
    exact = min(seconds / step, 2.0 * _MOST_SAMPLES)
    samples = round(exact)
    if samples > _MOST_SAMPLES or abs(exact - samples) > 1e-9 * max(1, samples):
        invalid(op, name, duration, f"be a multiple of time_series_resolution ({step:g} s), at most 2^53 times it", "s")
    return samples


@dataclass(frozen=True)
class Pulses:
    """The arguments of ``naive_program``, checked; the engine's names and meanings (engine/program.h)."""

    dt: float
    on_samples: int
    off_samples: int
    positive_voltage: float
    negative_voltage: float
    rel_tol: float
    max_pulses: int
    timeout: float
    force_conductance: float
    force_voltage: float
    force_rel_tol: float
    positive_threshold: float
    negative_threshold: float
    neighbours: bool
    unselected_word: float
    unselected_bit: float
    floating: bool
    wires: Wires

    @classmethod
    def parse(cls, op: str, given: Mapping[str, Any], step: Any, own_wires: Wires | None = None) -> Pulses:
        """Checks arguments by their public names.

        Args:
            op: The function that the user called.
            given: All keyword arguments of ``naive_program``.
            step: The devices' own time step (s).
            own_wires: The wires of the crossbar, if neither resistance is given.

        Raises:
            InvalidArgument: One is out of range.
        """

        def number(name: str, unit: str = "", minimum: float | None = 0.0, exclusive: bool = False) -> float:
            return check_float(op, name, given[name], minimum, exclusive=exclusive, unit=unit)

        own = given["time_series_resolution"]
        dt = check_float(op, "time_series_resolution", step if own is None else own, 0, exclusive=True, unit="s")
        on_samples = pulse_samples(op, "pulse_duration", given["pulse_duration"], dt)
        if on_samples == 0:
            invalid(op, "pulse_duration", given["pulse_duration"], "be at least one time_series_resolution", "s")
        negative = number("neg_voltage_level", "V", None)
        if negative >= 0:
            invalid(op, "neg_voltage_level", given["neg_voltage_level"], "be below 0", "V")
        positive = number("pos_voltage_level", "V", exclusive=True)
        force_voltage = number("force_adjustment_voltage", "V")
        if not math.isfinite(max(positive, -negative) + force_voltage):
            invalid(op, "force_adjustment_voltage", force_voltage, "leave the raised voltages finite", "V")
        limit = given["failure_iteration_threshold"]
        bias = check_bias_scheme(op, given["bias_scheme"])
        resistances = given["source_resistance"], given["line_resistance"]
        wires = own_wires if resistances == (None, None) else Wires.parse(op, *resistances)
        return cls(
            dt=dt,
            on_samples=on_samples,
            off_samples=pulse_samples(op, "refactory_period", given["refactory_period"], dt),
            positive_voltage=positive,
            negative_voltage=negative,
            rel_tol=number("rel_tol"),
            max_pulses=check_int(op, "failure_iteration_threshold", limit, 0, _MOST_SAMPLES),
            timeout=number("timeout", "s"),
            force_conductance=number("force_adjustment", "S"),
            force_voltage=force_voltage,
            force_rel_tol=number("force_adjustment_rel_tol"),
            positive_threshold=number("force_adjustment_pos_voltage_threshold", "V", None),
            negative_threshold=number("force_adjustment_neg_voltage_threshold", "V", None),
            neighbours=check_bool(op, "simulate_neighbours", given["simulate_neighbours"]),
            unselected_word=bias.word,
            unselected_bit=bias.bit,
            floating=bias.floating,
            wires=Wires(0.0, 0.0, 0.0, 0.0) if wires is None else wires,
        )

    @property
    def solved(self) -> bool:
        """Whether device voltages depend on the conductances."""
        return self.floating or any(self.wires)

    def near(self, a: float, b: float) -> bool:
        """Whether two conductances (S) agree within ``rel_tol``."""
        return _near(a, b, self.rel_tol)

    def signal(self, v: float) -> Any:
        """One pulse [samples] of v volts."""
        return np.concatenate([np.full(self.on_samples, v), np.zeros(self.off_samples)])


def _near(a: float, b: float, rel_tol: float) -> bool:
    # math.isclose without its limit rel_tol <= 1.
    return abs(a - b) <= rel_tol * max(abs(a), abs(b))


def check_target(op: str, conductance: Any, r_on: float, r_off: float) -> float:
    """Returns a target (S) that a device between two resistances (ohm) can hold.

    Raises:
        InvalidArgument: Beyond [1/r_off, 1/r_on] by more than float32 rounds.
    """
    target = check_float(op, "conductance", conductance, unit="S")
    if not (1 - _RANGE_SLACK) / r_off <= target <= (1 + _RANGE_SLACK) / r_on:
        invalid(op, "conductance", conductance, f"be in [1/r_off, 1/r_on] = [{1 / r_off:.6g}, {1 / r_on:.6g}] S", "S")
    return target


class _PulsedTile:
    """The devices of a tile while one of them is programmed, each under its part of every pulse."""

    def __init__(self, devices: Any, point: Point, pulses: Pulses) -> None:
        *tile, row, column = point
        cell = row, column
        self._shape = tuple(devices.shape[-2:])
        bias = Bias(pulses.unselected_word, pulses.unselected_bit, pulses.floating)
        self._voltages = TileVoltages(self._shape, cell, bias, pulses.wires)
        felt = np.ones(self._shape, dtype=bool) if self._voltages.solved else self._voltages.of() != 0
        self._devices = {(i, j): devices[(*tile, i, j)] for i, j in np.argwhere(felt).tolist()}
        self.device = self._devices[cell]
        self._pulsed = [cell, *(other for other in self._devices if other != cell and pulses.neighbours)]
        self.pulsed = [self._devices[other] for other in self._pulsed]

    def pulse(self, signal: Any) -> None:
        """Applies a pulse [samples] (V)."""
        g = None
        if self._voltages.solved:
            g = np.array([float(device.g) for device in self._devices.values()]).reshape(self._shape)
        parts = self._voltages.of(g)
        for cell, device in zip(self._pulsed, self.pulsed, strict=True):
            device.simulate(parts[cell] * signal)


@contextlib.contextmanager
def _time_step(devices: list[Any], step: float) -> Iterator[None]:
    """Lets devices step with another time step (s) for a while."""
    # Devices of the engine share the step of their array.
    owners = list({id(owner): owner for owner in (getattr(d, "array", d) for d in devices)}.values())
    before = [owner.time_series_resolution for owner in owners]
    try:
        for owner in owners:
            owner.time_series_resolution = step
        yield
    finally:
        for owner, own in zip(owners, before, strict=True):
            owner.time_series_resolution = own


def program_device(devices: Any, point: Point, target: float, pulses: Pulses) -> tuple[int, float, Outcome, int]:
    """Write-verifies one device of any model, pulse by pulse, through ``g``, ``simulate`` and ``set_conductance``.

    The engine does the same to its own devices, much faster (engine/program.h).

    Args:
        devices: Array of devices [..., rows, columns].
        point: Index of the device.
        target: Conductance (S).
        pulses: How.

    Returns:
        Pulses, final error, outcome, forced steps: see ``ProgrammingReport``.
    """
    tile = _PulsedTile(devices, point, pulses)
    device = tile.device
    polarity = getattr(device, "polarity", 1)
    count = forced = 0
    raised = 0.0
    start = time.monotonic()
    with _time_step(tile.pulsed, pulses.dt):
        while True:
            g = float(device.g)
            if pulses.near(target, g):
                outcome = Outcome.CONVERGED
            elif count >= pulses.max_pulses:
                outcome = Outcome.PULSE_LIMIT
            elif count and time.monotonic() - start >= pulses.timeout:
                outcome = Outcome.TIMEOUT
            else:
                positive = (g < target) == (polarity > 0)
                v = pulses.positive_voltage + raised if positive else pulses.negative_voltage - raised
                forced += raised > 0
                tile.pulse(pulses.signal(v))
                count += 1
                raised = 0.0
                if float(device.g) == g and _is_at_bound(device, g, v, pulses):
                    raised = pulses.force_voltage
                    if not raised and pulses.force_conductance > 0:
                        step = pulses.force_conductance
                        device.set_conductance(min(g + step, target) if g < target else max(g - step, target))
                        forced += 1
                continue
            return count, abs(target - g) / max(abs(target), abs(g)), outcome, forced


def _is_at_bound(device: Any, g: float, v: float, pulses: Pulses) -> bool:
    """Whether a device near one of its bounds, which a pulse of v volts did not move, is to be forced."""
    at_bound = any(_near(g, 1 / r, pulses.force_rel_tol) for r in (device.r_on, device.r_off))
    return at_bound and (v >= pulses.positive_threshold or v <= pulses.negative_threshold)
