"""What a file says beside its pixels, copied from the file that was read to the one that is written.

libvips carries colour profile, XMP and IPTC as they are. EXIF it would write anew, by which maker notes are lost, and
what else an application noted it leaves out: those are read from the file itself, and put into the finished result.
"""

import re
from contextlib import suppress
from typing import Any

import pyvips

from idrestore.files import exif, isobmff, jpeg, png, tiff, vips, webp, xmp
from idrestore.files.containers import Contents
from idrestore.files.formats import Format
from idrestore.files.photo import UNKNOWN_RESOLUTION, Photo

SOFTWARE_FIELD = "exif-ifd0-Software"
"""Key of `Photo.metadata` whose text replaces the Software field of EXIF."""
PROFILE, EXIF, XMP = "icc-profile-data", "exif-data", "xmp-data"
"""Keys of the ICC profile, of EXIF as a block that begins with TIFF's header, and of XMP"""
EXTRAS = "extras"
"""Key of what only the same format holds: whole segments or chunks, a tuple of bytes."""

_KEPT = "(icc-profile|exif|xmp|iptc|photoshop)-data|image-description|resolution-unit|bits-per-sample"
_INCH = 25.4  # mm


def of(image: pyvips.Image, contents: Contents) -> dict[str, Any]:
    """Return what an upright picture's result will have of its file's metadata, put right where it would be wrong.

    These are libvips' header fields, EXIF as a block that begins with TIFF's header, and `EXTRAS`.
    """
    kept: dict[str, Any] = {}
    for name in filter(re.compile(_KEPT).match, vips.fields(image)):
        with suppress(UnicodeDecodeError):  # a comment that is no text is left out
            kept[name] = image.get(name)
    block = kept.pop(EXIF, b"") if contents.exif is None else contents.exif
    if block := block.removeprefix(jpeg.EXIF):
        kept[EXIF] = exif.upright(block, image.width, image.height)
    if packet := kept.pop(XMP, b"") if contents.xmp is None else contents.xmp:
        kept[XMP] = xmp.consistent(packet)
    if contents.extras:
        kept[EXTRAS] = contents.extras
        if any(each[0] == jpeg.APP13 for each in contents.extras):
            kept.pop("iptc-data", None)  # the segment holds it
    return kept


def put(image: pyvips.Image, photo: Photo, target: Format, block: bytes) -> None:
    """Give a picture that is about to be written what libvips writes of the metadata of `photo`."""
    vips.set_fields(image, _for(photo, target, block))


def complete(data: bytes, photo: Photo, target: Format, block: bytes) -> bytes:
    """Return a file that libvips has written with the rest of the metadata of `photo`: EXIF, and extras."""
    extras = tuple(photo.metadata.get(EXTRAS, ())) if photo.format == target.name else ()
    if target.name == "JPEG":
        held = [jpeg.application(jpeg.APP1, jpeg.EXIF + block)] if block else []
        return jpeg.with_segments(data, _density(photo), [*held, *extras])
    if target.name == "PNG":
        held = [png.whole(b"eXIf", block)] if block else []
        intent = photo.encoding.intent if photo.format == target.name and PROFILE not in photo.metadata else None
        return png.with_chunks(data, [*([] if intent is None else [png.srgb(intent)]), *held, *extras])
    if not block:
        return data
    if target.name == "TIFF":
        return tiff.with_tags(data, block)
    if target.name == "WebP":
        height, width = photo.pixels.shape[:2]
        return webp.with_exif(data, width, height, photo.alpha is not None, block)
    return isobmff.with_exif(data, block)


def losses(photo: Photo, target: Format, block: bytes) -> dict[str, bool]:
    """Tell of each loss, in words, whether writing `photo` as `target` brings it."""
    extras, other = photo.metadata.get(EXTRAS, ()), target.name != photo.format
    moves = {"TIFF", "raw"} & {photo.format, target.name}
    return {
        "EXIF was not kept: JPEG holds 64 kB of it": EXIF in photo.metadata and not block,
        "XMP was not kept: JPEG holds 64 kB of it": target.name == "JPEG" and _is_too_long(photo),
        "the maker notes of EXIF were moved, and may not be readable": bool(moves) and 37500 in _exif_directory(photo),
        "IPTC was not kept": "iptc-data" in photo.metadata and other,
        f"what only {photo.format} holds was not kept (comments, texts, IPTC, what applications noted)": bool(extras)
        and other,
        f"the profile of greys was not kept: {target.name} holds colours": _has_grey_profile(photo) and target.colours,
    }


def software(photo: Photo) -> str:
    """Return what EXIF says wrote the photo, or an empty text."""
    return exif.software(photo.metadata.get(EXIF, b""))


def exif_block(photo: Photo, target: Format) -> bytes:
    """Return the EXIF that the result has, the Software field included; empty if there is none or no room."""
    own: bytes = photo.metadata.get(EXIF, b"")
    text = photo.metadata.get(SOFTWARE_FIELD)
    block = exif.with_software(own, text) if text else own
    if target.name != "JPEG":
        return block
    fitting = (each for each in (block, own) if len(each) + len(jpeg.EXIF) <= jpeg.MAX_SEGMENT)
    return next(fitting, b"")  # the field may have been too much


def _for(photo: Photo, target: Format, block: bytes) -> dict[str, Any]:
    left_out = {EXIF, EXTRAS, SOFTWARE_FIELD}
    if _has_grey_profile(photo) and target.colours:
        left_out.add(PROFILE)
    if target.name == "JPEG" and _is_too_long(photo):
        left_out.add(XMP)
    metadata = {name: value for name, value in photo.metadata.items() if name not in left_out}
    if target.name == "AVIF" and block:
        metadata[EXIF] = exif.with_software(b"", "idrestore")  # a place for the block
    iptc = metadata.pop("iptc-data", None)
    if iptc is not None and target.name == photo.format:  # each format wraps it differently
        # libvips counts words of 4 bytes where libtiff counts bytes: three quarters would be lost.
        metadata["iptc-data"] = iptc + bytes(3 * len(iptc)) if target.name == "TIFF" else iptc
    return metadata


def _has_grey_profile(photo: Photo) -> bool:
    held: bytes = photo.metadata.get(PROFILE, b"")
    return held[16:20] == b"GRAY"


def _is_too_long(photo: Photo) -> bool:
    """Tell whether XMP does not fit in a segment of a JPEG."""
    return len(photo.metadata.get(XMP, b"")) + len(jpeg.XMP) > jpeg.MAX_SEGMENT


def _exif_directory(photo: Photo) -> exif.Directory:
    below = exif.unpacked(photo.metadata.get(EXIF, b"")).get(exif.EXIF_POINTER)
    return below if isinstance(below, dict) else {}


def _density(photo: Photo) -> tuple[int, int] | None:
    """Return the resolution in pixels an inch; None if it is not known, or not to be said in whole numbers."""
    across, down = (round(each * _INCH) for each in photo.resolution)
    if photo.resolution == UNKNOWN_RESOLUTION or not (1 <= across <= 65535 and 1 <= down <= 65535):
        return None
    return across, down
