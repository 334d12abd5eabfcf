"""Crossbars of memristors: one device at every crossing of a word line (row) and a bit line (column)."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from memtorch import _ops
from memtorch._errors import check_bool, check_int, check_mapping, check_place, check_shape, check_tensor, invalid
from memtorch.bh._device_array import DeviceArray
from memtorch.bh._device_indexing import DeviceIndexing
from memtorch.bh._object_array import ObjectArray
from memtorch.bh._object_model import check_model, reference_object
from memtorch.bh.crossbar._nonlinear import simulate_matmul
from memtorch.bh.crossbar._operations import DoubleColumnOperation, SingleColumnOperation, read_matrix
from memtorch.bh.crossbar._programming import ProgrammingReport
from memtorch.bh.crossbar._wires import WiredTiles, Wires
from memtorch.bh.crossbar.Program import program_matrix, programs_naively
from memtorch.bh.memristor._engine_model import is_engine_model
from memtorch.bh.StochasticParameter import draw

__all__ = ["Crossbar", "Scheme", "init_crossbar", "simulate_matmul"]


@enum.unique
class Scheme(enum.Enum):
    """How crossbars represent signed weights."""

    SingleColumn = 1
    DoubleColumn = 2


class Crossbar(WiredTiles, nn.Module):
    """An array of devices in tiles.

    Example:
        >>> crossbar = memtorch.bh.crossbar.Crossbar(
        ...     memtorch.bh.memristor.VTEAM, {"r_on": 1e2, "r_off": 1e4}, shape=(100, 100), tile_shape=(64, 64)
        ... )
        >>> crossbar.write_conductance_matrix(torch.empty(100, 100).uniform_(1e-4, 1e-2))
        >>> currents = crossbar.read(torch.rand(8, 100))

    ``conductance_matrix`` and the devices' conductances are one storage: what one shows, the other holds. Cells of the
    last tiles beyond the matrix are padding: physical devices at 1 / r_off that nothing writes or reads.

    Args:
        memristor_model: A class of ``memtorch.bh.memristor``, or a subclass of its ``Memristor`` written in Python.
        memristor_model_params: Its parameters by name; stochastic ones are drawn for every device.
        shape: Of the weights that the crossbar holds, outputs first: (columns, rows), or (outputs, ...) of a
            convolution with 3 to 5 dimensions, where rows is the product of all but the first.
        tile_shape: (tile_rows, tile_columns); None: one array.
        use_bindings: Accepted for compatibility, without effect.
        cuda_malloc_heap_size: Accepted for compatibility, without effect.
        random_crossbar_init: Devices start at conductances uniform in [1/r_off, 1/r_on] instead of at 1/r_off.
        device: Where the devices are, and where stochastic parameters are drawn.
        conductance_matrix: What the devices start at (S): written as ``write_conductance_matrix`` does.

    Attributes:
        rows: Word lines: inputs.
        columns: Bit lines: outputs.
        shape: As given.
        tile_shape: As given.
        tiles_map: Numbers of the tiles [tiles down, tiles across], or None.
        devices: The devices [rows, columns], or [tiles, tile_rows, tile_columns].
        conductance_matrix: Their conductances (S), the same shape.
        r_on_mean: r_on as given, ohm; the mean if it is stochastic.
        r_off_mean: r_off likewise.
        time_series_resolution: Time between voltage samples (s).
        programming_report: How the last programming by pulses went, device by device; None after an exact write.
        wires: Resistances that ``naive_program`` meets unless it is given others; None: ideal wires. Reads take theirs
            as arguments.

    Raises:
        InvalidArgument: Not a device model, or a parameter or shape out of range.
    """

    devices: DeviceArray | ObjectArray
    programming_report: ProgrammingReport | None
    wires: Wires | None = None

    def __init__(
        self,
        memristor_model: type,
        memristor_model_params: Mapping[str, Any],
        shape: tuple[int, ...],
        tile_shape: tuple[int, int] | None = None,
        use_bindings: bool = True,
        cuda_malloc_heap_size: int | None = 50,
        random_crossbar_init: bool = False,
        *,
        device: torch.device | str = "cpu",
        conductance_matrix: Tensor | None = None,
    ) -> None:
        super().__init__()
        op = "Crossbar"
        device = _ops.check_device(op, device)
        reference = _reference_device(op, memristor_model, memristor_model_params)
        self.memristor_model = memristor_model
        self.memristor_model_params = dict(memristor_model_params)
        self.shape = check_shape(op, "shape", shape, (2, 3, 4, 5))
        self.tile_shape = None if tile_shape is None else check_shape(op, "tile_shape", tile_shape, 2)
        self.use_bindings = check_bool(op, "use_bindings", use_bindings)
        if cuda_malloc_heap_size is not None:
            check_int(op, "cuda_malloc_heap_size", cuda_malloc_heap_size, 1)
        self.cuda_malloc_heap_size = cuda_malloc_heap_size
        self.columns, self.rows = self.shape[0], math.prod(self.shape[1:])
        self.r_on_mean: float = reference.r_on
        self.r_off_mean: float = reference.r_off
        self.tiles_map: Tensor | None = None
        self.programming_report = None
        cells: tuple[int, ...] = (self.rows, self.columns)
        if self.tile_shape is not None:
            down, across = (-(-n // t) for n, t in zip(cells, self.tile_shape, strict=True))
            # float32, as 1.1.6 has it.
            self.tiles_map = torch.arange(down * across, dtype=torch.float32).view(down, across)
            cells = (down * across, *self.tile_shape)
        written = conductance_matrix is not None
        if is_engine_model(memristor_model):
            self.devices = DeviceArray(
                memristor_model, memristor_model_params, cells, conductance=0.0, device=device, blank=written
            )
        else:
            self.devices = ObjectArray(memristor_model, memristor_model_params, cells, conductance=0.0).to(device)
        if check_bool(op, "random_crossbar_init", random_crossbar_init) and not written:
            self.devices.set_conductance(self._random_conductances())
        if conductance_matrix is not None:
            self.write_conductance_matrix(conductance_matrix)

    def _random_conductances(self) -> Tensor:
        """Conductances of all cells (S), uniform between those of the mean resistances, the same on every device."""
        low, high = 1 / self.r_off_mean, 1 / self.r_on_mean
        drawn = torch.empty(self.devices.shape, dtype=torch.float64, device=self.devices.g.device)
        return _ops.random_distributed_(drawn, _ops.random_seed(), "uniform", low, high - low, low, high)

    # ---- Conductances and devices ----------------------------------------------------------------------------------

    @property
    def conductance_matrix(self) -> Tensor:
        """Conductances (S) of all cells, padding included; writing into it, or assigning it, writes the devices."""
        if self.devices.stuck is not None:
            self.devices.sync()  # what was written to stuck cells does not show
        return self.devices.g

    @property
    def max_abs_conductance(self) -> Tensor:
        """The largest conductance of any cell (S), a tensor []."""
        return self.conductance_matrix.abs().max()

    @property
    def time_series_resolution(self) -> float:
        """Time between voltage samples (s)."""
        return self.devices.time_series_resolution

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "conductance_matrix":
            self.devices.write_g(value)
        elif name == "devices" and "devices" in self.__dict__.get("_modules", {}):
            self._adopt(value)
        else:
            super().__setattr__(name, value)

    def _adopt(self, devices: Any) -> None:
        """Takes over the devices that a routine returned: this crossbar's own, another array, or an object array."""
        if devices is self.devices:
            return
        op = "Crossbar"
        if not isinstance(devices, (DeviceIndexing, np.ndarray)):
            invalid(op, "devices", type(devices).__name__, "be an array of devices")
        if tuple(devices.shape) != self.devices.shape:
            invalid(op, "devices", f"shape {tuple(devices.shape)}", f"have shape {self.devices.shape}")
        if isinstance(devices, type(self.devices)) and devices.memristor_model is self.memristor_model:
            self._modules["devices"] = devices
            return
        self.devices[:] = devices

    def matrix(self) -> Tensor:
        """Conductances [rows, columns] (S) without padding: the matrix itself, or gathered from tiles."""
        if self.tile_shape is None:
            return self.conductance_matrix
        return _ops.gather_tiles(self.conductance_matrix, self.rows, self.columns)

    def update(self, from_devices: bool = True, parallelize: bool = False) -> None:
        """Makes conductances and states agree.

        Either way a state first follows what was written to its conductance, and both are within the device's range
        afterwards.

        Args:
            from_devices: Derive the conductances from the states (True) or the states from the conductances (False).
            parallelize: Accepted for compatibility; the devices are always updated together.

        Raises:
            InvalidArgument: A conductance that is not finite.
        """
        check_bool("update", "parallelize", parallelize)
        if check_bool("update", "from_devices", from_devices):
            self.devices.update_conductance()
        else:
            self.devices.set_conductance()

    # ---- Writing ---------------------------------------------------------------------------------------------------

    def write_conductance_matrix(
        self,
        conductance_matrix: Tensor,
        transistor: bool = True,
        programming_routine: Callable[..., Any] | None = None,
        programming_routine_params: Mapping[str, Any] = {},
    ) -> None:
        """Writes the conductances of all devices, clipped to what each can hold. Padding cells go to 1 / r_off.

        Args:
            conductance_matrix: Target conductances (S) in the crossbar's ``shape``: [columns, rows], or
                [outputs, ...].
            transistor: Every cell has a transistor and is written exactly (True), or ``programming_routine`` writes
                the used cells one by one (False), tile by tile, row by row.
            programming_routine: ``naive_program``, which programs the whole matrix in one go and leaves a
                ``programming_report``, or any ``f(crossbar, point, conductance, **params)``, where point is the cell's
                index into ``devices``; returns the devices.
            programming_routine_params: Further keyword arguments of the routine.

        Raises:
            InvalidArgument: Another shape, targets that are not finite, or a missing routine.
        """
        op = "write_conductance_matrix"
        targets = check_tensor(op, "conductance_matrix", conductance_matrix, self._written_shape(conductance_matrix))
        if targets.dtype != self.devices.g.dtype:  # what is finite in float64 may be infinite as it is stored
            check_tensor(op, "conductance_matrix", targets.detach().to(self.devices.g.dtype))
        check_place(op, "conductance_matrix", targets, self.devices.g.device)
        targets = targets.detach().reshape(self.columns, self.rows).T
        if not check_bool(op, "transistor", transistor):
            if not callable(programming_routine):
                invalid(op, "programming_routine", programming_routine, "be given if transistor is False")
            self._program(targets, programming_routine, dict(programming_routine_params))
            return
        with torch.no_grad():
            g = self.devices.g
            _ops.scatter_tiles_(targets.to(g.dtype), g.unsqueeze(0) if self.tile_shape is None else g)
        self.devices.set_conductance()
        self.programming_report = None

    def _written_shape(self, conductance_matrix: Any) -> tuple[int, ...]:
        """The shape that a written matrix must have; convolution kernels may come flattened."""
        flat = (self.columns, self.rows)
        return flat if getattr(conductance_matrix, "ndim", None) == 2 else self.shape

    def _program(self, targets: Tensor, routine: Callable[..., Any], params: dict[str, Any]) -> None:
        low, high = (1 / torch.as_tensor(self.devices.parameter(r), dtype=torch.float64) for r in ("r_off", "r_on"))
        low, high = (bound.expand(self.devices.shape) for bound in (low, high))
        if programs_naively(routine):
            used, wanted = self._in_cells(torch.ones_like(targets)) != 0, self._in_cells(targets)
            wanted = torch.minimum(torch.maximum(wanted, low.cpu()), high.cpu())
            op = "write_conductance_matrix"
            self.programming_report = program_matrix(op, self.devices, wanted, used, routine, params, self.wires)
            return
        for point, row, column in self._used_cells():
            target = min(max(float(targets[row, column]), float(low[point])), float(high[point]))
            self.devices = routine(self, point, target, **params)
        self.update(from_devices=True)

    def _in_cells(self, matrix: Tensor) -> Tensor:
        """A matrix [rows, columns] in the shape of ``devices``, float64 on the CPU, 0 in padding cells."""
        values = matrix.detach().to("cpu", torch.float64)
        if self.tile_shape is None:
            return values
        cells = torch.zeros(self.devices.shape, dtype=torch.float64)
        _ops.scatter_tiles_(values, cells)
        return cells

    def _used_cells(self) -> Iterator[tuple[tuple[int, ...], int, int]]:
        """Index into ``devices``, row and column of every cell that is not padding, tile by tile."""
        height, width = self.tile_shape or (self.rows, self.columns)
        tile = 0
        for top in range(0, self.rows, height):
            for left in range(0, self.columns, width):
                for row in range(top, min(top + height, self.rows)):
                    for column in range(left, min(left + width, self.columns)):
                        cell = (row - top, column - left)
                        yield (cell if self.tile_shape is None else (tile, *cell)), row, column
                tile += 1

    # ---- Reading ---------------------------------------------------------------------------------------------------

    def read(
        self,
        v: Tensor,
        *,
        source_resistance: float | tuple[float, float] | None = None,
        line_resistance: float | tuple[float, float] | None = None,
        ADC_resolution: int | None = None,
        ADC_overflow_rate: float = 0.0,
        quant_method: str | None = None,
        ADC_range: float | None = None,
    ) -> Tensor:
        """Currents of the columns at voltages on the rows; differentiable by the voltages.

        Args:
            v: Voltages (V) [inputs, rows], or [rows].
            source_resistance: Between a source and its line (ohm), at both ends of a tile; a pair: at the word lines,
                at the bit lines.
            line_resistance: Of a line between neighbouring cells (ohm); a pair: of word lines, of bit lines.
            ADC_resolution: Bits of the converters, one per tile and input; takes effect with ``quant_method``.
            ADC_overflow_rate: Fraction of a converter's inputs that may lie beyond its range, in [0, 1].
            quant_method: One of ``memtorch.bh.quant_methods``; None: no converters.
            ADC_range: Fixed converter range [-ADC_range, ADC_range] (A); None: each takes it from its inputs.

        Returns:
            Currents (A) [inputs, columns], or [columns].

        Raises:
            InvalidArgument: Another shape, voltages that are not finite, or a bad resistance or converter option.
        """
        op = "read"
        wires = Wires.parse(op, source_resistance, line_resistance)
        adc = _ops.Adc.parse(op, ADC_resolution, ADC_overflow_rate, quant_method, ADC_range)
        stored = self.conductance_matrix.dtype
        return read_matrix(op, v, self.effective_matrix(wires), self.tile_shape, adc, stored)

    def __repr__(self) -> str:
        count = self.devices.shape[0]
        tiles = "" if self.tile_shape is None else f", {count} tile{'' if count == 1 else 's'} of {self.tile_shape}"
        stored = sum(buffer.numel() * buffer.element_size() for buffer in self.devices.buffers())
        devices = f"devices in {stored} bytes" if isinstance(self.devices, DeviceArray) else "Python objects"
        solved = self.solved_wires()
        return (
            f"{type(self).__name__}({self.memristor_model.__name__}, rows={self.rows}, columns={self.columns}{tiles}, "
            f"{self.devices.size} {devices}{'' if solved is None else f', {solved}'})"
        )


def _reference_device(op: str, memristor_model: Any, params: Any) -> Any:
    """A device with the means of all parameters.

    Raises:
        InvalidArgument: Not a device model, or bad parameters.
    """
    check_model(op, memristor_model)
    check_mapping(op, "memristor_model_params", params, "be a dict of keyword arguments of the memristor model")
    if not is_engine_model(memristor_model):
        return reference_object(op, memristor_model, params)
    means = {name: _mean(name, value) for name, value in params.items()}
    return memristor_model(**{**means, "reference": True})


def _mean(name: str, value: Any) -> Any:
    if callable(value):
        return draw(name, value, mean=True)
    if isinstance(value, (Tensor, np.ndarray)) and value.ndim > 0:
        return float(value.mean())
    return value


def init_crossbar(
    weights: Tensor,
    memristor_model: type,
    memristor_model_params: Mapping[str, Any],
    transistor: bool,
    mapping_routine: Callable[..., Any],
    programming_routine: Callable[..., Any] | None,
    programming_routine_params: Mapping[str, Any] = {},
    p_l: float | None = None,
    scheme: Scheme = Scheme.DoubleColumn,
    tile_shape: tuple[int, int] | None = (128, 128),
    use_bindings: bool = True,
    cuda_malloc_heap_size: int | None = 50,
    random_crossbar_init: bool = False,
    *,
    source_resistance: float | tuple[float, float] | None = None,
    line_resistance: float | tuple[float, float] | None = None,
) -> tuple[list[Crossbar], Callable[..., Any]]:
    """Builds the crossbars of a weight tensor and writes them.

    Args:
        weights: [outputs, inputs], or [outputs, ...] of a convolution; on a GPU the crossbars are there, too.
        memristor_model: A class of ``memtorch.bh.memristor``, or a subclass of its ``Memristor`` written in Python.
        memristor_model_params: Its parameters by name.
        transistor: Every cell has a transistor and is written exactly (True), or the routine below writes (False).
        mapping_routine: ``f(weights, r_on, r_off, scheme=, p_l=)`` that gives the target conductances: (positive,
            negative) or one tensor. r_on and r_off are the given ones, the means if they are stochastic.
        programming_routine: Writes one passive cell; see ``Crossbar.write_conductance_matrix``.
        programming_routine_params: Further keyword arguments of it.
        p_l: Proportion of the weights to retain; None: all.
        scheme: How signed weights are represented.
        tile_shape: (tile_rows, tile_columns); None: one array.
        use_bindings: Accepted for compatibility, without effect.
        cuda_malloc_heap_size: Accepted for compatibility, without effect.
        random_crossbar_init: Devices start at random conductances before they are written.
        source_resistance: Of the crossbars' ``wires``, which pulses meet: see ``naive_program``.
        line_resistance: Likewise.

    Returns:
        The crossbars ([positive, negative], or one), and ``out(crossbars, operation, **kwargs)``, which gives
        ``operation(positive) - operation(negative)``, or for the single column scheme ``operation(crossbar)`` minus
        the same operation on a reference column of conductance (1/r_on + 1/r_off) / 2.

    Raises:
        InvalidArgument: An argument out of range, or a routine that returns the wrong thing.
    """
    op = "init_crossbar"
    check_tensor(op, "weights", weights)
    if not isinstance(scheme, Scheme):
        invalid(op, "scheme", scheme, f"be one of {', '.join(map(str, Scheme))}")
    if not callable(mapping_routine):
        invalid(op, "mapping_routine", mapping_routine, "be a function")
    exact = check_bool(op, "transistor", transistor)
    wires = Wires.parse(op, source_resistance, line_resistance)
    reference = _reference_device(op, memristor_model, memristor_model_params)
    mapped = mapping_routine(weights, reference.r_on, reference.r_off, scheme=scheme, p_l=p_l)
    double = scheme is Scheme.DoubleColumn
    targets = list(mapped) if isinstance(mapped, (tuple, list)) else [mapped]
    if len(targets) != (2 if double else 1):
        expected = "two tensors (positive, negative)" if double else "one tensor"
        invalid(op, "mapping_routine", f"{len(targets)} tensors", f"return {expected} for {scheme}")
    crossbars = []
    for target in targets:
        crossbar = Crossbar(
            memristor_model,
            memristor_model_params,
            tuple(weights.shape),
            tile_shape,
            use_bindings,
            cuda_malloc_heap_size,
            random_crossbar_init,
            device=weights.device if weights.is_cuda else "cpu",
            conductance_matrix=target if exact else None,
        )
        crossbar.wires = wires
        if not exact:
            crossbar.write_conductance_matrix(target, False, programming_routine, programming_routine_params)
        crossbars.append(crossbar)
    if double:
        return crossbars, DoubleColumnOperation()
    return crossbars, SingleColumnOperation((1 / reference.r_on + 1 / reference.r_off) / 2)
