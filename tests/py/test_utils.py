"""memtorch.utils against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memtorch import InvalidArgument
from memtorch.utils import clip, convert_range, pad_tensor

NUMBERS = st.floats(-1e6, 1e6)


@given(st.floats(-2, 3), NUMBERS, NUMBERS)
def test_convert_range_is_the_line_through_both_ends(t, low, high):
    expected = low + t * (high - low)
    # Three roundings at the scale of the largest term, each 2^-53.
    scale = max(abs(low), abs(high), abs(expected), 1e-300)
    assert convert_range(10 + 5 * t, 10, 15, low, high) == pytest.approx(expected, abs=1e-14 * scale * 10)


def test_convert_range_takes_arrays_and_tensors():
    np.testing.assert_array_equal(convert_range(np.array([0.0, 1.0, 2.0]), 0, 2, 0, 10), [0, 5, 10])
    assert torch.equal(convert_range(torch.tensor([0.0, 2.0]), 0, 2, 4, 8), torch.tensor([4.0, 8.0]))


def test_convert_range_rejects_an_empty_range():
    with pytest.raises(InvalidArgument, match=r"\[convert_range\] old_max \(1\) must differ from old_min"):
        convert_range(1, 1, 1, 0, 1)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_clip_is_the_nearest_number_of_the_interval(value, a, b):
    low, high = min(a, b), max(a, b)
    assert clip(value, low, high) == sorted((low, value, high))[1]


def test_clip_rejects_reversed_bounds():
    with pytest.raises(InvalidArgument, match="lower"):
        clip(0, 2, 1)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(1, 5))
def test_pad_tensor_keeps_the_values_and_adds_zeros_up_to_whole_tiles(rows, columns, height, width):
    x = torch.arange(1, rows * columns + 1).view(rows, columns)
    y = pad_tensor(x, (height, width))
    assert y.dtype == torch.float32
    assert y.shape == (-(-rows // height) * height, -(-columns // width) * width)
    assert torch.equal(y[:rows, :columns], x.float())
    assert y.sum() == x.sum()


def test_pad_tensor_of_a_vector_uses_the_first_number():
    assert torch.equal(pad_tensor(torch.ones(3), (2, 7)), torch.tensor([1.0, 1, 1, 0]))


@pytest.mark.parametrize("bad", [torch.zeros(1, 1, 1), torch.tensor(1.0), [1.0]])
def test_pad_tensor_rejects_other_ranks(bad):
    with pytest.raises(InvalidArgument, match=r"have 1 or 2 dimensions|be a torch\.Tensor"):
        pad_tensor(bad, (2, 2))


def test_pad_tensor_rejects_bad_tiles():
    with pytest.raises(InvalidArgument, match="tile_shape"):
        pad_tensor(torch.zeros(2, 2), (0, 2))


def test_pad_tensor_stays_on_its_device():
    padded = pad_tensor(torch.empty(3, 3, device="meta"), (2, 2))
    assert padded.is_meta and padded.shape == (4, 4)
