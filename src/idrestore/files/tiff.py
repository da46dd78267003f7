"""What libvips does not tell of a TIFF file: whether it holds EXIF."""

import struct
from typing import BinaryIO

EXIF_POINTER = 34665
"""Tag of the first directory that points to the EXIF directory (EXIF 2.32, 4.6.3)."""


def holds_exif(file: BinaryIO) -> bool:
    """Tell whether the first directory of a TIFF or BigTIFF file points to EXIF; False if it is cut short."""
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"+\0", b"\0+")  # version 43; else 42
    try:
        (start,) = struct.unpack_from(order + ("Q" if big else "I"), head, 8 if big else 4)
        file.seek(start)
        (count,) = struct.unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))
        size = 20 if big else 12
        entries = file.read(size * min(count, 65535))
        tags = [struct.unpack_from(order + "H", entries, at)[0] for at in range(0, len(entries) - 1, size)]
    except (struct.error, OverflowError, ValueError, OSError):
        return False
    return EXIF_POINTER in tags
