"""What can be wrong with a picture's container, and how much it may hold beside the pixels."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

MAX_METADATA = 64 << 20
"""Bytes of metadata in a file, unpacked, beyond which it is refused; Pillow's bound for the texts of a PNG."""
MAX_PARTS = 1_000_000
"""Segments, chunks, tags or boxes of a file, beyond which it is refused: each takes a microsecond."""
ANIMATION = "only the first frame of an animation was read"
GAIN_MAP = "the HDR gain map was left out"
VIDEO = "the video of a motion photo was left out"
"""Notes on what several formats hold"""


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
