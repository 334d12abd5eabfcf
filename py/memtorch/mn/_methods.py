"""The methods that ``patch_model`` adds to a model."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import nn

from memtorch._errors import check_bool, check_int, check_mapping, invalid
from memtorch.mn._patched import PatchedLayer, all_or_none, check_loadable
from memtorch.mn._report import PatchReport, summary

__all__ = ["add_methods", "layers_of"]


class ModelMethod:
    """A function with a model as its first argument.

    Unlike a bound method it can be an attribute of that model through pickle and deepcopy, which bind it to the copy,
    and it does not keep the model alive: a patched model is freed as soon as its last user is gone.
    """

    def __init__(self, function: Callable[..., Any], model: nn.Module) -> None:
        self.__func__ = function
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        parameters = list(inspect.signature(function).parameters.values())
        self.__signature__ = inspect.Signature(parameters[1:])
        self._model = weakref.ref(model)

    @property
    def __self__(self) -> nn.Module:
        model = self._model()
        if model is None:
            raise ReferenceError(f"[{self.__name__}] the patched model no longer exists; keep a reference to it")
        return model

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__func__(self.__self__, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<method {self.__name__}{self.__signature__} of a patched {type(self.__self__).__name__}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return ModelMethod, (self.__func__, self.__self__)


def layers_of(model: nn.Module) -> Iterator[PatchedLayer]:
    """The memristive layers of a model, shared ones once; the parts of a layer are not layers of the model."""
    layers = [module for module in model.modules() if isinstance(module, PatchedLayer)]
    parts = {id(reader) for layer in layers for reader in layer.readers() if reader is not layer}
    return (layer for layer in layers if id(layer) not in parts)


def tune_(model: nn.Module, tune_kwargs: Mapping[Any, Mapping[str, Any]] | None = None) -> None:
    """Tunes every memristive layer, or none if one of them cannot be tuned.

    Args:
        model: The patched model.
        tune_kwargs: Arguments of the layers' ``tune`` methods by layer type: ``{str(type(layer)): {...}}``, the type
            itself serves as well.

    Raises:
        InvalidArgument: ``tune_kwargs`` names an unknown type, or ``disable_legacy`` has removed the digital weights.
    """
    must = "be a dict of keyword arguments of tune() by layer type"
    if not isinstance(tune_kwargs, Mapping | None):
        invalid("tune_", "tune_kwargs", tune_kwargs, must)
    requested = {} if tune_kwargs is None else tune_kwargs
    given = {str(kind): check_mapping("tune_", "tune_kwargs", kwargs, must) for kind, kwargs in requested.items()}
    layers = list(layers_of(model))
    known = sorted({str(type(layer)) for layer in layers})
    for kind in given:
        if kind not in known:
            invalid("tune_", "tune_kwargs", kind, f"have keys among {', '.join(known)}")
    with all_or_none([reader for layer in layers for reader in layer.readers()]):
        for layer in layers:
            layer.tune(**given.get(str(type(layer)), {}))


def forward_legacy(model: nn.Module, enable: bool) -> None:
    """Lets every memristive layer compute digitally (True) or on its crossbars (False).

    Args:
        model: The patched model.
        enable: Digitally.

    Raises:
        InvalidArgument: ``enable`` is not True or False.
    """
    enable = check_bool("forward_legacy", "enable", enable)
    for layer in layers_of(model):
        layer.forward_legacy_enabled = enable


def disable_legacy(model: nn.Module) -> None:
    """Frees the digital weights of every memristive layer and removes ``model.forward_legacy``.

    Nothing that compares with the digital layer, such as tuning, works afterwards.
    """
    for layer in layers_of(model):
        layer.drop_digital_weights()
    vars(model).pop("forward_legacy", None)


def set_cuda_malloc_heap_size(model: nn.Module, cuda_malloc_heap_size: int) -> None:
    """Accepted for compatibility with MemTorch 1.1.6; without effect.

    Args:
        model: The patched model.
        cuda_malloc_heap_size: A positive integer, MB.

    Raises:
        InvalidArgument: It is not.
    """
    check_int("set_cuda_malloc_heap_size", "cuda_malloc_heap_size", cuda_malloc_heap_size, 1)
    for layer in layers_of(model):
        layer.set_option("cuda_malloc_heap_size", cuda_malloc_heap_size)


def patched_layers(model: nn.Module) -> PatchReport:
    """What runs on crossbars: path, layer, crossbars, tiles and devices (padding included) of every memristive layer.

    ``print(model.patched_layers())`` shows a table. A layer that is shared is listed once.
    """
    paths = {module: path for path, module in model.named_modules()}
    return PatchReport(summary(paths[layer], layer) for layer in layers_of(model))


def add_methods(model: nn.Module) -> None:
    """Gives a patched model its methods, and the check of what is loaded into it."""
    hooks = model._load_state_dict_pre_hooks.values()
    if not any(getattr(hook, "hook", None) is check_loadable for hook in hooks):
        model.register_load_state_dict_pre_hook(check_loadable)
    for function in (tune_, forward_legacy, disable_legacy, set_cuda_malloc_heap_size, patched_layers):
        setattr(model, function.__name__, ModelMethod(function, model))
