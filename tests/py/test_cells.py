"""RNNCell, LSTMCell and GRUCell on crossbars: one step of the layers, whose tests cover the arithmetic in depth."""

import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from layer_strategies import DTYPES, filled, generator
from layer_tools import DOUBLE, SINGLE, VTEAM, patched, weight_error
from reference.recurrent import EPS, Bounded, cell
from torch import nn

import memtorch

CELLS = {"RNNCell": nn.RNNCell, "LSTMCell": nn.LSTMCell, "GRUCell": nn.GRUCell}
MODES = {"LSTMCell": "LSTM", "GRUCell": "GRU", "tanh": "RNN_TANH", "relu": "RNN_RELU"}


def states(result):
    return result if isinstance(result, tuple) else (result,)


@st.composite
def cells(draw):
    """A cell with any legal arguments."""
    kind = draw(st.sampled_from(list(CELLS.values())))
    own = {"nonlinearity": draw(st.sampled_from(["tanh", "relu"]))} if kind is nn.RNNCell else {}
    sizes = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    return filled(kind(*sizes, bias=draw(st.booleans()), dtype=draw(DTYPES), **own), draw(st.integers(0, 1000)))


@given(
    cells(),
    st.sampled_from([DOUBLE, SINGLE]),
    st.sampled_from([None, (3, 2)]),
    st.sampled_from([None, 0.3]),
    st.sampled_from([(), (0,), (1,), (3,)]),
    st.booleans(),
)
def test_an_ideal_cell_equals_torch(digital, scheme, tile_shape, limit, batch, with_state):
    dtype = digital.weight_ih.dtype
    x = torch.randn(*batch, digital.input_size, dtype=dtype, generator=generator(0))
    count = 1 + isinstance(digital, nn.LSTMCell)
    hx = [torch.randn(*batch, digital.hidden_size, dtype=dtype, generator=generator(n)) for n in range(count)]
    argument = (tuple(hx) if count > 1 else hx[0]) if with_state else None
    layer = patched(digital, scheme=scheme, tile_shape=tile_shape, max_input_voltage=limit)
    got, theirs = states(layer(x, argument)), states(digital(x, argument))

    def product(kind, v):
        weight = getattr(digital, f"weight_{kind}").detach().double()
        bias = getattr(digital, f"bias_{kind}")
        bias = torch.zeros(()).double() if bias is None else bias.detach().double()
        error = weight_error(weight, scheme) @ (v.value.abs() + v.error) + weight.abs() @ v.error + 2 * EPS * bias.abs()
        return Bounded(weight @ v.value + bias, error)

    plain = copy.copy(digital)
    plain.mode = MODES[getattr(digital, "nonlinearity", type(digital).__name__)]
    plain.proj_size = 0
    rows = zip(*(t.detach().double().reshape(-1, t.shape[-1]) for t in (x, *hx)), strict=True)
    want = [cell(plain, Bounded(v), [Bounded(s * with_state) for s in state], product) for v, *state in rows]
    for k, (mine, torchs) in enumerate(zip(got, theirs, strict=True)):
        assert (mine.shape, mine.dtype) == (torchs.shape, torchs.dtype)
        for row, exact in zip(mine.reshape(-1, mine.shape[-1]), want, strict=True):
            assert ((row.double() - exact[k].value).abs() <= exact[k].error).all()


@pytest.mark.parametrize("kind", CELLS.values(), ids=CELLS)
def test_a_cell_is_one_step_of_its_layer_also_through_converters(kind):
    digital = filled(kind(3, 4), 0)
    whole = getattr(nn, kind.__name__.removesuffix("Cell"))(3, 4)
    with torch.no_grad():
        for name, parameter in digital.named_parameters():
            getattr(whole, f"{name}_l0").copy_(parameter)
    options = {"tile_shape": (2, 3), "ADC_resolution": 4, "quant_method": "linear"}
    layer, one = patched(whole, **options), patched(digital, **options)
    x = torch.randn(6, 2, 3, generator=generator(1))
    output, _ = layer(x)
    state = None
    for t in range(6):
        state = one(x[t], state)
        # The same operations, but on views of one product or on several products: the last bit may differ.
        assert torch.allclose(states(state)[0], output[t], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", CELLS.values(), ids=CELLS)
def test_cells_are_patched_tuned_copied_and_freed_of_digital_weights(kind):
    torch.manual_seed(0)
    digital = kind(3, 4).requires_grad_(False)
    x = torch.randn(2, 3)
    layer = patched(nn.Sequential(digital))
    layer[0].tune(input_shape=64)
    # ten roundings of numbers below 1
    for mine, theirs in zip(states(layer(x)), states(digital(x)), strict=True):
        assert torch.allclose(mine, theirs, rtol=0, atol=1e-5)
    layer.forward_legacy(True)
    assert all(map(torch.equal, states(layer(x)), states(digital(x))))
    layer.forward_legacy(False)
    before = states(layer(x))
    copied = pickle.loads(pickle.dumps(layer))
    fresh = patched(nn.Sequential(kind(3, 4)))
    fresh.load_state_dict(layer.state_dict())
    layer.disable_legacy()
    assert not any(name.endswith("weight") for name in layer.state_dict())
    for other in (copied, fresh, layer):
        assert all(map(torch.equal, states(other(x)), before))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.ones(2, 5),), r"^\[LSTMCell\] input \(shape \[2, 5\]\) must have shape \[batch, 3\] or \[3\]"),
        ((torch.ones(1, 2, 3),), r"^\[LSTMCell\] input "),
        ((torch.ones(2, 3).long(),), r"^\[LSTMCell\] input \(torch.int64\)"),
        ((None,), r"^\[LSTMCell\] input \(NoneType\)"),
        ((torch.ones(2, 3), torch.ones(2, 4)), r"^\[LSTMCell\] hx "),
        ((torch.ones(3), (torch.ones(4), torch.ones(1, 4))), r"^\[LSTMCell\] c_0 "),
    ],
)
def test_inputs_that_do_not_fit_are_named(arguments, message):
    with pytest.raises(memtorch.InvalidArgument, match=message):
        patched(nn.LSTMCell(3, 4))(*arguments)


def test_only_the_right_torch_cell_is_taken():
    with pytest.raises(memtorch.InvalidArgument, match=r"^\[GRUCell\] rnn_cell \(GRU\) must be a torch.nn.GRUCell"):
        memtorch.mn.GRUCell(nn.GRU(3, 4), VTEAM, {})
