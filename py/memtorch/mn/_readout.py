"""What a layer's forward pass derives from its crossbars, kept until something it was derived from changes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from memtorch.map.Module import LinearTransfer

__all__ = ["Readout", "read_in_parts"]

# Partial sums held at a time: enough for an efficient product, and not so many that every call asks the operating
# system for fresh pages, which costs more than the product.
_MAX_PARTIAL_SUMS = 2**20


def read_in_parts(read: Callable[[Tensor], Tensor], v: Tensor, sums_per_sample: int) -> Tensor:
    """Like ``read(v)``, a part of the samples [samples, ...] at a time.

    Args:
        read: Digitised currents [samples, ...] of voltages.
        v: [samples, ...].
        sums_per_sample: Partial sums that ``read`` holds for each sample.
    """
    parts = [read(part) for part in v.split(max(1, _MAX_PARTIAL_SUMS // max(1, sums_per_sample)))]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


class Readout:
    """The effective weight of a layer, in the forms that forward passes need; each is computed when first asked for.

    Torch counts the in-place writes of every storage. A readout is current while its sources are the same storages with
    the same counts, so no write can leave a stale one, however it was made.

    Args:
        sources: Every tensor that the readout depends on.
        dtype: Of the inputs.
        effective: Computes G_pos - G_neg, siemens, in the shape of the digital weight.
        split: Cuts an effective weight at the tiles.
        transfer: The digital correction, folded into weight and bias.
        bias: [outputs] or None.
        settings: What else it depends on.
        former: The readout before. Reading the transfer's numbers waits for a GPU, so that they are taken from there
            while the transfer is the same.
    """

    def __init__(
        self,
        sources: list[Tensor],
        dtype: torch.dtype,
        effective: Callable[[], Tensor],
        split: Callable[[Tensor], Any],
        transfer: LinearTransfer | None,
        bias: Tensor | None,
        settings: tuple[Any, ...] = (),
        former: Readout | None = None,
    ) -> None:
        # Holding on to the sources keeps their addresses from being given to other tensors.
        self._sources = sources
        self._versions = [source._version for source in sources]
        self._dtype = dtype
        self._effective = effective
        self._split = split
        self._transfer = transfer
        self._bias = bias
        self._settings = settings
        self._coefficients = [] if transfer is None else [(x, x._version) for x in (transfer.gain, transfer.offset)]
        if former is not None and self._has_coefficients_of(former):
            self.__dict__ |= {name: former.__dict__[name] for name in ("gain", "offset") if name in former.__dict__}

    def _has_coefficients_of(self, former: Readout) -> bool:
        pairs = zip(self._coefficients, former._coefficients, strict=True)
        return len(self._coefficients) == len(former._coefficients) and all(
            mine is its and version == its_version for (mine, version), (its, its_version) in pairs
        )

    def is_current(self, sources: list[Tensor], dtype: torch.dtype, settings: tuple[Any, ...] = ()) -> bool:
        """Whether the sources are the ones that this was made from, unchanged since."""
        return (
            dtype == self._dtype
            and settings == self._settings
            and len(sources) == len(self._sources)
            and all(
                new.data_ptr() == old.data_ptr() and new._version == version
                for new, old, version in zip(sources, self._sources, self._versions, strict=True)
            )
        )

    @property
    def read_dtype(self) -> torch.dtype:
        """What currents are computed in: float32 at least, since they lie far below the range of half precision."""
        return torch.promote_types(self._dtype, torch.float32)

    @cached_property
    def gain(self) -> float:
        """Output units per ampere."""
        return 1.0 if self._transfer is None else self._transfer.gain.item()

    @cached_property
    def offset(self) -> float:
        """What is added to the output."""
        return 0.0 if self._transfer is None else self._transfer.offset.item()

    @cached_property
    def weight(self) -> Tensor:
        """G_pos - G_neg, siemens."""
        with torch.inference_mode(False), torch.no_grad():
            return self._effective().to(self.read_dtype)

    @cached_property
    def folded_weight(self) -> Tensor:
        """The weight times the gain: with it the torch operator gives the output itself."""
        with torch.inference_mode(False), torch.no_grad():
            return self._effective().to(self.read_dtype).mul_(self.gain).to(self._dtype)

    @cached_property
    def folded_bias(self) -> Tensor | None:
        """The offset plus the bias, [outputs] or 0-d; None if there is nothing to add."""
        with torch.inference_mode(False), torch.no_grad():
            if self._bias is not None:
                return (self._bias + self.offset).to(self._dtype)
            if self.offset == 0:
                return None
            return torch.full((), self.offset, dtype=self._dtype, device=self._sources[0].device)

    @cached_property
    def tiles(self) -> Any:
        """The effective weight cut at the tiles, as the layer multiplies with it."""
        with torch.inference_mode(False), torch.no_grad():
            return self._split(self._effective().to(self.read_dtype))
