"""Tuning: the relationship between what a crossbar reads and what the digital layer would give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from memtorch._errors import check_bool, check_float, check_shape, check_tensor, invalid

__all__ = ["LinearTransfer", "naive_tune"]


class LinearTransfer(nn.Module):
    """The digital correction after readout: output = gain * readout + offset.

    Both coefficients are float64 buffers, part of ``state_dict``; ``model.half()`` does not round them.

    Args:
        gain: Output units per ampere.
        offset: Output units.
        r2: Coefficient of determination of the fit, or None if the transfer was not fitted.

    Raises:
        InvalidArgument: Something is no finite number.
    """

    gain: Tensor
    offset: Tensor

    def __init__(self, gain: float = 1.0, offset: float = 0.0, r2: float | None = None) -> None:
        super().__init__()
        self.r2 = None if r2 is None else check_float("LinearTransfer", "r2", r2)
        for name, value in (("gain", gain), ("offset", offset)):
            number = check_float("LinearTransfer", name, value)
            self.register_buffer(name, torch.tensor(number, dtype=torch.float64))

    def forward(self, readout: Tensor) -> Tensor:
        """Returns gain * readout + offset in the dtype of ``readout``."""
        check_tensor("LinearTransfer", "readout", readout, finite=False)
        return readout * self.gain + self.offset

    def extra_repr(self) -> str:
        """The coefficients, for ``print(model)``."""
        fitted = "" if self.r2 is None else f", r2={self.r2:.6f}"
        return f"gain={self.gain.item():g}, offset={self.offset.item():g}{fitted}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LinearTransfer:
        kept = {name: buffer for name, buffer in self._buffers.items() if buffer is not None}
        # Buffers made under inference_mode would have no version counter, by which layers notice changes.
        with torch.inference_mode(False), torch.no_grad():
            super()._apply(fn, recurse)
        for name, buffer in kept.items():
            moved = self._buffers[name]
            if moved is not None and moved.dtype != torch.float64:
                self._buffers[name] = buffer.to(moved.device)
        return self


def naive_tune(module: Any, input_shape: tuple[int, ...], verbose: bool = True) -> LinearTransfer:
    """Fits the layer's raw readout to the output of its digital counterpart, without bias.

    Both are evaluated on inputs drawn uniformly from (-1, 1), always the same ones. Gain and offset minimise the
    squared error over all elements. The layer is not changed, neither by an error on the way, and its present
    ``transform_output`` plays no part: tuning again gives the same answer.

    Args:
        module: The patched layer.
        input_shape: Shape of the inputs to evaluate, batch first.
        verbose: Prints the fit.

    Returns:
        The transfer, to be assigned to ``module.transform_output``.

    Raises:
        InvalidArgument: ``module`` is no patched layer, has lost its digital weights (``disable_legacy``), or cannot
            take inputs of ``input_shape``.
    """
    if not (hasattr(module, "read") and hasattr(module, "digital")):
        invalid("naive_tune", "module", type(module).__name__, "be a patched layer")
    shape = check_shape("naive_tune", "input_shape", input_shape)
    verbose = check_bool("naive_tune", "verbose", verbose)
    device, dtype = module.crossbars[0].conductance_matrix.device, _dtype(module)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(shape, generator=generator, dtype=torch.float64).mul_(2).sub_(1).to(device, dtype)
    with torch.no_grad():
        try:
            target = module.digital(x)
        except RuntimeError as error:
            invalid("naive_tune", "input_shape", list(shape), f"fit the layer: {error}")
        transfer = _fit(module.read(x).double().flatten(), target.double().flatten()).to(device)
    if verbose:
        print(
            f"Tuned {type(module).__name__}({module.extra_repr()}): R^2 = {transfer.r2:.6f}, "
            f"gain = {transfer.gain.item():g} 1/A, offset = {transfer.offset.item():g}"
        )
    return transfer


def _dtype(module: Any) -> torch.dtype:
    """What the digital layer computes in; float32 once its weights are gone (``digital`` then raises)."""
    return torch.float32 if module.weight is None else module.weight.dtype


def _fit(readout: Tensor, target: Tensor) -> LinearTransfer:
    """Least squares of target = gain * readout + offset over float64 vectors; a constant readout has gain 0."""
    x, y = readout - readout.mean(), target - target.mean()
    variance, total = torch.dot(x, x).item(), torch.dot(y, y).item()
    rounding = readout.numel() * (1e-12 * readout.abs().max().item()) ** 2  # what is left of equal values
    gain = torch.dot(x, y).item() / variance if variance > rounding else 0.0
    residual = (y - gain * x).square().sum().item()
    r2 = 1 - residual / total if total > 0 else 1.0
    return LinearTransfer(gain, target.mean().item() - gain * readout.mean().item(), r2)
