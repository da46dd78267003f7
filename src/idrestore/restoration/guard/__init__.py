"""What restoring must leave alone: masks that people paint, and redactions found in the picture.

A face that was pixelated, blurred or covered on purpose would be redrawn by a network: a lie, or a leak. Classical
image analysis looks for three traces that cameras do not leave: bars of one exact colour with straight and sudden
edges, mosaics whose steps lie on one regular grid, and patches without fine detail, shaped by a tool, amid a photo
that has it.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from idrestore.restoration import pixels
from idrestore.restoration.guard.bars import find_bars
from idrestore.restoration.guard.blurs import find_blurs
from idrestore.restoration.guard.mosaics import find_mosaics
from idrestore.restoration.guard.regions import Mask, Plane, Region, grown, strips, without_inner

__all__ = ["FEATHER", "Mask", "Region", "find_redactions", "keep", "mask_of"]

FEATHER = 4
"""Pixels outside a protected region over which the restored photo takes over."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""JPEG's brightness (ITU-R BT.601): what JPEG does to colours leaves no trace in it."""


def find_redactions(image: ArrayLike) -> list[Region]:
    """Find bars, mosaics and blurred patches that were put into a photo on purpose.

    `image` is (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA of uint8, uint16, or floats in [0, 1]. Regions may
    overlap, and reach some pixels beyond what was found; those inside another are left out. Raises `ValueError` for
    arrays of another shape or type.
    """
    plane = _brightness(np.asarray(image))
    return without_inner((*find_bars(plane), *find_mosaics(plane), *find_blurs(plane)))


def mask_of(regions: Collection[Region], height: int, width: int) -> Mask:
    """Return the union of regions as a (height, width) mask, True = leave alone."""
    mask = np.zeros((height, width), np.bool_)
    for region in regions:
        mask[region.top : region.bottom, region.left : region.right] = True
    return mask


def keep(mask: Mask, top: int, bottom: int) -> NDArray[np.float32]:
    """Return how much of the original stays in rows `top` to `bottom` of a photo, (rows, W, 1) in [0, 1].

    It is 1 where the mask (H, W) is True, and falls to 0 over `FEATHER` pixels outside of it.
    """
    start = max(0, top - FEATHER)
    wider = mask[start : bottom + FEATHER]
    total = wider.astype(np.float32)
    for _ in range(FEATHER):
        wider = grown(wider)
        total += wider
    return total[top - start : bottom - start, :, None] / np.float32(FEATHER + 1)


def _brightness(array: NDArray[Any]) -> Plane:
    """Return the brightness in 8 bits, (H, W)."""
    colour, _, peak = pixels.split_channels(array)
    plane = np.empty(colour.shape[:2], np.uint8)
    for rows in strips(len(plane)):
        luma = colour[rows].astype(np.float32) @ LUMA
        plane[rows] = (luma * np.float32(255 / peak)).clip(0, 255).round()
    return plane
