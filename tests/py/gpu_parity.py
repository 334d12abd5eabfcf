"""Compares a GPU with the CPU, scenario by scenario (gpu_scenarios.py), and checks what only a GPU has (gpu_checks.py).

Usage: gpu_parity.py [--device DEVICE] [NAME ...]         all scenarios by default; DEVICE: cuda by default
       gpu_parity.py --save FILE [NAME ...]               runs them on the CPU and saves what came out
       gpu_parity.py --against FILE [NAME ...]            runs them on the CPU and compares with what was saved
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import time
import traceback
import warnings
from collections.abc import Callable

import gpu_checks
import gpu_scenarios
import torch
from gpu_scenarios import SCENARIOS, Results

__all__ = ["differences", "main"]


def differences(found: Results, expected: Results, rel: float) -> list[str]:
    """What lies further apart than ``rel`` of the largest magnitude (0: is not the same bits), one line each."""
    lines = [f"only one side has {name}" for name in sorted(set(found) ^ set(expected))]
    for name in sorted(set(found) & set(expected)):
        new, old = found[name], expected[name]
        if new.dtype != old.dtype or new.shape != old.shape:
            lines.append(f"{name}: {new.dtype} {list(new.shape)} instead of {old.dtype} {list(old.shape)}")
        elif rel == 0:
            count = int((new != old).sum())
            if count:
                lines.append(f"{name}: {count} of {new.numel()} elements differ, by up to {_distance(new, old):.3g}")
        else:
            distance, scale = _distance(new, old), old.double().abs().max().item()
            if not distance <= rel * scale:
                lines.append(f"{name}: differs by {distance / scale:.3g} of its largest magnitude, allowed {rel:g}")
    return lines


def _distance(new: torch.Tensor, old: torch.Tensor) -> float:
    return (new.double() - old.double()).abs().max().item()


def _report(name: str, check: Callable[[], list[str]]) -> bool:
    """Runs one check and prints how it went."""
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lines = check()
    except Exception:
        lines = traceback.format_exc().splitlines()
    print(f"{'FAILED' if lines else 'passed'}  {name}  ({time.perf_counter() - start:.1f} s)", flush=True)
    for line in lines:
        print(f"        {line}")
    return not lines


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="gpu_parity")
    parser.add_argument("names", nargs="*", metavar="NAME")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--device", default="cuda")
    how.add_argument("--save", type=pathlib.Path)
    how.add_argument("--against", type=pathlib.Path)
    chosen = parser.parse_args(arguments)
    names = chosen.names or list(SCENARIOS)
    cpu = torch.device("cpu")
    if chosen.save:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.save({name: gpu_scenarios.run(name, cpu) for name in names}, chosen.save)
        return 0
    saved = torch.load(chosen.against, weights_only=True) if chosen.against else {}
    device = cpu if chosen.against else torch.device(chosen.device)

    def compare(name: str) -> list[str]:
        expected = saved[name] if chosen.against else gpu_scenarios.run(name, cpu)
        return differences(gpu_scenarios.run(name, device), expected, SCENARIOS[name].rel)

    passed = [_report(name, lambda name=name: compare(name)) for name in names]
    if not chosen.against and not chosen.names:
        passed += [_report(name, lambda check=check: check(device)) for name, check in gpu_checks.CHECKS.items()]
    print(f"{sum(passed)} of {len(passed)} passed")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
