"""The engine of a build with CUDA, for the GPUs that pretend_cuda.py provides: the CPU's and the emulated one as one.

Calls that are given an array on a GPU go to the extension that emulates GPUs (engine/cuda/launch.h), all others to that
of the CPU, as a true build decides by where the arrays lie. Both see the tensors themselves: it is their own bindings
that look at devices, layouts and types, and ask torch for the current stream.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pretend_cuda
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

__all__ = ["install"]


def _load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("memtorch._engine", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _load_apart(path: str) -> ModuleType:
    """Loads an extension that shares no classes with one that is loaded already.

    nanobind keeps the classes of all extensions in one place, which it finds through a dictionary of the interpreter.
    """
    interpreter, dictionary = ctypes.pythonapi.PyInterpreterState_Get, ctypes.pythonapi.PyInterpreterState_GetDict
    interpreter.restype, dictionary.restype = ctypes.c_void_p, ctypes.py_object
    dictionary.argtypes = (ctypes.c_void_p,)
    shared = dictionary(interpreter())
    hidden = {key: shared.pop(key) for key in list(shared) if str(key).startswith("__nb_internals")}
    assert hidden, "nanobind keeps its classes elsewhere"
    try:
        return _load(path)
    finally:
        shared.update(hidden)


class _Engine(ModuleType):
    """Both engines in the place of ``memtorch._engine``."""

    def __init__(self, cpu: ModuleType, gpu: ModuleType) -> None:
        super().__init__("memtorch._engine", cpu.__doc__)
        self._cpu, self._gpu = cpu, gpu
        for name, value in vars(cpu).items():
            if not hasattr(self, name):
                setattr(self, name, value if isinstance(value, type) or not callable(value) else self._both(name))
        self.GridSolver = functools.partial(_Solver, self)

    def _both(self, name: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: self.call(getattr(self._cpu, name), getattr(self._gpu, name), args, kwargs)

    def call(self, on_cpu: Callable[..., Any], on_gpu: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Calls one of two functions."""
        arrays = (x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor))
        # What says how much memory a GPU needs is given no arrays.
        if not on_cpu.__name__.endswith("workspace") and not any(x.is_cuda for x in arrays):
            return on_cpu(*args, **kwargs)
        args, kwargs = tree_map_only(self._cpu.ProgramOptions, self._options, (args, kwargs))
        try:
            return on_gpu(*args, **kwargs)
        except self._gpu.InvalidArgument as error:
            raise self._cpu.InvalidArgument(*error.args) from None

    def _options(self, options: Any) -> Any:
        copied = self._gpu.ProgramOptions()
        for name in dir(options):
            if not name.startswith("_"):
                setattr(copied, name, getattr(options, name))
        return copied

    # What a build with kernels says of itself.

    def cuda_architectures(self) -> list[str]:
        return ["sm_90"]

    def cuda_devices(self) -> int:
        return pretend_cuda.GPUS

    def cuda_reason(self) -> str:
        return ""

    def set_stream_source(self, source: Callable[[int], int]) -> None:
        self._gpu.set_stream_source(source)


class _Solver:
    """``GridSolver`` of both engines."""

    def __init__(self, engine: _Engine, *args: Any, **kwargs: Any) -> None:
        self._engine = engine
        self._cpu, self._gpu = (each.GridSolver(*args, **kwargs) for each in (engine._cpu, engine._gpu))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        cpu, gpu = getattr(self._cpu, name), getattr(self._gpu, name)
        return lambda *args, **kwargs: self._engine.call(cpu, gpu, args, kwargs)


def install(emulated: str) -> None:
    """Provides GPUs and an engine for them; memtorch must not have been imported.

    Args:
        emulated: The extension that emulates GPUs.
    """
    assert "memtorch" not in sys.modules
    pretend_cuda.install()
    found = importlib.machinery.PathFinder.find_spec("memtorch")
    assert found is not None and found.submodule_search_locations
    cpu = importlib.machinery.PathFinder.find_spec("_engine", list(found.submodule_search_locations))
    assert cpu is not None and cpu.origin is not None
    sys.modules["memtorch._engine"] = _Engine(_load(cpu.origin), _load_apart(emulated))
    importlib.import_module("memtorch")._engine = sys.modules["memtorch._engine"]  # type: ignore[attr-defined]
