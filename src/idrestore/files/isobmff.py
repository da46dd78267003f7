"""The boxes of an AVIF or HEIC file (ISO/IEC 14496-12 and 23008-12), walked without decoding a pixel."""

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from idrestore.files.containers import (
    ANIMATION,
    GAIN_MAP,
    DamagedError,
    UnsupportedError,
    bytes_at,
    check_metadata,
    check_parts,
    length,
)

_SEQUENCES = (b"avis", b"hevc", b"hevx", b"hevm", b"hevs", b"msf1")
_MAX_FILE = 1 << 30  # bytes: libheif holds the whole file


class Box(NamedTuple):
    """A box: its kind, and where in the file its content is."""

    kind: bytes
    start: int
    length: int


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


def boxes(file: BinaryIO, start: int, end: int) -> Iterator[Box]:
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
        yield Box(kind, start + skip, min(size, end - start) - skip)
        start += size


def meta(file: BinaryIO) -> Box | None:
    """Return the box that lists a file's pictures, its version left out."""
    for box in boxes(file, 0, length(file)):
        if box.kind == b"meta" and box.length >= 4:
            return Box(box.kind, box.start + 4, box.length - 4)
    return None


def items(file: BinaryIO) -> tuple[Item, ...]:
    """Return the file's items; raise `DamagedError` if their list is cut short."""
    inside = meta(file)
    if inside is None:
        return ()
    parts = {box.kind: box for box in boxes(file, inside.start, inside.start + inside.length)}
    try:
        kinds = dict(_kinds(file, parts[b"iinf"])) if b"iinf" in parts else {}
        places = dict(_places(bytes_at(file, *parts[b"iloc"][1:]))) if b"iloc" in parts else {}
    except (struct.error, IndexError) as error:
        raise DamagedError("its list of pictures is cut short") from error
    return tuple(Item(number, kind, places.get(number, ())) for number, kind in kinds.items())


def with_exif(data: bytes, block: bytes) -> bytes:
    """Return a file of libheif's that has EXIF with this block in its place (ISO/IEC 23008-12, A.2.1), at the end."""
    file = io.BytesIO(data)
    number = next(item.number for item in items(file) if item.kind == b"Exif")
    inside = meta(file)
    assert inside is not None
    listed = next(b for b in boxes(file, inside.start, inside.start + inside.length) if b.kind == b"iloc")
    payload = bytes(4) + block  # where in it TIFF's header is
    changed = bytearray(data)
    for field, value in _fields_of(bytes_at(file, listed.start, listed.length), number, len(data) + 8, len(payload)):
        changed[listed.start + field.start : listed.start + field.stop] = value.to_bytes(field.stop - field.start)
    return bytes(changed) + struct.pack(">I4s", 8 + len(payload), b"mdat") + payload


def check(file: BinaryIO) -> None:
    """Raise `UnsupportedError` if metadata, or the whole file, take too much memory."""
    if length(file) > _MAX_FILE:
        raise UnsupportedError("is larger than 1 GiB: save it as TIFF or PNG first")
    inside = meta(file)
    check_metadata(inside.length if inside else 0)
    check_metadata(sum(item.size for item in items(file) if item.kind in (b"Exif", b"mime", b"uri ")))


def check_whole(file: BinaryIO) -> None:
    """Raise `DamagedError` unless every picture lies inside the file."""
    end = length(file)
    cut = sum(any(start + count > end for start, count in item.extents) for item in items(file))
    if cut:
        raise DamagedError(f"{cut} of its {len(items(file))} parts are missing or cut short")


def notes(file: BinaryIO) -> tuple[str, ...]:
    """Say what is not read."""
    brand = bytes_at(file, 0, 12)[8:]
    found = {
        ANIMATION: brand in _SEQUENCES,
        GAIN_MAP: any(item.kind == b"tmap" for item in items(file)),  # ISO 21496-1
    }
    return tuple(note for note, applies in found.items() if applies)


def cicp(file: BinaryIO) -> tuple[int, int] | None:
    """Return primaries and transfer (ITU-T H.273) of the first picture that says them, None if none does."""
    inside = meta(file)
    for kind in (b"iprp", b"ipco"):
        found = boxes(file, inside.start, inside.start + inside.length) if inside else iter(())
        inside = next((box for box in found if box.kind == kind), None)
    for box in boxes(file, inside.start, inside.start + inside.length) if inside else ():
        if box.kind == b"colr" and (data := bytes_at(file, box.start, box.length))[:4] == b"nclx" and len(data) >= 8:
            primaries, transfer = struct.unpack_from(">HH", data, 4)
            return primaries, transfer
    return None


def _kinds(file: BinaryIO, listed: Box) -> Iterator[tuple[int, bytes]]:
    """Yield number and kind of each item from `iinf`."""
    version = bytes_at(file, listed.start, 4)[0]
    first = listed.start + (6 if version == 0 else 8)
    for box in boxes(file, first, listed.start + listed.length):
        data = bytes_at(file, box.start, min(box.length, 16))
        if box.kind == b"infe" and data[0] >= 2:
            form = ">HH4s" if data[0] == 2 else ">IH4s"
            number, _, kind = struct.unpack_from(form, data, 4)
            yield number, kind


def _places(data: bytes) -> Iterator[tuple[int, tuple[tuple[int, int], ...]]]:
    """Yield number and extents of each item from the content of `iloc`."""
    version, sizes = data[0], struct.unpack_from(">H", data, 4)[0]
    at_size, count_size, base_size, index_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15, sizes & 15
    reader = _Reader(data, 6)
    for _ in range(reader.integer(2 if version < 2 else 4)):
        number = reader.integer(2 if version < 2 else 4)
        inside = reader.integer(2) & 15 if version else 0  # 0: in the file, else in a box or an item
        reader.integer(2)
        base = reader.integer(base_size)
        extents = []
        for _ in range(reader.integer(2)):
            if version:
                reader.integer(index_size)
            start = base + reader.integer(at_size)
            extents.append((start, reader.integer(count_size)))
        yield number, () if inside else tuple(extents)


def _fields_of(data: bytes, number: int, start: int, count: int) -> Iterator[tuple[slice, int]]:
    """Yield where in `iloc` an item's base, start and length stand, and what each has to be for other bytes."""
    version, sizes = data[0], struct.unpack_from(">H", data, 4)[0]
    at_size, count_size, base_size, index_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15, sizes & 15
    reader = _Reader(data, 6)
    for _ in range(reader.integer(2 if version < 2 else 4)):
        is_it = reader.integer(2 if version < 2 else 4) == number
        method = reader.place
        reader.integer(4 if version else 2)
        base = reader.place
        reader.integer(base_size)
        extents = reader.integer(2)
        for each in range(extents):
            reader.integer(index_size if version else 0)
            place = reader.place
            reader.integer(at_size + count_size)
            if is_it and each == 0:
                yield slice(base, base + base_size), 0 if at_size else start
                yield slice(place, place + at_size), start if at_size else 0
                yield slice(place + at_size, place + at_size + count_size), count
                if version:  # in the file, no longer in a box
                    yield slice(method, method + 2), 0


class _Reader:
    """Integers of any length, one after the other; raise `struct.error` at the end."""

    def __init__(self, data: bytes, place: int) -> None:
        self.data, self.place = data, place

    def integer(self, size: int) -> int:
        """Return the next integer of `size` bytes, 0 for none."""
        piece = self.data[self.place : self.place + size]
        if len(piece) < size:
            raise struct.error("cut short")
        self.place += size
        return int.from_bytes(piece)
