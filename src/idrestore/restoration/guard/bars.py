"""Bars: rectangles of one exact colour whose edges are straight and one pixel sharp."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from idrestore.restoration.guard.regions import JPEG_STEP, LARGEST, Plane, Region, areas, largest, squares

Box = tuple[int, int, int, int]

CELL = 4
"""Side of the cells in which one exact colour is looked for, px."""
EXACT = 2
"""Levels of 255 between the darkest and brightest pixel of such a cell."""
TOLERANCE = 6
"""Levels that JPEG moves a bar's rim; what lies around a bar differs by more."""
REACH = 20
"""Pixels between a bar's exact cells and its edge: a JPEG block of halved colours, and a cell."""
LONGEST = 0.9
"""Share of the photo's height or width beyond which a bar belongs to a frame."""
MARGIN = 3
"""Pixels outside an edge that are looked at; fewer are left where the photo ends."""


def find_bars(plane: Plane) -> Iterator[Region]:
    """Yield solid rectangles of at least about 12 x 24 pixels in a brightness (H, W)."""
    cells = squares(plane, CELL)
    low, high = cells.min(axis=(1, 3)), cells.max(axis=(1, 3))
    exact = areas(np.where(high - low <= EXACT, high // 4 + 1, 0).astype(np.uint8))[1]
    for area in largest(area for area in exact if area.fill >= 0.7):
        short, long = sorted((area.bottom - area.top, area.right - area.left))
        if short >= 2 and long >= 5:
            top, left, bottom, right = (CELL * side for side in area[:4])
            colour = int(np.median(plane[top:bottom, left:right][:64, :64]))
            box = _widened(plane, (top, left, bottom, right), colour)
            if _is_bar(plane, box, colour):
                yield Region("bar", *box)


def _around(plane: Plane, box: Box, reach: int) -> list[Plane]:
    """Return the lines of pixels above, before, below and after a box, the nearest first."""
    top, left, bottom, right = box
    return [
        plane[max(0, top - reach) : top, left:right][::-1],
        plane[top:bottom, max(0, left - reach) : left].T[::-1],
        plane[bottom : bottom + reach, left:right],
        plane[top:bottom, right : right + reach].T,
    ]


def _widened(plane: Plane, box: Box, colour: int) -> Box:
    """Move each side of a box outwards as long as the colour stays."""
    steps = []
    for lines in _around(plane, box, REACH):
        same = _distance(lines, colour).mean(axis=1) <= TOLERANCE
        steps.append(int(np.argmin(np.append(same, False))))
    return box[0] - steps[0], box[1] - steps[1], box[2] + steps[2], box[3] + steps[3]


def _is_bar(plane: Plane, box: Box, colour: int) -> bool:
    """Tell whether a box has one colour, which ends within a pixel on all sides but one at the photo's border."""
    (top, left, bottom, right), (height, width) = box, plane.shape
    outside = [_distance(lines, colour) for lines in _around(plane, box, MARGIN) if len(lines) == MARGIN]
    if len(outside) < 3 or bottom - top > LONGEST * height or right - left > LONGEST * width:
        return False
    if (bottom - top) * (right - left) > LARGEST * plane.size or _is_jpeg(plane, box, outside):
        return False
    different = [float((lines[0] > TOLERANCE).mean()) for lines in outside]
    if min(different) < 0.3 or sum(different) < 0.7 * len(different):
        return False
    here, beyond = (sum(float(lines[row].mean()) for lines in outside) for row in (0, MARGIN - 1))
    same = _distance(plane[top:bottom, left:right], colour) <= TOLERANCE
    return bool(here > 0.6 * beyond and same.mean() >= 0.97)


def _is_jpeg(plane: Plane, box: Box, outside: list[NDArray[np.int16]]) -> bool:
    """Tell whether a box of little contrast may be some blocks of a strongly compressed JPEG."""
    ends = (0, 0, *plane.shape)
    on_grid = sum(side % 8 == 0 or side == end for side, end in zip(box, ends, strict=True))
    return on_grid >= 3 and float(np.mean([lines.mean() for lines in outside])) < 2 * JPEG_STEP


def _distance(lines: Plane, colour: int) -> NDArray[np.int16]:
    distance: NDArray[np.int16] = np.abs(lines.astype(np.int16) - np.int16(colour))
    return distance
