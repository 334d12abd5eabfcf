"""Tries a wheel: installs it into an empty folder and runs the package from there.

Usage: check.py WHEEL                with a Python that has the package's dependencies
"""

import os
import pathlib
import subprocess
import sys
import tempfile

# Run in the folder, so that nothing of the repository is in reach.
PROGRAM = """
import pathlib, sys
import memtorch
home = pathlib.Path(memtorch.__file__).parent
assert home == pathlib.Path(sys.argv[1]) / "memtorch", f"memtorch was found in {home}"
assert (home / "py.typed").exists() and (home / "_engine.pyi").exists()
device = memtorch.bh.memristor.VTEAM()
device.set_conductance(2e-3)
assert abs(device.g - 2e-3) < 1e-9, device.g
print(f"memtorch {memtorch.__version__} works when installed")
"""


def main(wheel: str) -> int:
    name = pathlib.Path(wheel).name
    if name.endswith("-any.whl"):
        print(f"{name}: must be tagged with its platform, because it holds an extension")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "--no-index", "--target", folder, wheel], check=True)
        environment = {**os.environ, "PYTHONPATH": folder, "PYTHONSAFEPATH": "1"}
        result = subprocess.run([sys.executable, "-c", PROGRAM, folder], cwd=folder, env=environment, check=False)
    if result.returncode == 0:
        print(f"dist/{name}")
    return result.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
