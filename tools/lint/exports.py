"""Checks that a shared library exports PyInit__engine and nothing else.

Usage: exports.py LIBRARY
"""

import subprocess
import sys


def main(library: str) -> int:
    listing = subprocess.run(
        ["nm", "--dynamic", "--defined-only", "--format=posix", library], check=True, capture_output=True, text=True
    ).stdout
    names = sorted(line.split()[0] for line in listing.splitlines())
    print(f"{library} exports {names}")
    return 0 if names == ["PyInit__engine"] else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
