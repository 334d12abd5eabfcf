# Generated from the extension by ./tools/dev build --update-stub; a test compares the two.
# Arrays are torch tensors or NumPy arrays, of exactly the dtype that is stated.
"""
The memtorch engine. Private: the modules memtorch._*_ops and memtorch.bh._device_array are its only callers.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy
from numpy.typing import NDArray
from torch import Tensor

class InvalidArgument(ValueError, AssertionError):
    """An argument is not what it must be."""



def cuda_devices() -> int:
    """GPUs that can be used."""

def cuda_reason() -> str:
    """Why there are none; empty where there are."""

def cuda_architectures() -> list[str]:
    """What the kernels were compiled for."""

def set_stream_source(source: Callable[[int], int]) -> None:
    """
    Sets the function that gives the current cudaStream_t of a GPU by its index.
    """

def solve_curves(curve: Callable, wires: Sequence[float], word_volts: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', device='cpu', writable=False)], word_nodes: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', device='cpu')], bit_nodes: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', device='cpu')], warm: bool = False) -> None:
    """
    Potentials word_nodes and bit_nodes [rows, cols], volts, where word lines are at word_volts [rows], senses at 0 V, wires, ohm, are word, bit, source, load, and curve(row, voltages) returns currents and slopes [2, cols] of the devices of a row. RuntimeError where the circuit is not solved to 1e-10 of the largest device current.
    """

def models() -> list[dict[str, Any]]:
    """
    The device models with their tables of parameters and state variables: name, default, unit, range, doc.
    """

def simulate(model: str, params: list, state: Sequence[Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')]], g: Annotated[NDArray | Tensor, dict(order='C')], dt: float, waveform: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', writable=False)], current: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')] | None = None, seed: int = 0, first_device: int = 0, rel_tol: float = 0.0, stuck: Annotated[NDArray | Tensor, dict(order='C')] | None = None) -> None:
    """
    Applies waveform [steps] or [size, steps], volts, to all devices; current [size, steps], amperes, is written. Devices where stuck [size], bool or uint8, is not 0 keep state and g: here and in the functions below.
    """

def set_conductance(model: str, params: list, state: Sequence[Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')]], g: Annotated[NDArray | Tensor, dict(order='C')], target: Annotated[NDArray | Tensor, dict(order='C')] | None = None, stuck: Annotated[NDArray | Tensor, dict(order='C')] | None = None) -> None:
    """
    Sets each device to target [size], siemens, clipped to its own range; without target the state follows g.
    """

def update_conductance(model: str, params: list, state: Sequence[Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')]], g: Annotated[NDArray | Tensor, dict(order='C')], stuck: Annotated[NDArray | Tensor, dict(order='C')] | None = None) -> None:
    """Recomputes g from the state."""

def reset(model: str, params: list, state: Sequence[Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')]], g: Annotated[NDArray | Tensor, dict(order='C')], stuck: Annotated[NDArray | Tensor, dict(order='C')] | None = None) -> None:
    """Puts every device into its model's initial state."""

def check_params(op: str, model: str, params: list, size: int, first_device: int = 0, found: Annotated[NDArray[numpy.int64] | Tensor, dict(order='C')] | None = None) -> None:
    """
    Raises unless every parameter of every device is in its range; messages count devices from first_device. On a GPU found [1], int64, is written instead: -1, or a number that leaves the first bad device when divided by size.
    """

class ProgramOptions:
    """Pulses and limits of write-verify programming."""

    def __init__(self) -> None: ...

    @property
    def dt(self) -> float: ...

    @dt.setter
    def dt(self, arg: float, /) -> None: ...

    @property
    def on_samples(self) -> int: ...

    @on_samples.setter
    def on_samples(self, arg: int, /) -> None: ...

    @property
    def off_samples(self) -> int: ...

    @off_samples.setter
    def off_samples(self, arg: int, /) -> None: ...

    @property
    def positive_voltage(self) -> float: ...

    @positive_voltage.setter
    def positive_voltage(self, arg: float, /) -> None: ...

    @property
    def negative_voltage(self) -> float: ...

    @negative_voltage.setter
    def negative_voltage(self, arg: float, /) -> None: ...

    @property
    def rel_tol(self) -> float: ...

    @rel_tol.setter
    def rel_tol(self, arg: float, /) -> None: ...

    @property
    def max_pulses(self) -> int: ...

    @max_pulses.setter
    def max_pulses(self, arg: int, /) -> None: ...

    @property
    def timeout(self) -> float: ...

    @timeout.setter
    def timeout(self, arg: float, /) -> None: ...

    @property
    def force_conductance(self) -> float: ...

    @force_conductance.setter
    def force_conductance(self, arg: float, /) -> None: ...

    @property
    def force_voltage(self) -> float: ...

    @force_voltage.setter
    def force_voltage(self, arg: float, /) -> None: ...

    @property
    def force_rel_tol(self) -> float: ...

    @force_rel_tol.setter
    def force_rel_tol(self, arg: float, /) -> None: ...

    @property
    def positive_threshold(self) -> float: ...

    @positive_threshold.setter
    def positive_threshold(self, arg: float, /) -> None: ...

    @property
    def negative_threshold(self) -> float: ...

    @negative_threshold.setter
    def negative_threshold(self, arg: float, /) -> None: ...

    @property
    def unselected_word(self) -> float: ...

    @unselected_word.setter
    def unselected_word(self, arg: float, /) -> None: ...

    @property
    def unselected_bit(self) -> float: ...

    @unselected_bit.setter
    def unselected_bit(self, arg: float, /) -> None: ...

    @property
    def floating(self) -> bool: ...

    @floating.setter
    def floating(self, arg: bool, /) -> None: ...

    @property
    def wires(self) -> list[float]:
        """Resistances, ohm: word, bit, source, load."""

    @wires.setter
    def wires(self, arg: Sequence[float], /) -> None: ...

    @property
    def neighbours(self) -> bool: ...

    @neighbours.setter
    def neighbours(self, arg: bool, /) -> None: ...

    @property
    def seed(self) -> int: ...

    @seed.setter
    def seed(self, arg: int, /) -> None: ...

    @property
    def first_device(self) -> int: ...

    @first_device.setter
    def first_device(self, arg: int, /) -> None: ...

def program(model: str, params: list, state: Sequence[Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')]], g: Annotated[NDArray | Tensor, dict(order='C')], shape: tuple[int, int, int], target: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', writable=False)], selected: Annotated[NDArray[numpy.bool_] | Tensor, dict(order='C', writable=False)], pulses: Annotated[NDArray[numpy.int64] | Tensor, dict(order='C')], error: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')], outcome: Annotated[NDArray[numpy.uint8] | Tensor, dict(order='C')], forced: Annotated[NDArray[numpy.int64] | Tensor, dict(order='C')], options: ProgramOptions, stuck: Annotated[NDArray | Tensor, dict(order='C')] | None = None, residual: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')] | None = None, workspace: Annotated[NDArray[numpy.uint8] | Tensor, dict(order='C')] | None = None) -> None:
    """
    Programs the selected [size] devices, cells of tiles of shape (tiles, rows, columns), to target [size], siemens, by pulses. Of the report [size] the selected are written; outcome: 1 converged, 2 pulse limit, 3 timeout, 4 faulty, 5 disturbed. A GPU needs a workspace; where it solves voltages it tells by the residual [tiles] what it has not solved, and nothing has changed then.
    """

def program_workspace(shape: tuple[int, int, int], options: ProgramOptions) -> int:
    """Bytes of the workspace that program needs on a GPU."""

def read_shape(model: str, params: list, v: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', writable=False)], shape: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')], slope: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')] | None = None) -> None:
    """
    Shapes (V) of voltages [n]: the current of a device is its shape times its conductance. Slope: the derivative.
    """

def read_nonlinear(model: str, params: list, g: Annotated[NDArray | Tensor, dict(order='C')], grid: Sequence[int], v: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', writable=False)], partial: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')]) -> None:
    """
    Currents partial [tiles down, inputs, columns] of tiles g at voltages v [rows, inputs], each device with its own I-V curve. grid: rows, columns, tile_rows, tile_columns.
    """

def read_nonlinear_gradient(model: str, params: list, g: Annotated[NDArray | Tensor, dict(order='C')], grid: Sequence[int], v: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', writable=False)], partial_grad: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', writable=False)], v_grad: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')], g_grad: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')] | None = None) -> None:
    """The derivative of read_nonlinear by v, and by g [cells]."""

def read_through_wires(model: str, params: list, g: Annotated[NDArray | Tensor, dict(order='C')], grid: Sequence[int], wires: Sequence[float], v: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', writable=False)], partial: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')], residual: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')] | None = None, workspace: Annotated[NDArray[numpy.uint8] | Tensor, dict(order='C')] | None = None) -> None:
    """
    The same through resistive wires, ohm: word, bit, source, load. RuntimeError where a tile is not solved; a GPU, which is not waited for, leaves it to the caller to look at the residual [tiles, inputs], and needs a workspace.
    """

def read_through_wires_gradient(model: str, params: list, g: Annotated[NDArray | Tensor, dict(order='C')], grid: Sequence[int], wires: Sequence[float], v: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', writable=False)], partial_grad: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', writable=False)], v_grad: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')] | None = None, g_grad: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')] | None = None, wires_grad: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')] | None = None, residual: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')] | None = None, workspace: Annotated[NDArray[numpy.uint8] | Tensor, dict(order='C')] | None = None) -> None:
    """
    The derivative of read_through_wires by v, g [cells] and wires [4]; None: not wanted.
    """

def wired_read_workspace(grid: Sequence[int], inputs: int) -> int:
    """
    Bytes of the workspace that read_through_wires and its derivative need on a GPU.
    """

def read_simulated(model: str, params: list, state: Sequence[Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')]], g: Annotated[NDArray | Tensor, dict(order='C')], dt: float, grid: Sequence[int], v: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', writable=False)], partial: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')], seed: int = 0, wires: Sequence[float] = [], stuck: Annotated[NDArray | Tensor, dict(order='C')] | None = None, residual: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')] | None = None, workspace: Annotated[NDArray[numpy.uint8] | Tensor, dict(order='C')] | None = None) -> None:
    """
    Currents of tiles whose devices make one step of dt for each input vector, one after the other; through resistive wires, ohm, if these are given. A GPU then needs a workspace, and tells by the residual [tiles] what it has not solved; no device has moved then.
    """

def simulated_read_workspace(grid: Sequence[int]) -> int:
    """Bytes of the workspace that read_simulated needs on a GPU with wires."""

def run_product_kernel(repeats: int, single: bool) -> int:
    """
    Runs the solver's product kernel from the first-level cache; returns the number of operations. For benchmarks.
    """

class GridSolver:
    """
    Exact solver for crossbars of one shape with resistive wires, ohm; it keeps the memory of a solution for the next one.
    """

    def __init__(self, rows: int, cols: int, word: float, bit: float, source: float, load: float, drive_both: bool = False, sense_both: bool = False) -> None: ...

    def effective_matrix(self, g: Annotated[NDArray | Tensor, dict(order='C')], out: Annotated[NDArray | Tensor, dict(order='C')], workspace: Annotated[NDArray[numpy.uint8] | Tensor, dict(order='C')] | None = None) -> None:
        """
        Effective conductances out [tiles, rows, cols] of devices g [tiles, rows, cols], siemens: currents = voltages @ out. The dtype of out is the precision inside. On a GPU, memory for `workspace` bytes.
        """

    def verify(self, g: Annotated[NDArray | Tensor, dict(order='C', device='cpu')], effective: Annotated[NDArray | Tensor, dict(order='C', device='cpu')], residual: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', device='cpu')], tolerance: float) -> None:
        """
        Residual [tiles] of an effective matrix: what its currents lack of those of the potentials of all nodes, in parts of the largest current. RuntimeError where it is above the tolerance.
        """

    def gradient(self, g: Annotated[NDArray | Tensor, dict(order='C')], upstream: Annotated[NDArray | Tensor, dict(order='C')], gradient: Annotated[NDArray | Tensor, dict(order='C')], workspace: Annotated[NDArray[numpy.uint8] | Tensor, dict(order='C')] | None = None) -> None:
        """
        Gradient [tiles, rows, cols] with respect to g of the sum of upstream [tiles, rows, cols] times the effective matrix, element by element. On a GPU, memory for `workspace` bytes.
        """

    def wire_gradient(self, g: Annotated[NDArray | Tensor, dict(order='C', device='cpu')], upstream: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', device='cpu', writable=False)], gradient: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', device='cpu')], tolerance: float = 1e-10) -> None:
        """
        Gradient [tiles, 4] of the same sum with respect to word, bit, source and load resistance of each tile. RuntimeError where the residual of a potential stays above the tolerance.
        """

    def workspace(self, tiles: int, single: bool, gradient: bool) -> int:
        """
        Bytes of memory that a GPU needs beside the arrays: for effective_matrix or gradient of so many tiles, the more the faster, with float32 or float64 inside.
        """

    def solve_nodes(self, g: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', writable=False)], word_volts: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', writable=False)], bit_volts: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', writable=False)] | None, word_nodes: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')], bit_nodes: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')], residual: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')], steepness: float = 0.0, tolerance: float = 1e-10, warm: bool = False, word_open: Annotated[NDArray[numpy.bool_] | Tensor, dict(order='C', writable=False)] | None = None, bit_open: Annotated[NDArray[numpy.bool_] | Tensor, dict(order='C', writable=False)] | None = None, workspace: Annotated[NDArray[numpy.uint8] | Tensor, dict(order='C')] | None = None) -> None:
        """
        Potentials word_nodes and bit_nodes [vectors, rows, cols], volts, of devices g [rows, cols] under word_volts [vectors, rows] and bit_volts [vectors, cols] (None: 0 V); I = g sinh(steepness v) / steepness unless steepness is 0. RuntimeError where the residual [vectors] stays above the tolerance; a GPU, which is not waited for, leaves it to the caller to look, and needs a workspace.
        """

    def nodes_workspace(self, vectors: int, linear: bool) -> int:
        """
        Bytes of the workspace that solve_nodes of so many vectors needs on a GPU.
        """

    def branches(self, device: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', device='cpu', writable=False)], word: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', device='cpu')], bit: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', device='cpu')], word_open: Annotated[NDArray[numpy.bool_] | Tensor, dict(order='C', device='cpu', writable=False)] | None = None, bit_open: Annotated[NDArray[numpy.bool_] | Tensor, dict(order='C', device='cpu', writable=False)] | None = None) -> None:
        """
        Currents word [rows, cols + 1], rightwards, and bit [rows + 1, cols], downwards, of device currents [rows, cols], amperes.
        """

def quant_methods() -> list[str]:
    """The quantization methods by name."""

def quantize(x: object, out: object, method: str, quant: int, overflow_rate: float, min: object, max: object, workspace: object = None) -> None:
    """
    Quantizes x into out (may be x) with one range for the whole array; method '' means quant uniform levels. Bounds: None, a float, or a float64 array with one value per element. A GPU needs a workspace.
    """

def quantize_workspace(size: int, single: bool) -> int:
    """
    Bytes of the workspace that quantizing float32 (single) or float64 elements needs on a GPU.
    """

def digitize_and_sum(partial: Annotated[NDArray | Tensor, dict(order='C')], ends: Sequence[int], out: Annotated[NDArray | Tensor, dict(order='C')], method: str, bits: int, overflow_rate: float, range: float) -> None:
    """
    Digitises partial sums [parts, outer, cols, inner], one converter per tile and input vector, and adds the parts into out [outer, cols, inner]. ends: the column ends of the tiles.
    """

def fill_normal(seed: int, stream: int, first: int, out: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')]) -> None:
    """out[i] = standard normal draw (seed, stream, first + i)."""

def fill_uniform(seed: int, stream: int, first: int, out: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')]) -> None:
    """out[i] = draw (seed, stream, first + i) from (0, 1)."""

def fill_distributed(seed: int, stream: int, first: int, out: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')], distribution: str, loc: float, scale: float, min: float, max: float) -> None:
    """
    out[i] = loc + scale * draw (seed, stream, first + i) within [min, max]: 'uniform' or 'normal', or e to the power of it, 'log_normal'.
    """

def scatter_tiles(matrix: Annotated[NDArray | Tensor, dict(order='C')], tiles: Annotated[NDArray | Tensor, dict(order='C')], pad: float, transposed: bool = False) -> None:
    """
    matrix [rows, cols] into tiles [tiles, tile_rows, tile_cols]; cells beyond the matrix get pad. transposed: the array that is given is the matrix's transpose.
    """

def gather_tiles(tiles: Annotated[NDArray | Tensor, dict(order='C')], matrix: Annotated[NDArray | Tensor, dict(order='C')]) -> None:
    """tiles [tiles, tile_rows, tile_cols] into matrix [rows, cols]."""

def map_weights(weights: Annotated[NDArray | Tensor, dict(order='C')], w_max: float, middle: float, slope: float, low: float, high: float, positive: Annotated[NDArray | Tensor, dict(order='C')], negative: Annotated[NDArray | Tensor, dict(order='C')] | None = None) -> None:
    """
    positive = middle + slope * weights / w_max within [low, high], siemens; negative: the same of -weights.
    """

def sum_weights(weights: Annotated[NDArray | Tensor, dict(order='C')], positive: Annotated[NDArray | Tensor, dict(order='C')], negative: Annotated[NDArray | Tensor, dict(order='C')] | None, reference: float, sums: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C')], workspace: Annotated[NDArray | Tensor, dict(order='C')] | None = None) -> None:
    """
    sums = [sum of weights * d, sum of d * d], d = positive - negative, or positive - reference without.
    """

def sum_weights_workspace(size: int) -> int:
    """Bytes that sum_weights needs as workspace for weights on a GPU."""

def joglekar(x: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', device='cpu', writable=False)], p: float, out: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', device='cpu')]) -> None:
    """Joglekar's window of x [n] into out [n]."""

def biolek(x: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', device='cpu', writable=False)], voltage: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', device='cpu', writable=False)], p: float, out: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', device='cpu')]) -> None:
    """Biolek's window of x [n] under voltage [n] into out [n]."""

def prodromakis(x: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', device='cpu', writable=False)], p: float, j: float, out: Annotated[NDArray[numpy.float64] | Tensor, dict(order='C', device='cpu')]) -> None:
    """Prodromakis' window of x [n] into out [n]."""

def set_num_threads(count: int) -> None:
    """
    Threads that engine calls of this Python thread use; 0: OpenMP's own number.
    """

def num_threads() -> int:
    """Threads that engine calls of this Python thread use."""

def isa() -> str:
    """
    Instruction set in use: baseline, avx2 or avx512 (MEMTORCH_ISA limits it).
    """
