"""The chunks of a PNG file (ISO/IEC 15948), walked without decoding a pixel."""

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from idrestore.files.containers import ANIMATION, MAX_METADATA, check_metadata, check_parts, length

_SIGNATURE = 8  # bytes
_PIECE = 1 << 20  # bytes of compressed text that are looked at in one go
_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_ELSEWHERE = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0", b"Raw profile type APP1\0", b"Raw profile type xmp\0")
_NEEDED = (b"IHDR", b"PLTE", b"IDAT", b"IEND")


class Chunk(NamedTuple):
    """A chunk: its kind, and where in the file its content is."""

    kind: bytes
    start: int
    length: int


def chunks(file: BinaryIO) -> Iterator[Chunk]:
    """Yield the chunks up to and with IEND; of a file that is cut short, those that are whole."""
    end, place = length(file), _SIGNATURE
    for number in range(end):
        check_parts(number)
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return
        size, kind = struct.unpack(">I4s", head)
        if place + 12 + size > end:
            return
        yield Chunk(kind, place + 8, size)
        if kind == b"IEND":
            return
        place += 12 + size


def content(file: BinaryIO, chunk: Chunk) -> bytes:
    """Return what a chunk holds, compressed or not."""
    file.seek(chunk.start)
    return file.read(chunk.length)


def extras(file: BinaryIO) -> tuple[bytes, ...]:
    """Return the texts and the time of a file as whole chunks, but for XMP and EXIF, which all formats hold."""
    kept = []
    for chunk in chunks(file):
        if chunk.kind in (b"tEXt", b"zTXt", b"iTXt", b"tIME"):
            held = content(file, chunk)
            if not held.startswith(_ELSEWHERE):
                kept.append(whole(chunk.kind, held))
    return tuple(kept)


def whole(kind: bytes, held: bytes) -> bytes:
    """Return a chunk with its length and check sum."""
    return struct.pack(">I", len(held)) + kind + held + struct.pack(">I", zlib.crc32(kind + held))


def with_chunks(data: bytes, held: Sequence[bytes]) -> bytes:
    """Return a file with more chunks, before its pixels."""
    place = next(chunk.start for chunk in chunks(io.BytesIO(data)) if chunk.kind == b"IDAT") - 8
    return data[:place] + b"".join(held) + data[place:]


def check(file: BinaryIO) -> None:
    """Raise `UnsupportedError` if texts, profile and other chunks beside the pixels take too much memory, unpacked."""
    total = 0
    for chunk in chunks(file):
        if chunk.kind in _TEXTS:
            total += _unpacked(file, chunk, MAX_METADATA - total)
        elif chunk.kind not in _NEEDED and chunk.kind != b"fdAT":
            total += chunk.length
        check_metadata(total)


def cicp(file: BinaryIO) -> tuple[int, int] | None:
    """Return primaries and transfer (ITU-T H.273) as the chunk cICP has them, None without one."""
    for chunk in chunks(file):
        if chunk.kind == b"cICP" and chunk.length == 4:
            data = content(file, chunk)
            return data[0], data[1]
    return None


def notes(file: BinaryIO) -> tuple[str, ...]:
    """Say what is missing though every pixel is there, and what is not read."""
    kinds = {chunk.kind for chunk in chunks(file)}
    ended = () if b"IEND" in kinds else ("the end of the file is missing; every pixel is there",)
    return (*ended, ANIMATION) if b"acTL" in kinds else ended


def _unpacked(file: BinaryIO, chunk: Chunk, limit: int) -> int:
    """Return how many bytes a chunk has in memory, at most a little more than `limit`."""
    if chunk.kind == b"tEXt" or chunk.length > limit:
        return chunk.length
    data = content(file, chunk)
    start = _start_of_stream(chunk.kind, data)
    if start is None:
        return chunk.length
    stream, total, rest = zlib.decompressobj(), len(data), data[start:]
    try:
        while rest and total <= limit:
            total += len(stream.decompress(rest, _PIECE))
            rest = stream.unconsumed_tail
    except zlib.error:  # libpng says so, too, or leaves the text out
        pass
    return total


def _start_of_stream(kind: bytes, data: bytes) -> int | None:
    """Return where in a text or profile chunk compressed data begin; None if nothing is compressed."""
    keyword = data.find(b"\0")
    if keyword < 0:
        return None
    if kind != b"iTXt":
        return keyword + 2  # behind the method
    if data[keyword + 1 : keyword + 2] != b"\1":
        return None
    language = data.find(b"\0", keyword + 3)
    translated = data.find(b"\0", language + 1)
    return translated + 1 if language > 0 and translated > 0 else None
