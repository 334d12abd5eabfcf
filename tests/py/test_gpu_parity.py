"""The scenarios in which a GPU is compared with the CPU (gpu_scenarios.py), run by this engine and by the package's.

With the engine that emulates a GPU, they compare its kernels with the CPU's; with the package's own, they say that what
comes out does not depend on the process.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import warnings

import gpu_scenarios
import pytest
import torch
from gpu_parity import differences
from gpu_scenarios import SCENARIOS

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What the package's engine gives, by scenario."""
    file = tmp_path_factory.mktemp("parity") / "cpu.pt"
    environment = {name: value for name, value in os.environ.items() if name != "MEMTORCH_TEST_ENGINE"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, HERE / "gpu_parity.py", "--save", file]
    subprocess.run(command, check=True, env=environment)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_gives_what_the_cpu_gives(name, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of devices that pulses do not bring near enough
        found = gpu_scenarios.run(name, torch.device("cpu"))
    assert expected[name]
    assert differences(found, expected[name], SCENARIOS[name].rel) == []


@pytest.mark.parametrize(
    ("found", "rel", "line"),
    [
        ({}, 0.0, "only one side has x"),
        ({"x": torch.tensor([1.0, 2.0], dtype=torch.float64)}, 0.0, "torch.float64 [2] instead of torch.float32 [2]"),
        ({"x": torch.tensor([1.0, 2.5])}, 0.0, "1 of 2 elements differ, by up to 0.5"),
        ({"x": torch.tensor([1.0, 2.5])}, 0.1, "differs by 0.25 of its largest magnitude, allowed 0.1"),
        ({"x": torch.tensor([1.0, float("nan")])}, 0.5, "differs by nan"),
    ],
)
def test_what_differs_is_named(found, rel, line):
    (said,) = differences(found, {"x": torch.tensor([1.0, 2.0])}, rel)
    assert line in said


def test_what_is_near_enough_does_not_differ():
    assert differences({"x": torch.tensor([1.0, 2.1])}, {"x": torch.tensor([1.0, 2.0])}, 0.06) == []
