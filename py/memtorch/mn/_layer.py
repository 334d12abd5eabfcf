"""What every memristive layer has in common: options, crossbars, and the way from inputs to outputs.

    voltages = scale(input)                     DAC
    currents = voltages @ (G_pos - G_neg)       read, per tile if converters follow
    readout = sum over tiles of adc(currents)   amperes, per tile
    output = transform_output(readout) + bias   digital

Without converters all of it is linear. Tiles and pairs of crossbars then collapse into one effective weight, and a
patched layer costs what its torch layer does.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar, cast

import torch
from torch import Tensor, nn

from memtorch._errors import check_tensor, invalid
from memtorch.bh.crossbar import Crossbar, init_crossbar
from memtorch.map.Input import naive_scale, scale_factor
from memtorch.map.Module import LinearTransfer
from memtorch.mn._options import FIXED, LayerOptions, argument, call_arguments, signature, takes_options
from memtorch.mn._readout import Readout

__all__ = ["MemristiveLayer", "memristive", "supported_module_parameters"]

supported_module_parameters: dict[str, type[MemristiveLayer]] = {}


class MemristiveLayer(nn.Module):
    """Base of the memristive layers; stands after the torch class in their bases.

    Every option can be read as an attribute (``layer.tile_shape``); those that still matter once the crossbars are
    written can be set.

    Attributes:
        options: The checked options.
        crossbars: The positive and the negative crossbar, or the one of the single column scheme.
        crossbar_operation: ``f(crossbars, operation)``: ``operation`` of the pair, subtracted.
        transform_output: The digital correction of the readout; any function may be assigned.
        forward_legacy_enabled: ``forward`` computes digitally.
    """

    torch_class: ClassVar[type[nn.Module]]
    call_signature: ClassVar[inspect.Signature]
    sample_dims: ClassVar[int]  # trailing dimensions of an input that make up one sample

    weight: Any
    bias: Any
    options: LayerOptions
    crossbars: nn.ModuleList
    crossbar_operation: Callable[..., Tensor]
    transform_output: Callable[[Tensor], Tensor]
    forward_legacy_enabled: bool
    tune: Callable[..., None]
    _readout: Readout | None

    # ---- What a layer adds ----

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The torch operator of the layer."""
        raise NotImplementedError

    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the digital weight: outputs first, then what makes up the rows of the crossbar."""
        raise NotImplementedError

    def split(self, weight: Tensor) -> Any:
        """Cuts an effective weight at the tiles, into what ``digitized_product`` takes."""
        raise NotImplementedError

    def digitized_product(self, v: Tensor, tiles: Any) -> Tensor:
        """``product`` without bias, the partial sum of every tile digitised before they are added."""
        raise NotImplementedError

    def check_input(self, x: Tensor) -> None:
        """Raises ``InvalidArgument`` if ``x`` does not fit the layer."""
        raise NotImplementedError

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
        if not isinstance(torch_layer, cls.torch_class) or isinstance(torch_layer, MemristiveLayer):
            invalid(op, name, got, f"be a torch.nn.{cls.torch_class.__name__} that is not patched yet")
        if cls.has_own_forward(torch_layer):
            invalid(op, name, got, "not have a forward() of its own, which would be lost")
        weight: Any = torch_layer.weight
        if nn.parameter.is_lazy(weight):
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

    def adopt(self, torch_layer: Any, leading: dict[str, Any], options: LayerOptions) -> None:
        """Takes over a torch layer's parameters, whose storage is then shared, and writes the crossbars.

        Args:
            torch_layer: The digital layer.
            leading: ``memristor_model`` and ``memristor_model_params``.
            options: Everything else.
        """
        targets: list[Any] = []

        def mapping_routine(*args: Any, **kwargs: Any) -> Any:
            targets[:] = [options.mapping_routine(*args, **kwargs)]
            return targets[0]

        # Tensors made in inference mode count no writes, and the readout relies on the counts.
        with torch.inference_mode(False), torch.no_grad():
            self.weight = nn.Parameter(torch_layer.weight.detach(), requires_grad=False)
            self.bias = None
            if torch_layer.bias is not None:
                self.bias = nn.Parameter(torch_layer.bias.detach(), requires_grad=False)
            crossbars, self.crossbar_operation = init_crossbar(
                weights=self.weight,
                **leading,
                transistor=options.transistor,
                mapping_routine=mapping_routine,
                programming_routine=options.programming_routine,
                programming_routine_params=dict(options.programming_routine_params),
                p_l=options.p_l,
                scheme=options.scheme,
                tile_shape=options.tile_shape,
                use_bindings=options.use_bindings,
                random_crossbar_init=options.random_crossbar_init,
            )
            self.crossbars = nn.ModuleList(crossbars)
            self.transform_output = LinearTransfer(self._nominal_gain(targets[0]))
        self.options = options
        self.forward_legacy_enabled = True
        self._readout = None
        self.train(torch_layer.training)
        if options.verbose:
            print(f"Patched {torch_layer} -> memtorch.mn.{type(self).__name__}({self.extra_repr()})")

    def _nominal_gain(self, target: Any) -> float:
        """Least squares of weight = gain * (difference of the target conductances), 1/A for inputs in volts.

        The layer then equals its digital counterpart as far as its devices reach the targets.
        """
        weight = self.weight.flatten(1)
        targets = [g.flatten(1) for g in (target if isinstance(target, (tuple, list)) else [target])]
        cross, square = 0.0, 0.0
        step = max(1, 2**16 // weight.shape[1])  # rows whose float64 copies stay in the processor's cache
        for start in range(0, weight.shape[0], step):
            rows = slice(start, start + step)
            difference = self.crossbar_operation(targets, lambda g, rows=rows: g[rows]).double().flatten()
            cross += torch.dot(difference, weight[rows].double().flatten()).item()
            square += torch.dot(difference, difference).item()
        return cross / square if square > 0 else 1.0

    # ---- Forward ----

    def forward(self, input: Tensor) -> Tensor:
        """Computes the output from the crossbars, or digitally while ``forward_legacy_enabled``.

        Args:
            input: As the torch layer takes it.

        Returns:
            As the torch layer returns it.

        Raises:
            InvalidArgument: ``input`` does not fit, or the digital weights are asked for and gone.
        """
        if self.forward_legacy_enabled:
            return self.product(input, self._digital_weight("forward_legacy"), self.bias)
        if not isinstance(self.transform_output, LinearTransfer):
            output = self.transform_output(self.read(input))
            return output if self.bias is None else output + self._along_outputs(self.bias.to(output.dtype))
        v, factor = self._scale(input)
        readout = self._current_readout(v.dtype)
        if factor is None and self.options.adc is None:
            return self.product(v, readout.folded_weight, readout.folded_bias)
        i = self._currents(v, factor, readout)
        if readout.folded_bias is None:
            return (i * readout.gain).to(v.dtype)
        return torch.add(self._along_outputs(readout.folded_bias), i, alpha=readout.gain).to(v.dtype)

    def read(self, input: Tensor) -> Tensor:
        """The raw readout, amperes: digitised, referred to unscaled inputs, without ``transform_output`` and bias."""
        v, factor = self._scale(input)
        return self._currents(v, factor, self._current_readout(v.dtype))

    def digital(self, input: Tensor) -> Tensor:
        """What the digital layer gives, without bias.

        Raises:
            InvalidArgument: The digital weights are gone.
        """
        return self.product(input, self._digital_weight("tune"), None)

    def _digital_weight(self, op: str) -> Tensor:
        if self.weight is None:
            invalid(op, "weight", None, "be present, but disable_legacy() has removed the digital weights")
        return self.weight

    def _scale(self, input: Tensor) -> tuple[Tensor, Tensor | float | None]:
        """The voltages, and the factor by which they exceed the inputs (None: 1, or unknown)."""
        check_tensor(type(self).__name__, "input", input, finite=False)
        if not input.is_floating_point():
            invalid(type(self).__name__, "input", str(input.dtype), "be a floating-point tensor")
        self.check_input(input)
        routine, params = self.options.scaling_routine, self.options.scaling_routine_params
        if routine is naive_scale:  # returns voltages only, as documented for 1.1.6; the factor is asked for apart
            factor = scale_factor(self, input, **params)
            return (input, None) if factor is None else (input * factor, factor)
        encoded = routine(self, input, **params)
        v, factor = encoded if isinstance(encoded, tuple) else (encoded, None)
        return check_tensor("scaling_routine", "voltages", v, input.shape, finite=False), factor

    def _currents(self, v: Tensor, factor: Tensor | float | None, readout: Readout) -> Tensor:
        v = v.to(readout.read_dtype)
        if self.options.adc is None:
            currents = self.product(v, readout.weight, None)
        else:
            currents = self.digitized_product(v, readout.tiles)
        return currents if factor is None else currents / factor

    def _current_readout(self, dtype: torch.dtype) -> Readout:
        transfer = self.transform_output if isinstance(self.transform_output, LinearTransfer) else None
        sources = [cast(Crossbar, crossbar).conductance_matrix for crossbar in self.crossbars]
        if transfer is not None:
            sources += [transfer.gain, transfer.offset]
        if self.bias is not None:
            sources.append(self.bias)
        if self._readout is None or not self._readout.is_current(sources, dtype):
            self._readout = Readout(sources, dtype, self._effective_weight, self.split, transfer, self.bias)
        return self._readout

    def _effective_weight(self) -> Tensor:
        """G_pos - G_neg, or G - g_m, in the shape of the digital weight, siemens."""
        matrix = self.crossbar_operation(self.crossbars, lambda crossbar: crossbar.matrix())
        return matrix.t().reshape(self.weight_shape())

    @property
    def device(self) -> torch.device:
        """Where the crossbars are."""
        return cast(Crossbar, self.crossbars[0]).conductance_matrix.device

    def _along_outputs(self, bias: Tensor) -> Tensor:
        """``bias`` [outputs] shaped to be added to an output; a 0-d one as it is."""
        return bias.view(*bias.shape, *[1] * (self.sample_dims - 1)) if bias.dim() else bias

    # ---- State ----

    def drop_digital_weights(self) -> None:
        """Frees the digital weights; the layer is memristive from then on."""
        self.weight = None
        self.forward_legacy_enabled = False

    def set_option(self, name: str, value: Any) -> None:
        """Changes one option.

        Raises:
            InvalidArgument: It has done its work already, or the value is not allowed.
        """
        if name in FIXED:
            invalid(type(self).__name__, name, value, "stay as it is because the crossbars are written; patch again")
        self.options = dataclasses.replace(self.options, op=type(self).__name__, **{name: value})

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "transform_output":
            if not callable(value):
                invalid(type(self).__name__, name, value, "be a function of the readout")
            self._modules.pop(name, None)  # torch lets no plain function take the place of a module
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_readout": None}


def _option_property(name: str, meaning: str) -> property:
    return property(
        lambda self: getattr(self.options, name), lambda self, value: self.set_option(name, value), doc=meaning
    )


for _field in dataclasses.fields(LayerOptions):
    setattr(MemristiveLayer, _field.name, _option_property(_field.name, _field.metadata["meaning"]))

_ARGUMENTS = """
    Args:
        {first} ({torch_class}): The digital layer; its parameters are shared.
        memristor_model (type[Memristor]): Model of the devices.
        memristor_model_params (dict): Keyword arguments of ``memristor_model``.
        {options}

    Raises:
        InvalidArgument: An argument of the wrong type or out of range.
"""
Layer = TypeVar("Layer", bound=type[MemristiveLayer])


def memristive(torch_class: type[nn.Module], first: str, order: tuple[str, ...] = ()) -> Callable[[Layer], Layer]:
    """Registers a memristive layer as the counterpart of a torch layer; completes its signature and docstring.

    Args:
        torch_class: What it replaces.
        first: Name of the constructor's first argument.
        order: Options whose places in 1.1.6's signature differ from the table's, in their order.
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
        supported_module_parameters[str(torch_class)] = layer
        return layer

    return register
