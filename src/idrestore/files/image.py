"""Files ↔ arrays: what the rest of the package uses of this room; no other module opens a picture file."""

from idrestore.files.formats import SUFFIXES, is_supported
from idrestore.files.metadata import SOFTWARE_FIELD, software
from idrestore.files.photo import UNKNOWN_RESOLUTION, Encoding, ImageError, Photo, Pixels
from idrestore.files.reading import MAX_PIXELS, Header, inspect, read, size, thumbnail, writer
from idrestore.files.writing import check_target, encode, unwritable, write

__all__ = [
    "MAX_PIXELS",
    "SOFTWARE_FIELD",
    "SUFFIXES",
    "UNKNOWN_RESOLUTION",
    "Encoding",
    "Header",
    "ImageError",
    "Photo",
    "Pixels",
    "check_target",
    "encode",
    "inspect",
    "is_supported",
    "read",
    "size",
    "software",
    "thumbnail",
    "unwritable",
    "write",
    "writer",
]
