"""Memristive counterparts of torch.nn layers, and ``patch_model``, which puts them into a network."""

from memtorch.mn.cells import GRUCell, LSTMCell, RNNCell
from memtorch.mn.Conv1d import Conv1d
from memtorch.mn.Conv2d import Conv2d
from memtorch.mn.Conv3d import Conv3d
from memtorch.mn.GRU import GRU
from memtorch.mn.Linear import Linear
from memtorch.mn.LSTM import LSTM
from memtorch.mn.Module import patch_model, supported_module_parameters
from memtorch.mn.RNN import RNN

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "GRUCell",
    "LSTMCell",
    "Linear",
    "RNNCell",
    "patch_model",
    "supported_module_parameters",
]
