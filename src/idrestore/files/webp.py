"""The chunks of a WebP file (RFC 9649), walked without decoding a pixel."""

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

from idrestore.files import containers
from idrestore.files.containers import CREDENTIALS, Contents, Part, applying, check_metadata
from idrestore.files.photo import Encoding

_HAS_EXIF = 8
_KNOWN = {b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP ", b"C2PA"}


def chunks(file: BinaryIO) -> Iterator[Part]:
    """Yield the chunks; of a file that is cut short, those that are whole."""
    return containers.chunks(file, 12, "<4sI", even=True)


def look(file: BinaryIO) -> Contents:
    """Return what a file holds; raise `UnsupportedError` if that takes too much memory."""
    parts = list(chunks(file))
    check_metadata(sum(chunk.length for chunk in parts if chunk.kind not in (b"VP8 ", b"VP8L", b"ALPH", b"ANMF")))
    kinds = {chunk.kind for chunk in parts}
    found = {
        CREDENTIALS: b"C2PA" in kinds,
        "what applications noted in the WebP was left out": bool(kinds - _KNOWN),
    }
    return Contents(Encoding(lossless=b"VP8L" in kinds), applying(found))


def with_exif(data: bytes, width: int, height: int, has_alpha: bool, block: bytes) -> bytes:
    """Return a file of libwebp's of one picture with EXIF (RFC 9649, 2.7)."""
    file = io.BytesIO(data)
    found = {chunk.kind: data[chunk.start : chunk.start + chunk.length] for chunk in chunks(file)}
    flags = found.pop(b"VP8X", bytes([0x10 if has_alpha else 0]))[0]
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    found = {b"VP8X": bytes([flags | _HAS_EXIF, 0, 0, 0]) + size, **found}
    xmp = found.pop(b"XMP ", None)
    found[b"EXIF"] = block
    if xmp is not None:  # comes last
        found[b"XMP "] = xmp
    body = b"".join(struct.pack("<4sI", kind, len(held)) + held + bytes(len(held) % 2) for kind, held in found.items())
    return struct.pack("<4sI4s", b"RIFF", 4 + len(body), b"WEBP") + body
