"""What Pillow does and libvips as a rule does not: it decodes BMP and JPEG 2000, and encodes JPEG in 4:2:2."""

import io
import re
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np
import pyvips

from idrestore.files import isobmff, vips
from idrestore.files.containers import Part, UnsupportedError, check_metadata, content, length, refusing_damage

_MODES = {"1": "L", "P": "RGB", "PA": "RGBA", "YCbCr": "RGB"}
"""Pillow's modes that have to be converted, and to what"""
_INCH = 25.4  # mm
_DENSEST = 1e6
"""Pixels per millimetre, beyond which libvips holds no resolution"""
_RESTRICTED = b"\2"
"""Method by which the colours of a JPEG 2000 file are described: an ICC profile"""
_UUIDS = {
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): "xmp-data",
    b"JpgTiffExif->JP2": "exif-data",
}
"""Of boxes of JPEG 2000 (XMP specification, part 3, 1.1.4)"""
_CHANNELS = {"L": 1, "I;16": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}


def opener(plugin: str, kind: str) -> Callable[[BinaryIO], vips.Opened]:
    """Return a function that opens a picture with one of Pillow's plugins; it raises `DamagedError`."""

    def opened(file: BinaryIO) -> vips.Opened:
        from importlib import import_module

        file.seek(0)
        with refusing_damage():
            # Not by Image.open, whose limit of pixels is another.
            picture = getattr(import_module(f"PIL.{plugin}"), kind)(file)
        mode = _MODES.get(picture.mode, picture.mode)
        if mode not in _CHANNELS:
            raise UnsupportedError(f"holds pixels of a kind that is not read ({mode}): save it as PNG or TIFF first")
        bits = _bits(file) if plugin == "Jpeg2KImagePlugin" else 8
        depth = 16 if mode == "I;16" else 8
        notes = (f"of {bits} bits 8 were read",) if bits > 8 == depth else ()
        width, height = picture.size
        fields, unread = _said(file) if plugin == "Jpeg2KImagePlugin" else ({}, ())
        return vips.Opened(
            width, height, depth, _CHANNELS[mode], lambda: _decoded(picture, mode, fields), notes + unread
        )

    return opened


def jpeg(image: pyvips.Image, quality: int, progressive: bool) -> bytes:
    """Encode a picture with half of the colours' resolution across (4:2:2), its profile and XMP with it."""
    from PIL import Image

    if image.hasalpha():
        image = image.flatten(background=[255])
    held = {"icc_profile": vips.field(image, "icc-profile-data", None), "xmp": vips.field(image, "xmp-data", None)}
    options = {name: value for name, value in held.items() if value}
    file = io.BytesIO()
    Image.fromarray(image.numpy()).save(
        file, "JPEG", quality=quality, subsampling="4:2:2", progressive=progressive, **options
    )
    return file.getvalue()


def _decoded(picture: Any, mode: str, fields: Mapping[str, bytes]) -> pyvips.Image:
    with refusing_damage():
        samples = np.asarray(picture if picture.mode == mode else picture.convert(mode))
    image = vips.from_array(samples, fields, mode == "CMYK")
    across, down = (float(each) / _INCH for each in picture.info.get("dpi", (0, 0)))
    return image.copy(xres=across, yres=down) if 0 < min(across, down) <= max(across, down) < _DENSEST else image


def _said(file: BinaryIO) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Return what the boxes of a JPEG 2000 file say (ITU-T T.800, annex I): libvips' fields, and notes."""
    fields, unknown = {}, False
    for box in isobmff.boxes(file, 0, length(file)):
        if box.kind == b"jp2h" and (profile := _profile(file, box)):
            fields["icc-profile-data"] = profile
        elif box.kind in (b"uuid", b"xml "):
            check_metadata(box.length)
            name = _UUIDS.get(content(file, box.start, 16)) if box.kind == b"uuid" else None
            if name:
                fields[name] = content(file, box.start + 16, box.length - 16)
            unknown |= name is None
    return fields, ("what applications noted in the JPEG 2000 was left out",) if unknown else ()


def _profile(file: BinaryIO, header: Part) -> bytes | None:
    """Return the ICC profile that the header of a JPEG 2000 file has."""
    inside = isobmff.boxes(file, header.start, header.start + header.length)
    colours = (content(file, *box[1:]) for box in inside if box.kind == b"colr")
    return next((held[3:] for held in colours if held[:1] == _RESTRICTED), None)


def _bits(file: BinaryIO) -> int:
    """Return the bits of a sample as the header of a JPEG 2000 code stream has them (ITU-T T.800, A.5.1)."""
    file.seek(0)
    found = re.search(rb"\xff\x4f\xff\x51.{36}(.)", file.read(1 << 16), re.DOTALL)
    return (found[1][0] & 127) + 1 if found else 8
