"""Long short-term memory."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from memtorch.mn._matrices import State
from memtorch.mn._patched import memristive
from memtorch.mn._recurrent import Recurrent

__all__ = ["LSTM"]


@memristive(nn.LSTM, "rnn_layer", in_116=False)
class LSTM(nn.LSTM, Recurrent):
    """``torch.nn.LSTM`` whose products are read from crossbars: one pair for each of its weight matrices."""

    forward = Recurrent.forward

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        torch_layer, leading, options = self.parse(args, kwargs)
        super().__init__(**self.arguments(torch_layer), proj_size=torch_layer.proj_size)
        self.adopt(torch_layer, leading, options)

    def state_sizes(self) -> tuple[int, ...]:
        """(size of h, size of c)."""
        return self.proj_size or self.hidden_size, self.hidden_size

    def cell(self, gates: Tensor, state: State, suffix: str) -> State:
        """C = f c + i g, h = W_hr (o tanh(c)); i, f, g, o are gates of W_ih x + b_ih + W_hh h + b_hh."""
        h, c = state
        i, f, g, o = (gates + self.matrices[f"weight_hh{suffix}"](h)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return (self.matrices[f"weight_hr{suffix}"](h) if self.proj_size else h), c
