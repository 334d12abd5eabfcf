"""Devices with curves of their own, read through resistive wires, against a dense Newton's method."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from layer_tools import DOUBLE, patched
from reference import wires as reference
from reference.nonlinear import shape_of
from torch import nn

import memtorch
from memtorch import _engine, _read_ops
from memtorch.bh import Crossbar, simulate_matmul
from memtorch.bh.nonideality.NonLinear import apply_non_linear
from memtorch.map import naive_map

MODELS = {row["name"]: {p["name"]: p["default"] for p in row["params"]} for row in _engine.models()}
OHM = {"word": 2.0, "bit": 3.0, "source": 5.0, "load": 7.0}
RESISTANCES = {"source_resistance": (5.0, 7.0), "line_resistance": (2.0, 3.0)}
WIRES = torch.tensor(list(OHM.values()), dtype=torch.float64)
# What is promised; the residual is at most 1e-10 of the largest current.
SOLVED = 1e-8
SWEEP = {"sweep_duration": 1.0, "sweep_voltage_signal_amplitude": 1.0, "sweep_voltage_signal_frequency": 1}


def columns(model, **changed):
    """Parameters as the operators take them."""
    return [torch.as_tensor(v, dtype=torch.float64).view(-1) for v in (MODELS[model] | changed).values()]


def solved(model, p, g, v, ohm):
    """Currents [columns] into the sense ends of one array."""
    g = np.asarray(g, dtype=np.float64)
    across = reference.nonlinear_device_voltages(
        lambda x: g * shape_of(model, p, x)[0],
        lambda x: g * shape_of(model, p, x)[1],
        g.shape,
        v,
        np.zeros(g.shape[1]),
        **ohm,
    )
    return (g * shape_of(model, p, across)[0]).sum(0)


def read(model, g, v, wires, **changed):
    """One array, [inputs, columns]."""
    grid = [*g.shape, *g.shape]
    return _read_ops.read_through_wires(v, g, columns(model, **changed), model, grid, wires)[0]


def close(actual, expected, tolerance=SOLVED):
    expected = torch.as_tensor(np.asarray(expected), dtype=torch.float64)
    torch.testing.assert_close(actual.double(), expected, rtol=0, atol=tolerance * expected.abs().max().item())


def test_recorded_currents():
    """ngspice and an independent Newton: I = 0.24 sinh(3 V) / R."""
    r = [[345, 903, 755, 257, 646], [652, 401, 508, 166, 454], [442, 874, 190, 244, 635]]
    g = 1 / torch.tensor(r, dtype=torch.float64)
    v = torch.tensor([[0.15, 0.23, 0.17]], dtype=torch.float64)
    expected = [0.0008788170814646, 0.0007063439312737, 0.001150847710819, 0.001982798002155, 0.0007518912957082]
    close(read("Data_Driven", g, v, torch.full_like(WIRES, 0.5)), [expected], 1e-10)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("differ", [False, True])
def test_every_model_against_a_dense_newton(model, differ):
    generator = torch.Generator().manual_seed(1)
    g = torch.empty(4, 3, dtype=torch.float64).uniform_(1e-4, 1e-2, generator=generator)
    v = torch.randn(3, 4, dtype=torch.float64, generator=generator) * 0.5
    # A parameter of the shape, cell by cell.
    name = {"Stanford_PKU": "V_0", "Data_Driven": "b_p", "Data_Driven2021": "b_n"}.get(model)
    changed = {}
    if differ and name is not None:
        changed[name] = MODELS[model][name] * torch.empty(4, 3, dtype=torch.float64).uniform_(
            0.8, 1.2, generator=generator
        )
    p = MODELS[model] | {key: value.numpy() for key, value in changed.items()}
    expected = [solved(model, p, g, line, OHM) for line in v.numpy()]
    close(read(model, g, v, WIRES, **changed), expected)


@pytest.mark.parametrize("model", MODELS)
def test_ideal_wires_are_the_limit(model):
    g = torch.rand(5, 4, dtype=torch.float64) * 1e-2
    v = torch.randn(2, 5, dtype=torch.float64) * 0.3
    ideal = _read_ops.read_nonlinear(v, g, columns(model), model, [5, 4, 5, 4])[0]
    close(read(model, g, v, torch.zeros_like(WIRES)), ideal)


def test_ohmic_devices_are_the_effective_matrix():
    g = torch.rand(5, 4, dtype=torch.float64) * 1e-2
    v = torch.randn(2, 5, dtype=torch.float64)
    close(read("VTEAM", g, v, WIRES), v.numpy() @ reference.effective_matrix(g.numpy(), **OHM))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("given", ["voltages", "conductances", "resistances", "all"])
def test_gradients(model, given):
    """Tiles of 2 x 3, the last ones used in part."""
    generator = torch.Generator().manual_seed(2)
    inputs = {
        "voltages": torch.randn(2, 3, dtype=torch.float64, generator=generator) * 0.3,
        # Gradcheck moves its inputs by 1e-6, which kilosiemens and siemens are too small for.
        "conductances": torch.rand(2 * 2, 2, 3, dtype=torch.float64, generator=generator) + 0.1,
        "resistances": WIRES.clone(),
    }
    for name, value in inputs.items():
        value.requires_grad_(given in (name, "all"))

    def currents(v, g, wires):
        # Siemens are small numbers; the current is taken in mA.
        return 1e3 * _read_ops.read_through_wires(v, 1e-2 * g, columns(model), model, [3, 4, 2, 3], wires)

    # Differences of solutions that are good to 1e-10 of some 10 mA over 1e-6.
    assert torch.autograd.gradcheck(currents, tuple(inputs.values()), atol=1e-3, rtol=1e-4, eps=1e-5)


@pytest.mark.host_only
def test_operators_are_registered_as_torch_wants_them():
    v = (torch.randn(2, 3, dtype=torch.float64) * 0.3).requires_grad_()
    g = (torch.rand(2 * 2, 2, 3, dtype=torch.float64) * 1e-2).requires_grad_()
    wires = WIRES.clone().requires_grad_()
    arguments = (v, g, columns("Data_Driven"), "Data_Driven", [3, 4, 2, 3], wires)
    torch.library.opcheck(_read_ops.read_through_wires, arguments)
    grad = torch.randn(2, 2, 4, dtype=torch.float64)
    for wanted in ([True] * 3, [False, True, False], [True, False, True]):
        plain = [x.detach() if isinstance(x, torch.Tensor) else x for x in arguments]
        torch.library.opcheck(_read_ops.read_through_wires_gradient, (grad, *plain, wanted))


def test_weights_are_trained_through_curves_and_wires():
    """Their conductances are written at every step; the gradient goes from the crossbars on through the mapping."""
    model = memtorch.bh.memristor.Data_Driven
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(16, 4, generator=generator) * 0.4
    weights = [torch.randn(3, 4, generator=generator) for _ in range(2)]
    pair = [Crossbar(model, {}, (3, 4)) for _ in range(2)]

    def read(weight):
        targets = naive_map(weight, 1280.0, 17e3, scheme=DOUBLE)
        for crossbar, target in zip(pair, targets, strict=True):
            crossbar.write_conductance_matrix(target)
            crossbar.conductance_matrix.grad = None
        positive, negative = (simulate_matmul(x, crossbar, **RESISTANCES) for crossbar in pair)
        return targets, 1e4 * (positive - negative)

    wanted = read(weights[0])[1]
    weight = weights[1].requires_grad_()
    optimizer = torch.optim.Adam([weight], lr=0.1)
    for crossbar in pair:
        crossbar.conductance_matrix.requires_grad_()
    losses = []
    for _ in range(60):
        targets, output = read(weight)
        loss = (output - wanted).square().mean()
        loss.backward()
        optimizer.zero_grad()
        torch.autograd.backward(targets, [crossbar.conductance_matrix.grad.t() for crossbar in pair])
        optimizer.step()
        losses.append(loss.item())
    # A wrong gradient leads nowhere; the right one has not converged after so few steps.
    assert losses[-1] < 0.1 * losses[0]


def test_any_number_of_threads_gives_the_same_bits():
    g, v = torch.rand(4 * 5, 7, 6) * 1e-2, torch.randn(9, 25) * 0.3
    results, before = [], torch.get_num_threads()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        arguments = (g, columns("Data_Driven"), "Data_Driven", [25, 27, 7, 6], WIRES)
        results.append(_read_ops.read_through_wires(v, *arguments))
    torch.set_num_threads(before)
    assert torch.equal(*results)


@pytest.mark.parametrize("tile_shape", [None, (3, 2)])
def test_layers_read_curves_through_wires(tile_shape):
    model = memtorch.bh.memristor.Data_Driven
    layer = patched(nn.Linear(7, 5), model, tile_shape=tile_shape, **RESISTANCES)
    apply_non_linear(layer, **SWEEP)
    x = torch.randn(2, 7, dtype=torch.float64) * 0.3
    p = MODELS["Data_Driven"]

    def array(crossbar):
        height, width = tile_shape or (7, 5)
        across = -(-5 // width)
        out = np.zeros((2, 5))
        tiles = crossbar.conductance_matrix.reshape(-1, height, width)
        for tile, g in enumerate(tiles):
            top, left = tile // across * height, tile % across * width
            for line, volts in zip(out, x.numpy(), strict=True):
                driven = np.zeros(height)
                driven[: len(volts[top : top + height])] = volts[top : top + height]
                line[left : left + width] += solved("Data_Driven", p, g, driven, OHM)[: 5 - left]
        return out

    # float64 inputs are read in float64.
    close(layer.read(x), array(layer.crossbars[0]) - array(layer.crossbars[1]))
