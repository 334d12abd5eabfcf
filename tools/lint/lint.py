"""Checks how files are written: clang-format, ruff, ruff format, and their length.

Usage: lint.py [--fix] [FILE...]     from the root of the repository; without files, all of them
"""

import pathlib
import subprocess
import sys

import clang_format

MAX_LINES = 500
CPP = {".cc", ".cu", ".cuh", ".h"}
PYTHON = {".py", ".pyi"}
OTHER = {".bazel", ".bzl", ".sh"}
# Written by nanobind, which has a style of its own.
GENERATED = {"py/memtorch/_engine.pyi"}


def all_files(root: pathlib.Path) -> list[str]:
    """The files of the repository that this script has an opinion on; hidden and built folders are left out."""
    found = []
    for path in sorted(root.iterdir()):
        if path.is_dir():
            if not path.name.startswith((".", "bazel-")) and path.name not in ("build", "dist"):
                found += all_files(path)
        elif path.suffix in CPP | PYTHON | OTHER:
            found.append(path.as_posix())
    return found


def passes(*command: str) -> bool:
    return subprocess.run(command, check=False).returncode == 0


def check_length(files: list[str]) -> bool:
    good = True
    for file in files:
        lines = len(pathlib.Path(file).read_text(encoding="utf-8").splitlines())
        if lines > MAX_LINES:
            print(f"{file}: has {lines} lines; split it (at most {MAX_LINES})")
            good = False
    return good


def lint(files: list[str], fix: bool) -> bool:
    files = [file for file in files if file not in GENERATED]
    cpp = [file for file in files if pathlib.Path(file).suffix in CPP]
    python = [file for file in files if pathlib.Path(file).suffix in PYTHON]
    ruff = (sys.executable, "-m", "ruff")
    options = ("--quiet", "--no-cache", "--config", "pyproject.toml")
    results = [check_length(files)]
    if cpp:
        how = ("-i",) if fix else ("--dry-run", "--Werror")
        results.append(passes(clang_format.get_executable("clang-format"), "--style=file:.clang-format", *how, *cpp))
    if python:
        results.append(passes(*ruff, "check", *options, *(["--fix"] if fix else []), *python))
        results.append(passes(*ruff, "format", *options, *([] if fix else ["--diff"]), *python))
    return all(results)


def main(arguments: list[str]) -> int:
    fix = "--fix" in arguments
    files = [argument for argument in arguments if argument != "--fix"]
    return 0 if lint(files or all_files(pathlib.Path()), fix) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
