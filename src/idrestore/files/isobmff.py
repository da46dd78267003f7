"""The boxes of an AVIF or HEIC file (ISO/IEC 14496-12 and 23008-12), walked without decoding a pixel."""

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from idrestore.files import chromaticity
from idrestore.files.chromaticity import Colours
from idrestore.files.containers import (
    ANIMATION,
    CREDENTIALS,
    GAIN_MAP,
    SAMSUNG,
    VIDEO,
    Contents,
    DamagedError,
    Part,
    applying,
    bytes_at,
    check_metadata,
    check_parts,
    content,
    length,
)

_SEQUENCES = (b"avis", b"hevc", b"hevx", b"hevm", b"hevs", b"msf1")
_CREDENTIALS = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
"""Kind of the box that holds them (C2PA specification, A.5)"""


class Item(NamedTuple):
    """An item of the file's `meta` box: a picture, or metadata."""

    number: int
    kind: bytes
    extents: tuple[tuple[int, int], ...]
    """Start and length in the file of each piece; empty where it lies elsewhere"""

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(count for _, count in self.extents)


def boxes(file: BinaryIO, start: int, end: int) -> Iterator[Part]:
    """Yield the boxes between two places of a file, each at most as long as the room."""
    for number in range(end):
        check_parts(number)
        if start + 8 > end:
            return
        file.seek(start)
        head = file.read(16)
        if len(head) < 8:
            return
        size, kind = struct.unpack_from(">I4s", head)
        skip = 8
        if size == 1 and len(head) == 16:
            (size,), skip = struct.unpack_from(">Q", head, 8), 16
        size = end - start if size == 0 else size
        if size < skip:
            return
        yield Part(kind, start + skip, min(size, end - start) - skip)
        start += size


def meta(file: BinaryIO) -> Part | None:
    """Return the box that lists a file's pictures, its version left out."""
    for box in boxes(file, 0, length(file)):
        if box.kind == b"meta" and box.length >= 4:
            return Part(box.kind, box.start + 4, box.length - 4)
    return None


def items(file: BinaryIO) -> tuple[Item, ...]:
    """Return the file's items; raise `DamagedError` if their list is cut short."""
    parts = _inside(file, meta(file))
    try:
        kinds = dict(_kinds(file, parts[b"iinf"])) if b"iinf" in parts else {}
        places = dict(_extents(bytes_at(file, *parts[b"iloc"][1:]))) if b"iloc" in parts else {}
    except (struct.error, IndexError) as error:
        raise DamagedError("its list of pictures is cut short") from error
    return tuple(Item(number, kind, places.get(number, ())) for number, kind in kinds.items())


def with_exif(data: bytes, block: bytes) -> bytes:
    """Return a file of libheif's that has EXIF with this block in its place (ISO/IEC 23008-12, A.2.1), at the end."""
    file = io.BytesIO(data)
    number = next(item.number for item in items(file) if item.kind == b"Exif")
    listed = _inside(file, meta(file))[b"iloc"]
    where = next(each for each in _places(bytes_at(file, *listed[1:])) if each.number == number)
    payload = bytes(4) + block  # where in it TIFF's header is
    start, size = where.extents[0]
    at = len(data) + 8
    wanted = {where.base: 0 if _width(start) else at, start: at, size: len(payload), where.method: 0}  # 0: in the file
    changed = bytearray(data)
    for field, value in wanted.items():
        first, last = (listed.start + each for each in field)
        changed[first:last] = value.to_bytes(last - first) if last > first else b""
    return bytes(changed) + struct.pack(">I4s", 8 + len(payload), b"mdat") + payload


def look(file: BinaryIO) -> Contents:
    """Return what a file holds; raise `UnsupportedError` if that takes too much memory."""
    inside = meta(file)
    check_metadata(inside.length if inside else 0)
    listed = items(file)
    check_metadata(sum(item.size for item in listed if item.kind in (b"Exif", b"mime", b"uri ")))
    outside = list(boxes(file, 0, length(file)))
    kinds = {box.kind for box in outside}
    found = {
        ANIMATION: bytes_at(file, 0, 12)[8:] in _SEQUENCES,
        VIDEO: b"mpvd" in kinds,
        SAMSUNG: b"sefd" in kinds,
        CREDENTIALS: any(content(file, box.start, 16) == _CREDENTIALS for box in outside if box.kind == b"uuid"),
        GAIN_MAP: any(item.kind == b"tmap" for item in listed),  # ISO 21496-1
    }
    return Contents(notes=applying(found), colours=_colours(file, _inside(file, inside)))


def check_whole(file: BinaryIO) -> None:
    """Raise `DamagedError` unless every picture lies inside the file."""
    end = length(file)
    cut = sum(any(start + count > end for start, count in item.extents) for item in items(file))
    if cut:
        raise DamagedError(f"{cut} of its {len(items(file))} parts are missing or cut short")


def _inside(file: BinaryIO, box: Part | None) -> dict[bytes, Part]:
    """Return the boxes in a box, the last of each kind."""
    return {each.kind: each for each in boxes(file, box.start, box.start + box.length)} if box else {}


def _colours(file: BinaryIO, parts: dict[bytes, Part]) -> Colours | None:
    """Return what numbers say of the colours of the picture that is shown; of a grid its tiles may say it."""
    properties = _inside(file, parts.get(b"iprp"))
    held = properties.get(b"ipco")
    colours = {
        number: bytes_at(file, box.start, min(box.length, 8))
        for number, box in enumerate(boxes(file, held.start, held.start + held.length) if held else (), 1)
        if box.kind == b"colr"
    }
    try:
        own = _properties_of_shown(file, parts, properties) & colours.keys()
    except (struct.error, IndexError):
        own = set()
    for number, data in colours.items():
        if (number in own or not own) and data[:4] == b"nclx" and len(data) == 8:
            return chromaticity.coded(*struct.unpack_from(">HH", data, 4))
    return None


def _properties_of_shown(file: BinaryIO, parts: dict[bytes, Part], properties: dict[bytes, Part]) -> set[int]:
    """Return the numbers of the properties of the primary item, from `pitm` and `ipma`."""
    if not (b"pitm" in parts and b"ipma" in properties):
        return set()
    first, listed = (bytes_at(file, *box[1:]) for box in (parts[b"pitm"], properties[b"ipma"]))
    primary = int.from_bytes(first[4 : 8 if first[0] else 6])
    reader, wide = _Reader(listed, 4), listed[3] & 1
    for _ in range(reader.integer(4)):
        number = reader.integer(4 if listed[0] else 2)
        found = {reader.integer(2) & 0x7FFF if wide else reader.integer(1) & 0x7F for _ in range(reader.integer(1))}
        if number == primary:
            return found
    return set()


def _kinds(file: BinaryIO, listed: Part) -> Iterator[tuple[int, bytes]]:
    """Yield number and kind of each item from `iinf`."""
    version = bytes_at(file, listed.start, 4)[0]
    first = listed.start + (6 if version == 0 else 8)
    for box in boxes(file, first, listed.start + listed.length):
        data = bytes_at(file, box.start, min(box.length, 16))
        if box.kind == b"infe" and data[0] >= 2:
            form = ">HH4s" if data[0] == 2 else ">IH4s"
            number, _, kind = struct.unpack_from(form, data, 4)
            yield number, kind


class _Place(NamedTuple):
    """Where in the content of `iloc` the numbers of an item stand; each from where to where."""

    number: int
    method: tuple[int, int]
    base: tuple[int, int]
    extents: tuple[tuple[tuple[int, int], tuple[int, int]], ...]
    """Start and length of each piece"""


def _width(field: tuple[int, int]) -> int:
    """Return how many bytes a number has."""
    return field[1] - field[0]


def _places(data: bytes) -> Iterator[_Place]:
    """Yield for each item where its numbers stand in `iloc`; raise `struct.error` if it is cut short."""
    version, sizes = data[0], struct.unpack_from(">H", data, 4)[0]
    at_size, count_size, base_size, index_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15, sizes & 15
    reader = _Reader(data, 6)
    for _ in range(reader.integer(2 if version < 2 else 4)):
        number = reader.integer(2 if version < 2 else 4)
        method = reader.skip(2 if version else 0)
        reader.skip(2)
        base = reader.skip(base_size)
        extents = []
        for _ in range(reader.integer(2)):
            reader.skip(index_size if version else 0)
            extents.append((reader.skip(at_size), reader.skip(count_size)))
        yield _Place(number, method, base, tuple(extents))


def _extents(data: bytes) -> Iterator[tuple[int, tuple[tuple[int, int], ...]]]:
    """Yield number and extents of each item from the content of `iloc`; none if they are not in the file itself."""
    for place in _places(data):
        method, base = (int.from_bytes(data[slice(*field)]) for field in (place.method, place.base))
        pieces = (tuple(int.from_bytes(data[slice(*field)]) for field in piece) for piece in place.extents)
        yield place.number, () if method & 15 else tuple((base + start, count) for start, count in pieces)


class _Reader:
    """Integers of any length, one after the other; raise `struct.error` at the end."""

    def __init__(self, data: bytes, place: int) -> None:
        self.data, self.place = data, place

    def integer(self, size: int) -> int:
        """Return the next integer of `size` bytes, 0 for none."""
        return int.from_bytes(self.data[slice(*self.skip(size))])

    def skip(self, size: int) -> tuple[int, int]:
        """Return from where to where the next integer stands."""
        start, self.place = self.place, self.place + size
        if self.place > len(self.data):
            raise struct.error("cut short")
        return start, self.place
