"""What a file says beside its pixels, from the file that was read to the one that is written."""

import re
from contextlib import suppress
from typing import Any

import pyvips

from idrestore.files import vips
from idrestore.files.formats import Format
from idrestore.files.photo import UNKNOWN_RESOLUTION, Photo

SOFTWARE_FIELD = "exif-ifd0-Software"
"""Key of `Photo.metadata` whose text replaces the Software field of EXIF."""

_KEPT = "(icc-profile|exif|xmp|iptc)-data|image-description|png-comment-|resolution-unit|bits-per-sample"
_KINDS = {bytes: "VipsBlob", str: "VipsRefString", int: "gint"}


def of(image: pyvips.Image) -> dict[str, Any]:
    """Return the header fields of a picture that its result will have too."""
    kept = {}
    for name in filter(re.compile(_KEPT).match, vips.fields(image)):
        with suppress(UnicodeDecodeError):  # a comment that is no text is left out
            kept[name] = image.get(name)
    if "xmp-data" in kept:  # XMP repeats the orientation, and Adobe's readers believe it
        turned = rb"(tiff:Orientation(?:=[\"']|>))[2-8]"
        kept["xmp-data"] = re.sub(turned, rb"\g<1>1", kept["xmp-data"])
    return kept


def put(image: pyvips.Image, photo: Photo, target: Format) -> None:
    """Give a picture that is about to be written the metadata of `photo`, as `target` holds them."""
    for name, value in _for(photo, target).items():
        image.set_type(pyvips.type_from_name(_KINDS[type(value)]), name, value)
    for name in vips.fields(image):  # libvips has unfolded exif-data
        if name.startswith("exif-ifd1") or name == "jpeg-thumbnail-data":
            image.remove(name)  # the thumbnail shows the degraded photo


def kept_by_saver(photo: Photo) -> dict[str, Any]:
    """Return the options that keep libvips' savers from making EXIF up."""
    if {"exif-data", SOFTWARE_FIELD} & photo.metadata.keys() or photo.resolution != UNKNOWN_RESOLUTION:
        return {}  # in JPEG it needs some for a resolution
    return {"keep": pyvips.enums.ForeignKeep.ALL & ~pyvips.enums.ForeignKeep.EXIF}


def losses(photo: Photo, target: Format) -> dict[str, bool]:
    """Tell of each loss, in words, whether writing `photo` as `target` brings it."""
    return {
        "EXIF is not kept in TIFF": "exif-data" in photo.metadata and target.name == "TIFF",
        "IPTC was not kept": "iptc-data" in photo.metadata and target.name != photo.format,
    }


def software(photo: Photo) -> str:
    """Return what EXIF says wrote the photo, or an empty text."""
    if "exif-data" not in photo.metadata:
        return ""
    empty = pyvips.Image.black(1, 1).copy()
    empty.set_type(pyvips.GValue.blob_type, "exif-data", photo.metadata["exif-data"])
    # libvips appends the same again with type and size: "GIMP (GIMP, ASCII, 5 components, 5 bytes)".
    found = re.match(r"(.*) \(\1, ASCII, \d+ comp", str(vips.field(empty, SOFTWARE_FIELD, "")), re.DOTALL)
    return found[1].strip() if found else ""


def _for(photo: Photo, target: Format) -> dict[str, Any]:
    metadata = {**photo.metadata, "orientation": 1}  # after exif-data, which has its own
    if SOFTWARE_FIELD in metadata:
        metadata[SOFTWARE_FIELD] += " (text)"  # libvips cuts off what stands last in brackets
    iptc = metadata.pop("iptc-data", None)
    if iptc is not None and target.name == photo.format:  # each format wraps it differently
        # libvips counts words of 4 bytes where libtiff counts bytes: three quarters would be lost.
        metadata["iptc-data"] = iptc + bytes(3 * len(iptc)) if target.name == "TIFF" else iptc
    return metadata
