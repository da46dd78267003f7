"""How results are encoded: as the files that they came from, which Pillow makes and judges."""

import io

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from idrestore.files import image

SMOOTH = np.add.outer(np.arange(160), np.arange(224)) / 2
NOISE = np.random.default_rng(0).normal(0, 6, (160, 224, 3))
PIXELS = np.clip(np.stack([SMOOTH, SMOOTH[::-1], 200 - SMOOTH], axis=2) + NOISE, 0, 255).astype(np.uint8)
CHROMA = ["4:4:4", "4:2:2", "4:2:0"]


def made(kind: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind, **options)
    return file.getvalue()


def again(data: bytes, name: str, quality: int | None = None) -> bytes:
    photo = image.read(data)
    return image.encode(photo.pixels, name, photo, quality)[0]


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("sampling", [0, 1, 2], ids=CHROMA)
@pytest.mark.parametrize("quality", [75, 80, 87, 92, 96])
def test_a_jpeg_is_encoded_as_it_was(quality, sampling, progressive):
    before = made("JPEG", quality=quality, subsampling=sampling, progressive=progressive)
    assert image.read(before).encoding == image.Encoding(quality, CHROMA[sampling], progressive)
    after = again(before, "a.jpg")
    assert 0.9 < len(after) / len(before) < 1.1
    first, second = (Image.open(io.BytesIO(data)) for data in (before, after))
    assert JpegImagePlugin.get_sampling(second) == JpegImagePlugin.get_sampling(first) == sampling
    assert second.info.get("progressive") == first.info.get("progressive")
    assert second.quantization == first.quantization


def test_a_poor_jpeg_is_not_made_poor_again():
    assert image.read(again(made("JPEG", quality=20), "a.jpg")).encoding.quality == 75


def test_a_given_quality_counts():
    data = made("JPEG", quality=60)
    assert image.read(again(data, "a.jpg", 92)).encoding.quality == 92


def test_tables_of_no_standard_are_taken_for_the_nearest():
    flat = made("JPEG", qtables=[[9] * 64, [9] * 64])
    assert 85 < image.read(flat).encoding.quality < 95


def test_another_format_is_encoded_as_ever():
    assert image.read(again(made("PNG"), "a.jpg")).encoding == image.Encoding(95)
    assert image.read(again(made("WEBP"), "a.jpg")).encoding.quality == 95


@pytest.mark.parametrize("lossless", [False, True])
def test_lossless_webp_stays_lossless(lossless):
    data = again(made("WEBP", lossless=lossless), "a.webp")
    assert (b"VP8L" in data[:64]) == lossless
    if lossless:
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), PIXELS)
        assert b"VP8L" not in again(made("WEBP", lossless=True), "a.webp", 80)[:64]
