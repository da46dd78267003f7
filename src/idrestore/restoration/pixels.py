"""Arrays of every kind that a photo may be, as RGB and back."""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from idrestore.files import photo

ROWS = 256
"""Rows of a photo that are worked on in floats at a time."""
COMPARED = 1024 * 1024
"""Number of pixels by which large photos are compared, at most."""
CELL = 8
"""Side of the cells in which a photo's grain is measured, px."""
BLACK, WHITE, LEAST = 20, 235, 0.05
"""Means between which a cell is neither black nor white, and the least deviation, in 8-bit levels."""
MANY = 50
"""Cells that are some."""
SMALLEST_HALVED = 160
"""Shorter side of a photo whose grain is measured at half and quarter size too, px."""


Picture = ArrayLike | str | Path | photo.Photo
"""What can be restored: an array, a file's path, or what `idrestore.read` gave."""


class Photo(NamedTuple):
    """A photo split into what is worked on and the rest."""

    array: NDArray[Any]
    """As it came"""
    colour: NDArray[Any]
    """RGB, (H, W, 3)"""
    alpha: NDArray[Any] | None
    """(H, W, 1)"""
    white: float

    @classmethod
    def of(cls, image: Picture) -> Self:
        """Split an image; raise `ValueError` for what `split_channels` does not know."""
        array = array_of(image)
        return cls(array, *split_channels(array))

    def halved(self) -> "Photo":
        """Return the mean colour of blocks of 2 x 2 pixels; an odd last row or column counts twice."""
        height, width = self.colour.shape[:2]
        half = np.empty((-(-height // 2), -(-width // 2), 3), self.colour.dtype)
        for top in range(0, len(half), ROWS):
            rows = self.colour[2 * top : 2 * (top + ROWS)]
            rows = np.pad(rows, ((0, len(rows) % 2), (0, width % 2), (0, 0)), mode="edge").astype(np.float32)
            mean = (rows[::2, ::2] + rows[1::2, ::2] + rows[::2, 1::2] + rows[1::2, 1::2]) / 4
            half[top : top + ROWS] = mean.round() if half.dtype.kind == "u" else mean
        return Photo(half, half, None, self.white)


class Grain(NamedTuple):
    """How much of the finest detail there is where a photo has least, by the size at which it is looked at."""

    full: float
    half: float
    quarter: float
    spread: float = 1.0
    """How many times as much there is elsewhere, at half the size (`spread`)"""


def array_of(picture: Picture) -> NDArray[Any]:
    """Return the array of a picture, RGBA if there is transparency; raise `ImageError` for a file that is none."""
    if isinstance(picture, str | Path):
        from idrestore.files import image  # loads libvips, which arrays do not need

        picture = image.read(picture)
    if not isinstance(picture, photo.Photo):
        return np.asarray(picture)
    return picture.pixels if picture.alpha is None else np.dstack([picture.pixels, picture.alpha])


def split_channels(array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None, float]:
    """Split an image into RGB (H, W, 3), alpha (H, W, 1) or None, and the value of white.

    It is (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, uint16, or floats in [0, 1]; raise `ValueError` if not.
    """
    shape = array.shape
    if len(shape) not in (2, 3) or 0 in shape or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        raise ValueError(f"image: got shape {shape}, expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)")
    peak = _white(array)
    if len(shape) == 2 or shape[2] == 1:
        return np.repeat(array.reshape(*shape[:2], 1), 3, axis=2), None, peak
    return array[..., :3], array[..., 3:] if shape[2] == 4 else None, peak


def _white(array: NDArray[Any]) -> float:
    """Return the value of white in an image; raise `ValueError` for a kind or range of numbers that is none."""
    expected = "expected uint8, uint16, or floats in [0, 1]"
    if array.dtype in (np.uint8, np.uint16):
        return float(np.iinfo(array.dtype).max)
    if array.dtype.kind != "f":
        raise ValueError(f"image: got {array.dtype}, {expected}")
    if not np.isfinite(array).all():
        raise ValueError(f"image: got NaN or infinite values among {array.dtype}, {expected}")
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1:
        white = next((white for white in (255, 65535) if 1 < high <= white), 0)
        cure = f": divide by {white}, or pass uint{8 if white == 255 else 16}" if low >= 0 and white else ": clip them"
        raise ValueError(f"image: got floats from {low:.4g} to {high:.4g}, {expected}{cure}")
    return 1.0


def merge_channels(restored: NDArray[Any], alpha: NDArray[Any] | None, like: NDArray[Any]) -> NDArray[Any]:
    """Bring RGB (H, W, 3) back to the channels of `like`; grey is the mean of the three."""
    if alpha is not None:
        return np.concatenate([restored, alpha], axis=2)
    if like.ndim == 3 and like.shape[2] == 3:
        return restored
    grey = restored.mean(axis=2, dtype=np.float64)
    if like.dtype.kind == "u":
        grey = grey.round()
    same: NDArray[Any] = grey.astype(like.dtype).reshape(like.shape)
    return same


def scaled(pixels: NDArray[Any], peak: float) -> NDArray[np.float32]:
    """Return pixels as floats in [0, 1]."""
    floats = pixels.astype(np.float32)
    floats /= np.float32(peak)
    return floats


def thumbnail(colour: NDArray[Any], peak: float, size: Sequence[int]) -> Tensor:
    """Return RGB (H, W, 3) as (1, 3, h, w) in [0, 1] of such a size: means of blocks, then an exact resampling."""
    counts = (length // max(1, length // wanted) for length, wanted in zip(colour.shape[:2], size, strict=True))
    tops, lefts = ([i * length // n for i in range(n + 1)] for length, n in zip(colour.shape[:2], counts, strict=True))
    rows = np.stack([colour[start:stop].mean(axis=0, dtype=np.float32) for start, stop in pairwise(tops)])
    blocks = np.stack([rows[:, start:stop].mean(axis=1) for start, stop in pairwise(lefts)], axis=1) / np.float32(peak)
    small = torch.from_numpy(blocks).permute(2, 0, 1)[None]
    return F.interpolate(small, tuple(size), mode="bicubic", antialias=True).clamp(0, 1)


def enlarged(before: NDArray[Any], after: NDArray[Any], rows: slice, width: int) -> NDArray[np.float32]:
    """Return how the half of a photo changed, from `before` to `after`, at the photo's own size and in some rows."""
    first = max(0, rows.start // 2 - 1)
    near = slice(first, rows.stop // 2 + 2)
    change = torch.from_numpy(after[near].astype(np.float32) - before[near].astype(np.float32)).permute(2, 0, 1)
    larger = F.interpolate(change[None], scale_factor=2, mode="bilinear")[0].permute(1, 2, 0).numpy()
    same: NDArray[np.float32] = larger[rows.start - 2 * first : rows.stop - 2 * first, :width]
    return same


def crops(image: NDArray[Any], side: int, number: int) -> NDArray[Any]:
    """Return the same crops of a photo (H, W, 3) at every call, (number, side, side, 3), or less if it is smaller."""
    generator = np.random.default_rng(0)
    height, width = image.shape[:2]
    tall, wide = min(side, height), min(side, width)
    tops = generator.integers(0, height - tall + 1, number)
    lefts = generator.integers(0, width - wide + 1, number)
    return np.stack([image[top : top + tall, left : left + wide] for top, left in zip(tops, lefts, strict=True)])


def grains(photos: NDArray[np.float32]) -> Grain:
    """Return the `grain` of photos (n, H, W, 3) in [0, 1] as they are, and once and twice halved.

    Photos under `SMALLEST_HALVED` have too few cells then: of them only the first is measured, the others are 0.
    """
    if min(photos.shape[1:3]) < SMALLEST_HALVED:
        return Grain(grain(photos), 0.0, 0.0)
    half = _halved(photos)
    return Grain(grain(photos), grain(half), grain(_halved(half)), spread(half))


def _halved(photos: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return photos (n, H, W, 3) at half their size."""
    number, height, width, _ = photos.shape
    blocks = photos[:, : height // 2 * 2, : width // 2 * 2].reshape(number, height // 2, 2, width // 2, 2, 3)
    half: NDArray[np.float32] = blocks.mean(axis=(2, 4))
    return half


def grain(photos: NDArray[np.float32]) -> float:
    """Return how coarse the finest detail of photos (n, H, W, 3) in [0, 1] is where it is least, in 8-bit levels.

    It is the tenth percentile of the deviation in cells of `CELL` pixels, of a filter that white noise passes as it is.
    """
    powers, _ = _cells(photos)
    return float(np.sqrt(np.percentile(powers, 10))) if powers.size else 0.0


def spread(photos: NDArray[np.float32]) -> float:
    """Return how many times as much of the finest detail photos (n, H, W, 3) have in a good part as where it is least.

    Those are the thirtieth and the fifth percentile of the deviation of `grain`, in cells that are neither black nor
    white, if there are some.
    """
    powers, means = _cells(photos)
    between = powers[(means > BLACK) & (means < WHITE)]
    least, part = np.sqrt(np.percentile(between if between.size >= MANY else powers, (5, 30)))
    return float(part / max(least, LEAST))


def _cells(photos: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the power of the finest detail in cells of photos (n, H, W, 3), and their means, in 8-bit levels."""
    height, width = (max(0, length - 2) // CELL * CELL for length in photos.shape[1:3])
    grey = 255 * photos.mean(axis=3)
    down = grey[:, :-2] - 2 * grey[:, 1:-1] + grey[:, 2:]
    finest = (down[:, :, :-2] - 2 * down[:, :, 1:-1] + down[:, :, 2:]) / 6
    powers, means = (
        plane[:, :height, :width].reshape(len(photos), height // CELL, CELL, width // CELL, CELL).mean(axis=(2, 4))
        for plane in (np.square(finest), grey[:, 1:-1, 1:-1])
    )
    return powers, means


def roll_off(
    photos: NDArray[np.float32], share: float, highlights: tuple[float, float]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return photos (n, H, W, 3) in [0, 1] with highlights rolled off as film does, hues kept, and what that took.

    Brightness above the first of `highlights` is drawn together below the second; `share` in [0, 1] is how far that
    goes. The second, (n, H, W, 1) or broadcast to it, is the part of a pixel's
    brightness that was taken. Photos without highlights are returned themselves.
    """
    start, limit = highlights
    if not share or photos.max() <= start:
        return photos, np.zeros((1, 1, 1, 1), np.float32)
    brightest = photos.max(axis=3, keepdims=True)
    over, room = np.maximum(brightest - start, 0), limit - start
    taken = np.float32(share) * (over - room * (1 - np.exp(-over / room))) / np.maximum(brightest, start)
    return photos * (1 - taken), taken


def difference(before: NDArray[Any], after: NDArray[Any], peak: float) -> float:
    """Return the root mean square difference of photos (H, W, 3), white being 1; of large ones on a grid of pixels."""
    step = math.ceil(math.sqrt(before.shape[0] * before.shape[1] / COMPARED))
    one, other = (photo[::step, ::step].astype(np.float32) / np.float32(peak) for photo in (before, after))
    return float(np.sqrt(np.square(one - other).mean()))


def is_equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Tell whether two photos (H, ...) are the same, some rows at a time."""
    return all(np.array_equal(one[top : top + ROWS], other[top : top + ROWS]) for top in range(0, len(one), ROWS))


def blend(image: NDArray[Any], before: NDArray[Any], strength: float) -> None:
    """Change a photo (H, ...) in place to what is `strength` of the way from `before` to it, some rows at a time."""
    if strength == 1:
        return
    for top in range(0, len(image), ROWS):
        rows = slice(top, top + ROWS)
        start = before[rows].astype(np.promote_types(before.dtype, np.float32))
        mixed = start + strength * (image[rows] - start)
        image[rows] = mixed.round() if image.dtype.kind == "u" else mixed
