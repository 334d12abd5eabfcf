"""Tiles and tiled products against plain matrices."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import quantize as reference

from memtorch import InvalidArgument, _ops
from memtorch.bh import Tile, gen_tiles, tile_matmul, tile_matmul_row, tiled_inference

LENGTH = st.integers(1, 11)
SIDE = st.integers(1, 5)


@given(rows=LENGTH, columns=LENGTH, height=SIDE, width=SIDE)
def test_weights_are_cut_row_by_row_and_padded_with_zeros(rows, columns, height, width):
    x = torch.arange(1.0, rows * columns + 1).view(rows, columns)
    tiles, tiles_map = gen_tiles(x, (height, width))
    down, across = -(-rows // height), -(-columns // width)
    assert tiles.shape == (down * across, height, width)
    assert tiles.dtype == torch.float32
    assert tiles_map.shape == (down, across)
    padded = torch.zeros(down * height, across * width)
    padded[:rows, :columns] = x
    for i in range(down):
        for j in range(across):
            block = padded[i * height : (i + 1) * height, j * width : (j + 1) * width]
            assert torch.equal(tiles[int(tiles_map[i, j])], block)
    assert torch.equal(_ops.gather_tiles(tiles, rows, columns), x)


@given(inputs=LENGTH, rows=LENGTH, height=SIDE)
def test_inputs_are_cut_along_the_rows_of_the_weights(inputs, rows, height):
    x = torch.arange(1.0, inputs * rows + 1).view(inputs, rows)
    tiles, tiles_map = gen_tiles(x, (height, 3), input=True)
    count = -(-rows // height)
    assert tiles.shape == (count, inputs, height)
    assert tiles_map.tolist() == list(range(count))
    assert torch.equal(tiles.transpose(0, 1).reshape(inputs, -1)[:, :rows], x)
    assert tiles.sum() == x.sum()


@pytest.mark.host_only
def test_operators_are_well_formed():
    """Schema, fake and autograd registration, as torch checks them."""
    check = torch.library.opcheck
    check(torch.ops.memtorch.scatter_tiles.default, (torch.randn(10, 7, requires_grad=True), 4, 4, 0.5))
    check(torch.ops.memtorch.gather_tiles.default, (torch.randn(6, 4, 4, requires_grad=True), 10, 7))


def test_dtypes_and_gradients_of_tiles():
    assert gen_tiles(torch.ones(2, 2, dtype=torch.float64), (2, 2))[0].dtype == torch.float64
    assert gen_tiles(torch.ones(2, 2, dtype=torch.int64), (2, 2))[0].dtype == torch.float32
    x = torch.randn(5, 7, requires_grad=True)
    weights = torch.randn(6, 3, 3)
    (gen_tiles(x, (3, 3))[0] * weights).sum().backward()
    assert torch.equal(x.grad, _ops.gather_tiles(weights, 5, 7))


@given(inputs=LENGTH, rows=LENGTH, columns=LENGTH, height=SIDE, width=SIDE)
def test_a_tiled_product_is_the_product(inputs, rows, columns, height, width):
    a = torch.randn(inputs, rows, dtype=torch.float64)
    b = torch.randn(rows, columns, dtype=torch.float64)
    got = tile_matmul(*gen_tiles(a, (height, width), input=True), a.shape, *gen_tiles(b, (height, width)), b.shape)
    assert got.shape == (inputs, columns)
    # Sums of at most 11 products of order 1, in another order.
    torch.testing.assert_close(got, a @ b, rtol=1e-12, atol=1e-13)


def test_tiles_may_stand_in_any_order():
    a, b = torch.randn(3, 7, dtype=torch.float64), torch.randn(7, 9, dtype=torch.float64)
    tiles, tiles_map = gen_tiles(b, (4, 4))
    order = torch.randperm(tiles.shape[0])
    position = torch.argsort(order).float()
    got = tile_matmul(*gen_tiles(a, (4, 4), input=True), (3, 7), tiles[order], position[tiles_map.long()], (7, 9))
    torch.testing.assert_close(got, a @ b, rtol=1e-12, atol=1e-13)  # as above


@pytest.mark.parametrize("inputs", [1, 3])
def test_converters_serve_one_tile_and_one_input_each(inputs):
    a, b = torch.randn(inputs, 7, dtype=torch.float64), torch.randn(7, 5, dtype=torch.float64)
    got = tile_matmul(
        *gen_tiles(a, (3, 2), input=True),
        (inputs, 7),
        *gen_tiles(b, (3, 2)),
        (7, 5),
        ADC_resolution=6,
        quant_method="linear",
    )
    expected = torch.zeros(inputs, 5, dtype=torch.float64)
    for top in (0, 3, 6):
        partial = a[:, top : top + 3] @ b[top : top + 3]
        for low in (0, 2, 4):
            for k in range(inputs):
                own = partial[k, low : low + 2].tolist()
                expected[k, low : low + 2] += torch.tensor(reference.quantize(own, 6, "linear"), dtype=torch.float64)
    assert got.shape == (inputs, 5)
    assert torch.equal(got, expected)  # multiples of powers of two
    row = tile_matmul_row(
        gen_tiles(a, (3, 2), input=True)[0][:, 0],
        torch.arange(3.0),
        *gen_tiles(b, (3, 2)),
        (7, 5),
        ADC_resolution=6,
        quant_method="linear",
    )
    assert torch.equal(row, expected[0])


def test_a_result_does_not_depend_on_its_batch_mates():
    a, b = torch.randn(6, 7), torch.randn(7, 5)
    options = {"ADC_resolution": 4, "quant_method": "linear"}

    def product(x):
        return tile_matmul(*gen_tiles(x, (3, 2), input=True), tuple(x.shape), *gen_tiles(b, (3, 2)), (7, 5), **options)

    scaled = a * torch.tensor([1.0, 100, 0.01, 1, 1, 1]).unsqueeze(1)
    batch = product(scaled)
    for k in range(6):
        assert torch.equal(batch[k : k + 1], product(scaled[k : k + 1]))


def test_tile_objects():
    tile = Tile((3, 4))
    assert tile.array.shape == (3, 4)
    assert Tile((3, 4), patch_num=7).array.shape == (7, 3)
    tile.update_array(torch.ones(2, 2))
    assert tile.array.sum() == 4
    assert tile.array[:2, :2].sum() == 4
    full = torch.full((3, 4), 2.0)
    tile.update_array(full)
    assert torch.equal(tile.array, full)
    with pytest.raises(InvalidArgument, match="fit into"):
        tile.update_array(torch.ones(4, 4))
    assert torch.equal(tile.array, full)
    with pytest.raises(InvalidArgument, match="patch_num"):
        Tile((1, 1), 0)


def layer(**options):
    """As much of a memristive layer as ``tiled_inference`` looks at."""
    matrix = torch.randn(7, 5, dtype=torch.float64)
    tiles, tiles_map = gen_tiles(matrix, (3, 2))
    crossbar = SimpleNamespace(conductance_matrix=tiles, tiles_map=tiles_map, tile_shape=(3, 2), rows=7, columns=5)
    return matrix, SimpleNamespace(
        crossbars=[crossbar],
        crossbar_operation=lambda crossbars, operation, **options: operation(crossbars[0], **options),
        **{
            "source_resistance": None,
            "line_resistance": None,
            "ADC_resolution": None,
            "ADC_overflow_rate": 0.0,
            "quant_method": None,
            **options,
        },
    )


def test_tiled_inference_reads_the_layer():
    matrix, m = layer()
    v = torch.randn(4, 7, dtype=torch.float64)
    torch.testing.assert_close(tiled_inference(v, m, True), v @ matrix, rtol=1e-12, atol=1e-13)  # as above
    matrix, m = layer(ADC_resolution=12, quant_method="linear")
    error = (tiled_inference(v, m, False) - v @ matrix).abs().max()
    # Three tiles, each within one step (the topmost level lacks) of 2^(1 - 12 + ceil(log2 M)) <= 2^-10 M.
    assert 0 < error < 3 * 2**-10 * (v.abs() @ matrix.abs()).max()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: gen_tiles(torch.zeros(2), (2, 2)), "tensor"),
        (lambda t: gen_tiles([[1.0]], (2, 2)), "tensor"),
        (lambda t: gen_tiles(torch.zeros(0, 2), (2, 2)), "at least one"),
        (lambda t: gen_tiles(torch.zeros(2, 2), (2, 0)), "tile_shape"),
        (lambda t: tile_matmul(*t, source_resistance=-1.0), r"source_resistance \(-1.0 ohm\)"),
        (lambda t: tile_matmul(*t, line_resistance=(1, 2, 3)), "line_resistance .* a number, or two"),
        (lambda t: tile_matmul(*t, line_resistance=1), r"mat_b_tiles \(range .* S\) must be in \[0"),
        (lambda t: tile_matmul(*t, ADC_resolution=0), "ADC_resolution"),
        (lambda t: tile_matmul(*t, quant_method="linear"), "ADC_resolution"),
        (lambda t: tile_matmul(*t, ADC_resolution=8, quant_method="cubic"), "quant_method"),
        (lambda t: tile_matmul(*t, ADC_overflow_rate=2), "ADC_overflow_rate"),
        (lambda t: tile_matmul(*t[:2], (3, 6), *t[3:]), "mat_a_shape"),
        (lambda t: tile_matmul(*t[:2], (4, 7), *t[3:]), "mat_a_tiles"),
        (lambda t: tile_matmul(*t[:5], (7, 9)), "mat_b_shape"),
        (lambda t: tile_matmul(t[0], t[1] + 9, *t[2:]), "mat_a_tiles_map"),
        (lambda t: tile_matmul(t[0][:2], t[1][:2], *t[2:]), "mat_a_tiles"),
        (lambda t: tile_matmul(t[0] * math.nan, *t[1:]), "finite"),
        (lambda t: tiled_inference(torch.zeros(2, 6), layer()[1], True), "input"),
        (lambda t: tiled_inference(torch.zeros(2, 7), layer(line_resistance=-1)[1], True), "line_resistance"),
    ],
)
def test_bad_arguments_are_named(call, message):
    a, b = torch.randn(3, 7), torch.randn(7, 5)
    arguments = (*gen_tiles(a, (3, 2), input=True), (3, 7), *gen_tiles(b, (3, 2)), (7, 5))
    with pytest.raises(InvalidArgument, match=message):
        call(arguments)
