"""Large pictures in overlapping tiles: where they lie, how much each counts, and their sum.

Pure geometry on (H, W, ...) arrays. The way of use:

>>> image = np.arange(11 * 17 * 3).reshape(11, 17, 3) % 251
>>> def run(tile):
...     patch = image[tile.rows, tile.columns]
...     return crop(pad_to_multiple(patch, 4), *patch.shape[:2])  # ... with a network in between
>>> bands = blend(tiles(11, 17, tile=8, overlap=4, multiple=4), run)
>>> np.allclose(np.concatenate(list(bands)), image)
True
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise
from math import ceil, lcm
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Weights = NDArray[np.float32]


COLUMNS = 32
"""Convolutions of pictures of such a width, or of a multiple, take up to a tenth less time than of some others."""


class Tile(NamedTuple):
    """A rectangle of the picture and how much its pixels count.

    Over all tiles, the weights of a pixel sum to 1.
    """

    rows: slice
    columns: slice
    row_weights: Weights
    """(h,) positive."""
    column_weights: Weights
    """(w,) positive; a pixel's weight is the product of its row's and its column's."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return len(self.row_weights), len(self.column_weights)

    @property
    def weights(self) -> Weights:
        """The weight of each pixel, (h, w)."""
        return np.outer(self.row_weights, self.column_weights)


def fitted(length: int, tile: int, overlap: int, multiple: int = 1) -> int:
    """Return the smallest side that covers `length` with as many spans as `tile` does: less is worked on twice.

    >>> fitted(4000, 1024, 64, 16)  # five of 1024 would overlap by 280
    864
    """
    number = len(_spans(length, tile, overlap, multiple))
    if number == 1:
        return tile
    return ceil((ceil(length / multiple) + (number - 1) * ceil(overlap / multiple)) / number) * multiple


def tiles(height: int, width: int, tile: int | tuple[int, int], overlap: int, multiple: int = 1) -> list[Tile]:
    """Cover a picture with tiles of side `tile`, or of (height, width), row by row from the top left.

    Every tile starts at a multiple of `multiple`, so that a network with strides sees the same
    phase in each, and neighbours share at least `overlap` pixels. Tiles are spread evenly. The last
    of a row or column ends at the border and so may lack up to `multiple` - 1 pixels, which
    `pad_to_multiple` adds. A picture shorter than a tile gets one. Raise `ValueError` if `tile` is
    no multiple of `multiple`, or `overlap` leaves no room to step.
    """
    if min(height, width, multiple) < 1:
        raise ValueError(f"expected sizes of at least 1, got {height}x{width}, multiple {multiple}")
    tall, wide = (tile, tile) if isinstance(tile, int) else tile
    for side in (tall, wide):
        if side < multiple or side % multiple:
            raise ValueError(f"tile: got {side}, expected a multiple of {multiple}")
        if not 0 <= overlap <= side - multiple:
            raise ValueError(f"overlap: got {overlap}, expected 0 to {side - multiple}")
    columns = _spans(width, wide, overlap, multiple)
    return [
        Tile(row, column, row_weights, column_weights)
        for row, row_weights in _spans(height, tall, overlap, multiple)
        for column, column_weights in columns
    ]


def fitted_tiles(height: int, width: int, tile: int, overlap: int, multiple: int = 1) -> list[Tile]:
    """Cover a picture as `tiles` does, by tiles that are `fitted`, and a multiple of `COLUMNS` wide if `tile` is."""
    tall = fitted(height, tile, overlap, multiple)
    columns = lcm(multiple, COLUMNS)
    wide = min(tile, ceil(fitted(width, tile, overlap, multiple) / columns) * columns)
    return tiles(height, width, (tall, wide), overlap, multiple)


def blend(tiles: Sequence[Tile], run: Callable[[Tile], Array]) -> Iterator[NDArray[np.float32]]:
    """Yield the weighted sum of `run` over all tiles as bands of finished rows, from top to bottom.

    `run` gets each tile once, in order, and returns its pixels, (h, w) or (h, w, C). The bands,
    concatenated, are the picture in float32; one row of tiles is all that is in memory at a time, if whoever takes a
    band, which is theirs to change, lets go of it before asking for the next.
    Errors of `run` pass through; a result of another size than its tile raises `ValueError`.
    """
    strips = [list(strip) for _, strip in groupby(tiles, key=lambda tile: tile.rows.start)]
    tops = [strip[0].rows.start for strip in strips] + [tiles[-1].rows.stop]
    unfinished = None
    for strip, (top, next_top) in zip(strips, pairwise(tops), strict=True):
        band = _strip(strip, run)
        if unfinished is not None:
            band[: len(unfinished)] += unfinished
        yield band[: next_top - top]
        unfinished = band[next_top - top :].copy()
        del band  # freed while the next one is made


def pad_to_multiple(array: Array, multiple: int) -> Array:
    """Extend an (H, W, ...) array at the bottom and right to multiples of `multiple`.

    The picture is mirrored, as often as a small one needs; a side of one pixel, which has no mirror
    image, is repeated.
    """
    padding = [(0, -side % multiple) for side in array.shape[:2]] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, padding, mode="reflect")


def crop(array: Array, height: int, width: int) -> Array:
    """Undo `pad_to_multiple`: return the first `height` rows and `width` columns."""
    return array[:height, :width]


def _spans(length: int, tile: int, overlap: int, multiple: int) -> list[tuple[slice, Weights]]:
    """Cover 0..length with spans of `tile`; the weights of a point sum to 1.

    A span's weights are sin⁸ over its whole length, divided by the sum over all spans: 1 where a
    span is alone, an S-shaped ramp from 0 to 1 where two overlap, whatever the overlap. The eighth power keeps the
    first quarter of an overlap, where the cut shows, below 0.02 %; the second would let 10 % of it in.
    """
    last = max(0, ceil((length - tile) / multiple))  # starts are counted in multiples
    steps = ceil(last / ((tile - overlap) // multiple))
    starts = [round(i * last / max(steps, 1)) * multiple for i in range(steps + 1)]
    spans = [slice(start, min(start + tile, length)) for start in starts]
    windows = [_window(span.stop - span.start) for span in spans]
    total = np.zeros(length)
    for span, window in zip(spans, windows, strict=True):
        total[span] += window
    weights = [window / total[span] for span, window in zip(spans, windows, strict=True)]
    return [(span, w.astype(np.float32)) for span, w in zip(spans, weights, strict=True)]


def _window(length: int) -> NDArray[np.float64]:
    return np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 8


def _strip(strip: Sequence[Tile], run: Callable[[Tile], Array]) -> NDArray[np.float32]:
    """Return the weighted sum of one row of tiles over the picture's width."""
    band: NDArray[np.float32] | None = None
    for tile in strip:
        patch = run(tile)
        if patch.shape[:2] != tile.shape:
            raise ValueError(f"run returned {patch.shape} for a tile of {tile.shape}")
        if band is None:
            band = np.zeros((tile.shape[0], strip[-1].columns.stop, *patch.shape[2:]), np.float32)
        weights = tile.weights.reshape(tile.shape + (1,) * (patch.ndim - 2))
        band[:, tile.columns] += patch * weights
    assert band is not None
    return band
