"""What looks like rain and is not: grids, fences, blinds, strings, railings, scratches. It belongs to the photo."""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from idrestore.data.camera.planes import Draw, enlarged, places, spread

NUM_STRINGS = 6
PERIOD = 5.0, 40.0  # px, log scale
WIDTH = 0.6, 3.0  # px, half of a line's, log scale
FIELD = 3


class Lines(NamedTuple):
    """Lines in a sample."""

    angles: Tensor
    """(2,): of the normals of two sets of parallel lines"""
    periods: Tensor
    """(2,): px"""
    widths: Tensor
    """(2,): half, px"""
    opacities: Tensor
    """(2,): of the two sets; 0 for none"""
    strings: Tensor
    """(NUM_STRINGS, 5): angle of the normal, place along it over the side, half width, opacity, half length"""
    bend: Tensor
    """(FIELD, FIELD): px by which lines leave their place"""
    colour: Tensor
    """(3,)"""


def draw(rng: np.random.Generator) -> Draw:
    """Draw one set of parallel lines, a grid, or a few strings."""
    kind = rng.choice(3, p=(0.35, 0.3, 0.35))
    steep = rng.normal(0, 0.15) if rng.random() < 0.5 else rng.uniform(0, math.pi)  # upright as rain is, or any
    first = rng.uniform(0.3, 1.0)
    number = rng.integers(1, NUM_STRINGS + 1) if kind == 2 else 0
    strings = np.stack(
        (
            steep + rng.normal(0, rng.choice((0.05, 1.0)), NUM_STRINGS),
            rng.uniform(-0.7, 0.7, NUM_STRINGS),
            _log_uniform(WIDTH, rng, NUM_STRINGS) * 0.7,
            rng.uniform(0.3, 1.0, NUM_STRINGS) * (np.arange(NUM_STRINGS) < number),
            rng.uniform(0.1, 1.5, NUM_STRINGS),
        ),
        axis=1,
    )
    grey = rng.uniform(0.75, 1) if rng.random() < 0.6 else rng.uniform(0, 0.6)  # mostly light, as streaks are
    return {
        "angles": np.array((steep, steep + math.pi / 2 + rng.normal(0, 0.05))),
        "periods": _log_uniform(PERIOD, rng, 2),
        "widths": _log_uniform(WIDTH, rng, 2),
        "opacities": first * np.array((kind < 2, kind == 1)),
        "strings": strings,
        "bend": rng.normal(0, rng.choice((0.0, 3.0)), (FIELD, FIELD)),
        "colour": np.clip(grey + rng.normal(0, 0.05, 3), 0, 1),
    }


def draw_on(image: Tensor, lines: Lines) -> Tensor:
    """Draw lines onto photos; (n, 3, H, W) and `Lines` of tensors (n, ...) to the same, on the 8-bit grid."""
    side = max(image.shape[-2:])
    down, right = (side * (plane - 0.5) for plane in places(image))
    bend = enlarged(lines.bend, image)
    cover = image.new_zeros(len(image), 1, *image.shape[-2:])
    for number in range(2):
        angle, period, half = (spread(c[:, number]) for c in (lines.angles, lines.periods, lines.widths))
        along = right * angle.cos() + down * angle.sin() + bend
        distance = (torch.remainder(along, period) - period / 2).abs()
        thin = torch.minimum(half, 0.35 * period)
        cover = torch.maximum(cover, spread(lines.opacities[:, number]) * (thin + 0.5 - distance).clamp(0, 1))
    if lines.strings[:, :, 3].any():
        angle, place, half, opacity, reach = (c[..., None, None] for c in lines.strings.unbind(dim=2))
        across = right * angle.cos() + down * angle.sin() + bend - place * side  # (n, NUM_STRINGS, H, W)
        along = down * angle.cos() - right * angle.sin()
        inside = (half + 0.5 - across.abs()).clamp(0, 1) * (reach * side - along.abs()).clamp(0, 1)
        cover = torch.maximum(cover, (opacity * inside).amax(dim=1, keepdim=True))
    return (torch.lerp(image, spread(lines.colour).expand_as(image), cover) * 255).round() / 255


def _log_uniform(ends: tuple[float, float], rng: np.random.Generator, number: int) -> NDArray[np.float64]:
    low, high = np.log(ends)
    return np.asarray(np.exp(rng.uniform(low, high, number)))
