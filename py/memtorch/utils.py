"""Small helpers on numbers and tensors, and loaders of data sets."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split

from memtorch._digits import split_digits
from memtorch._errors import check_bool, check_float, check_int, check_numbers, check_shape, check_tensor, invalid

__all__ = ["LoadCIFAR10", "LoadDigits", "LoadMNIST", "clip", "convert_range", "pad_tensor"]

Loaders = tuple[DataLoader[Any], DataLoader[Any] | None, DataLoader[Any]]


def convert_range(old_value: Any, old_min: float, old_max: float, new_min: float, new_max: float) -> Any:
    """Maps [old_min, old_max] linearly onto [new_min, new_max]; values outside are extrapolated.

    Args:
        old_value: A number, array or tensor.
        old_min: Maps to ``new_min``.
        old_max: Maps to ``new_max``.
        new_min: Lower end of the new range.
        new_max: Upper end of the new range.

    Returns:
        The mapped value(s).

    Raises:
        InvalidArgument: Something is no real number, or ``old_min`` equals ``old_max``.
    """
    op = "convert_range"
    if not isinstance(old_value, (Tensor, np.ndarray)):
        old_value = check_float(op, "old_value", old_value)
    elif check_numbers(op, "old_value", old_value).dtype is torch.bool or getattr(old_value.dtype, "kind", "f") in "bO":
        invalid(op, "old_value", old_value, "be numbers")
    bounds = {"old_min": old_min, "old_max": old_max, "new_min": new_min, "new_max": new_max}
    lower, upper, start, end = (check_float(op, name, value) for name, value in bounds.items())
    if lower == upper:
        invalid(op, "old_max", old_max, f"differ from old_min ({old_min!r})")
    for name, length in (("old_max", upper - lower), ("new_max", end - start)):
        if math.isinf(length):
            invalid(op, name, bounds[name], "be less than 1.8e308 away from its minimum")
    return (old_value - lower) * (end - start) / (upper - lower) + start


def clip(value: float, lower: float, upper: float) -> float:
    """Returns ``value`` limited to [lower, upper].

    Raises:
        InvalidArgument: Something is no real number, or ``lower`` exceeds ``upper``.
    """
    for name, number in (("value", value), ("lower", lower), ("upper", upper)):
        if not isinstance(number, float) or math.isnan(number):  # infinity is a bound like any other
            check_float("clip", name, number)
    if lower > upper:
        invalid("clip", "lower", lower, f"be <= upper ({upper!r})")
    return min(max(value, lower), upper)


def pad_tensor(tensor: Tensor, tile_shape: tuple[int, int]) -> Tensor:
    """Pads with zeros at the end of each dimension to whole tiles.

    Args:
        tensor: [n] or [rows, columns].
        tile_shape: (tile_rows, tile_columns); for a vector only the first counts.

    Returns:
        float32 [n'] or [rows', columns'] on the tensor's device, each a multiple of the tile.

    Raises:
        InvalidArgument: Another rank, or a bad ``tile_shape``.
    """
    check_tensor("pad_tensor", "tensor", tensor, finite=False)
    if tensor.dim() not in (1, 2):
        invalid("pad_tensor", "tensor", f"shape {list(tensor.shape)}", "have 1 or 2 dimensions")
    tile = check_shape("pad_tensor", "tile_shape", tile_shape, (1, 2) if tensor.dim() == 1 else 2)
    padding: list[int] = []
    for length, step in reversed(list(zip(tensor.shape, tile, strict=False))):
        padding += [0, -length % step]
    return torch.nn.functional.pad(tensor.to(torch.float32), padding)


def LoadMNIST(batch_size: int = 32, validation: bool = True, num_workers: int = 1) -> Loaders:
    """MNIST through torchvision, downloaded into ./data at the first use: images [batch, 1, 28, 28] in [0, 1].

    Args:
        batch_size: Images per batch of training and validation; half of it, but at least 1, of the test.
        validation: Set a random fifth of the training images apart for validation.
        num_workers: Processes that load; 0: the calling one.

    Returns:
        Loaders of (images, labels) for training, validation (or None) and test. The first two are shuffled; split and
        order follow ``torch.manual_seed``.

    Raises:
        InvalidArgument: An argument of the wrong type or out of range.
        ImportError: torchvision is not installed.
    """
    return _load_from_torchvision("LoadMNIST", "MNIST", batch_size, validation, num_workers)


def LoadCIFAR10(batch_size: int = 32, validation: bool = True, num_workers: int = 1) -> Loaders:
    """CIFAR-10 through torchvision, downloaded into ./data at the first use: images [batch, 3, 32, 32] in [0, 1].

    Args:
        batch_size: Images per batch of training and validation; half of it, but at least 1, of the test.
        validation: Set a random fifth of the training images apart for validation.
        num_workers: Processes that load; 0: the calling one.

    Returns:
        Loaders of (images, labels) for training, validation (or None) and test. The first two are shuffled; split and
        order follow ``torch.manual_seed``.

    Raises:
        InvalidArgument: An argument of the wrong type or out of range.
        ImportError: torchvision is not installed.
    """
    return _load_from_torchvision("LoadCIFAR10", "CIFAR10", batch_size, validation, num_workers)


def LoadDigits(batch_size: int = 32, validation: bool = True, num_workers: int = 0) -> Loaders:
    """The 1,797 handwritten digits that ship with scikit-learn, offline: images [batch, 1, 8, 8] in [0, 1].

    A quarter of the images, always the same ones, are the test.

    Args:
        batch_size: Images per batch of training and validation; half of it, but at least 1, of the test.
        validation: Set a random fifth of the training images apart for validation.
        num_workers: Processes that load. The default of 0 is fastest: the images are in memory.

    Returns:
        Loaders of (images, labels) for training, validation (or None) and test. The first two are shuffled; split and
        order follow ``torch.manual_seed``.

    Raises:
        InvalidArgument: An argument of the wrong type or out of range.
    """
    options = _LoaderOptions.parse("LoadDigits", batch_size, validation, num_workers)
    images, labels, train, test = split_digits(seed=0)
    return options.loaders(*(TensorDataset(images[part], labels[part]) for part in (train, test)))


def _load_from_torchvision(op: str, name: str, *arguments: Any) -> Loaders:
    options = _LoaderOptions.parse(op, *arguments)
    try:
        from torchvision import datasets, transforms
    except ImportError as error:
        raise ImportError(f"[{op}] needs torchvision: pip install 'memtorch[vision]'") from error
    kind, transform = getattr(datasets, name), transforms.ToTensor()
    return options.loaders(
        *(kind(root="./data", train=train, download=True, transform=transform) for train in (True, False))
    )


class _LoaderOptions(NamedTuple):
    """The checked arguments of the three functions above."""

    batch_size: int
    validation: bool
    num_workers: int

    @classmethod
    def parse(cls, op: str, batch_size: Any, validation: Any, num_workers: Any) -> _LoaderOptions:
        # Larger numbers are a slip, and end in an error deep inside torch.
        return cls(
            check_int(op, "batch_size", batch_size, 1, 2**31 - 1),
            check_bool(op, "validation", validation),
            check_int(op, "num_workers", num_workers, 0, 1024),
        )

    def loaders(self, train: Dataset[Any], test: Dataset[Any]) -> Loaders:
        """Loaders of training, validation and test."""

        def loader(part: Dataset[Any], size: int, shuffle: bool) -> DataLoader[Any]:
            return DataLoader(part, batch_size=size, shuffle=shuffle, num_workers=self.num_workers)

        held_out = None
        if self.validation:
            train, apart = random_split(train, [0.8, 0.2])
            held_out = loader(apart, self.batch_size, True)
        return loader(train, self.batch_size, True), held_out, loader(test, max(self.batch_size // 2, 1), False)
