"""``patch_model``: replaces the layers of a network by memristive ones."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

from torch import Tensor, nn

from memtorch._errors import InvalidArgument, invalid
from memtorch.mn._methods import add_methods, forward_legacy, patched_layers
from memtorch.mn._options import argument, call_arguments, signature, takes_options
from memtorch.mn._patched import PatchedLayer, patchable_types, supported_module_parameters
from memtorch.mn.cells import GRUCell, LSTMCell, RNNCell
from memtorch.mn.Conv1d import Conv1d
from memtorch.mn.Conv2d import Conv2d
from memtorch.mn.Conv3d import Conv3d
from memtorch.mn.GRU import GRU
from memtorch.mn.Linear import Linear
from memtorch.mn.LSTM import LSTM
from memtorch.mn.RNN import RNN

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "GRUCell",
    "LSTMCell",
    "Linear",
    "RNNCell",
    "patch_model",
    "supported_module_parameters",
]


class Place(NamedTuple):
    """Where a layer stands in a model; the model itself has neither parent nor name."""

    path: str
    parent: nn.Module | None
    name: str
    layer: nn.Module
    replacement: type[PatchedLayer]


def patch_model(*args: Any, **kwargs: Any) -> nn.Module:  # noqa: D417, the signature names them
    """Replaces the layers of a network by memristive ones, in place.

    Modules may be nested in any way (``Sequential``, ``ModuleList``, ``ModuleDict``, attributes); subclasses of the
    torch layers are replaced too; a layer that is shared stays shared; layers that are patched already are left alone.
    A model that is itself a layer cannot be replaced in place: use the result.

    The model gets the methods ``tune_(tune_kwargs=None)``, ``forward_legacy(enable)``, ``disable_legacy()``,
    ``set_cuda_malloc_heap_size(size)`` and ``patched_layers()``, which lists what runs on crossbars. Copy a model
    (``copy.deepcopy``) before patching it if it is still needed.

    Args:
        model (torch.nn.Module): The network.
        memristor_model (type[Memristor]): Model of the devices.
        memristor_model_params (dict): Keyword arguments of ``memristor_model``.
        module_parameters_to_patch (Iterable[type]): The torch layer types to patch, or their names as in
            ``supported_module_parameters``; empty: all that are supported, also LSTM, GRU and the recurrent cells.
        {options}

    Returns:
        The patched model.

    Raises:
        InvalidArgument: An argument of the wrong type or out of range, or a layer that cannot be patched. The model is
            unchanged then.

    Warns:
        UserWarning: Nothing was patched, or a layer of a supported type had to stay digital.
    """
    call, options = call_arguments("patch_model", _SIGNATURE, args, kwargs)
    model = call["model"]
    if not isinstance(model, nn.Module):
        invalid("patch_model", "model", type(model).__name__, "be a torch.nn.Module")
    wanted = _wanted_types(call["module_parameters_to_patch"])
    places = list(_places(model, wanted))

    # Everything is built before anything is replaced: an error leaves the model as it was.
    arguments = options.as_arguments()
    arguments |= {name: call[name] for name in ("memristor_model", "memristor_model_params")}
    built: dict[nn.Module, PatchedLayer] = {}
    for place in places:
        if place.layer not in built:
            built[place.layer] = _build(place, arguments)
    for place in places:
        if place.parent is None:
            model = built[place.layer]
        else:
            place.parent._modules[place.name] = built[place.layer]
            if isinstance(place.parent, nn.TransformerEncoderLayer):
                place.parent.activation_relu_or_gelu = 0  # its fused path would bypass the layers' forward()
    if not places:
        listed = ", ".join(sorted(kind.__name__ for kind in wanted))
        warnings.warn(f"[patch_model] nothing was patched: the model holds no digital {listed}", stacklevel=2)
    add_methods(model)
    forward_legacy(model, False)
    if options.verbose and places:
        total = patched_layers(model).total
        print(f"{total.layer} on {total.crossbars} crossbars, {total.tiles} tiles, {total.devices} devices")
    return model


_SIGNATURE = signature(
    [
        argument("model", "torch.nn.Module"),
        argument("memristor_model", "type[Memristor]"),
        argument("memristor_model_params", "dict[str, Any]"),
        argument("module_parameters_to_patch", "Iterable[type]", {}),
    ],
    returns="torch.nn.Module",
    programming_routine_params={"rel_tol": 0.1},
)
takes_options(patch_model, _SIGNATURE)


def _wanted_types(requested: Any) -> dict[type, type[PatchedLayer]]:
    """The torch types to patch with what replaces them."""
    by_name = {str(kind): kind for kind in patchable_types}
    listed = ", ".join(sorted(kind.__name__ for kind in patchable_types))
    if isinstance(requested, (str, bytes, Tensor)) or not isinstance(requested, Iterable):
        invalid("patch_model", "module_parameters_to_patch", requested, f"be a list of types among {listed}")
    wanted: dict[type, type[PatchedLayer]] = {}
    for entry in requested:
        kind: Any = by_name.get(entry, entry) if isinstance(entry, str) else entry
        bases = kind.__mro__ if isinstance(kind, type) else ()
        replacement = next((patchable_types[base] for base in bases if base in patchable_types), None)
        if replacement is None:
            must = f"hold only types among {listed} and their subclasses"
            invalid("patch_model", "module_parameters_to_patch", entry, must)
        wanted[kind] = replacement
    return wanted or patchable_types


def _places(model: nn.Module, wanted: dict[type, type[PatchedLayer]]) -> Iterable[Place]:
    """Every place in the model where a layer is to be replaced; warns of layers that must stay digital."""
    kinds = tuple(wanted)
    candidates = [("", None, "", model)]
    for path, parent in model.named_modules():
        if not isinstance(parent, PatchedLayer):
            prefix = f"{path}." if path else ""
            candidates += [
                (prefix + name, parent, name, child) for name, child in parent._modules.items() if child is not None
            ]
    for path, parent, name, layer in candidates:
        if isinstance(layer, PatchedLayer) or not isinstance(layer, kinds):
            continue
        replacement = next(wanted[kind] for kind in type(layer).__mro__ if kind in wanted)
        reason = None
        if replacement.has_own_forward(layer):
            reason = "its own forward() would be lost"
        elif isinstance(parent, nn.MultiheadAttention):
            reason = "MultiheadAttention uses its weights without calling it"
        if reason is None:
            yield Place(path, parent, name, layer, replacement)
        else:
            kind_name = type(layer).__name__
            warnings.warn(f"[patch_model] {path or 'model'} ({kind_name}) stays digital: {reason}", stacklevel=3)


def _build(place: Place, arguments: dict[str, Any]) -> PatchedLayer:
    try:
        return place.replacement(place.layer, **arguments)
    except InvalidArgument as error:
        raise InvalidArgument(f"[patch_model] {place.path or 'model'}: {error}") from error
