"""Runs the benchmarks and prints one table: `python tools/bench [name ...]`.

Every row is a ratio or a cost measured in this run. Bounds are goals, shown beside what was measured; nothing fails.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
NAMES = (
    "devices",
    "patching",
    "layers",
    "recurrent",
    "programming",
    "nonidealities",
    "nonlinear",
    "wires",
    "wired_layers",
)
# Only where they are named: they take minutes, or a GPU.
SLOW = ("growth", "gpu")


def processor() -> str:
    """The processor's name, as the system gives it."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def main() -> None:
    """Runs the named benchmarks, all by default, and prints a Markdown table."""
    parser = argparse.ArgumentParser(prog="bench", description="Run the benchmarks and print their table.")
    known = ", ".join(NAMES + SLOW)
    default = f"all but {', '.join(SLOW)} by default"
    parser.add_argument("names", nargs="*", metavar="name", help=f"any of {known}; {default}")
    chosen = parser.parse_args().names or NAMES
    unknown = [name for name in chosen if name not in NAMES + SLOW]
    if unknown:
        parser.exit(2, f"bench: error: name ({unknown[0]}) must be one of {known}\n")
    print(f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print("| item | measured | goal | holds |\n|---|---|---|---|")
    for name in chosen:
        for row in importlib.import_module(name).rows():
            print(f"| {row.item} | {row.measured} | {row.bound} | {'yes' if row.holds else 'no'} |", flush=True)


if __name__ == "__main__":
    main()
