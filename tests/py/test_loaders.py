"""memtorch.utils: loaders of data sets. torchvision is a stand-in here: nothing is downloaded."""

from __future__ import annotations

import sys

import pytest
import torch
import vision_tools
from torch.utils.data import RandomSampler, SequentialSampler

from memtorch import InvalidArgument
from memtorch.utils import LoadCIFAR10, LoadDigits, LoadMNIST

TORCHVISION = {"LoadMNIST": LoadMNIST, "LoadCIFAR10": LoadCIFAR10}
LOADERS = {**TORCHVISION, "LoadDigits": LoadDigits}
SHAPES = {"LoadMNIST": (1, 28, 28), "LoadCIFAR10": (3, 32, 32), "LoadDigits": (1, 8, 8)}


@pytest.fixture
def torchvision(monkeypatch):
    """A stand-in for torchvision, which keeps note of how its data sets were asked for."""
    monkeypatch.setitem(sys.modules, "torchvision", vision_tools.torchvision())
    monkeypatch.setattr(vision_tools.FakeDataset, "calls", [])


def images_of(loader):
    return torch.cat([images for images, _ in loader])


def labels_of(loader):
    return torch.cat([labels for _, labels in loader])


@pytest.mark.parametrize("name", LOADERS)
def test_images_labels_and_batches(name, torchvision):
    train, validation, test = LOADERS[name](batch_size=8, num_workers=0)
    for loader, size in ((train, 8), (validation, 8), (test, 4)):
        images, labels = next(iter(loader))
        assert images.shape == (size, *SHAPES[name])
        assert images.dtype == torch.float32
        assert images.min() >= 0 and images.max() <= 1
        assert labels.dtype == torch.int64
        assert loader.batch_size == size
    assert isinstance(train.sampler, RandomSampler)
    assert isinstance(validation.sampler, RandomSampler)
    assert isinstance(test.sampler, SequentialSampler)


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_is_asked_to_download_into_data(name, torchvision):
    TORCHVISION[name]()
    assert [(call["root"], call["train"], call["download"]) for call in vision_tools.FakeDataset.calls] == [
        ("./data", True, True),
        ("./data", False, True),
    ]


@pytest.mark.parametrize("name", LOADERS)
def test_a_fifth_of_the_training_images_is_set_apart(name, torchvision):
    train, validation, test = LOADERS[name](num_workers=0)
    whole, none, same_test = LOADERS[name](validation=False, num_workers=0)
    assert none is None
    count = len(whole.dataset)
    assert len(validation.dataset) == count // 5
    assert len(train.dataset) == count - count // 5
    together = torch.cat([images_of(train), images_of(validation)]).flatten(1)
    # Each image once, in either part: sorted by their pixels both are the same set.
    assert torch.equal(torch.unique(together, dim=0), torch.unique(images_of(whole).flatten(1), dim=0))
    assert torch.equal(images_of(test), images_of(same_test))


@pytest.mark.parametrize("name", LOADERS)
def test_torch_seeds_fix_split_and_order(name, torchvision):
    def first_epoch(seed):
        torch.manual_seed(seed)
        train, validation, _ = LOADERS[name](num_workers=0)
        return torch.cat([labels_of(train), labels_of(validation)])

    assert torch.equal(first_epoch(1), first_epoch(1))
    assert not torch.equal(first_epoch(1), first_epoch(2))


@pytest.mark.parametrize("name", LOADERS)
def test_the_smallest_test_batch_is_one(name, torchvision):
    assert LOADERS[name](batch_size=1, num_workers=0)[2].batch_size == 1
    assert LOADERS[name](batch_size=7, num_workers=0)[2].batch_size == 3


def test_digits_are_scikit_learns_with_a_fixed_test_in_equal_proportions():
    from sklearn.datasets import load_digits

    originals = load_digits()
    train, _, test = LoadDigits(validation=False)
    # Two originals are equal, so the images are compared as a sorted list with repetitions.
    found = torch.cat([images_of(train), images_of(test)]).flatten(1)
    expected = torch.from_numpy(originals.images).float().flatten(1) / 16
    for images in (found, expected):
        assert images.shape == (1797, 64)
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, expected.tolist()))
    counts = torch.bincount(labels_of(test), minlength=10)
    assert counts.sum() == 450
    assert counts.min() >= 43  # a quarter of the 174 images of the rarest digit, less rounding


def test_digits_load_in_a_process_of_their_own():
    train, _, _ = LoadDigits(batch_size=2000, validation=False, num_workers=1)
    images, _ = next(iter(train))
    assert images.shape == (1347, 1, 8, 8)


@pytest.mark.parametrize("name", TORCHVISION)
def test_without_torchvision_the_error_says_how_to_install_it(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ImportError, match=rf"\[{name}\] needs torchvision: pip install 'memtorch\[vision\]'"):
        TORCHVISION[name]()


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize(
    ("argument", "value"), [("batch_size", 0), ("batch_size", 1.5), ("validation", 2), ("num_workers", -1)]
)
def test_bad_arguments_are_named(name, argument, value):
    with pytest.raises(InvalidArgument, match=rf"\[{name}\] {argument} \({value}\) must"):
        LOADERS[name](**{argument: value})
