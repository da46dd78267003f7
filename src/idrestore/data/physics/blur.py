"""Blur: camera shake, the motion of some regions, defocus."""

import numpy as np
import torch
from torch import Tensor

from idrestore.data.physics.chance import Range, field, log_between, unit
from idrestore.data.physics.curves import encoded, linear_light
from idrestore.data.physics.kernels import convolve, disc, rasterise, trajectory

BLUR_LENGTH: Range = (2.0, 40.0)  # px at the reference size, log scale; GoPro about 5 to 30
BLUR_SHAKE, BLUR_OBJECT = 0.45, 0.35  # shares of the draws; defocus has the rest
BLUR_ENCODED = 0.5  # share averaged without undoing the sRGB curve, as GoPro is: its mean value stays the same
BLUR_DISC = 0.45  # diameter of the defocus disc over the length of a trajectory of equal damage


def blur(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Average over camera shake, the motion of some regions, or a defocus disc: linear light, or values as they are."""
    length = log_between(BLUR_LENGTH, strength) * unit(image)
    choice = rng.random()
    if choice < BLUR_SHAKE:
        kernels = rasterise(length * trajectory(rng)[None])
    elif choice < BLUR_SHAKE + BLUR_OBJECT:
        other = rng.uniform(0, 1) * rng.integers(0, 2)  # half of the backgrounds stand still
        kernels = rasterise(length * np.stack((trajectory(rng), other * trajectory(rng))))
    else:
        kernels = disc(length * BLUR_DISC / 2)
    mask = torch.sigmoid(4 * field(image, int(rng.integers(2, 5)), rng))
    is_encoded = rng.random() < BLUR_ENCODED
    light = image if is_encoded else linear_light(image)
    blurred = convolve(light, image.new_tensor(kernels)[:, None])  # (1 or 2, 3, H, W)
    mixed = torch.lerp(blurred[0], blurred[-1], mask)
    return mixed if is_encoded else encoded(mixed)
