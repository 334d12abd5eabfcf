"""How weights become conductances, inputs become voltages, and currents become outputs."""

from memtorch.map.Input import naive_scale
from memtorch.map.Module import LinearTransfer, naive_tune
from memtorch.map.Parameter import naive_map

__all__ = ["LinearTransfer", "naive_map", "naive_scale", "naive_tune"]
