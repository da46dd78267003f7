"""A photo from its file: exact, upright, with what the file says of it."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pyvips

from idrestore.files import colour, metadata, tiff, vips
from idrestore.files.formats import FORMATS, Format
from idrestore.files.photo import UNKNOWN_RESOLUTION, ImageError, Photo, Pixels

MAX_PIXELS = 300_000_000
"""Default cap, read in the header before decoding: 0.9 GB of memory at 8 bits."""

# The brand of AVIF and HEIC sequences; an animated PNG has `acTL` right after its header.
_SEQUENCE = rb"....ftyp(avis|hev|msf1)|\x89PNG.{33}acTL"
_HEAD = 64  # bytes, enough for each of these


def size(source: Path | str | bytes, name: str = "") -> tuple[int, int]:
    """Return (width, height) of the upright photo from its header; raise `ImageError`, which names bytes `name`."""
    with _opened(source, name) as header:
        width, height = header.image.width, header.image.height
        return (height, width) if _orientation(header.image) in range(5, 9) else (width, height)


def read(source: Path | str | bytes, max_pixels: int = MAX_PIXELS, name: str = "") -> Photo:
    """Read a photo from a path or from a file's bytes: exact, upright, metadata kept.

    CMYK becomes sRGB and of several pages the first is read; `Photo.notes` says so.
    Raise `ImageError`, which names bytes `name`, for anything but a whole picture of at most `max_pixels`.
    """
    with _opened(source, name) as header:
        _check(header, max_pixels)
        image = _upright(colour.without_cmyk(header.image))
        pixels, alpha = _arrays(image, header.format)
        return Photo(
            pixels,
            alpha,
            grey=image.bands < 3,
            format=header.format.name,
            metadata=metadata.of(image),
            # libvips says unknown with 1 pixel per millimetre.
            resolution=UNKNOWN_RESOLUTION if image.xres == 1 else (image.xres, image.yres),
            notes=_notes(header),
        )


def thumbnail(source: Path | bytes, side: int, quality: int = 60) -> bytes:
    """Return a WebP of a photo, upright, in sRGB, without metadata, at most `side` px; raise `ImageError`."""
    with _opened(source) as header:
        image = header.image.thumbnail_image(side, size="down", export_profile="srgb")
        return bytes(image.webpsave_buffer(Q=quality, keep=pyvips.enums.ForeignKeep.NONE))


class _Header(NamedTuple):
    """A picture opened as far as its header: no pixel is decoded yet."""

    name: str
    format: Format
    image: pyvips.Image
    sequence: bool
    exif_in_tiff: bool


@contextmanager
def _opened(source: Path | str | bytes, name: str = "") -> Iterator[_Header]:
    """Keep a picture open while its pixels are read; whatever fails is an `ImageError`."""
    name = name or ("the picture" if isinstance(source, bytes) else str(source))
    try:
        with _stream(source) as stream:
            head = stream.read(_HEAD)
            row = _sniff(name, head)
            if isinstance(source, bytes):
                data = pyvips.Source.new_from_memory(source)
            else:
                data = pyvips.Source.new_from_descriptor(stream.fileno())
            load = getattr(pyvips.Image, f"{row.codec}load_source")
            image = load(data, access="sequential", fail_on="error")
            sequence = bool(re.match(_SEQUENCE, head, re.DOTALL))
            yield _Header(name, row, image, sequence, row.name == "TIFF" and tiff.holds_exif(stream))
    except pyvips.Error as error:
        raise ImageError(_explanation(name, row, error)) from error
    except OSError as error:
        advice = "check the name and the permissions"
        raise ImageError(f"{name} cannot be read ({error.strerror}): {advice}") from error


def _stream(source: Path | str | bytes) -> BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    path = Path(source)
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise ImageError(f"{path} is a folder or a device: expected a picture file")
    return path.open("rb")


def _sniff(name: str, head: bytes) -> Format:
    for row in FORMATS:
        if re.match(row.signature, head, re.DOTALL):
            return row
    found = f"it starts with {head[:8]!r}" if head else "it is empty"
    expected = ", ".join(row.name for row in FORMATS)
    raise ImageError(f"{name} is not a picture ({found}): expected one of {expected}")


def _explanation(name: str, row: Format, error: pyvips.Error) -> str:
    if row.codec == "heif" and re.search("not been built in|Unsupported codec", error.detail):
        advice = "convert it to JPEG, PNG or AVIF, or install a libvips with an HEVC decoder"
        return f"{name} is {row.name}, which this build of libvips cannot decode: {advice}"
    return f"{name} is damaged or cut short ({vips.cause(error)}): expected a whole {row.name} file"


def _check(header: _Header, max_pixels: int) -> None:
    name, image = header.name, header.image
    if image.width * image.height > max_pixels:
        found = f"{image.width} x {image.height} pixels"
        advice = "raise the limit (--max-pixels) if you trust the file"
        raise ImageError(f"{name} has {found}: expected at most {max_pixels:,} in all; {advice}")
    if not colour.is_known(image):
        found = f"{image.bands} channels of {image.format} {image.interpretation}"
        expected = "8- or 16-bit grey, RGB or CMYK; convert it first"
        raise ImageError(f"{name} holds {found}: expected {expected}")


def _orientation(image: pyvips.Image) -> int:
    """Return EXIF 2.32's tag 274: 1 is upright, 2 to 8 are turned, 5 to 8 on their sides."""
    return int(vips.field(image, "orientation", 1))


def _upright(image: pyvips.Image) -> pyvips.Image:
    if _orientation(image) > 1:
        image = image.copy_memory()  # turning takes the rows out of order
    return image.autorot()


def _arrays(image: pyvips.Image, row: Format) -> tuple[Pixels, Pixels | None]:
    samples: Pixels = np.atleast_3d(image.numpy())  # (H, W, 1 to 4)
    if row.bits == 12 and image.format == "ushort":
        # 10 or 12 bits come shifted to the top; repeated below, white is 65535.
        samples |= samples >> image.get("bits-per-sample")
    three = samples[..., :3] if image.bands > 2 else np.repeat(samples[..., :1], 3, axis=2)
    alpha = samples[..., -1].copy() if image.hasalpha() else None
    return np.ascontiguousarray(three), alpha


def _notes(header: _Header) -> tuple[str, ...]:
    image = header.image
    pages, inner = vips.field(image, "n-pages", 1), vips.field(image, "n-subifds", 0)
    notes = {
        "only the first of several pages was read": header.sequence or pages > 1,
        "pictures inside the TIFF were not read; of a camera's raw file this is a preview": inner,
        "EXIF in TIFF is not read, and lost": header.exif_in_tiff,
        "CMYK was converted to sRGB": image.interpretation == "cmyk",
        "the HDR gain map was left out": b"hdrgm:Version" in vips.field(image, "xmp-data", b""),
    }
    return tuple(note for note, applies in notes.items() if applies)
