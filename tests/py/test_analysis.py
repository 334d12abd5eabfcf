"""Maps of lost voltage, tables per layer and netlists against nodal analysis."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess

import matplotlib.pyplot as plt
import numpy as np
import pytest
import python_models
import torch
from layer_tools import SINGLE, VTEAM, patched
from reference import wires as reference
from simulators import needs_ngspice
from torch import nn

import memtorch
from memtorch import InvalidArgument, _engine
from memtorch.analysis import ir_drop, ngspice_difference, spice, spice_netlist, wire_report
from memtorch.analysis._netlist import SHAPES
from memtorch.bh.crossbar import Crossbar

OHM = {"word": 2.0, "bit": 3.0, "source": 5.0, "load": 7.0}
RESISTANCES = {"source_resistance": (5.0, 7.0), "line_resistance": (2.0, 3.0)}
G_OFF = float(np.float32(1 / 1000))
# Nodal analysis in float64 loses up to three digits of sixteen.
EXACT = 1e-11


def random_array(rows, columns):
    return torch.rand(rows, columns, dtype=torch.float64) * 1e-2, torch.randn(rows, dtype=torch.float64)


def written_crossbar(rows, columns, tile_shape):
    crossbar = Crossbar(VTEAM, {}, (columns, rows), tile_shape)
    crossbar.write_conductance_matrix(torch.empty(columns, rows).uniform_(1 / 1000, 1 / 50))
    return crossbar


# ---- Maps ----


def test_a_map_holds_voltages_currents_and_power():
    g, v = random_array(4, 6)
    found = ir_drop(g, v, **RESISTANCES)
    expected = torch.from_numpy(reference.device_voltages(g, v, np.zeros(6), **OHM))
    torch.testing.assert_close(found.voltages, expected, rtol=0, atol=EXACT)
    torch.testing.assert_close(found.ideal, v[:, None].expand(4, 6), rtol=0, atol=0)
    torch.testing.assert_close(found.drop, v[:, None] - expected, rtol=0, atol=EXACT)
    torch.testing.assert_close(found.currents, (g * expected).sum(0), rtol=0, atol=EXACT)
    torch.testing.assert_close(found.ideal_currents, v @ g, rtol=1e-14, atol=0)
    torch.testing.assert_close(found.device_power, g * expected**2, rtol=0, atol=EXACT)
    supplied = (v * (g * expected).sum(1)).sum()  # sense ends are at 0 V
    assert found.device_power.sum().item() + found.wire_power == pytest.approx(supplied.item(), rel=1e-10)
    assert found.worst == tuple(np.unravel_index(int((v[:, None] - expected).abs().argmax()), (4, 6)))


def test_ideal_wires_lose_nothing():
    g, v = random_array(4, 6)
    found = ir_drop(g, v)
    torch.testing.assert_close(found.voltages, found.ideal, rtol=1e-14, atol=0)  # some roundings
    assert found.wire_power == 0


def test_a_tile_of_a_crossbar_is_seen_with_its_padding():
    crossbar = written_crossbar(7, 5, (4, 3))
    v = torch.randn(7)
    for tile, (rows, columns) in enumerate([(slice(0, 4), slice(0, 3)), (slice(0, 4), slice(3, 6))] * 2):
        rows = rows if tile < 2 else slice(4, 8)
        g = np.full((4, 3), G_OFF)
        used = crossbar.matrix()[rows, columns].numpy()
        g[: used.shape[0], : used.shape[1]] = used
        driven = np.zeros(4)
        driven[: used.shape[0]] = v[rows].numpy()
        expected = reference.device_voltages(g, driven, np.zeros(3), **OHM)
        found = ir_drop(crossbar, v, **RESISTANCES, tile=tile)
        np.testing.assert_allclose(found.voltages, expected, rtol=0, atol=EXACT)
    untiled = written_crossbar(7, 5, None)
    expected = reference.device_voltages(untiled.matrix(), v.double().numpy(), np.zeros(5), **OHM)
    np.testing.assert_allclose(ir_drop(untiled, v, **RESISTANCES).voltages, expected, rtol=0, atol=EXACT)


def test_a_map_is_drawn_on_the_current_axes():
    g, v = random_array(4, 6)
    found = ir_drop(g, v, **RESISTANCES)
    axes = plt.gca()
    found.plot()
    (image,) = axes.images
    np.testing.assert_array_equal(image.get_array(), found.drop)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Bit line", "Word line")
    assert plt.gcf().axes[1].get_ylabel() == "Lost voltage (V)"


# ---- Tables ----


def matrices(crossbar):
    """(conductances, effective conductances), float64 [rows, columns]."""
    g = crossbar.matrix().double().numpy()
    shape = crossbar.tile_shape or g.shape
    return g, reference.tiled_effective_matrix(g, shape, G_OFF, **OHM)


def test_a_table_compares_every_layer_with_ideal_wires():
    model = nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Conv1d(1, 2, 3), nn.GRU(3, 2))
    model = patched(model, tile_shape=(4, 3), **RESISTANCES)
    report = wire_report(model, voltage=0.5)
    layers = [model[0], model[2], *model[3].matrices.values()]
    names = ["0", "2", "3.matrices.weight_ih_l0", "3.matrices.weight_hh_l0"]
    assert [row.path for row in report] == names
    assert [row.layer for row in report] == ["Linear", "Conv1d", "Linear", "Linear"]
    for row, layer in zip(report, layers, strict=True):
        (g_pos, seen_pos), (g_neg, seen_neg) = (matrices(crossbar) for crossbar in layer.crossbars)
        error = np.linalg.norm(seen_pos - seen_neg - g_pos + g_neg) / np.linalg.norm(g_pos - g_neg)
        assert row.relative_error == pytest.approx(error, rel=1e-9)  # a difference of conductances keeps 12 digits
        ratios = np.stack([seen_pos / g_pos, seen_neg / g_neg])
        assert row.worst_ratio == pytest.approx(ratios.min(), rel=EXACT)
        assert ratios[row.worst_cell] == pytest.approx(ratios.min(), rel=EXACT)
        assert row.tiles == sum(len(crossbar.devices) for crossbar in layer.crossbars)
        power = 0.0
        for crossbar in layer.crossbars:
            v = torch.full((crossbar.rows,), 0.5)
            for tile in range(len(crossbar.devices)):
                found = ir_drop(crossbar, v, **RESISTANCES, tile=tile)
                power += found.device_power.sum().item() + found.wire_power
        assert row.power == pytest.approx(power, rel=1e-12)  # the same solutions, added up


def test_a_table_of_ideal_wires_and_of_one_layer():
    layer = patched(nn.Linear(7, 5), scheme=SINGLE)
    (row,) = wire_report(layer)
    assert (row.path, row.tiles, row.relative_error, row.worst_ratio) == ("model", 1, 0, 1)
    assert row.power == pytest.approx(layer.crossbars[0].matrix().double().sum().item(), rel=1e-12)  # 1 V^2 times G
    text = str(wire_report(layer)).splitlines()
    assert len(text) == 2
    assert len(text[0]) == len(text[1])


# ---- Netlists ----


def parsed(netlist):
    """Resistors {name: (node, node, ohm)} and sources {name: (node, node, volt)} of a netlist."""
    found = {"R": {}, "V": {}}
    for line in netlist.splitlines():
        match = re.match(r"^([RV])(\S+) (\S+) (\S+) (?:DC )?(\S+)$", line)
        if match:
            found[match[1]][match[2]] = (match[3], match[4], float(match[5]))
    return found["R"], found["V"]


def test_a_netlist_holds_every_resistor_and_source():
    g, v = random_array(3, 4)
    g[1, 2] = 0
    resistors, sources = parsed(spice_netlist(g, v, **RESISTANCES))

    def named(node):
        kind, *place = node
        if kind == "given":
            return f"v{place[0][0]}{place[1]}"
        return f"{kind[0]}{place[0]}_{place[1]}"

    expected = sorted(
        (*sorted((named(a), named(b))), float(1 / siemens))
        for a, b, siemens in reference.resistors(g.numpy(), **OHM)
        if siemens
    )
    found = sorted((*sorted((a, b)), ohm) for a, b, ohm in resistors.values())
    assert [place[:2] for place in found] == [place[:2] for place in expected]
    assert [ohm for *_, ohm in found] == pytest.approx([ohm for *_, ohm in expected], rel=1e-15)  # 1 / (1 / ohm)
    assert [sources[f"w{i}"] for i in range(3)] == [(f"vw{i}", "0", volts) for i, volts in enumerate(v.tolist())]
    assert [sources[f"b{j}"] for j in range(4)] == [(f"vb{j}", "0", 0) for j in range(4)]


def test_ideal_wires_are_sources_of_zero_volts():
    g, v = random_array(2, 2)
    resistors, sources = parsed(spice_netlist(g, v, source_resistance=(0, 1)))
    assert len(resistors) == 4 + 2  # devices and loads
    assert sum(name.startswith("s") and volts == 0 for name, (_, _, volts) in sources.items()) == 4 + 2  # and the rest


def test_every_model_that_is_not_ohmic_has_an_expression_for_ngspice():
    assert set(SHAPES) == {row["name"] for row in _engine.models() if any(p["shapes"] for p in row["params"])}


def test_curves_are_sources_of_currents():
    crossbar = Crossbar(memtorch.bh.memristor.Data_Driven, {}, (5, 7), (4, 3))
    resistors, _ = parsed(spice_netlist(crossbar, torch.randn(7), **RESISTANCES, tile=1, curves=True))
    assert len(resistors) == 2 * 4 * 3  # wires
    siemens = float(crossbar.conductance_matrix[1, 2, 0])
    current = f"{siemens!r} * (v(w2_0, b2_0) > 0 ? 0.24 * sinh(3.0 * v(w2_0, b2_0)) : 0.24 * sinh(3.0 * v(w2_0, b2_0)))"
    assert f"\nBg2_0 w2_0 b2_0 I = {current}\n" in spice_netlist(crossbar, torch.randn(7), tile=1, curves=True)
    ohmic, v = written_crossbar(7, 5, None), torch.randn(7)
    assert spice_netlist(ohmic, v, curves=True) == spice_netlist(ohmic, v)


@needs_ngspice
def test_ngspice_prints_the_currents_of_a_netlist(tmp_path):
    g, v = random_array(6, 4)
    path = tmp_path / "tile.cir"
    path.write_text(spice_netlist(g, v, **RESISTANCES))
    # Without a home ngspice crashes.
    home = {**os.environ, "HOME": str(tmp_path)}
    printed = subprocess.run(["ngspice", "-b", str(path)], capture_output=True, text=True, check=True, env=home).stdout
    found = [float(amperes) for amperes in re.findall(r"^i\(vb\d\) = (\S+)$", printed, re.MULTILINE)]
    expected = ir_drop(g, v, **RESISTANCES).currents
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * expected.abs().max().item())  # as above


@needs_ngspice
def test_ngspice_finds_the_same():
    g, v = random_array(24, 17)
    for source, line in ((1, 1), ((5, 7), (2, 3)), (0, 1), (1, 0), (0, 0)):
        assert ngspice_difference(g, v, source, line) < EXACT
    assert ngspice_difference(g, 0 * v, 1, 1) == 0
    crossbar = written_crossbar(7, 5, (4, 3))
    assert ngspice_difference(crossbar, torch.randn(7), **RESISTANCES, tile=3) < EXACT


@needs_ngspice
@pytest.mark.parametrize("place", ["currents", "voltages"])
def test_what_ngspice_finds_differently_is_seen(monkeypatch, place):
    """One current, or the voltage of one device, is a millionth off."""
    g, v = random_array(4, 3)
    solved = ir_drop(g, v, **RESISTANCES)
    values = getattr(solved, place).clone()
    scale = values.abs().max() if place == "currents" else v.abs().max()
    values.view(-1)[1] += 1e-6 * scale
    monkeypatch.setattr(spice, "solve", lambda circuit: dataclasses.replace(solved, **{place: values}))
    assert ngspice_difference(g, v, **RESISTANCES) == pytest.approx(1e-6, rel=1e-3)  # of a slightly larger scale


def program(folder, text):
    """A program that is found as ngspice."""
    path = folder / "ngspice"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(folder)


def test_a_missing_or_failing_ngspice_is_named(monkeypatch, tmp_path):
    g, v = random_array(2, 2)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidArgument, match=r"\[ngspice_difference\] ngspice \(not found\) must be installed"):
        ngspice_difference(g, v)
    program(tmp_path, "echo no convergence >&2; exit 1")
    with pytest.raises(RuntimeError, match=r"\[ngspice_difference\] ngspice found no operating point: no convergence"):
        ngspice_difference(g, v)
    program(tmp_path, "exit 3")
    with pytest.raises(RuntimeError, match=r"no operating point: it ended with status 3"):
        ngspice_difference(g, v)
    monkeypatch.setattr(spice, "_TIME_LIMIT", 0.01)
    program(tmp_path, "while :; do :; done")
    with pytest.raises(RuntimeError, match=r"ngspice took more than 0.01 s"):
        ngspice_difference(g, v)


# ---- Errors ----


@pytest.mark.parametrize("function", [ir_drop, spice_netlist, ngspice_difference])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"array": [1.0]}, r"array \(list\) must be a torch.Tensor"),
        ({"array": torch.ones(2)}, "array .* must have shape"),
        ({"array": torch.ones(0, 2), "v": torch.ones(0)}, "array .* must hold at least one device"),
        ({"array": -torch.ones(2, 3)}, r"array .* must be in \[0"),
        ({"v": torch.ones(3)}, r"v .* must have shape \[2\]"),
        ({"v": torch.tensor([1.0, float("nan")])}, "v .* must be finite"),
        ({"source_resistance": -1}, "source_resistance"),
        ({"line_resistance": (1, 2, 3)}, "line_resistance"),
        ({"tile": 1}, "tile"),
    ],
)
def test_bad_circuits_are_named(function, change, message):
    arguments = {"array": torch.ones(2, 3), "v": torch.ones(2), **change}
    with pytest.raises(InvalidArgument, match=rf"^\[{function.__name__}\] {message}"):
        function(**arguments)


@pytest.mark.parametrize("function", [spice_netlist, ngspice_difference])
def test_curves_that_are_not_known_are_named(function):
    with pytest.raises(InvalidArgument, match=rf"\[{function.__name__}\] curves \(2\) must be True or False"):
        function(torch.ones(2, 3), torch.ones(2), curves=2)
    python_model = Crossbar(python_models.Ohmic, {}, (3, 2))
    for array in (torch.ones(2, 3), python_model):
        with pytest.raises(InvalidArgument, match=rf"\[{function.__name__}\] curves \(True\) must be False for cond"):
            function(array, torch.ones(2), curves=True)


def test_bad_arguments_of_tables_are_named():
    with pytest.raises(InvalidArgument, match=r"\[wire_report\] model \(int\) must be a torch.nn.Module"):
        wire_report(3)
    with pytest.raises(InvalidArgument, match=r"\[wire_report\] model \(Linear\) must hold memristive layers"):
        wire_report(nn.Linear(2, 2))
    with pytest.raises(InvalidArgument, match=r"\[wire_report\] voltage \(nan V\)"):
        wire_report(patched(nn.Linear(2, 2)), float("nan"))
    with pytest.raises(InvalidArgument, match=r"\[ir_drop\] tile \(4\) must be an integer from 0 to 3"):
        ir_drop(written_crossbar(7, 5, (4, 3)), torch.ones(7), tile=4)
