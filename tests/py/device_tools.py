"""What the tests of devices share."""

from __future__ import annotations

import pytest

from memtorch.bh.memristor import VTEAM, Data_Driven, Data_Driven2021, LinearIonDrift, Stanford_PKU

MODELS = [LinearIonDrift, VTEAM, Stanford_PKU, Data_Driven, Data_Driven2021]

# Voltages that move each model within tens of default samples.
SWING = {LinearIonDrift: 5.0, VTEAM: 0.3, Stanford_PKU: 1.6, Data_Driven: 1.5, Data_Driven2021: 1.2}

each_model = pytest.mark.parametrize("model", MODELS)


def columns_of(device):
    """Everything that a device is."""
    array = device.array
    names = ["g", *(s.name for s in array.table.states), *(p.name for p in array.table.params)]
    return {name: array.value(name, device.row) for name in names}
