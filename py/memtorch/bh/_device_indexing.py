"""How an array of devices behaves like the object array of MemTorch 1.1.6 without an object per device."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from memtorch.bh._device_array import DeviceArray
    from memtorch.bh._object_array import ObjectArray

__all__ = ["DeviceIndexing", "DeviceRow"]


class DeviceIndexing:
    """``devices[i][j]``, ``devices[i, j]``, slices, iteration, ``len``, ``.shape``, ``.flat``, ``np.asarray(devices)``.

    Integers in every dimension give a device, a live view of its columns; fewer give a ``DeviceRow``; everything else
    that numpy can index with gives an object array of devices.
    """

    def _owner(self) -> DeviceArray | ObjectArray:
        raise NotImplementedError

    def _first(self) -> int:
        """Row of the first device in the owner's columns."""
        return 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        raise NotImplementedError

    @property
    def size(self) -> int:
        """Number of devices."""
        return math.prod(self.shape)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def flat(self) -> Iterator[Any]:
        """The devices one after the other, row-major."""
        owner, first = self._owner(), self._first()
        return (owner.device_at(first + k) for k in range(self.size))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._owner().memristor_model.__name__}, shape={self.shape})"

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[k] for k in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.object_]:
        result = np.empty(self.size, dtype=object)
        for k, device in enumerate(self.flat):
            result[k] = device
        return result.reshape(self.shape)

    def __getitem__(self, index: Any) -> Any:
        key = index if isinstance(index, tuple) else (index,)
        if not all(isinstance(k, (int, np.integer)) and not isinstance(k, bool) for k in key):
            return self._select(index)
        if len(key) > self.ndim:
            raise IndexError(f"too many indices ({len(key)}) for devices of shape {self.shape}")
        first = self._first()
        stride = self.size
        for k, length in zip(key, self.shape, strict=False):
            if not -length <= k < length:
                raise IndexError(f"index {k} is out of bounds for devices of shape {self.shape}")
            stride //= length
            first += (int(k) + length if k < 0 else int(k)) * stride
        if len(key) == self.ndim:
            return self._owner().device_at(first)
        return DeviceRow(self._owner(), first, self.shape[len(key) :])

    def _select(self, index: Any) -> Any:
        rows = self._first() + np.arange(self.size).reshape(self.shape)[index]
        owner = self._owner()
        if np.ndim(rows) == 0:
            return owner.device_at(int(rows))
        result = np.empty(rows.size, dtype=object)
        for k, row in enumerate(rows.flat):
            result[k] = owner.device_at(int(row))
        return result.reshape(rows.shape)

    def __setitem__(self, index: Any, device: Any) -> None:
        """Copies the parameters, state and conductance of a device (or an array of devices) into the indexed ones."""
        rows = np.asarray(self._first() + np.arange(self.size).reshape(self.shape)[index])
        sources = np.broadcast_to(np.asarray(device, dtype=object), rows.shape)
        owner = self._owner()
        for source in sources.flat:
            owner.check_same_model("devices[...]", source)
        for row, source in zip(rows.flat, sources.flat, strict=True):
            owner.copy_device(int(row), source)


class DeviceRow(DeviceIndexing):
    """A part of an array of devices: what integers in its first dimensions leave."""

    def __init__(self, owner: DeviceArray | ObjectArray, first: int, shape: tuple[int, ...]) -> None:
        self._array = owner
        self._start = first
        self._shape = shape

    def _owner(self) -> DeviceArray | ObjectArray:
        return self._array

    def _first(self) -> int:
        return self._start

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape
