"""A photo: its pixels, and what its file said of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.unsignedinteger[Any]]

UNKNOWN_RESOLUTION = (72 / 25.4, 72 / 25.4)
"""Pixels per millimetre of a photo that does not say (EXIF 2.32, tag 282: 72 per inch)."""


class ImageError(ValueError):
    """A picture that cannot be read or written: one line, for people.

    >>> import idrestore
    >>> try:
    ...     idrestore.read("missing.jpg")
    ... except idrestore.ImageError as error:
    ...     print(error)
    missing.jpg cannot be read (No such file or directory): check the name and the permissions
    """


@dataclass(frozen=True)
class Encoding:
    """How a file's pixels were encoded, for a result of the same format to be encoded alike."""

    quality: int | None = None
    """Of JPEG, on libjpeg's scale of 1 to 100, estimated from the quantisation table; None = unknown"""
    chroma: str = "4:4:4"
    """How finely a JPEG stores the colours: 4:4:4, 4:2:2 or 4:2:0"""
    progressive: bool = False
    lossless: bool = False
    """Of WebP, which has both kinds"""
    intent: int | None = None
    """Rendering intent of a PNG that calls itself sRGB, 0 to 3; None = it does not"""
    float_bits: int | None = None
    """Of a sample of a TIFF of floating-point numbers, 16 or 32; None = it holds integers"""


@dataclass(frozen=True, eq=False, repr=False)
class Photo:
    """A picture and what its file said of it; raise `ImageError` if the arrays do not fit.

    >>> import numpy as np
    >>> Photo(np.zeros((2, 3, 3), np.uint8))
    Photo(PNG, uint8 (2, 3, 3), metadata: none)
    """

    pixels: Pixels
    """(H, W, 3) uint8 or uint16, RGB in the file's own profile, upright."""
    alpha: Pixels | None = None
    """(H, W) of the same dtype, 0 = transparent; None = opaque."""
    grey: bool = False
    """The file has one channel of colour: `pixels` holds it three times."""
    format: str = "PNG"
    """What it was read from, such as JPEG: a name in `files/formats.py`"""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """libvips' header fields to write back: icc-profile-data, exif-data, xmp-data, ..."""
    resolution: tuple[float, float] = UNKNOWN_RESOLUTION
    """Horizontal and vertical pixels per millimetre."""
    encoding: Encoding = Encoding()
    """How its file was encoded"""
    notes: tuple[str, ...] = ()
    """What reading changed or left out, in words."""

    def __repr__(self) -> str:
        """Say what it is; pixels and metadata would fill pages."""
        said = ", ".join(sorted(self.metadata)) or "none"
        alpha = "" if self.alpha is None else " and alpha"
        return f"Photo({self.format}, {self.pixels.dtype} {self.pixels.shape}{alpha}, metadata: {said})"

    def __post_init__(self) -> None:
        shape, dtype, alpha = self.pixels.shape, self.pixels.dtype, self.alpha
        if len(shape) != 3 or shape[2] != 3 or 0 in shape or dtype not in (np.uint8, np.uint16):
            raise ImageError(f"pixels are {dtype} {shape}: expected uint8 or uint16 (H, W, 3)")
        if alpha is not None and (alpha.shape, alpha.dtype) != (shape[:2], dtype):
            found = f"{alpha.dtype} {alpha.shape}"
            raise ImageError(f"alpha is {found}: expected {dtype} {shape[:2]}, as the pixels")

    @property
    def depth(self) -> int:
        """Bits per sample in the file: 8, 16, or the 10 or 12 of an AVIF (as arrays: all 16)."""
        if self.pixels.dtype == np.uint8:
            return 8
        bits = self.metadata.get("bits-per-sample")
        return bits if bits in (10, 12) else 16
