"""The chunks of a WebP file (RFC 9649), walked without decoding a pixel."""

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from idrestore.files.containers import UnsupportedError, check_metadata, check_parts, length
from idrestore.files.photo import Encoding

_MAX_FILE = 1 << 30  # bytes: libwebp holds the whole file


class Chunk(NamedTuple):
    """A chunk: its kind, and where in the file its content is."""

    kind: bytes
    start: int
    length: int


def chunks(file: BinaryIO) -> Iterator[Chunk]:
    """Yield the chunks; of a file that is cut short, those that are whole."""
    end, place = length(file), 12
    for number in range(end):
        check_parts(number)
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return
        kind, size = struct.unpack("<4sI", head)
        if place + 8 + size > end:
            return
        yield Chunk(kind, place + 8, size)
        place += 8 + size + size % 2


def check(file: BinaryIO) -> None:
    """Raise `UnsupportedError` if metadata, or the whole file, take too much memory."""
    if length(file) > _MAX_FILE:
        raise UnsupportedError("is a WebP of more than 1 GiB: save it as TIFF or PNG first")
    check_metadata(
        sum(chunk.length for chunk in chunks(file) if chunk.kind not in (b"VP8 ", b"VP8L", b"ALPH", b"ANMF"))
    )


def encoding(file: BinaryIO) -> Encoding:
    """Return how the file was encoded, as far as its headers tell."""
    return Encoding(lossless=any(chunk.kind == b"VP8L" for chunk in chunks(file)))
