"""Files made with pyvips or by hand, and read back with pyvips: a second opinion."""

import base64
import os
import resource
import struct
import subprocess
import sys
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from idrestore.files import image
from idrestore.files.image import ImageError, Photo

LOSSLESS = [".png", ".tif"]
LOSSY = [".jpg", ".webp", ".avif"]
EIGHT_BIT = [".jpg", ".webp"]
P3 = pyvips.Image.profile_load("p3")
CMYK = pyvips.Image.profile_load("cmyk")
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6"/>'
# 16 x 16 of one colour, made with pillow-heif 1.x (x265).
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAXxtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAA"
    "AAAAAAAAACJpbG9jAAAAAERAAAEAAQAAAAABoAABAAAAAAAAACUAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABo"
    "dmMxAAAAAA5waXRtAAAAAAABAAAA/GlwcnAAAADcaXBjbwAAAHVodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEA"
    "GEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQApQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbqrprm4CGgwIAAAAyAAAADAI"
    "RiAAEABkQBwXPBiQAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAAChjbGFwAAAAEAAAAAEAAAAQ"
    "AAAAAf///9AAAAAC////0AAAAAIAAAAQcGl4aQAAAAADCAgIAAAAGGlwbWEAAAAAAAAAAQABBYECAwWEAAAALW1kYXQAAA"
    "AhKAGvBRITDOD6ulI7n8dh0v6fs+VArO8W/KCVWhCR8VtA"
)


def gradient(dtype: type = np.uint8, height: int = 30, width: int = 41) -> np.ndarray:
    """Smooth, so that lossy formats stay close, and without any symmetry: (H, W, 3)."""
    top = np.iinfo(dtype).max
    down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return np.stack([top * down, top * across, top * (1 - down) * across], axis=2).astype(dtype)


def ramp(dtype: type = np.uint8) -> np.ndarray:
    """An alpha channel from transparent to opaque: (H, W)."""
    return gradient(dtype)[..., 1]


def grey_of(dtype: type = np.uint8) -> np.ndarray:
    return np.repeat(gradient(dtype)[..., :1], 3, axis=2)


def to_vips(array: np.ndarray, interpretation: str, **fields: bytes | str | int) -> pyvips.Image:
    picture = pyvips.Image.new_from_array(array, interpretation=interpretation).copy()
    kinds = {bytes: "VipsBlob", str: "VipsRefString", int: "gint"}
    for name, value in fields.items():
        kind = pyvips.type_from_name(kinds[type(value)])
        picture.set_type(kind, name.replace("_", "-"), value)
    return picture


def reopen(path: Path) -> pyvips.Image:
    return pyvips.Image.new_from_buffer(path.read_bytes(), "")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def has_alpha(suffix: str) -> bool:
    return suffix != ".jpg"


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference as a fraction of the range."""
    assert first.shape == second.shape
    assert first.dtype == second.dtype
    difference = first.astype(np.float64) - second.astype(np.float64)
    return float(np.abs(difference).mean() / np.iinfo(first.dtype).max)


@pytest.mark.parametrize("grey", [False, True], ids=["rgb", "grey"])
@pytest.mark.parametrize("alpha", [False, True], ids=["opaque", "alpha"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", LOSSLESS)
def test_lossless_formats_give_back_every_sample(tmp_path, suffix, dtype, alpha, grey):
    pixels = grey_of(dtype) if grey else gradient(dtype)
    photo = Photo(pixels, ramp(dtype) if alpha else None, grey)
    lost = image.write(pixels, tmp_path / f"a{suffix}", like=photo)
    back = image.read(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(back.pixels, pixels, strict=True)
    assert (back.alpha is None) == (not alpha)
    if alpha:
        np.testing.assert_array_equal(back.alpha, ramp(dtype), strict=True)
    assert reopen(tmp_path / f"a{suffix}").bands == (1 if grey else 3) + alpha
    assert (back.grey, back.depth, back.notes, lost) == (grey, 8 * pixels.itemsize, (), ())


@pytest.mark.parametrize("grey", [False, True], ids=["rgb", "grey"])
@pytest.mark.parametrize("alpha", [False, True], ids=["opaque", "alpha"])
@pytest.mark.parametrize("suffix", LOSSY)
def test_lossy_formats_stay_close(tmp_path, suffix, alpha, grey):
    pixels = grey_of() if grey else gradient()
    photo = Photo(pixels, ramp() if alpha and has_alpha(suffix) else None, grey)
    image.write(pixels, tmp_path / f"a{suffix}", like=photo)
    back = image.read(tmp_path / f"a{suffix}")
    assert distance(back.pixels, pixels) < 0.01
    assert (back.alpha is None) == (photo.alpha is None)
    if photo.alpha is not None:
        assert distance(back.alpha, photo.alpha) < 0.01
    assert back.grey == (grey and suffix == ".jpg")  # WebP and AVIF always hold colour
    assert back.format.lower() in {"jpeg", "webp", "avif"}


@pytest.mark.parametrize("suffix", EIGHT_BIT)
def test_sixteen_bits_are_rounded_where_a_format_holds_eight(tmp_path, suffix):
    deep = gradient(np.uint16)
    lost = image.write(deep, tmp_path / f"a{suffix}", like=Photo(deep))
    image.write(np.rint(deep / 257).astype(np.uint8), tmp_path / f"b{suffix}", like=Photo(gradient()))
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    assert lost == (f"{image.read(tmp_path / f'a{suffix}').format} holds 8 of 16 bits",)


@pytest.mark.parametrize("depth", [10, 12])
def test_avif_keeps_ten_and_twelve_bits(tmp_path, depth):
    deep = gradient(np.uint16)
    deep[:8, :8] = 65535
    to_vips(deep, "rgb16").heifsave(str(tmp_path / "a.avif"), compression="av1", bitdepth=depth, lossless=True)
    photo = image.read(tmp_path / "a.avif")
    assert (photo.depth, photo.pixels.dtype) == (depth, np.uint16)
    assert photo.pixels[:8, :8].min() == 65535
    assert np.abs(photo.pixels.astype(int) - deep).max() < 2 ** (16 - depth)
    assert image.write(photo.pixels, tmp_path / "b.avif", like=photo) == ()
    assert reopen(tmp_path / "b.avif").get("bits-per-sample") == depth
    assert distance(image.read(tmp_path / "b.avif").pixels, photo.pixels) < 0.01


def test_sixteen_bits_become_twelve_in_avif(tmp_path):
    deep = gradient(np.uint16)
    assert image.write(deep, tmp_path / "a.avif", like=Photo(deep)) == ("AVIF holds 12 of 16 bits",)
    back = image.read(tmp_path / "a.avif")
    assert back.depth == 12
    assert distance(back.pixels, deep) < 0.01


def test_depth_is_that_of_the_pixels_written(tmp_path):
    to_vips(gradient(), "srgb").pngsave(str(tmp_path / "a.png"))
    eight = image.read(tmp_path / "a.png")
    image.write(gradient(np.uint16), tmp_path / "b.png", like=eight)
    assert image.read(tmp_path / "b.png").depth == 16
    image.write(gradient(np.uint16), tmp_path / "b.avif", like=eight)
    assert image.read(tmp_path / "b.avif").depth == 12


def test_jpeg_keeps_full_colour_resolution_and_quality(tmp_path):
    pixels = gradient()
    for quality in (None, 95, 30):
        image.write(pixels, tmp_path / f"{quality}.jpg", like=Photo(pixels), quality=quality)
    data = [(tmp_path / f"{quality}.jpg").read_bytes() for quality in (None, 95, 30)]
    assert data[0] == data[1]
    assert len(data[2]) < len(data[1])
    assert reopen(tmp_path / "30.jpg").get("jpeg-chroma-subsample") == "4:4:4"


def test_transparency_is_laid_over_white_in_jpeg(tmp_path):
    pixels, alpha = np.zeros((16, 32, 3), np.uint8), np.zeros((16, 32), np.uint8)
    alpha[:, 16:] = 255
    lost = image.write(pixels, tmp_path / "a.jpg", like=Photo(pixels, alpha))
    back = image.read(tmp_path / "a.jpg").pixels
    assert back[:, :16].min() > 250
    assert back[:, 16:].max() < 5
    assert lost == ("transparency was laid over white",)


def tagged() -> pyvips.Image:
    """Return a P3 picture from a camera that was held sideways: 300 dots per inch."""
    fields = {
        "icc-profile-data": P3,
        "xmp-data": XMP,
        "exif-ifd0-Make": "Camera (Camera, ASCII, 7 components, 7 bytes)",
        "exif-ifd2-ISOSpeedRatings": "800",
        "orientation": 6,
    }
    return to_vips(gradient(), "srgb", **fields).copy(xres=300 / 25.4, yres=300 / 25.4)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
def test_metadata_are_kept(tmp_path, suffix):
    tagged().write_to_file(str(tmp_path / f"a{suffix}"))
    photo = image.read(tmp_path / f"a{suffix}")
    lost = image.write(photo.pixels, tmp_path / f"b{suffix}", like=photo)
    after = reopen(tmp_path / f"b{suffix}")
    assert after.get("icc-profile-data") == P3
    assert after.get("xmp-data") == XMP.replace(b'"6"', b'"1"')
    if suffix in {".jpg", ".png", ".tif"}:  # libvips has no resolution in the others
        assert after.xres == pytest.approx(300 / 25.4, abs=0.01)
    assert photo.notes == lost == ()
    if suffix != ".tif":  # where libvips wrote no EXIF in the first place
        assert after.get("exif-ifd0-Make").startswith("Camera ")
        assert after.get("exif-ifd2-ISOSpeedRatings").startswith("800 ")


def test_profile_changes_no_pixel(tmp_path):
    pixels = gradient(np.uint16)
    photo = Photo(pixels, metadata={"icc-profile-data": P3})
    image.write(pixels, tmp_path / "a.png", like=photo)
    np.testing.assert_array_equal(image.read(tmp_path / "a.png").pixels, pixels)


def test_metadata_follow_a_photo_into_another_format(tmp_path):
    tagged().jpegsave(str(tmp_path / "a.jpg"))
    photo = image.read(tmp_path / "a.jpg")
    image.write(photo.pixels, tmp_path / "b.png", like=photo)
    after = reopen(tmp_path / "b.png")
    assert after.get("icc-profile-data") == P3
    assert after.get("exif-ifd0-Make").startswith("Camera ")
    lost = image.write(photo.pixels, tmp_path / "b.tif", like=photo)
    assert lost == ()


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_iptc_is_kept_in_its_own_format_and_missed_aloud_in_another(tmp_path, suffix):
    record = b"\x1c\x02\x78\x00\x07caption"
    if suffix == ".jpg":
        block = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(record)) + record
        record = b"Photoshop 3.0\0" + block
    photo = Photo(gradient(), format="JPEG", metadata={"iptc-data": record})
    if suffix == ".tif":
        photo = replace(photo, format="TIFF")
    image.write(photo.pixels, tmp_path / f"a{suffix}", like=photo)
    photo = image.read(tmp_path / f"a{suffix}")
    held = photo.metadata["extras"][0][3:] if suffix == ".jpg" else photo.metadata["iptc-data"]
    assert held == record
    lost = image.write(photo.pixels, tmp_path / "b.png", like=photo)
    in_jpeg = "what only JPEG holds was not kept (comments, texts, IPTC, what applications noted)"
    assert lost == (in_jpeg if suffix == ".jpg" else "IPTC was not kept",)


def test_descriptions_are_kept(tmp_path):
    description = {"image-description": "the pond"}
    image.write(gradient(), tmp_path / "a.tif", like=Photo(gradient(), metadata=description))
    assert image.read(tmp_path / "a.tif").metadata["image-description"] == "the pond"


def test_no_exif_is_made_up_and_unknown_resolution_is_72(tmp_path):
    to_vips(gradient(), "srgb").webpsave(str(tmp_path / "a.webp"), keep="none")
    photo = image.read(tmp_path / "a.webp")
    image.write(photo.pixels, tmp_path / "b.jpg", like=photo)
    image.write(photo.pixels, tmp_path / "b.png", like=photo)
    assert b"Exif" not in (tmp_path / "b.jpg").read_bytes()
    assert reopen(tmp_path / "b.png").xres == pytest.approx(72 / 25.4, abs=0.01)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_resolution_is_kept_without_exif(tmp_path, suffix):
    photo = Photo(gradient(), resolution=(5.0, 8.0))
    image.write(photo.pixels, tmp_path / f"a{suffix}", like=photo)
    assert image.read(tmp_path / f"a{suffix}").resolution == pytest.approx((5, 8), abs=0.01)


THUMBNAIL = b"\xff\xd8 a picture of how it was \xff\xd9"


def exif_segment(orientation: int) -> bytes:
    """A JPEG's APP1: a maker in Latin-1, an orientation, a second directory with a thumbnail."""
    make = b"Caf\xe9\0\0"
    first, second = 8, 8 + 2 + 2 * 12 + 4
    end = second + 2 + 2 * 12 + 4
    tiff = b"II*\0" + struct.pack("<IH", first, 2)
    tiff += struct.pack("<HHII", 0x010F, 2, 5, end)
    tiff += struct.pack("<HHIHHI", 0x0112, 3, 1, orientation, 0, second) + struct.pack("<H", 2)
    tiff += struct.pack("<HHII", 0x0201, 4, 1, end + len(make))
    tiff += struct.pack("<HHIII", 0x0202, 4, 1, len(THUMBNAIL), 0) + make + THUMBNAIL
    return b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff


def jpeg_with_exif(pixels: np.ndarray, orientation: int) -> bytes:
    plain = to_vips(pixels, "srgb").jpegsave_buffer(Q=98, keep="none", subsample_mode="off")
    return plain[:2] + exif_segment(orientation) + plain[2:]


UPRIGHT = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_orientation_is_applied_once(tmp_path, orientation):
    stored = gradient()
    (tmp_path / "a.jpg").write_bytes(jpeg_with_exif(stored, orientation))
    photo = image.read(tmp_path / "a.jpg")
    expected = np.ascontiguousarray(UPRIGHT[orientation](stored))
    assert distance(photo.pixels, expected) < 0.01
    assert image.size(tmp_path / "a.jpg") == expected.shape[1::-1]
    for name in ("b.jpg", "b.png", "b.webp", "b.avif", "b.tif"):
        image.write(photo.pixels, tmp_path / name, like=photo)
        after = reopen(tmp_path / name)
        assert (after.width, after.height) == expected.shape[1::-1]
        assert not after.get_typeof("orientation") or after.get("orientation") == 1
        if after.get_typeof("exif-ifd0-Orientation"):
            assert after.get("exif-ifd0-Orientation").startswith("1 ")
        assert distance(image.read(tmp_path / name).pixels, photo.pixels) < 0.015


def test_a_large_photo_is_turned():
    """Large enough for libvips to decode it in pieces, whose order turning upsets."""
    stored = gradient(height=2000, width=600)
    photo = image.read(jpeg_with_exif(stored, 8))
    assert distance(photo.pixels, np.ascontiguousarray(np.rot90(stored, 1))) < 0.01


@pytest.mark.parametrize("orientation", [0, 9])
def test_an_orientation_that_is_none_is_ignored(orientation):
    data = jpeg_with_exif(gradient(), orientation)
    assert image.read(data).pixels.shape == (30, 41, 3)
    assert image.size(data) == (41, 30)


def test_stale_thumbnail_is_dropped_and_other_bytes_of_exif_stay(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg_with_exif(gradient(), 6))
    assert THUMBNAIL in (tmp_path / "a.jpg").read_bytes()
    photo = image.read(tmp_path / "a.jpg")
    image.write(photo.pixels, tmp_path / "b.jpg", like=photo)
    written = (tmp_path / "b.jpg").read_bytes()
    assert THUMBNAIL not in written
    assert b"Caf\xe9\0" in written


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("profile", [CMYK, None], ids=["profile", "none"])
def test_cmyk_becomes_srgb(tmp_path, dtype, profile):
    inks = np.zeros((16, 24, 4), dtype)
    inks[..., 1:3] = np.iinfo(dtype).max  # magenta and yellow: red
    fields = {"icc-profile-data": profile} if profile else {}
    to_vips(inks, "cmyk", **fields).tiffsave(str(tmp_path / "a.tif"))
    photo = image.read(tmp_path / "a.tif")
    assert photo.notes == ("CMYK was converted to sRGB",)
    assert photo.pixels.dtype == dtype
    red, green, blue = photo.pixels[8, 12] / np.iinfo(dtype).max
    assert red > 0.8
    assert max(green, blue) < 0.3
    assert photo.metadata["icc-profile-data"] == pyvips.Image.profile_load("srgb")
    image.write(photo.pixels, tmp_path / "b.tif", like=photo)
    assert reopen(tmp_path / "b.tif").bands == 3


def test_cmyk_jpeg_becomes_srgb(tmp_path):
    paper = np.zeros((16, 16, 4), np.uint8)
    to_vips(paper, "cmyk").jpegsave(str(tmp_path / "a.jpg"))
    photo = image.read(tmp_path / "a.jpg")
    assert photo.pixels.min() > 240
    assert photo.notes == ("CMYK was converted to sRGB",)


@pytest.mark.parametrize("suffix", LOSSLESS + LOSSY)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (2, 3)])
def test_small_and_odd_sizes(tmp_path, suffix, shape):
    pixels = np.full((*shape, 3), (200, 100, 50), np.uint8)
    image.write(pixels, tmp_path / f"a{suffix}", like=Photo(pixels))
    assert distance(image.read(tmp_path / f"a{suffix}").pixels, pixels) < 0.02
    assert image.size(tmp_path / f"a{suffix}") == shape[::-1]


@pytest.mark.parametrize("grey", [False, True], ids=["rgb", "grey"])
@pytest.mark.parametrize("alpha", [False, True], ids=["opaque", "alpha"])
def test_arrays_are_contiguous_and_writable(tmp_path, alpha, grey):
    photo = Photo(grey_of(), ramp() if alpha else None, grey)
    image.write(photo.pixels, tmp_path / "a.png", like=photo)
    back = image.read(tmp_path / "a.png")
    for array in (back.pixels, back.alpha) if alpha else (back.pixels,):
        assert array.flags.c_contiguous
        assert array.flags.writeable


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_one_bit_becomes_eight(tmp_path, suffix):
    bits = np.where(grey_of() > 127, 255, 0).astype(np.uint8)
    picture = to_vips(bits[..., 0].copy(), "b-w")
    picture.write_to_file(str(tmp_path / f"a{suffix}"), bitdepth=1)
    photo = image.read(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(photo.pixels, bits, strict=True)
    assert (photo.grey, photo.depth) == (True, 8)
    image.write(grey_of(), tmp_path / f"b{suffix}", like=photo)
    np.testing.assert_array_equal(image.read(tmp_path / f"b{suffix}").pixels, grey_of())


def test_palette_becomes_colours(tmp_path):
    pixels = np.where(gradient() > 127, 255, 0).astype(np.uint8)
    to_vips(pixels, "srgb").pngsave(str(tmp_path / "a.png"), palette=True, dither=0)
    assert reopen(tmp_path / "a.png").get_typeof("palette")
    photo = image.read(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.pixels, pixels)
    image.write(gradient(), tmp_path / "b.png", like=photo)
    np.testing.assert_array_equal(image.read(tmp_path / "b.png").pixels, gradient())


@pytest.mark.parametrize("dtype", [np.uint32, np.int16])
def test_other_depths_are_refused(tmp_path, dtype):
    to_vips(gradient()[..., 0].astype(dtype), "b-w").tiffsave(str(tmp_path / "a.tif"))
    with pytest.raises(ImageError, match="expected 8- or 16-bit grey, RGB or CMYK"):
        image.read(tmp_path / "a.tif")


def test_other_channels_are_refused(tmp_path):
    bands = np.zeros((4, 4, 7), np.uint8)
    to_vips(bands, "multiband").tiffsave(str(tmp_path / "a.tif"))
    with pytest.raises(ImageError, match=r"a\.tif holds 7 channels of uchar"):
        image.read(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", [".tif", ".webp"])
def test_first_of_several_pages_is_read(tmp_path, suffix):
    pages = np.concatenate([gradient(), 255 - gradient()])
    picture = to_vips(pages, "srgb", **{"page-height": 30})
    picture.write_to_file(str(tmp_path / f"a{suffix}"), Q=95)
    photo = image.read(tmp_path / f"a{suffix}")
    assert distance(photo.pixels, gradient()) < 0.02
    pages, frames = "of several pages was read (--pages all restores all)", "frame of an animation was read"
    assert photo.notes == (f"only the first {pages if suffix == '.tif' else frames}",)
    image.write(photo.pixels, tmp_path / f"b{suffix}", like=photo)
    assert image.read(tmp_path / f"b{suffix}").notes == ()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def test_sequences_are_noted():
    note = ("only the first frame of an animation was read",)
    png = to_vips(gradient(), "srgb").pngsave_buffer(keep="none")
    animated = png[:33] + png_chunk(b"acTL", struct.pack(">II", 2, 0)) + png[33:]
    assert image.read(animated).notes == note
    avif = to_vips(gradient(), "srgb").heifsave_buffer(compression="av1")
    assert image.read(avif).notes == ()
    assert image.read(avif[:8] + b"avis" + avif[12:]).notes == note


def test_pictures_inside_a_tiff_are_noted():
    """A raw file's first picture is a small preview; its real one hangs below, as here."""
    outer, inner = 8, 8 + 2 + 10 * 12 + 4
    tags = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1)]
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in [*tags, (279, 1)]]
    below = struct.pack("<HHII", 330, 4, 1, inner)
    tiff = b"II*\0" + struct.pack("<IH", outer, 10) + b"".join(entries) + below + bytes(4)
    tiff += struct.pack("<H", 9) + b"".join(entries) + bytes(4)
    assert "of a camera's raw file this is a preview" in image.read(tiff).notes[0]


def test_gain_map_is_noted(tmp_path):
    xmp = XMP.replace(b"/>", b' hdrgm:Version="1.0"/>')
    to_vips(gradient(), "srgb", **{"xmp-data": xmp}).jpegsave(str(tmp_path / "a.jpg"))
    assert image.read(tmp_path / "a.jpg").notes == ("the HDR gain map was left out",)


def test_content_decides_and_not_the_name(tmp_path):
    to_vips(gradient(), "srgb").pngsave(str(tmp_path / "a.png"))
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert image.read(tmp_path / "a.jpg").format == "PNG"
    photo = image.read((tmp_path / "a.jpg").read_bytes())
    np.testing.assert_array_equal(photo.pixels, gradient())


def test_a_changed_file_is_read_anew(tmp_path):
    for pixels in (gradient(), 255 - gradient()):
        image.write(pixels, tmp_path / "a.png", like=Photo(pixels), overwrite=True)
        np.testing.assert_array_equal(image.read(tmp_path / "a.png").pixels, pixels)


def test_names_of_any_kind(tmp_path):
    for name in ("a[page=2].png", "日本 ü.PNG", os.fsdecode(b"caf\xe9.png")):
        image.write(gradient(), tmp_path / name, like=Photo(gradient()))
        np.testing.assert_array_equal(image.read(tmp_path / name).pixels, gradient())


def bomb(name: str) -> bytes:
    """Return a few hundred bytes whose header claims 30,000 x 30,000 pixels."""
    side = 30_000
    if name == "png":
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        rows = png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")
        return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + rows
    if name == "jpeg":
        data = to_vips(gradient(), "srgb").jpegsave_buffer(keep="none")
        start = data.index(b"\xff\xc0") + 5
        return data[:start] + struct.pack(">HH", side, side) + data[start + 4 :]
    tags = [(256, side), (257, side), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1)]
    tags += [(278, side), (279, side * side)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("name", ["png", "jpeg", "tiff"])
def test_a_bomb_is_refused_by_its_header(name):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImageError, match="30000 x 30000 pixels: expected at most 300,000,000"):
        image.read(bomb(name))
    assert image.size(bomb(name)) == (30_000, 30_000)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 50_000  # kilobytes; its pixels are 2,700,000


def test_the_cap_is_inclusive(tmp_path):
    image.write(gradient(), tmp_path / "a.png", like=Photo(gradient()))
    assert image.read(tmp_path / "a.png", max_pixels=30 * 41).pixels.shape == (30, 41, 3)
    with pytest.raises(ImageError, match="41 x 30 pixels: expected at most 1,229"):
        image.read(tmp_path / "a.png", max_pixels=30 * 41 - 1)


def picture_bytes(suffix: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    return to_vips(noise, "srgb").write_to_buffer(suffix)


@pytest.mark.parametrize("fraction", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("suffix", LOSSLESS + LOSSY)
def test_a_cut_file_is_refused(suffix, fraction):
    whole = picture_bytes(suffix)
    assert image.read(whole).pixels.shape == (64, 80, 3)
    with pytest.raises(ImageError, match=r"^the picture is damaged or cut short \(.+\): .+") as caught:
        image.read(whole[: int(len(whole) * fraction)])
    assert "\n" not in str(caught.value)
    assert "bad seek" not in str(caught.value)


def test_a_damaged_file_is_refused():
    whole = picture_bytes(".png")
    middle = len(whole) // 2
    with pytest.raises(ImageError, match="damaged"):
        image.read(whole[:middle] + bytes(32) + whole[middle + 32 :])


@pytest.mark.parametrize("hears", [False, True])
def test_a_damaged_file_spills_nothing_but_to_a_caller_who_logs(tmp_path, hears):
    (tmp_path / "a.png").write_bytes(picture_bytes(".png")[:5000])
    program = """
import logging, sys
if sys.argv[2] == "True":
    logging.basicConfig(level=logging.WARNING)
from idrestore.files import image
try:
    image.read(sys.argv[1])
except image.ImageError:
    print("refused")
"""
    command = [sys.executable, "-c", program, str(tmp_path / "a.png"), str(hears)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"
    heard = done.stderr.splitlines()
    assert bool(heard) == hears
    assert all(line.startswith("WARNING:pyvips:VIPS: ") for line in heard)


def test_heic_is_read_or_explained(tmp_path):
    (tmp_path / "a.heic").write_bytes(HEIC)
    assert image.size(tmp_path / "a.heic") == (16, 16)
    try:
        photo = image.read(tmp_path / "a.heic")
    except ImageError as error:
        assert "HEIC, which this build of libvips cannot decode: convert it" in str(error)
    else:
        assert (photo.format, photo.pixels.shape) == ("HEIC", (16, 16, 3))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"hello world",
            "notes.jpg is not a picture .it starts with 'hello wo'.: expected one of",
        ),
        (b"", "notes.jpg is not a picture .it is empty."),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not a picture"),
        (b"GIF89a", "notes.jpg is damaged or cut short"),
        (b"\xff\xd8\xff", "notes.jpg is damaged or cut short"),
    ],
)
def test_what_is_no_picture(tmp_path, content, message):
    (tmp_path / "notes.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=message):
        image.read(tmp_path / "notes.jpg")
    with pytest.raises(ImageError, match=message):
        image.size(tmp_path / "notes.jpg")


def test_what_is_no_file(tmp_path):
    with pytest.raises(ImageError, match=r"No such file or directory\): check the name"):
        image.read(tmp_path / "missing.jpg")
    with pytest.raises(ImageError, match="is a folder or a device"):
        image.read(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="is a folder or a device"):
        image.read(tmp_path / "pipe.jpg")


def test_a_forbidden_file_is_explained(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.png").touch()
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageError, match=r"cannot be read \(Permission denied\): check"):
        image.read(tmp_path / "a.png")


def test_supported_names():
    assert image.is_supported("A/B.JPEG")
    assert image.is_supported(Path("b.heic"))
    assert not image.is_supported("b.svg")
    assert {".jpg", ".png", ".webp", ".tif", ".tiff", ".avif"} <= image.SUFFIXES


def test_existing_files_are_kept_unless_told(tmp_path):
    (tmp_path / "a.png").write_bytes(b"precious")
    with pytest.raises(ImageError, match=r"a\.png already exists"):
        image.write(gradient(), tmp_path / "a.png", like=Photo(gradient()))
    assert (tmp_path / "a.png").read_bytes() == b"precious"
    image.write(gradient(), tmp_path / "a.png", like=Photo(gradient()), overwrite=True)
    np.testing.assert_array_equal(image.read(tmp_path / "a.png").pixels, gradient())
    assert names_in(tmp_path) == ["a.png"]


def test_overwriting_replaces_the_file_and_not_its_bytes(tmp_path):
    """Whoever reads the old file meanwhile, here by a second name, reads it to its end."""
    (tmp_path / "a.png").write_bytes(b"precious")
    (tmp_path / "second name").hardlink_to(tmp_path / "a.png")
    image.write(gradient(), tmp_path / "a.png", like=Photo(gradient()), overwrite=True)
    assert (tmp_path / "second name").read_bytes() == b"precious"


@pytest.mark.parametrize("error", [pyvips.Error("no", "no space"), KeyError])
def test_a_failed_encoding_changes_nothing(tmp_path, monkeypatch, error):
    def fail(_: pyvips.Image, target: pyvips.Target, **options: object) -> None:
        raise error

    (tmp_path / "a.png").write_bytes(b"precious")
    monkeypatch.setattr(pyvips.Image, "pngsave_target", fail, raising=False)
    with pytest.raises((ImageError, KeyError)) as caught:
        image.write(gradient(), tmp_path / "a.png", like=Photo(gradient()), overwrite=True)
    assert isinstance(caught.value, KeyError) or "no space" in str(caught.value)
    assert names_in(tmp_path) == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"precious"


def test_a_failed_write_changes_nothing(tmp_path, monkeypatch):
    def fail(_: int) -> None:
        seen.extend(names_in(tmp_path))
        raise OSError(28, "no space")

    seen: list[str] = []
    (tmp_path / "a.png").write_bytes(b"precious")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ImageError, match="no space"):
        image.write(gradient(), tmp_path / "a.png", like=Photo(gradient()), overwrite=True)
    assert len(seen) == 2  # a temporary file was there
    assert names_in(tmp_path) == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_a_thumbnail_is_small_upright_and_says_nothing_of_the_camera(tmp_path, name):
    wide = to_vips(np.full((40, 90, 3), 90, np.uint8), "srgb", orientation=6, **{"icc-profile-data": P3})
    wide.write_to_file(str(tmp_path / name))
    thumbnail = pyvips.Image.new_from_buffer(image.thumbnail(tmp_path / name, 30), "")
    assert (thumbnail.width, thumbnail.height) == (13, 30)
    assert not {"exif-data", "icc-profile-data"} & set(thumbnail.get_fields())


def test_a_written_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "plain").touch()
    image.write(gradient(), tmp_path / "a.png", like=Photo(gradient()))
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("name", ["a.bmp", "a", "a.heic", "missing/a.png"])
def test_where_nothing_can_be_written(tmp_path, name):
    with pytest.raises(ImageError, match="cannot be written"):
        image.write(gradient(), tmp_path / name, like=Photo(gradient()))
    assert names_in(tmp_path) == []


def test_what_a_format_cannot_hold_is_explained(tmp_path):
    wide = np.zeros((1, 16_384, 3), np.uint8)  # WebP ends at 16,383
    with pytest.raises(ImageError, match=r"cannot be written as WebP \(webp"):
        image.write(wide, tmp_path / "a.webp", like=Photo(wide))
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("quality", [0, 101])
def test_quality_has_a_range(tmp_path, quality):
    with pytest.raises(ImageError, match="expected 1 to 100"):
        image.write(gradient(), tmp_path / "a.jpg", like=Photo(gradient()), quality=quality)


@pytest.mark.parametrize(
    ("pixels", "alpha", "message"),
    [
        (np.zeros((4, 4, 3)), None, "float64"),
        (np.zeros((4, 4), np.uint8), None, r"\(4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), None, r"\(0, 4, 3\)"),
        (np.zeros((4, 4, 4), np.uint8), None, r"\(4, 4, 4\)"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.uint8), "alpha"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint16), "alpha"),
    ],
)
def test_arrays_that_do_not_fit(pixels, alpha, message):
    with pytest.raises(ImageError, match=message):
        Photo(pixels, alpha)


def test_encoding_makes_no_copy_of_the_pixels():
    pixels = np.zeros((1000, 1000, 3), np.uint8)
    tracemalloc.start()
    image.encode(pixels, "a.jpg", Photo(pixels))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < pixels.nbytes / 2


def test_writing_changes_no_argument_and_takes_any_layout(tmp_path):
    pixels = gradient()[::-1, :, ::-1]
    alpha = ramp()[::-1]
    pixels.flags.writeable = alpha.flags.writeable = False
    photo = Photo(gradient(), alpha, metadata={"xmp-data": XMP})
    image.write(pixels, tmp_path / "a.png", like=photo)
    back = image.read(tmp_path / "a.png")
    np.testing.assert_array_equal(back.pixels, pixels)
    np.testing.assert_array_equal(back.alpha, alpha)
    assert photo.metadata == {"xmp-data": XMP}


def test_uneven_channels_of_a_grey_photo_are_averaged(tmp_path):
    pixels = np.full((2, 2, 3), (10, 20, 32), np.uint8)
    image.write(pixels, tmp_path / "a.png", like=Photo(pixels, grey=True))
    assert (image.read(tmp_path / "a.png").pixels == 21).all()


def test_open_files_are_given_back(tmp_path):
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("no /proc here")
    (tmp_path / "a.jpg").write_bytes(jpeg_with_exif(gradient(), 6))
    image.read(tmp_path / "a.jpg")
    before = len(list(folder.iterdir()))
    for _ in range(5):
        photo = image.read(tmp_path / "a.jpg")
        image.write(photo.pixels, tmp_path / "b.jpg", like=photo, overwrite=True)
    assert len(list(folder.iterdir())) == before


samples = st.sampled_from([np.uint8, np.uint16]).flatmap(
    lambda dtype: array_shapes(min_dims=2, max_dims=2, max_side=6).flatmap(
        lambda shape: st.tuples(arrays(dtype, (*shape, 3)), st.none() | arrays(dtype, shape), st.sampled_from(LOSSLESS))
    )
)


@given(samples)
def test_reading_undoes_writing(tmp_path_factory, drawn):
    pixels, alpha, suffix = drawn
    path = tmp_path_factory.getbasetemp() / f"property{suffix}"
    image.write(pixels, path, like=Photo(pixels, alpha), overwrite=True)
    back = image.read(path)
    np.testing.assert_array_equal(back.pixels, pixels, strict=True)
    assert (back.alpha is None) == (alpha is None)
    if alpha is not None:
        np.testing.assert_array_equal(back.alpha, alpha, strict=True)


def test_a_comment_whose_keyword_is_no_utf_8_does_not_cost_the_photo(tmp_path):
    """Keywords of PNG's text chunks are Latin-1."""
    pixels = np.full((4, 5, 3), 90, np.uint8)
    image.write(pixels, tmp_path / "a.png", Photo(pixels))
    data = (tmp_path / "a.png").read_bytes()
    body = b"tEXtCaf\xe9\0hello"
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    photo = image.read(data[:33] + chunk + data[33:])  # after the header
    np.testing.assert_array_equal(photo.pixels, pixels)
    image.write(photo.pixels, tmp_path / "b.png", photo)
    np.testing.assert_array_equal(image.read(tmp_path / "b.png").pixels, pixels)
