"""What the tests of the non-idealities share."""

from __future__ import annotations

import torch
from layer_tools import DOUBLE, SINGLE, patched
from torch import nn

from memtorch.bh.memristor import VTEAM, Data_Driven2021, LinearIonDrift

# Ways to lay out the devices of a layer.
LAYOUTS = {
    "double": {"scheme": DOUBLE, "tile_shape": None},
    "single": {"scheme": SINGLE, "tile_shape": None},
    "double, tiled": {"scheme": DOUBLE, "tile_shape": (7, 5)},
    "single, tiled": {"scheme": SINGLE, "tile_shape": (7, 5)},
}
MODELS = [VTEAM, LinearIonDrift, Data_Driven2021]
EPS = torch.finfo(torch.float32).eps


def layer(layout="double", model=VTEAM, params=None, features=(20, 12)):
    """A patched linear layer; its weights fill the range of the devices."""
    torch.manual_seed(11)
    return patched(nn.Sequential(nn.Linear(*features)), model, params, **LAYOUTS[layout])[0]


def conductances(layer):
    """A copy of the conductances of every crossbar."""
    return [crossbar.conductance_matrix.clone() for crossbar in layer.crossbars]


def everything(model):
    """A copy of the whole state of a model or layer: tensors, and extra states as they are."""
    return {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in model.state_dict().items()}


def assert_same_state(a, b):
    """Bit for bit."""
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]) if isinstance(a[name], torch.Tensor) else a[name] == b[name], name


def assert_agrees(devices):
    """Conductances, and what state and parameters say about them, are one: ``update`` changes nothing."""
    before = devices.g.clone()
    devices.update_conductance()
    # Deriving a state from a float32 conductance and reading it back: a few roundings of float64, one of float32.
    torch.testing.assert_close(devices.g, before, rtol=EPS, atol=0)


def used_cells(crossbar):
    """Which devices hold a weight [*shape of the devices]: not padding."""
    mask = torch.zeros(crossbar.devices.shape, dtype=torch.bool)
    for point, _, _ in crossbar._used_cells():
        mask[point] = True
    return mask
