"""The table of picture formats: how a file is recognised, checked and opened, and how one is written."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from idrestore.files import gif, heif, isobmff, jpeg, pillow, png, raw, tiff, vips, webp
from idrestore.files.containers import Contents

_HEAD = 64  # bytes, enough for each signature


def _nothing(file: BinaryIO) -> None:
    """Find nothing wrong."""


@dataclass(frozen=True)
class Format:
    """A format of picture files."""

    name: str
    """As in `Photo.format`"""
    signature: bytes
    """Regular expression of a file's first bytes: content decides how it is read, not its name."""
    bits: int
    suffixes: tuple[str, ...]
    open: Callable[[BinaryIO], vips.Opened]
    """Opens a file as far as its header"""
    saver: str = ""
    """libvips' name of what writes it; empty = cannot be written"""
    options: Mapping[str, Any] | None = None
    """What its saver is told, `Q` being the default quality"""
    look: Callable[[BinaryIO], Contents] = lambda file: Contents()
    """Tells what it holds beside the pixels; raises `UnsupportedError` where opening it would take too much memory, or
    cannot work"""
    check_whole: Callable[[BinaryIO], None] = _nothing
    """Raises `DamagedError` where its decoder would not see that something is missing"""
    read_whole: bool = False
    """Whether its decoder holds all of the file in memory"""
    mended: Callable[[BinaryIO, str], tuple[BinaryIO, str]] | None = None
    """Given a file and the complaint of libvips' loader, returns what to decode in its place, and at which level the
    loader is to fail; raises `DamagedError` where it was right"""
    is_one: Callable[[BinaryIO], bool] = lambda file: True
    """Tells whether a file whose first bytes fit really is one"""
    colours: bool = False
    """It holds three channels of colour, and greys as such"""
    written_as: str = ""
    """Ending of the closest format of those that can be written, where this one cannot"""


FORMATS = (
    Format(
        "raw",
        rb"II\*\0|MM\0\*|IIR[OS]|MMOR|IIU\0|FUJIFILMCCD-RAW|....ftypcrx ",
        16,
        (".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw"),
        raw.opened,
        look=raw.look,
        is_one=raw.is_raw,
        read_whole=True,
        written_as=".tif",
    ),
    Format(
        "JPEG",
        rb"\xff\xd8\xff",
        8,
        (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
        vips.opener("jpeg", "warning"),
        "jpeg",
        {"Q": 95, "subsample_mode": "off", "background": [255]},
        jpeg.look,
        mended=jpeg.mended,
    ),
    Format(
        "PNG",
        rb"\x89PNG\r\n\x1a\n",
        16,
        (".png", ".apng"),
        vips.opener("png"),
        "png",
        {},
        png.look,
    ),
    Format(
        "WebP",
        rb"RIFF....WEBP",
        8,
        (".webp",),
        vips.opener("webp"),
        "webp",
        {"Q": 95, "smart_subsample": True},
        webp.look,
        read_whole=True,
        colours=True,
    ),
    Format(
        "TIFF",
        rb"II[*+]\0|MM\0[*+]",
        16,
        (".tif", ".tiff"),
        vips.opener("tiff", "warning"),  # or a tile that cannot be decoded would come back black
        "tiff",
        {"compression": "deflate", "predictor": "horizontal"},
        tiff.look,
        tiff.check_whole,
        mended=tiff.mended,
    ),
    Format(
        "AVIF",
        rb"....ftyp(avi[fs]|mi(f1|af)|msf1)",
        12,
        (".avif",),
        vips.opener("heif"),
        "heif",
        {"Q": 90, "subsample_mode": "off", "compression": "av1"},
        isobmff.look,
        isobmff.check_whole,
        read_whole=True,
        colours=True,
    ),
    Format(
        "HEIC",
        rb"....ftyphe[iv][cxms]",
        12,
        (".heic", ".heif"),
        heif.opened,
        written_as=".jpg",
        look=isobmff.look,
        check_whole=isobmff.check_whole,
        read_whole=True,
    ),
    Format("GIF", rb"GIF8[79]a", 8, (".gif",), vips.opener("gif"), look=gif.look, read_whole=True, written_as=".png"),
    Format("BMP", b"BM", 8, (".bmp",), pillow.opener("BmpImagePlugin", "BmpImageFile"), written_as=".png"),
    Format(
        "JPEG 2000",
        rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
        16,
        (".jp2", ".j2k", ".jpx", ".j2c"),
        pillow.opener("Jpeg2KImagePlugin", "Jpeg2KImageFile"),
        read_whole=True,
        written_as=".png",
    ),
    Format(
        "JPEG XL",
        rb"\0\0\0\x0cJXL \r\n\x87\n|\xff\x0a",
        16,
        (".jxl",),
        vips.opener("jxl"),
        read_whole=True,
        written_as=".png",
    ),
)
BY_SUFFIX = {suffix: row for row in FORMATS for suffix in row.suffixes}

SUFFIXES = frozenset(BY_SUFFIX)
"""Endings, in lower case, that a folder is scanned for."""


SUBSTITUTES = {suffix: row.written_as for suffix, row in BY_SUFFIX.items() if row.written_as}
"""Endings of the results of what is read and not written"""


def recognised(file: BinaryIO) -> Format | None:
    """Return the format that a file's content has, None if it is none of ours; the file is at its start then."""
    file.seek(0)
    head = file.read(_HEAD)
    found = (row for row in FORMATS if re.match(row.signature, head, re.DOTALL) and row.is_one(file))
    row = next(found, None)
    file.seek(0)
    return row


def is_supported(path: Path | str) -> bool:
    """Tell by the suffix alone whether a folder's scan should take `path`.

    >>> is_supported("holiday.JPG"), is_supported("notes.txt")
    (True, False)
    """
    return Path(path).suffix.lower() in SUFFIXES


def format_named(path: Path | str) -> str | None:
    """Return the format that a suffix stands for, as in `Photo.format`; None if it is none of ours."""
    row = BY_SUFFIX.get(Path(path).suffix.lower())
    return row.name if row else None
