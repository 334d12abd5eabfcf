"""What pyproject.toml cannot say: the wheel holds a compiled extension, and Bazel is what compiles it."""

import pathlib
import sysconfig

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

EXTENSION = pathlib.Path("py/memtorch/_engine" + sysconfig.get_config_var("EXT_SUFFIX"))


class NativeDistribution(Distribution):
    def has_ext_modules(self) -> bool:
        """True, so that the wheel is tagged with this platform and Python."""
        return True


class BuildWithExtension(build_py):
    def run(self) -> None:
        if not EXTENSION.exists():
            raise SystemExit(f"{EXTENSION} is missing: ./tools/dev build makes it")
        super().run()


setup(distclass=NativeDistribution, cmdclass={"build_py": BuildWithExtension})
