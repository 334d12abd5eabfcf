"""The build backend that pyproject.toml names: setuptools, around an extension that Bazel compiles.

What pyproject.toml cannot say: without the extension nothing may be built, and what is built belongs to one platform
and one Python.
"""

import pathlib
import sysconfig
from typing import Any, NoReturn

from setuptools import Distribution, build_meta
from setuptools.build_meta import (
    get_requires_for_build_editable,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

EXTENSION = pathlib.Path("py/memtorch/_engine" + sysconfig.get_config_var("EXT_SUFFIX"))

# setuptools takes what it has not compiled itself for pure Python, and tags the wheel so.
Distribution.has_ext_modules = lambda self: True


def require_extension() -> None:
    if not EXTENSION.exists():
        raise SystemExit(f"{EXTENSION} is missing: ./tools/dev build makes it")


def build_wheel(*args: Any, **kwargs: Any) -> str:
    require_extension()
    return build_meta.build_wheel(*args, **kwargs)


def build_editable(*args: Any, **kwargs: Any) -> str:
    require_extension()
    return build_meta.build_editable(*args, **kwargs)


def build_sdist(*args: Any, **kwargs: Any) -> NoReturn:
    raise SystemExit("there is no source distribution, because Bazel builds the extension: build from a clone")
