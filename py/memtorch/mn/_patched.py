"""What every layer that ``patch_model`` puts into a network has in common: its options, and how it is constructed."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar, cast

import torch
from torch import nn

from memtorch._errors import invalid
from memtorch.bh._versioned_columns import VersionedColumns, part_of
from memtorch.bh.crossbar._wires import SolvedWires
from memtorch.mn._options import FIXED, LayerOptions, argument, call_arguments, signature, takes_options

__all__ = [
    "PatchedLayer",
    "all_or_none",
    "check_loadable",
    "memristive",
    "patchable_types",
    "supported_module_parameters",
]

supported_module_parameters: dict[str, type[PatchedLayer]] = {}  # the layers of MemTorch 1.1.6: users iterate over them
patchable_types: dict[type, type[PatchedLayer]] = {}  # these and all others


class PatchedLayer(nn.Module):
    """Base of the memristive layers; stands after the torch class in their bases.

    Every option can be read as an attribute (``layer.tile_shape``); those that still matter once the crossbars are
    written can be set.

    Attributes:
        options: The checked options.
        crossbars: All crossbars of the layer.
        forward_legacy_enabled: ``forward`` computes digitally.
    """

    torch_class: ClassVar[type[nn.Module]]
    call_signature: ClassVar[inspect.Signature]

    options: LayerOptions
    forward_legacy_enabled: bool
    tune: Callable[..., None]
    # ---- What a layer adds ----

    def readers(self) -> list[Any]:
        """The ``MemristiveLayer`` objects that read the crossbars: the layer itself, or its parts."""
        raise NotImplementedError

    def drop_digital_weights(self) -> None:
        """Frees the digital weights; the layer is memristive from then on."""
        raise NotImplementedError

    def solved_wires(self) -> tuple[SolvedWires | None, ...]:
        """What is kept of the solution of resistive wires, of each crossbar; None where nothing is."""
        return tuple(crossbar.solved_wires() for crossbar in cast(Any, self.crossbars))

    # ---- Loading a state_dict ----

    def extra_differences(self, extra: Any) -> list[str]:
        """Why the layer's own extra state cannot be loaded, one reason each; a layer without one has none."""
        return []

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        # A layer that is loaded on its own, or as part of a module that is not patched, is loaded whole or not at all.
        check_loadable(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    # ---- Construction ----

    @classmethod
    def parse(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any], LayerOptions]:
        """Checks a constructor call; returns the torch layer, the other leading arguments, and the options.

        Raises:
            InvalidArgument: No layer of the right class, one that cannot be replaced faithfully, or a bad option.
        """
        op = cls.__name__
        leading, options = call_arguments(op, cls.call_signature, args, kwargs)
        name = next(iter(leading))
        torch_layer: Any = leading.pop(name)
        got = type(torch_layer).__name__
        if not isinstance(torch_layer, cls.torch_class) or isinstance(torch_layer, PatchedLayer):
            invalid(op, name, got, f"be a torch.nn.{cls.torch_class.__name__} that is not patched yet")
        if cls.has_own_forward(torch_layer):
            invalid(op, name, got, "not have a forward() of its own, which would be lost")
        if any(map(nn.parameter.is_lazy, torch_layer.parameters())):
            invalid(op, name, got, "be initialised: evaluate it once before it is patched")
        if not isinstance(leading["memristor_model_params"], dict):
            must = "be a dict of keyword arguments of the memristor model"
            invalid(op, "memristor_model_params", leading["memristor_model_params"], must)
        options.check_programming(op)
        return torch_layer, leading, options

    @classmethod
    def has_own_forward(cls, torch_layer: nn.Module) -> bool:
        """Whether a subclass of the torch class, or the object itself, computes something else."""
        return any(
            name in vars(torch_layer)
            or getattr(type(torch_layer), name, None) is not getattr(cls.torch_class, name, None)
            for name in ("forward", "_conv_forward")
        )

    # ---- Options ----

    def set_option(self, name: str, value: Any) -> None:
        """Changes one option of the layer and of the parts that read its crossbars.

        Raises:
            InvalidArgument: It has done its work already, or the value is not allowed.
        """
        op = type(self).__name__
        if name in FIXED:
            invalid(op, name, value, "stay as it is because the crossbars are written; patch again")
        changed = [
            (part, dataclasses.replace(part.options, op=op, **{name: value}))
            for part in dict.fromkeys([self, *self.readers()])
        ]
        for part, options in changed:
            part.options = options
        for crossbar in cast(Any, self.crossbars):
            crossbar.wires = self.options.wires


def _option_property(name: str, meaning: str) -> property:
    return property(
        lambda self: getattr(self.options, name), lambda self, value: self.set_option(name, value), doc=meaning
    )


for _field in dataclasses.fields(LayerOptions):
    setattr(PatchedLayer, _field.name, _option_property(_field.name, _field.metadata["meaning"]))

_ARGUMENTS = """
    Args:
        {first} ({torch_class}): The digital layer; its parameters are shared.
        memristor_model (type[Memristor]): Model of the devices.
        memristor_model_params (dict): Keyword arguments of ``memristor_model``.
        {options}

    Raises:
        InvalidArgument: An argument of the wrong type or out of range.
"""
Layer = TypeVar("Layer", bound=type[PatchedLayer])


def memristive(
    torch_class: type[nn.Module], first: str, order: tuple[str, ...] = (), *, in_116: bool = True
) -> Callable[[Layer], Layer]:
    """Registers a memristive layer as the counterpart of a torch layer; completes its signature and docstring.

    Args:
        torch_class: What it replaces.
        first: Name of the constructor's first argument.
        order: Options whose places in 1.1.6's signature differ from the table's, in their order.
        in_116: MemTorch 1.1.6 has the layer: it stands in ``supported_module_parameters``.
    """

    def register(layer: Layer) -> Layer:
        torch_name = f"torch.nn.{torch_class.__name__}"
        layer.torch_class = torch_class
        layer.call_signature = signature(
            [
                argument(first, torch_name),
                argument("memristor_model", "type[Memristor]"),
                argument("memristor_model_params", "dict[str, Any]"),
            ],
            returns="None",
            order=order,
        )
        layer.__doc__ = (layer.__doc__ or "") + _ARGUMENTS.format(
            first=first, torch_class=torch_name, options="{options}"
        )
        takes_options(layer, layer.call_signature)
        patchable_types[torch_class] = layer
        if in_116:
            supported_module_parameters[str(torch_class)] = layer
        return layer

    return register


@contextmanager
def all_or_none(readers: list[Any]) -> Iterator[None]:
    """Gives ``MemristiveLayer`` objects their ``transform_output`` back if an error occurs."""
    before = [reader.transform_output for reader in readers]
    try:
        yield
    except BaseException:
        for reader, transform in zip(readers, before, strict=True):
            reader.transform_output = transform
        raise


def check_loadable(model: nn.Module, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
    """Hook of ``load_state_dict``: finds everything that cannot be loaded before anything is.

    Torch loads module by module, and would leave a model of which half is the new state.

    Raises:
        RuntimeError: Devices of another model, shape or version, tensors of another shape, or a layer's setting that is
            none. All are listed.
    """
    found = []
    for path, module in model.named_modules():
        start = f"{prefix}{path}." if path else prefix
        if isinstance(module, VersionedColumns):
            mine = part_of(state_dict, start)
            if mine:
                found += [f"{start.rstrip('.')}: {difference}" for difference in module.differences(mine)]
            continue
        if isinstance(module, PatchedLayer) and f"{start}_extra_state" in state_dict:
            differences = module.extra_differences(state_dict[f"{start}_extra_state"])
            found += [f"{start.rstrip('.') or type(module).__name__}: {difference}" for difference in differences]
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            given = state_dict.get(start + name)
            if isinstance(given, torch.Tensor) and given.shape != tensor.shape:
                found.append(f"{start}{name}: shape ({list(given.shape)}) must be {list(tensor.shape)}")
    if found:
        raise RuntimeError("[load_state_dict] the state is not of this model:\n    " + "\n    ".join(found))
