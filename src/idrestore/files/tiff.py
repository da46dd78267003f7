"""The directories of a TIFF or BigTIFF file (TIFF 6.0), walked without decoding a pixel.

libvips reads TIFF; this tells what it does not: whether the pixels are all there, how much the tags hold, what a file
uses that libvips cannot decode, and whether it is a camera's raw file.
"""

import io
import math
import struct
from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple

from idrestore.files import exif
from idrestore.files.containers import (
    CREDENTIALS,
    MAX_WHOLE,
    Contents,
    DamagedError,
    UnsupportedError,
    applying,
    bytes_at,
    check_metadata,
    length,
)
from idrestore.files.photo import Encoding

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
STRIP_OFFSETS, SAMPLES, ROWS_PER_STRIP, STRIP_COUNTS, PLANAR = 273, 277, 278, 279, 284
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS = 322, 323, 324, 325
SUBFILE, PAGE_NUMBER = 254, 297
SAMPLE_FORMAT, FLOAT = 339, 3
"""Tag, and its value for floating-point numbers (TIFF 6.0, section 19)"""
SUB_DIRECTORIES, EXTRA_SAMPLES, DNG_VERSION = 330, 338, 50706

_LAYERS = 37724
CREDENTIALS_TAG = 52545
"""Where content credentials stand (C2PA specification, A.3)"""
_ABOUT_PIXELS = frozenset(
    {*range(254, 267), *range(273, 275), *range(277, 285), *range(288, 294), 296, 297, 301, *range(317, 327)}
    | {
        SUB_DIRECTORIES,
        *range(332, 348),
        *range(512, 522),
        *range(529, 533),
        700,
        33723,
        34377,
        34675,
        _LAYERS,
        CREDENTIALS_TAG,
    }
)
"""Tags that say how pixels are stored, those that libvips writes (resolution, XMP, IPTC, profile), and those that vouch
for the original alone"""

_SIZES = {**exif.SIZES, 16: 8, 17: 8, 18: 8}  # of BigTIFF, too
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_NOT_READ = {
    6: "old-style JPEG",
    34887: "LERC",
    34925: "LZMA",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34712: "JPEG 2000",
    34892: "lossy JPEG of DNG",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
_PIXELS = (STRIP_OFFSETS, STRIP_COUNTS, TILE_OFFSETS, TILE_COUNTS)  # one number for each strip or tile
_YCBCR = 6  # photometric interpretation
_SENSOR = (32803, 34892)  # photometric interpretations of DNG: colour filter array, linear raw
_MAX_DIRECTORIES = 64


class Entry(NamedTuple):
    """A tag's value: its type, how many of it, and where they are in the file."""

    type: int
    number: int
    start: int

    @property
    def size(self) -> int:
        """In bytes."""
        return _SIZES.get(self.type, 1) * self.number


class Directory:
    """The tags of one picture in a file; where the file is cut short, those that are whole."""

    def __init__(self, file: BinaryIO, order: str, entries: Mapping[int, Entry], place: int, link: int) -> None:
        self.file, self.order, self.entries = file, order, entries
        self.place, self.link = place, link
        """Where it begins, and where it says what the next one's place is"""

    def integers(self, tag: int) -> tuple[int, ...]:
        """Return a tag's values, none if it has none; raise `DamagedError` if they lie behind the file's end."""
        entry = self.entries.get(tag)
        if entry is None or entry.type not in _INTEGERS:
            return ()
        return struct.unpack(f"{self.order}{entry.number}{_INTEGERS[entry.type]}", self.bytes(tag))

    def integer(self, tag: int, otherwise: int) -> int:
        """Return a tag's first value, or `otherwise` if it has none."""
        return next(iter(self.integers(tag)), otherwise)

    def bytes(self, tag: int) -> bytes:
        """Return a tag's value as it stands in the file; raise `DamagedError` if it lies behind the file's end."""
        entry = self.entries[tag]
        return bytes_at(self.file, entry.start, entry.size)


def directories(file: BinaryIO, most: int = _MAX_DIRECTORIES) -> Iterator[Directory]:
    """Yield the directory of each page, at most so many; nothing where the file is too short for any."""
    order, big, place = _head(file)
    seen: set[int] = set()
    while place and place not in seen and len(seen) < most:
        seen.add(place)
        directory, place = _directory(file, order, big, place)
        if directory is not None:
            yield directory


def below(directory: Directory, tag: int = SUB_DIRECTORIES) -> Iterator[Directory]:
    """Yield the directories that a tag of one points to, at most 64."""
    order, big, _ = _head(directory.file)
    for place in directory.integers(tag)[:_MAX_DIRECTORIES]:
        found = _directory(directory.file, order, big, place)[0] if place else None
        if found is not None:
            yield found


def look(file: BinaryIO) -> Contents:
    """Return what a file holds beside the first page's pixels.

    Raise `UnsupportedError` if its tags take too much memory, or the page uses what libvips does not decode.
    """
    pages = list(directories(file))
    check_metadata(sum(e.size for page in pages for tag, e in page.entries.items() if tag not in _PIXELS))
    if not pages:
        return Contents(exif=b"")
    page = pages[0]
    if used := _unsupported(page):
        advice = "save it as TIFF with LZW or Deflate, for instance with tiffcp -c zip"
        raise UnsupportedError(f"is a TIFF of {used}, which is not read: {advice}")
    channels = _known_channels(page)
    found = {
        "Photoshop's layers were left out: they show the photo as it was": _LAYERS in page.entries,
        CREDENTIALS: CREDENTIALS_TAG in page.entries,
        "a channel that is not transparency was left out (a scanner's infrared, for instance)": bool(channels),
    }
    bits = page.integer(BITS, 1) if page.integer(SAMPLE_FORMAT, 1) == FLOAT else None
    return Contents(Encoding(float_bits=bits), applying(found), exif_of(file), channels=channels)


def mended(file: BinaryIO, complaint: str) -> tuple[BinaryIO, str]:
    """Return a file of the first page's pixels alone, for libtiff to decode what it gave up because of a tag.

    With it comes the level at which libvips is to fail. Raise `DamagedError` where there are no such tags.
    """
    page = next(directories(file), None)
    if page is None or set(page.entries) <= _ABOUT_PIXELS or _head(file)[1] or length(file) > MAX_WHOLE:
        raise DamagedError("its pixels cannot be decoded")
    rows = {
        tag: exif.Value(e.type, e.number, page.bytes(tag)) for tag, e in page.entries.items() if tag in _ABOUT_PIXELS
    }
    file.seek(0)
    data = file.read()
    data += bytes(len(data) % 2)
    start = struct.pack(page.order + "I", len(data))
    return io.BytesIO(data[:4] + start + data[8:] + exif.laid_out(dict(rows), page.order, len(data))), "warning"


def check_whole(file: BinaryIO) -> None:
    """Raise `DamagedError` unless every strip or tile of the first page lies inside the file."""
    page = next(directories(file), None)
    if page is None:
        raise DamagedError("it has no directory")
    pieces = _pieces(page)
    if len(pieces.offsets) < pieces.expected:
        raise DamagedError(f"it lists {len(pieces.offsets)} strips or tiles of {pieces.expected}")
    # Some old programs write no lengths.
    counts = pieces.counts or (pieces.least,) * pieces.expected
    end = length(file)
    whole = sum(
        start > 0 and count >= pieces.least and start + count <= end
        for start, count in zip(pieces.offsets, counts, strict=False)
    )
    if whole < pieces.expected:
        raise DamagedError(f"{pieces.expected - whole} of {pieces.expected} strips or tiles are missing or cut short")


def _known_channels(page: Directory) -> tuple[int, ...]:
    """Return which channels of a page are colours or transparency; empty if all are."""
    extras = page.integers(EXTRA_SAMPLES)
    if 0 not in extras:  # 0: not specified (TIFF 6.0, section 18)
        return ()
    first = page.integer(SAMPLES, 1) - len(extras)
    return (*range(first), *(first + place for place, kind in enumerate(extras) if kind)) if first > 0 else ()


def exif_of(file: BinaryIO) -> bytes:
    """Return the first page's own tags and its EXIF as one block; empty if there are none or they are cut short."""
    page = next(directories(file), None)
    if page is None:
        return b""
    try:
        found = _own_tags(page, 0)
    except DamagedError:
        return b""
    return exif.packed(found, page.order) if found else b""


def with_tags(data: bytes, block: bytes) -> bytes:
    """Return a TIFF file of libvips' with the tags of a block of EXIF as well, in a new directory at its end."""
    file, order = io.BytesIO(data), exif.order_of(block)
    page = next(directories(file))
    if order is None or data[:4] != b"II*\0":
        return data
    found = exif.reordered(exif.unpacked(block), order, "<")
    added = {tag: value for tag, value in found.items() if tag not in page.entries and tag not in _ABOUT_PIXELS}
    rows = {tag: exif.Value(entry.type, entry.number, page.bytes(tag)) for tag, entry in page.entries.items()}
    start = len(data) + len(data) % 2
    directory = exif.laid_out({**added, **rows}, "<", start)
    return data[:4] + struct.pack("<I", start) + data[8:].ljust(start - 8, b"\0") + directory


def as_float(data: bytes) -> bytes:
    """Return a TIFF file of libvips' whose integers are said to be what they hold: floating-point numbers."""
    page = next(directories(io.BytesIO(data)))
    entry, changed = page.entries[SAMPLE_FORMAT], bytearray(data)
    struct.pack_into(f"{page.order}{entry.number}H", changed, entry.start, *[FLOAT] * entry.number)
    return bytes(changed)


def _own_tags(directory: Directory, depth: int) -> exif.Directory:
    """Return the tags of a directory that do not say how its pixels are stored, with the directories of EXIF."""
    found: exif.Directory = {}
    for tag, entry in directory.entries.items():
        if tag in exif.POINTERS:
            inner = next(below(directory, tag), None) if depth < 2 else None
            if inner is not None:
                found[tag] = _own_tags(inner, depth + 1)
        elif entry.type in exif.SIZES and (depth or tag not in _ABOUT_PIXELS):
            found[tag] = exif.Value(entry.type, entry.number, directory.bytes(tag))
    return found


def is_raw(file: BinaryIO) -> bool:
    """Tell whether the file is a camera's raw file, which holds what the sensor saw."""
    file.seek(8)
    if file.read(2) == b"CR":  # Canon's CR2
        return True
    page = next(directories(file), None)
    try:
        return page is not None and (
            DNG_VERSION in page.entries or any(each.integer(PHOTOMETRIC, 0) in _SENSOR for each in (page, *below(page)))
        )
    except DamagedError:
        return False


def _head(file: BinaryIO) -> tuple[str, bool, int]:
    """Return the order of bytes, whether it is BigTIFF, and where the first directory is (0: nowhere)."""
    file.seek(0)
    head = file.read(16).ljust(16, b"\0")
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"+\0", b"\0+")  # version 43; else 42
    return order, big, int(struct.unpack_from(order + ("Q" if big else "I"), head, 8 if big else 4)[0])


def _directory(file: BinaryIO, order: str, big: bool, place: int) -> tuple[Directory | None, int]:
    """Return the directory at `place`, and where the next one is (0: there is none)."""
    number, pointer, size = ("Q", "Q", 20) if big else ("H", "I", 12)
    head, room = struct.calcsize(number), struct.calcsize(pointer)
    if place + head > length(file):
        return None, 0
    count = min(65535, struct.unpack(order + number, bytes_at(file, place, head))[0])
    data = file.read(size * count)
    entries: dict[int, Entry] = {}
    for at in range(0, len(data) - size + 1, size):
        tag, kind, many, elsewhere = struct.unpack_from(f"{order}HH2{pointer}", data, at)
        entry = Entry(kind, many, place + head + at + size - room)  # a value that fits stands in the entry
        entries.setdefault(tag, entry if entry.size <= room else entry._replace(start=elsewhere))
    following = file.read(room)
    link = place + head + size * count
    return Directory(file, order, entries, place, link), struct.unpack(order + pointer, following.ljust(room, b"\0"))[0]


class _Pieces(NamedTuple):
    """Where the strips or tiles of a page are, how many there have to be, and the fewest bytes of each."""

    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    expected: int
    least: int


def _pieces(page: Directory) -> _Pieces:
    width, height, samples = page.integer(WIDTH, 0), page.integer(HEIGHT, 0), page.integer(SAMPLES, 1)
    planes = samples if page.integer(PLANAR, 1) == 2 else 1
    least = 1
    if TILE_WIDTH in page.entries:
        across, down = page.integer(TILE_WIDTH, 0), page.integer(TILE_HEIGHT, 0)
        if page.integer(COMPRESSION, 1) == 1 and page.integer(PHOTOMETRIC, 1) != _YCBCR:
            least = math.ceil(across * page.integer(BITS, 1) * (samples // planes) / 8) * down
    else:
        across, down = width, min(page.integer(ROWS_PER_STRIP, height), height)
    if not (across and down):
        raise DamagedError("its strips or tiles have no size")
    expected = math.ceil(width / across) * math.ceil(height / down) * planes
    # libtiff takes the tags of strips for tiles, too.
    offsets = page.integers(TILE_OFFSETS) or page.integers(STRIP_OFFSETS)
    return _Pieces(offsets, page.integers(TILE_COUNTS) or page.integers(STRIP_COUNTS), expected, least)


def _unsupported(page: Directory) -> str:
    """Name what a page uses that libvips does not decode, or nothing."""
    compression, bits = page.integer(COMPRESSION, 1), page.integer(BITS, 1)
    if compression in _NOT_READ:
        return f"{_NOT_READ[compression]} compression"
    if compression == 7 and bits == 12:
        return "JPEG of 12 bits"
    if TILE_WIDTH in page.entries and page.integer(PLANAR, 1) == 2 and page.integer(SAMPLES, 1) > 1:
        return "tiles with a plane for each channel"
    if page.integer(PHOTOMETRIC, 1) in (8, 9) and bits == 8:
        return "CIELAB of 8 bits"
    return ""
