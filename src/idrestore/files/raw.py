"""Cameras' raw files, developed by LibRaw (extra `raw`) with the camera's own white balance."""

from typing import Any, BinaryIO

import pyvips

from idrestore.files import tiff, vips
from idrestore.files.containers import UnsupportedError, length, refusing_damage

_MAX_FILE = 1 << 30  # bytes: LibRaw holds the whole file
_SRGB_CURVE = (2.4, 12.92)  # IEC 61966-2-1: exponent, and slope near black
_CLIPPED = 0.001
"""Share of the pixels that may become white where LibRaw brightens the photo; its own default is 0.01."""


def is_raw(file: BinaryIO) -> bool:
    """Tell whether a file that starts as one is a camera's raw file; a TIFF may be or not."""
    file.seek(0)
    head = file.read(4)
    return tiff.is_raw(file) if head in (b"II*\0", b"MM\0*") else True


def check(file: BinaryIO) -> None:
    """Raise `UnsupportedError` if the whole file takes too much memory."""
    if length(file) > _MAX_FILE:
        raise UnsupportedError("is a raw file of more than 1 GiB: develop it as 16-bit TIFF first")


def opened(file: BinaryIO) -> vips.Opened:
    """Open a file as far as its header; raise `DamagedError`, or `UnsupportedError` without rawpy."""
    library = _library()
    file.seek(0)
    with refusing_damage():
        raw = library.imread(file)
        sizes = raw.sizes
    width, height = sizes.width, sizes.height
    if sizes.flip in (5, 6):  # a quarter turn
        width, height = height, width
    return vips.Opened(width, height, 16, 3, lambda: _developed(raw), ("a raw file was developed to 16 bits in sRGB",))


def _library() -> Any:
    try:
        import rawpy
    except ImportError as error:
        advice = 'pip install "idrestore[raw]"'
        raise UnsupportedError(f"is a camera's raw file, and rawpy is not installed: {advice}") from error
    return rawpy


def _developed(raw: Any) -> pyvips.Image:
    with refusing_damage(), raw:
        samples = raw.postprocess(use_camera_wb=True, output_bps=16, gamma=_SRGB_CURVE, auto_bright_thr=_CLIPPED)
    return vips.from_array(samples, {"icc-profile-data": pyvips.Image.profile_load("srgb")})
