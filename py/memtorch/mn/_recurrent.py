"""What the recurrent layers have in common.

Every weight matrix of a recurrent layer is a memristive ``Linear`` with crossbars of its own; the cells around them are
digital arithmetic. A sequence takes one of two ways that compute the same:

* No matrix treats its input vectors one by one (no converters, no input scaling): torch's own kernel runs the whole
  sequence on the effective weights, at the cost of the torch layer.
* Otherwise step by step. The inputs of all time steps are read from the crossbars in one call, the state of each step
  in one call per step. A padded batch is a packed one whose steps all have the same number of sequences, so that one
  loop serves both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from memtorch._errors import InvalidArgument, check_tensor, invalid
from memtorch.bh.crossbar import Crossbar
from memtorch.mn._options import LayerOptions
from memtorch.mn._patched import PatchedLayer, all_or_none
from memtorch.mn.Linear import Linear

__all__ = ["Recurrent", "State"]

State = tuple[Tensor, ...]  # (h,), or (h, c) of an LSTM: [sequences, size] each

_KERNELS: dict[str, Callable[..., Any]] = {
    "RNN_TANH": torch.rnn_tanh,
    "RNN_RELU": torch.rnn_relu,
    "LSTM": torch.lstm,
    "GRU": torch.gru,
}


class Batch(NamedTuple):
    """The input sequences of one call, time first."""

    data: Tensor  # [steps, sequences, features]; packed: [vectors, features], step after step
    batch_sizes: Tensor | None  # packed: sequences that have not ended at each step
    permutation: Tensor | None  # packed: order in which the sequences stand, None as given
    sequences: int

    def steps(self) -> list[int]:
        """Number of sequences at each step."""
        return [self.sequences] * self.data.shape[0] if self.batch_sizes is None else self.batch_sizes.tolist()


class Recurrent(PatchedLayer):
    """Base of the recurrent layers; stands after the torch class in their bases.

    Attributes:
        matrices: The memristive matrices, by the names of their torch weights (``weight_ih_l0``, ...).
    """

    matrices: nn.ModuleDict
    mode: str
    input_size: int
    hidden_size: int
    proj_size: int
    num_layers: int
    dropout: float
    bidirectional: bool
    batch_first: bool
    _flat_weights_names: list[str]

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

    @staticmethod
    def arguments(torch_layer: Any) -> dict[str, Any]:
        """The constructor arguments of a torch layer, for a copy without storage."""
        names = ["input_size", "hidden_size", "num_layers", "bias", "batch_first", "bidirectional"]
        return {name: getattr(torch_layer, name) for name in names} | {"device": "meta"}

    def adopt(self, torch_layer: Any, leading: dict[str, Any], options: LayerOptions) -> None:
        """Takes over a torch layer's parameters, whose storage is then shared, and writes the crossbars.

        Args:
            torch_layer: The digital layer.
            leading: ``memristor_model`` and ``memristor_model_params``.
            options: Everything else.
        """
        self.dropout = torch_layer.dropout
        # The matrices hold the only weights; torch's base class takes None for a weight that is absent.
        for name in self._flat_weights_names:
            delattr(self, name)
        self._flat_weights: list[Any] = [None] * len(self._flat_weights_names)
        self._flat_weight_refs: list[Any] = [None] * len(self._flat_weights_names)
        arguments = leading | options.as_arguments() | {"verbose": False}
        self.matrices = nn.ModuleDict()
        for name in self._flat_weights_names:
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

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """Runs sequences through the layer, on its crossbars, or digitally while ``forward_legacy_enabled``.

        Args:
            input: [steps, batch, input_size], [batch, steps, input_size] if ``batch_first``, [steps, input_size], or
                a ``PackedSequence``.
            hx: The initial state as the torch layer takes it: h_0, or (h_0, c_0) of an LSTM; zeros if None.

        Returns:
            (output, h_n), or (output, (h_n, c_n)) of an LSTM, as the torch layer returns it.

        Raises:
            InvalidArgument: ``input`` or ``hx`` does not fit, or the digital weights are asked for and gone.
        """
        batch = self._batch(input)
        unbatched = isinstance(input, Tensor) and input.dim() == 2
        state = self._initial_state(hx, batch, unbatched)
        weights = self._plain_weights(batch.data.dtype)
        if weights is None:
            output, state = self._step_by_step(batch, state)
        else:
            output, state = self._whole_sequence(batch, state, weights)
        return self._output(input, output, unbatched), self._final_state(input, state, unbatched)

    def _batch(self, input: Any) -> Batch:
        op = type(self).__name__
        packed = isinstance(input, PackedSequence)
        data = check_tensor(op, "input", input.data if packed else input, finite=False)
        if not data.is_floating_point():
            invalid(op, "input", str(data.dtype), "be a floating-point tensor")
        if data.dim() not in ((2,) if packed else (2, 3)) or data.shape[-1] != self.input_size:
            order = "batch, steps" if self.batch_first else "steps, batch"
            must = f"have shape [{order}, {self.input_size}] or [steps, {self.input_size}]"
            invalid(op, "input", f"shape {list(data.shape)}", must)
        if packed:
            return Batch(data, input.batch_sizes, input.sorted_indices, int(input.batch_sizes[0]))
        if data.dim() == 2:
            data = data.unsqueeze(1)
        elif self.batch_first:
            data = data.transpose(0, 1)
        if data.shape[0] == 0:
            invalid(op, "input", f"shape {list(input.shape)}", "have at least one time step")
        return Batch(data, None, None, data.shape[1])

    def _initial_state(self, hx: Any, batch: Batch, unbatched: bool) -> State:
        """The initial state, [layers * directions, sequences, size] each."""
        op, sizes, data = type(self).__name__, self.state_sizes(), batch.data
        count = self.num_layers * self._directions
        if hx is None:
            return tuple(data.new_zeros(count, batch.sequences, size) for size in sizes)
        several = len(sizes) > 1
        if several and not (isinstance(hx, (tuple, list)) and len(hx) == len(sizes)):
            invalid(op, "hx", type(hx).__name__, "be a tuple (h_0, c_0)")
        state = []
        for name, value, size in zip(("h_0", "c_0"), hx if several else [hx], sizes, strict=False):
            shape = (count, size) if unbatched else (count, batch.sequences, size)
            check_tensor(op, name, value, shape, finite=False)
            if value.dtype != data.dtype:
                invalid(op, name, str(value.dtype), f"have the input's dtype, {data.dtype}")
            value = value.unsqueeze(1) if unbatched else value
            state.append(value if batch.permutation is None else value.index_select(1, batch.permutation))
        return tuple(state)

    def _output(self, input: Any, output: Tensor, unbatched: bool) -> Any:
        if isinstance(input, PackedSequence):
            return input._replace(data=output)
        if unbatched:
            return output.squeeze(1)
        return output.transpose(0, 1) if self.batch_first else output

    def _final_state(self, input: Any, state: State, unbatched: bool) -> Any:
        if isinstance(input, PackedSequence) and input.unsorted_indices is not None:
            state = tuple(part.index_select(1, input.unsorted_indices) for part in state)
        if unbatched:
            state = tuple(part.squeeze(1) for part in state)
        return state if len(state) > 1 else state[0]

    # ---- The two ways ----

    def _plain_weights(self, dtype: torch.dtype) -> tuple[list[Tensor], bool] | None:
        """What torch's kernel takes as weights, and whether biases are among them; None: step by step."""
        folded: dict[str, tuple[Tensor, Tensor | None]] = {}
        for name, matrix in self.matrices.items():
            pair = cast(Linear, matrix).folded(dtype)
            # Hooks want to see every call; the kernel has no place for the bias of a projection.
            hooked = matrix._forward_hooks or matrix._forward_pre_hooks
            if pair is None or hooked or (name.startswith("weight_hr") and pair[1] is not None):
                return None
            if pair[0].dtype != dtype:
                must = f"have the dtype of the digital weights, {pair[0].dtype}"
                invalid(type(self).__name__, "input", str(dtype), must)
            folded[name] = pair
        biased = any(bias is not None for _, bias in folded.values())
        flat = []
        for suffix in self._suffixes():
            pairs = [folded[f"weight_{kind}{suffix}"] for kind in ("ih", "hh")]
            flat += [weight for weight, _ in pairs]
            if biased:
                flat += [_vector(bias, weight) for weight, bias in pairs]
            if self.proj_size:
                flat.append(folded[f"weight_hr{suffix}"][0])
        return flat, biased

    def _whole_sequence(self, batch: Batch, state: State, weights: tuple[list[Tensor], bool]) -> tuple[Tensor, State]:
        flat, biased = weights
        hidden = state if len(state) > 1 else state[0]
        how = (flat, biased, self.num_layers, self.dropout, self.training, self.bidirectional)
        if batch.batch_sizes is None:
            # In the order of the torch layer, so that digital results are its own to the bit.
            data = batch.data.transpose(0, 1) if self.batch_first else batch.data
            output, *final = _KERNELS[self.mode](data, hidden, *how, self.batch_first)
            output = output.transpose(0, 1) if self.batch_first else output
        else:
            output, *final = _KERNELS[self.mode](batch.data, batch.batch_sizes, hidden, *how)
        return output, tuple(final)

    def _step_by_step(self, batch: Batch, state: State) -> tuple[Tensor, State]:
        steps = batch.steps()
        data = batch.data if batch.batch_sizes is not None else batch.data.flatten(0, 1)
        final: list[State] = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                data = nn.functional.dropout(data, self.dropout, self.training)
            outputs = []
            for direction in range(self._directions):
                initial = tuple(part[len(final)] for part in state)
                output, last = self._scan(data, steps, initial, self._suffix(layer, direction), reverse=direction == 1)
                outputs.append(output)
                final.append(last)
            data = torch.cat(outputs, -1)
        output = data if batch.batch_sizes is not None else data.unflatten(0, (len(steps), batch.sequences))
        return output, tuple(torch.stack(parts) for parts in zip(*final, strict=True))

    def _scan(
        self, data: Tensor, steps: list[int], state: State, suffix: str, *, reverse: bool
    ) -> tuple[Tensor, State]:
        """One layer in one direction over all time steps.

        The longest sequences come first: a step has the first ``steps[t]`` of them. The state of the others is the
        final one of a sequence that has ended or, from the end backwards, the initial one of a sequence to come.

        Args:
            data: Inputs [vectors, features], step after step.
            steps: Number of sequences at each step.
            state: The initial state of all sequences.
            suffix: Of the names of the matrices.
            reverse: From the last step to the first.

        Returns:
            (outputs [vectors, size], final state).
        """
        gates = self.matrices[f"weight_ih{suffix}"](data).split(steps)
        outputs: list[Tensor] = []
        for t in reversed(range(len(steps))) if reverse else range(len(steps)):
            new = self.cell(gates[t], tuple(part[: steps[t]] for part in state), suffix)
            outputs.append(new[0])
            state = tuple(torch.cat([head, part[steps[t] :]]) for head, part in zip(new, state, strict=True))
        return torch.cat(outputs[::-1] if reverse else outputs), state

    # ---- Names ----

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _suffix(self, layer: int, direction: int) -> str:
        return f"_l{layer}_reverse" if direction else f"_l{layer}"

    def _suffixes(self) -> Iterator[str]:
        """Of all layers and directions, in torch's order."""
        return (
            self._suffix(layer, direction) for layer in range(self.num_layers) for direction in range(self._directions)
        )

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
            for matrix in matrices:
                matrix.tune(input_shape)

    def drop_digital_weights(self) -> None:
        """Frees the digital weights of all matrices."""
        for matrix in self.readers():
            matrix.drop_digital_weights()


def _vector(bias: Tensor | None, weight: Tensor) -> Tensor:
    """A bias with one element per output: zeros for None, a single offset repeated."""
    return weight.new_zeros(weight.shape[0]) if bias is None else bias.expand(weight.shape[0]).contiguous()
