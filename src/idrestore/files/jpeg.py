"""The segments of a JPEG file (ITU-T T.81), walked without decoding a pixel."""

import functools
import io
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from idrestore.files.containers import (
    CREDENTIALS,
    GAIN_MAP,
    SAMSUNG,
    VIDEO,
    Contents,
    DamagedError,
    UnsupportedError,
    check_metadata,
    check_parts,
    content,
    length,
)
from idrestore.files.photo import Encoding

SOS, DQT, COM = 0xDA, 0xDB, 0xFE
APP1, APP13 = 0xE1, 0xED
_APP0, _ADOBE = 0xE0, 0xEE
MAX_SEGMENT = 65_533
"""Bytes that a segment holds"""
EXIF = b"Exif\0\0"
XMP = b"http://ns.adobe.com/xap/1.0/\0"
_WRITTEN_ANEW = (b"\xe1" + EXIF, b"\xe1" + XMP, b"\xe2ICC_PROFILE\0")
_LEFT_OUT = {
    b"\xe2MPF\0": "other pictures in the file were left out",
    b"\xe2urn:iso:std:iso:ts:21496:-1\0": GAIN_MAP,
    b"\xebJP": CREDENTIALS,
}
"""How segments begin, marker first, that would be wrong in a result, and what to say"""
_LONGEST_NAME = 32
"""Bytes that tell what a segment holds"""
_CHROMA = {0x22: "4:2:0", 0x21: "4:2:2"}
"""Sampling of luminance, where that of the colours is one sample, both ways in four bits each"""
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15, without DHT, JPG and DAC
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_HARMLESS = ("extraneous bytes before marker", "Adobe color transform", "JFIF revision", "Invalid SOS parameters")
_END = b"\xff\xd9"
_PIECE = 1 << 20  # bytes
_MP4 = re.compile(rb"\0\0\0.ftyp(?:mp4|iso|avc|qt|MSNV)", re.DOTALL)
_SAMSUNG = b"SEFT"
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without content
LUMINANCE = """
16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92
49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""
CHROMINANCE = "17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66" + " 99" * 38
"""T.81, tables K.1 and K.2, row by row: what libjpeg scales by the quality"""


class Segment(NamedTuple):
    """A segment: its marker, and where in the file its content is."""

    marker: int
    start: int
    length: int


def segments(file: BinaryIO) -> Iterator[Segment]:
    """Yield the segments up to and with the first scan's header; of a file that is cut short, those that are whole."""
    end, place = length(file), 2
    for number in range(end):
        check_parts(number)
        file.seek(place)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF:
            return
        if head[1] == 0xFF or head[1] in _ALONE:  # bytes to fill, or a marker without content
            place += 1 if head[1] == 0xFF else 2
            continue
        size = int.from_bytes(head[2:])
        if size < 2 or place + 2 + size > end:
            return
        yield Segment(head[1], place + 4, size - 2)
        if head[1] == SOS:
            return
        place += 2 + size


def look(file: BinaryIO) -> Contents:
    """Return what a file holds; raise `UnsupportedError` if that is too much, or samples have 12 bits."""
    parts = list(segments(file))
    _check(file, parts)
    held = [(part.marker, content(file, *part[1:])) for part in parts if _is_said(part.marker)]
    heads = [bytes([marker]) + said[:_LONGEST_NAME] for marker, said in held]
    left_out = (words for start, words in _LEFT_OUT.items() if any(head.startswith(start) for head in heads))
    notes = (*left_out, *_end_notes(file, max((part.start for part in parts), default=0)))
    return Contents(_encoding(file, parts), notes, extras=_extras(held, heads))


def _is_said(marker: int) -> bool:
    """Tell whether a segment says something beside the pixels."""
    return 0xE0 <= marker <= 0xEF or marker == COM


def _check(file: BinaryIO, parts: Sequence[Segment]) -> None:
    total = 0
    for part in parts:
        if _is_said(part.marker):
            total += part.length
            check_metadata(total)
        elif part.marker in _FRAMES and content(file, part.start, 1) == b"\x0c":
            raise UnsupportedError("is a JPEG of 12 bits, which is not read: save it as 16-bit TIFF or PNG first")


def _extras(held: Sequence[tuple[int, bytes]], heads: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the segments that a result of the same format has too, from the byte after 0xff on.

    These are comments and what applications noted, but for EXIF, XMP and the colour profile, which all formats hold,
    and what describes other pictures of the same file or vouches for its bytes.
    """
    return tuple(
        application(marker, said)
        for (marker, said), head in zip(held, heads, strict=True)
        if marker not in (_APP0, _ADOBE) and not head.startswith(_WRITTEN_ANEW + tuple(_LEFT_OUT))
    )


def with_segments(data: bytes, density: tuple[int, int] | None, held: Sequence[bytes]) -> bytes:
    """Return a file of libvips' with a JFIF header of this many pixels an inch, and more segments behind it."""
    across, down = density or (1, 1)
    jfif = b"JFIF\0\1\2" + bytes([density is not None]) + across.to_bytes(2) + down.to_bytes(2) + b"\0\0"
    place = 2
    while data[place + 1] == _APP0:
        place += 2 + int.from_bytes(data[place + 2 : place + 4])
    head = b"".join(b"\xff" + each for each in (application(_APP0, jfif), *held))
    return data[:2] + head + data[place:]


def application(marker: int, held: bytes) -> bytes:
    """Return a segment as `extras` has it; raise `ValueError` if it is too long for one."""
    if len(held) > MAX_SEGMENT:
        raise ValueError(f"got {len(held)} bytes, expected at most {MAX_SEGMENT}")
    return bytes([marker]) + (len(held) + 2).to_bytes(2) + held


def _encoding(file: BinaryIO, parts: Sequence[Segment]) -> Encoding:
    """Return how the file was encoded, as far as its headers tell."""
    tables = next((content(file, *part[1:]) for part in parts if part.marker == DQT), b"")
    frame = next((part for part in parts if part.marker in _FRAMES), None)
    if frame is None:
        return Encoding(_quality(tables))
    return Encoding(_quality(tables), _chroma(content(file, *frame[1:])), frame.marker in _PROGRESSIVE)


def _quality(tables: bytes) -> int | None:
    """Estimate libjpeg's quality from the table of luminance: that whose mean step is nearest."""
    wide = len(tables) > 0 and tables[0] >> 4 > 0
    if len(tables) < 1 + 64 * (1 + wide):
        return None
    mean = np.frombuffer(tables, ">u2" if wide else "u1", count=64, offset=1).mean()
    # Of equal ones the highest: nothing is lost by it.
    return 100 - int(np.abs(_mean_steps()[::-1] - mean).argmin())


@functools.cache
def _mean_steps() -> NDArray[np.float64]:
    """Return the mean step of libjpeg's table of luminance for each quality, 1 to 100: (100,)."""
    return np.array([quantisation(quality, LUMINANCE).mean() for quality in range(1, 101)])


@functools.cache
def quantisation(quality: int, table: str) -> NDArray[np.int_]:
    """Return the steps of libjpeg at a quality of 1 to 100, `LUMINANCE` or `CHROMINANCE` scaled by it: (8, 8)."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = (np.array(table.split(), int).reshape(8, 8) * percent + 50) // 100
    return np.asarray(steps.clip(1, 255))


def _chroma(frame: bytes) -> str:
    """Return how finely the colours are stored."""
    if len(frame) < 15 or frame[5] != 3:
        return "4:4:4"
    luminance, *colours = (frame[7 + 3 * each] for each in range(3))
    return _CHROMA.get(luminance, "4:4:4") if set(colours) == {0x11} else "4:4:4"


def _end_notes(file: BinaryIO, place: int) -> tuple[str, ...]:
    """Say that the end marker is missing, or what hangs behind it; of a whole file no pixel is read for it."""
    end = length(file)
    if content(file, max(place, end - 2), 2) == _END:
        return ()
    while place < end:  # something hangs behind, or the end is missing
        found = content(file, place, _PIECE).find(_END)
        if found >= 0:
            return _trailer_notes(file, place + found + len(_END))
        place += _PIECE - 1
    return ("the end of the file is missing; every pixel is there",)


def _trailer_notes(file: BinaryIO, place: int) -> tuple[str, ...]:
    """Name what hangs behind the picture, which phones put there; padding and what nobody knows are not named."""
    end = length(file)
    file.seek(end - len(_SAMSUNG))
    samsung = (SAMSUNG,) if file.read() == _SAMSUNG else ()
    while place < end:
        file.seek(place)
        if _MP4.search(file.read(_PIECE)):
            return (VIDEO, *samsung)
        place += _PIECE - 16  # a box's head may lie across two pieces
    return samsung


def mended(file: BinaryIO, complaint: str) -> tuple[BinaryIO, str]:
    """Return what to decode in place of a file that libjpeg complains of, and at which level of failure.

    Bytes that belong to nothing are harmless, and so is a missing end marker if every pixel is there; of all else it
    raises `DamagedError`.
    """
    if "premature end of JPEG image" in complaint:
        file.seek(0)
        data = file.read()
        if not _is_complete(data):
            raise DamagedError("its last scans are missing")
        return io.BytesIO(data.removesuffix(b"\xff") + _END), "warning"
    if not re.search("|".join(_HARMLESS), complaint):
        lines = complaint.strip().splitlines() or ["its data are wrong"]  # another thread may have read libvips' words
        raise DamagedError(lines[-1].removeprefix("VipsJpeg: "))
    return file, "error"


def _is_complete(data: bytes) -> bool:
    """Tell whether the scans of a progressive file bring every coefficient of each component to its last bit."""
    frame = next((segment for segment in segments(io.BytesIO(data)) if segment.marker in _PROGRESSIVE), None)
    if frame is None:
        return True
    missing = {(data[frame.start + 6 + 3 * each], k) for each in range(data[frame.start + 5]) for k in range(64)}
    for found in re.finditer(rb"\xff\xda..([\1-\4])", data, re.DOTALL):  # in coded data 0 follows each 255
        count, start = found[1][0], found.end()
        components = data[start : start + 2 * count : 2]
        first, last, bits = data[start + 2 * count : start + 2 * count + 3].ljust(3, b"\xff")
        if bits & 15 == 0:
            missing -= {(component, k) for component in components for k in range(first, last + 1)}
    return not missing
