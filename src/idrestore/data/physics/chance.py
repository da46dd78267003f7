"""Draws that everything synthesised shares: all chance comes from a NumPy generator."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Range = tuple[float, float]
"""What strength 0 and strength 1 stand for, or the two ends of a uniform draw."""

REFERENCE_SIDE = 480  # short side, px, beyond which streaks and kernels grow with the photo


def unit(image: Tensor) -> float:
    """Return by how much streaks and kernels grow on this photo, at least 1."""
    return max(1.0, min(image.shape[-2:]) / REFERENCE_SIDE)


def between(ends: Range, strength: float) -> float:
    """Return the value at `strength` on a straight line between the two ends."""
    return ends[0] + (ends[1] - ends[0]) * strength


def log_between(ends: Range, strength: float) -> float:
    """Return the value at `strength` on a logarithmic scale between the two ends."""
    return float(ends[0] * (ends[1] / ends[0]) ** strength)


def generator(image: Tensor, rng: np.random.Generator) -> torch.Generator:
    """Return a generator on the image's device, seeded from `rng`."""
    return torch.Generator(image.device).manual_seed(int(rng.integers(2**62)))


def normal(shape: tuple[int, ...], like: Tensor, rng: np.random.Generator) -> Tensor:
    """Draw standard normal values on the device of `like`."""
    return torch.randn(shape, generator=generator(like, rng), device=like.device, dtype=like.dtype)


def field(like: Tensor, cells: int, rng: np.random.Generator) -> Tensor:
    """Draw a smooth random plane of about unit variance, `cells` hills wide; (1, H, W)."""
    coarse = 1.5 * normal((1, 1, cells, cells), like, rng)
    size = (like.shape[-2], like.shape[-1])
    return F.interpolate(coarse, size=size, mode="bicubic", align_corners=True)[0]
