"""Every public function refuses what it cannot use with the package's own exception, and nothing is changed then.

``baseline_calls`` has one valid call of each. Here one or two of its arguments are replaced by something wrong. Some of
that is legal after all (None where an argument is optional, 1.5 where any number is): then the call succeeds.
"""

from __future__ import annotations

import inspect
import math
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch
import vision_tools
from baseline_calls import ROWS, Call, available, crossbar, linear, public_functions
from hypothesis import given, settings
from hypothesis import strategies as st

from memtorch import InvalidArgument
from memtorch.bh.crossbar import Crossbar
from memtorch.bh.memristor import VTEAM, Memristor

# Each is made anew, by a function: nothing that one call leaves behind can reach the next.
WRONG: dict[str, Any] = {
    "None": lambda: None,
    "True": lambda: True,
    "zero": lambda: 0,
    "minus one": lambda: -1,
    "three": lambda: 3,
    "fraction": lambda: 1.5,
    "2**63": lambda: 2**63,
    "10**30": lambda: 10**30,
    "10**400": lambda: 10**400,
    "1e308": lambda: 1e308,
    "-1e308": lambda: -1e308,
    "tiny": lambda: 5e-324,
    "nan": lambda: math.nan,
    "inf": lambda: math.inf,
    "-inf": lambda: -math.inf,
    "complex": lambda: 1j,
    "empty text": lambda: "",
    "text": lambda: "nonsense",
    "bytes": lambda: b"nonsense",
    "object": object,
    "class": lambda: int,
    "abstract model": lambda: Memristor,
    "model": lambda: VTEAM,
    "device": VTEAM,
    "crossbar": lambda: Crossbar(VTEAM, {}, (3, 4)),
    "digital layer": lambda: torch.nn.Linear(2, 2),
    "constant function": lambda: lambda *args, **kwargs: None,
    "empty list": list,
    "list": lambda: [1, 2],
    "list with nan": lambda: [1.0, math.nan],
    "list of texts": lambda: ["a", "b"],
    "ragged list": lambda: [[1.0], [1.0, 2.0]],
    "zero shape": lambda: (0, 1),
    "negative shape": lambda: (-1, 2),
    "huge shape": lambda: (2**40, 2**40),
    "huger shape": lambda: (10**30, 10**30),
    "fractional shape": lambda: (1.5, 2),
    "shape of five": lambda: (1, 1, 1, 1, 1),
    "empty dict": dict,
    "dict": lambda: {"nonsense": 1},
    "dict with numbers as keys": lambda: {1: 2},
    "set": lambda: {1, 2},
    "empty tensor": lambda: torch.zeros(0),
    "0-d tensor": lambda: torch.tensor(1.0),
    "vector": lambda: torch.ones(2),
    "vector with nan": lambda: torch.tensor([1.0, math.nan]),
    "matrix with inf": lambda: torch.full((4, 3), math.inf),
    "tensor of six dimensions": lambda: torch.ones(1, 1, 1, 1, 1, 1),
    "complex tensor": lambda: torch.ones(2, 4, dtype=torch.complex64),
    "bool tensor": lambda: torch.ones(2, 4, dtype=torch.bool),
    "integer tensor": lambda: torch.ones(2, 4, dtype=torch.int64),
    "meta tensor": lambda: torch.empty(2, 4, device="meta"),
    "sparse tensor": lambda: torch.eye(4).to_sparse(),
    "array of texts": lambda: np.array(["a"]),
    "array of objects": lambda: np.array([None]),
    "array with nan": lambda: np.array([math.nan]),
    "numpy nan": lambda: np.float64(math.nan),
}


def wrong_values(name: str, valid: Any) -> dict[str, Any]:
    """Wrong values for an argument, made by functions; a valid tensor adds such of its own shape."""
    values = dict(WRONG)
    if name.endswith("routine"):
        # These are called like any routine of the user, and their own errors are the user's.
        for callable_value in ("class", "model", "abstract model", "object", "crossbar", "digital layer"):
            del values[callable_value]
    if isinstance(valid, torch.Tensor):
        kept = valid.detach().clone()
        values |= {
            "its transpose": lambda: kept.mT if kept.dim() > 1 else kept.unsqueeze(0),
            "itself stacked": lambda: torch.stack([kept, kept]),
            "itself halved": lambda: kept[: kept.shape[0] // 2] if kept.dim() else kept,
            "itself with nan": lambda: kept.clone().index_fill_(0, torch.tensor([0]), math.nan),
            "itself with inf": lambda: kept.clone().index_fill_(0, torch.tensor([0]), math.inf),
            "itself times 1e300": lambda: kept.double() * 1e300,
            "itself in complex numbers": lambda: kept.to(torch.complex64),
            "itself in half precision": lambda: kept.half(),
            "itself in integers": lambda: kept.to(torch.int64),
            "itself in bool": lambda: kept.to(torch.bool),
            "itself without data": lambda: kept.to("meta"),
            "itself sparse": lambda: kept.to_sparse(),
            "itself as a list": kept.tolist,
            "itself as an array": kept.numpy,
        }
    return values


def argument_names(call) -> list[str]:
    """Everything that can be given by name."""
    parameters = inspect.signature(call.function).parameters.values()
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return names + [name for name in call.arguments if name not in names]


def snapshot(call) -> list[Any]:
    """Everything that the call must not change when it fails, in a form that can be compared bit for bit."""
    return [_contents(value) for value in (call.owner, *call.arguments.values())]


def _contents(value: Any) -> Any:
    if isinstance(value, torch.nn.Module):
        tensors = {name: _contents(tensor) for name, tensor in value.state_dict().items()}
        shared = [(name, dict(m._shared)) for name, m in value.named_modules() if hasattr(m, "_shared")]
        options = [(name, m.options) for name, m in value.named_modules() if hasattr(m, "options")]
        transforms = [m.transform_output for m in value.modules() if hasattr(m, "transform_output")]
        kinds = [(name, type(module)) for name, module in value.named_modules()]
        flags = value.training, getattr(value, "forward_legacy_enabled", None)
        return tensors, shared, options, transforms, kinds, flags
    if isinstance(value, Memristor):
        return _contents(value.array), value.time_series_resolution
    if isinstance(value, torch.Tensor) and not value.is_meta:
        dense = value.detach().to_dense().contiguous()
        return dense.dtype, tuple(dense.shape), dense.view(-1).view(torch.uint8).numpy().tobytes()
    if isinstance(value, (list, dict, set)):
        return repr(value)
    if hasattr(value, "array"):  # a Tile
        return _contents(value.array)
    return None


@pytest.fixture(autouse=True)
def torchvision(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", vision_tools.torchvision())


def attempt(call) -> None:
    """Calls; an ``InvalidArgument`` must leave everything as it was, and no other exception may come out."""
    before = snapshot(call)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call()
        except InvalidArgument as error:
            assert str(error).startswith("["), error
            assert snapshot(call) == before


def test_every_public_function_has_a_row():
    assert sorted(set(public_functions()) - set(ROWS)) == []


@pytest.mark.parametrize("name", available())
def test_the_valid_call_succeeds(name):
    ROWS[name]()()


@pytest.mark.parametrize("name", available())
@settings(max_examples=100)
@given(st.data())
def test_wrong_arguments_are_refused_and_change_nothing(name, data):
    call = ROWS[name]()
    names = argument_names(call)
    for argument in data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True)):
        values = wrong_values(argument, call.arguments.get(argument))
        call.arguments[argument] = values[data.draw(st.sampled_from(sorted(values)))]()
    attempt(call)


# What once ended in an exception of Python, numpy or torch, in a change, or in NaN.
FOUND = [
    ("Crossbar.write_conductance_matrix", {"conductance_matrix": "itself times 1e300"}),
    ("Crossbar.conductance_matrix =", {"value": "text"}),
    ("Crossbar.devices.simulate", {"row": "fraction"}),
    ("Crossbar.devices.set_params", {"r_off": "array of texts"}),
    ("Data_Driven", {"r_p": "0-d tensor"}),
    ("Linear.forward", {"input": "meta tensor"}),
    ("LinearTransfer", {"gain": "nan"}),
    ("StochasticParameter", {"loc": "10**400"}),
    ("patch_model", {"module_parameters_to_patch": "0-d tensor"}),
    ("patch_model", {"module_parameters_to_patch": "ragged list"}),
    ("model.tune_", {"tune_kwargs": "list"}),
    ("tiled_inference", {"m": "None"}),
    ("VTEAM.plot_hysteresis_loop", {"duration": "1e308"}),
    ("naive_program", {"point": "0-d tensor"}),
    ("Biolek", {"x": "integer tensor", "voltage": "vector"}),
    ("Joglekar", {"p": "1e308"}),
    ("convert_range", {"new_min": "-1e308", "new_max": "1e308"}),
]


@pytest.mark.parametrize(("name", "wrong"), FOUND, ids=str)
def test_what_was_found_once_is_refused(name, wrong):
    call = ROWS[name]()
    for argument, key in wrong.items():
        call.arguments[argument] = wrong_values(argument, call.arguments.get(argument))[key]()
    before = snapshot(call)
    with pytest.raises(InvalidArgument, match=r"^\["):
        call()
    assert snapshot(call) == before


@pytest.mark.parametrize("name", available())
def test_unknown_arguments_are_refused_and_change_nothing(name):
    call = ROWS[name]()
    call.arguments["no_such_argument"] = 1
    before = snapshot(call)
    with pytest.raises((InvalidArgument, TypeError), match="no_such_argument"):
        call()
    assert snapshot(call) == before


def test_an_attempt_notices_what_it_must():
    """The check itself: other exceptions come out, and changes behind an ``InvalidArgument`` fail."""

    def foreign(x):
        raise ValueError("[f] x must be something else")

    with pytest.raises(ValueError, match="something else"):
        attempt(Call(foreign, {"x": 1}))

    def writes(change):
        def function(x):
            change(x)
            raise InvalidArgument("[f] x must be something else")

        return function

    for make, change in (
        (lambda: torch.zeros(2), lambda x: x.add_(1)),
        (lambda: {"a": 1}, lambda x: x.clear()),
        (crossbar, lambda x: x.conductance_matrix.mul_(1.01)),
        (crossbar, lambda x: x.devices.set_params(v_on=-0.1)),
        (VTEAM, lambda x: x.simulate([1.0])),
        (linear, lambda x: setattr(x, "max_input_voltage", 0.1)),
        (linear, lambda x: setattr(x, "transform_output", abs)),
        (lambda: torch.nn.Sequential(torch.nn.Linear(2, 2)), lambda x: x.append(torch.nn.ReLU())),
    ):
        attempt(Call(writes(lambda x: None), {"x": make()}))
        with pytest.raises(AssertionError):
            attempt(Call(writes(change), {"x": make()}))
