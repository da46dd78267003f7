"""EXIF in TIFF files, against files made by tifffile and cut by us."""

import io
import struct

import numpy as np
import pytest
import tifffile

from idrestore.files import image, tiff

PIXELS = np.full((6, 5, 3), 90, np.uint8)
PRIVATE = 65000  # tifffile writes no EXIF pointer, so a private tag is renamed
POINTER = [(PRIVATE, "I", 1, 8, True)]


def made(order, big, tags):
    file = io.BytesIO()
    tifffile.imwrite(file, PIXELS, byteorder=order, bigtiff=big, photometric="rgb", extratags=tags)
    return file.getvalue().replace(*(struct.pack(order + "H", tag) for tag in (PRIVATE, tiff.EXIF_POINTER)))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_exif_is_seen_where_there_is_some(order, big):
    assert tiff.holds_exif(io.BytesIO(made(order, big, POINTER)))
    assert not tiff.holds_exif(io.BytesIO(made(order, big, [])))


@pytest.mark.parametrize("big", [False, True])
def test_a_file_cut_anywhere_is_no_error(big):
    whole = made("<", big, POINTER)
    for length in range(0, len(whole), 3):
        tiff.holds_exif(io.BytesIO(whole[:length]))


def test_only_a_tiff_with_exif_is_said_to_lose_it(tmp_path):
    for name, tags in (("with.tif", POINTER), ("without.tif", [])):
        (tmp_path / name).write_bytes(made("<", False, tags))
        photo = image.read(tmp_path / name)
        assert photo.notes == (("EXIF in TIFF is not read, and lost",) if tags else ())
        assert image.write(photo.pixels, tmp_path / f"out-{name}", photo) == ()
