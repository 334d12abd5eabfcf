"""How an effect is brought to the devices of a layer: crossbar by crossbar, all of them or none."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from memtorch._errors import check_mapping, invalid
from memtorch.bh._device_array import DeviceArray

__all__ = [
    "Effect",
    "act_on",
    "bound_arguments",
    "crossbars_of",
    "crossbars_to_copy",
    "planned_move",
    "unchanged_on_error",
]

Layer = TypeVar("Layer")


@dataclass(frozen=True)
class Effect:
    """One non-ideality with its checked arguments.

    Attributes:
        plan: Takes a crossbar, or with ``on_layer`` a layer; changes nothing and returns the function that does.
        can_fail: ``plan`` raises ``InvalidArgument`` for devices whose parameters do not allow the change.
        can_fail_late: What it returns may raise, too.
        on_layer: ``plan`` takes a layer.
    """

    plan: Callable[[Any], Callable[[], None]]
    can_fail: bool = False
    can_fail_late: bool = False
    on_layer: bool = False

    def act(self, targets: Iterable[Any]) -> None:
        """Changes all targets, or none if the plan for one of them fails."""
        for change in [self.plan(target) for target in targets]:
            change()


def crossbars_of(layer: Any) -> list[Any]:
    """The crossbars of a layer, each once; empty if it has none."""
    found = getattr(layer, "crossbars", None)
    if not isinstance(found, (torch.nn.ModuleList, list, tuple)):
        return []
    return list({id(crossbar): crossbar for crossbar in found}.values())


def act_on(op: str, layer: Layer, effect: Effect) -> Layer:
    """Applies an effect to a layer, in place.

    Returns:
        The layer.

    Raises:
        InvalidArgument: It has no crossbars, or its devices do not allow the change; nothing has changed then.
    """
    crossbars = crossbars_of(layer)
    if not crossbars:
        invalid(op, "layer", type(layer).__name__, "be a memristive layer: something with crossbars")
    with unchanged_on_error(crossbars_to_copy(crossbars, [effect])):
        effect.act(crossbars)
    return layer


def crossbars_to_copy(crossbars: list[Any], effects: Sequence[Effect]) -> list[Any]:
    """The crossbars that an error could leave changed, so that a copy of their devices' state is needed.

    The first effect changes nothing before its plans are made. Devices that are Python objects run their own code.
    """
    late = any(effect.can_fail for effect in effects[1:]) or any(effect.can_fail_late for effect in effects)
    return [crossbar for crossbar in crossbars if late or not isinstance(crossbar.devices, DeviceArray)]


@contextmanager
def unchanged_on_error(crossbars: Iterable[Any], layers: Iterable[Any] = ()) -> Iterator[None]:
    """Gives crossbars their devices' state, and layers their way of reading them back if the body raises."""
    saved = [(crossbar, copy.deepcopy(crossbar.devices.state_dict())) for crossbar in crossbars]
    reads = [(layer, layer.non_linear) for layer in layers if hasattr(layer, "non_linear")]
    try:
        yield
    except BaseException:
        for crossbar, state in saved:
            crossbar.devices.load_state_dict(state)
        for layer, non_linear in reads:
            layer.non_linear = non_linear
        raise


def planned_move(
    op: str, devices: Any, g: Tensor, r_on: float | Tensor | None = None, r_off: float | Tensor | None = None
) -> Callable[[], None]:
    """New conductances and bounds for the devices that are not stuck; a conductance beyond its bound moves the bound.

    Args:
        op: The non-ideality.
        devices: The devices of a crossbar.
        g: Conductances [*shape] (S).
        r_on: New bound (ohm), one number or [*shape]; None: as it is.
        r_off: Likewise.

    Returns:
        What makes the change.

    Raises:
        InvalidArgument: A conductance that is not positive, or parameters that the model does not allow.
    """
    devices.sync()
    if devices.stuck is not None:
        g = torch.where(devices.stuck, devices.g, g)
    low, high = torch.aminmax(g)
    if not 0 < low.item() <= high.item() < float("inf"):
        invalid(op, "conductances", f"{low:g} to {high:g}", "be positive and finite after the effect", "S")
    params: dict[str, Any] = {}
    for name, given, beyond, extreme in (("r_off", r_off, torch.lt, low), ("r_on", r_on, torch.gt, high)):
        bound = devices.parameter(name) if given is None else given
        if given is not None and given is not devices.parameter(name):
            params[name] = bound
        edge = (1 / torch.as_tensor(bound, dtype=torch.float64)).to(g)  # as conductances are rounded
        if edge.dim() == 0 and not beyond(extreme, edge):
            continue
        outside = beyond(g, edge)
        if bool(outside.any()):
            own = g.double().reciprocal_()
            fixed = isinstance(bound, float)
            params[name] = own.masked_fill_(~outside, bound) if fixed else torch.where(outside, own, bound)
    new = devices.new_params(**params, fresh=list(params))
    return lambda: devices.move(g, new)


def bound_arguments(op: str, name: str, model: Callable[..., Any], kwargs: Any) -> dict[str, Any]:
    """Keyword arguments of a model but layer and x, completed by its defaults.

    Args:
        op: The function that the user called.
        name: The argument that holds them.
        model: The model.
        kwargs: What the user gave.

    Raises:
        InvalidArgument: Not a mapping, or some are missing or unknown: all of them are named.
    """
    given = check_mapping(op, name, kwargs)
    known = {n: p.default for n, p in inspect.signature(model).parameters.items() if n not in ("layer", "x")}
    missing = [n for n, default in known.items() if default is inspect.Parameter.empty and n not in given]
    unknown = [n for n in given if n not in known]
    if missing:
        invalid(op, name, ", ".join(given) or "none", f"hold {', '.join(missing)} for {model.__name__}")
    if unknown:
        invalid(op, name, ", ".join(unknown), f"be among {', '.join(known)} of {model.__name__}")
    return {**known, **given}
