"""Every class, function, method and attribute of the 1.1.6 API document: names, order of arguments, defaults, bases.

data/api-1.1.6.json holds them as the document prints them. Ours may take further arguments, as long as nobody has to
give them; the catch-alls ``*args`` and ``**kwargs`` that swallowed unknown arguments in 1.1.6 are no part of this.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import math
import pathlib

import pytest
import torch
from baseline_calls import ROWS
from torch import Tensor
from torch.distributions import Normal

from memtorch.bh.crossbar import Scheme
from memtorch.bh.memristor import Memristor
from memtorch.map import naive_map, naive_scale

DOCUMENT = json.loads((pathlib.Path(__file__).parent / "data/api-1.1.6.json").read_text(encoding="utf-8"))
OBJECTS = DOCUMENT["objects"]
METHODS = [(entry, name) for entry in OBJECTS for name in entry.get("methods", {})]

# Defaults that the document prints in a form that is no Python.
PRINTED = {
    "nan": math.nan,
    "inf": math.inf,
    "<function naive_map>": naive_map,
    "<function naive_scale>": naive_scale,
    "<Scheme.DoubleColumn: 2>": Scheme.DoubleColumn,
    "<class 'torch.distributions.normal.Normal'>": Normal,
}


def ours(entry):
    """What a documented module has under a documented name; classes hide modules of their name as attributes."""
    return getattr(importlib.import_module(entry["module"]), entry["name"])


def label(entry) -> str:
    return f"{entry['module']}.{entry['name']}"


def documented(printed: list[str]) -> list[tuple[str, object]]:
    """(name, default) of each printed parameter; ``inspect.Parameter.empty`` without default."""
    found = []
    for text in printed:
        name, equals, default = text.partition("=")
        if not name.startswith("*"):
            value = inspect.Parameter.empty
            if equals:
                value = PRINTED[default] if default in PRINTED else ast.literal_eval(default)
            found.append((name, value))
    return found


def same(a, b) -> bool:
    return type(a) is type(b) and (a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b)))


def check(parameters: list[inspect.Parameter], printed: list[str]) -> None:
    expected = documented(printed)
    leading, further = parameters[: len(expected)], parameters[len(expected) :]
    assert [parameter.name for parameter in leading] == [name for name, _ in expected]
    for parameter, (name, default) in zip(leading, expected, strict=True):
        assert parameter.kind is parameter.POSITIONAL_OR_KEYWORD, name
        assert same(parameter.default, default), f"{name}: {parameter.default!r} in place of {default!r}"
    for parameter in further:
        catches_all = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        assert catches_all or parameter.default is not parameter.empty, f"{parameter.name} has to be given"


@pytest.mark.parametrize("entry", OBJECTS, ids=label)
def test_an_object_is_where_the_document_says_and_of_its_kind(entry):
    found = ours(entry)
    assert inspect.isclass(found) == (entry["kind"] == "class")
    assert callable(found)
    assert found.__doc__
    if "base" in entry:
        module, _, name = entry["base"].rpartition(".")
        assert issubclass(found, getattr(importlib.import_module(module or "builtins"), name))
    for name, value in entry.get("members", {}).items():
        assert found[name].value == value


@pytest.mark.parametrize("entry", [entry for entry in OBJECTS if "parameters" in entry], ids=label)
def test_arguments_of_functions_and_constructors(entry):
    check(list(inspect.signature(ours(entry)).parameters.values()), entry["parameters"])


@pytest.mark.parametrize(
    ("entry", "name"), METHODS, ids=lambda value: value if isinstance(value, str) else label(value)
)
def test_arguments_of_methods(entry, name):
    parameters = list(inspect.signature(getattr(ours(entry), name)).parameters.values())
    assert parameters[0].name == "self"
    check(parameters[1:], entry["methods"][name])


def test_a_changed_name_order_or_default_is_noticed():
    def function(a, b=1, *, c=2): ...

    parameters = list(inspect.signature(function).parameters.values())
    check(parameters, ["a", "b=1", "*args", "**kwargs"])
    for wrong in (["a", "b"], ["b=1", "a"], ["a", "b=1.0"], ["a", "b=2"], ["a", "b=1", "c=2"], ["a=1", "b=1"], ["b=1"]):
        with pytest.raises(AssertionError):
            check(parameters, wrong)
    with pytest.raises(AssertionError):
        check(parameters, [])  # a is left, and has to be given


# What the document says is returned. naive_program's "Memristor" is the crossbar's devices, in 1.1.6 as here.
RETURNED = {
    "tuple": lambda value: isinstance(value, tuple) and len(value) == 2,
    "torch.Tensor": lambda value: isinstance(value, Tensor),
    "torch.Tensor, torch.Tensor": lambda value: len(value) == 2 and all(isinstance(part, Tensor) for part in value),
    "float or function": lambda value: isinstance(value, float) or callable(value),
    "function": callable,
    "torch.nn.Module": lambda value: isinstance(value, torch.nn.Module),
    "memtorch.bh.memristor.Memristor.Memristor": lambda value: all(isinstance(d, Memristor) for d in value.flat),
}


@pytest.mark.parametrize("entry", [entry for entry in OBJECTS if "returns" in entry], ids=label)
def test_returned_types(entry):
    assert RETURNED[entry["returns"]](ROWS[entry["name"]]()())
