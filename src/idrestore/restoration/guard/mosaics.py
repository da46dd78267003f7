"""Mosaics: areas, flat for the most part, whose clean steps in both directions lie on one regular grid."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idrestore.restoration.guard.regions import (
    JPEG_STEP,
    LARGEST,
    Mask,
    Plane,
    Region,
    areas,
    by_place,
    clipped,
    grown,
    largest,
    pooled,
    strips,
)

Counts = NDArray[np.int64]
Steps = NDArray[np.int16]

CELL = 16
"""Side of the cells in which steps are counted, px."""
SCALES = (1, 4)
"""Sides, in such cells, of those that hold a step each way: blocks of 4 to 16, and of 16 to 64 pixels."""
STEP = 3
"""Levels of 255 by which two blocks differ at least."""
FLAT = 0.4
"""Share of pixels in a mosaic's cell that are like their neighbours; blocks of 4 have 0.56, less after JPEG."""
ON_GRID = 0.5
"""How far steps gather on the grid, 0 to 1, at least."""


FILL = 0.2
"""Share of its box that a mosaic's area fills at least. An ellipse has 0.79; a thin ring or a spiral is no mosaic, and
rings in one another would be searched again and again."""
ROUNDS = 8
"""How often boxes that meet are joined; each is left alone in any case, joined or not."""


class Grid(NamedTuple):
    """The side of square blocks, and the box that they cover, px."""

    block: int
    top: int
    left: int
    bottom: int
    right: int


def find_mosaics(plane: Plane) -> Iterator[Region]:
    """Yield pixelated areas with blocks of 4 to 64 pixels, about four each way or more, in a brightness (H, W)."""
    found: list[Region] = []
    across, down, flat = _counts(plane)
    for scale in SCALES:
        busy = np.minimum(pooled(across * flat, scale), pooled(down * flat, scale)) >= 4 * scale
        if scale == 1:
            busy = grown(busy) & flat
        labels, components = areas(busy.astype(np.uint8))
        for area in largest(area for area in components if area.fill >= FILL):
            wanted = _repeated(labels[area.top : area.bottom, area.left : area.right] == area.label, scale)
            corner = (area.top * scale, area.left * scale)
            part = flat[corner[0] : area.bottom * scale, corner[1] : area.right * scale]
            grid = _grid(plane, part & wanted[: part.shape[0], : part.shape[1]], corner, scale * CELL)
            if grid is not None:
                found.append(_completed(plane, grid))
    return iter(_merged(found))


def _step_maps(plane: Plane) -> Iterator[tuple[slice, Steps, Steps]]:
    """Yield strips of rows, and in them the clean steps to the right and to the lower neighbour, (h, W) each."""
    for rows in strips(len(plane)):
        first = max(0, rows.start - 8)
        strip = plane[first : rows.stop + 8].astype(np.int16)
        inner = slice(rows.start - first, rows.stop - first)
        yield rows, _steps(strip)[inner], _steps(strip.T).T[inner]


def _steps(strip: Steps) -> Steps:
    """Return four times the height of each step to the right neighbour (H, W), 0 unless both sides are flat.

    Four rows from here on are averaged, so that JPEG's ripples and noise count less.
    """
    result = np.zeros_like(strip)
    if strip.shape[0] < 4 or strip.shape[1] < 6:
        return result
    four = strip[:-3] + strip[1:-2] + strip[2:-1] + strip[3:]
    jumps = np.abs(np.diff(four, axis=1))  # (H - 3, W - 1)
    here = jumps[:, 2:-2]
    beside = np.maximum(np.maximum(jumps[:, :-4], jumps[:, 1:-3]), np.maximum(jumps[:, 3:-1], jumps[:, 4:]))
    result[:-3, 2:-3] = np.where((here >= 4 * STEP) & (3 * beside <= here), here, 0)
    return result


def _counts(plane: Plane) -> tuple[Counts, Counts, Mask]:
    """Count the steps across and down in each cell, and tell which are flat in between, (h, w) each."""
    across, down, flat = [], [], []
    for rows, right, lower in _step_maps(plane):
        across.append(pooled(right > 0, CELL))
        down.append(pooled(lower > 0, CELL))
        strip = plane[rows].astype(np.int16)
        beside, below = (np.abs(np.diff(strip, axis=axis, append=strip.take([-1], axis))) for axis in (1, 0))
        flat.append(pooled(np.maximum(beside, below) < STEP, CELL) >= FLAT * CELL**2)
    return np.concatenate(across), np.concatenate(down), np.concatenate(flat)


def _repeated(mask: Mask, size: int) -> Mask:
    return mask.repeat(size, axis=0).repeat(size, axis=1)


def _grid(plane: Plane, cells: Mask, corner: tuple[int, int], longest: int) -> Grid | None:
    """Find one regular grid of steps in some cells (h, w) of the photo, whose first is `corner`."""
    if cells.size * CELL**2 > LARGEST * plane.size:
        return None
    start = [CELL * place for place in corner]
    down, across, height = _profiles(plane[start[0] :, start[1] :][: CELL * len(cells), : CELL * cells.shape[1]], cells)
    if height < JPEG_STEP and all(_is_jpeg(steps, first) for steps, first in zip((down, across), start, strict=True)):
        return None
    block = _block(down, across, longest)
    if not block:
        return None
    found = [_lines(steps, block) + first + 1 for steps, first in zip((down, across), start, strict=True)]
    spans = [int(lines[-1] - lines[0]) // block + 1 for lines in found]
    enough = sum(spans) >= (8 if block < 8 else 6) and block * (min(spans) - 1) >= 16
    if not enough or 2 * sum(map(len, found)) < sum(spans):
        return None
    (top, bottom), (left, right) = ((int(lines[0]) - block, int(lines[-1]) + block) for lines in found)
    return Grid(block, top, left, bottom, right)


def _profiles(inside: Plane, cells: Mask) -> tuple[Counts, Counts, float]:
    """Count steps down in each row (H,) and across in each column (W,) of some cells; add their mean height."""
    down, across = (np.zeros(size, np.int64) for size in inside.shape)
    heights = 0
    for rows, right, lower in _step_maps(inside):
        wanted = _repeated(cells[rows.start // CELL : -(-rows.stop // CELL)], CELL)[: len(right), : right.shape[1]]
        right, lower = right * wanted, lower * wanted
        across += (right > 0).sum(axis=0)
        down[rows] = (lower > 0).sum(axis=1)
        heights += int(right.sum()) + int(lower.sum())
    return down, across, heights / (4 * max(1, int(down.sum() + across.sum())))


def _folded(steps: Counts, block: int) -> Counts:
    """Sum steps (n,) at each phase of a period, (block,)."""
    folded: Counts = np.pad(steps, (0, -len(steps) % block)).reshape(-1, block).sum(axis=0)
    return folded


def _gathered(steps: Counts, block: int) -> float:
    """Return how far steps (n,) gather at one phase of a period: 0 if they are spread evenly, 1 if all do."""
    folded = _folded(steps, block)
    return float((folded.max() / max(1, folded.sum()) - 1 / block) / (1 - 1 / block))


def _block(down: Counts, across: Counts, longest: int) -> int:
    """Return the period at which steps in both directions gather, the longest of those that fit alike; 0 if none."""
    blocks = range(longest // 4, longest + 1)
    fits = [min(_gathered(down, block), _gathered(across, block)) for block in blocks]
    if max(fits) < ON_GRID:
        return 0
    return max(block for block, fit in zip(blocks, fits, strict=True) if fit >= 0.85 * max(fits))


def _lines(steps: Counts, block: int) -> Counts:
    """Return where the grid of that period has steps worth the name: indices into (n,), never none."""
    lines: Counts = np.arange(int(_folded(steps, block).argmax()), len(steps), block)
    used: Counts = lines[steps[lines] >= max(1, 0.1 * steps[lines].max())]
    return used


def _is_jpeg(steps: Counts, first: int) -> bool:
    """Tell whether steps gather where JPEG's blocks of 8 pixels meet."""
    return _gathered(steps, 8) > 0.5 and (int(_folded(steps, 8).argmax()) + first + 1) % 8 == 0


def _completed(plane: Plane, grid: Grid) -> Region:
    """Add lines of blocks on each side as long as their pixels jump at the grid and hardly in between."""
    block = grid.block
    sides = [grid.top, grid.left, grid.bottom, grid.right]
    for axis, picture in ((0, plane), (1, plane.T)):
        length = sides[2 + axis] - sides[axis]
        for _ in range(length // block):  # at most twice as long again

            def line(start: int, axis: int = axis, picture: Plane = picture) -> Plane:
                first = sides[1 - axis]
                return picture[start : start + block, first if first >= 0 else first % block : sides[3 - axis]]

            if sides[axis] >= block and _is_blocky(line(sides[axis] - block), block):
                sides[axis] -= block
            if _is_blocky(line(sides[2 + axis]), block):
                sides[2 + axis] += block
    # A block more: those of an ellipse's rim are few, and those at the photo's border are cut.
    top, left, bottom, right = sides
    return Region("mosaic", *clipped(plane, top - block, left - block, bottom + block, right + block))


def _is_blocky(line: Plane, block: int) -> bool:
    """Tell whether a line of blocks (block, n) jumps at multiples of `block` and hardly in between."""
    if len(line) < block or line.shape[1] < 2 * block:
        return False
    jumps = np.abs(np.diff(line.astype(np.int16), axis=1)).mean(axis=0)  # (n - 1,)
    at_grid = np.arange(1, line.shape[1]) % block == 0
    return bool(jumps[at_grid].mean() >= max(1, 2 * jumps[~at_grid].mean()))


def _merged(regions: list[Region]) -> list[Region]:
    """Replace regions that meet by the box around them, and again as long as such boxes meet; see `ROUNDS`."""
    for _ in range(ROUNDS):
        boxes = _boxes(regions)
        if len(boxes) == len(regions):
            break
        regions = boxes
    return regions


def _boxes(regions: list[Region]) -> list[Region]:
    """Return the boxes around regions that meet, directly or by way of others."""
    leader = {region: region for region in regions}

    def lead(region: Region) -> Region:
        while leader[region] != region:
            leader[region] = region = leader[leader[region]]
        return region

    for group in by_place(leader).values():
        for number, region in enumerate(group):
            for other in group[:number]:
                if region.meets(other):
                    leader[lead(other)] = lead(region)
    boxes: dict[Region, Region] = {}
    for region in leader:
        box = boxes.get(lead(region), region)
        first, last = map(min, region[1:3], box[1:3]), map(max, region[3:], box[3:])
        boxes[lead(region)] = Region("mosaic", *first, *last)
    return list(boxes.values())
