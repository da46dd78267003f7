"""The blocks of a GIF file (GIF89a), walked without decoding a pixel: libvips tells nothing of what they say."""

import io
from collections.abc import Iterator
from typing import BinaryIO

from idrestore.files.containers import Contents, applying, check_metadata, check_parts, content

_EXTENSION, _IMAGE = b"\x21", b"\x2c"
_COMMENT, _APPLICATION = 0xFE, 0xFF
_NETSCAPE = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
"""Applications that say how often an animation is shown"""
_HEAD = 13  # bytes


def look(file: BinaryIO) -> Contents:
    """Return what a file says beside its pixels; raise `UnsupportedError` if it is too much."""
    buffered = io.BufferedReader(file)  # type: ignore[type-var]  # the pieces are many and small
    try:
        said = set(extensions(buffered))
    finally:
        buffered.detach()
    found = {
        "the comment of the GIF was left out": _COMMENT in {kind for kind, _ in said},
        "what applications noted in the GIF was left out (XMP, for instance)": any(
            kind == _APPLICATION and name not in _NETSCAPE for kind, name in said
        ),
    }
    return Contents(notes=applying(found))


def extensions(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the kind of each extension and the first 11 bytes that it holds, as far as the file goes."""
    place, number, total = _HEAD + _colours(content(file, 10, 1)), 0, 0
    while True:
        check_parts(number)
        number += 1
        head = content(file, place, 10)
        if head[:1] == _EXTENSION and len(head) > 2:
            yield head[1], content(file, place + 3, 11)
            end = _behind(file, place + 2)
            total += end - place
            check_metadata(total)
            place = end
        elif head[:1] == _IMAGE and len(head) == 10:
            place = _behind(file, place + 10 + _colours(head[9:]) + 1)
        else:
            return


def _colours(flags: bytes) -> int:
    """Return the bytes of the table of colours that flags announce."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 128 else 0


def _behind(file: BinaryIO, place: int) -> int:
    """Return where the pieces of data that begin at a place end."""
    while size := content(file, place, 1):
        place += 1 + size[0]
        if not size[0]:
            break
    return place
