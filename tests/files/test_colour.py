"""Colours that are described by numbers (CICP), not by a profile: files made by Pillow, pillow-heif and avifenc."""

import io
import struct
import zlib

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms

from idrestore.files import chromaticity, image
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
        profiles = [io.BytesIO(held) for held in (Image.open(io.BytesIO(data)).info["icc_profile"], P3)]
        there, usual = (
            ImageCms.profileToProfile(Image.fromarray(PIXELS), profile, ImageCms.createProfile("sRGB"))
            for profile in profiles
        )
        assert np.abs(np.asarray(there).astype(int) - np.asarray(usual)).max() <= 2


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
    assert image.read(made(10, 10)).notes == ("its colours (CICP 10/10) are not described in the result",)


def test_the_profile_of_a_png_gives_way_to_its_cicp_and_counts_before_all_else():
    """ISO/IEC 15948, 4.3."""
    profile = pyvips.Image.profile_load("srgb")
    photo = image.read(png(12, 13, icc_profile=profile))
    assert "the ICC profile was left out: by the standard the file's cICP counts" in photo.notes
    assert ImageCms.getProfileDescription(io.BytesIO(photo.metadata["icc-profile-data"])) == "Display P3\n"
    gamma = png_with((b"gAMA", struct.pack(">I", 70000)), icc_profile=profile)
    assert image.read(gamma).metadata["icc-profile-data"] == profile


def test_the_profile_of_an_avif_counts_before_its_numbers():
    """ISO/IEC 23000-22, 7.3.6.4; the numbers are those of another picture of the file, or say how it is stored."""
    made = Image.fromarray(PIXELS)
    file = io.BytesIO()
    made.save(file, "AVIF", icc_profile=P3)
    photo = image.read(file.getvalue())
    assert photo.metadata["icc-profile-data"] == P3
    assert photo.notes == ()


def png_with(*chunks: tuple[bytes, bytes], **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG", **options)
    held = b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    return file.getvalue()[:33] + held + file.getvalue()[33:]


SRGB_CHROMATICITIES = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


@pytest.mark.parametrize(
    "chunks",
    [
        [(b"gAMA", struct.pack(">I", 45455))],
        [(b"gAMA", struct.pack(">I", 45455)), (b"cHRM", SRGB_CHROMATICITIES)],
        [(b"gAMA", bytes(4))],
        [(b"gAMA", b"")],
        [(b"cHRM", bytes(32))],
        [(b"cHRM", struct.pack(">8I", *[30000] * 8))],
        [(b"sRGB", b"\x09")],
    ],
)
def test_numbers_that_are_srgb_or_nonsense_need_no_word(chunks):
    photo = image.read(png_with(*chunks))
    assert photo.notes == ()
    assert "icc-profile-data" not in photo.metadata


def test_greys_have_a_profile_of_greys_where_there_is_room():
    profile = chromaticity.profile(chromaticity.measured(0.7, ()), grey=True)
    photo = image.Photo(PIXELS, grey=True, metadata={"icc-profile-data": profile})
    for name in ("a.jpg", "a.png", "a.tif"):
        data, lost = image.encode(PIXELS, name, photo)
        assert Image.open(io.BytesIO(data)).info["icc_profile"] == profile
        assert lost == ()
    data, lost = image.encode(PIXELS, "a.webp", photo)
    assert lost == ("the profile of greys was not kept: WebP holds colours",)
    assert "icc_profile" not in Image.open(io.BytesIO(data)).info


def test_numbers_of_the_picture_that_is_shown_count():
    """Of an AVIF with transparency the channel has properties of its own."""
    file = io.BytesIO()
    Image.fromarray(np.dstack([PIXELS, PIXELS[..., 0]])).save(file, "AVIF", quality=90)
    data = file.getvalue()
    place = data.index(b"nclx") + 4
    assert image.read(data[:place] + struct.pack(">HH", 12, 13) + data[place + 4 :]).notes
