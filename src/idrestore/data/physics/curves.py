"""The sRGB curve: encoded values to linear light and back."""

import torch
from torch import Tensor


def linear_light(encoded: Tensor) -> Tensor:
    """Undo the sRGB curve (IEC 61966-2-1); [0, 1] to [0, 1]."""
    return torch.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def encoded(light: Tensor) -> Tensor:
    """Apply the sRGB curve (IEC 61966-2-1) after clipping; any value to [0, 1]."""
    light = light.clamp(0, 1)
    curve = 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(light <= 0.0031308, light * 12.92, curve)
