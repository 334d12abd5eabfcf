"""Checks the direction in which the package's files import each other (engine/README.md draws it).

_engine is imported by the few files that wrap it, bh knows neither map nor mn, map does not know mn, and no
non-ideality knows the layers.

Usage: imports.py FOLDER             the folder of the package memtorch
"""

import ast
import pathlib
import sys

# Files that may import the extension; _errors.py takes the exception type from it.
WRAPPERS = {
    "_errors.py",
    "_ops.py",
    "_read_ops.py",
    "_weight_ops.py",
    "_window_ops.py",
    "_wire_ops.py",
    "bh/_device_array.py",
    "bh/_device_engine.py",
    "cuda.py",
}
# What a file below the first folder must not import.
FORBIDDEN = {
    "bh": ("memtorch.map", "memtorch.mn", "memtorch.analysis"),
    "map": ("memtorch.mn", "memtorch.analysis"),
    "mn": ("memtorch.analysis",),
}


def imported(tree: ast.AST, module: str, is_package: bool) -> list[tuple[int, str]]:
    """(line, absolute dotted name) of everything that a file imports, also inside functions."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join(base + ([node.module] if node.module else []))
            names += [(node.lineno, f"{stem}.{alias.name}") for alias in node.names]
    return names


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def violations(file: str, source: str) -> list[str]:
    """The rules that `file` (a path inside the package) breaks, one message each."""
    path = pathlib.PurePosixPath(file)
    is_package = path.name == "__init__.py"
    parts = path.parent.parts if is_package else path.with_suffix("").parts
    module = ".".join(("memtorch", *parts))
    forbidden = FORBIDDEN.get(path.parts[0], ())
    if file not in WRAPPERS:
        forbidden += ("memtorch._engine",)
    return [
        f"{file}:{line}: must not import {name}"
        for line, name in imported(ast.parse(source), module, is_package)
        if any(within(name, package) for package in forbidden)
    ]


def main(folder: str) -> int:
    root = pathlib.Path(folder)
    files = sorted(root.rglob("*.py"))
    if not files:
        print(f"{folder} holds no Python file")
        return 2
    broken = [
        message
        for file in files
        for message in violations(file.relative_to(root).as_posix(), file.read_text(encoding="utf-8"))
    ]
    for message in broken:
        print(message)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
