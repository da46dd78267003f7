"""EXIF (CIPA DC-008), patched where it lies: what is not changed keeps its bytes and its place, maker notes included.

A block of EXIF is a small TIFF file. Maker notes point into it from its first byte on, so nothing in it may move:
values that grow are put behind its end. TIFF files, whose EXIF is spread over the file, are packed into a new block.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

ORIENTATION, SOFTWARE = 274, 305
EXIF_POINTER, GPS_POINTER, INTEROPERABILITY_POINTER = 34665, 34853, 40965
POINTERS = (EXIF_POINTER, GPS_POINTER, INTEROPERABILITY_POINTER)
"""Tags whose value is where another directory begins (EXIF 2.32, 4.6.3)"""
_THUMBNAIL, _THUMBNAIL_LENGTH = 513, 514
_WIDTHS, _HEIGHTS = (256, 40962), (257, 40963)
"""ImageWidth and PixelXDimension; ImageLength and PixelYDimension"""
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Bytes of one value of each type"""
_LONGEST = 4096
"""Entries of a directory, beyond which it is taken to be damaged"""


class Entry(NamedTuple):
    """A tag of a directory: where its twelve bytes are, and its value."""

    place: int
    tag: int
    type: int
    number: int
    start: int
    """Where its value is"""

    @property
    def size(self) -> int:
        """Bytes of the value."""
        return SIZES.get(self.type, 1) * self.number


class Value(NamedTuple):
    """A tag's value on its own, in the order of bytes of its block."""

    type: int
    number: int
    data: bytes


Directory = dict[int, "Value | Directory"]
"""Tags and their values; a pointer's value is the directory that it leads to."""


def order_of(block: bytes) -> str | None:
    """Return a block's order of bytes as `struct` has it; None if it is no EXIF."""
    return {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4]) if len(block) >= 8 else None


def software(block: bytes) -> str:
    """Return what the block says wrote the photo, or an empty text."""
    for entry in _entries(block, _first(block)):
        if entry.tag == SOFTWARE and entry.type == 2:
            text = block[entry.start : entry.start + entry.size].split(b"\0")[0]
            return text.decode("utf-8", "replace").strip()
    return ""


def upright(block: bytes, width: int, height: int) -> bytes:
    """Return the block for an upright picture of this size, without its thumbnail, which shows the degraded photo.

    Of what is no EXIF nothing is changed.
    """
    if order_of(block) is None:
        return block
    changed = bytearray(block)
    first = list(_entries(block, _first(block)))
    for entry in [*first, *_below(block, first)]:
        if entry.tag == ORIENTATION:
            _set_integer(changed, entry, 1)
        elif entry.tag in (*_WIDTHS, *_HEIGHTS):
            _set_integer(changed, entry, width if entry.tag in _WIDTHS else height)
    return _without_thumbnail(changed)


def with_software(block: bytes, text: str) -> bytes:
    """Return the block, or a new one for an empty block, with a Software field of this text."""
    value = text.encode() + b"\0"
    if order_of(block) is None:
        return block or packed({SOFTWARE: Value(2, len(value), value)})
    order = order_of(block) or "<"
    if not _first(block):
        return block
    first = list(_entries(block, _first(block)))
    changed = bytearray(block)
    old = next((entry for entry in first if entry.tag == SOFTWARE), None)
    if old is not None and old.type == 2 and len(value) <= old.size and old.size > 4:
        changed[old.start : old.start + old.size] = value.ljust(old.size, b"\0")
        return bytes(changed)
    start = _append(changed, value) if len(value) > 4 else None
    place = value.ljust(4, b"\0") if start is None else struct.pack(order + "I", start)
    entry_bytes = struct.pack(order + "HHI", SOFTWARE, 2, len(value)) + place
    if old is not None:
        changed[old.place : old.place + 12] = entry_bytes
        return bytes(changed)
    # One entry more needs a longer directory: a new one behind the end, and the old one's bytes stay unused.
    rows = {entry.tag: bytes(block[entry.place : entry.place + 12]) for entry in first} | {SOFTWARE: entry_bytes}
    following = _following(block, _first(block), order)
    directory = struct.pack(order + "H", len(rows)) + b"".join(rows[tag] for tag in sorted(rows))
    directory += struct.pack(order + "I", following)
    changed[4:8] = struct.pack(order + "I", _append(changed, directory))
    return bytes(changed)


def unpacked(block: bytes) -> Directory:
    """Return all tags of a block, its thumbnail left out."""
    return _tree(block, _first(block), 0)


def packed(directory: Directory, order: str = "<") -> bytes:
    """Return a block that holds a directory whose values are in this order of bytes."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(order + "I", 8) + laid_out(directory, order, 8)


def laid_out(directory: Directory, order: str, start: int) -> bytes:
    """Return the bytes of a directory that begins at `start`, followed by its values and the directories below."""
    behind = start + 2 + 12 * len(directory) + 4
    rows, values = [], b""
    for tag in sorted(directory):
        value = directory[tag]
        if isinstance(value, dict):
            place = behind + len(values)
            rows.append(struct.pack(order + "HHII", tag, 4, 1, place))
            values += laid_out(value, order, place)
        elif len(value.data) <= 4:
            rows.append(struct.pack(order + "HHI", tag, value.type, value.number) + value.data.ljust(4, b"\0"))
        else:
            rows.append(struct.pack(order + "HHII", tag, value.type, value.number, behind + len(values)))
            values += value.data
        values += bytes(len(values) % 2)
    return struct.pack(order + "H", len(directory)) + b"".join(rows) + bytes(4) + values


def reordered(directory: Directory, old: str, new: str) -> Directory:
    """Return a directory with its values in another order of bytes; what is of no known type stays as it is."""
    if old == new:
        return dict(directory)
    widths = {3: "H", 8: "H", 4: "I", 9: "I", 13: "I", 11: "I", 5: "I", 10: "I", 12: "Q"}
    changed: Directory = {}
    for tag, value in directory.items():
        if isinstance(value, dict):
            changed[tag] = reordered(value, old, new)
        elif value.type in widths:
            width = widths[value.type]
            number = len(value.data) // struct.calcsize(width)
            numbers = struct.unpack(f"{old}{number}{width}", value.data[: number * struct.calcsize(width)])
            changed[tag] = value._replace(data=struct.pack(f"{new}{number}{width}", *numbers))
        else:
            changed[tag] = value
    return changed


def _tree(block: bytes, start: int, depth: int) -> Directory:
    found: Directory = {}
    for entry in _entries(block, start):
        if entry.tag in POINTERS and depth < 3:
            below = _tree(block, _integer(block, entry), depth + 1)
            if below:
                found[entry.tag] = below
        else:
            found[entry.tag] = Value(entry.type, entry.number, block[entry.start : entry.start + entry.size])
    return found


def _first(block: bytes) -> int:
    """Return where the first directory is; 0 if there is none."""
    order = order_of(block)
    place = 0 if order is None else int(struct.unpack_from(order + "I", block, 4)[0])
    return place if 8 <= place <= len(block) - 2 else 0


def _entries(block: bytes, start: int) -> Iterator[Entry]:
    """Yield the entries of a directory whose values lie inside the block."""
    order = order_of(block)
    if order is None or not 8 <= start <= len(block) - 2:
        return
    count = struct.unpack_from(order + "H", block, start)[0]
    for place in range(start + 2, min(start + 2 + 12 * min(count, _LONGEST), len(block) - 11), 12):
        tag, kind, number, where = struct.unpack_from(order + "HHII", block, place)
        size = SIZES.get(kind, 1) * number
        value = place + 8 if size <= 4 else where
        if value + size <= len(block):
            yield Entry(place, tag, kind, number, value)


def _below(block: bytes, entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield the entries of the directory of EXIF itself."""
    for entry in entries:
        if entry.tag == EXIF_POINTER:
            yield from _entries(block, _integer(block, entry))


def _following(block: bytes, start: int, order: str) -> int:
    """Return where the next directory is, that of the thumbnail; 0 if there is none."""
    place = start + 2 + 12 * struct.unpack_from(order + "H", block, start)[0]
    return int(struct.unpack_from(order + "I", block, place)[0]) if place + 4 <= len(block) else 0


def _without_thumbnail(block: bytearray) -> bytes:
    order, first = order_of(bytes(block)) or "<", _first(bytes(block))
    second = _following(bytes(block), first, order) if first else 0
    if not second:
        return bytes(block)
    numbers = {entry.tag: _integer(bytes(block), entry) for entry in _entries(bytes(block), second)}
    start, size = numbers.get(_THUMBNAIL, 0), numbers.get(_THUMBNAIL_LENGTH, 0)
    place = first + 2 + 12 * struct.unpack_from(order + "H", block, first)[0]
    block[place : place + 4] = bytes(4)
    if 8 <= start < start + size <= len(block):
        block[start : start + size] = bytes(size)
        if start + size == len(block):  # as cameras write it
            del block[start:]
    return bytes(block)


def _append(block: bytearray, data: bytes) -> int:
    """Put data behind the end of a block, at an even place, and return where."""
    block.extend(bytes(len(block) % 2))
    start = len(block)
    block.extend(data)
    return start


def _integer(block: bytes, entry: Entry) -> int:
    order = order_of(block) or "<"
    width = {1: "B", 3: "H", 4: "I", 13: "I"}.get(entry.type)
    return int(struct.unpack_from(order + width, block, entry.start)[0]) if width and entry.number else 0


def _set_integer(block: bytearray, entry: Entry, value: int) -> None:
    order = order_of(bytes(block[:8])) or "<"
    width = {3: "H", 4: "I"}.get(entry.type)
    if width and entry.number == 1 and value < 1 << 8 * struct.calcsize(width):
        struct.pack_into(order + width, block, entry.start, value)
