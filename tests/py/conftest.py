"""Strict surroundings for every test: fixed seeds, no display, and nobody changes the state of the process."""

from __future__ import annotations

import importlib.util
import os
import sys

os.environ["MPLBACKEND"] = "Agg"

if "MEMTORCH_TEST_ENGINE" in os.environ:
    # Another build of the extension takes the place of the one in the package.
    _spec = importlib.util.spec_from_file_location("memtorch._engine", os.environ["MEMTORCH_TEST_ENGINE"])
    sys.modules[_spec.name] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[_spec.name])

if "MEMTORCH_TEST_PRETENDED" in os.environ:
    # Torch and memtorch find GPUs, which that extension emulates.
    import pretend_engine

    pretend_engine.install(os.environ["MEMTORCH_TEST_PRETENDED"])
    collect_ignore_glob = []
else:
    collect_ignore_glob = ["test_pretend*.py"]

if "MEMTORCH_TEST_DEVICE" in os.environ:
    # What test files make is on that device.
    import pretend_tests

    pretend_tests.put_on_gpu(os.environ["MEMTORCH_TEST_DEVICE"])

import random

import numpy as np
import pytest
import torch
from hypothesis import settings

SEED = 20240229

# The same examples in every run; no deadline, because machines that share their cores miss any.
settings.register_profile("memtorch", deadline=None, derandomize=True)
settings.load_profile("memtorch")


@pytest.fixture(autouse=True)
def fixed_seeds():
    """Every test starts from the same random state."""
    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002 (users' code draws from it)
    torch.manual_seed(SEED)


@pytest.fixture(autouse=True)
def process_state_untouched():
    """Fails a test that leaves another numpy error mode, default dtype, gradient mode or number of threads behind."""

    def state():
        return {
            "numpy error mode": np.geterr(),
            "default dtype": torch.get_default_dtype(),
            "gradient mode": torch.is_grad_enabled(),
            "threads": torch.get_num_threads(),
        }

    before = state()
    yield
    assert state() == before


@pytest.fixture(autouse=True)
def figures_closed():
    """Closes the figures that a test has drawn."""
    yield
    import matplotlib.pyplot as plt

    plt.close("all")
