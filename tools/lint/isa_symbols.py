"""Looks for code compiled for one instruction set that the linker may keep for all of them.

An inline function that is not inlined becomes a weak symbol, and of many weak symbols of one name the linker keeps any
one: the one compiled for AVX-512 too, which then faults on a machine without it. Such a symbol is harmless only if its
name belongs to that instruction set (namespace memtorch::avx2 or memtorch::avx512).

Usage: isa_symbols.py ARCHIVE...
"""

import re
import subprocess
import sys

# Weak functions (W), weak objects (V), unique globals (u).
_WEAK = re.compile(r"^[0-9a-f]+ [WVu] (?P<name>.*)$")
_OWN = re.compile(r"\bmemtorch::(avx2|avx512)::")
# A pointer that exception tables use: data, the same for every instruction set.
_DATA = re.compile(r"^DW\.ref\.__gxx_personality_v0$")


def shared_symbols(nm_output: str) -> list[str]:
    """Names in the output of `nm -C` that do not belong to one instruction set and may be merged."""
    names = (match["name"] for match in map(_WEAK.match, nm_output.splitlines()) if match)
    return [name for name in names if not _OWN.search(name) and not _DATA.match(name)]


def main(archives: list[str]) -> int:
    if not archives:
        print("isa_symbols.py: no archive given", file=sys.stderr)
        return 2
    status = 0
    for archive in archives:
        listing = subprocess.run(["nm", "-C", archive], check=True, capture_output=True, text=True).stdout
        if not re.search(r"^[0-9a-f]+ \w ", listing, re.MULTILINE):
            print(f"{archive}: holds no symbol at all")
            status = 1
        for name in shared_symbols(listing):
            print(f"{archive}: {name} may be linked into every program; make it MT_HD or give it to namespace MT_ISA")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
