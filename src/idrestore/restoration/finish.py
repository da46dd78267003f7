"""What a network makes of a photo, as a photo again: of its kind, and with what is protected as it was."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from idrestore.restoration import guard, pixels
from idrestore.restoration.pixels import Photo
from idrestore.restoration.request import Request


def to_values(band: NDArray[np.float32], photo: Photo, request: Request, rows: slice) -> NDArray[np.float32]:
    """Turn rows of floats, in place, into values of the photo's kind, what is protected faded in."""
    scaled = np.clip(band, 0, 1, out=band)
    scaled *= photo.white
    if request.protect is not None:
        scaled += guard.keep(request.protect, rows.start, rows.stop) * (photo.colour[rows] - scaled)
    if photo.array.dtype.kind == "u":
        scaled.round(out=scaled)
    return scaled


def whole(values: NDArray[Any], photo: Photo, request: Request) -> NDArray[Any]:
    """Bring RGB back to a photo's channels, and what is protected exactly, whatever sums and rounding did."""
    image = pixels.merge_channels(values, photo.alpha, photo.array)
    if request.protect is not None:
        image[request.protect] = photo.array[request.protect]
    return image
