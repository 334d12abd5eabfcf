"""docs/extending.md: every example runs as it stands, and shows what it says."""

from __future__ import annotations

import pathlib
import re

import pytest

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs/extending.md"


def blocks():
    """(heading, code) of every example; the code stands in the lines that it has in the document."""
    found = []
    heading = ""
    text = DOCUMENT.read_text(encoding="utf-8")
    for match in re.finditer(r"^## ([^\n]+)$|^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        if match[1]:
            heading = match[1]
        else:
            found.append((heading, "\n" * text[: match.start(2)].count("\n") + match[2]))
    return found


def test_every_extension_has_its_example():
    expected = ["A device model", "A mapping routine", "A scaling routine", "A programming routine", "A non-ideality"]
    assert [heading for heading, _ in blocks()] == expected


@pytest.mark.parametrize(("heading", "code"), blocks(), ids=[heading for heading, _ in blocks()])
def test_an_example_runs_and_holds_what_it_asserts(heading, code):
    assert "assert " in code
    exec(compile(code, str(DOCUMENT), "exec"), {"__name__": "example"})
