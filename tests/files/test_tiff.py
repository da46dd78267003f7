"""EXIF in TIFF files, against files made by tifffile and cut by us."""

import io
import struct

import numpy as np
import pytest
import tifffile

from idrestore.files import exif, image, pages, tiff

PIXELS = np.full((6, 5, 3), 90, np.uint8)
PRIVATE = 65000  # tifffile writes no EXIF pointer, so a private tag is renamed
POINTER = [(PRIVATE, "I", 1, 8, True)]


def made(order, big, tags):
    file = io.BytesIO()
    tifffile.imwrite(file, PIXELS, byteorder=order, bigtiff=big, photometric="rgb", extratags=tags)
    return file.getvalue().replace(*(struct.pack(order + "H", tag) for tag in (PRIVATE, exif.EXIF_POINTER)))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_there_is_exif_only_where_a_file_has_some(order, big):
    tags = [(315, "s", 0, "Zoe", True)]
    assert exif.unpacked(tiff.exif_of(io.BytesIO(made(order, big, tags))))[315].data == b"Zoe\0"
    plain = exif.unpacked(tiff.exif_of(io.BytesIO(made(order, big, []))))
    assert set(plain) <= {270, 305}


@pytest.mark.parametrize("big", [False, True])
def test_a_file_cut_anywhere_is_no_error(big):
    whole = made("<", big, POINTER)
    for length in range(0, len(whole), 3):
        tiff.exif_of(io.BytesIO(whole[:length]))


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_floating_point_is_read_and_written(bits, channels):
    steps = np.linspace(0, 1, 24 * channels, dtype=f"f{bits // 8}").reshape(4, 6, channels).squeeze()
    file = io.BytesIO()
    colours = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    tifffile.imwrite(file, steps, photometric="minisblack" if channels == 1 else "rgb", **colours)
    photo = image.read(file.getvalue())
    expected = np.rint(np.atleast_3d(steps).astype(np.float64) * 65535)
    np.testing.assert_array_equal(photo.pixels[..., : min(channels, 3)], expected[..., :3])
    assert (photo.depth, photo.grey, photo.alpha is not None) == (16, channels == 1, channels == 4)
    data, lost = image.encode(photo.pixels, "a.tif", photo)
    with tifffile.TiffFile(io.BytesIO(data)) as written:
        assert written.pages[0].dtype == f"float{bits}"
        assert np.abs(written.asarray().astype(float) - steps).max() < (6e-4 if bits == 16 else 1e-5)
    assert lost == ()
    assert image.encode(photo.pixels, "a.png", photo)[1] == ("PNG holds no floating-point numbers",)


def test_values_beyond_the_range_are_clipped_if_they_are_few():
    values = np.linspace(0, 1, 20 * 30 * 3, dtype=np.float32).reshape(20, 30, 3)
    values[0, 0] = -0.5, 0.5, 7
    photo = image.read(floats(values))
    assert tuple(photo.pixels[0, 0]) == (0, 32768, 65535)
    assert photo.notes == ("floating-point values beyond 0 to 1 were clipped",)
    for others in (values * 255, np.where(values > 0.99, np.nan, values)):
        with pytest.raises(image.ImageError, match="scale them to 0 to 1 first, and remove what is no number"):
            image.read(floats(others))


@pytest.mark.parametrize("bits", [16, 32])
def test_other_pixels_are_written_as_floating_point_of_the_same_range(bits):
    photo = image.read(floats(np.full((4, 5, 3), 0.25, f"f{bits // 8}")))
    data, _ = image.encode(np.full((4, 5, 3), 204, np.uint8), "a.tif", photo)
    assert np.abs(tifffile.imread(io.BytesIO(data)) - 0.8).max() < 1e-3


def floats(values):
    file = io.BytesIO()
    tifffile.imwrite(file, values, photometric="rgb")
    return file.getvalue()


@pytest.mark.parametrize("big", [False, True])
def test_pages_of_a_file_cut_anywhere_are_an_error_of_one_line_or_none(big):
    file = io.BytesIO()
    tifffile.imwrite(file, np.stack([PIXELS, PIXELS]), bigtiff=big, photometric="rgb")
    whole = file.getvalue()
    for length in range(8, len(whole), 5):
        try:
            if pages.number(whole[:length], "a.tif", 1000) > 1:
                list(pages.alone(whole[:length]))
        except image.ImageError as error:
            assert str(error).startswith("a.tif is damaged or cut short")
    assert pages.number(whole, "a.tif", 1000) == 2
