"""A stand-in for torchvision, so that no test downloads anything."""

from __future__ import annotations

import types
from typing import ClassVar

import torch

TRAIN, TEST = 50, 10  # images


class FakeDataset(torch.utils.data.Dataset):
    """Image number k is constant k / count; its label is k modulo 10."""

    calls: ClassVar[list[dict]] = []
    shape: tuple[int, ...]

    def __init__(self, **arguments):
        FakeDataset.calls.append(arguments)
        self.count = TRAIN if arguments["train"] else TEST
        self.transform = arguments["transform"]

    def __len__(self):
        return self.count

    def __getitem__(self, k):
        return self.transform(torch.full(self.shape, k / self.count)), k % 10


def torchvision() -> types.ModuleType:
    """What ``LoadMNIST`` and ``LoadCIFAR10`` use of the module."""
    module = types.ModuleType("torchvision")
    module.datasets = types.SimpleNamespace(
        MNIST=type("MNIST", (FakeDataset,), {"shape": (1, 28, 28)}),
        CIFAR10=type("CIFAR10", (FakeDataset,), {"shape": (3, 32, 32)}),
    )
    module.transforms = types.SimpleNamespace(ToTensor=lambda: lambda image: image)
    return module
