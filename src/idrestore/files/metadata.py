"""What a file says beside its pixels, copied from the file that was read to the one that is written.

libvips carries colour profile, XMP and IPTC as they are. EXIF it would write anew, by which maker notes are lost, and
what else an application noted it leaves out: those are read from the file itself, and put into the finished result.
"""

import re
from contextlib import suppress
from typing import Any, BinaryIO

import pyvips

from idrestore.files import exif, isobmff, jpeg, png, tiff, vips, webp, xmp
from idrestore.files.formats import Format
from idrestore.files.photo import UNKNOWN_RESOLUTION, Photo

SOFTWARE_FIELD = "exif-ifd0-Software"
"""Key of `Photo.metadata` whose text replaces the Software field of EXIF."""
EXTRAS = "extras"
"""Key of what only the same format holds: whole segments or chunks, a tuple of bytes."""

_KEPT = "(icc-profile|exif|xmp|iptc|photoshop)-data|image-description|resolution-unit|bits-per-sample"
_INCH = 25.4  # mm


def of(image: pyvips.Image, row: Format, file: BinaryIO) -> dict[str, Any]:
    """Return what an upright picture's result will have of its file's metadata, put right where it would be wrong.

    These are libvips' header fields, EXIF as a block that begins with TIFF's header, and `EXTRAS`.
    """
    kept: dict[str, Any] = {}
    for name in filter(re.compile(_KEPT).match, vips.fields(image)):
        with suppress(UnicodeDecodeError):  # a comment that is no text is left out
            kept[name] = image.get(name)
    block = tiff.exif_of(file) if row.name == "TIFF" else kept.pop("exif-data", b"").removeprefix(jpeg.EXIF)
    if block:
        kept["exif-data"] = exif.upright(block, image.width, image.height)
    if "xmp-data" in kept:
        kept["xmp-data"] = xmp.consistent(kept["xmp-data"])
    if row.extras is not None and (extras := row.extras(file)):
        kept[EXTRAS] = extras
        if any(each[0] == jpeg.APP13 for each in extras):
            kept.pop("iptc-data", None)  # the segment holds it
    return kept


def put(image: pyvips.Image, photo: Photo, target: Format) -> None:
    """Give a picture that is about to be written what libvips writes of the metadata of `photo`."""
    vips.set_fields(image, _for(photo, target))


def complete(data: bytes, photo: Photo, target: Format) -> bytes:
    """Return a file that libvips has written with the rest of the metadata of `photo`: EXIF, and extras."""
    block, extras = _block(photo, target), _extras(photo, target)
    if target.name == "JPEG":
        held = [jpeg.application(jpeg.APP1, jpeg.EXIF + block)] if block else []
        return jpeg.with_segments(data, _density(photo), [*held, *extras])
    if target.name == "PNG":
        held = [png.whole(b"eXIf", block)] if block else []
        return png.with_chunks(data, [*held, *extras])
    if not block:
        return data
    if target.name == "TIFF":
        return tiff.with_tags(data, block)
    if target.name == "WebP":
        height, width = photo.pixels.shape[:2]
        return webp.with_exif(data, width, height, photo.alpha is not None, block)
    return isobmff.with_exif(data, block)


def losses(photo: Photo, target: Format) -> dict[str, bool]:
    """Tell of each loss, in words, whether writing `photo` as `target` brings it."""
    extras = photo.metadata.get(EXTRAS, ())
    moved = 37500 in _exif_directory(photo) and "TIFF" in (photo.format, target.name)
    return {
        "EXIF was not kept: JPEG holds 64 kB of it": bool(_whole_block(photo)) and not _block(photo, target),
        "the maker notes of EXIF were moved, and may not be readable": moved,
        "IPTC was not kept": "iptc-data" in photo.metadata and target.name != photo.format,
        f"what only {photo.format} holds was not kept (comments, texts, IPTC, what applications noted)": bool(extras)
        and target.name != photo.format,
    }


def software(photo: Photo) -> str:
    """Return what EXIF says wrote the photo, or an empty text."""
    return exif.software(photo.metadata.get("exif-data", b""))


def _for(photo: Photo, target: Format) -> dict[str, Any]:
    left_out = {"exif-data", EXTRAS, SOFTWARE_FIELD}
    metadata = {name: value for name, value in photo.metadata.items() if name not in left_out}
    if target.name == "AVIF" and _block(photo, target):
        metadata["exif-data"] = exif.with_software(b"", "idrestore")  # a place for the block
    iptc = metadata.pop("iptc-data", None)
    if iptc is not None and target.name == photo.format:  # each format wraps it differently
        # libvips counts words of 4 bytes where libtiff counts bytes: three quarters would be lost.
        metadata["iptc-data"] = iptc + bytes(3 * len(iptc)) if target.name == "TIFF" else iptc
    return metadata


def _whole_block(photo: Photo) -> bytes:
    block: bytes = photo.metadata.get("exif-data", b"")
    text = photo.metadata.get(SOFTWARE_FIELD)
    return exif.with_software(block, text) if text else block


def _block(photo: Photo, target: Format) -> bytes:
    """Return the EXIF that the result has, the Software field included; empty if there is none or no room."""
    block = _whole_block(photo)
    if target.name == "JPEG" and len(block) + len(jpeg.EXIF) > jpeg.MAX_SEGMENT:
        block = photo.metadata.get("exif-data", b"")  # the field may have been too much
        return block if len(block) + len(jpeg.EXIF) <= jpeg.MAX_SEGMENT else b""
    return block


def _extras(photo: Photo, target: Format) -> tuple[bytes, ...]:
    return tuple(photo.metadata.get(EXTRAS, ())) if photo.format == target.name else ()


def _exif_directory(photo: Photo) -> exif.Directory:
    below = exif.unpacked(photo.metadata.get("exif-data", b"")).get(exif.EXIF_POINTER)
    return below if isinstance(below, dict) else {}


def _density(photo: Photo) -> tuple[int, int] | None:
    """Return the resolution in pixels an inch; None if it is not known, or not to be said in whole numbers."""
    across, down = (round(each * _INCH) for each in photo.resolution)
    if photo.resolution == UNKNOWN_RESOLUTION or not (1 <= across <= 65535 and 1 <= down <= 65535):
        return None
    return across, down
