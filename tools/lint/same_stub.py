"""Checks that the committed stub of the extension is the one that the extension generates.

Usage: same_stub.py GENERATED COMMITTED
"""

import difflib
import pathlib
import sys


def main(generated: str, committed: str) -> int:
    want, have = (pathlib.Path(file).read_text(encoding="utf-8").splitlines() for file in (generated, committed))
    if want == have:
        return 0
    print("\n".join(difflib.unified_diff(have, want, committed, "generated", lineterm="")))
    print("The bindings have changed: refresh the stub with ./tools/dev build --update-stub")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
