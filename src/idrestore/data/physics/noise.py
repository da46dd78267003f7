"""Noise: white, or a camera's, which grows with the light and is smoothed by demosaicking."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from idrestore.data.physics.chance import Range, log_between, normal
from idrestore.data.physics.curves import encoded, linear_light

NOISE_SIGMA: Range = (3.0, 55.0)  # 8-bit units, log scale; the benchmark's 15, 25 and 50 are inside
NOISE_CAMERA_SIGMA: Range = (2.0, 35.0)  # at mid-grey, log scale; CC15 about 5
NOISE_IID = 0.45  # share of plain Gaussian draws, the benchmark's own noise
NOISE_SMOOTHED = 0.75  # of the rest: share with the correlation that demosaicking leaves
NOISE_SHOT: Range = (0.85, 1.0)  # share of the variance at mid-grey that grows with the signal
MID_GREY, MID_GREY_SLOPE = 0.2, 1.13  # linear light, and the slope of the sRGB curve there
LUMA_SMOOTHING: Range = (0.3, 0.8)  # standard deviation of the low-pass kernel, px
CHROMA_SMOOTHING: Range = (0.7, 3.0)  # px; cameras smooth colour more: blotches (CC15: 1.5 to 3)
CHROMA_SHARE: Range = (0.3, 1.0)  # amplitude of the colour noise beside that of the grey noise
NOISE_CONTRAST: Range = (0.0, 1.0)  # cameras' tone curves flatten shadows and lights, and noise with them


def noise(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Add white Gaussian noise, or a camera's: signal-dependent, and smoothed in some draws."""
    if rng.random() < NOISE_IID:
        sigma = log_between(NOISE_SIGMA, strength) / 255
        return image + sigma * normal(image.shape, image, rng)
    sigma = log_between(NOISE_CAMERA_SIGMA, strength) / 255
    smoothed = rng.random() < NOISE_SMOOTHED
    plane = camera_plane(image, rng) if smoothed else normal(image.shape, image, rng)
    shot, variance = rng.uniform(*NOISE_SHOT), (sigma / MID_GREY_SLOPE) ** 2
    noisy = signal_dependent(image, shot * variance / MID_GREY, (1 - shot) * variance, plane)
    contrast = rng.uniform(*NOISE_CONTRAST)
    slope = 1 + contrast * (6 * image * (1 - image) - 1)  # of the curve (1 - c)·v + c·(3v² - 2v³)
    return image + slope * (noisy - image)


def signal_dependent(image: Tensor, gain: float, floor: float, plane: Tensor) -> Tensor:
    """Add `plane` times √(gain·light + floor) to the linear light (Foi et al. 2008, Sec. II)."""
    light = linear_light(image)
    return encoded(light + (gain * light + floor).sqrt() * plane)


def camera_plane(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Draw noise of unit variance as cameras leave it: smoothed, its colour more than its grey."""
    margin = 8
    height, width = (side + 2 * margin for side in image.shape[-2:])
    luma, chroma = rng.uniform(*LUMA_SMOOTHING), rng.uniform(*CHROMA_SMOOTHING)
    offsets = np.arange(-margin, margin + 1)
    taps = np.exp(-0.5 * (offsets / np.array([[luma], [chroma], [chroma]])) ** 2)
    taps /= np.linalg.norm(taps, axis=1, keepdims=True)  # unit energy keeps the variance
    kernel = image.new_tensor(taps)
    rows = F.conv2d(normal((1, 3, height, width), image, rng), kernel[:, None, None], groups=3)
    opponents = F.conv2d(rows, kernel[:, None, :, None], groups=3)[0]
    share = rng.uniform(*CHROMA_SHARE)
    axes = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]]) / np.sqrt([[3], [2], [6]])  # orthonormal
    axes = axes * [[1], [share], [share]] / math.sqrt((1 + 2 * share**2) / 3)
    return torch.einsum("ij,ihw->jhw", image.new_tensor(axes), opponents)
