"""The handwritten digits that ship with scikit-learn: what ``LoadDigits`` and the demo share."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["split_digits"]


def split_digits(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The 1,797 digits of scikit-learn's ``load_digits``, three quarters for training, classes in equal proportion.

    Args:
        seed: Of the split. The same seed gives the same split.

    Returns:
        Images [1797, 1, 8, 8] with values in [0, 1], their labels [1797] int64, and the indices of training and test.
    """
    # Imported here: scikit-learn costs a second that `import memtorch` need not pay.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = torch.from_numpy(digits.images).float()[:, None] / 16  # pixels count from 0 to 16
    labels = torch.from_numpy(digits.target).long()
    train, test = train_test_split(
        torch.arange(len(labels)).numpy(), test_size=0.25, stratify=digits.target, random_state=seed
    )
    return images, labels, torch.from_numpy(train), torch.from_numpy(test)
