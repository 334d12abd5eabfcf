"""What this machine has to build and run with, and Bazel's settings that follow from it."""

from __future__ import annotations

import datetime
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig

from build_files import External, Settings, Workspace

__all__ = ["ROOT", "describe", "find_googletest", "find_sanitizer", "find_toolkit", "settings"]

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Where GoogleTest's sources lie if GOOGLETEST does not say.
_GOOGLETEST = pathlib.Path("/usr/src/googletest")


def find_toolkit() -> tuple[pathlib.Path, str] | None:
    """The folder of the CUDA toolkit and that of its libraries within, found as tools/cuda_repository.bzl does."""
    on_path = shutil.which("nvcc")
    homes = [os.environ.get("CUDA_HOME"), "/usr/local/cuda", on_path and pathlib.Path(on_path).resolve().parents[1]]
    for home in [pathlib.Path(home) for home in homes if home]:
        if (home / "bin/nvcc").exists():
            for folder in ("lib64", "lib"):
                if (home / folder / "libcudart_static.a").exists():
                    return home, folder
    return None


def find_googletest() -> pathlib.Path | None:
    """The folder of GoogleTest's sources: $GOOGLETEST, or where Debian puts them."""
    folder = pathlib.Path(os.environ.get("GOOGLETEST", _GOOGLETEST))
    return folder if (folder / "googletest/src/gtest-all.cc").exists() else None


def find_sanitizer() -> str | None:
    """compute-sanitizer, of the toolkit or in PATH."""
    toolkit = find_toolkit()
    places = [toolkit[0] / "bin", toolkit[0] / "compute-sanitizer"] if toolkit else []
    found = [str(place / "compute-sanitizer") for place in places if (place / "compute-sanitizer").exists()]
    return found[0] if found else shutil.which("compute-sanitizer")


def describe(*, emulated: bool) -> str:
    """The chip, the date, and the versions of what was used."""
    import torch

    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True).stdout
    toolkit = find_toolkit()
    nvcc = "no nvcc"
    if toolkit is not None:
        said = subprocess.run([toolkit[0] / "bin/nvcc", "--version"], capture_output=True, text=True).stdout
        nvcc = said.strip().splitlines()[-1]
    chip = "the emulation on a CPU" if emulated else torch.cuda.get_device_name()
    today = datetime.datetime.now(datetime.UTC).date()
    return f"# memtorch {commit.strip()} on {chip}, {today}\n\ntorch {torch.__version__}, {nvcc}"


def settings(links: pathlib.Path, *, cuda: bool) -> Settings:
    """Answers for Bazel's files.

    Args:
        links: A folder for links to the headers of Python and nanobind.
        cuda: Build with the kernels.
    """
    import nanobind

    here = Settings({}, {})
    rules = Workspace(ROOT, here)
    toolkit = find_toolkit()
    externals = {
        "python_env": External(
            _linked(
                links / "python_env",
                include=sysconfig.get_paths()["include"],
                nanobind=str(pathlib.Path(nanobind.__file__).parent),
            ),
            rules.constant("//tools:python_repository.bzl", "_BUILD"),
        )
    }
    if toolkit is not None:
        text = rules.constant("//tools:cuda_repository.bzl", "_TOOLKIT").format(lib=toolkit[1])
        externals["cuda_toolkit"] = External(toolkit[0], text)
    googletest = find_googletest()
    if googletest is not None:
        text = (ROOT / "tools/third_party/googletest.BUILD").read_text(encoding="utf-8")
        externals["googletest"] = External(googletest, text)
    values = {
        "python_env": {"EXT_SUFFIX": sysconfig.get_config_var("EXT_SUFFIX"), "PYTHON": sys.executable},
        "cuda_toolkit": {"NVCC": None if toolkit is None else str(toolkit[0] / "bin/nvcc")},
    }
    return Settings(externals, values, frozenset({"//:cuda"} if cuda else ()))


def _linked(folder: pathlib.Path, **targets: str) -> pathlib.Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, target in targets.items():
        link = folder / name
        if link.is_symlink():
            link.unlink()
        link.symlink_to(target)
    return folder
