"""RNN, LSTM and GRU on crossbars against torch, and against plain loops where converters act."""

import copy
import gc
import weakref

import pytest
import torch
from layer_strategies import filled, generator
from layer_tools import VTEAM, patched, plain
from recurrent_tools import KINDS, LAYERS, close, equal, packed, sequences, tensors, torch_layer
from reference.layers import read
from reference.recurrent import Bounded, run
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import memtorch

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


@pytest.fixture(params=LAYERS)
def digital(request):
    return torch_layer(request.param)


def step_by_step(layer):
    """Makes the layer call its matrices: a hook wants to see every call."""
    for matrix in layer.matrices.values():
        matrix.register_forward_hook(lambda *_: None)
    return layer


# ---- Without converters ----


@pytest.mark.parametrize("x", [sequences(), packed()], ids=["padded", "packed"])
def test_the_whole_sequence_is_torchs_kernel_on_the_effective_weights(digital, x):
    layer = patched(digital)
    loaded = copy.deepcopy(digital)
    for name, matrix in layer.matrices.items():
        # with its strides: they decide in which order the library adds
        setattr(loaded, name, nn.Parameter(matrix.folded(torch.float32)[0], requires_grad=False))
    assert equal(layer(x), loaded(x))
    assert close(layer(x), digital(x))


@pytest.mark.parametrize("x", [sequences(), packed(), sequences()[0]], ids=["padded", "packed", "unbatched"])
def test_both_ways_compute_the_same(digital, x):
    assert close(step_by_step(patched(digital))(x), patched(digital)(x))


@pytest.mark.parametrize("x", [sequences(), packed()], ids=["padded", "packed"])
def test_legacy_is_torchs_own_result(digital, x):
    layer = patched(digital, ADC_resolution=2, quant_method="linear")
    assert not close(layer(x), digital(x), atol=1e-3)
    layer.forward_legacy(True)
    assert layer.forward_legacy_enabled
    assert equal(layer(x), digital(x))


@pytest.mark.parametrize("options", [{}, {"max_input_voltage": 0.1}], ids=["whole", "stepwise"])
def test_dropout_acts_between_layers_while_training_as_torchs_does(options):
    digital = filled(nn.GRU(3, 4, num_layers=3, dropout=0.5), 0).train()
    layer = patched(digital, **options)
    assert layer.training
    results = []
    for module in (layer, digital):
        torch.manual_seed(7)
        results.append(module(sequences()))
    assert close(*results)
    layer.eval()
    assert not close(layer(sequences()), results[0], atol=1e-2)
    assert close(layer(sequences()), digital.eval()(sequences()))


@pytest.mark.parametrize("options", [{}, {"max_input_voltage": 0.1}], ids=["whole", "stepwise"])
def test_gradients_reach_inputs_and_initial_states(digital, options):
    layer = patched(digital, **options)
    sizes = [digital.proj_size or 4] + [4] * isinstance(digital, nn.LSTM)
    count = digital.num_layers * (1 + digital.bidirectional)
    gradients = []
    for module in (layer, digital):
        x = sequences().requires_grad_()
        hx = tuple(torch.randn(count, 5, n, generator=generator(n)).requires_grad_() for n in sizes)
        output, state = module(x, hx if len(hx) > 1 else hx[0])
        sum(t.square().sum() for t in tensors((output, state))).backward()
        gradients.append([x.grad, *(h.grad for h in hx)])
    for mine, theirs in zip(*gradients, strict=True):
        # As close as the outputs, relative to the largest: sums of tens of products
        assert torch.allclose(mine, theirs, rtol=0, atol=1e-5 * theirs.abs().max().item())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_results_have_the_dtype_of_the_inputs(digital, dtype):
    layer, x = patched(digital), sequences().to(dtype)
    want = tensors(digital.to(dtype)(x))
    for got, theirs in zip(tensors(layer(x)), want, strict=True):
        assert got.dtype == dtype
        # torch rounds weights, states and every product to the dtype: some twenty roundings over five steps; float64
        # weights are stored as float32 conductances
        eps = max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)
        assert torch.allclose(got.double(), theirs.double(), rtol=0, atol=20 * eps)


def test_inference_mode_leaves_a_layer_that_can_still_be_differentiated():
    with torch.inference_mode():
        layer = patched(nn.LSTM(3, 4))
        layer(sequences())
    x = sequences().requires_grad_()
    layer(x)[0].sum().backward()
    assert x.grad.shape == x.shape


# ---- Converters ----


def digitising_product(layer, bits):
    """The reference's product: each vector alone through the converters of each tile, then gain and bias."""

    def product(name, x):
        matrix = layer.matrices[name]
        g = matrix.crossbars[0].matrix() - matrix.crossbars[1].matrix()
        currents = read(plain(x.value), plain(g), layer.tile_shape, bits=bits, method="linear")
        bias = torch.zeros(()) if matrix.bias is None else matrix.bias.double()
        return Bounded(matrix.transform_output.gain * torch.tensor(currents, dtype=torch.float64) + bias)

    return product


def test_converters_act_per_tile_vector_and_step(digital):
    layer = patched(digital, tile_shape=(2, 3), ADC_resolution=4, quant_method="linear")
    x = sequences()
    output, state = layer(x)
    assert not close((output, state), digital(x), atol=0.01)
    outputs = output.transpose(0, 1) if digital.batch_first else output
    parts = tensors((output, state))[1:]
    zero = [[Bounded(torch.zeros(part.shape[-1], dtype=torch.float64)) for part in parts] for _ in parts[0]]
    for k in range(5):
        vectors = [Bounded(v.double()) for v in (x[k] if digital.batch_first else x[:, k])]
        want, final = run(digital, vectors, zero, digitising_product(layer, 4))
        # Rounding of float32 cells. A step of a 4-bit converter is far larger: none may be a step off.
        assert torch.allclose(outputs[:, k].double(), torch.stack([v.value for v in want]), rtol=0, atol=2e-6)
        for got, exact in zip(parts, zip(*final, strict=True), strict=True):
            assert torch.allclose(got[:, k].double(), torch.stack([v.value for v in exact]), rtol=0, atol=2e-6)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_padded_batch_and_a_packed_one_read_the_same(kind):
    options = {"tile_shape": (2, 3), "ADC_resolution": 4, "quant_method": "linear", "max_input_voltage": 0.2}
    layer = patched(filled(kind(3, 4, num_layers=2, bidirectional=True), 0), **options)
    x = sequences()
    whole = pack_sequence(list(x.transpose(0, 1)))
    output, state = layer(x)
    packed_output, packed_state = layer(whole)
    assert torch.equal(packed_output.data, output.flatten(0, 1))
    assert equal((output, packed_state), (output, state))


# ---- Structure ----


def test_every_weight_matrix_has_crossbars_of_its_own(digital):
    layer = patched(digital, tile_shape=(2, 3))
    names = [name for name, _ in digital.named_parameters() if name.startswith("weight")]
    assert sorted(layer.matrices) == sorted(names)
    assert len(layer.crossbars) == 2 * len(names)
    for name, matrix in layer.matrices.items():
        outputs, inputs = getattr(digital, name).shape
        assert [(c.rows, c.columns, c.tile_shape) for c in matrix.crossbars] == [(inputs, outputs, (2, 3))] * 2
    inside = {id(module) for module in layer.modules() if isinstance(module, memtorch.bh.crossbar.Crossbar)}
    assert {id(crossbar) for crossbar in layer.crossbars} == inside


def test_parameters_are_shared_frozen_and_held_once(digital):
    layer = getattr(memtorch.mn, type(digital).__name__)(digital, VTEAM, {}, verbose=False)
    assert layer.forward_legacy_enabled
    shared = {p.data_ptr() for p in layer.parameters()}
    assert shared == {p.data_ptr() for p in digital.parameters()}
    assert len(list(layer.parameters())) == len(shared)
    assert not any(p.requires_grad for p in layer.parameters())


def test_disable_legacy_frees_the_digital_weights(digital):
    layer = patched(digital)
    before = layer(sequences())
    gone = [weakref.ref(matrix.weight) for matrix in layer.matrices.values()]
    layer.disable_legacy()
    gc.collect()
    assert all(reference() is None for reference in gone)
    assert not any(name.endswith("weight") for name in layer.state_dict())
    assert equal(layer(sequences()), before)
    with pytest.raises(memtorch.InvalidArgument, match="disable_legacy"):
        layer.tune_()


def test_options_reach_the_matrices():
    layer = patched(nn.LSTM(3, 4, proj_size=2))
    exact = layer(sequences())
    layer.ADC_resolution, layer.quant_method = 3, "linear"
    assert [m.ADC_resolution for m in layer.matrices.values()] == [3, 3, 3]
    assert not close(layer(sequences()), exact, atol=1e-3)
    layer.quant_method = None
    assert equal(layer(sequences()), exact)
    layer.quant_method, layer.matrices["weight_hh_l0"].ADC_resolution = None, None
    with pytest.raises(memtorch.InvalidArgument, match=r"^\[LSTM\] ADC_resolution \(None\)"):
        layer.quant_method = "linear"  # one of the matrices has no converter to switch on
    assert [m.quant_method for m in (layer, *layer.matrices.values())] == [None] * 4
    with pytest.raises(memtorch.InvalidArgument, match=r"^\[LSTM\] ADC_resolution "):
        layer.ADC_resolution = 0
    with pytest.raises(memtorch.InvalidArgument, match=r"^\[LSTM\] tile_shape .* patch again"):
        layer.tile_shape = (2, 2)


def test_no_way_of_writing_leaves_a_stale_weight():
    layer = patched(nn.GRU(3, 4))
    layer(sequences())
    for crossbar in layer.crossbars:
        crossbar.conductance_matrix.fill_(0.01)  # equal pairs read zero
    layer.matrices["weight_ih_l0"].bias.fill_(0)
    layer.matrices["weight_hh_l0"].bias.fill_(0)
    assert not layer(sequences())[0].any()


# ---- Tuning ----


def test_tuning_restores_every_matrix(digital):
    layer = patched(digital)
    for crossbar in layer.crossbars:
        crossbar.conductance_matrix = crossbar.conductance_matrix * 0.5 + 1e-3
    assert not close(layer(sequences()), digital(sequences()), atol=1e-2)
    layer.tune_({str(type(layer)): {"input_shape": 64}})
    # The sum loses a bit or two of every conductance. A projection has an offset now: it runs step by step.
    assert close(layer(sequences()), digital(sequences()), atol=1e-4)


def test_offsets_stay_in_layers_without_bias():
    digital = filled(nn.LSTM(3, 4, bias=False, num_layers=2), 0)
    layer = patched(digital)
    for matrix in layer.matrices.values():
        matrix.transform_output.offset.fill_(0.25)
    biased = filled(nn.LSTM(3, 4, num_layers=2), 0)
    with torch.no_grad():
        for name, parameter in biased.named_parameters():
            parameter.copy_(torch.tensor(0.25) if "bias" in name else getattr(digital, name))
    assert close(layer(sequences()), biased(sequences()))


def test_tuning_all_matrices_or_none():
    layer = patched(nn.LSTM(3, 4, proj_size=2))
    last = list(layer.matrices.values())[-1]
    last.drop_digital_weights()
    before = [matrix.transform_output for matrix in layer.matrices.values()]
    for tune in (layer.tune, layer.tune_):
        with pytest.raises(memtorch.InvalidArgument, match="disable_legacy"):
            tune()
        assert all(m.transform_output is t for m, t in zip(layer.matrices.values(), before, strict=True))


def test_any_function_may_transform_the_readout():
    layer = patched(nn.RNN(3, 4, bias=False))
    for matrix in layer.matrices.values():
        matrix.transform_output = torch.zeros_like
    assert not layer(sequences())[0].any()


# ---- Errors ----


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.ones(4, 2, 5),), r"^\[LSTM\] input \(shape \[4, 2, 5\]\) must have shape \[steps, batch, 3\]"),
        ((torch.ones(3),), r"^\[LSTM\] input "),
        ((torch.ones(1, 1, 1, 3),), r"^\[LSTM\] input "),
        ((torch.ones(0, 2, 3),), r"^\[LSTM\] input .* at least one time step"),
        ((torch.ones(4, 2, 3).long(),), r"^\[LSTM\] input \(torch.int64\)"),
        ((None,), r"^\[LSTM\] input \(NoneType\)"),
        ((torch.ones(4, 2, 3), torch.ones(1, 2, 4)), r"^\[LSTM\] hx \(Tensor\) must be a tuple \(h_0, c_0\)"),
        ((torch.ones(4, 2, 3), (torch.ones(1, 2, 4),)), r"^\[LSTM\] hx "),
        ((torch.ones(4, 2, 3), (torch.ones(1, 2, 4), torch.ones(1, 3, 4))), r"^\[LSTM\] c_0 \(shape \[1, 3, 4\]\)"),
        ((torch.ones(4, 3), (torch.ones(1, 1, 4),) * 2), r"^\[LSTM\] h_0 .* must have shape \[1, 4\]"),
        ((torch.ones(4, 2, 3), (torch.ones(1, 2, 4).double(),) * 2), r"^\[LSTM\] h_0 \(torch.float64\)"),
        ((torch.ones(4, 2, 3), (None, None)), r"^\[LSTM\] h_0 \(NoneType\)"),
        ((torch.ones(4, 2, 3, device="meta"),), r"^\[LSTM\] input \(device meta\)"),
        ((torch.ones(4, 2, 3), (torch.ones(1, 2, 4, device="meta"),) * 2), r"^\[LSTM\] h_0 \(device meta\)"),
        ((PackedSequence(torch.ones(4, 3), torch.tensor([2, 1]).cpu()),), r"^\[LSTM\] batch_sizes \(\[2, 1\]\)"),
        ((PackedSequence(torch.ones(3, 3), torch.tensor([1, 2]).cpu()),), r"^\[LSTM\] batch_sizes \(\[1, 2\]\)"),
        ((PackedSequence(torch.ones(2, 5), torch.tensor([2]).cpu()),), r"^\[LSTM\] input \(shape \[2, 5\]\)"),
    ],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_inputs_that_do_not_fit_are_named(arguments, message, legacy):
    layer = patched(nn.LSTM(3, 4))
    layer.forward_legacy(legacy)
    with pytest.raises(memtorch.InvalidArgument, match=message):
        layer(*arguments)


def test_digital_weights_of_another_dtype_are_named():
    layer = patched(nn.GRU(3, 4))
    layer.forward_legacy(True)
    with pytest.raises(memtorch.InvalidArgument, match=r"^\[GRU\] input \(torch.float64\) must have the dtype of the"):
        layer(sequences().double())


def test_a_matrix_that_cannot_be_mapped_is_named():
    digital = nn.RNN(3, 4, num_layers=2)
    digital.weight_hh_l1.data[0, 0] = float("inf")
    with pytest.raises(memtorch.InvalidArgument, match=r"^\[patch_model\] rnn: \[RNN\] weight_hh_l1: "):
        patched(nn.ModuleDict({"rnn": digital}))


@pytest.mark.parametrize("arguments", [(nn.LSTM(3, 4), VTEAM, {}), (nn.RNNCell(3, 4), VTEAM, {}), (None, VTEAM, {})])
def test_only_the_right_torch_layer_is_taken(arguments):
    with pytest.raises(memtorch.InvalidArgument, match=r"^\[RNN\] rnn_layer \(.*\) must be a torch.nn.RNN"):
        memtorch.mn.RNN(*arguments)
