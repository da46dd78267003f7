"""Colours that are described by numbers (CICP), not by a profile: files made by Pillow, pillow-heif and avifenc."""

import io
import struct
import zlib

import numpy as np
import pytest
import pyvips
from PIL import Image

from idrestore.files import image
from idrestore.files.image import ImageError

PIXELS = np.stack(np.mgrid[:24, :32], axis=2).astype(np.uint8)[..., [0, 1, 1]] * 6
P3 = pyvips.Image.profile_load("p3")


def png(primaries: int, transfer: int, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG", **options)
    content = b"cICP" + bytes((primaries, transfer, 0, 1))
    chunk = struct.pack(">I", 4) + content + struct.pack(">I", zlib.crc32(content))
    return file.getvalue()[:33] + chunk + file.getvalue()[33:]


def avif(primaries: int, transfer: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "AVIF", quality=90)
    before = file.getvalue()
    place = before.index(b"nclx") + 4
    return before[:place] + struct.pack(">HH", primaries, transfer) + before[place + 4 :]


@pytest.mark.parametrize("made", [png, avif])
def test_display_p3_becomes_a_profile_that_every_format_holds(made):
    photo = image.read(made(12, 13))
    assert photo.notes == ("its colours, Display P3, are described by a profile",)
    for name in ("a.jpg", "a.png", "a.webp", "a.tif"):
        data, _ = image.encode(photo.pixels, name, photo)
        assert Image.open(io.BytesIO(data)).info["icc_profile"] == P3


@pytest.mark.parametrize("made", [png, avif])
@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused_with_a_line(made, transfer, name):
    with pytest.raises(ImageError, match=rf"is HDR \({name}\), which is not restored: save it as SDR first"):
        image.read(made(9, transfer))


@pytest.mark.parametrize("made", [png, avif])
def test_srgb_needs_no_word(made):
    photo = image.read(made(1, 13))
    assert photo.notes == ()
    assert "icc-profile-data" not in photo.metadata


@pytest.mark.parametrize("made", [png, avif])
def test_what_is_lost_is_said(made):
    assert image.read(made(9, 14)).notes == ("its colours (CICP 9/14) are not described in the result",)


def test_a_profile_beside_it_stays():
    profile = pyvips.Image.profile_load("srgb")
    assert image.read(png(12, 13, icc_profile=profile)).metadata["icc-profile-data"] == profile
