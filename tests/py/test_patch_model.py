"""patch_model: which layers it replaces, what it leaves alone, and the methods it adds."""

import copy
import gc
import inspect
import weakref

import pytest
import torch
from layer_tools import DOUBLE, SINGLE, VTEAM, patched
from torch import nn

import memtorch
from memtorch.mn._patched import patchable_types
from memtorch.mn.Module import patch_model, supported_module_parameters

ALL = "Conv1d, Conv2d, Conv3d, GRU, GRUCell, LSTM, LSTMCell, Linear, RNN, RNNCell"


class Net(nn.Module):
    """Layers in every kind of place."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
        self.many = nn.ModuleList([nn.Linear(12, 12), nn.Linear(12, 12)])
        self.named = nn.ModuleDict({"a": nn.Sequential(nn.Linear(12, 6), nn.ReLU())})
        self.again = self.many[0]
        self.absent = None
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x):
        x = self.conv(x).flatten(1)
        for layer in self.many:
            x = layer(x).relu()
        return self.norm(self.named["a"](self.again(x)))


def net():
    torch.manual_seed(0)
    return Net().eval()


def images():
    return torch.randn(4, 1, 2, 2, generator=torch.Generator().manual_seed(1))


def memristive(model):
    kinds = tuple(supported_module_parameters.values())
    return {name: module for name, module in model.named_modules(remove_duplicate=False) if isinstance(module, kinds)}


# ---- What is patched ----


def test_layers_in_every_place_are_patched_and_the_model_computes_the_same():
    model = net()
    mine = patched(model)
    assert set(memristive(mine)) == {"conv", "many.0", "many.1", "named.a.0", "again"}
    # Three products of at most 12 terms in a row, each with the rounding of float32 conductances
    assert torch.allclose(mine(images()), model(images()), rtol=0, atol=1e-5)


def test_patching_happens_in_place_and_shared_layers_stay_shared():
    model = net()
    result = patch_model(model, VTEAM, {}, verbose=False)
    assert result is model
    assert model.again is model.many[0]
    assert isinstance(model.conv, memtorch.mn.Conv2d)


def test_the_documented_call_works(capsys):
    patched_model = patch_model(
        copy.deepcopy(net()),
        memristor_model=VTEAM,
        memristor_model_params={},
        module_parameters_to_patch=[torch.nn.Linear, torch.nn.Conv2d],
        mapping_routine=memtorch.map.naive_map,
        transistor=True,
        programming_routine=None,
        tile_shape=(128, 128),
        max_input_voltage=0.3,
        scaling_routine=memtorch.map.naive_scale,
        ADC_resolution=8,
        ADC_overflow_rate=0.0,
        quant_method="linear",
    )
    *printed, total = capsys.readouterr().out.splitlines()
    assert len(printed) == 4
    assert all(line.startswith("Patched ") and " -> " in line for line in printed)
    assert total == f"4 layers on 8 crossbars, 8 tiles, {8 * 128 * 128} devices"
    patched_model.tune_()
    assert patched_model(images()).shape == (4, 6)


def test_only_the_listed_types_are_patched():
    assert set(memristive(patched(net(), module_parameters_to_patch=[nn.Conv2d]))) == {"conv"}
    by_name = {"<class 'torch.nn.modules.conv.Conv2d'>": None}
    assert set(memristive(patched(net(), module_parameters_to_patch=by_name))) == {"conv"}


def test_a_report_lists_what_runs_on_crossbars():
    model = nn.ModuleDict({"rnn": nn.LSTM(3, 4, proj_size=2), "act": nn.ReLU(), "head": nn.Linear(4, 2)})
    model["again"] = model["head"]
    mine = copy.deepcopy(patched(model, tile_shape=(2, 4), scheme=SINGLE))
    report = mine.patched_layers()
    # weight_ih [16, 3], weight_hh [16, 2], weight_hr [2, 4]: 2 * 4, 4 and 2 tiles of 2 rows and 4 columns
    assert list(report) == [("rnn", "LSTM", 3, 14, 112), ("head", "Linear", 1, 2, 16)]
    assert report.total == ("total", "2 layers", 4, 16, 128)
    assert str(report).splitlines() == [
        "path   layer     crossbars  tiles  devices",
        "rnn    LSTM              3     14      112",
        "head   Linear            1      2       16",
        "total  2 layers          4     16      128",
    ]
    bare = patched(nn.Linear(1, 1))
    assert bare.patched_layers().total == ("total", "1 layer", 2, 2, 2)
    assert bare.patched_layers()[0].path == "model"


def test_a_bare_layer_is_replaced_by_the_result():
    layer = nn.Linear(3, 2)
    result = patch_model(layer, VTEAM, {}, verbose=False)
    assert isinstance(result, memtorch.mn.Linear)
    assert not result.forward_legacy_enabled
    result.tune_()
    assert torch.allclose(result(torch.ones(1, 3)), layer(torch.ones(1, 3)), atol=1e-6)


class Named(nn.Linear):
    """A subclass that computes the same."""


class Doubled(nn.Linear):
    """A subclass that does not."""

    def forward(self, input):
        return 2 * super().forward(input)


def test_subclasses_are_patched():
    model = nn.Sequential(Named(3, 3), nn.Linear(3, 3))
    assert set(memristive(patched(model))) == {"0", "1"}
    assert set(memristive(patched(model, module_parameters_to_patch=[Named]))) == {"0"}


def test_a_subclass_with_a_forward_of_its_own_stays_digital_and_says_so():
    model = nn.Sequential(Doubled(3, 3), nn.Linear(3, 3))
    with pytest.warns(UserWarning, match=r"0 \(Doubled\) stays digital"):
        mine = patched(model)
    assert set(memristive(mine)) == {"1"}
    assert torch.allclose(mine(torch.ones(1, 3)), model(torch.ones(1, 3)), atol=1e-5)


def test_parametrized_layers_are_patched_with_their_present_weight():
    layer = torch.nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    mine = patched(nn.Sequential(layer))
    assert torch.allclose(mine(torch.ones(2, 4)), layer(torch.ones(2, 4)), atol=1e-6)


def test_attention_that_bypasses_its_layers_stays_digital_and_says_so():
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0).eval()
    x = torch.randn(2, 3, 8)
    with pytest.warns(UserWarning, match=r"out_proj .* stays digital"):
        mine = patched(block, ADC_resolution=3, quant_method="linear")
    assert set(memristive(mine)) == {"linear1", "linear2"}
    for layer in memristive(mine).values():
        layer.transform_output.gain.zero_()
        layer.bias.data.zero_()
    with torch.no_grad():
        # With memristive layers that give zero, the feed-forward block vanishes: torch's fused path is off.
        attended = mine.norm1(x + mine.self_attn(x, x, x, need_weights=False)[0])
        assert torch.allclose(mine(x), mine.norm2(attended), atol=1e-6)


def test_layers_that_are_patched_already_are_left_alone():
    model = patched(net(), module_parameters_to_patch=[nn.Conv2d], tile_shape=(4, 4))
    conv = model.conv
    patch_model(model, VTEAM, {}, verbose=False)
    assert model.conv is conv
    assert model.conv.tile_shape == (4, 4)
    assert isinstance(model.again, memtorch.mn.Linear)
    with pytest.warns(UserWarning, match="nothing was patched"):
        patch_model(model, VTEAM, {}, verbose=False)


def test_a_model_without_layers_is_warned_about():
    with pytest.warns(UserWarning, match=f"nothing was patched: .*{ALL}"):
        patched(nn.Sequential(nn.ReLU()))


def test_keys_of_supported_module_parameters_are_those_of_memtorch_116():
    for key, layer in supported_module_parameters.items():
        assert key == str(layer.__bases__[0])
        assert layer.__bases__[0].__module__.startswith("torch.nn.modules")
    names = ["linear.Linear", "conv.Conv1d", "conv.Conv2d", "conv.Conv3d", "rnn.RNN"]
    assert set(supported_module_parameters) == {f"<class 'torch.nn.modules.{name}'>" for name in names}
    assert str(memtorch.mn.Linear) == "<class 'memtorch.mn.Linear.Linear'>"


# ---- Signatures ----

COMMON = {
    "mapping_routine": memtorch.map.naive_map,
    "transistor": True,
    "programming_routine": None,
    "programming_routine_params": {},
    "p_l": None,
    "scheme": DOUBLE,
    "tile_shape": None,
    "max_input_voltage": None,
    "scaling_routine": memtorch.map.naive_scale,
    "scaling_routine_params": {},
    "source_resistance": None,
    "line_resistance": None,
    "ADC_resolution": None,
    "ADC_overflow_rate": 0.0,
    "quant_method": None,
    "use_bindings": True,
    "random_crossbar_init": False,
    "verbose": True,
}


def positional(function):
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD}


@pytest.mark.parametrize(
    ("layer", "first"),
    [
        ("Linear", "linear_layer"),
        ("Conv1d", "convolutional_layer"),
        ("Conv2d", "convolutional_layer"),
        ("RNN", "rnn_layer"),
        ("LSTM", "rnn_layer"),
        ("GRU", "rnn_layer"),
        ("RNNCell", "rnn_cell"),
        ("LSTMCell", "rnn_cell"),
        ("GRUCell", "rnn_cell"),
    ],
)
def test_layers_have_the_signature_of_memtorch_116(layer, first):
    empty = inspect.Parameter.empty
    want = {first: empty, "memristor_model": empty, "memristor_model_params": empty, **COMMON}
    got = positional(getattr(memtorch.mn, layer))
    assert list(got.items()) == list(want.items())


def test_conv3d_has_the_order_of_memtorch_116():
    names = list(positional(memtorch.mn.Conv3d))
    start = names.index("line_resistance")
    order = ["line_resistance", "source_resistance", "ADC_overflow_rate", "ADC_resolution", "quant_method"]
    assert names[start : start + 5] == order
    assert sorted(names[3:]) == sorted(COMMON)


def test_patch_model_has_the_signature_of_memtorch_116():
    empty = inspect.Parameter.empty
    want = {"model": empty, "memristor_model": empty, "memristor_model_params": empty}
    want |= {"module_parameters_to_patch": {}, **COMMON, "programming_routine_params": {"rel_tol": 0.1}}
    assert list(positional(patch_model).items()) == list(want.items())


@pytest.mark.parametrize("function", [patch_model, *patchable_types.values()])
def test_docstrings_describe_every_argument(function):
    for name in inspect.signature(function).parameters:
        assert f"        {name} (" in function.__doc__


def test_options_may_be_given_by_position():
    layer = memtorch.mn.Linear(nn.Linear(2, 2), VTEAM, {}, *list(COMMON.values())[:-1], False)
    assert not layer.verbose


# ---- Errors ----


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": 3}, r"^\[patch_model\] model \(int\) must be a torch.nn.Module"),
        ({"module_parameters_to_patch": [nn.ReLU]}, f"ReLU.*{ALL}"),
        ({"module_parameters_to_patch": nn.Linear}, "module_parameters_to_patch"),
        ({"module_parameters_to_patch": "Linear"}, "module_parameters_to_patch"),
        ({"memristor_model": 3}, "memristor_model"),
        ({"memristor_model_params": None}, "memristor_model_params"),
        ({"memristor_model_params": {"r_on": 5, "r_off": 1}}, "r_on"),
        ({"transistor": False}, "programming_routine"),
        ({"tile_shape": (0, 1)}, "tile_shape"),
        ({"tiles": (1, 1)}, r"^\[patch_model\] tiles "),
    ],
)
def test_bad_arguments_are_named_and_change_nothing(change, message):
    model = net()
    before = dict(model.named_modules())
    arguments = {"model": model, "memristor_model": VTEAM, "memristor_model_params": {}} | change
    with pytest.raises(memtorch.InvalidArgument, match=message):
        patch_model(**arguments)
    assert dict(model.named_modules()) == before
    assert not hasattr(model, "tune_")


def test_a_layer_that_cannot_be_mapped_is_named_and_nothing_is_replaced():
    model = net()
    model.named["a"][0].weight.data[0, 0] = float("nan")
    with pytest.raises(memtorch.InvalidArgument, match=r"named\.a\.0"):
        patch_model(model, VTEAM, {}, verbose=False)
    assert not memristive(model)


def test_a_missing_argument_is_named():
    with pytest.raises(TypeError, match="memristor_model"):
        patch_model(net())


# ---- The model's methods ----


def test_tuning_restores_the_digital_output_after_a_change():
    model = net()
    mine = patched(model)
    for layer in set(memristive(mine).values()):
        for crossbar in layer.crossbars:
            crossbar.conductance_matrix = crossbar.conductance_matrix * 0.5 + 1e-4
    assert not torch.allclose(mine(images()), model(images()), rtol=0, atol=1e-2)
    mine.tune_({"<class 'memtorch.mn.Conv2d.Conv2d'>": {"input_batch_size": 2, "input_shape": 8}})
    assert torch.allclose(mine(images()), model(images()), rtol=0, atol=1e-4)
    mine.tune_(tune_kwargs={memtorch.mn.Linear: {"input_shape": 64}})
    assert torch.allclose(mine(images()), model(images()), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kwargs", [{"Linear": {}}, {"<class 'memtorch.mn.Conv3d.Conv3d'>": {}}])
def test_tune_kwargs_of_absent_layers_are_an_error(kwargs):
    mine = patched(net())
    with pytest.raises(memtorch.InvalidArgument, match="tune_kwargs"):
        mine.tune_(kwargs)


def test_tuning_all_layers_or_none():
    mine = patched(net())
    before = {name: layer.transform_output for name, layer in memristive(mine).items()}
    with pytest.raises(memtorch.InvalidArgument, match="input_shape"):
        mine.tune_({memtorch.mn.Linear: {"input_shape": -1}})
    assert all(layer.transform_output is before[name] for name, layer in memristive(mine).items())


def test_forward_legacy_switches_all_layers():
    model = net()
    mine = patched(model, ADC_resolution=2, quant_method="linear")
    assert not torch.allclose(mine(images()), model(images()))
    mine.forward_legacy(True)
    assert torch.equal(mine(images()), model(images()))
    mine.forward_legacy(enable=False)
    assert not torch.allclose(mine(images()), model(images()))
    with pytest.raises(memtorch.InvalidArgument, match="enable"):
        mine.forward_legacy("on")


def test_disable_legacy_frees_the_digital_weights():
    mine = patched(net())
    before = mine(images())
    mine.disable_legacy()
    assert torch.equal(mine(images()), before)
    assert all(layer.weight is None for layer in memristive(mine).values())
    assert not hasattr(mine, "forward_legacy")
    with pytest.raises(memtorch.InvalidArgument, match="disable_legacy"):
        mine.tune_()
    mine.conv.forward_legacy_enabled = True
    with pytest.raises(memtorch.InvalidArgument, match="disable_legacy"):
        mine(images())


def test_the_heap_size_is_accepted_without_effect():
    mine = patched(net(), cuda_malloc_heap_size=20)
    before = mine(images())
    mine.set_cuda_malloc_heap_size(50)
    assert mine.conv.cuda_malloc_heap_size == 50
    assert torch.equal(mine(images()), before)
    with pytest.raises(memtorch.InvalidArgument, match="cuda_malloc_heap_size"):
        mine.set_cuda_malloc_heap_size(0)


def test_a_patched_model_is_freed_with_its_last_reference():
    gc.collect()
    gc.disable()
    try:
        model = patched(net())
        model(images())
        gone, method = weakref.ref(model), model.tune_
        del model
        assert gone() is None
        with pytest.raises(ReferenceError, match="tune_"):
            method()
    finally:
        gc.enable()


def test_training_mode_is_kept():
    model = net()
    model.conv.train()
    mine = patched(model)
    assert mine.conv.training
    assert not mine.again.training
