"""Cost of reading a layer of non-linear devices, per device and input vector on one core, and behind resistive wires.

A layer on differential pairs has two devices per weight; both are counted.
"""

from __future__ import annotations

import copy
import statistics
import warnings
from collections.abc import Callable

import numpy as np
import torch
from timing import Row, at_most, median, processor

from memtorch import _engine
from memtorch.bh import Crossbar, StochasticParameter, simulate_matmul
from memtorch.bh.memristor import VTEAM, Data_Driven, Data_Driven2021, LinearIonDrift, Stanford_PKU
from memtorch.bh.nonideality.NonLinear import apply_non_linear
from memtorch.mn.Module import patch_model

INPUTS, OUTPUTS, BATCH = 784, 512, 256
# Models with a voltage that moves them, and a parameter of the curve's shape (VTEAM and LinearIonDrift are ohmic).
MODELS = {
    LinearIonDrift: (5.0, None),
    VTEAM: (0.3, None),
    Stanford_PKU: (1.6, "V_0"),
    Data_Driven: (1.5, "b_p"),
    Data_Driven2021: (1.2, "b_p"),
}


def cost(layer: torch.nn.Module, x: torch.Tensor) -> float:
    """Nanoseconds per device and input vector."""
    with torch.no_grad():
        return median(lambda: layer(x), repeats=3, warmup=1) / (2 * INPUTS * OUTPUTS * BATCH) * 1e9


def rows() -> list[Row]:
    """The rows of this benchmark."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [*(row for model in MODELS for row in rows_of(model)), *wired_rows()]
    finally:
        torch.set_num_threads(threads)


def rows_of(model: type) -> list[Row]:
    """The rows of one device model."""
    volts, shape = MODELS[model]
    digital = torch.nn.Linear(INPUTS, OUTPUTS)
    x = (torch.rand(BATCH, INPUTS, generator=torch.Generator().manual_seed(0)) * 2 - 1) * volts
    table = []
    for label, params in (
        ("", {}),
        (f", a {shape} each", shape and {shape: StochasticParameter(loc=getattr(model(), shape), scale=0.01, min=0.1)}),
        (", an r_off each", {"r_off": StochasticParameter(loc=model().r_off, scale=1.0)}),
    ):
        if params is None:
            continue
        layer = patch_model(copy.deepcopy(digital), model, params, tile_shape=(128, 128), verbose=False)
        name = f"{model.__name__}: Linear({INPUTS}, {OUTPUTS}), batch {BATCH}{label}"
        apply_non_linear(layer, 1, volts, 1)
        table.append(at_most(f"{name}: swept, per device and vector, one core", cost(layer, x), 20, "ns"))
        apply_non_linear(layer, simulate=True)
        table.append(at_most(f"{name}: simulated, per device and vector, one core", cost(layer, x), 20, "ns"))
    return table


def seconds(run: Callable[[], object]) -> float:
    """Processor time of a call on one thread."""
    run()
    return statistics.median(processor(run) for _ in range(9))


def wired_rows() -> list[Row]:
    """One tile of 128x128 Data_Driven devices, I = 0.24 g sinh(3 v), behind wires of 1 ohm, one core."""
    n, ohm = 128, {"source_resistance": 1.0, "line_resistance": 1.0}
    crossbar = Crossbar(Data_Driven, {}, (n, n))
    generator = torch.Generator().manual_seed(0)
    low, high = 1 / crossbar.r_off_mean, 1 / crossbar.r_on_mean
    crossbar.write_conductance_matrix(low + torch.rand(n, n, generator=generator) * (high - low))
    v = torch.rand(8, n, generator=generator, dtype=torch.float64) * 0.5
    g = 0.72 * crossbar.conductance_matrix.double().numpy()  # 0.24 sinh(3 v) = 0.72 sinh(3 v) / 3
    solver, nodes, residual = _engine.GridSolver(n, n, *[1.0] * 4), np.empty((2, 8, n, n)), np.empty(8)
    volts = v.numpy()

    def solve() -> None:
        _engine.set_num_threads(1)
        solver.solve_nodes(g, volts, None, *nodes, residual, steepness=3.0)

    def swept() -> torch.Tensor:
        return simulate_matmul(v, crossbar, **ohm)

    def simulated() -> torch.Tensor:
        return simulate_matmul(v, crossbar, nl=False, **ohm)

    def trained() -> None:
        swept().sum().backward()

    solve()
    currents = (g * np.sinh(3 * (nodes[0] - nodes[1])) / 3).sum(1)
    np.testing.assert_allclose(swept().numpy(), currents, rtol=1e-8)
    name = "Data_Driven: one tile of 128x128, wires of 1 ohm, one core"
    forward = seconds(swept)
    table = [
        at_most(f"{name}: swept, per vector", 1e3 * forward / len(v), 3, "ms"),
        at_most(f"{name}: swept to Newton's method alone", forward / seconds(solve), 1.5),
        at_most(f"{name}: simulated to swept", seconds(simulated) / forward, 1.5),
    ]
    v.requires_grad_()
    crossbar.conductance_matrix.requires_grad_()
    gradient = seconds(trained) / forward
    return [*table, at_most(f"{name}: forward and backward by voltages and conductances to forward", gradient, 3.2)]
