"""libvips, set up for photos that are read once: its loaders, its header fields and its errors."""

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyvips
from numpy.typing import NDArray

from idrestore.files.containers import UnsupportedError


def keep_no_results() -> None:
    """Let libvips forget what each operation made: a photo is read once, and its file would stay open for long.

    It is a setting of the whole process: commands make it, a library leaves it to its user.
    """
    pyvips.cache_set_max(0)


class Opened(NamedTuple):
    """A picture opened as far as its header: no pixel is decoded yet."""

    width: int
    """In pixels, upright, as height"""
    height: int
    depth: int
    """Bits per sample in the file"""
    channels: int
    decode: Callable[[], pyvips.Image]
    """Decode the pixels, now or when they are asked for; to be called while the file is open"""
    notes: tuple[str, ...] = ()


def opener(codec: str, fail_on: str = "error") -> Callable[[BinaryIO], Opened]:
    """Return a function that opens a picture with one of libvips' loaders; it raises `pyvips.Error`."""

    def opened(file: BinaryIO) -> Opened:
        if not pyvips.type_find("VipsOperation", f"{codec}load_source"):
            advice = "save it as PNG or TIFF first"
            raise UnsupportedError(f"is {codec.upper()}, which this build of libvips cannot decode: {advice}")
        load = getattr(pyvips.Image, f"{codec}load_source")
        image = load(source(file), access="sequential", fail_on=fail_on)
        width, height = image.width, image.height
        if orientation(image) in range(5, 9):
            width, height = height, width
        depth = {"uchar": 8, "char": 8, "ushort": 16, "short": 16}.get(image.format, 32)
        return Opened(width, height, field(image, "bits-per-sample", depth), image.bands, lambda: image)

    return opened


def source(file: BinaryIO) -> pyvips.Source:
    """Return libvips' way to a file's bytes, from the first."""
    if isinstance(file, io.BytesIO):
        return pyvips.Source.new_from_memory(file.getvalue())
    os.lseek(file.fileno(), 0, os.SEEK_SET)  # which it shares with libvips
    return pyvips.Source.new_from_descriptor(file.fileno())


_KINDS = {bytes: "VipsBlob", str: "VipsRefString", int: "gint"}
_FORMATS = {np.dtype(np.uint8): "uchar", np.dtype(np.uint16): "ushort"}


def from_array(samples: NDArray[Any], fields: Mapping[str, Any], cmyk: bool = False) -> pyvips.Image:
    """Return a picture of (H, W) or (H, W, 1 to 4) uint8 or uint16 that shares the array's memory."""
    samples = np.ascontiguousarray(np.atleast_3d(samples))
    height, width, channels = samples.shape
    image = pyvips.Image.new_from_memory(samples, width, height, channels, _FORMATS[samples.dtype])
    grey, colour = ("b-w", "srgb") if samples.dtype == np.uint8 else ("grey16", "rgb16")
    image = image.copy(interpretation="cmyk" if cmyk else grey if channels < 3 else colour)
    set_fields(image, fields)
    return image


def set_fields(image: pyvips.Image, fields: Mapping[str, Any]) -> None:
    """Give a picture, which is a copy of one's own, header fields of bytes, text or numbers."""
    for name, value in fields.items():
        image.set_type(pyvips.type_from_name(_KINDS[type(value)]), name, value)


def orientation(image: pyvips.Image) -> int:
    """Return EXIF 2.32's tag 274: 1 is upright, 2 to 8 are turned, 5 to 8 on their sides."""
    return int(field(image, "orientation", 1))


def field(image: pyvips.Image, name: str, otherwise: Any) -> Any:
    """Return a header field of a picture, or `otherwise` if it has none of this name."""
    return image.get(name) if image.get_typeof(name) else otherwise


def fields(image: pyvips.Image) -> list[str]:
    """List the names of header fields; where one of them is no text, only those that matter most."""
    try:
        return list(image.get_fields())
    except UnicodeDecodeError:
        return [f"{name}-data" for name in ("icc-profile", "exif", "xmp", "iptc") if image.get_typeof(f"{name}-data")]


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn a complaint that quotes a file's own bytes into a `pyvips.Error`.

    pyvips cannot decode such a one as UTF-8, and does not forget it: each later failure would raise the same.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        said = pyvips.ffi.string(pyvips.vips_lib.vips_error_buffer()).decode(errors="replace")
        pyvips.vips_lib.vips_error_clear()
        raise pyvips.Error("libvips", said) from error


def cause(error: pyvips.Error) -> str:
    """Return libvips' first line that is not a harmless seek of its HEIF loader."""
    lines = [line.strip() for line in error.detail.splitlines() if "bad seek" not in line]
    return str(next(filter(None, lines), error.message))
