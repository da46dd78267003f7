"""What the synthesis of cameras shares: planes of chance and of scenery for a batch, on any device.

Parameters are drawn on the host, one sample at a time from its own generator; tensors are made of them for a whole
batch, on the device of its photos. `Plane` names a tensor (B, 1, H, W), or (B, 3, H, W).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from idrestore import guided_filter

MARGIN = 8  # px mirrored around photos before they are filtered
COARSE = 4  # px to one of the small pictures on which scenes are invented
GUIDE_WINDOW, GUIDE_FLAT = 9, 1e-3  # coarse px; variance below which an area is flat

Draw = dict[str, Any]
"""What is drawn for one sample: numbers and arrays, by the names of the fields of its stage's tuple."""
Stacked = TypeVar("Stacked")


def stacked(stage: type[Stacked], draws: Sequence[Draw], device: torch.device) -> Stacked:
    """Return the tuple of a stage, of tensors (n, ...) made of n draws; float64 becomes float32."""
    columns = {key: torch.from_numpy(np.stack([draw[key] for draw in draws])).to(device) for key in draws[0]}
    return stage(**{key: c.float() if c.is_floating_point() else c for key, c in columns.items()})


def spread(values: Tensor) -> Tensor:
    """Return numbers (n,) or (n, C) as (n, 1 or C, 1, 1), to meet a batch."""
    return (values if values.dim() > 1 else values[:, None])[..., None, None]


def normals(seeds: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Draw standard normal values, each sample's from its own seed; (n,) to (n, *shape)."""
    device = seeds.device
    generators = (torch.Generator(device).manual_seed(seed) for seed in seeds.tolist())
    return torch.stack([torch.randn(shape, generator=g, device=device) for g in generators])


def enlarged(values: Tensor, like: Tensor) -> Tensor:
    """Return smooth planes from a few values; (n, h, w) to (n, 1, H, W)."""
    size = (like.shape[-2], like.shape[-1])
    return F.interpolate(values[:, None], size=size, mode="bicubic", align_corners=True)


def places(like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the places of a photo's pixels: (H, 1) from 0 at the top to 1, (W,) from 0 at the left to 1."""
    height, width = like.shape[-2:]
    down = torch.linspace(0, 1, height, device=like.device)[:, None]
    return down, torch.linspace(0, 1, width, device=like.device)


Response = Callable[[Tensor], Tensor]
"""(squared frequencies, cycles² / px²) to the factor that a filter has there."""


def gaussian(deviation: Tensor) -> Response:
    """Return the response of Gaussian smoothing by deviations in px, (n, 1, 1, 1)."""
    return lambda squares: torch.exp(-2 * math.pi**2 * deviation**2 * squares)


def squared_frequencies(like: Tensor) -> Tensor:
    """Return |f|² of the half spectrum of planes (..., H, W); (H, W // 2 + 1)."""
    height, width = like.shape[-2:]
    down = torch.fft.fftfreq(height, device=like.device)[:, None]
    right = torch.fft.rfftfreq(width, device=like.device)
    return torch.as_tensor(down**2 + right**2)


def filtered(image: Tensor, response: Response) -> Tensor:
    """Filter photos by a response to frequency, their borders mirrored; (n, 3, H, W) to the same."""
    margin = min(MARGIN, *(side - 1 for side in image.shape[-2:]))
    padded = F.pad(image, (margin,) * 4, mode="reflect")
    spectrum = torch.fft.rfft2(padded) * response(squared_frequencies(padded))
    whole: Tensor = torch.fft.irfft2(spectrum, s=padded.shape[-2:])
    return whole[..., margin : margin + image.shape[-2], margin : margin + image.shape[-1]]


def along_edges(planes: Tensor, image: Tensor) -> Tensor:
    """Make rough planes follow a photo's edges by a guided filter; (n, 1, h, w) to (n, 1, H, W)."""
    luminance = image.mean(dim=1, keepdim=True)
    x = F.interpolate(luminance, size=planes.shape[-2:], mode="area")
    slope, offset = guided_filter.fit(x, planes, GUIDE_WINDOW, GUIDE_FLAT, (image.shape[-2], image.shape[-1]))
    return slope * luminance + offset


def coarse(image: Tensor) -> Tensor:
    """Return an empty plane for a rough scene; (n, C, H, W) to (n, 1, h, w)."""
    height, width = (math.ceil(side / COARSE) for side in image.shape[-2:])
    return image.new_zeros(len(image), 1, height, width)
