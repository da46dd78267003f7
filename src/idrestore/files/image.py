"""Files ↔ arrays: what a photo came with (16 bit, alpha, profile, EXIF) goes out with it.

libvips decodes and encodes; no other module of the package opens a picture file.
"""

import io
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyvips
from numpy.typing import NDArray

from idrestore.files import atomic, tiff
from idrestore.files.formats import BY_SUFFIX as _BY_SUFFIX
from idrestore.files.formats import FORMATS as _FORMATS
from idrestore.files.formats import SUFFIXES as SUFFIXES
from idrestore.files.formats import Format as _Format
from idrestore.files.formats import is_supported as is_supported

Pixels = NDArray[np.unsignedinteger[Any]]

MAX_PIXELS = 300_000_000
"""Default cap, read in the header before decoding: 0.9 GB of memory at 8 bits."""
UNKNOWN_RESOLUTION = (72 / 25.4, 72 / 25.4)
"""Pixels per millimetre of a photo that does not say (EXIF 2.32, tag 282: 72 per inch)."""

SOFTWARE_FIELD = "exif-ifd0-Software"
"""Key of `Photo.metadata` whose text replaces the Software field of EXIF."""

# libvips would log every damaged tile; the one line that matters is in the exception.
logging.getLogger("pyvips").setLevel(logging.ERROR)
# A photo is read once: a cache of operations would only keep whole photos in memory.
pyvips.cache_set_max(0)


class ImageError(ValueError):
    """A picture that cannot be read or written: one line, for people."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A picture and what its file said of it; raise `ImageError` if the arrays do not fit."""

    pixels: Pixels
    """(H, W, 3) uint8 or uint16, RGB in the file's own profile, upright."""
    alpha: Pixels | None = None
    """(H, W) of the same dtype, 0 = transparent; None = opaque."""
    grey: bool = False
    """The file has one channel of colour: `pixels` holds it three times."""
    format: str = "PNG"
    """What it was read from: JPEG, PNG, WebP, TIFF, AVIF or HEIC."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """libvips' header fields to write back: icc-profile-data, exif-data, xmp-data, ..."""
    resolution: tuple[float, float] = UNKNOWN_RESOLUTION
    """Horizontal and vertical pixels per millimetre."""
    notes: tuple[str, ...] = ()
    """What reading changed or left out, in words."""

    def __post_init__(self) -> None:
        shape, dtype, alpha = self.pixels.shape, self.pixels.dtype, self.alpha
        if len(shape) != 3 or shape[2] != 3 or 0 in shape or dtype not in (np.uint8, np.uint16):
            raise ImageError(f"pixels are {dtype} {shape}: expected uint8 or uint16 (H, W, 3)")
        if alpha is not None and (alpha.shape, alpha.dtype) != (shape[:2], dtype):
            found = f"{alpha.dtype} {alpha.shape}"
            raise ImageError(f"alpha is {found}: expected {dtype} {shape[:2]}, as the pixels")

    @property
    def depth(self) -> int:
        """Bits per sample in the file: 8, 16, or the 10 or 12 of an AVIF (as arrays: all 16)."""
        if self.pixels.dtype == np.uint8:
            return 8
        bits = self.metadata.get("bits-per-sample")
        return bits if bits in (10, 12) else 16


# The brand of AVIF and HEIC sequences; an animated PNG has `acTL` right after its header.
_SEQUENCE = rb"....ftyp(avis|hev|msf1)|\x89PNG.{33}acTL"
_HEAD = 64  # bytes, enough for each of these
_KEPT = "(icc-profile|exif|xmp|iptc)-data|image-description|png-comment-|resolution-unit|bits-per-sample"
_VIPS = {np.dtype(np.uint8): "uchar", np.dtype(np.uint16): "ushort"}
_COLOURS = {"b-w": 1, "grey16": 1, "srgb": 3, "rgb16": 3, "cmyk": 4}


def check_target(path: Path | str) -> None:
    """Raise `ImageError` if no picture can be written under such a name."""
    _target(Path(path))


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
        image = _upright(_without_cmyk(header.image))
        pixels, alpha = _arrays(image, header.format)
        return Photo(
            pixels,
            alpha,
            grey=image.bands < 3,
            format=header.format.name,
            metadata=_metadata(image),
            # libvips says unknown with 1 pixel per millimetre.
            resolution=UNKNOWN_RESOLUTION if image.xres == 1 else (image.xres, image.yres),
            notes=_notes(header),
        )


def write(
    pixels: Pixels,
    path: Path | str,
    like: Photo,
    quality: int | None = None,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Write `pixels` with the alpha and metadata of `like`; return what was lost, in words.

    The suffix of `path` decides the format: PNG and TIFF are lossless; `quality` (1 to 100) is by
    default 95 for JPEG (4:4:4) and WebP, 90 for AVIF. The file appears whole or not at all: raise
    `ImageError`, with `path` as it was, if anything fails or it exists without `overwrite`.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise ImageError(f"{path} already exists: choose another name, or allow overwriting")
    data, losses = encode(pixels, path, like, quality)
    try:
        with atomic.replacing(path) as file:
            file.write(data)
    except OSError as error:
        raise unwritable(path, error) from error
    return losses


def encode(pixels: Pixels, path: Path | str, like: Photo, quality: int | None = None) -> tuple[bytes, tuple[str, ...]]:
    """Return what `write` would put into `path`, and what was lost, in words; raise `ImageError`."""
    target = _target(Path(path))
    if quality is not None and not 1 <= quality <= 100:
        raise ImageError(f"quality is {quality}: expected 1 to 100")
    photo = replace(like, pixels=pixels)
    destination = pyvips.Target.new_to_memory()
    try:
        getattr(_to_vips(photo, target), f"{target.codec}save_target")(destination, **_options(photo, target, quality))
    except pyvips.Error as error:
        raise ImageError(f"{path} cannot be written as {target.name} ({_cause(error)})") from error
    return destination.get("blob"), _losses(photo, target)


def unwritable(path: Path, error: OSError) -> ImageError:
    """Return the error that says why a file could not be written, and what to do."""
    advice = "check the folder, its permissions and the space left"
    return ImageError(f"{path} cannot be written ({error.strerror}): {advice}")


def thumbnail(source: Path | bytes, side: int, quality: int = 60) -> bytes:
    """Return a WebP of a photo, upright, in sRGB, without metadata, at most `side` px; raise `ImageError`."""
    with _opened(source) as header:
        image = header.image.thumbnail_image(side, size="down", export_profile="srgb")
        return bytes(image.webpsave_buffer(Q=quality, keep=pyvips.enums.ForeignKeep.NONE))


def software(photo: Photo) -> str:
    """Return what EXIF says wrote the photo, or an empty text."""
    if "exif-data" not in photo.metadata:
        return ""
    empty = pyvips.Image.black(1, 1).copy()
    empty.set_type(pyvips.GValue.blob_type, "exif-data", photo.metadata["exif-data"])
    # libvips appends the same again with type and size: "GIMP (GIMP, ASCII, 5 components, 5 bytes)".
    found = re.match(r"(.*) \(\1, ASCII, \d+ comp", str(_field(empty, SOFTWARE_FIELD, "")), re.DOTALL)
    return found[1].strip() if found else ""


class _Header(NamedTuple):
    """A picture opened as far as its header: no pixel is decoded yet."""

    name: str
    format: _Format
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


def _sniff(name: str, head: bytes) -> _Format:
    for row in _FORMATS:
        if re.match(row.signature, head, re.DOTALL):
            return row
    found = f"it starts with {head[:8]!r}" if head else "it is empty"
    expected = ", ".join(row.name for row in _FORMATS)
    raise ImageError(f"{name} is not a picture ({found}): expected one of {expected}")


def _explanation(name: str, row: _Format, error: pyvips.Error) -> str:
    if row.codec == "heif" and re.search("not been built in|Unsupported codec", error.detail):
        advice = "convert it to JPEG, PNG or AVIF, or install a libvips with an HEVC decoder"
        return f"{name} is {row.name}, which this build of libvips cannot decode: {advice}"
    return f"{name} is damaged or cut short ({_cause(error)}): expected a whole {row.name} file"


def _cause(error: pyvips.Error) -> str:
    """Return libvips' first line that is not a harmless seek of its HEIF loader."""
    lines = [line.strip() for line in error.detail.splitlines() if "bad seek" not in line]
    return str(next(filter(None, lines), error.message))


def _check(header: _Header, max_pixels: int) -> None:
    name, image = header.name, header.image
    if image.width * image.height > max_pixels:
        found = f"{image.width} x {image.height} pixels"
        advice = "raise the limit (--max-pixels) if you trust the file"
        raise ImageError(f"{name} has {found}: expected at most {max_pixels:,} in all; {advice}")
    colours = image.bands - image.hasalpha()
    known = image.format in ("uchar", "ushort") and _COLOURS.get(image.interpretation) == colours
    if not known:
        found = f"{image.bands} channels of {image.format} {image.interpretation}"
        expected = "8- or 16-bit grey, RGB or CMYK; convert it first"
        raise ImageError(f"{name} holds {found}: expected {expected}")


def _field(image: pyvips.Image, name: str, otherwise: Any) -> Any:
    return image.get(name) if image.get_typeof(name) else otherwise


def _orientation(image: pyvips.Image) -> int:
    """Return EXIF 2.32's tag 274: 1 is upright, 2 to 8 are turned, 5 to 8 on their sides."""
    return int(_field(image, "orientation", 1))


def _without_cmyk(image: pyvips.Image) -> pyvips.Image:
    if image.interpretation != "cmyk":
        return image
    depth = 16 if image.format == "ushort" else 8
    # The file's own profile or, without one, libvips' generic CMYK.
    return image.icc_transform("srgb", embedded=True, input_profile="cmyk", depth=depth)


def _upright(image: pyvips.Image) -> pyvips.Image:
    if _orientation(image) > 1:
        image = image.copy_memory()  # turning takes the rows out of order
    return image.autorot()


def _arrays(image: pyvips.Image, row: _Format) -> tuple[Pixels, Pixels | None]:
    samples: Pixels = np.atleast_3d(image.numpy())  # (H, W, 1 to 4)
    if row.bits == 12 and image.format == "ushort":
        # 10 or 12 bits come shifted to the top; repeated below, white is 65535.
        samples |= samples >> image.get("bits-per-sample")
    three = samples[..., :3] if image.bands > 2 else np.repeat(samples[..., :1], 3, axis=2)
    alpha = samples[..., -1].copy() if image.hasalpha() else None
    return np.ascontiguousarray(three), alpha


def _metadata(image: pyvips.Image) -> dict[str, Any]:
    kept = {}
    for name in filter(re.compile(_KEPT).match, _fields(image)):
        with suppress(UnicodeDecodeError):  # a comment that is no text is left out
            kept[name] = image.get(name)
    if "xmp-data" in kept:  # XMP repeats the orientation, and Adobe's readers believe it
        turned = rb"(tiff:Orientation(?:=[\"']|>))[2-8]"
        kept["xmp-data"] = re.sub(turned, rb"\g<1>1", kept["xmp-data"])
    return kept


def _fields(image: pyvips.Image) -> list[str]:
    """List the names of metadata; where one of them is no text, only those that matter most."""
    try:
        return list(image.get_fields())
    except UnicodeDecodeError:
        return [f"{name}-data" for name in ("icc-profile", "exif", "xmp", "iptc") if image.get_typeof(f"{name}-data")]


def _notes(header: _Header) -> tuple[str, ...]:
    image = header.image
    pages, inner = _field(image, "n-pages", 1), _field(image, "n-subifds", 0)
    notes = {
        "only the first of several pages was read": header.sequence or pages > 1,
        "pictures inside the TIFF were not read; of a camera's raw file this is a preview": inner,
        "EXIF in TIFF is not read, and lost": header.exif_in_tiff,
        "CMYK was converted to sRGB": image.interpretation == "cmyk",
        "the HDR gain map was left out": b"hdrgm:Version" in _field(image, "xmp-data", b""),
    }
    return tuple(note for note, applies in notes.items() if applies)


def _target(path: Path) -> _Format:
    row = _BY_SUFFIX.get(path.suffix.lower())
    if row is None or row.options is None:
        endings = ", ".join(suffix for suffix, row in _BY_SUFFIX.items() if row.options is not None)
        raise ImageError(f"{path} cannot be written: expected a name that ends in {endings}")
    return row


def _to_vips(photo: Photo, target: _Format) -> pyvips.Image:
    samples = _samples(photo)
    # Unlike new_from_array this shares the array's memory.
    image = pyvips.Image.new_from_memory(samples, *samples.shape[1::-1], samples.shape[2], _VIPS[samples.dtype])
    if image.format == "ushort" and target.bits == 8:
        image = (image / 257).rint().cast("uchar")
    grey, colour = ("grey16", "rgb16") if image.format == "ushort" else ("b-w", "srgb")
    across, down = photo.resolution
    image = image.copy(interpretation=grey if photo.grey else colour, xres=across, yres=down)
    kinds = {bytes: "VipsBlob", str: "VipsRefString", int: "gint"}
    for name, value in _metadata_for(photo, target).items():
        image.set_type(pyvips.type_from_name(kinds[type(value)]), name, value)
    for name in _fields(image):  # libvips has unfolded exif-data
        if name.startswith("exif-ifd1") or name == "jpeg-thumbnail-data":
            image.remove(name)  # the thumbnail shows the degraded photo
    return image


def _samples(photo: Photo) -> Pixels:
    channels = photo.pixels
    if photo.grey:
        total = channels.sum(axis=2, keepdims=True, dtype=np.uint32)
        channels = ((total + 1) // 3).astype(channels.dtype)  # the rounded mean
    if photo.alpha is not None:
        channels = np.concatenate([channels, photo.alpha[..., None]], axis=2)
    return np.ascontiguousarray(channels)  # (H, W, 1 to 4)


def _metadata_for(photo: Photo, target: _Format) -> dict[str, Any]:
    metadata = {**photo.metadata, "orientation": 1}  # after exif-data, which has its own
    if SOFTWARE_FIELD in metadata:
        metadata[SOFTWARE_FIELD] += " (text)"  # libvips cuts off what stands last in brackets
    iptc = metadata.pop("iptc-data", None)
    if iptc is not None and target.name == photo.format:  # each format wraps it differently
        # libvips counts words of 4 bytes where libtiff counts bytes: three quarters would be lost.
        metadata["iptc-data"] = iptc + bytes(3 * len(iptc)) if target.name == "TIFF" else iptc
    return metadata


def _options(photo: Photo, target: _Format, quality: int | None) -> dict[str, Any]:
    options = dict(target.options or {})
    if quality is not None and "Q" in options:
        options["Q"] = quality
    if target.name == "AVIF":
        options["bitdepth"] = min(photo.depth, target.bits)
    if not {"exif-data", SOFTWARE_FIELD} & photo.metadata.keys() and photo.resolution == UNKNOWN_RESOLUTION:
        # libvips would make some up; in JPEG it needs to, for a resolution.
        options["keep"] = pyvips.enums.ForeignKeep.ALL & ~pyvips.enums.ForeignKeep.EXIF
    return options


def _losses(photo: Photo, target: _Format) -> tuple[str, ...]:
    losses = {
        f"{target.name} holds {target.bits} of {photo.depth} bits": photo.depth > target.bits,
        "transparency was laid over white": photo.alpha is not None and target.name == "JPEG",
        "EXIF is not kept in TIFF": "exif-data" in photo.metadata and target.name == "TIFF",
        "IPTC was not kept": "iptc-data" in photo.metadata and target.name != photo.format,
    }
    return tuple(loss for loss, applies in losses.items() if applies)
