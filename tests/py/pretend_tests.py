"""Runs tests that know nothing of GPUs as if their authors had put everything on one.

After ``put_on_gpu`` what a test file makes is on the GPU: tensors, modules, crossbars and columns of devices. What
memtorch makes is where memtorch says, so that a device that it forgot shows. Values that a test turns into NumPy
arrays, and that it compares with values on the CPU, come from the GPU by themselves.
"""

from __future__ import annotations

import functools
import pathlib
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors

import memtorch
from memtorch.bh._device_array import DeviceArray
from memtorch.bh.crossbar import Crossbar

__all__ = ["put_on_gpu"]

_TESTS = str(pathlib.Path(__file__).parent)
_NOT_OF_TESTS = (str(pathlib.Path(memtorch.__file__).parent), f"{torch.__path__[0]}/nn/utils")
_TO_NUMPY = {Tensor.numpy, Tensor.__array__}
_COMPARISONS = {torch.equal, torch.allclose}
_DRAWS = {Tensor.uniform_, Tensor.normal_, Tensor.random_, Tensor.bernoulli_, Tensor.exponential_}
_TAKEN = _TO_NUMPY | _COMPARISONS | _DRAWS | _device_constructors()


def _of_a_test() -> bool:
    """Whether a test file, and not memtorch, wants what is being called."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_NOT_OF_TESTS):
            return False
        if file.startswith(_TESTS) and file != __file__:
            return True
        frame = frame.f_back
    return False


class _OnGpu(TorchFunctionMode):
    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if function not in _TAKEN or not _of_a_test():
            return function(*args, **kwargs)
        if function in _TO_NUMPY:
            return function(args[0].cpu(), *args[1:], **kwargs)
        if function in _COMPARISONS:
            return function(*(x.cpu() if isinstance(x, Tensor) else x for x in args), **kwargs)
        if function in _DRAWS:
            return args[0].copy_(function(args[0].cpu(), *args[1:], **kwargs))
        if kwargs.get("device") is not None:
            return function(*args, **kwargs)
        if kwargs.get("generator") is not None:  # which is on the CPU
            return (
                function(*args, **kwargs).to(self._device).detach().requires_grad_(kwargs.get("requires_grad", False))
            )
        return function(*args, **{**kwargs, "device": self._device})


def put_on_gpu(name: str) -> None:
    """Puts what test files make on a GPU, until the process ends."""
    device = torch.device(name)
    for each in (Crossbar, DeviceArray):
        each.__init__ = _moving(each.__init__, device)  # type: ignore[method-assign]
    from_numpy = torch.from_numpy  # this one does not ask modes
    torch.from_numpy = lambda x: from_numpy(x).to(device) if _of_a_test() else from_numpy(x)
    torch.testing.assert_close = functools.partial(torch.testing.assert_close, check_device=False)
    _OnGpu(device).__enter__()


def _moving(init: Callable[..., None], device: torch.device) -> Callable[..., None]:
    @functools.wraps(init)
    def moved(self: torch.nn.Module, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        if sys._getframe(1).f_code.co_filename.startswith(_TESTS):
            self.to(device)

    return moved
