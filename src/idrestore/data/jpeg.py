"""What JPEG compression does to a photo, in tensors, so that it runs where the training does (ITU-T T.81)."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from idrestore.files.jpeg import CHROMINANCE, LUMINANCE, quantisation

YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))  # JFIF


def jpeg(image: Tensor, quality: int, chroma_subsampling: bool) -> Tensor:
    """Return what a baseline JPEG of `quality` 1-100 gives back, on the 8-bit grid (ITU-T T.81); (3, H, W)."""
    return jpegs(image[None], [quality], chroma_subsampling)[0]


def jpegs(images: Tensor, qualities: Sequence[int], chroma_subsampling: bool) -> Tensor:
    """Return what baseline JPEGs, each of its own quality, give back; (n, 3, H, W) to the same.

    Chroma is halved by the mean of 2x2 and enlarged linearly, as libjpeg does by default.
    """
    for quality in qualities:
        if not 1 <= quality <= 100:
            raise ValueError(f"quality is {quality}; expected 1 to 100")
    height, width = images.shape[-2:]
    ycc = torch.einsum("ij,njhw->nihw", images.new_tensor(YCBCR), images * 255).round()
    ycc = F.pad(ycc, (0, -width % 16, 0, -height % 16), mode="replicate")
    luma = _requantise(ycc[:, :1] - 128, qualities, LUMINANCE)
    if chroma_subsampling:
        half = _requantise(F.avg_pool2d(ycc[:, 1:], 2).round(), qualities, CHROMINANCE)
        half = half[..., : (height + 1) // 2, : (width + 1) // 2]
        chroma = F.interpolate(half, scale_factor=2.0, mode="bilinear").round()
    else:
        chroma = _requantise(ycc[:, 1:], qualities, CHROMINANCE)
    ycc = torch.cat((luma[..., :height, :width] + 128, chroma[..., :height, :width]), dim=1)
    inverse = torch.linalg.inv(torch.tensor(YCBCR, dtype=torch.float64)).to(images)
    return torch.einsum("ij,njhw->nihw", inverse, ycc).round().clamp(0, 255) / 255


def _requantise(planes: Tensor, qualities: Sequence[int], table: str) -> Tensor:
    """Round the DCT coefficients of 8x8 blocks; (n, C, 8k, 8m) to the same, whole numbers."""
    number, channels, height, width = planes.shape
    dct = planes.new_tensor(_dct_matrix())
    steps = planes.new_tensor(np.stack([quantisation(quality, table) for quality in qualities])).view(-1, 1, 1, 1, 8, 8)
    blocks = planes.view(number, channels, height // 8, 8, width // 8, 8).transpose(3, 4)  # (n, C, k, m, 8, 8)
    coefficients = ((dct @ blocks @ dct.T) / steps).round() * steps
    return (dct.T @ coefficients @ dct).transpose(3, 4).reshape(planes.shape).round()


@lru_cache
def _dct_matrix() -> np.ndarray:
    """Return the orthonormal 8-point DCT-II, frequencies in rows (T.81, A.3.3)."""
    frequency, position = np.mgrid[:8, :8]
    scale = np.where(frequency == 0, math.sqrt(1 / 8), 0.5)
    return np.asarray(scale * np.cos((2 * position + 1) * frequency * np.pi / 16))
