"""The sRGB curve by logarithms: on processors several times as fast as `pow`, which `physics/curves.py` uses."""

import torch
from torch import Tensor


def power(values: Tensor, exponent: float | Tensor) -> Tensor:
    """Return values raised to a power; what is below 1e-6 counts as that."""
    return torch.exp(exponent * torch.log(values.clamp(min=1e-6)))


def linear_light(encoded: Tensor) -> Tensor:
    """Undo the sRGB curve (IEC 61966-2-1); [0, 1] to [0, 1]."""
    return torch.where(encoded <= 0.04045, encoded / 12.92, power((encoded + 0.055) / 1.055, 2.4))


def encoded(light: Tensor) -> Tensor:
    """Apply the sRGB curve (IEC 61966-2-1) after clipping; any value to [0, 1]."""
    light = light.clamp(0, 1)
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * power(light, 1 / 2.4) - 0.055)
