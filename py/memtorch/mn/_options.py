"""The arguments that every memristive layer and ``patch_model`` share: names, order, defaults, meaning, checks.

They stand here once: signatures and the argument lists of docstrings are made from this table.
"""

# ruff: noqa: RUF009 (_option is a dataclass field)

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass, field
from functools import cached_property
from typing import Any

from memtorch._errors import check_bool, check_float, check_int, check_shape, invalid
from memtorch._ops import QUANT_METHODS, Adc
from memtorch.bh.crossbar import Scheme
from memtorch.bh.crossbar._wires import Wires
from memtorch.map.Input import naive_scale
from memtorch.map.Parameter import naive_map

__all__ = ["FIXED", "LayerOptions", "argument", "call_arguments", "signature", "takes_options"]


def _option(default: Any, annotation: str, meaning: str, *, keyword_only: bool = False) -> Any:
    return field(
        **({"default_factory": default} if default is dict else {"default": default}),
        metadata={"annotation": annotation, "meaning": meaning},
        kw_only=keyword_only,
    )


@dataclass(frozen=True)
class LayerOptions:
    """The checked options of a memristive layer. Fields after ``verbose`` are additions to MemTorch 1.1.6.

    Raises:
        InvalidArgument: An option has the wrong type or lies outside its range.
    """

    mapping_routine: Callable[..., Any] = _option(
        naive_map, "function", "``f(weight, r_on, r_off, scheme, p_l)`` that turns weights into conductances."
    )
    transistor: bool = _option(
        True,
        "bool",
        "Cells with a transistor, written exactly (True), or passive ones, written by ``programming_routine``.",
    )
    programming_routine: Callable[..., Any] | None = _option(
        None, "function", "How passive cells are written; required if ``transistor`` is False."
    )
    programming_routine_params: Mapping[str, Any] = _option(
        dict, "dict", "Keyword arguments of ``programming_routine``."
    )
    p_l: float | None = _option(None, "float", "Proportion of weights to retain, in (0, 1]; None: all.")
    scheme: Scheme = _option(Scheme.DoubleColumn, "Scheme", "How a signed weight is represented.")
    tile_shape: tuple[int, int] | None = _option(
        None, "(int, int)", "Rows and columns of a crossbar tile; None: one tile as large as the matrix."
    )
    max_input_voltage: float | None = _option(
        None, "float", "Largest input voltage, V; None: inputs are volts already, without bound."
    )
    scaling_routine: Callable[..., Any] = _option(
        naive_scale,
        "function",
        "``f(layer, input)`` that encodes inputs as voltages; returns the voltages, or (voltages, factor) to have the "
        "readout divided by the factor.",
    )
    scaling_routine_params: Mapping[str, Any] = _option(dict, "dict", "Keyword arguments of ``scaling_routine``.")
    source_resistance: float | tuple[float, float] | None = _option(
        None,
        "float",
        "Resistance between a source and its line at both ends of a tile, ohm, or a pair: at word lines, at bit lines.",
    )
    line_resistance: float | tuple[float, float] | None = _option(
        None,
        "float",
        "Resistance of a line between neighbouring cells, ohm, or a pair: of word lines, of bit lines.",
    )
    ADC_resolution: int | None = _option(
        None, "int", "Bits of the converters; takes effect together with ``quant_method``."
    )
    ADC_overflow_rate: float = _option(
        0.0, "float", "Proportion of a converter's inputs that may lie beyond its range, in [0, 1]."
    )
    quant_method: str | None = _option(
        None, "str", f"How converters quantize, one of {', '.join(QUANT_METHODS)}; None: no converters."
    )
    use_bindings: bool = _option(True, "bool", "Accepted for compatibility, without effect.")
    random_crossbar_init: bool = _option(False, "bool", "Devices start at random conductances before they are written.")
    verbose: bool = _option(True, "bool", "Prints what is patched and tuned.")
    ADC_range: float | None = _option(
        None,
        "float",
        "Fixed converter range [-ADC_range, ADC_range], A; None: every converter takes it from its inputs.",
        keyword_only=True,
    )
    cuda_malloc_heap_size: int | None = _option(
        None, "int", "Accepted for compatibility, without effect.", keyword_only=True
    )

    op: InitVar[str] = "options"  # what the user called, for messages

    def __post_init__(self, op: str) -> None:
        self._check_routines(op)
        self._check_circuit(op)
        Adc.parse(op, self.ADC_resolution, self.ADC_overflow_rate, self.quant_method, self.ADC_range)
        for name in ("transistor", "use_bindings", "random_crossbar_init", "verbose"):
            object.__setattr__(self, name, check_bool(op, name, getattr(self, name)))
        if self.cuda_malloc_heap_size is not None:
            check_int(op, "cuda_malloc_heap_size", self.cuda_malloc_heap_size, 1)

    def _check_routines(self, op: str) -> None:
        for name in ("mapping_routine", "programming_routine", "scaling_routine"):
            routine = getattr(self, name)
            if not (callable(routine) or (routine is None and name == "programming_routine")):
                invalid(op, name, routine, "be a function")
        for name in ("programming_routine_params", "scaling_routine_params"):
            params = getattr(self, name)
            if not isinstance(params, Mapping) or not all(isinstance(key, str) for key in params):
                invalid(op, name, params, "be a dict of keyword arguments")
            object.__setattr__(self, name, dict(params))

    def _check_circuit(self, op: str) -> None:
        if not isinstance(self.scheme, Scheme):
            invalid(op, "scheme", self.scheme, f"be one of {', '.join(map(str, Scheme))}")
        if self.tile_shape is not None:
            object.__setattr__(self, "tile_shape", check_shape(op, "tile_shape", self.tile_shape, 2))
        if self.p_l is not None:
            check_float(op, "p_l", self.p_l, 0, 1, exclusive=True)
        if self.max_input_voltage is not None:
            check_float(op, "max_input_voltage", self.max_input_voltage, 0, exclusive=True, unit="V")
        Wires.parse(op, self.source_resistance, self.line_resistance)

    def check_programming(self, op: str) -> None:
        """Raises ``InvalidArgument`` if passive cells are asked for without a routine that writes them."""
        if not self.transistor and self.programming_routine is None:
            invalid(op, "programming_routine", None, "be given if transistor is False")

    def as_arguments(self) -> dict[str, Any]:
        """The options as keyword arguments of a layer."""
        return {option.name: getattr(self, option.name) for option in dataclasses.fields(self)}

    @cached_property
    def adc(self) -> Adc | None:
        """The converters; None without a ``quant_method``, as in MemTorch 1.1.6."""
        return Adc.parse("options", self.ADC_resolution, self.ADC_overflow_rate, self.quant_method, self.ADC_range)

    @cached_property
    def wires(self) -> Wires | None:
        """Resistances of the wires of a tile; None: ideal wires."""
        return Wires.parse("options", self.source_resistance, self.line_resistance)


# What has done its work once the crossbars are written.
FIXED = (
    "mapping_routine",
    "programming_routine",
    "programming_routine_params",
    "p_l",
    "scheme",
    "tile_shape",
    "random_crossbar_init",
)


def argument(name: str, annotation: str, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    """An argument that may be given by position or by name."""
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)


def signature(
    leading: list[inspect.Parameter], returns: str, order: tuple[str, ...] = (), **defaults: Any
) -> inspect.Signature:
    """A signature of ``leading`` arguments followed by the options.

    Args:
        leading: The arguments before the options.
        returns: Annotation of the result.
        order: Options that trade their places so as to come in this order.
        **defaults: Defaults that differ from the table's.
    """
    options = {option.name: option for option in dataclasses.fields(LayerOptions)}
    places = iter(order)
    parameters = list(leading)
    for name in [next(places) if name in order else name for name in options]:
        option = options[name]
        kind = inspect.Parameter.KEYWORD_ONLY if option.kw_only else inspect.Parameter.POSITIONAL_OR_KEYWORD
        default = {} if option.default is dataclasses.MISSING else option.default
        default = defaults.get(name, default)
        parameters.append(inspect.Parameter(name, kind, default=default, annotation=option.type))
    return inspect.Signature(parameters, return_annotation=returns)


def call_arguments(
    op: str, expected: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[dict[str, Any], LayerOptions]:
    """Sorts the arguments of a call into the leading ones and the checked options.

    Raises:
        InvalidArgument: An unknown keyword, or a bad option.
        TypeError: A missing or repeated argument.
    """
    for name in kwargs:
        if name not in expected.parameters:
            invalid(op, name, kwargs[name], f"be one of the arguments {', '.join(expected.parameters)}")
    try:
        bound = expected.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{op}() {error}") from None
    bound.apply_defaults()
    options = {f.name: bound.arguments.pop(f.name) for f in dataclasses.fields(LayerOptions)}
    return dict(bound.arguments), LayerOptions(**options, op=op)


def takes_options(function: Any, expected: inspect.Signature) -> None:
    """Gives a function or class its signature, and its docstring the options where ``{options}`` stands."""
    function.__signature__ = expected
    if function.__doc__ is None:  # python -OO
        return
    options = [
        f"        {option.name} ({option.metadata['annotation']}): {option.metadata['meaning']}"
        for option in dataclasses.fields(LayerOptions)
    ]
    function.__doc__ = function.__doc__.replace("        {options}", "\n".join(options))
