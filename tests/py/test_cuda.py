"""What memtorch.cuda says, and the errors of tensors that lie where nothing can compute with them."""

from types import SimpleNamespace

import pytest
import torch

import memtorch
from memtorch import _errors, _ops, cuda

WITHOUT_KERNELS = cuda.architectures() in ([], ["emulated"])


def test_a_gpu_is_available_unless_there_is_a_reason():
    assert cuda.is_available() == (cuda.reason() == "") == (cuda.device_count() > 0)


@pytest.mark.skipif(not WITHOUT_KERNELS, reason="this build has kernels")
def test_a_build_without_kernels_says_so():
    assert not cuda.is_available()
    assert "memtorch was built" in cuda.reason()


@pytest.mark.parametrize(
    ("architectures", "torch_has_cuda", "engine", "reason"),
    [
        ([], True, "memtorch was built without CUDA", "memtorch was built without CUDA"),
        (["emulated"], True, "", "memtorch was built to emulate a GPU on the CPU, for tests"),
        (["sm_80", "sm_90"], False, "", f"torch {torch.__version__} was built without CUDA"),
        (["sm_80"], True, "no CUDA device was found", "no CUDA device was found"),
    ],
)
def test_the_first_reason_is_given(monkeypatch, architectures, torch_has_cuda, engine, reason):
    monkeypatch.setattr(cuda, "_ARCHITECTURES", architectures)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: torch_has_cuda)
    monkeypatch.setattr(cuda._engine, "cuda_reason", lambda: engine)
    assert cuda.reason() == reason
    assert cuda.architectures() == architectures
    assert cuda.device_count() == 0


def test_what_both_the_engine_and_torch_can_use_is_counted(monkeypatch):
    monkeypatch.setattr(cuda, "_ARCHITECTURES", ["sm_90"])
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(cuda._engine, "cuda_reason", lambda: "")
    monkeypatch.setattr(cuda._engine, "cuda_devices", lambda: 3)
    assert cuda.device_count() == 2
    assert cuda.is_available()


def test_what_is_given_out_is_a_copy():
    cuda.architectures().append("sm_10")
    assert "sm_10" not in cuda.architectures()


@pytest.mark.skipif(not WITHOUT_KERNELS, reason="this build has kernels")
def test_tensors_on_a_gpu_are_refused_by_a_build_without_kernels():
    # All that is looked at before the error; no tensor of this kind can be made here.
    tensor = SimpleNamespace(is_cuda=True, device=torch.device("cuda:1"))
    with pytest.raises(
        RuntimeError, match=r"\[memtorch\] tensors on cuda:1 cannot be computed with: memtorch was built"
    ):
        _ops.on_gpu(tensor)


@pytest.mark.parametrize(
    ("given", "owner"), [("cpu", "cuda:0"), ("cuda:0", "cpu"), ("cuda:1", "cuda:1"), ("cpu", "cpu")]
)
def test_tensors_go_to_the_cpu_from_the_cpu_and_stay_on_their_gpu(given, owner):
    _errors.check_place("op", "x", SimpleNamespace(device=torch.device(given)), torch.device(owner))


def test_tensors_do_not_go_from_gpu_to_gpu():
    elsewhere = SimpleNamespace(device=torch.device("cuda:1"))
    with pytest.raises(memtorch.InvalidArgument) as caught:
        _errors.check_place("simulate", "voltage_signal", elsewhere, torch.device("cuda:0"))
    assert str(caught.value) == (
        "[simulate] voltage_signal (cuda:1) must be on the CPU or on the device of the crossbar (cuda:0)"
    )


def test_the_version_names_the_cpu_unless_there_are_kernels():
    assert ("cpu" in memtorch.__version__) == WITHOUT_KERNELS
