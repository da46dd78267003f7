"""Cameras' raw files, developed by LibRaw (extra `raw`) with the camera's own white balance."""

import io
import struct
from typing import Any, BinaryIO

import pyvips

from idrestore.files import exif, isobmff, jpeg, tiff, vips
from idrestore.files.containers import (
    CREDENTIALS,
    Contents,
    applying,
    content,
    length,
    optional,
    refusing_damage,
)

_FUJI, _FUJI_PREVIEW = b"FUJIFILMCCD-RAW", 84
"""How a RAF begins, and where it says where its preview is, and how long"""
_MAX_HEAD = 1 << 20  # bytes of a preview in which its EXIF is looked for
_XMP = 700
_TAGS = frozenset(
    {270, 271, 272, exif.ORIENTATION, exif.SOFTWARE, 306, 315, 316, 18246, 18249, 33432}
    | {exif.EXIF_POINTER, exif.GPS_POINTER}
)
"""Of the first directory: description, maker, model, software, date, artist, computer, rating, copyright; all else says
what the sensor saw, or is a preview"""
_SRGB_CURVE = (2.4, 12.92)  # IEC 61966-2-1: exponent, and slope near black
_CLIPPED = 0.001
"""Share of the pixels that may become white where LibRaw brightens the photo; its own default is 0.01."""


def is_raw(file: BinaryIO) -> bool:
    """Tell whether a file that starts as one is a camera's raw file; a TIFF may be or not."""
    file.seek(0)
    head = file.read(4)
    return tiff.is_raw(file) if head in (b"II*\0", b"MM\0*") else True


def look(file: BinaryIO) -> Contents:
    """Return what a file holds."""
    page = None if is_canon3(file) else next(tiff.directories(file), None)
    tags = page.entries if page is not None else {}
    found = {
        "the raw file's XMP was left out: its settings of development would apply twice": _XMP in tags,
        CREDENTIALS: tiff.CREDENTIALS_TAG in tags,
        "the maker notes of EXIF were left out": is_canon3(file),
    }
    return Contents(notes=applying(found), exif=_exif(file))


def is_canon3(file: BinaryIO) -> bool:
    """Tell whether a raw file is a CR3, whose container is that of films."""
    return content(file, 4, 8) == b"ftypcrx "


def _exif(file: BinaryIO) -> bytes:
    """Return a raw file's EXIF as one block, without what only describes what the sensor saw; empty if it has none."""
    head = content(file, 0, 16)
    if is_canon3(file):
        block = _exif_of_canon3(file)
    elif head.startswith(_FUJI):
        block = _exif_of_jpeg(file, *struct.unpack(">II", content(file, _FUJI_PREVIEW, 8).ljust(8, b"\0")))
    else:
        block = tiff.exif_of(file)
    order = exif.order_of(block)
    tags = {tag: value for tag, value in exif.unpacked(block).items() if tag in _TAGS}
    return exif.packed(tags, order) if tags and order else b""


def _exif_of_jpeg(file: BinaryIO, start: int, count: int) -> bytes:
    """Return the EXIF of the JPEG that a file holds as a preview."""
    preview = io.BytesIO(content(file, start, min(count, _MAX_HEAD)))
    found = (content(preview, *part[1:]) for part in jpeg.segments(preview) if part.marker == jpeg.APP1)
    return next((held.removeprefix(jpeg.EXIF) for held in found if held.startswith(jpeg.EXIF)), b"")


def _exif_of_canon3(file: BinaryIO) -> bytes:
    """Return the EXIF of a CR3, which has a block for each of the directories, each with a header of its own."""
    places = [(0, length(file))]
    for kind, skipped in ((b"moov", 0), (b"uuid", 16)):
        inside = [box for place in places for box in isobmff.boxes(file, *place) if box.kind == kind]
        places = [(box.start + skipped, box.start + box.length) for box in inside]
    blocks = {
        box.kind: content(file, box.start, min(box.length, _MAX_HEAD))
        for place in places
        for box in isobmff.boxes(file, *place)
    }
    first = blocks.get(b"CMT1", b"")
    order, tags = exif.order_of(first), exif.unpacked(first)
    for kind, pointer in ((b"CMT2", exif.EXIF_POINTER), (b"CMT4", exif.GPS_POINTER)):
        if exif.order_of(blocks.get(kind, b"")) == order and (below := exif.unpacked(blocks.get(kind, b""))):
            tags[pointer] = below
    return exif.packed(tags, order) if order else b""


def opened(file: BinaryIO) -> vips.Opened:
    """Open a file as far as its header; raise `DamagedError`, or `UnsupportedError` without rawpy."""
    library = optional("rawpy", "rawpy", "raw", "a camera's raw file")
    file.seek(0)
    with refusing_damage():
        raw = library.imread(file)
        sizes = raw.sizes
    width, height = sizes.width, sizes.height
    if sizes.flip in (5, 6):  # a quarter turn
        width, height = height, width
    return vips.Opened(width, height, 16, 3, lambda: _developed(raw), ("a raw file was developed to 16 bits in sRGB",))


def _developed(raw: Any) -> pyvips.Image:
    with refusing_damage(), raw:
        samples = raw.postprocess(use_camera_wb=True, output_bps=16, gamma=_SRGB_CURVE, auto_bright_thr=_CLIPPED)
    return vips.from_array(samples, {"icc-profile-data": pyvips.Image.profile_load("srgb")})
