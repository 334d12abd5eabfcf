"""The engine's operations on tensors: the one front to ``memtorch._engine`` beside the device columns.

What takes part in a forward pass is a registered custom operator with a fake and an autograd formula, so that it
compiles, differentiates and passes ``torch.library.opcheck``. Quantization has a straight-through gradient: the
backward pass sees the identity, as it did in MemTorch 1.1.6, whose in-place quantization autograd never saw.

The engine computes where the tensors live: on the CPU, or on a GPU in builds with CUDA. Tensors on devices of other
kinds make the round trip through the CPU; results come back on the input's device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from memtorch import _engine, cuda
from memtorch._errors import check_choice, check_float, check_int, invalid

__all__ = [
    "QUANT_METHODS",
    "Adc",
    "check_device",
    "digitize_and_sum",
    "engine_threads",
    "gather_tiles",
    "models",
    "on_gpu",
    "partial_sums",
    "placed",
    "quantize",
    "random_distributed_",
    "random_normal_",
    "random_seed",
    "random_uniform_",
    "row_tiles",
    "scatter_tiles",
    "scatter_tiles_",
    "solve_there",
    "tile_ends",
    "tiled_product",
    "workspace",
]

QUANT_METHODS: list[str] = _engine.quant_methods()

_EMULATED = cuda.architectures() == ["emulated"]
_KERNELS = bool(cuda.architectures()) and not _EMULATED

# The engine queues the work of a GPU on torch's current stream and waits for nothing.
_engine.set_stream_source(lambda device: torch.cuda.current_stream(device).cuda_stream)


def models() -> list[dict[str, Any]]:
    """The engine's device models with their tables of parameters and state variables."""
    return _engine.models()


def engine_threads() -> None:
    """Gives the engine as many threads as torch has (``torch.set_num_threads``)."""
    _engine.set_num_threads(torch.get_num_threads())


def on_gpu(x: Tensor) -> bool:
    """Whether the engine computes with ``x`` on a GPU, or emulates one (engine/cuda/launch.h).

    Raises:
        RuntimeError: It is on a GPU, and this build has no kernels.
    """
    if not x.is_cuda:
        return _EMULATED
    if not _KERNELS:
        raise RuntimeError(f"[memtorch] tensors on {x.device} cannot be computed with: {cuda.reason()}")
    return True


def check_device(op: str, value: Any) -> torch.device:
    """Returns ``value`` as a device that can hold devices of a crossbar: the CPU, or a GPU that can be used.

    Raises:
        InvalidArgument: It is something else.
        RuntimeError: It is a GPU, and none can be used.
    """
    try:
        device = torch.device(value if isinstance(value, torch.device) else str(value))
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        invalid(op, "device", value, "be 'cpu' or a CUDA device")
    if device.type == "cuda" and not cuda.is_available():
        raise RuntimeError(f"[{op}] device ({device}) cannot be used: {cuda.reason()}")
    return device


def placed(x: Tensor) -> Tensor:
    """``x`` without gradient and contiguous, where the engine computes with it: on its own device, or on the CPU."""
    return (x.detach() if on_gpu(x) else x.detach().cpu()).contiguous()


def _floats(x: Tensor) -> Tensor:
    """``placed``, as float32 or float64."""
    return placed(x if x.dtype in (torch.float32, torch.float64) else x.to(torch.float32))


def workspace(size: int, like: Tensor) -> Tensor:
    """Scratch memory for the engine on the device of ``like``: from torch's allocator, free again on its stream."""
    return torch.empty(size, dtype=torch.uint8, device=like.device)


# What Kirchhoff's law may lack, in parts of the largest device current (engine/wired_read.h, engine/program.h).
_LACKING = 1e-10


def solve_there(
    op: str, solve: Callable[..., None], like: Tensor, count: int, size: int, *args: Any, **kwargs: Any
) -> None:
    """Calls a function of the engine that solves circuits on a GPU, and waits to look whether it has solved them.

    Args:
        op: What errors name.
        solve: The function; it takes a ``residual`` [count] and a ``workspace`` beside its arguments.
        like: A tensor on the GPU.
        count: Number of residuals.
        size: Bytes of the workspace.
        *args: Arguments of the function.
        **kwargs: Likewise.

    Raises:
        RuntimeError: A circuit is not solved to 1e-10 of its largest device current.
    """
    residual = torch.empty(count, dtype=torch.float64, device=like.device)
    solve(*args, residual=residual, workspace=workspace(size, like), **kwargs)
    if not bool((residual <= _LACKING).all()):
        raise RuntimeError(f"[{op}] residual ({residual.max().item():g}) must be at most {_LACKING:g}")


# ---- Quantization ---------------------------------------------------------------------------------------------------


@torch.library.custom_op("memtorch::quantize", mutates_args=())
def quantize(
    x: Tensor, method: str, quant: int, overflow_rate: float, minimum: Tensor | None, maximum: Tensor | None
) -> Tensor:
    """Quantizes a tensor with one range for all of it. Gradient: straight through.

    Args:
        x: Any shape; float32 and float64 are computed as such, other dtypes in float32.
        method: One of ``QUANT_METHODS``, or "" for ``quant`` uniform levels.
        quant: Bits, or the number of levels without a method.
        overflow_rate: Fraction of the elements that may lie beyond the range, in [0, 1].
        minimum: Lower bound, float64, one element or the shape of ``x``; None: from the data.
        maximum: Upper bound, likewise.

    Returns:
        A new tensor like ``x``.

    Raises:
        InvalidArgument: NaN or infinite elements, or an option out of range.
    """
    source = _floats(x)
    out = torch.empty_like(source)
    engine_threads()
    scratch = None
    if on_gpu(source):
        scratch = workspace(_engine.quantize_workspace(source.numel(), source.dtype == torch.float32), source)
    low, high = _bounds(source, minimum, maximum)
    _engine.quantize(source.view(-1), out.view(-1), method, quant, overflow_rate, low, high, scratch)
    return out.to(device=x.device, dtype=x.dtype)


def _bounds(x: Tensor, *bounds: Tensor | None) -> list[float | Tensor | None]:
    """Bounds as the engine takes them: numbers, or columns beside ``x``; on a GPU both are the same kind."""
    columns = any(b is not None and (b.numel() > 1 or b.is_cuda) for b in bounds)
    column = columns and on_gpu(x)

    def form(b: Tensor | None) -> float | Tensor | None:
        if b is None:
            return None
        if b.numel() == 1 and not column:
            return float(b)
        if b.numel() == 1 and b.is_cpu:  # a copy would wait for the GPU
            return torch.full((x.numel(),), float(b), dtype=torch.float64, device=x.device)
        return b.detach().to(x.device, torch.float64).expand(x.shape).contiguous().view(-1)

    return [form(b) for b in bounds]


@quantize.register_fake
def _(
    x: Tensor, method: str, quant: int, overflow_rate: float, minimum: Tensor | None, maximum: Tensor | None
) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


quantize.register_autograd(lambda ctx, grad: (grad, None, None, None, None, None))


@torch.library.custom_op("memtorch::digitize_and_sum", mutates_args=())
def digitize_and_sum(
    partial: Tensor, ends: list[int], method: str, bits: int, overflow_rate: float, adc_range: float
) -> Tensor:
    """Digitises the partial sums of tiles and adds them up. Gradient: straight through.

    Each converter serves one tile and one input vector, with a range of its own.

    Args:
        partial: [parts, outer, columns, inner] amperes: what each of ``parts`` rows of tiles gives. ``outer`` and
            ``inner`` number the input vectors (samples and positions).
        ends: Column ends of the tiles, ascending, the last equal to ``columns``.
        method: One of ``QUANT_METHODS``.
        bits: Bits of a converter.
        overflow_rate: Fraction of a converter's inputs that may lie beyond its range, in [0, 1].
        adc_range: Fixed range [-adc_range, adc_range] in amperes; 0: each converter takes it from its inputs.

    Returns:
        [outer, columns, inner].

    Raises:
        InvalidArgument: NaN or infinite currents, or an option out of range.
    """
    source = _floats(partial)
    out = source.new_empty(source.shape[1:])
    engine_threads()
    _engine.digitize_and_sum(source, ends, out, method, bits, overflow_rate, adc_range)
    return out.to(device=partial.device, dtype=partial.dtype)


@digitize_and_sum.register_fake
def _(partial: Tensor, ends: list[int], method: str, bits: int, overflow_rate: float, adc_range: float) -> Tensor:
    return partial.new_empty(partial.shape[1:])


def _save_parts(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.parts = inputs[0].shape[0]


def _digitize_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return grad.unsqueeze(0).expand(ctx.parts, *grad.shape), None, None, None, None, None


digitize_and_sum.register_autograd(_digitize_backward, setup_context=_save_parts)


@dataclass(frozen=True)
class Adc:
    """The converters of a layer or crossbar, as ``digitize_and_sum`` takes them."""

    method: str
    bits: int
    overflow_rate: float
    range: float

    @staticmethod
    def parse(
        op: str,
        ADC_resolution: int | None = None,
        ADC_overflow_rate: float = 0.0,
        quant_method: str | None = None,
        ADC_range: float | None = None,
    ) -> Adc | None:
        """Checks the converter options of 1.1.6; None means that there is no converter, as without ``quant_method``.

        Args:
            op: The function or class that the user called.
            ADC_resolution: Bits, or None.
            ADC_overflow_rate: Fraction of the currents that may lie beyond the range, in [0, 1].
            quant_method: One of ``QUANT_METHODS``, or None.
            ADC_range: Fixed range in amperes, or None: each converter's range follows from its inputs.

        Raises:
            InvalidArgument: An option out of range, a method without resolution, or a range without method.
        """
        rate = check_float(op, "ADC_overflow_rate", ADC_overflow_rate, 0, 1)
        fixed = 0.0 if ADC_range is None else check_float(op, "ADC_range", ADC_range, 0, exclusive=True, unit="A")
        if ADC_resolution is not None:
            check_int(op, "ADC_resolution", ADC_resolution, 1, 32)
        if quant_method is None:
            if ADC_range is not None:
                invalid(op, "ADC_range", ADC_range, "come with a quant_method", "A")
            return None
        check_choice(op, "quant_method", quant_method, QUANT_METHODS)
        if ADC_resolution is None:
            invalid(op, "ADC_resolution", None, f"be given with quant_method ({quant_method!r})")
        return Adc(quant_method, int(ADC_resolution), rate, fixed)

    def __call__(self, partial: Tensor, ends: list[int]) -> Tensor:
        """Digitises [parts, outer, columns, inner] to [outer, columns, inner]; see ``digitize_and_sum``."""
        return digitize_and_sum(partial, ends, self.method, self.bits, self.overflow_rate, self.range)


# ---- Tiles ----------------------------------------------------------------------------------------------------------


def scatter_tiles_(matrix: Tensor, tiles: Tensor, pad: float = 0.0) -> Tensor:
    """Cuts a matrix into tiles that exist already.

    Args:
        matrix: [rows, columns], the dtype of ``tiles``.
        tiles: [tiles, tile_rows, tile_columns], contiguous; written.
        pad: What the cells beyond the matrix get.

    Returns:
        ``tiles``.
    """
    target = tiles.detach()
    here = on_gpu(target) or target.is_cpu
    source = matrix.detach().to(target.device)
    transposed = source.t().is_contiguous() and not source.is_contiguous()  # weights [outputs, inputs] seen as inputs
    source = placed(source.t() if transposed else source)
    engine_threads()
    if here:
        _engine.scatter_tiles(source, target, pad, transposed)
        torch.autograd.graph.increment_version(tiles)
    else:
        host = torch.empty(target.shape, dtype=target.dtype)
        _engine.scatter_tiles(source, host, pad, transposed)
        target.copy_(host)
    return tiles


@torch.library.custom_op("memtorch::scatter_tiles", mutates_args=())
def scatter_tiles(matrix: Tensor, tile_rows: int, tile_columns: int, pad: float) -> Tensor:
    """A matrix [rows, columns] cut into tiles [tiles, tile_rows, tile_columns], numbered row by row; differentiable.

    Cells beyond the matrix hold ``pad``.
    """
    source = _floats(matrix)
    out = source.new_empty(_tile_count(matrix.shape, tile_rows, tile_columns), tile_rows, tile_columns)
    engine_threads()
    _engine.scatter_tiles(source, out, pad)
    return out.to(device=matrix.device, dtype=matrix.dtype)


def _tile_count(shape: torch.Size, tile_rows: int, tile_columns: int) -> int:
    rows, columns = shape
    return -(-rows // tile_rows) * -(-columns // tile_columns)


@scatter_tiles.register_fake
def _(matrix: Tensor, tile_rows: int, tile_columns: int, pad: float) -> Tensor:
    return matrix.new_empty(_tile_count(matrix.shape, tile_rows, tile_columns), tile_rows, tile_columns)


@torch.library.custom_op("memtorch::gather_tiles", mutates_args=())
def gather_tiles(tiles: Tensor, rows: int, columns: int) -> Tensor:
    """The matrix [rows, columns] held by tiles [tiles, tile_rows, tile_columns]; differentiable."""
    source = _floats(tiles)
    out = source.new_empty(rows, columns)
    engine_threads()
    _engine.gather_tiles(source, out)
    return out.to(device=tiles.device, dtype=tiles.dtype)


@gather_tiles.register_fake
def _(tiles: Tensor, rows: int, columns: int) -> Tensor:
    return tiles.new_empty(rows, columns)


def _save_matrix_shape(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.shape = inputs[0].shape


scatter_tiles.register_autograd(
    lambda ctx, grad: (gather_tiles(grad.contiguous(), *ctx.shape), None, None, None),
    setup_context=_save_matrix_shape,
)
gather_tiles.register_autograd(
    lambda ctx, grad: (scatter_tiles(grad.contiguous(), ctx.shape[1], ctx.shape[2], 0.0), None, None),
    setup_context=_save_matrix_shape,
)


def tile_ends(columns: int, tile_columns: int) -> list[int]:
    """Column ends of the tiles that hold ``columns`` columns: [tile_columns, 2 tile_columns, ..., columns]."""
    return [*range(tile_columns, columns, tile_columns), columns]


def tiled_product(v: Tensor, matrix: Tensor, tile_shape: tuple[int, ...] | None, adc: Adc | None) -> Tensor:
    """Currents of a tiled array with ideal wires.

    Args:
        v: [inputs, rows] volts.
        matrix: [rows, columns] siemens, untiled.
        tile_shape: (tile_rows, tile_columns); None: the whole matrix is one tile.
        adc: The converters, one per tile and input vector; None: no converters, tiles make no difference.

    Returns:
        [inputs, columns] amperes.
    """
    if adc is None:
        return v @ matrix
    columns = matrix.shape[1]
    tile_rows, tile_columns = tile_shape or tuple(matrix.shape)
    return adc(partial_sums(v, matrix, tile_rows).unsqueeze(-1), tile_ends(columns, tile_columns)).squeeze(-1)


def row_tiles(matrix: Tensor, tile_rows: int) -> Tensor:
    """A matrix [rows, columns] cut between its rows: [tiles down, tile_rows, columns], filled up with zeros."""
    padding = -matrix.shape[0] % tile_rows
    return torch.nn.functional.pad(matrix, (0, 0, 0, padding)).unflatten(0, (-1, tile_rows))


def partial_sums(v: Tensor, matrix: Tensor, tile_rows: int) -> Tensor:
    """What each row of tiles gives: [tiles down, inputs, columns] (A) of v [inputs, rows] (V)."""
    padding = -matrix.shape[0] % tile_rows
    v_parts = torch.nn.functional.pad(v, (0, padding)).unflatten(1, (-1, tile_rows)).transpose(0, 1)
    return torch.bmm(v_parts, row_tiles(matrix, tile_rows))


# ---- Random numbers -------------------------------------------------------------------------------------


def random_seed() -> int:
    """A fresh key for the engine's generator, drawn from torch's default one: ``torch.manual_seed`` fixes it."""
    return int(torch.randint(2**63 - 1, (), dtype=torch.int64).item())


def random_normal_(out: Tensor, seed: int, stream: int = 0, first: int = 0) -> Tensor:
    """Fills a contiguous float64 tensor, on a CPU or GPU: element i is normal draw (seed, stream, first + i)."""
    engine_threads()
    _engine.fill_normal(seed, stream, first, out.view(-1))
    return out


def random_uniform_(out: Tensor, seed: int, stream: int = 0, first: int = 0) -> Tensor:
    """Fills a contiguous float64 tensor, on a CPU or GPU: element i is draw (seed, stream, first + i) from (0, 1)."""
    engine_threads()
    _engine.fill_uniform(seed, stream, first, out.view(-1))
    return out


def random_distributed_(
    out: Tensor, seed: int, distribution: str, loc: float, scale: float, low: float, high: float
) -> Tensor:
    """Fills a contiguous float64 tensor, on a CPU or GPU, with draws limited to [low, high].

    Args:
        out: [n]: loc + scale * x, where element i of x is that of ``random_uniform_`` or ``random_normal_``.
        seed: The key.
        distribution: "uniform", "normal", or "log_normal": e to the power of "normal".
        loc: Added.
        scale: Multiplied.
        low: What is below becomes this.
        high: What is above becomes this.
    """
    engine_threads()
    _engine.fill_distributed(seed, 0, 0, out.view(-1), distribution, loc, scale, low, high)
    return out
