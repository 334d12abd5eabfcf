"""Columns of devices of one model: what crossbars are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memtorch import _engine, _ops
from memtorch._errors import check_bool, check_float, check_int, check_numbers, check_place, check_shape, invalid
from memtorch.bh._device_indexing import DeviceIndexing
from memtorch.bh._device_rows import DeviceRows
from memtorch.bh._model_table import model_table
from memtorch.bh._signals import array_signal
from memtorch.bh.StochasticParameter import draw_columns

__all__ = ["DeviceArray"]

_Column = NDArray[Any]


class DeviceArray(DeviceIndexing, DeviceRows):
    """Devices of one model as columns: conductance, state, and the parameters that differ between devices.

    Behaves like an array of device objects: ``devices[i][j]`` is an instance of the model's class whose attributes
    read and write the columns. A device costs its columns: 12 bytes with float32 conductances and one state variable,
    and 8 bytes more per parameter that differs between devices.

    The conductances ``g`` may be written in place by anyone. The state then follows: it is derived anew from every
    changed conductance (clipped to what that device can hold) before it is next used.

    Args:
        memristor_model: A class of ``memtorch.bh.memristor``.
        params: Parameters by name. A number is shared by all devices, a tensor or array of ``shape`` gives each its
            own, a stochastic parameter is sampled for each. Everything else has the model's default.
        shape: Shape of the array.
        dtype: Of the conductances: float32 or float64.
        conductance: What all devices start at (S), clipped to what each can hold; None: as the model's fresh devices.
        device: Where the columns are, and where stochastic parameters are drawn.
        blank: Leave states and conductances unset, for a caller who writes all conductances next.

    Attributes:
        memristor_model: The class.
        table: The model's table of parameters and state variables.
        time_series_resolution: Time between voltage samples (s), shared by all devices.
        g: Conductances [*shape] (S).
        stuck: Which devices have failed, see ``DeviceLimits``.
        finite_states: Number of states that a write can reach, see there.

    Raises:
        InvalidArgument: Not an engine model, an unknown parameter or one out of its range, or a bad shape.
    """

    g: Tensor

    def __init__(
        self,
        memristor_model: type,
        params: Mapping[str, Any] | None = None,
        shape: tuple[int, ...] = (1,),
        *,
        dtype: torch.dtype = torch.float32,
        conductance: float | None = None,
        device: torch.device | str = "cpu",
        blank: bool = False,
    ) -> None:
        op = "DeviceArray"
        name = getattr(memristor_model, "model_name", None)
        if name is None:
            invalid(op, "memristor_model", memristor_model, "be a model class of memtorch.bh.memristor")
        if dtype not in (torch.float32, torch.float64):
            invalid(op, "dtype", dtype, "be torch.float32 or torch.float64")
        device = _ops.check_device(op, device)
        given = dict(params or {})
        step = given.pop("time_series_resolution", model_table(name).time_series_resolution)
        step = check_float(name, "time_series_resolution", step, 0, exclusive=True, unit="s")
        super().__init__(memristor_model, model_table(name), check_shape(op, "shape", shape), step)
        # Buffers made under inference_mode would have no version counter, on which caches and the state depend.
        with torch.inference_mode(False), torch.no_grad():
            self.register_buffer("g", torch.empty(self._shape, dtype=dtype, device=device))
            place = self.g.device
            flat = self.table.flatten(given)
            sampled = draw_columns(name, flat, self.size, device=place)
            columns = self._columns_from(sampled, self.size, place, [n for n in flat if callable(flat[n])])
            self._check_params(columns)
            for column_name, column in columns.items():
                self._set_column(column_name, column)
            for state in self.table.states:
                column = torch.empty(self._shape, dtype=torch.float64, device=place)
                self.register_buffer(f"state_{state.name}", column)
        if blank:
            return
        if conductance is None:
            self.reset()
        else:
            self.set_conductance(conductance)

    # ---- Shape and access ------------------------------------------------------------------------------------------

    def _owner(self) -> DeviceArray:
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self._shape

    def device_at(self, row: int) -> Any:
        """The device in a row of the columns, as an instance of the model's class."""
        return self.memristor_model._view(self, row)  # type: ignore[attr-defined]

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "g" and "g" in self.__dict__.get("_buffers", {}):
            self.write_g(value)
        elif name == "stuck":
            self.set_stuck(value)
        elif name == "finite_states":
            self.set_finite_states(value)
        else:
            super().__setattr__(name, value)

    def write_g(self, conductance: Any) -> None:
        """Copies conductances [*shape] (S) into ``g`` as they are, without clipping them.

        Raises:
            InvalidArgument: Another shape, another GPU, or not finite (which is not looked for on a GPU).
        """
        values = check_numbers("conductance_matrix", "value", conductance, "S").to(self.g.dtype)
        if tuple(values.shape) != self._shape:
            invalid("conductance_matrix", "value", f"shape {list(values.shape)}", f"have shape {list(self._shape)}")
        check_place("conductance_matrix", "value", values, self.g.device)
        if values.is_cpu and not all(math.isfinite(end.item()) for end in torch.aminmax(values)):
            invalid("conductance_matrix", "value", values, "be finite", "S")
        if self.stuck is not None:
            self._hold_stuck()
            values = torch.where(self.stuck, self.g, values.to(self.g))
        with torch.no_grad():
            self.g.copy_(values)

    # ---- Writing parameters, states and whole devices --------------------------------------------------------------

    def set_params(self, *, row: int | None = None, **values: Any) -> None:
        """Changes parameters; conductances stay unless the new parameters do not allow them.

        Args:
            row: Only of the device in this row of the columns.
            **values: Parameters by name: one number, a tensor or array [*shape], or a stochastic parameter.

        Raises:
            InvalidArgument: An unknown parameter, or values that are out of range, alone or together (r_on >= r_off).
        """
        self._take_params(self.new_params(row=row, **values), row)
        self._derive_state(write_g=True, rows=None if row is None else slice(row, row + 1))

    def new_params(
        self, *, row: int | None = None, fresh: Collection[str] = (), **values: Any
    ) -> dict[str, float | Tensor]:
        """What ``set_params`` would set, checked; nothing changes.

        Args:
            row: As there.
            fresh: Names of float64 tensors that nobody else holds: they become the columns.
            **values: As there.
        """
        name = self.table.name
        given = self.table.flatten(values, complete=False)
        part = self._rows("set_params", row)
        names = [field.name for field in self.table.params]
        # One device is cheapest on the CPU, wherever the others are.
        place = self.g.device if row is None else torch.device("cpu")
        current = {n: self._parameter_in(n, part, place) for n in names}
        count = self.size if row is None else 1
        stochastic = [n for n, value in given.items() if callable(value)]
        if stochastic:
            pair = {n: current[n] for n in ("r_on", "r_off")}
            sampled = draw_columns(name, {**pair, **given}, count, device=place)
            given = {n: sampled[n] for n in given}
        self.sync()
        new = self._hold(self._columns_from(given, count, place, [*stochastic, *fresh]), row)
        self._check_params({**current, **new})
        return new

    def _take_params(self, new: Mapping[str, float | Tensor], row: int | None = None) -> None:
        with torch.no_grad():
            for n, value in new.items():
                if row is None or self.size == 1:
                    self._set_column(n, value.to(self.g.device) if isinstance(value, Tensor) else value)
                elif self._shared.get(n) != value:
                    if n in self._shared:
                        self._set_column(n, self.column(n))
                    self.buffer(f"param_{n}").view(-1)[row] = value

    def _rows(self, op: str, row: int | None) -> slice | None:
        """The part of the columns that belongs to one row; None: all of them."""
        if row is None:
            return None
        first = check_int(op, "row", row, 0, self.size - 1)
        return slice(first, first + 1)

    def move(self, conductance: Tensor | None, params: Mapping[str, float | Tensor]) -> None:
        """Gives devices that are not stuck new conductances [*shape] (S), or none, together with ``new_params``.

        States are derived anew; conductances are clipped to the new bounds and to nothing else.
        """
        self._take_params(params)
        if conductance is not None:
            self.write_g(conductance)
        self._call(_engine.set_conductance, None)
        if params and self.stuck is not None:
            self._derive_state(write_g=False)  # under new parameters their conductance takes another state

    def state_bounds(self, name: str, row: int) -> tuple[float, float]:
        """The smallest and largest value of a state variable on one device, at r_on and r_off."""
        params, states, _ = self._engine_columns(slice(row, row + 1), host=True)
        position = [field.name for field in self.table.states].index(name)
        ends = []
        for resistance in (self.value("r_on", row), self.value("r_off", row)):
            at_end = [state.copy() for state in states]
            _engine.set_conductance(self.table.name, params, at_end, np.empty(1), np.array([1 / resistance]))
            ends.append(float(at_end[position][0]))
        return min(ends), max(ends)

    def write_state(self, name: str, row: int, value: Any) -> None:
        """Sets a state variable of one device, unless it is stuck; its conductance follows.

        Raises:
            InvalidArgument: Beyond the values that the variable has at r_on and r_off.
        """
        field = next(f for f in self.table.states if f.name == name)
        number = check_float(self.table.name, name, value, unit=field.unit)
        low, high = self.state_bounds(name, row)
        slack = 1e-9 * (high - low)  # The bounds come out of exp and log: leave room for their rounding.
        if not low - slack <= number <= high + slack:
            invalid(self.table.name, name, value, f"be in [{low:.6g}, {high:.6g}]", field.unit)
        if self.is_stuck(row):
            return
        self.sync()
        self.buffer(f"state_{name}").view(-1)[row] = min(max(number, low), high)
        self._call(_engine.update_conductance, rows=slice(row, row + 1))

    # ---- Conductances and voltages ---------------------------------------------------------------------------------

    def reset(self) -> None:
        """Puts every device into its model's initial state."""
        self._call_alike(_engine.reset)

    def update_conductance(self) -> None:
        """Recomputes ``g`` from the state (after the state has followed what was written to ``g``)."""
        self.sync()
        self._call(_engine.update_conductance)

    def set_conductance(self, conductance: Any = None, *, row: int | None = None) -> None:
        """Sets conductances, silently clipped to each device's own [1/r_off, 1/r_on], or to the nearest finite state.

        Stuck devices stay as they are.

        Args:
            conductance: One number or [*shape] (S); None: ``g`` as it stands.
            row: Only the device in this row of the columns.

        Raises:
            InvalidArgument: Not finite, or of another shape.
        """
        op = "set_conductance"
        rows = self._rows(op, row)
        self._hold_stuck()
        if conductance is None:
            g = None if self.finite_states is None else self.g.detach().view(-1)[rows or slice(None)]
            target = None if g is None else self._beside(self._nearest(g, rows))
            self._call(_engine.set_conductance, target, rows=rows)
            return
        if row is not None or not isinstance(conductance, (Tensor, np.ndarray)) or conductance.ndim == 0:
            number = torch.tensor([check_float(op, "conductance", conductance, unit="S")], dtype=self.g.dtype)
            number = self._nearest(number, rows)
            if rows is None:
                self._call_alike(_engine.set_conductance, number)
            else:
                self.sync()
                self._call(_engine.set_conductance, self._beside(number), rows=rows)
            return
        given = check_numbers(op, "conductance", conductance, "S")
        if tuple(given.shape) != self._shape:
            invalid(op, "conductance", f"shape {list(given.shape)}", f"have shape {list(self._shape)}")
        check_place(op, "conductance", given, self.g.device)
        values = given.to(self.g.device, self.g.dtype).contiguous().view(-1)
        self._call(_engine.set_conductance, self._beside(self._nearest(values)))

    def simulate(
        self,
        voltage: Any,
        return_current: bool = False,
        *,
        rel_tol: float | None = None,
        row: int | None = None,
    ) -> Tensor | None:
        """Applies voltages to all devices; states and conductances move.

        Args:
            voltage: [steps], one signal for all devices, or [*shape, steps] (V), one sample every
                ``time_series_resolution``.
            return_current: Return the currents.
            rel_tol: None: one explicit step per sample, as MemTorch 1.1.6. Otherwise samples are divided until the
                state's movement is known to within this fraction of its range.
            row: Only the device in this row of the columns.

        Returns:
            None, or currents [*shape, steps] (with ``row`` [steps]) in amperes, float64.

        Raises:
            InvalidArgument: Voltages that are not finite or of another shape, or a bad tolerance.
        """
        op = "simulate"
        return_current = check_bool(op, "return_current", return_current)
        signal = array_signal(op, voltage, self._shape, single=row is not None)
        rows = self._rows(op, row)
        count, shape = (self.size, self._shape) if row is None else (1, ())
        tolerance = 0.0 if rel_tol is None else check_float(op, "rel_tol", rel_tol, 0, 1, exclusive=True)
        steps = signal.shape[-1]
        signal = self._signal_beside(op, signal)
        current = signal.new_empty(count, steps) if return_current else None
        self.sync()
        step = self.time_series_resolution
        with self._drawing() as seed:
            self._call(_engine.simulate, step, signal, current, seed, row or 0, tolerance, rows=rows)
        return None if current is None else current.view(*shape, steps)

    def program(
        self,
        shape: tuple[int, int, int],
        targets: _Column,
        selected: _Column,
        report: list[_Column],
        pulses: Any,
        *,
        rows: slice | None = None,
    ) -> None:
        """Programs the selected devices by pulses (engine/program.h); they end at their finite states, if they have.

        Args:
            shape: (tiles, rows, columns): how the devices form tiles.
            targets: Conductances [size] (S), float64; read of selected devices.
            selected: [size], bool.
            report: Pulses, error, outcome and forced [size], written for the selected devices.
            pulses: What has the attributes of the engine's ``ProgramOptions``.
            rows: Only these rows of the columns take part.

        Raises:
            InvalidArgument: A target out of the range of its device, or a bad option.
            RuntimeError: The circuit of a tile was not solved; nothing has changed then.
        """
        options = _engine.ProgramOptions()
        for name, value in vars(pulses).items():
            setattr(options, name, value)
        options.first_device = 0 if rows is None else rows.start
        self.sync()
        with self._drawing() as options.seed:
            if _ops.on_gpu(self.buffer("g")):
                self._program_there(shape, targets, selected, report, options, rows)
            else:
                self._call(_engine.program, shape, targets, selected, *report, options, rows=rows)
        if self.finite_states is not None:
            self.settle(options.first_device + selected.nonzero()[0])

    def _program_there(
        self,
        shape: tuple[int, int, int],
        targets: _Column,
        selected: _Column,
        report: list[_Column],
        options: _engine.ProgramOptions,
        rows: slice | None,
    ) -> None:
        """Programs on the GPU of the columns, and waits for its report."""
        g = self.buffer("g")
        columns = [torch.from_numpy(column).to(g.device) for column in (targets, selected, *report)]
        self._check_targets(columns[0], columns[1], rows)
        scratch = _engine.program_workspace(shape, options)
        if options.floating or any(options.wires):
            program = partial(_ops.solve_there, "program", _engine.program, g, shape[0], scratch)
            self._call(program, shape, *columns, options, rows=rows)
        else:
            self._call(_engine.program, shape, *columns, options, rows=rows, workspace=_ops.workspace(scratch, g))
        for column, written in zip(report, columns[2:], strict=True):
            np.copyto(column, written.cpu().numpy())

    def _check_targets(self, targets: Tensor, selected: Tensor, rows: slice | None) -> None:
        """Looks at what the engine leaves to its caller on a GPU: the range of targets, up to float32's rounding."""
        bounds = dict(zip((field.name for field in self.table.params), self._params(rows), strict=True))
        low, high = (1 / torch.as_tensor(bounds[name], device=targets.device) for name in ("r_off", "r_on"))
        beyond = (targets < low * (1 - 2**-23)) | (targets > high * (1 + 2**-23)) | targets.isnan()
        bad = (selected & beyond).nonzero()
        if len(bad):
            first = int(bad[0])
            invalid("program", f"target of device {first}", float(targets[first]), "be within [1/r_off, 1/r_on]", "S")

    def read_simulated(self, v: Tensor, rows: int, columns: int, wires: Sequence[float] | None = None) -> Tensor:
        """Reads the matrix that the devices hold in tiles, one time step for each input vector; the states move.

        Args:
            v: [inputs, rows] volts.
            rows: Word lines in use; those of padding cells are at 0 V.
            columns: Columns in use.
            wires: Resistances (ohm) of a word line segment, of a bit line segment, at the drivers, at the sense ends:
                each device then sees the voltage that the solved circuit of its tile leaves it. None: ideal wires.

        Returns:
            [tiles down, inputs, columns] amperes, float64: what each row of tiles gives.

        Raises:
            InvalidArgument: Voltages that are not finite, or so large that a current would not be.
            RuntimeError: The circuit of a tile was not solved; no device has moved then.
        """
        g = self.buffer("g")
        there = _ops.on_gpu(g)
        device = g.device if there else torch.device("cpu")
        down, across = -(-rows // self._shape[-2]), -(-columns // self._shape[-1])
        currents = torch.empty((down, v.shape[0], columns), dtype=torch.float64, device=device)
        volts = v.detach().to(device, torch.float64).t().contiguous()
        self.sync()
        grid = [rows, columns, *self._shape[-2:]]
        read: Callable[..., None] = _engine.read_simulated
        if there and wires:
            scratch = _engine.simulated_read_workspace(grid)
            read = partial(_ops.solve_there, "read_simulated", read, g, down * across, scratch)
        with self._drawing() as seed:
            self._call(read, self.time_series_resolution, grid, volts, currents, seed, wires or [])
        return currents
