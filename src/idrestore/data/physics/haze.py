"""Haze: light scattered by the air, by a depth that is invented along the photo's edges."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from idrestore import guided_filter
from idrestore.data.physics.chance import Range, field, log_between

HAZE_BETA: Range = (0.15, 1.7)  # per unit of depth, log scale: 25 to 10 dB
HAZE_AIRLIGHT: Range = (0.7, 1.0)  # as in RESIDE
HAZE_TINT = 0.02  # standard deviation of the airlight's colour
HAZE_COARSE_SIDE = 160  # px; depth is made small and enlarged along the photo's edges
HAZE_GUIDE_WINDOW, HAZE_GUIDE_FLAT = 17, 1e-3  # px; variance below which an area is flat


def haze(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Hide the scene behind air by a depth that follows the photo's edges."""
    depth = depth_of(image.mean(dim=0, keepdim=True), rng)
    airlight = (rng.uniform(*HAZE_AIRLIGHT) + rng.normal(0, HAZE_TINT, 3)).clip(0, 1)
    return scatter(image, depth, log_between(HAZE_BETA, strength), image.new_tensor(airlight))


def scatter(image: Tensor, depth: Tensor, beta: float, airlight: Tensor) -> Tensor:
    """Return J·t + A·(1 − t), t = exp(−β·d) (He et al. 2009), on encoded values as in RESIDE."""
    transmission = torch.exp(-beta * depth)
    return image * transmission + airlight[:, None, None] * (1 - transmission)


def depth_of(luminance: Tensor, rng: np.random.Generator) -> Tensor:
    """Invent a depth of mean about 1 that follows a photo's edges; (1, H, W) to the same."""
    height, width = luminance.shape[-2:]
    scale = min(0.5, HAZE_COARSE_SIDE / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    guide = F.interpolate(luminance[None], size=size, mode="area")[0]
    values = _scene(guide, rng)
    slope, offset = guided_filter.fit(guide[None], values[None], HAZE_GUIDE_WINDOW, HAZE_GUIDE_FLAT, (height, width))
    return (slope[0] * luminance + offset[0]).clamp(min=0.05)


def _scene(guide: Tensor, rng: np.random.Generator) -> Tensor:
    """Return a rough depth: ground that rises, hills, bright parts farther, things in front."""
    up = torch.linspace(1, -1, guide.shape[-2], device=guide.device)[:, None]
    right = torch.linspace(-1, 1, guide.shape[-1], device=guide.device)
    depth = 1 + rng.uniform(0, 0.8) * (up + rng.normal(0, 0.3) * right)
    depth = depth + rng.uniform(0, 0.2) * field(guide, int(rng.integers(2, 5)), rng)
    depth = depth + rng.uniform(-0.2, 0.8) * (guide - guide.mean())
    for _ in range(int(rng.integers(0, 3))):  # they stand on the lower border
        top, centre, half = rng.uniform(-0.8, 0.5), rng.uniform(-1, 1), rng.uniform(0.1, 0.5)
        inside = (up < top) & ((right - centre).abs() < half)
        depth = torch.where(inside, rng.uniform(0.5, 1) * depth, depth)
    return depth.clamp(min=0)
