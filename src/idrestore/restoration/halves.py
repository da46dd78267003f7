"""Photos that are worked on at half their size, or less, and changed as their halves are."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from idrestore.restoration import finish, pixels
from idrestore.restoration.pixels import Photo
from idrestore.restoration.plan import Found, Grid, Planner
from idrestore.restoration.request import Request
from idrestore.restoration.results import Result

SOFT = "no detail at its full size, as if enlarged: restored at 1/{} of it"


def sizes(
    photo: Photo, request: Request, planner: Planner, divide: Callable[[Photo], Grid]
) -> tuple[list[Photo], Found]:
    """Return a photo and, if it is soft at the scale of a pixel, its halves down to what is worked on.

    And what was found in the smallest.
    """
    rules, known = planner.rules, planner.find(photo, request, divide(photo))
    found = planner.shares(known.rows)
    is_small = min(photo.colour.shape[:2]) < 2 * pixels.SMALLEST_HALVED
    if request.ingredients is not None or is_small or not rules.may_be_soft(found, known.seen):
        return [photo], known
    halves, of_half = sizes(photo.halved(), request.of_half, planner, divide)
    halved = planner.shares(of_half.rows)
    is_soft = rules.is_soft(found, halved) or rules.is_coarse_rain(halved, known.seen, of_half.seen)
    is_wanted = request.wants(planner.engine.names.index(next(iter(halved))))
    return ([photo, *halves], of_half) if is_soft and is_wanted else ([photo], known)


def at_full_size(photos: list[Photo], result: Result, request: Request) -> Result:
    """Change the first of `sizes` as the last was."""
    for photo, half in reversed(list(pairwise(photos))):
        result = _as_half(photo, half, result, request if photo is photos[0] else request.of_half)
    is_told = len(photos) > 1 and result.changed
    return replace(result, notes=(*result.notes, SOFT.format(2 ** (len(photos) - 1)))) if is_told else result


def _as_half(photo: Photo, half: Photo, result: Result, request: Request) -> Result:
    """Change a photo as its half was."""
    height, width = photo.colour.shape[:2]
    restored = np.empty(photo.colour.shape, photo.array.dtype)
    for top in range(0, height, pixels.ROWS):
        rows = slice(top, min(height, top + pixels.ROWS))
        band = photo.colour[rows] + pixels.enlarged(half.colour, result.image, rows, width)
        restored[rows] = finish.to_values(band / np.float32(photo.white), photo, request, rows)
    image = finish.whole(restored, photo, request)
    return replace(result, image=image, changed=not pixels.is_equal(image, photo.array))
