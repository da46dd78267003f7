"""The chunks of a PNG file (ISO/IEC 15948), walked without decoding a pixel."""

import io
import struct
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import BinaryIO

from idrestore.files import chromaticity, containers
from idrestore.files.chromaticity import Colours
from idrestore.files.containers import (
    ANIMATION,
    CREDENTIALS,
    MAX_METADATA,
    Contents,
    Part,
    applying,
    check_metadata,
    content,
)
from idrestore.files.photo import Encoding

_SIGNATURE = 8  # bytes
_PIECE = 1 << 20  # bytes of compressed text that are looked at in one go
_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_SAID = (b"tEXt", b"zTXt", b"iTXt", b"tIME")
_XMP, _EXIF = b"XML:com.adobe.xmp", b"Exif\0\0"
_ELSEWHERE = (_XMP + b"\0", b"Raw profile type exif\0", b"Raw profile type APP1\0", b"Raw profile type xmp\0")
"""Keywords of texts that are EXIF or XMP, which all formats hold"""
_COLOURS = (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM")
_UNIT = 100_000
"""By which gAMA and cHRM multiply their numbers"""
_NEEDED = (b"IHDR", b"PLTE", b"IDAT", b"IEND")


def chunks(file: BinaryIO) -> Iterator[Part]:
    """Yield the chunks up to and with IEND; of a file that is cut short, those that are whole."""
    for chunk in containers.chunks(file, _SIGNATURE, ">I4s", behind=4):
        yield chunk
        if chunk.kind == b"IEND":
            return


def look(file: BinaryIO) -> Contents:
    """Return what a file holds; raise `UnsupportedError` if that takes too much memory, unpacked."""
    parts = list(chunks(file))
    _check(file, parts)
    held = {chunk.kind: content(file, *chunk[1:]) for chunk in parts if chunk.kind in (*_COLOURS, b"eXIf")}
    texts = [(chunk.kind, content(file, *chunk[1:])) for chunk in parts if chunk.kind in _SAID]
    # Of EXIF and XMP libvips reads what stands before the pixels, and nothing that ImageMagick wrote.
    elsewhere = dict(filter(None, (_elsewhere(*text) for text in texts if text[1].startswith(_ELSEWHERE))))
    return Contents(
        Encoding(intent=held[b"sRGB"][0] if _says_srgb(held) else None),
        _notes({chunk.kind for chunk in parts}),
        held.get(b"eXIf", elsewhere.get("exif")),
        elsewhere.get("xmp"),
        tuple(whole(*text) for text in texts if not text[1].startswith(_ELSEWHERE)),
        _colours(held),
        len(held.get(b"cICP", b"")) == 4,
    )


def _elsewhere(kind: bytes, data: bytes) -> tuple[str, bytes] | None:
    """Return what a text chunk holds of EXIF or XMP, in clear or as ImageMagick has it: name, length, hexadecimal."""
    keyword = data[: data.index(b"\0")]
    start = None if kind == b"tEXt" else _start_of_stream(kind, data)
    try:
        held = data[_start_of_text(kind, data) :] if start is None else zlib.decompress(data[start:])
        if keyword == _XMP:
            return "xmp", held
        held = bytes.fromhex(held.split(maxsplit=2)[2].decode("ascii"))
    except (zlib.error, ValueError, IndexError):  # what cannot be read is no photo's loss
        return None
    if held.startswith(_EXIF):
        return "exif", held.removeprefix(_EXIF)
    return ("xmp", held) if keyword.endswith(b"xmp") else None


def _start_of_text(kind: bytes, data: bytes) -> int:
    """Return where in a text chunk that is not compressed the text begins; raise `ValueError` if it has none."""
    keyword = data.index(b"\0")
    return keyword + 1 if kind != b"iTXt" else data.index(b"\0", data.index(b"\0", keyword + 3) + 1) + 1


def _says_srgb(held: Mapping[bytes, bytes]) -> bool:
    """Tell whether the chunk sRGB is the one that counts."""
    return held.get(b"sRGB", b"")[:1] in (b"\0", b"\1", b"\2", b"\3") and not {b"cICP", b"iCCP"} & held.keys()


def _colours(held: Mapping[bytes, bytes]) -> Colours | None:
    """Return what the chunk that counts says: cICP before iCCP before sRGB before gAMA, cHRM (ISO/IEC 15948, 4.3)."""
    if len(held.get(b"cICP", b"")) == 4:
        return chromaticity.coded(*held[b"cICP"][:2])
    if {b"iCCP", b"sRGB"} & held.keys():
        return None
    gamma, chromaticities = held.get(b"gAMA", b""), held.get(b"cHRM", b"")
    values = struct.unpack(">8I", chromaticities) if len(chromaticities) == 32 else ()
    return chromaticity.measured(
        int.from_bytes(gamma) / _UNIT if len(gamma) == 4 else None, tuple(each / _UNIT for each in values)
    )


def whole(kind: bytes, held: bytes) -> bytes:
    """Return a chunk with its length and check sum."""
    return struct.pack(">I", len(held)) + kind + held + struct.pack(">I", zlib.crc32(kind + held))


def with_chunks(data: bytes, held: Sequence[bytes]) -> bytes:
    """Return a file with more chunks, before its pixels."""
    place = next(chunk.start for chunk in chunks(io.BytesIO(data)) if chunk.kind == b"IDAT") - 8
    return data[:place] + b"".join(held) + data[place:]


def srgb(intent: int) -> bytes:
    """Return the chunk by which a picture calls itself sRGB."""
    return whole(b"sRGB", bytes([intent]))


def _check(file: BinaryIO, parts: Sequence[Part]) -> None:
    total = 0
    for chunk in parts:
        if chunk.kind in _TEXTS:
            total += _unpacked(file, chunk, MAX_METADATA - total)
        elif chunk.kind not in _NEEDED and chunk.kind != b"fdAT":
            total += chunk.length
        check_metadata(total)


def _notes(kinds: Collection[bytes]) -> tuple[str, ...]:
    found = {
        "the end of the file is missing; every pixel is there": b"IEND" not in kinds,
        ANIMATION: b"acTL" in kinds,
        CREDENTIALS: b"caBX" in kinds,
    }
    return applying(found)


def _unpacked(file: BinaryIO, chunk: Part, limit: int) -> int:
    """Return how many bytes a chunk has in memory, at most a little more than `limit`."""
    if chunk.kind == b"tEXt" or chunk.length > limit:
        return chunk.length
    data = content(file, *chunk[1:])
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
