"""Mapping of weights to conductances."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from memtorch._errors import check_float, check_tensor, invalid
from memtorch._weight_ops import map_weights
from memtorch.bh.crossbar import Scheme

__all__ = ["naive_map"]


def naive_map(
    weight: Tensor, r_on: float, r_off: float, scheme: Scheme, p_l: float | None = None
) -> Tensor | tuple[Tensor, Tensor]:
    """Maps weights linearly to conductances.

    With w_max the largest magnitude that is kept, g_on = 1 / r_on and g_off = 1 / r_off:

    * double column: g_pos = g_off + (g_on - g_off) max(w, 0) / w_max, g_neg the same of -w; the weight is proportional
      to g_pos - g_neg;
    * single column: [-w_max, w_max] maps to [g_off, g_on]; the weight is proportional to g - g_m, where
      g_m = (g_on + g_off) / 2 is the conductance of the reference column.

    Weights that are all zero give a difference of zero. The result is differentiable by the weights, w_max included.

    Args:
        weight: Any shape and floating dtype, any strides.
        r_on: Low resistance, ohm.
        r_off: High resistance, ohm.
        scheme: How a weight is represented.
        p_l: Proportion of the weights to retain, in (0, 1]: w_max is the magnitude that this proportion does not
            exceed, larger weights saturate. None: all, as 1.

    Returns:
        Conductances in siemens, the shape of ``weight``, float32 (float64 for a float64 weight): (positive, negative)
        for the double column, one tensor for the single column.

    Raises:
        InvalidArgument: Resistances that are not 0 < r_on < r_off, weights that are empty, not real or not finite,
            ``p_l`` out of range or so small that only zeros are retained, an unknown scheme.
    """
    g_off, g_on = _conductance_range(r_on, r_off)
    if not isinstance(scheme, Scheme):
        invalid("naive_map", "scheme", scheme, f"be one of {', '.join(map(str, Scheme))}")
    check_tensor("naive_map", "weight", weight, finite=False)
    if not weight.is_floating_point() or weight.numel() == 0 or weight.is_meta:
        must = "be floating point and not empty"
        invalid("naive_map", "weight", f"{weight.dtype}, shape {list(weight.shape)}, {weight.device}", must)
    differentiable = weight.requires_grad and torch.is_grad_enabled()
    with torch.no_grad():
        w = weight.detach()
        w = w if w.dtype in (torch.float32, torch.float64) else w.float()
        low, high = (bound.item() for bound in torch.aminmax(w))
        if not (math.isfinite(low) and math.isfinite(high)):
            invalid("naive_map", "weight", f"range {low:g} to {high:g}", "be finite")
        w_max = max(-low, high)
        if p_l is not None:
            w_max = _retained_maximum(w, w_max, p_l)
        pair = scheme is Scheme.DoubleColumn
        middle, slope = (g_off, g_on - g_off) if pair else ((g_on + g_off) / 2, (g_on - g_off) / 2)
        if not differentiable:
            mapped = map_weights(w, w_max, (middle, slope), (g_off, g_on), pair)
    if differentiable:
        relative = _relative(weight.to(w.dtype), w_max)
        slopes = (slope, -slope) if pair else (slope,)
        mapped = [(middle + signed * relative).clamp(g_off, g_on) for signed in slopes]
    return mapped[0] if len(mapped) == 1 else (mapped[0], mapped[1])


def _conductance_range(r_on: float, r_off: float) -> tuple[float, float]:
    """(1 / r_off, 1 / r_on) of checked resistances, siemens."""
    low = check_float("naive_map", "r_on", r_on, 0, exclusive=True, unit="ohm")
    high = check_float("naive_map", "r_off", r_off, 0, exclusive=True, unit="ohm")
    if low >= high:
        invalid("naive_map", "r_on", r_on, f"be smaller than r_off ({r_off} ohm)", "ohm")
    return 1 / high, 1 / low


def _retained_maximum(w: Tensor, largest: float, p_l: float) -> float:
    """The smallest magnitude that at least a proportion ``p_l`` of the weights does not exceed."""
    p_l = check_float("naive_map", "p_l", p_l, 0, 1, exclusive=True)
    # The product is rounded first: 0.07 * 100 is a little above 7.
    rank = min(max(math.ceil(round(p_l * w.numel(), 6)), 1), w.numel())
    retained = float(w.abs().flatten().kthvalue(rank).values.item())
    if retained == 0 and largest > 0:
        invalid("naive_map", "p_l", p_l, "be larger: the weights that it retains are all zero")
    return retained


def _relative(w: Tensor, w_max: float) -> Tensor:
    """W / w_max, differentiable also by the weights that w_max is the magnitude of."""
    if w_max == 0:
        return w * 0
    magnitude = w.abs()
    return w / magnitude[magnitude == w_max].mean()
