"""Blurred patches: no fine detail inside a rectangle or an ellipse, amid a photo that has it."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from idrestore.restoration.guard.regions import (
    Area,
    Mask,
    Plane,
    Region,
    areas,
    clipped,
    grown,
    largest,
    squares,
    strips,
)

Grid = NDArray[np.float32]

CELL = 8
"""Side of the cells in which fine detail is measured, px."""
DETAIL = (0.3, 0.36, 0.43, 0.5, 0.6, 0.7)
"""Mean |Laplacian| / 4, in levels of 255, below which a cell counts as smooth, tried in turn.

Rounding to whole levels alone leaves 0.26; cameras' smooth areas have more, unless they were compressed.
"""
SMOOTHEST = 0.4
"""Median of that inside a patch, at most."""
CONTRAST = 2.5
"""How many times more of it the photo has around a patch."""
VARIED = 5
"""Levels by which the brightness varies inside a patch, at least: a blurred face does, a painted wall does not."""
SAME = 8
"""Levels by which the brightness of a patch and its rim may always differ."""
SMALLEST = 20
"""Cells of a patch, at least."""
SMALL, SHAPED, SMALL_SHAPED = 50, 0.9, 0.95
"""Cells below which chance makes shapes; likeness to a rectangle or an ellipse that larger and smaller patches need."""


def find_blurs(plane: Plane) -> Iterator[Region]:
    """Yield patches of at least about 56 x 56 pixels, away from the borders, in a brightness (H, W)."""
    if min(plane.shape) < CELL:
        return
    detail, mean = _measures(plane)
    for threshold in DETAIL:
        smooth = grown(~grown(detail > threshold))  # without bridges and tips one cell wide
        labels, found = areas(smooth.astype(np.uint8))
        for area in largest(area for area in found if area.size >= SMALLEST and area.fill >= 0.6):
            if _is_patch(detail, mean, labels, area):
                box = (area.top - 1, area.left - 1, area.bottom + 1, area.right + 1)
                yield Region("blur", *clipped(plane, *(CELL * side for side in box)))


def _measures(plane: Plane) -> tuple[Grid, Grid]:
    """Return the mean of |Laplacian| / 4 and of the brightness in each cell (h, w)."""
    details, means = [], []
    for rows in strips(len(plane) - len(plane) % CELL):
        above, below = max(0, rows.start - 1), min(rows.stop + 1, len(plane))
        missing = (int(rows.start == 0), int(below == rows.stop))
        strip = np.pad(plane[above:below].astype(np.int16), (missing, (1, 1)), mode="edge")
        centre = strip[1:-1, 1:-1]
        around = strip[:-2, 1:-1] + strip[2:, 1:-1] + strip[1:-1, :-2] + strip[1:-1, 2:]
        details.append(squares(np.abs(4 * centre - around), CELL).mean(axis=(1, 3), dtype=np.float32) / 4)
        means.append(squares(centre, CELL).mean(axis=(1, 3), dtype=np.float32))
    return np.concatenate(details), np.concatenate(means)


def _is_patch(detail: Grid, mean: Grid, labels: NDArray[np.int32], area: Area) -> bool:
    """Tell a patch that was blurred from a smooth thing, which has another shape, no detail around it, or an edge."""
    top, left, bottom, right = area[:4]
    (height, width) = detail.shape
    if min(top, left, height - bottom, width - right) == 0 or area.size > 0.3 * detail.size:
        return False
    shape = labels[top:bottom, left:right] == area.label
    if _likeness(shape) < (SHAPED if area.size >= SMALL else SMALL_SHAPED):
        return False
    window = (slice(max(0, top - 2), bottom + 2), slice(max(0, left - 2), right + 2))
    detail, mean, inside = detail[window], mean[window], labels[window] == area.label
    rim = grown(inside)
    ring = grown(rim) & ~rim
    smooth, rough = np.median(detail[inside]), np.median(detail[ring])
    goes_on = abs(mean[inside].mean() - mean[rim & ~inside].mean()) <= max(SAME, 0.6 * mean[ring].std())
    amid = smooth <= SMOOTHEST and rough >= max(2 * DETAIL[0], CONTRAST * smooth)
    return bool(amid and goes_on and mean[inside].std() >= VARIED)


def _likeness(shape: Mask) -> float:
    """Return how well a mask (h, w) fills a rectangle or an ellipse of its size: shared over united area."""
    y, x = (((np.arange(size) + 0.5) / size - 0.5) ** 2 for size in shape.shape)
    ellipse = y[:, None] + x <= 0.25
    return max(float(shape.mean()), float((shape & ellipse).sum() / (shape | ellipse).sum()))
