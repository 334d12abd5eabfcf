"""The version of what is packaged: that of py/memtorch/version.py, without "+cpu" if the extension has CUDA.

pyproject.toml names VERSION. Run in the root of the repository; neither the package nor torch is imported.
"""

import pathlib
import re
import sysconfig

PACKAGE = pathlib.Path("py/memtorch")
# Stands in every extension that has no kernels (engine/cuda/no_cuda.cc).
WITHOUT_CUDA = b"memtorch was built without CUDA"


def built_version(package: pathlib.Path) -> str:
    line = re.search(r'^__version__ = "(.+)"$', (package / "version.py").read_text(encoding="utf-8"), re.MULTILINE)
    if line is None:
        raise SystemExit(f"{package}/version.py must have a line __version__ = ...")
    extension = package / ("_engine" + sysconfig.get_config_var("EXT_SUFFIX"))
    without = extension.exists() and WITHOUT_CUDA in extension.read_bytes()
    return line[1] if without else line[1].removesuffix("+cpu")


VERSION = built_version(PACKAGE)
