"""Networks with recurrent layers: what is patched, and how patched layers are kept."""

import copy

import pytest
import torch
from layer_tools import SINGLE, VTEAM, each_copy, patched, saved
from recurrent_tools import KINDS, LAYERS, close, equal, sequences, torch_layer
from torch import nn

import memtorch

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


# ---- Patching ----


class Tagger(nn.Module):
    """A recurrent layer inside a network, used twice."""

    def __init__(self, kind):
        super().__init__()
        self.layers = nn.ModuleDict({"first": kind(3, 4), "second": kind(4, 4)})
        self.again = self.layers["second"]
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x, state = self.layers["first"](x)
        for layer in (self.layers["second"], self.again):
            layer.flatten_parameters()  # as networks for GPUs do; nothing is left to flatten
            x, state = layer(x, state)
        return self.head(x)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_networks_are_patched(kind):
    model = Tagger(kind)
    mine = patched(model)
    assert type(mine.again).__name__ == kind.__name__
    assert mine.again is mine.layers["second"]
    # Three layers in a row: rounding as above
    assert torch.allclose(mine(sequences()), model(sequences()), rtol=0, atol=1e-5)
    only = patched(model, module_parameters_to_patch=[kind])
    assert type(only.head) is nn.Linear
    named = patched(model, module_parameters_to_patch=[str(kind)])
    assert type(named.again) is type(mine.again)


class Named(nn.GRU):
    """A subclass that computes the same."""


class Doubled(nn.GRU):
    """A subclass that does not."""

    def forward(self, input, hx=None):
        output, state = super().forward(input, hx)
        return 2 * output, state


def test_subclasses():
    assert isinstance(patched(Named(3, 4)), memtorch.mn.GRU)
    with pytest.warns(UserWarning, match=r"0 \(Doubled\) stays digital"):
        patched(nn.Sequential(Doubled(3, 4), nn.Linear(4, 4)))


def test_parametrized_layers_are_patched_with_their_present_weights():
    layer = torch.nn.utils.parametrizations.weight_norm(nn.LSTM(3, 4), "weight_hh_l0")
    assert close(patched(layer)(sequences()), layer(sequences()))


def test_one_line_tells_of_a_patched_layer(capsys):
    layer = memtorch.mn.LSTM(nn.LSTM(3, 4, num_layers=2, proj_size=2), VTEAM, {})
    printed = capsys.readouterr().out
    text = "LSTM(3, 4, proj_size=2, num_layers=2)"
    assert printed == f"Patched {text} -> memtorch.mn.{text}\n"
    assert layer.matrices["weight_hr_l1"].verbose


def test_tuning_tells_which_matrix_is_tuned(capsys):
    layer = memtorch.mn.GRU(nn.GRU(3, 4), VTEAM, {})
    capsys.readouterr()
    layer.tune()
    starts = [line.split(" Tuned Linear(")[0] for line in capsys.readouterr().out.splitlines()]
    assert starts == ["GRU.weight_ih_l0:", "GRU.weight_hh_l0:"]


# ---- Persistence ----

WORN = {
    "plain": {},
    "adc": {"tile_shape": (5, 3), "ADC_resolution": 6, "quant_method": "linear"},
    "stochastic": {
        "params": {"r_on": memtorch.bh.StochasticParameter(loc=50.0, scale=5.0, min=10.0)},
        "scheme": SINGLE,
    },
}


@pytest.fixture(params=[(name, options) for name in LAYERS for options in WORN], ids="-".join)
def worn(request):
    """A tuned layer with a device that was moved by hand, and how to patch a fresh one."""
    name, options = request.param
    digital, options = torch_layer(name), WORN[options]
    layer = patched(digital, **options)
    layer.crossbars[-1].conductance_matrix.view(-1)[1] = 0.0123
    layer.tune()
    return layer, lambda: patched(copy.deepcopy(digital), **options)


@each_copy
def test_copies_are_bit_equal_and_independent(worn, through):
    layer, _ = worn
    before = layer(sequences())
    other = through(layer)
    assert equal(other(sequences()), before)
    for crossbar in other.crossbars:
        crossbar.conductance_matrix.fill_(0.01)
    assert not equal(other(sequences()), before)
    assert equal(layer(sequences()), before)


def test_a_state_dict_makes_a_freshly_patched_layer_bit_equal(worn):
    layer, fresh = worn
    other = fresh()
    other.load_state_dict(saved(layer.state_dict(), weights_only=True))
    assert equal(other(sequences()), layer(sequences()))


def test_layers_move_and_change_their_dtype_as_modules_do():
    layer = patched(nn.LSTM(3, 4))
    before = layer(sequences())
    assert equal(layer.to(sequences().device)(sequences()), before)
    layer.half()
    assert layer.crossbars[0].conductance_matrix.dtype == torch.float32
    # only the biases of some 0.5 have been rounded to half precision
    assert close(layer(sequences()), before, atol=1e-3)
