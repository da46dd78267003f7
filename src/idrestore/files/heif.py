"""HEIC and HEIF files, as telephones write them, decoded by pillow-heif (extra `heif`)."""

from typing import Any, BinaryIO

import numpy as np
import pyvips

from idrestore.files import vips
from idrestore.files.containers import UnsupportedError, applying, optional, refusing_damage


def opened(file: BinaryIO) -> vips.Opened:
    """Open a file as far as its header; raise `DamagedError`, or `UnsupportedError` without pillow-heif.

    libheif turns the pixels as the file says: the orientation in EXIF is that of the camera, and never applied (ISO/IEC
    23000-22, 7.3.6.4).
    """
    library = optional("pillow_heif", "pillow-heif", "heif", "HEIC")
    file.seek(0)
    with refusing_damage():
        # 10 and 12 bits come shifted to the top of 16.
        pictures = library.open_heif(file.read(), convert_hdr_to_8bit=False)
        primary = pictures[pictures.primary_index]
    width, height = primary.size
    depth, channels = primary.info["bit_depth"], 4 if primary.has_alpha else 3
    return vips.Opened(width, height, depth, channels, lambda: _decoded(primary), _notes(primary, len(pictures)))


def _decoded(picture: Any) -> pyvips.Image:
    with refusing_damage():
        samples = np.asarray(picture)
    if picture.premultiplied_alpha:
        raise UnsupportedError("holds transparency of a kind that is not read: save it as PNG first")
    fields = {
        "exif-data": picture.info.get("exif"),
        "xmp-data": picture.info.get("xmp"),
        "icc-profile-data": picture.info.get("icc_profile"),
        "orientation": 1,  # libvips has just taken that of EXIF
        "bits-per-sample": picture.info["bit_depth"],
    }
    return vips.from_array(samples, {name: value for name, value in fields.items() if value})


def _notes(picture: Any, pictures: int) -> tuple[str, ...]:
    others = sorted({str(kind).rpartition(":")[2] for kind in picture.info.get("aux", {})} - {"alpha"})
    notes = {
        "only the first of several pictures was read": pictures > 1,
        "the depth map was left out": bool(picture.info.get("depth_images")),
        f"auxiliary pictures were left out: {', '.join(others)}": bool(others),
    }
    return applying(notes)
