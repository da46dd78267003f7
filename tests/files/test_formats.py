"""Formats that are read and not written, made by pillow-heif, Pillow and tifffile."""

import io
import sys

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image

from idrestore.files import formats, image
from idrestore.files.image import ImageError

ROWS, COLUMNS = np.mgrid[:48, :64]
PIXELS = np.stack([ROWS * 5, COLUMNS * 4, 255 - ROWS * 3], axis=2).astype(np.uint8)
GREY = PIXELS[..., 1]
P3 = pyvips.Image.profile_load("p3")
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'


def saved(picture: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def heic(pixels=PIXELS, mode="RGB", **options) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heif makes the files")
    file = io.BytesIO()
    size = pixels.shape[1::-1]
    pillow_heif.encode(mode, size, np.ascontiguousarray(pixels).tobytes(), file, quality=95, chroma=444, **options)
    return file.getvalue()


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x010F], tags[0x0112] = "Camera", orientation
    return tags.tobytes()


def distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(int) - second).mean())


def test_heic_is_read_with_what_it_holds():
    photo = image.read(heic(exif=exif(1), xmp=XMP, icc_profile=P3))
    assert distance(photo.pixels, PIXELS) < 2
    assert (photo.format, photo.depth, photo.alpha, photo.notes) == ("HEIC", 8, None, ())
    assert photo.metadata["xmp-data"] == XMP
    assert photo.metadata["icc-profile-data"] == P3
    assert b"Camera" in photo.metadata["exif-data"]


def test_ten_bits_of_heic_stay_ten():
    deep = PIXELS.astype(np.uint16) * 257
    photo = image.read(heic(deep, "RGB;16"))
    assert (photo.depth, photo.pixels.dtype) == (10, np.uint16)
    assert distance(photo.pixels // 257, PIXELS) < 2
    data, lost = image.encode(photo.pixels, "a.avif", photo)
    assert lost == ()
    assert pyvips.Image.new_from_buffer(data, "").get("bits-per-sample") == 10


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_heic_is_turned_once(orientation, tmp_path):
    """Both by the container's rotation, which counts, and by EXIF, which telephones write too and which does not."""
    one, stored = (b"\x01\x12\0\x03\0\0\0\x01" + bytes((0, value)) for value in (1, orientation))
    pytest.importorskip("pillow_heif", reason="the extra heif makes the files").register_heif_opener()
    data = saved(Image.fromarray(PIXELS), "HEIF", exif=exif(orientation), quality=95, chroma=444)
    data = data.replace(one, stored)  # pillow-heif writes the container's alone
    assert stored in data
    turned = np.rot90(PIXELS, {1: 0, 3: 2, 6: -1, 8: 1}[orientation])
    (tmp_path / "a.heic").write_bytes(data)
    photo = image.read(tmp_path / "a.heic")
    assert photo.pixels.shape == turned.shape
    assert distance(photo.pixels, turned) < 2
    assert image.size(data) == turned.shape[1::-1]
    written = Image.open(io.BytesIO(image.encode(photo.pixels, "a.jpg", photo)[0]))
    assert written.size == turned.shape[1::-1]
    assert written.getexif().get(0x0112, 1) == 1


def test_transparency_and_further_pictures_of_heic():
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heif makes the files")
    photo = image.read(heic(np.dstack([PIXELS, GREY]), "RGBA"))
    assert distance(photo.alpha, GREY) < 2
    several = pillow_heif.from_pillow(Image.fromarray(PIXELS))
    several.add_from_pillow(Image.fromarray(255 - PIXELS))
    file = io.BytesIO()
    several.save(file, quality=95)
    photo = image.read(file.getvalue())
    assert photo.notes == ("only the first of several pictures was read",)
    assert distance(photo.pixels, PIXELS) < 6


def test_half_of_a_heic_is_refused():
    whole = heic()
    for share in (0.3, 0.6, 0.95):
        with pytest.raises(ImageError, match="damaged or cut short"):
            image.read(whole[: int(len(whole) * share)])


def dng(sensor: np.ndarray) -> bytes:
    """Return sensor values, red, green, green and blue in turn, of a camera whose white is (1/2, 1, 1/2)."""
    rational = [each for value in np.eye(3).ravel() for each in (int(value * 10000), 10000)]
    tags = [
        (33421, "H", 2, (2, 2), True),  # CFARepeatPatternDim
        (33422, "B", 4, bytes((0, 1, 1, 2)), True),  # CFAPattern
        (50706, "B", 4, bytes((1, 4, 0, 0)), True),  # DNGVersion
        (50708, "s", 0, "Camera 7", True),  # UniqueCameraModel
        (50717, "I", 1, 4095, True),  # WhiteLevel
        (50721, "2i", 9, rational, True),  # ColorMatrix1
        (50728, "2I", 3, (1, 2, 1, 1, 1, 2), True),  # AsShotNeutral
        (50778, "H", 1, 21, True),  # CalibrationIlluminant1: D65
    ]
    file = io.BytesIO()
    tifffile.imwrite(file, sensor.astype(np.uint16), photometric="cfa", extratags=tags, metadata=None)
    return file.getvalue()


def test_raw_is_developed_with_the_cameras_white_balance(tmp_path):
    pytest.importorskip("rawpy", reason="the extra raw develops them")
    white = np.where((np.mgrid[:48, :64].sum(axis=0) % 2) == 0, 0.5, 1)  # red and blue see half of what green sees
    brightness = np.where(np.arange(64) < 32, 500, 2000)
    (tmp_path / "a.dng").write_bytes(dng(white * brightness))
    photo = image.read(tmp_path / "a.dng")
    assert (photo.format, photo.depth, photo.pixels.shape) == ("raw", 16, (48, 64, 3))
    assert photo.notes == ("a raw file was developed to 16 bits in sRGB",)
    dark, bright = photo.pixels[8:-8, 8:24].mean(axis=(0, 1)), photo.pixels[8:-8, 40:56].mean(axis=(0, 1))
    for patch in (dark, bright):
        assert np.ptp(patch) < 0.03 * patch.mean()  # grey
    assert bright.mean() > 1.5 * dark.mean()
    assert photo.metadata["icc-profile-data"] == pyvips.Image.profile_load("srgb")


def test_half_of_a_raw_file_is_refused():
    pytest.importorskip("rawpy", reason="the extra raw develops them")
    whole = dng(np.full((48, 64), 900))
    with pytest.raises(ImageError, match="damaged or cut short"):
        image.read(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"II*\0\x10\0\0\0CR\x02\0", "CR2"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1", "CR3"),
        (b"FUJIFILMCCD-RAW 0201", "RAF"),
        (b"IIRO\x08\0\0\0", "ORF"),
        (b"IIU\0\x18\0\0\0", "RW2"),
        (dng(np.full((4, 4), 9)), "DNG"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_without_rawpy_a_raw_file_is_known_and_the_way_told(head, name, monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(ImageError, match=r"is a camera's raw file, and rawpy is not installed: .* the extra raw, and"):
        image.read(head + bytes(64))
    assert f".{name.lower()}" in image.SUFFIXES


def test_without_pillow_heif_the_way_is_told(monkeypatch):
    data = heic()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"is HEIC, and pillow-heif is not installed: .* the extra heif, and"):
        image.read(data)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA"])
def test_bmp_is_read(mode):
    picture = Image.fromarray(PIXELS).convert(mode)
    photo = image.read(saved(picture, "BMP"))
    np.testing.assert_array_equal(photo.pixels, np.asarray(picture.convert("RGB")))
    assert (photo.format, photo.grey) == ("BMP", mode in ("L", "1"))


def test_of_gif_the_first_frame_is_read():
    picture = Image.fromarray(PIXELS).quantize(64)
    for others, notes in (([], ()), ([picture.rotate(180)], ("only the first frame of an animation was read",))):
        photo = image.read(saved(picture, "GIF", save_all=True, append_images=others))
        np.testing.assert_array_equal(photo.pixels, np.asarray(picture.convert("RGB")))
        assert (photo.format, photo.notes) == ("GIF", notes)


@pytest.mark.parametrize("bare", [False, True], ids=["jp2", "j2k"])
def test_jpeg_2000_is_read(bare):
    photo = image.read(saved(Image.fromarray(PIXELS), "JPEG2000", no_jp2=bare))
    np.testing.assert_array_equal(photo.pixels, PIXELS)
    deep = saved(Image.fromarray(GREY.astype(np.uint16) * 257), "JPEG2000", no_jp2=bare)
    np.testing.assert_array_equal(image.read(deep).pixels[..., 0], GREY.astype(np.uint16) * 257)


@pytest.mark.parametrize("kind", ["BMP", "GIF", "JPEG2000"])
def test_half_of_it_is_refused(kind):
    whole = saved(Image.fromarray(PIXELS), kind)
    with pytest.raises(ImageError, match="damaged or cut short"):
        image.read(whole[: len(whole) // 2])


def test_jpeg_xl_is_read_or_the_way_told():
    if pyvips.type_find("VipsOperation", "jxlsave"):
        data = pyvips.Image.new_from_array(PIXELS).jxlsave_buffer(lossless=True)
        np.testing.assert_array_equal(image.read(data).pixels, PIXELS)
    else:
        with pytest.raises(ImageError, match="is JXL, which this build of libvips cannot decode"):
            image.read(b"\xff\x0a" + bytes(64))


def test_what_cannot_be_written_has_a_substitute_that_can():
    for row in formats.FORMATS:
        assert bool(row.saver) != bool(row.written_as), row.name
        if row.written_as:
            assert formats.BY_SUFFIX[row.written_as].saver
            assert formats.BY_SUFFIX[row.written_as].bits >= 8
