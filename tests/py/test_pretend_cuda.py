"""The GPUs of pretend_cuda.py: they do what torch's documentation says of true ones."""

from __future__ import annotations

import contextlib
import copy
import io
import pickle

import numpy as np
import pretend_cuda
import pytest
import torch
from pretend_cuda import nothing_waits, waits
from torch import nn

import memtorch

GPU, OTHER = torch.device("cuda:1"), torch.device("cuda:0")


def test_tensors_say_where_they_are():
    x = torch.arange(6.0, device="cuda:1").reshape(2, 3)
    assert x.is_cuda and not x.is_cpu and x.device == GPU
    results = [
        x + 1,
        x[0],
        x.t(),
        x.max(0).values,
        torch.zeros_like(x),
        x @ x.t(),
        torch.cat([x, x]),
        x.to(OTHER).to(GPU),
    ]
    assert all(each.device == GPU for each in results)
    assert torch.empty(1, device="cuda").device == OTHER  # the current one
    with torch.cuda.device(1):
        assert torch.empty(1, device="cuda").device == GPU
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert x.cpu().device.type == "cpu"


def test_only_as_many_gpus_as_there_are_and_as_much_memory():
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        torch.empty(1, device=f"cuda:{pretend_cuda.GPUS}")
    with pytest.raises(torch.cuda.OutOfMemoryError):
        torch.empty(pretend_cuda.MEMORY + 1, dtype=torch.uint8, device=GPU)
    assert torch.cuda.device_count() == memtorch.cuda.device_count() == pretend_cuda.GPUS
    assert memtorch.cuda.is_available() and memtorch.cuda.reason() == ""
    assert "cpu" not in memtorch.__version__


@pytest.mark.parametrize("convert", [lambda x: x.numpy(), np.asarray, lambda x: np.from_dlpack(x)])
def test_numpy_is_given_nothing(convert):
    with pytest.raises((TypeError, RuntimeError, BufferError)):
        convert(torch.ones(3, device=OTHER))


@pytest.mark.parametrize("elsewhere", ["cpu", "cuda:0"])
@pytest.mark.parametrize(
    "operation",
    [
        torch.add,
        torch.matmul,
        lambda x, y: torch.cat([x, y]),
        lambda x, y: torch.where(x > 0, x, y),
        lambda x, y: torch.stack([x[0, 0], y[0, 0]]),
        lambda x, y: nn.functional.linear(x, y),
        lambda x, y: torch.linalg.solve(x, y),
    ],
)
def test_devices_do_not_mix(operation, elsewhere):
    with pytest.raises(RuntimeError, match="device"):
        operation(torch.eye(3, device=GPU), torch.eye(3, device=elsewhere))


@pytest.mark.parametrize("elsewhere", ["cpu", "cuda:0"])
def test_nothing_is_written_from_elsewhere(elsewhere):
    x = torch.zeros(3, 3, device=GPU)
    with pytest.raises(RuntimeError, match="device"):
        x.add_(torch.eye(3, device=elsewhere))
    assert x.sum().item() == 0


def test_lone_numbers_may_come_from_the_cpu_where_torch_takes_them():
    x, number = torch.ones(2, 2, device=GPU), torch.tensor(2.0)
    with nothing_waits():
        results = [x * number, number + x, torch.where(x > 0, x, number), x.clone().fill_(number), x.lerp(x, number)]
    assert [each.device for each in results] == [GPU] * len(results)
    with pytest.raises(RuntimeError, match="same device"):
        torch.mm(x, torch.ones(2, 2))
    with pytest.raises(RuntimeError, match="same device"):
        torch.dot(x[0], torch.ones(2))
    with pytest.raises(RuntimeError, match="same device"):
        x * torch.tensor(2.0, device=OTHER)


def test_gradients_and_copies_are_torchs_own():
    layer = nn.Linear(3, 4).to(GPU)
    x = torch.ones(2, 3, device=GPU, requires_grad=True)
    layer(x).square().sum().backward()
    assert x.grad.device == layer.weight.grad.device == GPU
    host = copy.deepcopy(layer).cpu()
    host.zero_grad()
    host(torch.ones(2, 3)).square().sum().backward()
    torch.testing.assert_close(layer.weight.grad.cpu(), host.weight.grad)  # sums of a few products
    pair = [x.detach(), x.detach()[0]]
    first, second = copy.deepcopy(pair)
    second.fill_(5.0)
    assert first[0].tolist() == [5.0] * 3 and first[1].tolist() == [1.0] * 3  # one storage again
    assert pickle.loads(pickle.dumps(x)).device == GPU
    stream = io.BytesIO()
    torch.save(layer.state_dict(), stream)
    for where in (None, "cpu", "cuda:0"):
        stream.seek(0)
        loaded = torch.load(stream, map_location=where, weights_only=True)
        assert loaded["weight"].device == torch.device(where or GPU)
        assert torch.equal(loaded["weight"].cpu(), layer.weight.detach().cpu())


def test_views_share_memory_and_the_count_of_writes():
    x = torch.zeros(3, 4, device=GPU)
    row, before = x[1], x._version
    row.fill_(1.0)
    assert x.sum().item() == 4.0
    assert x._version == row._version == before + 1
    torch.autograd.graph.increment_version(x)
    assert row._version == before + 2
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y = x.clone().requires_grad_() * 1
        z = y.exp()
        z.add_(1)
        z.sum().backward()


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).all()),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: x.nonzero(),
        lambda x: x[x > 0],
        lambda x: x.masked_select(x > 0),
        lambda x: torch.equal(x, x),
        lambda x: x.unique(),
        lambda x: torch.tensor(1.0, device=x.device),
        lambda x: x.copy_(torch.ones(4)),
        lambda x: x.__setitem__(torch.tensor([0], device=x.device), 1.0),
        lambda x: torch.cuda.synchronize(),
    ],
)
def test_what_waits_is_seen_and_can_be_forbidden(wait):
    x = torch.arange(4.0, device=GPU)
    with waits() as seen:
        wait(x)
    assert seen
    with pytest.raises(RuntimeError, match="synchronizing CUDA operation"), nothing_waits():
        wait(x)
    with pytest.raises(AssertionError, match="waited for the GPU"), nothing_waits(), contextlib.suppress(RuntimeError):
        wait(x)


def test_what_does_not_wait_is_not_seen():
    x, index = torch.arange(4.0, device=GPU), torch.tensor([2, 0], device=GPU)
    with nothing_waits():
        x[index], x[1:], x * 2, x.sum(), x.to(OTHER), x.sort(), x.clamp(0, 1)
        x[x > 1] = 0.0
        x[index] = x[:2]
        x.fill_(1.0)
        torch.full((3,), 2.0, device=GPU)
        torch.arange(3, device=GPU)
        torch.eye(3, device=GPU)
        torch.randn(3, device=GPU)


def test_generators_of_the_cpu_are_not_for_gpus():
    with pytest.raises(RuntimeError, match="generator"):
        torch.rand(3, device=GPU, generator=torch.Generator())
