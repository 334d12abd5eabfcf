"""Layers of several weight matrices, each of which is a memristive ``Linear`` with crossbars of its own."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from memtorch._errors import InvalidArgument, check_tensor, invalid
from memtorch.bh.crossbar import Crossbar
from memtorch.mn._options import LayerOptions
from memtorch.mn._patched import PatchedLayer, all_or_none
from memtorch.mn.Linear import Linear

__all__ = ["MatrixLayer", "State", "bias_vector", "initial_state"]

State = tuple[Tensor, ...]  # (h,), or (h, c) of an LSTM


class MatrixLayer(PatchedLayer):
    """Base of the recurrent layers and cells.

    The matrices hold the only weights; the names that torch gives them are keys of ``matrices`` instead of attributes.

    Attributes:
        matrices: The memristive matrices, by the names of their torch weights (``weight_ih_l0``, ...).
    """

    matrices: nn.ModuleDict
    hidden_size: int

    # ---- What a layer adds ----

    def cell(self, gates: Tensor, state: State, suffix: str) -> State:
        """One time step of one layer in one direction.

        Args:
            gates: What ``weight_ih`` gives, [sequences, gates * hidden_size].
            state: Before the step.
            suffix: Of the names of the matrices.

        Returns:
            The state after the step; its first tensor is the output.
        """
        raise NotImplementedError

    def state_sizes(self) -> tuple[int, ...]:
        """Sizes of the tensors of a state."""
        return (self.hidden_size,)

    # ---- Construction ----

    def adopt(self, torch_layer: Any, leading: dict[str, Any], options: LayerOptions) -> None:
        """Takes over a torch layer's parameters, whose storage is then shared, and writes the crossbars.

        Args:
            torch_layer: The digital layer.
            leading: ``memristor_model`` and ``memristor_model_params``.
            options: Everything else.
        """
        arguments = leading | options.as_arguments() | {"verbose": False}
        self.matrices = nn.ModuleDict()
        for name in list(self._parameters):
            delattr(self, name)
            if name.startswith("weight"):
                matrix = self._matrix(torch_layer, name, arguments)
                matrix.options = options
                self.matrices[name] = matrix
        self.options = options
        self.train(torch_layer.training)
        if options.verbose:
            print(f"Patched {torch_layer} -> memtorch.mn.{type(self).__name__}({self.extra_repr()})")

    def _matrix(self, torch_layer: Any, name: str, arguments: dict[str, Any]) -> Linear:
        weight = getattr(torch_layer, name)
        bias = getattr(torch_layer, name.replace("weight", "bias"), None)  # a projection has none
        digital = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
        digital.weight = nn.Parameter(weight.detach(), requires_grad=False)
        if bias is not None:
            digital.bias = nn.Parameter(bias.detach(), requires_grad=False)
        try:
            return Linear(digital, **arguments)
        except InvalidArgument as error:
            raise InvalidArgument(f"[{type(self).__name__}] {name}: {error}") from error

    # ---- Forward ----

    def check_vectors(self, x: Any) -> Tensor:
        """Returns inputs if they are real floating-point numbers where the crossbars are.

        Raises:
            InvalidArgument: They are not.
        """
        op = type(self).__name__
        check_tensor(op, "input", x, finite=False)
        if not x.is_floating_point():
            invalid(op, "input", str(x.dtype), "be a floating-point tensor")
        if x.device != self.device:
            invalid(op, "input", f"device {x.device}", f"be on the crossbars' device {self.device}")
        return x

    def folded(self, dtype: torch.dtype) -> dict[str, tuple[Tensor, Tensor | None]] | None:
        """Weight and bias of every matrix, with which torch's own kernel gives what ``forward`` does.

        Args:
            dtype: Of the inputs.

        Returns:
            {name: (weight, bias)}, or None if a matrix treats its inputs one by one.

        Raises:
            InvalidArgument: The digital weights are asked for and gone, or have another dtype.
        """
        pairs = {}
        for name, matrix in self.matrices.items():
            pair = cast(Linear, matrix).folded(dtype)
            if pair is None or matrix._forward_hooks or matrix._forward_pre_hooks:  # hooks want to see every call
                return None
            if pair[0].dtype != dtype:
                must = f"have the dtype of the digital weights, {pair[0].dtype}"
                invalid(type(self).__name__, "input", str(dtype), must)
            pairs[name] = pair
        return pairs

    # ---- State and options ----

    def readers(self) -> list[Any]:
        """The matrices."""
        return list(self.matrices.values())

    @property
    def crossbars(self) -> tuple[Crossbar, ...]:
        """The crossbars of all matrices, in the order of ``matrices``."""
        return tuple(crossbar for matrix in self.readers() for crossbar in matrix.crossbars)

    @property
    def device(self) -> torch.device:
        """Where the crossbars are."""
        return self.crossbars[0].conductance_matrix.device

    @property
    def forward_legacy_enabled(self) -> bool:
        """Whether all matrices compute digitally."""
        return all(matrix.forward_legacy_enabled for matrix in self.readers())

    @forward_legacy_enabled.setter
    def forward_legacy_enabled(self, enable: bool) -> None:
        for matrix in self.readers():
            matrix.forward_legacy_enabled = enable

    def tune(self, input_shape: int = 4098) -> None:
        """Fits ``transform_output`` of every matrix to its digital counterpart, or of none if one cannot be tuned.

        Args:
            input_shape: Number of random input vectors.
        """
        matrices = self.readers()
        with all_or_none(matrices):
            for name, matrix in zip(self.matrices, matrices, strict=True):
                if self.options.verbose:
                    print(f"{type(self).__name__}.{name}: ", end="")
                matrix.tune(input_shape)

    def drop_digital_weights(self) -> None:
        """Frees the digital weights of all matrices."""
        for matrix in self.readers():
            matrix.drop_digital_weights()


def initial_state(op: str, hx: Any, shapes: list[tuple[int, ...]], like: Tensor) -> State:
    """The initial state that the user gave.

    Args:
        op: What the user called.
        hx: A tensor, or a tuple (h_0, c_0) if there are two shapes; zeros if None.
        shapes: Of the tensors.
        like: The inputs, whose dtype and device the state must have.

    Raises:
        InvalidArgument: Anything else, or another shape, dtype or device.
    """
    if hx is None:
        return tuple(like.new_zeros(shape) for shape in shapes)
    if len(shapes) == 1:
        hx = (hx,)
    elif not isinstance(hx, (tuple, list)) or len(hx) != len(shapes):
        invalid(op, "hx", type(hx).__name__, "be a tuple (h_0, c_0)")
    for name, value, shape in zip(("h_0", "c_0"), hx, shapes, strict=False):
        check_tensor(op, name, value, shape, finite=False)
        if value.dtype != like.dtype:
            invalid(op, name, str(value.dtype), f"have the input's dtype, {like.dtype}")
        if value.device != like.device:
            invalid(op, name, f"device {value.device}", f"be on the input's device {like.device}")
    return tuple(hx)


def bias_vector(bias: Tensor | None, weight: Tensor) -> Tensor:
    """A bias with one element per output: zeros for None, a single offset repeated."""
    return weight.new_zeros(weight.shape[0]) if bias is None else bias.expand(weight.shape[0]).contiguous()
