"""BMP and JPEG 2000 files, which Pillow decodes and libvips as a rule does not."""

import re
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
import pyvips

from idrestore.files import vips
from idrestore.files.containers import UnsupportedError, refusing_damage

_MODES = {"1": "L", "P": "RGB", "PA": "RGBA", "YCbCr": "RGB"}
"""Pillow's modes that have to be converted, and to what"""
_CHANNELS = {"L": 1, "I;16": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}


def opener(plugin: str, kind: str) -> Callable[[BinaryIO], vips.Opened]:
    """Return a function that opens a picture with one of Pillow's plugins; it raises `DamagedError`."""

    def opened(file: BinaryIO) -> vips.Opened:
        from importlib import import_module

        file.seek(0)
        with refusing_damage():
            # Not by Image.open, whose limit of pixels is another.
            picture = getattr(import_module(f"PIL.{plugin}"), kind)(file)
        mode = _MODES.get(picture.mode, picture.mode)
        if mode not in _CHANNELS:
            raise UnsupportedError(f"holds pixels of a kind that is not read ({mode}): save it as PNG or TIFF first")
        bits = _bits(file) if plugin == "Jpeg2KImagePlugin" else 8
        depth = 16 if mode == "I;16" else 8
        notes = (f"of {bits} bits 8 were read",) if bits > 8 == depth else ()
        width, height = picture.size
        return vips.Opened(width, height, depth, _CHANNELS[mode], lambda: _decoded(picture, mode), notes)

    return opened


def _decoded(picture: Any, mode: str) -> pyvips.Image:
    with refusing_damage():
        samples = np.asarray(picture if picture.mode == mode else picture.convert(mode))
    profile = picture.info.get("icc_profile")
    return vips.from_array(samples, {"icc-profile-data": profile} if profile else {}, mode == "CMYK")


def _bits(file: BinaryIO) -> int:
    """Return the bits of a sample as the header of a JPEG 2000 code stream has them (ITU-T T.800, A.5.1)."""
    file.seek(0)
    found = re.search(rb"\xff\x4f\xff\x51.{36}(.)", file.read(1 << 16), re.DOTALL)
    return (found[1][0] & 127) + 1 if found else 8
