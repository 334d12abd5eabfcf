"""Gated recurrent unit."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from memtorch.mn._matrices import State
from memtorch.mn._patched import memristive
from memtorch.mn._recurrent import Recurrent

__all__ = ["GRU"]


@memristive(nn.GRU, "rnn_layer", in_116=False)
class GRU(nn.GRU, Recurrent):
    """``torch.nn.GRU`` whose products are read from crossbars: one pair for each of its weight matrices."""

    forward = Recurrent.forward

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        torch_layer, leading, options = self.parse(args, kwargs)
        super().__init__(**self.arguments(torch_layer))
        self.adopt(torch_layer, leading, options)

    def cell(self, gates: Tensor, state: State, suffix: str) -> State:
        """N = tanh(W_in x + b_in + r (W_hn h + b_hn)), h = (1 - z) n + z h; r and z are gates of both products."""
        (h,) = state
        reset, update, new = gates.chunk(3, -1)
        h_reset, h_update, h_new = self.matrices[f"weight_hh{suffix}"](h).chunk(3, -1)
        n = (new + (reset + h_reset).sigmoid() * h_new).tanh()
        return (n + (update + h_update).sigmoid() * (h - n),)
