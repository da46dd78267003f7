"""The table of picture formats: how a file is recognised, what may be written, and with which options."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Format:
    """A format of picture files."""

    name: str
    """As in `Photo.format`"""
    signature: bytes
    """Regular expression of a file's first bytes: content decides how it is read, not its name."""
    codec: str
    bits: int
    suffixes: tuple[str, ...]
    options: Mapping[str, Any] | None
    """What its saver is told, `Q` being the default quality; None = cannot be written."""


_JPEG = {"Q": 95, "subsample_mode": "off", "background": [255]}
_WEBP = {"Q": 95, "smart_subsample": True}
_TIFF = {"compression": "deflate", "predictor": "horizontal"}
_AVIF = {"Q": 90, "subsample_mode": "off", "compression": "av1"}
FORMATS = (
    Format("JPEG", rb"\xff\xd8\xff", "jpeg", 8, (".jpg", ".jpeg", ".jpe", ".jfif"), _JPEG),
    Format("PNG", rb"\x89PNG\r\n\x1a\n", "png", 16, (".png",), {}),
    Format("WebP", rb"RIFF....WEBP", "webp", 8, (".webp",), _WEBP),
    Format("TIFF", rb"II[*+]\0|MM\0[*+]", "tiff", 16, (".tif", ".tiff"), _TIFF),
    Format("AVIF", rb"....ftyp(avi[fs]|mi(f1|af)|msf1)", "heif", 12, (".avif",), _AVIF),
    Format("HEIC", rb"....ftyphe[iv][cxms]", "heif", 12, (".heic", ".heif"), None),
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
