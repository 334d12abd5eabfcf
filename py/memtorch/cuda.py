"""Whether memtorch computes on NVIDIA GPUs here, and if not, why not.

Nothing has to be switched on: crossbars and patched models that have been moved to a GPU (``model.to("cuda")``) are
computed there.
"""

from __future__ import annotations

import torch

from memtorch import _engine

__all__ = ["architectures", "device_count", "is_available", "reason"]

_ARCHITECTURES: list[str] = _engine.cuda_architectures()


def architectures() -> list[str]:
    """What the kernels were compiled for, such as "sm_90"; empty in builds without CUDA.

    A build that only emulates a GPU, for tests, says "emulated".
    """
    return list(_ARCHITECTURES)


def reason() -> str:
    """Why GPUs cannot be used; empty where they can."""
    if not _ARCHITECTURES:
        return _engine.cuda_reason()
    if _ARCHITECTURES == ["emulated"]:
        return "memtorch was built to emulate a GPU on the CPU, for tests"
    if not torch.backends.cuda.is_built():
        return f"torch {torch.__version__} was built without CUDA"
    found = _engine.cuda_reason()
    return found or ("" if torch.cuda.is_available() else "torch finds no GPU: torch.cuda.is_available() is False")


def device_count() -> int:
    """Number of GPUs that can be used."""
    return 0 if reason() else min(_engine.cuda_devices(), torch.cuda.device_count())


def is_available() -> bool:
    """Whether there is a GPU that can be used."""
    return device_count() > 0
