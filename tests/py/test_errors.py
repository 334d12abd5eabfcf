"""The exception and the argument checks."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import memtorch
from memtorch import InvalidArgument
from memtorch._errors import (
    check_bool,
    check_choice,
    check_float,
    check_int,
    check_mapping,
    check_numbers,
    check_shape,
    check_tensor,
    invalid,
)


def test_the_exception_is_caught_as_value_error_and_as_assertion_error():
    assert issubclass(InvalidArgument, ValueError)
    assert issubclass(InvalidArgument, AssertionError)
    assert memtorch.InvalidArgument is InvalidArgument


def test_the_exception_pickles():
    assert pickle.loads(pickle.dumps(InvalidArgument("x"))).args == ("x",)


def test_the_message_names_operation_argument_value_unit_and_what_is_allowed():
    with pytest.raises(InvalidArgument) as error:
        invalid("simulate", "dt", -1.0, "be > 0", "s")
    assert str(error.value) == "[simulate] dt (-1.0 s) must be > 0"


def test_long_values_are_cut():
    with pytest.raises(InvalidArgument) as error:
        invalid("op", "x", list(range(1000)), "be short")
    assert len(str(error.value)) < 120
    assert "..." in str(error.value)


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(-50, 50))
def test_check_int_accepts_exactly_the_interval(value, a, b):
    low, high = min(a, b), max(a, b)
    if low <= value <= high:
        assert check_int("op", "n", np.int64(value), low, high) == value
    else:
        with pytest.raises(InvalidArgument, match=rf"\[op\] n .* from {low} to {high}"):
            check_int("op", "n", value, low, high)


@pytest.mark.parametrize("value", [True, 1.0, "1", None, torch.tensor(1.5), [1]])
def test_check_int_rejects_what_is_no_integer(value):
    with pytest.raises(InvalidArgument, match=r"\[op\] n \(.*\) must be an integer"):
        check_int("op", "n", value)


@pytest.mark.parametrize("value", [2.5, 2, np.float32(2.5), torch.tensor(2.5), np.array([2.5])[0]])
def test_check_float_accepts_numbers_of_all_kinds(value):
    assert check_float("op", "x", value, 2, 3) == float(value)


@pytest.mark.parametrize("make", [np.array, torch.tensor])
@pytest.mark.parametrize("value", [2.5, [2.5], [[2.5]], [3]])
def test_check_float_accepts_one_element_of_any_shape(make, value):
    number = check_float("op", "x", make(value), 2, 3)
    assert number == np.sum(value)
    assert type(number) is float


@pytest.mark.parametrize(
    "value",
    [
        *(math.nan, math.inf, -math.inf, "1", None, True, [1.0], 1j, torch.zeros(2), 1.999, 3.001, 10**400),
        *(np.array([2.5, 2.5]), np.array([]), np.array([math.nan]), np.array([2.5j])),
        *(np.array(["2.5"]), np.array([None])),
    ],
)
def test_check_float_rejects_everything_else(value):
    with pytest.raises(InvalidArgument, match=r"\[op\] x \(.* V\) must be a finite number >= 2 and <= 3"):
        check_float("op", "x", value, 2, 3, unit="V")


def test_an_exclusive_bound_is_itself_not_allowed():
    assert check_float("op", "x", 1e-300, 0, exclusive=True) == 1e-300
    with pytest.raises(InvalidArgument, match="> 0"):
        check_float("op", "x", 0, 0, exclusive=True)


def test_check_choice_names_functions():
    with pytest.raises(InvalidArgument, match=r"must be one of check_bool, check_int$"):
        check_choice("op", "routine", check_float, [check_bool, check_int])


def test_check_choice_lists_the_choices_and_does_not_mix_types():
    assert check_choice("op", "m", "a", ["a", "b"]) == "a"
    for wrong in ("c", 0, None, torch.zeros(2)):
        with pytest.raises(InvalidArgument, match="must be one of 'a', 'b'"):
            check_choice("op", "m", wrong, ["a", "b"])
    with pytest.raises(InvalidArgument):
        check_choice("op", "m", True, [1, 2])


@pytest.mark.parametrize("value", ["True", None, 2, [True], torch.ones(2)])
def test_check_bool_rejects_what_is_no_truth_value(value):
    assert check_bool("op", "flag", np.bool_(True)) is True
    with pytest.raises(InvalidArgument, match="True or False"):
        check_bool("op", "flag", value)


@pytest.mark.parametrize("value", [(0, 1), (1,), (1, 2, 3), "12", 12, (1.0, 2), (True, 2), None, ()])
def test_check_shape_rejects_everything_but_two_positive_integers(value):
    assert check_shape("op", "shape", torch.Size([3, 4]), 2) == (3, 4)
    with pytest.raises(InvalidArgument, match="sequence of 2 positive integers"):
        check_shape("op", "shape", value, 2)


def test_check_tensor_looks_at_type_shape_and_finiteness():
    x = torch.zeros(2, 3)
    assert check_tensor("op", "x", x, (-1, 3)) is x
    for wrong, message in [
        ([1.0], "torch.Tensor"),
        (torch.zeros(2), r"shape \[any, 3\]"),
        (torch.zeros(3, 2), r"shape \[any, 3\]"),
        (torch.full((1, 3), math.nan), "finite"),
        (torch.tensor([[0, 0, math.inf]]), "finite"),
        (torch.zeros(1, 3, dtype=torch.complex64), "real"),
    ]:
        with pytest.raises(InvalidArgument, match=message):
            check_tensor("op", "x", wrong, (-1, 3))


def test_check_shape_limits_the_number_of_elements():
    with pytest.raises(InvalidArgument, match="2\\^40 elements"):
        check_shape("op", "shape", (2**20, 2**21), 2)


@pytest.mark.parametrize("value", [None, 3, ["a"], {1: 2}, "a"])
def test_check_mapping_wants_names_as_keys(value):
    assert check_mapping("op", "params", {"a": 1}) == {"a": 1}
    with pytest.raises(InvalidArgument, match=r"\[op\] params .* must be a dict"):
        check_mapping("op", "params", value)


@pytest.mark.parametrize("value", [1, [1.0, 2.0], np.arange(3), torch.ones(2, requires_grad=True)])
def test_check_numbers_gives_a_tensor_without_gradient(value):
    tensor = check_numbers("op", "v", value)
    assert not tensor.requires_grad
    np.testing.assert_array_equal(tensor.numpy(), np.asarray(torch.as_tensor(value).detach()))


@pytest.mark.parametrize("value", ["a", None, [[1], [1, 2]], 1j, torch.ones(2, dtype=torch.complex64), object()])
def test_check_numbers_rejects_everything_else(value):
    with pytest.raises(InvalidArgument, match=r"\[op\] v "):
        check_numbers("op", "v", value)


def test_check_tensor_wants_dense_tensors_with_data():
    for wrong in (torch.eye(2).to_sparse(), torch.empty(2, 2, device="meta")):
        with pytest.raises(InvalidArgument, match="dense tensor with data"):
            check_tensor("op", "x", wrong)
