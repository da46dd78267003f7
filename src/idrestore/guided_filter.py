"""Means over windows, and the guided filter (He, Sun and Tang 2013) at a fraction of the size (He and Sun 2015)."""

import torch
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


def placed(planes: Tensor, photos: Tensor, size: tuple[int, int], corner: tuple[int, int] = (0, 0)) -> Tensor:
    """Return planes (B, C, h, w) that lie evenly over a picture of `size` where photos (B, 3, H, W) are a part of it.

    `corner` is the upper left pixel of that part; in between, planes are interpolated linearly.
    """
    down, right = places(planes, photos, size, corner)
    return down @ planes @ right.T


def places(grid: Tensor, photos: Tensor, size: tuple[int, int], corner: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return how much each row of a grid over a picture counts at each of a part of it, and each column."""
    down, right = (
        _hats(start, length, whole, cells).to(grid)
        for start, length, whole, cells in zip(corner, photos.shape[-2:], size, grid.shape[-2:], strict=True)
    )
    return down, right


def _hats(start: int, length: int, whole: int, cells: int) -> Tensor:
    """Return how much each of `cells`, spread over `whole` pixels, counts at pixels from `start`; (length, cells)."""
    at = ((torch.arange(start, start + length) + 0.5) * cells / whole - 0.5).clamp(0, cells - 1)
    return (1 - (at[:, None] - torch.arange(cells)).abs()).clamp(min=0)
