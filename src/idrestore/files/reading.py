"""A photo from its file: exact, upright, with what the file says of it."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pyvips

from idrestore.files import colour, exif, metadata, vips, xmp
from idrestore.files.containers import (
    ANIMATION,
    GAIN_MAP,
    MAX_WHOLE,
    VIDEO,
    Contents,
    DamagedError,
    UnsupportedError,
    applying,
    length,
)
from idrestore.files.formats import FORMATS, Format, recognised
from idrestore.files.photo import UNKNOWN_RESOLUTION, ImageError, Photo, Pixels

MAX_PIXELS = 300_000_000
"""Default cap, read in the header before decoding: 0.9 GB of memory at 8 bits."""

_SEVERAL = {
    "TIFF": "only the first of several pages was read (--pages all restores all)",
    "WebP": ANIMATION,
    "GIF": ANIMATION,
    "AVIF": "only the first of several pictures was read",
}
"""What to say of formats whose pages libvips counts"""


class Header(NamedTuple):
    """What a file says before its pixels are decoded."""

    format: str
    """As in `Photo.format`"""
    width: int
    """In pixels, upright, as height"""
    height: int
    depth: int
    """Bits per sample in the file"""


def inspect(source: Path | str | bytes, name: str = "") -> Header:
    """Read a photo's header alone; raise `ImageError`, which names bytes `name`."""
    with _opened(source, name) as (row, file, _):
        opened = row.open(file)
        return Header(row.name, opened.width, opened.height, opened.depth)


def size(source: Path | str | bytes, name: str = "") -> tuple[int, int]:
    """Return (width, height) of the upright photo from its header; raise `ImageError`, which names bytes `name`."""
    header = inspect(source, name)
    return header.width, header.height


def writer(source: Path | str | bytes) -> str:
    """Return what a photo's EXIF says wrote it, or an empty text; raise `ImageError`."""
    with _opened(source) as (row, file, contents):
        return exif.software(metadata.of(row.open(file).decode(), contents).get(metadata.EXIF, b""))


def read(source: Path | str | bytes, max_pixels: int = MAX_PIXELS, name: str = "") -> Photo:
    """Read a photo from a path or from a file's bytes: exact, upright, metadata kept.

    CMYK becomes sRGB and of several pages the first is read; `Photo.notes` says so. A path is read piece by piece,
    as far as the pixels need. Raise `ImageError`, which names bytes `name`, for anything but a whole picture of at
    most `max_pixels`.

    >>> read("photo.jpg").pixels.shape
    (32, 48, 3)
    """
    with _opened(source, name) as (row, file, contents):
        opened = row.open(file)
        _check_size(opened, max_pixels)
        row.check_whole(file)
        try:
            with vips.readable_errors():
                return _photo(row, contents, opened)
        except pyvips.Error as error:
            if row.mended is None:
                raise
            mended, fail_on = row.mended(file, error.detail)
            return _photo(row, contents, vips.opener(row.saver, fail_on)(mended))


def thumbnail(source: Path | bytes, side: int, quality: int = 60) -> bytes:
    """Return a WebP of a photo, upright, in sRGB, without metadata, at most `side` px; raise `ImageError`.

    A picture of more than `MAX_PIXELS` is refused, as by `read`.
    """
    with _opened(source) as (row, file, contents):
        opened = row.open(file)
        _check_size(opened, MAX_PIXELS)
        image, _ = colour.as_rgb(_decoded(contents, opened))
        image = image.thumbnail_image(side, size="down", export_profile="srgb")
        return bytes(image.webpsave_buffer(Q=quality, keep=pyvips.enums.ForeignKeep.NONE))


@contextmanager
def _opened(source: Path | str | bytes, name: str = "") -> Iterator[tuple[Format, BinaryIO, Contents]]:
    """Keep a file open whose format is known and sane; whatever fails is an `ImageError`."""
    name = name or ("the picture" if isinstance(source, bytes) else str(source))
    try:
        with _stream(source) as file:
            row = _recognised(name, file)
            if row.read_whole and length(file) > MAX_WHOLE:
                raise UnsupportedError(f"is larger than {MAX_WHOLE >> 30} GiB: save it as TIFF or PNG first")
            contents = row.look(file)
            with vips.readable_errors():
                yield row, file, contents
    except UnsupportedError as error:
        raise ImageError(f"{name} {error}") from error
    except pyvips.Error as error:
        raise _damaged(name, row, vips.cause(error)) from error
    except DamagedError as error:
        raise _damaged(name, row, str(error)) from error
    except OSError as error:
        advice = "check the name and the permissions"
        raise ImageError(f"{name} cannot be read ({error.strerror}): {advice}") from error


def _damaged(name: str, row: Format, cause: str) -> ImageError:
    return ImageError(f"{name} is damaged or cut short ({cause}): expected a whole {row.name} file")


def _stream(source: Path | str | bytes) -> BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    path = Path(source)
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise ImageError(f"{path} is a folder or a device: expected a picture file")
    return path.open("rb", 0)


def _recognised(name: str, file: BinaryIO) -> Format:
    row = recognised(file)
    if row is None:
        head = file.read(8)
        found = f"it starts with {head.decode('latin-1')!r}" if head else "it is empty"
        expected = ", ".join(row.name for row in FORMATS)
        raise ImageError(f"{name} is not a picture ({found}): expected one of {expected}")
    return row


def _check_size(opened: vips.Opened, max_pixels: int) -> None:
    if opened.width * opened.height > max_pixels:
        found = f"{opened.width} x {opened.height} pixels"
        advice = "raise the limit (--max-pixels) if you trust the file"
        raise UnsupportedError(f"has {found}: expected at most {max_pixels:,} in all; {advice}")


def _photo(row: Format, contents: Contents, opened: vips.Opened) -> Photo:
    decoded = _decoded(contents, opened)
    image, converted = colour.as_rgb(decoded)
    image = _upright(image)
    kept = metadata.of(image, contents)
    held = colour.described(contents.colours, contents.over_profile, kept.pop(metadata.PROFILE, None), image.bands < 3)
    profile, unsaid = held
    if profile is not None:
        kept[metadata.PROFILE] = profile
    pixels, alpha = _arrays(image, row)
    notes = (*opened.notes, *contents.notes, *unsaid, *converted, *_notes(decoded, row))
    return Photo(
        pixels,
        alpha,
        grey=image.bands < 3,
        format=row.name,
        metadata=kept,
        # libvips says unknown with 1 pixel per millimetre.
        resolution=UNKNOWN_RESOLUTION if image.xres == 1 else (image.xres, image.yres),
        encoding=contents.encoding,
        notes=tuple(dict.fromkeys(notes)),
    )


def _decoded(contents: Contents, opened: vips.Opened) -> pyvips.Image:
    """Decode a picture, without channels that libvips would take for transparency."""
    image, kept = opened.decode(), contents.channels
    if not kept or kept[-1] >= image.bands:
        return image
    bands = [image.extract_band(each) for each in kept]
    return bands[0].bandjoin(bands[1:]).copy(interpretation=image.interpretation) if bands[1:] else bands[0]


def _upright(image: pyvips.Image) -> pyvips.Image:
    if vips.orientation(image) > 1:
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


def _notes(image: pyvips.Image, row: Format) -> tuple[str, ...]:
    pages, inner = vips.field(image, "n-pages", 1), vips.field(image, "n-subifds", 0)
    packet = vips.field(image, "xmp-data", b"")
    notes = {
        _SEVERAL.get(row.name, ""): pages > 1 and row.name in _SEVERAL,
        "pictures inside the TIFF were not read; of a camera's raw file this is a preview": inner,
        "the comment of the GIF was left out": bool(vips.field(image, "gif-comment", "")),
        GAIN_MAP: xmp.has_gain_map(packet),
        VIDEO: xmp.has_video(packet),
    }
    return applying(notes)
