"""Runs mypy, with the options of pyproject.toml, on a package.

Usage: check_types.py FOLDER               from the root of the repository
"""

import os
import subprocess
import sys


def main(folder: str) -> int:
    cache = os.path.join(os.environ.get("TEST_TMPDIR", "."), ".mypy_cache")
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", "--cache-dir", cache, folder]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
