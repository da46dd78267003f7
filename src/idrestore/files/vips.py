"""libvips, set up for photos that are read once: its header fields and its errors."""

import logging
from typing import Any

import pyvips

# libvips would log every damaged tile; the one line that matters is in the exception.
logging.getLogger("pyvips").setLevel(logging.ERROR)
# A photo is read once: a cache of operations would only keep whole photos in memory.
pyvips.cache_set_max(0)


def field(image: pyvips.Image, name: str, otherwise: Any) -> Any:
    """Return a header field of a picture, or `otherwise` if it has none of this name."""
    return image.get(name) if image.get_typeof(name) else otherwise


def fields(image: pyvips.Image) -> list[str]:
    """List the names of header fields; where one of them is no text, only those that matter most."""
    try:
        return list(image.get_fields())
    except UnicodeDecodeError:
        return [f"{name}-data" for name in ("icc-profile", "exif", "xmp", "iptc") if image.get_typeof(f"{name}-data")]


def cause(error: pyvips.Error) -> str:
    """Return libvips' first line that is not a harmless seek of its HEIF loader."""
    lines = [line.strip() for line in error.detail.splitlines() if "bad seek" not in line]
    return str(next(filter(None, lines), error.message))
