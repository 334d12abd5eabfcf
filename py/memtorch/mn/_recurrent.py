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

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from memtorch._errors import invalid
from memtorch.mn._matrices import MatrixLayer, State, bias_vector, initial_state
from memtorch.mn._options import LayerOptions

__all__ = ["Recurrent"]

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


class Recurrent(MatrixLayer):
    """Base of the recurrent layers; stands after the torch class in their bases."""

    mode: str
    input_size: int
    proj_size: int
    num_layers: int
    dropout: float
    bidirectional: bool
    batch_first: bool
    _flat_weights_names: list[str]

    # ---- Construction ----

    @staticmethod
    def arguments(torch_layer: Any) -> dict[str, Any]:
        """The constructor arguments of a torch layer, for a copy without storage."""
        names = ["input_size", "hidden_size", "num_layers", "bias", "batch_first", "bidirectional"]
        return {name: getattr(torch_layer, name) for name in names} | {"device": "meta"}

    def adopt(self, torch_layer: Any, leading: dict[str, Any], options: LayerOptions) -> None:
        """See ``MatrixLayer.adopt``."""
        self.dropout = torch_layer.dropout
        super().adopt(torch_layer, leading, options)
        # What torch's base class keeps for a weight that is absent.
        self._flat_weights: list[Any] = [None] * len(self._flat_weights_names)
        self._flat_weight_refs: list[Any] = [None] * len(self._flat_weights_names)

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
        data = self.check_vectors(input.data if packed else input)
        if data.dim() not in ((2,) if packed else (2, 3)) or data.shape[-1] != self.input_size:
            order = "batch, steps" if self.batch_first else "steps, batch"
            must = f"have shape [{order}, {self.input_size}] or [steps, {self.input_size}]"
            invalid(op, "input", f"shape {list(data.shape)}", must)
        if packed:
            _check_batch_sizes(op, input.batch_sizes, data.shape[0])
            return Batch(data, input.batch_sizes, input.sorted_indices, int(input.batch_sizes[0]))
        if data.dim() == 2:
            data = data.unsqueeze(1)
        elif self.batch_first:
            data = data.transpose(0, 1)
        if data.shape[0] == 0:
            invalid(op, "input", f"shape {list(input.shape)}", "have at least one time step")
        return Batch(data, None, None, data.shape[1])

    def _initial_state(self, hx: Any, batch: Batch, unbatched: bool) -> State:
        """The initial state, [layers * directions, sequences, size] each, in the order of ``batch``."""
        sequences = () if unbatched else (batch.sequences,)
        shapes = [(self.num_layers * self._directions, *sequences, size) for size in self.state_sizes()]
        state = initial_state(type(self).__name__, hx, shapes, batch.data)
        if unbatched:
            return tuple(part.unsqueeze(1) for part in state)
        if batch.permutation is None:
            return state
        return tuple(part.index_select(1, batch.permutation) for part in state)

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
        folded = self.folded(dtype)
        # The kernel has no place for the bias of a projection.
        if folded is None or any(
            name.startswith("weight_hr") and bias is not None for name, (_, bias) in folded.items()
        ):
            return None
        biased = any(bias is not None for _, bias in folded.values())
        flat = []
        for suffix in self._suffixes():
            pairs = [folded[f"weight_{kind}{suffix}"] for kind in ("ih", "hh")]
            flat += [weight for weight, _ in pairs]
            if biased:
                flat += [bias_vector(bias, weight) for weight, bias in pairs]
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


def _check_batch_sizes(op: str, sizes: Any, vectors: int) -> None:
    """Raises ``InvalidArgument`` unless ``sizes`` divide so many vectors into steps, the longest sequences first."""
    counts = sizes.tolist() if isinstance(sizes, Tensor) and sizes.dtype == torch.int64 and sizes.dim() == 1 else []
    ordered = all(a >= b for a, b in itertools.pairwise(counts))
    if not counts or counts[-1] < 1 or not ordered or sum(counts) != vectors:
        must = f"be positive counts that decrease and add up to the {vectors} vectors"
        invalid(op, "batch_sizes", str(counts) if counts else repr(sizes), must)
