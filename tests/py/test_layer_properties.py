"""Properties of all layers, over random legal arguments. Linear and convolutions have more in files of their own."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from layer_strategies import DTYPES, convolutions, filled, generator, recurrents
from layer_tools import DOUBLE, EPS, SINGLE, patched, weight_error
from reference.recurrent import Bounded, run
from torch import nn
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

pytestmark = [
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths"),
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
]

SCHEMES = st.sampled_from([DOUBLE, SINGLE])
TILES = st.sampled_from([None, (1, 1), (3, 2), (7, 30)])


# ---- Ideal recurrent layers ----


def bounded_product(digital, scheme):
    """The reference's product: float64, with the bound of ``worst_error`` for float32 conductances and products."""

    def product(name, x):
        weight = getattr(digital, name).detach().double()
        bias = getattr(digital, name.replace("weight", "bias"), torch.zeros(())).detach().double()
        error = weight_error(weight, scheme) @ (x.value.abs() + x.error) + weight.abs() @ x.error + 2 * EPS * bias.abs()
        return Bounded(weight @ x.value + bias, error)

    return product


def states(digital, sequences, seed):
    """An initial state for torch, and the same as a list of states [layers * directions] for each sequence."""
    count = digital.num_layers * (2 if digital.bidirectional else 1)
    sizes = [digital.proj_size or digital.hidden_size] + [digital.hidden_size] * isinstance(digital, nn.LSTM)
    dtype = next(digital.parameters()).dtype
    parts = [torch.randn(count, sequences, n, dtype=dtype, generator=generator(seed + n)) for n in sizes]
    single = [[[Bounded(p[k, s].double()) for p in parts] for k in range(count)] for s in range(sequences)]
    return (tuple(parts) if len(parts) > 1 else parts[0]), single


def without_batch(hx):
    return tuple(part.squeeze(1) for part in hx) if isinstance(hx, tuple) else hx.squeeze(1)


def sequences_of(digital, output, final, lengths):
    """[(outputs [steps, size], [final h [layers, size], final c])] of every sequence of a result."""
    parts = final if isinstance(final, tuple) else (final,)
    if not isinstance(output, torch.Tensor):
        output = pad_packed_sequence(output)[0]
    elif output.dim() == 2:
        output, parts = output.unsqueeze(1), [part.unsqueeze(1) for part in parts]
    elif digital.batch_first:
        output = output.transpose(0, 1)
    return [(output[:n, s], [part[:, s] for part in parts]) for s, n in enumerate(lengths)]


@given(data=st.data(), scheme=SCHEMES, tile_shape=TILES, limit=st.sampled_from([None, 0.3]))
def test_an_ideal_recurrent_layer_equals_torch(data, scheme, tile_shape, limit):
    digital = data.draw(recurrents())
    dtype = next(digital.parameters()).dtype
    form = data.draw(st.sampled_from(["unbatched", "padded", "packed"]))
    lengths = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=1 if form == "unbatched" else 3))
    if form == "padded":
        lengths = [lengths[0]] * len(lengths)
    seed = data.draw(st.integers(0, 1000))
    x = [torch.randn(n, digital.input_size, dtype=dtype, generator=generator(seed + n)) for n in lengths]
    given_x = {
        "unbatched": lambda: x[0],
        "padded": lambda: torch.stack(x, 0 if digital.batch_first else 1),
        "packed": lambda: pack_sequence(x, enforce_sorted=False),
    }[form]()
    hx, initial = states(digital, len(lengths), seed)
    if data.draw(st.booleans()):
        hx = without_batch(hx) if form == "unbatched" else hx
    else:
        hx = None
        initial = [[[Bounded(0 * part.value) for part in state] for state in one] for one in initial]

    # An input voltage limit sends the layer step by step; its factor multiplies and divides each vector once more,
    # which is less than the four roundings of each weight that the bound allows.
    layer = patched(digital, scheme=scheme, tile_shape=tile_shape, max_input_voltage=limit)
    output, want = layer(given_x, hx), digital(given_x, hx)
    assert type(output[0]) is type(want[0])
    pairs = (sequences_of(digital, *result, lengths) for result in (output, want))
    for vectors, start, (mine, mine_final), (theirs, theirs_final) in zip(x, initial, *pairs, strict=True):
        outputs, final = run(digital, [Bounded(v.double()) for v in vectors], start, bounded_product(digital, scheme))
        assert mine.shape == theirs.shape
        assert mine.dtype == theirs.dtype
        stacked = [outputs, *zip(*final, strict=True)]
        for got, torchs, exact in zip([mine, *mine_final], [theirs, *theirs_final], stacked, strict=True):
            value, error = (torch.stack([getattr(b, part) for b in exact]) for part in ("value", "error"))
            assert ((got.double() - value).abs() <= error).all()
            assert ((torchs.double() - value).abs() <= error).all()


# ---- All layers ----


@st.composite
def linears(draw):
    layer = nn.Linear(draw(st.integers(1, 9)), draw(st.integers(1, 9)), bias=draw(st.booleans()), dtype=draw(DTYPES))
    return filled(layer, draw(st.integers(0, 1000)))


@st.composite
def layers(draw):
    """(layer, ``f(number of samples)`` that gives inputs, the dimension of inputs and outputs that counts samples)."""
    kind = draw(st.sampled_from(["linear", "convolution", "recurrent"]))
    seed = draw(st.integers(0, 1000))
    if kind == "linear":
        layer = draw(linears())
        inner = draw(st.sampled_from([(), (2,), (2, 1)]))
        shape, dim = (*inner, layer.in_features), 0
    elif kind == "convolution":
        layer, size, _ = draw(convolutions(draw(st.integers(1, 3))))
        shape, dim = (layer.in_channels, *size), 0
    else:
        layer = draw(recurrents())
        shape, dim = (draw(st.integers(1, 4)), layer.input_size), 0 if layer.batch_first else 1
    dtype = next(layer.parameters()).dtype

    def inputs(samples):
        x = torch.randn(samples, *shape, dtype=dtype, generator=generator(seed))
        return x.transpose(0, dim)

    return layer, inputs, dim


@st.composite
def circuits(draw):
    """Options of a layer that treat input vectors one by one."""
    options = {
        "tile_shape": draw(TILES),
        "scheme": draw(SCHEMES),
        "max_input_voltage": draw(st.sampled_from([None, 0.3])),
    }
    if draw(st.booleans()):
        options |= {"ADC_resolution": draw(st.integers(2, 8)), "quant_method": draw(st.sampled_from(["linear", "log"]))}
        options |= {"ADC_overflow_rate": draw(st.sampled_from([0.0, 0.2]))}
    return options


def output_of(result):
    """The output tensor of any layer."""
    return result[0] if isinstance(result, tuple) else result


@given(layers(), circuits())
def test_a_sample_does_not_depend_on_its_batch_mates(layer_inputs, options):
    digital, inputs, dim = layer_inputs
    layer = patched(digital, **options)
    x = inputs(3)
    mates_changed = x.clone()
    mates_changed.narrow(dim, 1, 2).mul_(1000)
    before, after = (output_of(layer(batch)).select(dim, 0) for batch in (x, mates_changed))
    assert torch.equal(before, after)


@given(layers(), circuits())
def test_an_empty_batch_gives_an_empty_output(layer_inputs, options):
    digital, inputs, _ = layer_inputs
    output, want = output_of(patched(digital, **options)(inputs(0))), output_of(digital(inputs(0)))
    assert output.shape == want.shape
    assert output.dtype == want.dtype
