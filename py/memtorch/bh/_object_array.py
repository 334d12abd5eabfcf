"""Arrays of devices whose model is written in Python: one object per cell, slow and faithful."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memtorch._errors import (
    InvalidArgument,
    check_bool,
    check_float,
    check_numbers,
    check_shape,
    check_tensor,
    invalid,
)
from memtorch.bh._device_indexing import DeviceIndexing
from memtorch.bh._object_model import (
    accepts_keyword,
    check_arguments,
    check_resistances,
    frozen_currents,
    simulated_currents,
)
from memtorch.bh._object_reads import object_partial_currents
from memtorch.bh._object_storage import ObjectStorage, nearest_state
from memtorch.bh._object_wires import object_wired_currents
from memtorch.bh._signals import array_signal
from memtorch.bh.StochasticParameter import draw_columns

__all__ = ["ObjectArray"]


class ObjectArray(DeviceIndexing, ObjectStorage):
    """Devices of a model that is written in Python, one object each. ``devices[i][j]`` is that object itself.

    The objects are the truth: ``g`` shows what they hold. Reading ``g`` first takes in every conductance that an object
    has changed, however it was changed, and first gives every entry that was written into ``g`` to its device with
    ``set_conductance``, clipped to [1/r_off, 1/r_on]; ``g`` then shows what the device made of it. Where both have
    changed, what was written into ``g`` wins. A tensor taken from ``g`` earlier is current after the next reading.

    Args:
        memristor_model: A subclass of ``Memristor`` that defines ``simulate`` and ``set_conductance``.
        params: Keyword arguments of its constructor, the same for every device; it draws the stochastic ones.
        shape: Shape of the array.
        conductance: What all devices start at (S), clipped to what each can hold; None: as the constructor leaves them.

    Attributes:
        memristor_model: The class.
        g: Conductances [*shape] (S), float32.
        stuck: Cells that never change [*shape], bool; None: none.
        finite_states: Exact writes go to the nearest of so many conductances, equally spaced from 1/r_off to 1/r_on
            of each device; None: to any.

    Raises:
        InvalidArgument: Arguments that the constructor does not take, a bad shape, or devices without finite numbers
            ``g``, ``r_on``, ``r_off`` and ``time_series_resolution``.
    """

    def __init__(
        self,
        memristor_model: type,
        params: Mapping[str, Any] | None = None,
        shape: tuple[int, ...] = (1,),
        *,
        conductance: float | None = None,
    ) -> None:
        given = dict(params or {})
        check_arguments(memristor_model.__name__, memristor_model, given)
        shape = check_shape("ObjectArray", "shape", shape)
        super().__init__(memristor_model, shape, [memristor_model(**given) for _ in range(math.prod(shape))])
        self._numbers("time_series_resolution", "s")
        if conductance is None:
            self._limits()
            self._show(self._read())
        else:
            self.set_conductance(conductance)

    # ---- Shape and access ------------------------------------------------------------------------------------------

    def _owner(self) -> ObjectArray:
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self._shape

    def device_at(self, row: int) -> Any:
        """The device with a number, counted row by row."""
        if self._state_mark != self._mark() or self.is_stuck(row):
            self.sync()
        return self._objects[row]

    def value(self, name: str, row: int) -> float:
        """A number of the device with a number: "g" or any other attribute."""
        return float(check_float("value", self._label(name, row), getattr(self.device_at(row), name, None)))

    def parameter(self, name: str) -> float | Tensor:
        """An attribute of the devices: one float if all have the same, else a tensor [*shape], float64.

        Raises:
            InvalidArgument: Some device has no such number.
        """
        values = self._numbers(name, "")
        if len(set(values)) == 1:
            return values[0]
        return torch.tensor(values, dtype=torch.float64, device=self._column.device).view(self._shape)

    def column(self, name: str) -> Tensor:
        """A copy of an attribute of all devices [*shape]: "g", or any other number."""
        if not isinstance(name, str):
            invalid("column", "name", name, "be the name of an attribute")
        if name == "g":
            return self.g.clone()
        return torch.as_tensor(self.parameter(name), dtype=torch.float64).expand(self._shape).clone()

    # ---- Writing conductances and parameters -----------------------------------------------------------------------

    def set_conductance(self, conductance: Any = None, *, row: int | None = None) -> None:
        """Sets conductances, silently clipped to each device's own [1/r_off, 1/r_on].

        Args:
            conductance: One number or [*shape] (S); None: ``g`` as it stands.
            row: Only the device with this number.

        Raises:
            InvalidArgument: Not finite, or of another shape.
        """
        op = "set_conductance"
        rows = self._chosen(op, row)
        values: Sequence[float]
        if conductance is None:
            written, held = self._written(), self._read()
            values = [written.get(k, held[k]) for k in rows]
        elif row is not None or not isinstance(conductance, (Tensor, np.ndarray)) or conductance.ndim == 0:
            # Rounded as the array stores it, like the columns of built-in models.
            number = float(np.float32(check_float(op, "conductance", conductance, unit="S")))
            values = [number] * len(rows)
        else:
            target = check_tensor(op, "conductance", check_numbers(op, "conductance", conductance, "S"), self._shape)
            values = target.to("cpu", torch.float32).reshape(-1).tolist()
        if row is not None:
            self.sync()
        self._write(dict(zip(rows, values, strict=True)), self._finite_states)

    def settle(self, rows: Any = None) -> None:
        """Takes devices to the nearest of their ``finite_states``; without those nothing happens.

        Args:
            rows: Index into the devices row by row: a slice, integers or a mask; None: all.
        """
        self.sync()
        if self._finite_states is not None:
            wanted = np.arange(self.size)[slice(None) if rows is None else rows].reshape(-1).tolist()
            self._write({row: self._held[row] for row in wanted}, self._finite_states)

    def update_conductance(self) -> None:
        """Brings ``g`` up to date, and devices whose conductance is beyond their range back into it."""
        self.sync()
        limits = self._limits()
        beyond = {row: g for row, g in enumerate(self._held) if not limits[row][0] <= g <= limits[row][1]}
        if beyond:
            self._write(beyond)

    def set_params(self, *, row: int | None = None, **values: Any) -> None:
        """Changes attributes of devices; conductances stay unless the new values do not allow them.

        Stuck devices keep their attributes as well.

        Args:
            row: Only of the device with this number.
            **values: By name: one number, a tensor or array [*shape], or a stochastic parameter.

        Raises:
            InvalidArgument: An unknown attribute, or values that are not finite or break 0 < r_on < r_off.
        """
        self._take(self.new_params(row=row, **values), row)

    def new_params(self, *, row: int | None = None, fresh: Iterable[str] = (), **values: Any) -> dict[str, Any]:
        """What ``set_params`` would set, checked: one float64 tensor [devices] by name; nothing changes.

        ``fresh`` has no effect here.
        """
        op = self.memristor_model.__name__
        rows = self._chosen(op, row)
        self.sync()
        resistances = {n: [self._number(n, k, "ohm") for k in rows] for n in ("r_on", "r_off")}
        pair = {n: torch.tensor(numbers, dtype=torch.float64) for n, numbers in resistances.items()}
        for name in values:
            for k in rows:
                self._number(name, k, "")
        given = dict(values)
        for name, value in values.items():
            if isinstance(value, type) or not callable(value):
                given[name] = check_tensor(op, name, check_numbers(op, name, value)).double().cpu()
        if any(callable(value) for value in given.values()):
            drawn = draw_columns(op, {**pair, **given}, len(rows))
            given = {name: drawn[name] for name in values}
        new = {}
        for name, column in given.items():
            if column.numel() != 1 and tuple(column.shape) not in (self._shape, (len(rows),)):
                invalid(op, name, f"shape {list(column.shape)}", f"have shape {list(self._shape)}")
            new[name] = column.reshape(-1).expand(len(rows))
        both = {**pair, **new}
        stuck = self._stuck_rows()
        for k, r_on, r_off in zip(rows, both["r_on"].tolist(), both["r_off"].tolist(), strict=True):
            if k not in stuck:
                check_resistances(op, self._label("r_on", k), r_on, r_off)
        return new

    def move(self, conductance: Tensor | None, params: Mapping[str, Any]) -> None:
        """Gives devices that are not stuck new conductances [*shape] (S) together with ``new_params``.

        Without conductances they keep theirs as far as the parameters allow.
        """
        self._take(params, None, conductance)

    def _take(self, params: Mapping[str, Any], row: int | None, conductance: Tensor | None = None) -> None:
        self.sync()
        stuck = self._stuck_rows()
        rows = range(self.size) if row is None else [row]
        columns = {name: column.tolist() for name, column in params.items()}
        g = self._held if conductance is None else conductance.detach().double().cpu().reshape(-1).tolist()
        free = [(n, k) for n, k in enumerate(rows) if k not in stuck]
        for n, k in free:
            for name, column in columns.items():
                setattr(self._objects[k], name, column[n])
        # Also where nothing is clipped: the state that stands for a conductance depends on the parameters.
        self._write({k: g[k] for _, k in free})

    # ---- Whole devices ---------------------------------------------------------------------------------------------

    def check_same_model(self, op: str, device: Any) -> None:
        """Raises ``InvalidArgument`` unless ``device`` is an instance of this array's model."""
        if not isinstance(device, self.memristor_model):
            invalid(op, "device", type(device).__name__, f"be a {self.memristor_model.__name__}")

    def copy_device(self, row: int, device: Any) -> None:
        """Puts a device into a cell: the object itself, or a copy if it stands in another cell already.

        The cell is stuck afterwards if that other cell is.
        """
        self.check_same_model("copy_device", device)
        self.sync()
        previous = self._objects[row]
        if device is previous:
            return
        standing = next((k for k, other in enumerate(self._objects) if device is other), None)
        self._objects[row] = device if standing is None else copy.deepcopy(device)
        try:
            self._limits([row])
            held = self._number("g", row, "S")
        except InvalidArgument:
            self._objects[row] = previous
            raise
        stuck = standing is not None and self.is_stuck(standing)
        self._show([*self._held[:row], held, *self._held[row + 1 :]])
        self.set_stuck_of(row, stuck)

    # ---- Voltages --------------------------------------------------------------------------------------------------

    def simulate(
        self, voltage: Any, return_current: bool = False, *, rel_tol: float | None = None, row: int | None = None
    ) -> Tensor | None:
        """Applies voltages to all devices one after the other; stuck ones conduct and do not change.

        Args:
            voltage: [steps], one signal for all devices, or [*shape, steps] (V).
            return_current: Return the currents.
            rel_tol: Passed on to the devices' ``simulate``, which must take it; None: not passed on.
            row: Only the device with this number.

        Returns:
            None, or currents [*shape, steps] (with ``row`` [steps]) in amperes, float64.

        Raises:
            InvalidArgument: Voltages that are not finite or of another shape, a tolerance that the model does not take,
                or currents that are not finite.
        """
        op = "simulate"
        rows = self._chosen(op, row)
        signal = array_signal(op, voltage, self._shape, single=row is not None).cpu().numpy()
        options: dict[str, Any] = {}
        if rel_tol is not None:
            options["rel_tol"] = check_float(op, "rel_tol", rel_tol, 0, 1, exclusive=True)
            if not accepts_keyword(self.memristor_model.simulate, "rel_tol"):  # type: ignore[attr-defined]
                must = f"be None because {self.memristor_model.__name__}.simulate takes no tolerance"
                invalid(op, "rel_tol", rel_tol, must)
        wanted = check_bool(op, "return_current", return_current)
        self.sync()
        stuck = self._stuck_rows()
        currents: list[Any] = []
        for k in rows:
            # A copy for each: what a model does to its argument must not reach the next device.
            volts = np.array(signal if signal.ndim == 1 else signal[k])
            if k not in stuck:
                current = simulated_currents(self._label("currents", k), self._objects[k], volts, wanted, **options)
            else:
                current = frozen_currents(self._label("currents", k), self._objects[k], volts) if wanted else None
            currents.append(current)
        self.sync()
        if not wanted:
            return None
        return torch.from_numpy(np.stack(currents)).view(*(self._shape if row is None else ()), signal.shape[-1])

    def in_state(self, row: int, states: int) -> Any:
        """A copy of a device at the nearest of so many equally spaced conductances."""
        device = copy.deepcopy(self.device_at(row))
        device.set_conductance(nearest_state(self._number("g", row, "S"), *self._limits([row])[row], states))
        return device

    def read_frozen(
        self, v: Tensor, rows: int, columns: int, states: int | None = None, wires: Sequence[float] | None = None
    ) -> Tensor:
        """Partial currents of the tiles, each device in its present state; see ``object_partial_currents``.

        With ``wires`` see ``object_wired_currents``.
        """
        if wires is None:
            return object_partial_currents(self, v, rows, columns, states=states)
        return object_wired_currents(self, v, rows, columns, wires, states=states)

    def read_simulated(self, v: Tensor, rows: int, columns: int, wires: Sequence[float] | None = None) -> Tensor:
        """Partial currents of the tiles, one time step for each input vector; see ``object_partial_currents``.

        With ``wires`` see ``object_wired_currents``.
        """
        if wires is None:
            return object_partial_currents(self, v, rows, columns, simulate=True)
        return object_wired_currents(self, v, rows, columns, wires, simulate=True)
