"""Tiles: matrices cut into equal parts, and products of matrices so cut."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memtorch import _ops
from memtorch._errors import check_bool, check_int, check_shape, check_tensor, invalid
from memtorch._wire_ops import effective_conductances
from memtorch.bh.crossbar._wires import Wires, check_conductances

__all__ = ["Tile", "gen_tiles", "tile_matmul", "tile_matmul_row", "tiled_inference"]


class Tile:
    """One tile.

    Args:
        tile_shape: (rows, columns).
        patch_num: Number of input vectors, for a tile of inputs: its array is then [patch_num, rows].

    Attributes:
        tile_shape: As given.
        patch_num: As given.
        array: What the tile holds; zeros at first.

    Raises:
        InvalidArgument: A bad shape or number.
    """

    def __init__(self, tile_shape: tuple[int, int], patch_num: int | None = None) -> None:
        self.tile_shape = check_shape("Tile", "tile_shape", tile_shape, 2)
        self.patch_num = None if patch_num is None else check_int("Tile", "patch_num", patch_num, 1)
        shape = self.tile_shape if self.patch_num is None else (self.patch_num, self.tile_shape[0])
        check_shape("Tile", "tile_shape" if self.patch_num is None else "patch_num", shape)
        self.array = torch.zeros(shape)

    def update_array(self, new_array: Tensor) -> None:
        """Replaces the array, or its upper left part if the new one is smaller.

        Raises:
            InvalidArgument: Not a matrix, or larger than the tile.
        """
        check_tensor("update_array", "new_array", new_array, (-1, -1), finite=False)
        if new_array.shape == self.array.shape:
            self.array = new_array
            return
        rows, columns = new_array.shape
        if rows > self.array.shape[0] or columns > self.array.shape[1]:
            got, most = f"shape {list(new_array.shape)}", list(self.array.shape)
            invalid("update_array", "new_array", got, f"fit into the tile's {most}")
        self.array[:rows, :columns] = new_array


def gen_tiles(
    tensor: Tensor, tile_shape: tuple[int, int], input: bool = False, use_bindings: bool = True
) -> tuple[Tensor, Tensor]:
    """Cuts a matrix into tiles, filled up with zeros; differentiable.

    Args:
        tensor: [rows, columns]; integers become float32.
        tile_shape: (tile_rows, tile_columns).
        input: ``tensor`` holds input vectors [inputs, rows of the weights].
        use_bindings: Accepted for compatibility, without effect.

    Returns:
        Tiles and their map. Of weights: [tiles, tile_rows, tile_columns], numbered row by row, and
        [tiles down, tiles across]. Of inputs: [tiles, inputs, tile_rows] and [tiles].

    Raises:
        InvalidArgument: Not a matrix, or a bad tile shape.
    """
    op = "gen_tiles"
    check_tensor(op, "tensor", tensor, (-1, -1), finite=False)
    tile_rows, tile_columns = check_shape(op, "tile_shape", tile_shape, 2)
    check_bool(op, "use_bindings", use_bindings)
    if tensor.numel() == 0:
        invalid(op, "tensor", f"shape {list(tensor.shape)}", "hold at least one element")
    matrix = tensor if tensor.is_floating_point() else tensor.to(torch.float32)
    rows, columns = matrix.shape
    # float32 maps, as 1.1.6 has them.
    if check_bool(op, "input", input):
        count = -(-columns // tile_rows)
        padded = torch.nn.functional.pad(matrix, (0, count * tile_rows - columns))
        tiles = padded.unflatten(1, (count, tile_rows)).transpose(0, 1).contiguous()
        return tiles, torch.arange(count, dtype=torch.float32)
    tiles = _ops.scatter_tiles(matrix, tile_rows, tile_columns, 0.0)
    down, across = -(-rows // tile_rows), -(-columns // tile_columns)
    return tiles, torch.arange(down * across, dtype=torch.float32).view(down, across)


def _ordered(op: str, name: str, tiles: Any, tiles_map: Any, map_dims: int) -> Tensor:
    """Tiles in the order of their map: [*map, rows, columns]."""
    check_tensor(op, f"{name}_tiles", tiles, (-1, -1, -1))
    check_tensor(op, f"{name}_tiles_map", tiles_map, (-1,) * map_dims)
    index = tiles_map.to(tiles.device, torch.int64)
    if index.numel() == 0 or int(index.min()) < 0 or int(index.max()) >= tiles.shape[0]:
        invalid(op, f"{name}_tiles_map", tiles_map, f"hold numbers of the {tiles.shape[0]} tiles")
    return tiles[index]


def _product(
    op: str, parts: Tensor, weights: Tensor, columns: int, adc: _ops.Adc | None, wires: Wires | None = None
) -> Tensor:
    """[down, inputs, tile_rows] times [down, across, tile_rows, tile_columns]: [inputs, columns]."""
    down, across, tile_rows, tile_columns = weights.shape
    if parts.shape[0] != down or parts.shape[2] != tile_rows:
        must = f"hold {down} tiles with {tile_rows} columns, as many as mat_b has rows"
        invalid(op, "mat_a_tiles", f"shape {list(parts.shape)}", must)
    if not (across - 1) * tile_columns < columns <= across * tile_columns:
        invalid(op, "mat_b_shape", columns, f"name the columns that {across} tiles of {tile_columns} hold")
    dtype = torch.promote_types(parts.dtype, weights.dtype)
    if wires is not None:
        tiles = check_conductances(op, "mat_b_tiles", weights.flatten(0, 1))
        weights = effective_conductances(tiles, wires.tensor()).view(weights.shape)
    strips = weights.transpose(1, 2).flatten(2)[..., :columns].to(dtype)  # [down, tile_rows, columns]
    partial = torch.bmm(parts.to(dtype), strips)
    if adc is None:
        return partial.sum(0)
    return adc(partial.unsqueeze(-1), _ops.tile_ends(columns, tile_columns)).squeeze(-1)


def tile_matmul_row(
    mat_a_row_tiles: Tensor,
    mat_a_tiles_map: Tensor,
    mat_b_tiles: Tensor,
    mat_b_tiles_map: Tensor,
    mat_b_shape: tuple[int, int],
    source_resistance: float | tuple[float, float] | None = None,
    line_resistance: float | tuple[float, float] | None = None,
    ADC_resolution: int | None = None,
    ADC_overflow_rate: float = 0.0,
    quant_method: str | None = None,
    transistor: bool = True,
) -> Tensor:
    """Product of one input vector and a matrix, both cut into tiles.

    Args:
        mat_a_row_tiles: [tiles, tile_rows]: the vector.
        mat_a_tiles_map: [tiles].
        mat_b_tiles: [tiles, tile_rows, tile_columns].
        mat_b_tiles_map: [tiles down, tiles across].
        mat_b_shape: (rows, columns) of the matrix.
        source_resistance: Between a source and its line (ohm), at both ends of a tile; a pair: at the word lines, at
            the bit lines. With resistances the tiles of B are conductances (S).
        line_resistance: Of a line between neighbouring cells (ohm); a pair: of word lines, of bit lines.
        ADC_resolution: Bits of the converters, one per tile; takes effect with ``quant_method``.
        ADC_overflow_rate: Fraction of a converter's inputs that may lie beyond its range, in [0, 1].
        quant_method: One of ``memtorch.bh.quant_methods``; None: no converters.
        transistor: Accepted for compatibility: wires resist with or without transistors.

    Returns:
        [columns].

    Raises:
        InvalidArgument: Tiles, maps and shapes that do not fit, or a bad resistance or converter option.
    """
    op = "tile_matmul_row"
    check_tensor(op, "mat_a_row_tiles", mat_a_row_tiles, (-1, -1))
    wires = Wires.parse(op, source_resistance, line_resistance)
    check_bool(op, "transistor", transistor)
    adc = _ops.Adc.parse(op, ADC_resolution, ADC_overflow_rate, quant_method)
    parts = _ordered(op, "mat_a", mat_a_row_tiles.unsqueeze(1), mat_a_tiles_map, 1)
    weights = _ordered(op, "mat_b", mat_b_tiles, mat_b_tiles_map, 2)
    columns = check_shape(op, "mat_b_shape", mat_b_shape, 2)[1]
    return _product(op, parts, weights, columns, adc, wires).squeeze(0)


def tile_matmul(
    mat_a_tiles: Tensor,
    mat_a_tiles_map: Tensor,
    mat_a_shape: tuple[int, int],
    mat_b_tiles: Tensor,
    mat_b_tiles_map: Tensor,
    mat_b_shape: tuple[int, int],
    source_resistance: float | tuple[float, float] | None = None,
    line_resistance: float | tuple[float, float] | None = None,
    ADC_resolution: int | None = None,
    ADC_overflow_rate: float = 0.0,
    quant_method: str | None = None,
    transistor: bool = True,
    use_bindings: bool = True,
    cuda_malloc_heap_size: int | None = 50,
) -> Tensor:
    """Product of two matrices that are cut into tiles.

    Args:
        mat_a_tiles: [tiles, inputs, tile_rows], as ``gen_tiles(..., input=True)`` gives them.
        mat_a_tiles_map: [tiles].
        mat_a_shape: (inputs, rows of B).
        mat_b_tiles: [tiles, tile_rows, tile_columns].
        mat_b_tiles_map: [tiles down, tiles across].
        mat_b_shape: (rows, columns) of B.
        source_resistance: Between a source and its line (ohm), at both ends of a tile; a pair: at the word lines, at
            the bit lines. With resistances the tiles of B are conductances (S).
        line_resistance: Of a line between neighbouring cells (ohm); a pair: of word lines, of bit lines.
        ADC_resolution: Bits of the converters, one per tile and input; takes effect with ``quant_method``.
        ADC_overflow_rate: Fraction of a converter's inputs that may lie beyond its range, in [0, 1].
        quant_method: One of ``memtorch.bh.quant_methods``; None: no converters.
        transistor: Accepted for compatibility: wires resist with or without transistors.
        use_bindings: Accepted for compatibility, without effect.
        cuda_malloc_heap_size: Accepted for compatibility, without effect.

    Returns:
        [inputs, columns].

    Raises:
        InvalidArgument: Tiles, maps and shapes that do not fit, or a bad resistance or converter option.
    """
    op = "tile_matmul"
    wires = Wires.parse(op, source_resistance, line_resistance)
    check_bool(op, "transistor", transistor)
    check_bool(op, "use_bindings", use_bindings)
    if cuda_malloc_heap_size is not None:
        check_int(op, "cuda_malloc_heap_size", cuda_malloc_heap_size, 1)
    adc = _ops.Adc.parse(op, ADC_resolution, ADC_overflow_rate, quant_method)
    parts = _ordered(op, "mat_a", mat_a_tiles, mat_a_tiles_map, 1)
    weights = _ordered(op, "mat_b", mat_b_tiles, mat_b_tiles_map, 2)
    inputs, inner = check_shape(op, "mat_a_shape", mat_a_shape, 2)
    rows, columns = check_shape(op, "mat_b_shape", mat_b_shape, 2)
    if inner != rows:
        invalid(op, "mat_a_shape", mat_a_shape, f"have as many columns as mat_b_shape has rows ({rows})")
    if parts.shape[1] != inputs:
        invalid(op, "mat_a_tiles", f"shape {list(parts.shape)}", f"hold {inputs} inputs, as mat_a_shape says")
    return _product(op, parts, weights, columns, adc, wires)


def _seen(crossbar: Any, wires: Wires | None) -> Tensor:
    return crossbar.conductance_matrix if wires is None else crossbar.effective_tiles(wires)


def tiled_inference(input: Tensor, m: Any, transistor: bool) -> Tensor:
    """Readout of a memristive layer with tiles, for input vectors in volts.

    Args:
        input: [inputs, rows] (V).
        m: The layer.
        transistor: Accepted for compatibility: wires resist with or without transistors.

    Returns:
        [inputs, columns] (A), each tile's differential partial sums digitised if the layer has converters.

    Raises:
        InvalidArgument: Another shape, or a layer without tiles.
    """
    op = "tiled_inference"
    if not hasattr(m, "crossbars"):
        invalid(op, "m", type(m).__name__, "be a patched layer")
    crossbar = m.crossbars[0]
    if crossbar.tile_shape is None:
        invalid(op, "m", type(m).__name__, "have a tile_shape")
    check_tensor(op, "input", input, (-1, crossbar.rows))
    check_bool(op, "transistor", transistor)
    wires = Wires.parse(op, m.source_resistance, m.line_resistance)
    tiles, tiles_map = gen_tiles(input, crossbar.tile_shape, input=True)
    adc = _ops.Adc.parse(op, m.ADC_resolution, m.ADC_overflow_rate, m.quant_method, getattr(m, "ADC_range", None))
    seen = m.crossbar_operation(m.crossbars, _seen, wires=wires)
    dtype = torch.promote_types(input.dtype, crossbar.conductance_matrix.dtype)
    weights = _ordered(op, "mat_b", seen.to(dtype), crossbar.tiles_map, 2)
    return _product(op, _ordered(op, "mat_a", tiles, tiles_map, 1), weights, crossbar.columns, adc)
