"""Single time steps of recurrent layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from memtorch._errors import invalid
from memtorch.mn._matrices import MatrixLayer, State, bias_vector, initial_state
from memtorch.mn._patched import memristive
from memtorch.mn.GRU import GRU
from memtorch.mn.LSTM import LSTM
from memtorch.mn.RNN import RNN

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]


class Cell(MatrixLayer):
    """Base of the cells; stands after the torch class in their bases."""

    input_size: int

    @staticmethod
    def arguments(torch_layer: Any) -> dict[str, Any]:
        """The constructor arguments of a torch cell, for a copy without storage."""
        names = ["input_size", "hidden_size", "bias"]
        return {name: getattr(torch_layer, name) for name in names} | {"device": "meta"}

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """Computes the next state from the crossbars, or digitally while ``forward_legacy_enabled``.

        Args:
            input: [batch, input_size] or [input_size].
            hx: The state as the torch cell takes it: h, or (h, c) of an LSTM; zeros if None.

        Returns:
            The next state, as the torch cell returns it.

        Raises:
            InvalidArgument: ``input`` or ``hx`` does not fit, or the digital weights are asked for and gone.
        """
        op = type(self).__name__
        self.check_vectors(input)
        if input.dim() not in (1, 2) or input.shape[-1] != self.input_size:
            must = f"have shape [batch, {self.input_size}] or [{self.input_size}]"
            invalid(op, "input", f"shape {list(input.shape)}", must)
        state = initial_state(op, hx, [(*input.shape[:-1], size) for size in self.state_sizes()], input)
        if input.dim() == 1:
            state = self._step(input.unsqueeze(0), tuple(part.unsqueeze(0) for part in state))
            state = tuple(part.squeeze(0) for part in state)
        else:
            state = self._step(input, state)
        return state if len(state) > 1 else state[0]

    def _step(self, x: Tensor, state: State) -> State:
        """The next state of a batch, by torch's own kernel if no matrix treats its inputs one by one."""
        folded = self.folded(x.dtype)
        if folded is None:
            return self.cell(self.matrices["weight_ih"](x), state, "")
        weights, biases = zip(*folded.values(), strict=True)
        if any(bias is not None for bias in biases):
            biases = tuple(map(bias_vector, biases, weights))
        result = self.kernel()(x, state if len(state) > 1 else state[0], *weights, *biases)
        return result if isinstance(result, tuple) else (result,)

    def kernel(self) -> Callable[..., Any]:
        """Torch's function for one step."""
        raise NotImplementedError


@memristive(nn.RNNCell, "rnn_cell", in_116=False)
class RNNCell(nn.RNNCell, Cell):
    """``torch.nn.RNNCell`` whose products are read from crossbars: one pair for each of its weight matrices."""

    forward = Cell.forward
    cell = RNN.cell

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        torch_layer, leading, options = self.parse(args, kwargs)
        super().__init__(**self.arguments(torch_layer), nonlinearity=torch_layer.nonlinearity)
        self.adopt(torch_layer, leading, options)

    def kernel(self) -> Callable[..., Any]:
        """Torch's function for one step."""
        return torch.rnn_relu_cell if self.nonlinearity == "relu" else torch.rnn_tanh_cell


@memristive(nn.LSTMCell, "rnn_cell", in_116=False)
class LSTMCell(nn.LSTMCell, Cell):
    """``torch.nn.LSTMCell`` whose products are read from crossbars: one pair for each of its weight matrices."""

    proj_size = 0  # cells have no projection
    forward = Cell.forward
    cell = LSTM.cell
    state_sizes = LSTM.state_sizes

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        torch_layer, leading, options = self.parse(args, kwargs)
        super().__init__(**self.arguments(torch_layer))
        self.adopt(torch_layer, leading, options)

    def kernel(self) -> Callable[..., Any]:
        """Torch's function for one step."""
        return torch.lstm_cell


@memristive(nn.GRUCell, "rnn_cell", in_116=False)
class GRUCell(nn.GRUCell, Cell):
    """``torch.nn.GRUCell`` whose products are read from crossbars: one pair for each of its weight matrices."""

    forward = Cell.forward
    cell = GRU.cell

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        torch_layer, leading, options = self.parse(args, kwargs)
        super().__init__(**self.arguments(torch_layer))
        self.adopt(torch_layer, leading, options)

    def kernel(self) -> Callable[..., Any]:
        """Torch's function for one step."""
        return torch.gru_cell
