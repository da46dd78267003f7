"""What the detectors share: regions, strips of rows that bound memory, cells of pixels and their connected areas."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import pyvips
from numpy.typing import NDArray

Plane = NDArray[np.uint8]
"""Brightness (H, W)."""
Mask = NDArray[np.bool_]

STRIP = 512
"""Rows that are measured at a time, so that memory beyond a few bytes a pixel does not grow with the photo's height."""
LARGEST = 0.5
"""Share of the photo that a redaction covers at most: more is the photo itself."""
JPEG_STEP = 20
"""Levels of 255 below which steps on a grid of 8 pixels may be those of a strongly compressed JPEG."""


MOST = 2000
"""Areas that a detector looks at closely, the largest: more are a pattern. Rows of bars then take 3 s at 48 megapixels,
a photo 2 s (docs/guide/guard.md); without this bound they took 18 s at 9 megapixels, and did not end at 16."""
PLACE = 64
"""Side of the squares under which regions are listed, px."""


class Region(NamedTuple):
    """A rectangle to leave alone, in pixels: `bottom` and `right` are the first row and column outside."""

    kind: Literal["bar", "mosaic", "blur"]
    top: int
    left: int
    bottom: int
    right: int

    def holds(self, other: "Region") -> bool:
        """Tell whether another region, not of the same four sides, lies inside."""
        inside = self.top <= other.top and self.left <= other.left
        return inside and other.bottom <= self.bottom and other.right <= self.right and self[1:] != other[1:]

    def meets(self, other: "Region") -> bool:
        """Tell whether another region shares pixels with this one."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


def by_place(regions: Iterable[Region]) -> dict[tuple[int, int], list[Region]]:
    """List regions under each square of `PLACE` pixels that they touch.

    What shares pixels shares a square, in which few regions have room: so pairs are found in a time that grows with the
    photo, not with the square of the number of regions.
    """
    places: dict[tuple[int, int], list[Region]] = {}
    for region in regions:
        for row in range(region.top // PLACE, (region.bottom - 1) // PLACE + 1):
            for column in range(region.left // PLACE, (region.right - 1) // PLACE + 1):
                places.setdefault((row, column), []).append(region)
    return places


def without_inner(regions: Iterable[Region]) -> list[Region]:
    """Leave out regions that lie inside another."""
    regions = sorted(set(regions), key=lambda region: region[1:])
    places = by_place(regions)
    return [
        region
        for region in regions
        if not any(other.holds(region) for other in places[region.top // PLACE, region.left // PLACE])
    ]


class Area(NamedTuple):
    """A connected area of cells: its box, how many cells of it belong to the area, and its label."""

    top: int
    left: int
    bottom: int
    right: int
    size: int
    label: int

    @property
    def fill(self) -> float:
        """Share of the box, 0 to 1."""
        return self.size / ((self.bottom - self.top) * (self.right - self.left))


def areas(values: NDArray[np.uint8]) -> tuple[NDArray[np.int32], list[Area]]:
    """Label cells (h, w) of equal value that touch along their sides; list the areas whose value is not 0."""
    if not values.any():
        return np.zeros(values.shape, np.int32), []
    labels = pyvips.Image.new_from_array(values).labelregions().numpy().reshape(values.shape)
    rows, columns = np.nonzero(values)
    order = np.argsort(labels[rows, columns], kind="stable")
    rows, columns = rows[order], columns[order]
    names, starts, counts = np.unique(labels[rows, columns], return_index=True, return_counts=True)
    first = (np.minimum.reduceat(rows, starts), np.minimum.reduceat(columns, starts))
    last = (np.maximum.reduceat(rows, starts) + 1, np.maximum.reduceat(columns, starts) + 1)
    return labels, [Area(*map(int, row)) for row in zip(*first, *last, counts, names, strict=True)]


def largest(candidates: Iterable[Area]) -> list[Area]:
    """Return the `MOST` areas of the most cells."""
    return sorted(candidates, key=lambda area: -area.size)[:MOST]


def strips(height: int) -> Iterator[slice]:
    """Cover rows 0 to `height`."""
    return (slice(top, min(top + STRIP, height)) for top in range(0, height, STRIP))


def grown(mask: Mask) -> Mask:
    """Extend a mask (h, w) by one to the eight neighbours."""
    tall = mask.copy()
    tall[1:] |= mask[:-1]
    tall[:-1] |= mask[1:]
    wide = tall.copy()
    wide[:, 1:] |= tall[:, :-1]
    wide[:, :-1] |= tall[:, 1:]
    return wide


def pooled(values: NDArray[Any], size: int) -> NDArray[np.int64]:
    """Sum squares of `size`; those at the bottom and right may be smaller."""
    rows = np.add.reduceat(values.astype(np.int64), np.arange(0, values.shape[0], size), axis=0)
    return np.add.reduceat(rows, np.arange(0, values.shape[1], size), axis=1)


def squares(plane: NDArray[Any], size: int) -> NDArray[Any]:
    """View (H, W) as squares, (h, size, w, size); what is left at the bottom and right is left out."""
    height, width = (length // size for length in plane.shape)
    return plane[: height * size, : width * size].reshape(height, size, width, size)


def clipped(plane: Plane, top: int, left: int, bottom: int, right: int) -> tuple[int, int, int, int]:
    """Cut a box at the photo's borders."""
    return max(0, top), max(0, left), min(bottom, plane.shape[0]), min(right, plane.shape[1])
