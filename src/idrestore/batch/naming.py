"""How results are called, and which files are results by their name and what they say of themselves."""

import os
from dataclasses import dataclass
from pathlib import Path

from idrestore.files import image, provenance
from idrestore.files.formats import BY_SUFFIX, FORMATS, SUBSTITUTES

SUFFIX = "-restored"
"""What the names of results end in that lie beside their photos."""

_WRITABLE = [row.suffixes[0].lstrip(".") for row in FORMATS if row.saver]


@dataclass(frozen=True)
class Naming:
    """How results are called, and how far folders are searched for photos."""

    suffix: str = ""
    """What the name ends in, before the dot"""
    format: str = ""
    """Of the results, as names end, such as png; empty: the photo's own, or its substitute"""
    recursive: bool = True
    """Search folders to the bottom"""
    results: str = SUFFIX
    """What the names of results beside photos end in: in folders, they are no photos to restore"""

    def __post_init__(self) -> None:
        if "/" in self.suffix or os.sep in self.suffix:
            raise ValueError(f"suffix: got {self.suffix!r}, expected the end of a name, without a slash")
        row = BY_SUFFIX.get(self.ending)
        if self.format and not (row and row.saver):
            raise ValueError(f"format: got {self.format!r}, expected one of {', '.join(_WRITABLE)}")

    @property
    def ending(self) -> str:
        """How names end in that format, such as .png."""
        return f".{self.format.lower().lstrip('.')}" if self.format else ""

    def of(self, relative: Path) -> Path:
        """Return the name of a photo's result."""
        ending = self.ending or writable(relative).suffix
        return relative.with_name(f"{relative.stem}{self.suffix}{ending}")

    def original_of(self, path: Path) -> Path | None:
        """Return the photo beside a file whose result it is by its name and its metadata, None if it is none."""
        stem = path.stem.removesuffix(self.results)
        if not self.results or stem in ("", path.stem) or not image.is_supported(path):
            return None
        beside = (path.with_name(stem + ending) for ending in sorted({path.suffix, *image.SUFFIXES}))
        original = next((photo for photo in beside if photo.is_file()), None)
        return original if original and provenance.is_restored(path) else None


def writable(relative: Path) -> Path:
    """Return a photo's name as that of its result: an ending that cannot be written is replaced."""
    return relative.with_suffix(SUBSTITUTES.get(relative.suffix.lower(), relative.suffix))
