"""How close two pictures are: PSNR and SSIM by scikit-image, and a light PSNR of tensors.

Every number of this project's tables comes from `psnr` and `ssim`: RGB, every pixel they are given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from idrestore.extras import how_to_install

if TYPE_CHECKING:
    from torch import Tensor

    Pixels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float64]

PEAKS = {"uint8": 255, "uint16": 65535, "float64": 1}
"""The largest value of a picture of each type that is compared."""
WINDOW = 7
"""Side of SSIM's uniform window, scikit-image's default."""
MOST = 60.0
"""PSNR that stands for no difference in means, dB."""


def psnr(a: Pixels, b: Pixels) -> float:
    """Return the peak signal-to-noise ratio of two pictures in dB; infinite if they are identical.

    Both are (H, W, 3) and uint8, or both uint16, the peak being the type's largest value, or both
    float64, the peak being 1. The squared error is averaged over all pixels and channels. Raise
    `ValueError` if shape or type differ.

    >>> black, grey = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 51, np.uint8)
    >>> round(psnr(black, grey), 2)  # 20 log10(255 / 51)
    13.98
    """
    peak = _peak(a, b)
    if np.array_equal(a, b):
        return float("inf")
    return float(scikit_image().peak_signal_noise_ratio(a, b, data_range=peak))


def ssim(a: Pixels, b: Pixels) -> float:
    """Return the structural similarity of two pictures, 1 if they are identical.

    scikit-image's settings: a uniform window of 7x7, K1 = 0.01, K2 = 0.03, sample covariance, the
    mean of the three channels. (Wang et al. 2004 has a Gaussian window; its numbers are not
    comparable.) Pictures as in `psnr`. NaN if a side is shorter than the window: a smaller one
    would give a number that compares with no other.

    >>> stripes = np.tile(np.array([0, 255], np.uint8), (8, 4))[..., None].repeat(3, axis=2)
    >>> ssim(stripes, stripes), ssim(stripes, 255 - stripes) < 0, ssim(stripes[:6], stripes[:6])
    (1.0, True, nan)
    """
    peak = _peak(a, b)
    if min(a.shape[:2]) < WINDOW:
        return float("nan")
    similarity = scikit_image().structural_similarity
    return float(similarity(a, b, win_size=WINDOW, channel_axis=2, data_range=peak))


def tone_matched(picture: Pixels, clean: Pixels) -> NDArray[np.float64]:
    """Return a picture in [0, 1] with the brightness of the clean one, as far as a cubic curve a channel can give it.

    Pictures as in `psnr`. The curves fit the clean picture best by least squares. What then differs is detail, not
    brightness, contrast or a colour cast, which are a matter of taste.

    >>> clean = np.arange(0, 192, dtype=np.uint8).reshape(8, 8, 3)
    >>> bool(np.allclose(tone_matched(clean // 2 + 90, clean // 2), clean // 2 / 255))
    True
    """
    peak = _peak(picture, clean)
    channels = [
        _fitted(picture[..., channel] / peak, clean[..., channel] / peak) for channel in range(picture.shape[2])
    ]
    return np.stack(channels, axis=2).clip(0, 1)


def psnr_batch(restored: Tensor, clean: Tensor) -> Tensor:
    """Return the PSNR in dB of each picture of a batch, (B,), for training logs.

    Both are (B, C, H, W) float with peak 1, and are compared as they are, unclamped.
    """
    error = (restored - clean).square().mean(dim=(1, 2, 3))  # (B,)
    return -10 * error.log10()


def _fitted(values: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cubic of values that is closest to those wanted; of all alike the mean."""
    degree = min(3, len(np.unique(values)) - 1)
    return np.asarray(np.polynomial.Polynomial.fit(values.ravel(), wanted.ravel(), degree)(values))


def _peak(a: Pixels, b: Pixels) -> int:
    """Return the largest value of the pictures' common type, or raise `ValueError`."""
    same = a.shape == b.shape and a.dtype == b.dtype
    if not same or a.ndim != 3 or a.shape[2] != 3 or a.dtype.name not in PEAKS:
        raise ValueError(
            f"expected two (H, W, 3) pictures of one size, both uint8, both uint16 or both float64; "
            f"got {a.shape} {a.dtype} and {b.shape} {b.dtype}"
        )
    return PEAKS[a.dtype.name]


def scikit_image() -> Any:
    """Return what measures; raise `ImportError` where it is not installed, in words."""
    try:
        import skimage.metrics
    except ImportError as error:
        raise ImportError(f"PSNR and SSIM need scikit-image: {how_to_install('train')}") from error
    return skimage.metrics
