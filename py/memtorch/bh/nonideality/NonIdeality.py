"""The list of non-idealities, and how a list of them is applied to a whole model."""

from __future__ import annotations

import enum
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from torch import Tensor, nn

from memtorch._errors import InvalidArgument, check_mapping, invalid
from memtorch.bh.nonideality._effects import Effect, crossbars_of, crossbars_to_copy, unchanged_on_error
from memtorch.bh.nonideality.CycleVariability import cycle_variability_effect
from memtorch.bh.nonideality.DeviceFaults import device_faults_effect
from memtorch.bh.nonideality.Endurance import endurance_effect
from memtorch.bh.nonideality.FiniteConductanceStates import finite_states_effect
from memtorch.bh.nonideality.NonLinear import non_linear_effect
from memtorch.bh.nonideality.Retention import retention_effect

__all__ = ["NonIdeality", "apply_nonidealities", "required"]

Model = TypeVar("Model", bound=nn.Module)


@enum.unique
class NonIdeality(enum.Enum):
    """Effects that ``apply_nonidealities`` knows, and the function that each stands for."""

    FiniteConductanceStates = enum.auto()
    DeviceFaults = enum.auto()
    NonLinear = enum.auto()
    Endurance = enum.auto()
    Retention = enum.auto()
    CycleVariability = enum.auto()


@dataclass(frozen=True)
class _Entry:
    """How an effect is made of the keyword arguments of ``apply_nonidealities``.

    Attributes:
        effect: ``f(op, *required, **optional)``: checks the arguments.
        required: Arguments that must be given.
        optional: Arguments that may be given.
        unless: An argument that, if it is true, makes the required ones unnecessary.
    """

    effect: Callable[..., Effect]
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    unless: str | None = None

    def missing(self, kwargs: Mapping[str, Any]) -> list[str]:
        """Required arguments that are not among ``kwargs``."""
        if self.unless is not None and kwargs.get(self.unless):
            return []
        return [name for name in self.required if name not in kwargs]

    def prepare(self, op: str, kwargs: Mapping[str, Any]) -> Effect:
        """The effect with its arguments from ``kwargs``, checked."""
        return self.effect(op, **{n: kwargs[n] for n in (*self.required, *self.optional) if n in kwargs})


_ENTRIES = {
    NonIdeality.FiniteConductanceStates: _Entry(finite_states_effect, ("conductance_states",)),
    NonIdeality.DeviceFaults: _Entry(
        device_faults_effect, ("lrs_proportion", "hrs_proportion", "electroform_proportion")
    ),
    NonIdeality.NonLinear: _Entry(
        non_linear_effect,
        ("sweep_duration", "sweep_voltage_signal_amplitude", "sweep_voltage_signal_frequency"),
        ("simulate", "num_conductance_states"),
        unless="simulate",
    ),
    NonIdeality.Endurance: _Entry(endurance_effect, ("x", "endurance_model", "endurance_model_kwargs")),
    NonIdeality.Retention: _Entry(retention_effect, ("time", "retention_model", "retention_model_kwargs")),
    NonIdeality.CycleVariability: _Entry(
        cycle_variability_effect, ("r_off_kwargs", "r_on_kwargs"), ("distribution", "min", "max")
    ),
}


def apply_nonidealities(
    model: Model, non_idealities: Iterable[NonIdeality | Callable[..., Any]], **kwargs: Any
) -> Model:
    """Applies non-idealities to all memristive layers of a model, in the given order, in place.

    Each changes the devices: what it does shows in devices and conductance matrices alike, stays through ``update``,
    ``state_dict`` and programming, and meets what the effects before it have left. Crossbars that layers share are
    changed once. docs/nonidealities.md has the formulas.

    Example:
        >>> apply_nonidealities(
        ...     patched_model,
        ...     [NonIdeality.FiniteConductanceStates, NonIdeality.DeviceFaults],
        ...     conductance_states=16,
        ...     lrs_proportion=0.01,
        ...     hrs_proportion=0.05,
        ...     electroform_proportion=0.0,
        ... )

    Args:
        model: A patched model, or a memristive layer.
        non_idealities: Members of ``NonIdeality``, or functions ``f(layer)`` of your own.
        **kwargs: Their arguments. FiniteConductanceStates: conductance_states. DeviceFaults: lrs_proportion,
            hrs_proportion, electroform_proportion. NonLinear: simulate=True, or sweep_duration,
            sweep_voltage_signal_amplitude and sweep_voltage_signal_frequency; num_conductance_states. Endurance: x,
            endurance_model, endurance_model_kwargs. Retention: time, retention_model, retention_model_kwargs.
            CycleVariability: r_off_kwargs, r_on_kwargs; distribution, min, max.

    Returns:
        The model.

    Raises:
        InvalidArgument: Arguments are missing (all are named), unknown or out of range, or the devices do not allow
            the change. No device has changed then.

    Warns:
        UserWarning: The model has no memristive layer.
    """
    op = "apply_nonidealities"
    if not isinstance(model, nn.Module):
        invalid(op, "model", type(model).__name__, "be a torch.nn.Module")
    effects = _prepared(op, non_idealities, kwargs)
    layers = [module for module in model.modules() if _reads_crossbars(module)]
    if not layers:
        warnings.warn(f"[{op}] nothing was changed: the model has no memristive layer", stacklevel=2)
    crossbars = list({id(crossbar): crossbar for layer in layers for crossbar in crossbars_of(layer)}.values())
    with unchanged_on_error(crossbars_to_copy(crossbars, effects), layers):
        for effect in effects:
            effect.act(layers if effect.on_layer else crossbars)
    return model


def _reads_crossbars(module: nn.Module) -> bool:
    """Whether a module has crossbars that are not those of layers inside it (a recurrent layer lists its parts')."""
    own = crossbars_of(module)
    inside = {id(c) for part in module.modules() if part is not module for c in crossbars_of(part)} if own else set()
    return any(id(crossbar) not in inside for crossbar in own)


def required(kwargs: Mapping[str, Any], names: Iterable[str], op: str = "apply_nonidealities") -> None:
    """Raises ``InvalidArgument`` that names every one of ``names`` that is not in ``kwargs``."""
    given_kwargs = check_mapping("required", "kwargs", kwargs)
    if isinstance(names, (str, bytes, Tensor)) or not isinstance(names, Iterable):
        invalid("required", "names", names, "be a list of strings")
    listed = list(names)
    if not all(isinstance(name, str) for name in listed):
        invalid("required", "names", listed, "be a list of strings")
    missing = [name for name in listed if name not in given_kwargs]
    if missing:
        given = ", ".join(given_kwargs) or "none"
        raise InvalidArgument(f"[{op}] arguments ({given}) must hold {', '.join(missing)}")


def _prepared(op: str, non_idealities: Any, kwargs: Mapping[str, Any]) -> list[Effect]:
    """The effects, once all their arguments are known to be there and in range."""
    if isinstance(non_idealities, (str, bytes, type, Tensor)) or not isinstance(non_idealities, Iterable):
        invalid(op, "non_idealities", non_idealities, "be a list of members of NonIdeality")
    listed = list(non_idealities)
    for entry in listed:
        if not isinstance(entry, NonIdeality) and (not callable(entry) or isinstance(entry, type)):
            members = ", ".join(member.name for member in NonIdeality)
            invalid(op, "non_idealities", entry, f"hold only NonIdeality.{{{members}}} or functions of a layer")
    entries = [_ENTRIES[entry] if isinstance(entry, NonIdeality) else None for entry in listed]
    missing = dict.fromkeys(name for entry in entries if entry is not None for name in entry.missing(kwargs))
    required(kwargs, missing, op)
    known = {name for entry in _ENTRIES.values() for name in (*entry.required, *entry.optional)}
    unknown = [name for name in kwargs if name not in known]
    if unknown:
        invalid(op, "arguments", ", ".join(unknown), f"be among {', '.join(sorted(known))}")
    return [
        _own_effect(function) if entry is None else entry.prepare(op, kwargs)
        for entry, function in zip(entries, listed, strict=True)
    ]


def _own_effect(function: Callable[[Any], Any]) -> Effect:
    """A function of the user's."""
    return Effect(lambda layer: partial(function, layer), can_fail_late=True, on_layer=True)
