"""What the layers of one weight have in common: crossbars, and the way from inputs to outputs.

    voltages = scale(input)                     DAC
    currents = voltages @ (G_pos - G_neg)       read, per tile if converters follow
    readout = sum over tiles of adc(currents)   amperes, per tile
    output = transform_output(readout) + bias   digital

Without converters all of it is linear. Tiles and pairs of crossbars then collapse into one effective weight, and a
patched layer costs what its torch layer does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from memtorch._errors import check_tensor, invalid
from memtorch._weight_ops import least_squares_gain
from memtorch.bh._versioned_columns import part_of
from memtorch.bh.crossbar import Crossbar, init_crossbar
from memtorch.bh.crossbar._nonlinear import NonLinearRead, read_matrix
from memtorch.bh.crossbar._operations import SingleColumnOperation
from memtorch.map.Input import naive_scale, scale_factor
from memtorch.map.Module import LinearTransfer
from memtorch.mn._nonlinear import (
    limited,
    read_from_state,
    read_to_state,
    read_vectors,
    shaped,
    state_bounds,
    state_differences,
)
from memtorch.mn._options import LayerOptions
from memtorch.mn._patched import PatchedLayer
from memtorch.mn._readout import Readout

__all__ = ["MemristiveLayer"]


class MemristiveLayer(PatchedLayer):
    """Base of the memristive layers that have one weight.

    Attributes:
        crossbars: The positive and the negative crossbar, or the one of the single column scheme.
        crossbar_operation: ``f(crossbars, operation)``: ``operation`` of the pair, subtracted.
        transform_output: The digital correction of the readout; any function may be assigned.
        non_linear: How non-linear devices are read (``memtorch.bh.nonideality.NonLinear`` sets it); None: linearly.
    """

    sample_dims: ClassVar[int]  # trailing dimensions of an input that make up one sample

    weight: Any
    bias: Any
    crossbars: nn.ModuleList
    crossbar_operation: Callable[..., Tensor]
    transform_output: Callable[[Tensor], Tensor]
    non_linear: NonLinearRead | None = None
    _readout: Readout | None
    _warned_of_range = False

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

    def windows(self, v: Tensor) -> Tensor:
        """A view of voltages as the input vectors of the crossbars, [samples, *positions, groups, ...rows]."""
        raise NotImplementedError

    def from_windows(self, currents: Tensor, v: Tensor) -> Tensor:
        """Currents [samples, columns, *positions] of the windows of ``v`` in the form of an output."""
        raise NotImplementedError

    def converter_ends(self) -> list[int]:
        """Columns at which another converter range begins, and the last."""
        raise NotImplementedError

    def check_input(self, x: Tensor) -> None:
        """Raises ``InvalidArgument`` if ``x`` does not fit the layer."""
        raise NotImplementedError

    # ---- Construction ----

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
                source_resistance=options.source_resistance,
                line_resistance=options.line_resistance,
            )
            self.crossbars = nn.ModuleList(crossbars)
            self.transform_output = LinearTransfer(self._nominal_gain(targets[0])).to(self.weight.device)
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
        targets = list(target) if isinstance(target, (tuple, list)) else [target]
        operation = self.crossbar_operation
        reference = operation.conductance if isinstance(operation, SingleColumnOperation) else 0.0
        return least_squares_gain(self.weight, targets, reference)

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
        if factor is None and self._reads_linearly():
            return self.product(v, readout.folded_weight, readout.folded_bias)
        i = self._currents(v, factor, readout)
        if readout.folded_bias is None:
            return (i * readout.gain).to(v.dtype)
        return torch.add(self._along_outputs(readout.folded_bias), i, alpha=readout.gain).to(v.dtype)

    def read(self, input: Tensor) -> Tensor:
        """The raw readout, amperes: digitised, referred to unscaled inputs, without ``transform_output`` and bias."""
        v, factor = self._scale(input)
        return self._currents(v, factor, self._current_readout(v.dtype))

    def folded(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None] | None:
        """Weight and bias with which the torch operator gives what ``forward`` does.

        Args:
            dtype: Of the inputs.

        Returns:
            (weight, bias), or None if every input needs a treatment of its own.

        Raises:
            InvalidArgument: The digital weights are asked for and gone.
        """
        if self.forward_legacy_enabled:
            return self._digital_weight("forward_legacy"), self.bias
        unscaled = self.options.scaling_routine is naive_scale and self.options.max_input_voltage is None
        if not (unscaled and self._reads_linearly() and isinstance(self.transform_output, LinearTransfer)):
            return None
        readout = self._current_readout(dtype)
        return readout.folded_weight, readout.folded_bias

    def _reads_linearly(self) -> bool:
        """Whether currents are the product of voltages and the effective weight, nothing in between."""
        return self.options.adc is None and self.non_linear is None

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
        if input.device != self.device:
            must = f"be on the crossbars' device {self.device}"
            invalid(type(self).__name__, "input", f"device {input.device}", must)
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
        if self.non_linear is None:
            currents = self._linear_currents(v, readout)
        else:
            v = limited(self, v)
            volts = shaped(self, v)
            currents = read_vectors(self, v) if volts is None else self._linear_currents(volts, readout)
        return currents if factor is None else currents / factor

    def _linear_currents(self, v: Tensor, readout: Readout) -> Tensor:
        if self.options.adc is None:
            return self.product(v, readout.weight, None)
        return self.digitized_product(v, readout.tiles)

    def _current_readout(self, dtype: torch.dtype) -> Readout:
        transfer = self.transform_output if isinstance(self.transform_output, LinearTransfer) else None
        sources = [cast(Crossbar, crossbar).conductance_matrix for crossbar in self.crossbars]
        if transfer is not None:
            sources += [transfer.gain, transfer.offset]
        if self.bias is not None:
            sources.append(self.bias)
        states = None if self.non_linear is None else self.non_linear.states
        bounds = [] if states is None else state_bounds(self.crossbars)
        sources += [bound for bound in bounds if isinstance(bound, Tensor)]
        settings = (self.options.wires, states, *(bound for bound in bounds if not isinstance(bound, Tensor)))
        if self._readout is None or not self._readout.is_current(sources, dtype, settings):
            self._readout = Readout(
                sources, dtype, self._effective_weight, self.split, transfer, self.bias, settings, self._readout
            )
        return self._readout

    def _effective_weight(self) -> Tensor:
        """G_pos - G_neg, or G - g_m, as the ends of the wires see them, in the shape of the digital weight, siemens."""
        states = None if self.non_linear is None else self.non_linear.states
        matrix = self.crossbar_operation(self.crossbars, read_matrix, states=states, wires=self.options.wires)
        return matrix.t().reshape(self.weight_shape())

    @property
    def simulate(self) -> bool:
        """Whether reads move the devices' states."""
        return self.non_linear is not None and self.non_linear.simulate

    @property
    def device(self) -> torch.device:
        """Where the crossbars are."""
        return cast(Crossbar, self.crossbars[0]).conductance_matrix.device

    def _along_outputs(self, bias: Tensor) -> Tensor:
        """``bias`` [outputs] shaped to be added to an output; a 0-d one as it is."""
        return bias.view(*bias.shape, *[1] * (self.sample_dims - 1)) if bias.dim() else bias

    # ---- State ----

    def readers(self) -> list[MemristiveLayer]:
        """The layer itself."""
        return [self]

    def drop_digital_weights(self) -> None:
        """Frees the digital weights; the layer is memristive from then on."""
        self.weight = None
        self.forward_legacy_enabled = False

    def get_extra_state(self) -> dict[str, Any]:
        """How the devices are read, as plain Python values."""
        return read_to_state(self.non_linear)

    def set_extra_state(self, state: Any) -> None:
        """Takes over what ``get_extra_state`` returned.

        Raises:
            InvalidArgument: Anything else; the layer is as before.
        """
        differences = self.extra_differences(state)
        if differences:
            invalid(type(self).__name__, "extra state", state, f"be of a patched layer: {'; '.join(differences)}")
        self.non_linear = read_from_state(state)

    def extra_differences(self, extra: Any) -> list[str]:
        """See ``PatchedLayer``."""
        return state_differences(extra)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        key = f"{prefix}_extra_state"
        if key not in state_dict and part_of(state_dict, f"{prefix}crossbars."):
            # Saved by a version that had no such entry and no non-linear layers in its states.
            state_dict = {**state_dict, key: read_to_state(None)}
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "transform_output":
            if not callable(value):
                invalid(type(self).__name__, name, value, "be a function of the readout")
            self._modules.pop(name, None)  # torch lets no plain function take the place of a module
        elif name == "non_linear":
            if not (value is None or isinstance(value, NonLinearRead)):
                invalid(type(self).__name__, name, value, "be None, or be set by apply_non_linear")
            self._warned_of_range = False
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_readout": None}
