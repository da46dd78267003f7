"""EXIF in TIFF files, against files made by tifffile and cut by us."""

import io
import struct

import numpy as np
import pytest
import tifffile

from idrestore.files import exif, tiff

PIXELS = np.full((6, 5, 3), 90, np.uint8)
PRIVATE = 65000  # tifffile writes no EXIF pointer, so a private tag is renamed
POINTER = [(PRIVATE, "I", 1, 8, True)]


def made(order, big, tags):
    file = io.BytesIO()
    tifffile.imwrite(file, PIXELS, byteorder=order, bigtiff=big, photometric="rgb", extratags=tags)
    return file.getvalue().replace(*(struct.pack(order + "H", tag) for tag in (PRIVATE, tiff.EXIF_POINTER)))


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
