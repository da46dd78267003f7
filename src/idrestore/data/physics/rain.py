"""Rain: layers of streaks and a veil of mist."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from idrestore.data.physics.chance import Range, between, generator, log_between, unit

RAIN_COVERAGE: Range = (0.05, 0.8)  # sum of the streaks' areas over the photo's, log scale
RAIN_BRIGHTNESS: Range = (0.15, 0.8)  # at the middle of the brightest streaks
RAIN_LENGTH: Range = (12.0, 60.0)  # px at the reference size, as in Rain100L
RAIN_WIDTH: Range = (0.45, 0.85)  # standard deviation across, px: streaks 1 to 2 px wide
RAIN_FAINT = 0.8  # brightness falls by up to this much from the nearest drops to the farthest
RAIN_SLANT, RAIN_MAX_SLANT = 16.0, 45.0  # standard deviation and limit from the vertical, degrees
RAIN_SPREAD: Range = (1.0, 7.0)  # between the layers of one photo, degrees; heavy rain crosses
RAIN_VEIL = 0.12  # mean opacity of the mist in the strongest rain, in a third of the draws
RAIN_MIN_PLANE = 64  # px; streaks wrap around their plane, which must not be shorter than they are


def rain(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Add streaks, by sum or by screen, and in a third of the draws a veil of mist."""
    drops = streaks(image, strength, rng)
    brightness = between(RAIN_BRIGHTNESS, strength) * rng.uniform(0.8, 1.2)
    colour = image.new_tensor(brightness * (1 + rng.normal(0, 0.02, (3, 1, 1))))
    screen = float(rng.choice((0.0, 0.5, 1.0)))
    opacity = RAIN_VEIL * strength * rng.uniform(0, 2) * (rng.random() < 1 / 3)
    veiled = image + opacity * (rng.uniform(0.6, 0.85) - image)
    return veiled + colour * drops * (1 - screen * veiled)


def streaks(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Draw layers of drops and smear each along its line; (1, H, W) in [0, 1]."""
    layers = int(rng.integers(1, 4))
    size = unit(image) * np.exp(rng.uniform(-0.6, 0.3, layers))
    length, width = rng.uniform(*RAIN_LENGTH) * size, rng.uniform(*RAIN_WIDTH) * np.sqrt(size)
    slant = np.clip(rng.normal(0, RAIN_SLANT), -RAIN_MAX_SLANT, RAIN_MAX_SLANT)
    angle = np.radians(slant + rng.normal(0, 1, layers) * between(RAIN_SPREAD, strength))
    coverage = log_between(RAIN_COVERAGE, strength) * rng.dirichlet(np.full(layers, 2.0))
    density = image.new_tensor(coverage / (2.5 * length * width)).view(-1, 1, 1)
    height, breadth = image.shape[-2:]
    sides = (max(height, RAIN_MIN_PLANE), max(breadth, RAIN_MIN_PLANE))
    chance = torch.rand((layers, *sides), generator=generator(image, rng), device=image.device)
    drops = torch.where(chance < density, 1 - RAIN_FAINT * (chance / density).sqrt(), 0)
    lines = image.new_tensor(np.stack((length, width, np.cos(angle), np.sin(angle))))
    spectrum = torch.fft.rfft2(drops) * line_spectra(lines, sides)
    plane: Tensor = torch.fft.irfft2(spectrum.sum(0, keepdim=True), s=sides)
    return plane[:, :height, :breadth].clamp(0, 1)


def line_spectra(lines: Tensor, sides: Sequence[int]) -> Tensor:
    """Return the spectra of soft lines whose middle is 1 in a plane of `sides`; (..., 4, L) to (..., L, H, W // 2 + 1).

    Of each, `lines` has length and width in px, cosine and sine of the angle from the vertical.
    """
    long, wide, cosine, sine = lines[..., None, None].unbind(dim=-4)
    down = torch.fft.fftfreq(sides[0], device=lines.device)[:, None]
    right = torch.fft.rfftfreq(sides[1], device=lines.device)
    along, across = (down * cosine + right * sine) * long, (right * cosine - down * sine) * wide
    # The ends fade over a seventh of the length, as brightness does along a falling drop.
    soft = torch.exp(-2 * math.pi**2 * (across**2 + (0.15 * along) ** 2))
    return math.sqrt(2 * math.pi) * long * wide * torch.sinc(along) * soft
