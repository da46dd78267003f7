"""A photo into a file: whole or not at all, with the alpha and metadata of the one it came from."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from idrestore import atomic
from idrestore.files import metadata, pillow, tiff, vips
from idrestore.files.containers import applying
from idrestore.files.formats import BY_SUFFIX, Format
from idrestore.files.photo import Encoding, ImageError, Photo, Pixels

_KEEP = pyvips.enums.ForeignKeep.ALL & ~pyvips.enums.ForeignKeep.EXIF, pyvips.enums.ForeignKeep.ALL
"""What libvips writes of the metadata: all but EXIF, and in AVIF a place for that"""
_HALVED_ACROSS = "4:2:2"
"""Chroma sampling that libvips does not write, and Pillow does"""
_LEAST_QUALITY = 75
"""Of a JPEG whose own is lower: what has been restored is not spoilt again. libjpeg's default"""


def check_target(path: Path | str) -> None:
    """Raise `ImageError` if no picture can be written under such a name."""
    _target(Path(path))


def write(
    pixels: Pixels,
    path: Path | str,
    like: Photo,
    quality: int | None = None,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Write `pixels`, RGB, with the alpha and metadata of `like`, or RGBA; return what was lost, in words.

    The suffix of `path` decides the format: PNG and TIFF are lossless; `quality` (1 to 100) is by
    default about that of `like` for JPEG from JPEG, with its chroma sampling and progressive as it was, else 95
    for JPEG (4:4:4) and WebP, 90 for AVIF; WebP that was lossless stays so. The file appears whole or not at all: raise
    `ImageError`, with `path` as it was, if anything fails or it exists without `overwrite`.

    >>> import idrestore
    >>> photo = idrestore.read("photo.jpg")
    >>> write(255 - photo.pixels, "negative.png", photo)
    ()
    """
    path = Path(path)
    if os.path.lexists(path) and not overwrite:
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
    if like.alpha is not None and pixels.ndim == 3 and pixels.shape[2] == 4:
        like, pixels = replace(like, alpha=pixels[..., 3]), pixels[..., :3]
    photo = replace(like, pixels=pixels)
    block = metadata.exif_block(photo, target)
    try:
        with vips.readable_errors():
            data = _saved(photo, target, _options(photo, target, quality), block)
    except pyvips.Error as error:
        raise ImageError(f"{path} cannot be written as {target.name} ({vips.cause(error)})") from error
    return metadata.complete(data, photo, target, block), _losses(photo, target, block)


def unwritable(path: Path, error: OSError) -> ImageError:
    """Return the error that says why a file could not be written, and what to do."""
    advice = "check the folder, its permissions and the space left"
    return ImageError(f"{path} cannot be written ({error.strerror}): {advice}")


def _target(path: Path) -> Format:
    row = BY_SUFFIX.get(path.suffix.lower())
    if row is None or not row.saver:
        endings = ", ".join(suffix for suffix, row in BY_SUFFIX.items() if row.saver)
        raise ImageError(f"{path} cannot be written: expected a name that ends in {endings}")
    return row


def _saved(photo: Photo, target: Format, options: dict[str, Any], block: bytes) -> bytes:
    image = _to_vips(photo, target, block)
    if options.get("subsample_mode") == _HALVED_ACROSS:
        return pillow.jpeg(image, options["Q"], options["interlace"])
    destination = pyvips.Target.new_to_memory()
    getattr(image, f"{target.saver}save_target")(destination, **options)
    data: bytes = destination.get("blob")
    return tiff.as_float(data) if _float_bits(photo, target) == 16 else data


def _float_bits(photo: Photo, target: Format) -> int | None:
    """Return of how many bits the floating-point numbers of a result are; None if it holds integers."""
    return photo.encoding.float_bits if target.name == photo.format == "TIFF" else None


def _to_vips(photo: Photo, target: Format, block: bytes) -> pyvips.Image:
    samples, bits = _samples(photo), _float_bits(photo, target)
    top = int(np.iinfo(samples.dtype).max)
    if bits == 16:  # libvips writes none: it is given their bytes as those of integers
        samples = (samples / np.float32(top)).astype(np.float16).view(np.uint16)
    image = vips.from_array(samples, {})
    if bits == 32:
        image = (image / top).cast("float").copy(interpretation="b-w" if photo.grey else "scrgb")
    if image.format == "ushort" and target.bits == 8:
        image = (image / 257).rint().cast("uchar").copy(interpretation="b-w" if photo.grey else "srgb")
    across, down = photo.resolution
    image = image.copy(xres=across, yres=down)
    metadata.put(image, photo, target, block)
    return image


def _samples(photo: Photo) -> Pixels:
    channels = photo.pixels
    if photo.grey:
        total = channels.sum(axis=2, keepdims=True, dtype=np.uint32)
        channels = ((total + 1) // 3).astype(channels.dtype)  # the rounded mean
    if photo.alpha is not None:
        channels = np.concatenate([channels, photo.alpha[..., None]], axis=2)
    return np.ascontiguousarray(channels)  # (H, W, 1 to 4)


def _options(photo: Photo, target: Format, quality: int | None) -> dict[str, Any]:
    options = {**(target.options or {}), "keep": _KEEP[target.name == "AVIF"]}
    if photo.format == target.name:
        options |= _as_before(photo.encoding, target)
    if quality is not None and "Q" in options:
        options["Q"] = quality
        options.pop("lossless", None)
    if _float_bits(photo, target):
        options["predictor"] = "none"  # that for integers spoils their order
    if target.name == "AVIF":
        options["bitdepth"] = min(photo.depth, target.bits)
    return options


def _as_before(encoding: Encoding, target: Format) -> dict[str, Any]:
    """Return the options by which a result is encoded as the file that it came from was."""
    if target.name == "WebP":
        return {"lossless": True} if encoding.lossless else {}
    if target.name != "JPEG" or encoding.quality is None:
        return {}
    colours = {"4:2:0": "on", "4:2:2": _HALVED_ACROSS}.get(encoding.chroma, "off")
    return {"Q": max(encoding.quality, _LEAST_QUALITY), "subsample_mode": colours, "interlace": encoding.progressive}


def _losses(photo: Photo, target: Format, block: bytes) -> tuple[str, ...]:
    losses = {
        f"{target.name} holds no floating-point numbers": bool(photo.encoding.float_bits) and target.name != "TIFF",
        f"{target.name} holds {target.bits} of {photo.depth} bits": photo.depth > target.bits,
        "transparency was laid over white": photo.alpha is not None and target.name == "JPEG",
    } | metadata.losses(photo, target, block)
    return applying(losses)
