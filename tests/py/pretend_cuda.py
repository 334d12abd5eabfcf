"""Torch with GPUs that are not there: tensors that claim to be on cuda:0 or cuda:1 and lie in the memory of the CPU.

They are no wrappers. DLPack's description of an array says on which device it lies; a description of memory of the CPU
that is rewritten to name a GPU makes torch build a true tensor of the dispatch key CUDA, whose device, views, storages,
version counters, gradients, copies and pickles are torch's own. ``install`` adds what a torch without CUDA lacks:

* one kernel for every operator of that key (``_fallback``), which runs it on the same memory as the CPU would, after it
  has checked what torch's own CUDA kernels check, that all tensors are on one GPU;
* the guard of the device, with a current GPU and current streams, which torch carries for tests of its own;
* ``torch.cuda`` as far as memtorch and these tests use it.

What waits for a GPU (reading a number, copies from and to the CPU, results whose shape depends on values) is recorded,
and refused inside ``nothing_waits()`` and where ``torch.cuda.set_sync_debug_mode("error")`` says so.

Not pretended: streams and graphs of one's own (``torch.cuda.Stream``, ``CUDAGraph``), generators on a GPU (numbers that
are drawn there are the CPU's), pinned memory (it is ordinary), tracers of torch.compile, and time: nothing here runs
later than it was called. What is known of the inside of torch holds for the version that is locked; others are refused
by the assertions below.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.resources
import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch._C import DispatchKey, DispatchKeySet

__all__ = ["GPUS", "MEMORY", "install", "nothing_waits", "waits"]

# How many there are, and the bytes that one tensor may take.
GPUS = 2
MEMORY = 2**30

_AS_ON_CPU = DispatchKeySet(DispatchKey.CPU)
_KEPT: list[Any] = []  # what torch refers to, and never gives back


# ---- Labels of devices ----------------------------------------------------------------------------------------------


class _DLDevice(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int32), ("index", ctypes.c_int32))


class _DLTensor(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("device", _DLDevice))


_CPU, _CUDA = 1, 2  # DLPack's types of devices
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)


def _labelled(x: Tensor, kind: int, index: int) -> Tensor:
    """The same memory, said to be on another device."""
    capsule = torch._C._to_dlpack(x)
    _DLTensor.from_address(_pointer(capsule, b"dltensor")).device = _DLDevice(kind, index)
    return torch._C._from_dlpack(capsule)


def _on_gpu(x: Tensor, index: int) -> Tensor:
    if not 0 <= index < GPUS:
        raise RuntimeError("CUDA error: invalid device ordinal")
    if x.numel() * x.element_size() > MEMORY:
        raise torch.cuda.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {x.numel() * x.element_size()} bytes")
    return _labelled(x, _CUDA, index)


def _on_cpu(x: Tensor) -> Tensor:
    return _labelled(x, _CPU, 0) if x.is_cuda else x


# ---- Waiting --------------------------------------------------------------------------------------------------------


class _Waits:
    """What has waited for a GPU so far, and whether it may."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.forbidden = False

    def add(self, what: str) -> None:
        self.seen.append(what)
        if self.forbidden:
            raise RuntimeError(f"called a synchronizing CUDA operation: {what}")


_waits = _Waits()


@contextlib.contextmanager
def waits() -> Iterator[list[str]]:
    """The list of what waits for a GPU inside, growing."""
    before, _waits.seen = _waits.seen, []
    try:
        yield _waits.seen
    finally:
        _waits.seen = before


@contextlib.contextmanager
def nothing_waits() -> Iterator[None]:
    """What waits for a GPU inside raises, and once more at the end, if the error was caught."""
    before = _waits.forbidden
    with waits() as seen:
        _waits.forbidden = True
        try:
            yield
        finally:
            _waits.forbidden = before
    assert seen == [], f"waited for the GPU: {seen}"


def _set_sync_debug_mode(mode: int | str) -> None:
    _waits.forbidden = mode in (2, "error")


# ---- Kernels --------------------------------------------------------------------------------------------------------

_DEPENDS_ON_VALUES = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
_INDEXING = {"aten::index", "aten::_index_put_impl_", "aten::_unsafe_index"}


def _each(function: Callable[[Tensor], Any], x: Any) -> Any:
    """Calls a function of every tensor among the arguments or results of an operator, which hold lists and tuples."""
    if isinstance(x, Tensor):
        return function(x)
    return type(x)([_each(function, item) for item in x]) if type(x) in (list, tuple) else x


@functools.cache
def _iterating() -> frozenset[str]:
    """Operators that check devices themselves: numbers, tensors without dimensions on the CPU, may meet a GPU there."""
    listed = importlib.resources.files("torchgen") / "packaged/ATen/native/native_functions.yaml"
    entries = listed.read_text().split("\n- func: ")[1:]
    return frozenset("aten::" + entry.split("(")[0] for entry in entries if re.search(r"device_check: NoCheck", entry))


@functools.cache
def _name(op: Any) -> str:
    schema = op._schema
    return f"{schema.name}.{schema.overload_name}" if schema.overload_name else schema.name


def _check_devices(op: Any, tensors: list[Tensor]) -> int:
    """The GPU on which all tensors are.

    Raises:
        RuntimeError: They are not on one, as torch says it.
    """
    lone_numbers = _name(op) in _iterating()
    devices = {str(x.device) for x in tensors if x.is_cuda or not (lone_numbers and x.dim() == 0)}
    if len(devices) > 1:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, "
            f"{' and '.join(sorted(devices))}! (when checking arguments of {_name(op)})"
        )
    return next(x.device.index for x in tensors if x.is_cuda)


def _masks_and_indices(op: Any, args: tuple[Any, ...]) -> list[Tensor]:
    """What an operator that indexes is indexed by; it may be on the CPU, whence it is copied."""
    return [x for x in args[1] if x is not None] if op._schema.name in _INDEXING else []


def _look_for_waiting(op: Any, args: tuple[Any, ...], by: list[Tensor]) -> None:
    if op._schema.name not in _INDEXING:
        if _DEPENDS_ON_VALUES & set(op.tags):
            _waits.add(_name(op))
        return
    value = args[2] if op._schema.name == "aten::_index_put_impl_" else None
    number = value is not None and value.numel() == 1 and value.is_cpu
    masked = any(x.dtype in (torch.bool, torch.uint8) for x in by)
    if any(x.is_cpu for x in by) or masked != number:
        _waits.add(_name(op))


def _fallback(op: Any, *args: Any, **kwargs: Any) -> Any:
    """Any operator of the CUDA key."""
    if op.is_view:
        return op.redispatch(_AS_ON_CPU, *args, **kwargs)  # touches nothing but shapes, which know no device
    device = kwargs.get("device")
    if device is not None:
        index = torch.cuda.current_device() if device.index is None else device.index
        kwargs |= {"device": torch.device("cpu"), "pin_memory": False}
    else:
        by = _masks_and_indices(op, args)
        tensors: list[Tensor] = []
        _each(tensors.append, [*args, *kwargs.values()])
        index = _check_devices(op, [x for x in tensors if not any(x is y for y in by)])
        _look_for_waiting(op, args, by)
    if kwargs.get("generator") is not None:
        raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
    return _run(op, args, kwargs, index)


@functools.cache
def _places_of_tensors(op: Any) -> list[int]:
    return [place for place, argument in enumerate(op._schema.arguments) if str(argument.type) == "Tensor"]


def _numbers_as_tensors(op: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Numbers in the places of tensors, into which torch turns lone ones on its way here, as tensors again."""
    given = list(args)
    for place in _places_of_tensors(op):
        if place < len(given) and not isinstance(given[place], Tensor):
            dtype = torch.float64 if isinstance(given[place], float) else None
            given[place] = torch.tensor(given[place], dtype=dtype)
    return tuple(given)


def _run(op: Any, args: tuple[Any, ...], kwargs: dict[str, Any], index: int) -> Any:
    """The operator on the CPU; what it gives back is on the GPU, and what it wrote is the tensor that was given."""
    given: dict[int, tuple[Tensor, Tensor]] = {}

    def down(x: Tensor) -> Tensor:
        # An empty tensor may be there to be resized, which borrowed memory cannot be.
        here = _on_cpu(x) if x.numel() or x.is_cpu else torch.empty_strided(x.shape, x.stride(), dtype=x.dtype)
        given[id(here)] = here, x
        return here

    def up(x: Tensor) -> Tensor:
        return given[id(x)][1] if id(x) in given else _on_gpu(x, index)

    args = _each(down, _numbers_as_tensors(op, args))
    result = op(*args, **{name: _each(down, value) for name, value in kwargs.items()})
    for here, there in given.values():
        if here.shape != there.shape:
            there.set_(_on_gpu(here, index))
    return _each(up, result)


def _copy_(target: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    if not non_blocking and target.is_cuda != source.is_cuda:
        _waits.add(f"copy of {source.numel()} elements from {source.device} to {target.device}")
    _on_cpu(target).copy_(_on_cpu(source))
    return target


def _resize_(x: Tensor, size: list[int], *, memory_format: torch.memory_format | None = None) -> Tensor:
    larger = torch.empty(size, dtype=x.dtype)
    kept = min(larger.numel(), x.numel())
    larger.view(-1)[:kept].copy_(_on_cpu(x).reshape(-1)[:kept])
    return x.set_(_on_gpu(larger, x.device.index))


def _set_(op: Any, *args: Any, **kwargs: Any) -> Any:
    return op.redispatch(_AS_ON_CPU, *args, **kwargs)


def _lstm_cell(
    by_input: Tensor, by_hidden: Tensor, c: Tensor, input_bias: Tensor | None = None, hidden_bias: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    gates = _sum(by_input, input_bias) + _sum(by_hidden, hidden_bias)
    i, f, g, o = gates.chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c, gates


def _gru_cell(
    by_input: Tensor, by_hidden: Tensor, h: Tensor, input_bias: Tensor | None = None, hidden_bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    (ir, iz, new), (hr, hz, old) = (
        _sum(gates, bias).chunk(3, 1) for gates, bias in ((by_input, input_bias), (by_hidden, hidden_bias))
    )
    update, candidate = (iz + hz).sigmoid(), (new + (ir + hr).sigmoid() * old).tanh()
    return (h - candidate) * update + candidate, update


def _sum(gates: Tensor, bias: Tensor | None) -> Tensor:
    return gates if bias is None else gates + bias


def _register_kernels() -> None:
    aten, gradients = (torch.library.Library("aten", "IMPL", key) for key in ("CUDA", "AutogradCUDA"))
    every = torch.library.Library("_", "IMPL", "CUDA")
    _KEPT.extend((aten, gradients, every))
    every.fallback(_fallback, "CUDA")
    aten.impl("copy_", _copy_)
    aten.impl("resize_", _resize_)
    aten.impl("record_stream", lambda x, stream: None)
    for overload in torch.ops.aten.set_.overloads():
        op = getattr(torch.ops.aten.set_, overload)
        aten.impl(_name(op), functools.partial(_set_, op))
    # These are of CUDA alone, in torch's own recurrent layers.
    for library in (aten, gradients):
        library.impl("_thnn_fused_lstm_cell", _lstm_cell)
        library.impl("_thnn_fused_gru_cell", _gru_cell)
    # What has a kernel for all devices already, which would take paths of CUDA that the CPU does not have.
    for op in (torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default):
        aten.impl(_name(op), functools.partial(_fallback, op))


# ---- The device -----------------------------------------------------------------------------------------------------


def _answer(value: int) -> int:
    """The address of a function that returns a number, truth or address, whatever it is asked."""
    function = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(lambda _: value)
    _KEPT.append(function)
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _provide_guard() -> None:
    """Puts torch's guard for tests in the place of that of CUDA.

    Torch does this itself where CUDA was built in and finds no GPU: where the guard that is there counts none. Here
    there is no guard, so that first comes an object all of whose virtual functions return 0.
    """
    registry = (ctypes.c_void_p * 2).in_dll(
        ctypes.CDLL(f"{torch.__path__[0]}/lib/libc10.so"), "_ZN3c104impl26device_guard_impl_registryE"
    )
    functions = (ctypes.c_void_p * 64)(*[_answer(0)] * 64)
    nothing = ctypes.c_void_p(ctypes.addressof(functions))
    _KEPT.extend((functions, nothing))
    registry[1] = ctypes.addressof(nothing)
    torch._C._ensureCUDADeviceGuardSet()
    assert registry[1] != ctypes.addressof(nothing), "this torch has no guard for tests"


def _claim_cuda() -> None:
    """Makes CUDA the accelerator of this process, which the backward pass asks for.

    The object whose virtual functions say so, a CUDAHooksInterface, gets a table in which some of them are others;
    their places follow from the headers of torch, where two destructors come first.
    """
    hooks = ctypes.CDLL(f"{torch.__path__[0]}/lib/libtorch_cpu.so")._ZN2at6detail12getCUDAHooksEv
    hooks.restype = ctypes.c_void_p
    table = ctypes.c_void_p.from_address(hooks())
    before = 2  # entries ahead of where an object points: an offset and the type
    size = ctypes.sizeof(ctypes.c_void_p)
    copied = (ctypes.c_void_p * 64)(*(ctypes.c_void_p * 64).from_address((table.value or 0) - before * size))
    allocator = ctypes.CDLL(f"{torch.__path__[0]}/lib/libc10.so")._ZN3c1015GetCPUAllocatorEv
    allocator.restype = ctypes.c_void_p
    is_built, has_primary_context, init, pinned_memory_allocator = 2, 4, 5, 12
    for function in (is_built, has_primary_context, init):
        copied[before + function] = _answer(1)
    copied[before + pinned_memory_allocator] = _answer(allocator())
    _KEPT.append(copied)
    table.value = ctypes.addressof(copied) + before * size
    assert torch.accelerator.current_accelerator() == torch.device("cuda"), "this torch asks other functions"


def _provide_torch_cuda() -> None:
    def current_stream(device: Any = None) -> SimpleNamespace:
        return SimpleNamespace(cuda_stream=0, device=device)

    def new_storage(cls: type, *args: Any, **kwargs: Any) -> Any:
        device = torch.device(kwargs.get("device") or "cpu")
        if device.type != "cuda":
            return torch._C.StorageBase.__new__(cls, *args, **kwargs)
        return torch.empty(args[0], dtype=torch.uint8, device=device).untyped_storage()

    provided = {
        "_exchange_device": torch._C._accelerator_exchangeDevice,
        "_lazy_init": lambda: None,
        "_maybe_exchange_device": torch._C._accelerator_maybeExchangeDevice,
        "current_device": torch._C._accelerator_getDeviceIndex,
        "current_stream": current_stream,
        "device_count": lambda: GPUS,
        "get_rng_state": lambda device=None: torch.empty(0, dtype=torch.uint8),
        "is_available": lambda: True,
        "manual_seed_all": lambda seed: None,
        "mem_get_info": lambda device=None: (MEMORY, MEMORY),
        "set_rng_state": lambda state, device=None: None,
        "set_sync_debug_mode": _set_sync_debug_mode,
        "synchronize": lambda device=None: _waits.add("torch.cuda.synchronize"),
    }
    for name, function in provided.items():
        setattr(torch.cuda, name, function)
    torch.backends.cuda.is_built = lambda: True
    torch.backends.cudnn.enabled = False
    torch.UntypedStorage.__new__ = new_storage  # type: ignore[method-assign, assignment]


@functools.cache
def install() -> None:
    """Provides the GPUs, once and until the process ends."""
    assert not torch.backends.cuda.is_built(), "this torch has CUDA of its own"
    _provide_guard()
    _claim_cuda()
    _provide_torch_cuda()
    _register_kernels()
