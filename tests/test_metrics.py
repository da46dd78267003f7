import math
import re
import sys

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from idrestore.data.degrade import gaussian_noise, mix
from idrestore.data.pairs import read_8_bit, to_pixels
from idrestore.extras import how_to_install
from idrestore.metrics import WINDOW, psnr, psnr_batch, ssim, tone_matched


def picture(height=13, width=11, dtype=np.uint8, seed=0):
    peak = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, peak, (height, width, 3), dtype, endpoint=True)


def psnr_by_loops(a, b, peak):
    total = 0.0
    for index in np.ndindex(a.shape):
        total += (float(a[index]) - float(b[index])) ** 2
    return 10 * math.log10(peak**2 / (total / a.size))


def ssim_by_loops(a, b, peak):
    """Wang et al. 2004, eq. 13: uniform window, unbiased (co)variances, mean over all windows."""
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    values = []
    for channel in range(3):
        for top in range(a.shape[0] - WINDOW + 1):
            for left in range(a.shape[1] - WINDOW + 1):
                window = np.s_[top : top + WINDOW, left : left + WINDOW, channel]
                x, y = a[window].astype(float).ravel(), b[window].astype(float).ravel()
                (xx, xy), (_, yy) = np.cov(x, y)
                mx, my = x.mean(), y.mean()
                luminance = (2 * mx * my + c1) / (mx**2 + my**2 + c1)
                values.append(luminance * (2 * xy + c2) / (xx + yy + c2))
    return np.mean(values)


@pytest.mark.parametrize(("dtype", "peak"), [(np.uint8, 255), (np.uint16, 65535)])
def test_agrees_with_slow_definitions(dtype, peak):
    a, noise = picture(dtype=dtype), picture(dtype=dtype, seed=1)
    b = (0.8 * a + 0.2 * noise).astype(dtype)
    assert psnr(a, b) == pytest.approx(psnr_by_loops(a, b, peak), abs=1e-9)
    assert ssim(a, b) == pytest.approx(ssim_by_loops(a, b, peak), abs=1e-9)
    assert 0.5 < ssim(a, b) < 0.99  # a comparison of two constants would prove nothing


def test_identical_pictures():
    a = picture()
    assert psnr(a, a.copy()) == math.inf
    assert ssim(a, a.copy()) == 1


def test_every_pixel_counts():
    a = picture(9, 9)
    for corner in ((0, 0), (0, 8), (8, 0), (8, 8)):
        b = a.copy()
        b[corner] ^= 1
        assert psnr(a, b) == pytest.approx(10 * math.log10(255**2 * 81))


@pytest.mark.parametrize(("height", "width"), [(6, 9), (9, 6), (1, 1)])
def test_ssim_is_undefined_below_its_window(height, width):
    a = picture(height, width)
    assert math.isnan(ssim(a, a))
    assert psnr(a, a) == math.inf
    assert ssim(picture(7, 7), picture(7, 7)) == 1


@pytest.mark.parametrize("metric", [psnr, ssim])
@pytest.mark.parametrize(
    "other",
    [
        picture(12, 11),
        picture(dtype=np.uint16),
        picture()[..., 0],
        picture()[..., :1],
        picture() / 255,
    ],
    ids=["size", "type", "grey", "channels", "float"],
)
def test_refuses_what_does_not_compare(metric, other):
    with pytest.raises(ValueError, match=r"expected two .*got \(13, 11, 3\) uint8 and"):
        metric(picture(), other)
    with pytest.raises(ValueError, match="expected two"):
        metric(other, picture())


def test_only_exact_floats_are_compared():
    a, b = picture() / 255, picture(seed=1) / 255
    assert psnr(a, b) == pytest.approx(psnr(picture(), picture(seed=1)), abs=1e-9)
    assert ssim(a, b) == pytest.approx(ssim(picture(), picture(seed=1)), abs=1e-9)
    with pytest.raises(ValueError, match="float32"):
        psnr(a.astype(np.float32), b.astype(np.float32))


@pytest.mark.parametrize("name", ["noise15", "blur", "low_light"])
def test_agrees_with_scikit_image_on_photos(photo_folder, name):
    """Its own defaults, called here directly: a second path to the same numbers."""
    clean = read_8_bit(photo_folder / "photo0.png")
    planes = torch.from_numpy(clean).permute(2, 0, 1) / 255
    made = gaussian_noise(planes, 15, 0) if name == "noise15" else mix(planes, {name: 0.5}, 0)
    photo = to_pixels(made)
    assert psnr(photo, clean) == pytest.approx(peak_signal_noise_ratio(clean, photo), abs=1e-4)
    assert ssim(photo, clean) == pytest.approx(structural_similarity(clean, photo, channel_axis=2), abs=1e-4)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_names_the_missing_extra(metric, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.metrics", None)
    with pytest.raises(ImportError, match=re.escape(how_to_install("train"))):
        metric(picture(), picture(seed=1))


def test_psnr_batch_is_psnr_of_each():
    a, b = ([picture(seed=s) for s in seeds] for seeds in ((0, 1, 2), (3, 4, 2)))
    tensors = [torch.from_numpy(np.stack(x)).permute(0, 3, 1, 2) / 255 for x in (a, b)]
    expected = [psnr(x, y) for x, y in zip(a, b, strict=True)]
    assert psnr_batch(*tensors).tolist() == pytest.approx(expected, rel=1e-5)
    assert expected[2] == math.inf


def test_a_matched_tone_is_the_best_cubic_of_each_channel():
    clean, other = picture(seed=1), picture(seed=2)
    for channel in range(3):
        values = other[..., channel].ravel() / 255
        powers = np.stack([values**power for power in range(4)], axis=1)
        solution = np.linalg.lstsq(powers, clean[..., channel].ravel() / 255, rcond=None)[0]
        expected = (powers @ solution).reshape(clean.shape[:2]).clip(0, 1)
        np.testing.assert_allclose(tone_matched(other, clean)[..., channel], expected, atol=1e-9)


def test_a_flat_picture_gets_the_mean_and_no_warning():
    clean = picture()
    flat = np.full_like(clean, 7)
    expected = np.broadcast_to(clean.mean(axis=(0, 1)) / 255, clean.shape)
    np.testing.assert_allclose(tone_matched(flat, clean), expected)
