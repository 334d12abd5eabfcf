"""Handwritten digits that ship with scikit-learn, and a small convolutional network that learns them in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from memtorch._digits import split_digits

IMAGE_SIZE = 16  # the 8x8 originals, enlarged so that two pooling stages leave 4x4 features
BATCH_SIZE = 64
PEAK_LEARNING_RATE = 6e-3
WEIGHT_DECAY = 0.05


@dataclass(frozen=True)
class Digits:
    """Images [n, 1, 16, 16] with values in [0, 1] and their labels [n], split once into training and test."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def load_digits(seed: int) -> Digits:
    """The 1,797 digits of scikit-learn's ``load_digits``, three quarters for training, classes in equal proportion.

    Args:
        seed: of the split. The same seed gives the same split.
    """
    images, labels, train, test = split_digits(seed)
    images = functional.interpolate(images, size=(IMAGE_SIZE, IMAGE_SIZE), mode="bilinear", align_corners=False)
    return Digits(images[train], labels[train], images[test], labels[test])


class SmallCnn(nn.Sequential):
    """Two convolutions with batch norm and two fully connected layers: images [n, 1, 16, 16] to logits [n, 10]."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 16, kernel_size=3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, kernel_size=3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * 4 * 4, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
        )


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Random numbers of its own and one thread, so that results depend on the seed alone; what was before comes back.

    A network this small gains nothing from threads, and on a busy machine they wait for each other: training then takes
    a minute instead of two seconds.
    """
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def train(digits: Digits, seed: int, epochs: int, on_epoch: Callable[[], None] = lambda: None) -> SmallCnn:
    """A `SmallCnn` fitted to the training images, in evaluation mode.

    Args:
        digits: the images.
        seed: of the initial weights and of the order of the images.
        epochs: passes over the training images.
        on_epoch: called before each pass.
    """
    with isolated(seed):
        network = SmallCnn()
        batches_per_epoch = -(-len(digits.train_labels) // BATCH_SIZE)
        optimizer = torch.optim.AdamW(network.parameters(), weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LEARNING_RATE, epochs * batches_per_epoch)
        network.train()
        for _ in range(epochs):
            on_epoch()
            for batch in torch.randperm(len(digits.train_labels)).split(BATCH_SIZE):
                optimizer.zero_grad()
                loss = functional.cross_entropy(network(digits.train_images[batch]), digits.train_labels[batch])
                loss.backward()
                optimizer.step()
                schedule.step()
    return network.eval()
