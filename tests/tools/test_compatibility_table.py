"""docs/compatibility.md: every row is whole, and every test that it names exists."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
TABLE_HEAD = ["what", "1.1.6", "here", "why", "test"]


def rows() -> list[list[str]]:
    """The cells of every table row of the document, heads left out."""
    lines = (ROOT / "docs/compatibility.md").read_text(encoding="utf-8").splitlines()
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [cells for cells in found if cells != TABLE_HEAD and not set(cells) <= {"---"}]


def named_in(cell: str) -> list[tuple[str, str]]:
    """(file, function) of each test in a cell; one that names no file is in the file named before it."""
    names = []
    file = ""
    for item in re.findall(r"`([^`]*)`", cell):
        given, name = re.fullmatch(r"(?:(\w+\.py): )?(\w+)", item).groups()
        file = given or file
        names.append((file, name))
    return names


def functions(file: str) -> set[str]:
    source = (ROOT / "tests/py" / file).read_text(encoding="utf-8")
    return {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("cells", rows(), ids=lambda cells: cells[0])
def test_a_row_has_five_cells_and_its_tests_exist(cells):
    assert len(cells) == len(TABLE_HEAD)
    assert all(cells)
    named = named_in(cells[-1])
    assert named
    for file, name in named:
        assert name in functions(file), f"{file} has no {name}"
