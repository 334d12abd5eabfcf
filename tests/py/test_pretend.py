"""Memtorch on two GPUs that are only pretended (pretend_cuda.py): where tensors are, and what waits.

What the kernels compute is tested elsewhere; here it shows that Python gives them the right tensors.
"""

from __future__ import annotations

import copy
import io
import pickle
import warnings

import gpu_scenarios
import pytest
import torch
from gpu_checks import CHECKS
from gpu_parity import differences
from gpu_scenarios import SCENARIOS, columns, patched, spread
from pretend_cuda import nothing_waits, waits
from torch import nn

import memtorch
from memtorch.bh.crossbar import Crossbar
from memtorch.bh.memristor import VTEAM, Data_Driven, LinearIonDrift, Stanford_PKU

CPU, GPU, OTHER = torch.device("cpu"), torch.device("cuda:1"), torch.device("cuda:0")
MODELS = [LinearIonDrift, VTEAM, Stanford_PKU, Data_Driven]
# Streams and graphs of one's own are not pretended.
NOT_PRETENDED = {"work_is_queued_on_the_current_stream", "forward_passes_are_captured_in_graphs"}


def crossbar_on(device, model=VTEAM, shape=(12, 7)):
    torch.manual_seed(1)
    crossbar = Crossbar(model, {}, shape).to(device)
    crossbar.write_conductance_matrix(spread(model, shape).to(device))
    return crossbar


# ---- The scenarios and checks of true GPUs --------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_gpu_that_is_not_the_first_gives_what_the_cpu_gives(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of devices that pulses do not bring near enough
        expected, found = (gpu_scenarios.run(name, device) for device in (CPU, GPU))
    assert expected
    assert differences(found, expected, SCENARIOS[name].rel) == []


@pytest.mark.parametrize("name", sorted(CHECKS.keys() - NOT_PRETENDED))
def test_checks_of_true_gpus_pass(name):
    assert CHECKS[name](GPU) == []


# ---- Where tensors are ----------------------------------------------------------------------------------------------


def places(module):
    """The devices of everything that a module holds."""
    return {x.device for x in module.state_dict().values() if isinstance(x, torch.Tensor)}


@pytest.mark.parametrize("inference", [False, True])
def test_a_model_moves_from_gpu_to_gpu_and_back(inference):
    model = patched(nn.Sequential(nn.Linear(20, 10), nn.Tanh(), nn.Linear(10, 5)), CPU, ADC_resolution=8)
    x = torch.randn(4, 20, dtype=torch.float64)
    expected = model(x)
    with torch.inference_mode(inference):
        for device in (GPU, OTHER, CPU):
            model.to(device)
            assert places(model) == {device}
            out = model(x.to(device))
            assert out.device == device
            # Products of float64 in another order; converters of 8 bits would make far larger differences.
            torch.testing.assert_close(out.cpu(), expected.detach(), rtol=1e-12, atol=1e-12)
    # Nothing is left that counts no writes.
    model[0].crossbars[0].conductance_matrix.mul_(0.9)
    assert not torch.equal(model(x), expected)


def test_copies_are_where_the_original_is_and_states_load_anywhere():
    model = patched(nn.Linear(20, 10), GPU)
    assert places(copy.deepcopy(model)) == places(pickle.loads(pickle.dumps(model))) == {GPU}
    stream = io.BytesIO()
    torch.save(model.state_dict(), stream)
    stream.seek(0)
    other = patched(nn.Linear(20, 10), OTHER)
    other.load_state_dict(torch.load(stream, weights_only=True))
    assert places(other) == {OTHER}
    x = torch.randn(3, 20, dtype=torch.float64)
    assert torch.equal(other(x.to(OTHER)).cpu(), model(x.to(GPU)).cpu())


@pytest.mark.parametrize("model", MODELS)
def test_results_are_where_the_devices_are(model):
    crossbar = crossbar_on(GPU, model)
    devices = crossbar.devices
    found = columns(devices)
    found["current"] = devices.simulate([0.1, 0.2], return_current=True)
    found["read"] = crossbar.read(torch.ones(3, 7, device=GPU))
    found["quantized"] = memtorch.bh.quantize(crossbar.conductance_matrix, 4)
    assert {x.device for x in found.values()} == {GPU}


@pytest.mark.parametrize(
    ("name", "call", "message"),
    [
        (
            "simulate",
            lambda c, x: c.devices.simulate(x[0]),
            r"\[simulate\] voltage_signal \(cuda:0\) must be on the CPU",
        ),
        (
            "set",
            lambda c, x: c.devices.set_conductance(x),
            r"\[set_conductance\] conductance \(cuda:0\) must be on the CPU",
        ),
        ("write", lambda c, x: setattr(c, "conductance_matrix", x), r"value \(cuda:0\) must be on the CPU"),
        ("read", lambda c, x: c.read(x.t()), r"\[read\] v \(cuda:0\) must be on the device of the crossbar \(cuda:1\)"),
        (
            "read on the CPU",
            lambda c, x: c.read(x.t().cpu()),
            r"\[read\] v \(cpu\) must be on the device of the crossbar",
        ),
    ],
)
def test_tensors_of_another_gpu_are_named_and_nothing_changes(name, call, message):
    crossbar = crossbar_on(GPU)
    before = columns(crossbar.devices)
    with pytest.raises(memtorch.InvalidArgument, match=message):
        call(crossbar, torch.full((7, 12), 1e-3, device=OTHER))
    after = columns(crossbar.devices)
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_voltages_of_passive_arrays_must_be_where_the_conductances_are():
    g, v, zero = torch.rand(3, 2, device=GPU) * 1e-3, torch.ones(3, device=GPU), torch.zeros(2, device=GPU)
    with pytest.raises(
        memtorch.InvalidArgument, match=r"V_BL \(cpu\) must be on the device of conductance_matrix \(cuda:1\)"
    ):
        memtorch.bh.solve_passive(g, v, zero.cpu(), 1, 1)
    with pytest.raises(memtorch.InvalidArgument, match=r"V_WL \(cuda:0\) must be on the device of conductance_matrix"):
        memtorch.bh.solve_passive(g, v.to(OTHER), zero, 1, 1)


@pytest.mark.parametrize("where", [CPU, GPU, OTHER])
@pytest.mark.parametrize("line", [2.0, None])
def test_resistances_may_be_tensors_anywhere_and_have_gradients(where, line):
    """Also beside numbers, and beside resistances that are not given."""
    g = torch.rand(6, 4, dtype=torch.float64, device=GPU) * 1e-3
    v = torch.randn(5, 6, dtype=torch.float64, device=GPU)

    def total(g, v, source):
        effective = memtorch.bh.crossbar.Passive.effective_conductances(g, source, line)
        return (v @ effective).square().sum()

    def slope(source, *others):
        (gradient,) = torch.autograd.grad(total(*others, source), source)
        return gradient

    ohm = torch.tensor(20.0, dtype=torch.float64)
    found = slope(ohm.to(where).requires_grad_(), g, v)
    expected = slope(ohm.requires_grad_(), g.cpu(), v.cpu())
    assert found.device == where
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)  # a GPU's solver eliminates in another order


# ---- What waits -----------------------------------------------------------------------------------------------------


def kinds_of_devices(device):
    """Crossbars of every kind, each by what is special about it."""
    stochastic = {"r_off": memtorch.bh.StochasticParameter(loc=1000.0, scale=20.0)}
    for tile_shape in (None, (4, 4)):
        for params in ({}, stochastic):
            for special in ("plain", "finite states", "stuck"):
                crossbar = Crossbar(VTEAM, params, (12, 7), tile_shape).to(device)
                crossbar.write_conductance_matrix(spread(VTEAM, (12, 7)).to(device))
                if special == "finite states":
                    crossbar.devices.finite_states = 5
                elif special == "stuck":
                    crossbar.devices.stuck = torch.rand(crossbar.devices.shape) < 0.3
                yield crossbar


def test_devices_wait_for_nothing():
    for crossbar in kinds_of_devices(GPU):
        devices, shape = crossbar.devices, crossbar.devices.shape
        wave = torch.full((5,), 0.1, dtype=torch.float64, device=GPU)
        waves = torch.full((*shape, 5), 0.1, device=GPU)
        target, v = crossbar.conductance_matrix.clone(), torch.ones(3, 7, device=GPU)
        with nothing_waits():
            devices.simulate(wave)
            devices.simulate(waves, rel_tol=1e-2)
            assert devices.simulate(wave, return_current=True).shape == (*shape, 5)
            devices.set_conductance(target)
            crossbar.conductance_matrix.mul_(0.9)
            devices.sync()
            crossbar.conductance_matrix = target
            crossbar.update()
            crossbar.update(from_devices=False)
            devices.set_conductance()
            devices.reset()
            crossbar.read(v)
            crossbar.read(v, ADC_resolution=8, quant_method="log", ADC_overflow_rate=0.1)


MODULES = {
    "Linear": (lambda: nn.Linear(9, 7), (3, 9)),
    "Conv1d": (lambda: nn.Conv1d(3, 5, 3, padding=1), (2, 3, 9)),
    "Conv2d": (lambda: nn.Conv2d(4, 6, 3, groups=2), (2, 4, 6, 5)),
    "Conv3d": (lambda: nn.Conv3d(2, 3, 2), (2, 2, 3, 4, 3)),
    "RNN": (lambda: nn.RNN(6, 4), (4, 2, 6)),
    "LSTM": (lambda: nn.LSTM(6, 4, bidirectional=True), (4, 2, 6)),
    "GRU": (lambda: nn.GRU(6, 4), (4, 2, 6)),
    "LSTMCell": (lambda: nn.LSTMCell(6, 4), (4, 6)),
}
OPTIONS = {
    "ideal": {},
    "converters": {"ADC_resolution": 8, "quant_method": "linear"},
    "fixed range": {"ADC_resolution": 8, "quant_method": "log", "ADC_range": 1e-2},
    "scaled inputs": {"max_input_voltage": 0.3, "ADC_resolution": 8, "quant_method": "minmax"},
    "single column": {"scheme": memtorch.bh.Scheme.SingleColumn},
    "wires": {"source_resistance": 10.0, "line_resistance": 1.0},
}


def passes(model, x):
    """A forward and a backward pass."""
    out = model(x)
    (out[0] if isinstance(out, tuple) else out).square().sum().backward()


@pytest.mark.parametrize("kind", MODULES)
@pytest.mark.parametrize("options", OPTIONS)
def test_layers_wait_for_nothing(kind, options):
    make, shape = MODULES[kind]
    model = patched(make(), GPU, **OPTIONS[options])
    x = torch.randn(shape, dtype=torch.float64, device=GPU, requires_grad=True)
    passes(model, x)
    with nothing_waits():
        passes(model, x)
    crossbars = [module for module in model.modules() if isinstance(module, Crossbar)]
    for part in (slice(None), slice(0, 1)):
        for crossbar in crossbars:
            crossbar.conductance_matrix[part].mul_(0.99)
        with waits() as seen:
            passes(model, x)
        # Wires look once in each crossbar which tiles have changed.
        assert len(seen) == (len(crossbars) if options == "wires" else 0)


@pytest.mark.parametrize("params", [{}, {"r_off": memtorch.bh.StochasticParameter(loc=1000.0, scale=20.0)}])
def test_weights_on_a_gpu_are_patched_without_passing_the_cpu(params):
    digital = nn.Sequential(nn.Linear(40, 23), nn.Conv2d(3, 5, 3)).to(GPU)
    with waits() as seen:
        model = memtorch.mn.Module.patch_model(digital, VTEAM, params, tile_shape=(8, 8), verbose=False)
    assert places(model) == {GPU}
    copied = [int(what.split()[2]) for what in seen if what.startswith("copy of")]
    assert copied and max(copied) <= 2  # the numbers of the map


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("simulate", [False, True])
def test_layers_of_non_linear_devices_look_at_their_voltages_once(model, simulate):
    layer = memtorch.mn.Module.patch_model(
        nn.Linear(12, 6).double(), model, {}, tile_shape=(8, 8), verbose=False, max_input_voltage=0.3
    ).to(GPU)
    sweep = {"sweep_duration": 2.0, "sweep_voltage_signal_amplitude": 1.0, "sweep_voltage_signal_frequency": 0.5}
    memtorch.bh.nonideality.apply_nonidealities(
        layer, [memtorch.bh.nonideality.NonIdeality.NonLinear], simulate=simulate, **({} if simulate else sweep)
    )
    x = torch.randn(4, 12, dtype=torch.float64, device=GPU)
    layer(x)
    with waits() as seen:
        layer(x)
    assert len(seen) == (0 if simulate else 1)  # whether they lie within the sweep
