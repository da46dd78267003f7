"""The table of picture formats: how a file is recognised, checked and opened, and how one is written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from idrestore.files import isobmff, jpeg, png, tiff, vips, webp
from idrestore.files.photo import Encoding


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
    check: Callable[[BinaryIO], None] = _nothing
    """Raises `UnsupportedError` where opening it would take too much memory, or cannot work"""
    check_whole: Callable[[BinaryIO], None] = _nothing
    """Raises `DamagedError` where its decoder would not see that something is missing"""
    read_whole: bool = False
    """Whether its decoder holds all of the file in memory"""
    extras: Callable[[BinaryIO], tuple[bytes, ...]] | None = None
    """Parts of a file that a result of the same format has too, as they are"""
    encoding: Callable[[BinaryIO], Encoding] = lambda file: Encoding()
    """How its pixels were encoded"""
    notes: Callable[[BinaryIO], tuple[str, ...]] = lambda file: ()
    """What else is in the file and is not read, in words"""


FORMATS = (
    Format(
        "JPEG",
        rb"\xff\xd8\xff",
        8,
        (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
        vips.opener("jpeg", "warning"),
        "jpeg",
        {"Q": 95, "subsample_mode": "off", "background": [255]},
        jpeg.check,
        extras=jpeg.extras,
        encoding=jpeg.encoding,
        notes=jpeg.notes,
    ),
    Format(
        "PNG",
        rb"\x89PNG\r\n\x1a\n",
        16,
        (".png", ".apng"),
        vips.opener("png"),
        "png",
        {},
        png.check,
        extras=png.extras,
        notes=png.notes,
    ),
    Format(
        "WebP",
        rb"RIFF....WEBP",
        8,
        (".webp",),
        vips.opener("webp"),
        "webp",
        {"Q": 95, "smart_subsample": True},
        webp.check,
        read_whole=True,
        encoding=webp.encoding,
    ),
    Format(
        "TIFF",
        rb"II[*+]\0|MM\0[*+]",
        16,
        (".tif", ".tiff"),
        vips.opener("tiff", "warning"),  # or a tile that cannot be decoded would come back black
        "tiff",
        {"compression": "deflate", "predictor": "horizontal"},
        tiff.check,
        tiff.check_whole,
        notes=tiff.notes,
    ),
    Format(
        "AVIF",
        rb"....ftyp(avi[fs]|mi(f1|af)|msf1)",
        12,
        (".avif",),
        vips.opener("heif"),
        "heif",
        {"Q": 90, "subsample_mode": "off", "compression": "av1"},
        isobmff.check,
        isobmff.check_whole,
        read_whole=True,
        notes=isobmff.notes,
    ),
    Format(
        "HEIC",
        rb"....ftyphe[iv][cxms]",
        12,
        (".heic", ".heif"),
        vips.opener("heif"),
        check=isobmff.check,
        check_whole=isobmff.check_whole,
        read_whole=True,
        notes=isobmff.notes,
    ),
)
BY_SUFFIX = {suffix: row for row in FORMATS for suffix in row.suffixes}

SUFFIXES = frozenset(BY_SUFFIX)
"""Endings, in lower case, that a folder is scanned for; HEIC too, lest it be skipped in silence."""


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
