"""Blur kernels: the path of a shaken camera, a defocus disc, and convolution with them."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

WANDER = 1.4  # how far the hand strays from its first direction, at most
TRAJECTORY_STEPS = 256  # several per px, even for the longest


def trajectory(rng: np.random.Generator) -> np.ndarray:
    """Draw the path of a shaken camera, its mean at 0 and its extent 1; (T, 2), even in time.

    The velocity is a random walk about a first direction: a mass pushed by small impulses (after
    the random trajectories of Boracchi & Foi 2012).
    """
    heading = rng.uniform(0, 2 * math.pi)
    walk = rng.normal(size=(TRAJECTORY_STEPS, 2)).cumsum(0) / math.sqrt(TRAJECTORY_STEPS)
    velocity = np.array((math.cos(heading), math.sin(heading))) + WANDER * rng.random() * walk
    path = velocity.cumsum(axis=0)
    return np.asarray((path - path.mean(axis=0)) / np.linalg.norm(np.ptp(path, axis=0)))


def rasterise(paths: np.ndarray) -> np.ndarray:
    """Share each instant of paths in px among its four pixels; (n, T, 2) to (n, k, k), sum 1."""
    radius = math.ceil(np.abs(paths).max()) + 1
    kernels = np.zeros((len(paths), 2 * radius + 1, 2 * radius + 1))
    corner = np.floor(paths).astype(int)
    part = paths - corner
    number = np.arange(len(paths))[:, None]
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = np.abs(1 - dy - part[..., 0]) * np.abs(1 - dx - part[..., 1])
        row, column = corner[..., 0] + dy + radius, corner[..., 1] + dx + radius
        np.add.at(kernels, (number, row, column), weight / paths.shape[1])
    return kernels


def disc(radius: float) -> np.ndarray:
    """Return a disc of `radius` px with an edge one pixel soft; (1, k, k), sum 1."""
    reach = math.ceil(radius) + 1
    offset = np.arange(-reach, reach + 1)
    soft = np.clip(radius + 0.5 - np.hypot(offset[:, None], offset), 0, 1)[None]
    return np.asarray(soft / soft.sum())


def convolve(image: Tensor, kernels: Tensor) -> Tensor:
    """Convolve under replicated borders; (3, H, W), (n, 1 or 3, odd, odd) to (n, 3, H, W)."""
    rows, columns = kernels.shape[-2:]
    down, right = rows // 2, columns // 2
    padded = F.pad(image, (right, right, down, down), mode="replicate")
    sides = (padded.shape[-2], padded.shape[-1])
    spectrum = torch.fft.rfft2(padded) * torch.fft.rfft2(kernels, s=sides)
    circular: Tensor = torch.fft.irfft2(spectrum, s=sides)
    return circular[..., rows - 1 :, columns - 1 :]
