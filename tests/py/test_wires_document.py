"""docs/wires.md: its examples run, and show what it says."""

from __future__ import annotations

import pathlib
import re

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs/wires.md"


def test_the_examples_run_and_keep_what_the_document_shows(capsys):
    text = DOCUMENT.read_text(encoding="utf-8")
    names = {}
    for code in re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        exec(compile(code, str(DOCUMENT), "exec"), names)
    shown = re.search(r"^    (SolvedWires\(.*\))$", text, re.MULTILINE)[1]
    assert shown in capsys.readouterr().out
    assert names["weight"].grad.abs().max() > 0
