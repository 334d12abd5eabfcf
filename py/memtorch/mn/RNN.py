"""Elman recurrent layer."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from memtorch.mn._matrices import State
from memtorch.mn._patched import memristive
from memtorch.mn._recurrent import Recurrent

__all__ = ["RNN"]


@memristive(nn.RNN, "rnn_layer")
class RNN(nn.RNN, Recurrent):
    """``torch.nn.RNN`` whose products are read from crossbars: one pair for each of its weight matrices."""

    forward = Recurrent.forward

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        torch_layer, leading, options = self.parse(args, kwargs)
        super().__init__(**self.arguments(torch_layer), nonlinearity=torch_layer.nonlinearity)
        self.adopt(torch_layer, leading, options)

    def cell(self, gates: Tensor, state: State, suffix: str) -> State:
        """H = tanh or relu(W_ih x + b_ih + W_hh h + b_hh)."""
        h = gates + self.matrices[f"weight_hh{suffix}"](state[0])
        return (h.relu() if self.nonlinearity == "relu" else h.tanh(),)
