"""Means over windows, and the guided filter (He, Sun and Tang 2013) at a fraction of the size (He and Sun 2015)."""

import torch.nn.functional as F
from torch import Tensor


def window_mean(planes: Tensor, side: int) -> Tensor:
    """Return the means of planes (B, C, H, W) in windows about each pixel, as far as they lie inside; `side` is odd."""
    half = side // 2
    rows = F.avg_pool2d(planes, (1, side), 1, (0, half), count_include_pad=False)
    return F.avg_pool2d(rows, (side, 1), 1, (half, 0), count_include_pad=False)


def fit(guide: Tensor, target: Tensor, side: int, flat: float, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Fit target ≈ slope · guide + offset about each place of small pictures (B, C, h, w); two (B, C, *size).

    `side` is that of the windows, odd, and `flat` the variance of the guide up to which a place is flat: nothing is
    learned of it but its mean.
    """
    mean, wanted = window_mean(guide, side), window_mean(target, side)
    slope = window_mean(guide * target, side) - mean * wanted
    slope = slope / (window_mean(guide.square(), side) - mean.square() + flat)
    slope, offset = (F.interpolate(window_mean(x, side), size, mode="bilinear") for x in (slope, wanted - slope * mean))
    return slope, offset
