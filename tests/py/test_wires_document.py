"""docs/wires.md: its examples run, and show what it says."""

from __future__ import annotations

import pathlib
import re

import numpy as np
import pytest

from memtorch.bh.crossbar._bias import BIAS_SCHEMES, TileVoltages
from memtorch.bh.crossbar._wires import Wires

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs/wires.md"


def test_the_examples_run_and_keep_what_the_document_shows(capsys):
    text = DOCUMENT.read_text(encoding="utf-8")
    names = {}
    for code in re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        exec(compile(code, str(DOCUMENT), "exec"), names)
    shown = re.search(r"^    (SolvedWires\(.*\))$", text, re.MULTILINE)[1]
    assert shown in capsys.readouterr().out
    assert names["weight"].grad.abs().max() > 0


@pytest.mark.parametrize("scheme", BIAS_SCHEMES)
@pytest.mark.parametrize(("where", "cell"), [("near", (31, 0)), ("far", (0, 31))])
def test_what_devices_see_of_a_pulse_is_what_the_document_lists(scheme, where, cell):
    row = re.search(rf"^\| {scheme} \| {where} \|(.*)\|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)[1]
    listed = [float(number) for number in re.findall(r"-?\d+\.\d+", row)]
    volts = TileVoltages((32, 32), cell, BIAS_SCHEMES[scheme], Wires(2.0, 2.0, 2.0, 2.0)).of(np.full((32, 32), 1e-3))
    lines = [*np.delete(volts[cell[0]], cell[1]), *np.delete(volts[:, cell[1]], cell[0])]
    others = np.delete(np.delete(volts, cell[0], axis=0), cell[1], axis=1)
    seen = [volts[cell], max(lines), others.min(), others.max()]
    np.testing.assert_allclose(listed, seen, rtol=0, atol=5.1e-4)  # half of the last digit
