"""Files with more in them than a picture, made by tifffile and Pillow or by hand: a note names what was left out."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from idrestore.files import image

SAMPLES = np.random.default_rng(0).integers(0, 65536, (20, 30, 5), dtype=np.uint16)
PIXELS = (SAMPLES[..., :3] >> 8).astype(np.uint8)
GAIN_MAP, VIDEO = "the HDR gain map was left out", "the video of a motion photo was left out"
ANIMATION = "only the first frame of an animation was read"
SAMSUNG = "Samsung's data behind the picture were left out"
MP4 = b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + b"\0\0\0\x10mdat12345678"


def tiff(samples: np.ndarray, extras: list[str], colours: str = "rgb") -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, samples, photometric=colours, extrasamples=extras, metadata=None)
    return file.getvalue()


def saved(kind: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("extras", [["unspecified"], ["unspecified"] * 2])
def test_infrared_is_no_transparency(extras):
    photo = image.read(tiff(SAMPLES[..., : 3 + len(extras)], extras))
    assert photo.alpha is None
    np.testing.assert_array_equal(photo.pixels, SAMPLES[..., :3])
    assert [note for note in photo.notes if "infrared" in note]
    assert Image.open(io.BytesIO(image.thumbnail(tiff(SAMPLES[..., :4], ["unspecified"]), 8))).mode == "RGB"


def test_infrared_beside_grey():
    photo = image.read(tiff(SAMPLES[..., :2], ["unspecified"], "minisblack"))
    assert photo.alpha is None and photo.grey
    np.testing.assert_array_equal(photo.pixels[..., 0], SAMPLES[..., 0])


@pytest.mark.parametrize("extras", [["unassalpha"], ["unassalpha", "unspecified"], ["unspecified", "unassalpha"]])
def test_transparency_stays_with_or_without_infrared(extras):
    photo = image.read(tiff(SAMPLES[..., : 3 + len(extras)], extras))
    np.testing.assert_array_equal(photo.pixels, SAMPLES[..., :3])
    np.testing.assert_array_equal(photo.alpha, SAMPLES[..., 3 + extras.index("unassalpha")])
    assert len(photo.notes) == len(extras) - 1


@pytest.mark.parametrize("kind", ["PNG", "WebP", "GIF", "AVIF"])
def test_animations_are_called_so(kind):
    others = [Image.fromarray(255 - PIXELS)]
    assert image.read(saved(kind, save_all=True, append_images=others)).notes == (ANIMATION,)
    assert image.read(saved(kind)).notes == ()


def test_mpo_has_other_pictures():
    data = saved("MPO", save_all=True, append_images=[Image.fromarray(255 - PIXELS)])
    assert image.read(data).notes == ("other pictures in the file were left out",)


@pytest.mark.parametrize(
    ("said", "note"),
    [
        (b'hdrgm:Version="1.0"', GAIN_MAP),
        (b'HDRGainMap:HDRGainMapVersion="65536"', GAIN_MAP),
        (b'GCamera:MotionPhoto="1"', VIDEO),
        (b'GCamera:MicroVideo="1"', VIDEO),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "WebP"])
def test_xmp_tells_of_gain_map_and_video(kind, said, note):
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description ' + said + b"/></x:xmpmeta>"
    assert image.read(saved(kind, xmp=packet)).notes == (note,)


@pytest.mark.parametrize(
    ("behind", "notes"),
    [
        (b"", ()),
        (bytes(100), ()),
        (MP4, (VIDEO,)),
        (bytes((1 << 20) - 12) + MP4, (VIDEO,)),
        (b"MotionPhoto_Data" + MP4 + b"SEFH" + bytes(20) + b"SEFT", (VIDEO, SAMSUNG)),
        (b"SEFH" + bytes(20) + b"SEFT", (SAMSUNG,)),
    ],
    ids=["nothing", "padding", "video", "far", "samsung's video", "samsung"],
)
def test_what_phones_put_behind_a_jpeg_is_named(behind, notes):
    assert image.read(saved("JPEG") + behind).notes == notes


def test_the_gain_map_of_an_avif_is_named():
    data = saved("AVIF", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    start = data.index(b"Exif", data.index(b"infe"))
    assert GAIN_MAP not in image.read(data).notes
    assert GAIN_MAP in image.read(data[:start] + b"tmap" + data[start + 4 :]).notes
