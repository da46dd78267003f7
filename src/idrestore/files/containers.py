"""A picture's container: what it holds beside the pixels, how much that may be, and what can be wrong with it."""

import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, BinaryIO, NamedTuple

from idrestore.files.chromaticity import Colours
from idrestore.files.photo import Encoding

MAX_METADATA = 64 << 20
"""Bytes of metadata in a file, unpacked, beyond which it is refused; Pillow's bound for the texts of a PNG."""
MAX_WHOLE = 1 << 30
"""Bytes of a file that has to be held in memory, beyond which it is refused."""
MAX_PARTS = 1_000_000
"""Segments, chunks, tags or boxes of a file, beyond which it is refused: each takes a microsecond."""
ANIMATION = "only the first frame of an animation was read"
GAIN_MAP = "the HDR gain map was left out"
VIDEO = "the video of a motion photo was left out"
SAMSUNG = "Samsung's data behind the picture were left out"
CREDENTIALS = "content credentials (C2PA) were left out: they vouch for the original alone"
"""Notes on what several formats hold"""


class Contents(NamedTuple):
    """What a file holds beside its pixels, as one walk over its parts tells."""

    encoding: Encoding = Encoding()
    notes: tuple[str, ...] = ()
    """What is not read, in words"""
    exif: bytes | None = None
    """A block that begins with TIFF's header, empty if there is none; None = as libvips has it"""
    xmp: bytes | None = None
    """A packet; None = as libvips has it"""
    extras: tuple[bytes, ...] = ()
    """Parts of the file that a result of the same format has too, as they are"""
    colours: Colours | None = None
    """What numbers say that its colours are, if they are not sRGB"""
    over_profile: bool = False
    """A profile in the file does not count, because of what numbers say"""
    channels: tuple[int, ...] = ()
    """Which channels are colours or transparency; empty if all are"""


class Part(NamedTuple):
    """A chunk or box of a file: its kind, and where in the file its content is."""

    kind: bytes
    start: int
    length: int


def applying(notes: Mapping[str, object]) -> tuple[str, ...]:
    """Return the notes whose condition holds."""
    return tuple(note for note, applies in notes.items() if applies)


class DamagedError(ValueError):
    """A file that is not whole: its message says what is missing, without the file's name."""


class UnsupportedError(ValueError):
    """A sound file of a kind that is not read: its message says what it uses and what to do, without its name."""


@contextmanager
def refusing_damage() -> Iterator[None]:
    """Turn whatever another library's parser raises into a `DamagedError` of one line."""
    try:
        yield
    except (DamagedError, UnsupportedError, MemoryError):
        raise
    except Exception as error:  # what they stumble over is not always foreseen
        said = error.args[0] if error.args else ""
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(error)  # bytes are LibRaw's
        raise DamagedError(" ".join(text.split())[:200] or type(error).__name__) from error


def optional(module: str, package: str, extra: str, what: str) -> Any:
    """Import a library that only some formats need; raise `UnsupportedError` that says how to get it."""
    try:
        return import_module(module)
    except ImportError as error:
        advice = f"it comes with the extra {extra}, and idrestore doctor says how to get that"  # no paths: served, too
        raise UnsupportedError(f"is {what}, and {package} is not installed: {advice}") from error


def chunks(file: BinaryIO, place: int, head: str, behind: int = 0, even: bool = False) -> Iterator[Part]:
    """Yield the chunks from a place on; of a file that is cut short, those that are whole.

    `head` is the form of length and kind, for `struct`; so many bytes follow `behind` each content, and one more
    where it would end at an odd place, if places have to be `even`.
    """
    end = length(file)
    for number in range(end):
        check_parts(number)
        file.seek(place)
        start = file.read(8)
        if len(start) < 8:
            return
        first, second = struct.unpack(head, start)
        size, kind = (first, second) if isinstance(first, int) else (second, first)
        if place + 8 + size + behind > end:
            return
        yield Part(kind, place + 8, size)
        place += 8 + size + behind + (size % 2 if even else 0)


def content(file: BinaryIO, start: int, count: int) -> bytes:
    """Return what a part of a file holds, as far as the file goes."""
    file.seek(start)
    return file.read(count)


def length(file: BinaryIO) -> int:
    """Return how many bytes a file has."""
    return file.seek(0, os.SEEK_END)


def bytes_at(file: BinaryIO, start: int, count: int) -> bytes:
    """Return `count` bytes from `start`; raise `DamagedError` if there are fewer."""
    if start + count > length(file):
        raise DamagedError(f"it ends at byte {length(file)}, {count} bytes were expected at {start}")
    file.seek(start)
    return file.read(count)


def check_metadata(total: int) -> None:
    """Raise `UnsupportedError` if a file holds more metadata, in bytes, than a photo does."""
    if total > MAX_METADATA:
        found = f"more than {MAX_METADATA >> 20} MiB of metadata"
        raise UnsupportedError(f"holds {found}: remove them first, for instance with exiftool -all=")


def check_parts(count: int) -> None:
    """Raise `UnsupportedError` if a file is cut into more parts than any encoder makes."""
    if count > MAX_PARTS:
        raise UnsupportedError(f"has more than {MAX_PARTS:,} parts: save it anew with another program")
