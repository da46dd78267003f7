"""Rain and snow: streaks or flakes, thick and thin, near and far, a veil that varies, splashes on the ground."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from idrestore.data.camera.planes import Draw, enlarged, places, spread
from idrestore.data.physics.chance import Range, between, log_between
from idrestore.data.physics.rain import line_spectra

LAYERS = 4  # near, middle, far; splashes
COVERAGE: Range = (0.02, 0.9)  # sum of the streaks' areas over the photo's, log scale
BRIGHTNESS: Range = (0.03, 0.7)  # at the middle of the brightest streaks
LENGTH: Range = (12.0, 70.0)  # px
WIDTH: Range = (0.4, 0.95)  # standard deviation across, px
NEARNESS: Range = (-0.8, 0.8)  # logarithm of a layer's size
CLOSE, CLOSENESS = 0.3, (0.2, 1.3)  # share of the draws with all streaks closer still, and logarithm of their size
MAX_LENGTH = 200.0  # px
FAINT: Range = (0.4, 0.95)  # brightness falls by up to this much from the nearest drops to the farthest
SLANT, MAX_SLANT = 16.0, 50.0  # standard deviation and limit from the vertical, degrees
SPREAD: Range = (1.0, 7.0)  # between the layers, degrees; heavy rain crosses
SNOWY = 0.15  # share of the draws with flakes in place of streaks
FLAKE: Range = (0.7, 2.5)  # standard deviation across, px
DRIFT: Range = (1.5, 6.0)  # length of a flake, in its widths
SNOW_SLANT, SNOW_COVERAGE = 2.0, 0.6  # of snow, relative to rain
VEIL = 0.35  # largest opacity of the mist in the strongest rain
VEILED, SPLASHING = 0.5, 0.3  # shares of the draws
MIN_PLANE = 64  # px; streaks wrap around their plane, which must not be shorter than they are
FIELD = 4  # cells of what varies


class Rain(NamedTuple):
    """Rain of a sample."""

    lines: Tensor
    """(4, LAYERS): length and width in px, cosine and sine of the angle from the vertical"""
    density: Tensor
    """(LAYERS,): drops a pixel"""
    faint: Tensor
    colour: Tensor
    """(3,): brightness of the brightest streaks"""
    screen: Tensor
    """0 adds light, 1 mixes with what is behind"""
    gusts: Tensor
    """(FIELD, FIELD): factors of the streaks' brightness"""
    veil: Tensor
    """(FIELD, FIELD): opacity of the mist"""
    mist: Tensor
    """Grey of the mist"""
    ground: Tensor
    """Height below which there are splashes"""
    seed: Tensor


def draw(strength: float, rng: np.random.Generator) -> Draw:
    """Draw layers of streaks, mist and splashes."""
    near = np.exp(rng.uniform(*NEARNESS, LAYERS))
    length, width = rng.uniform(*LENGTH) * near, rng.uniform(*WIDTH) * np.sqrt(near)
    slant = np.clip(rng.normal(0, SLANT), -MAX_SLANT, MAX_SLANT)
    if is_snow := rng.random() < SNOWY:
        width = rng.uniform(*FLAKE) * near
        length, slant = width * rng.uniform(*DRIFT), slant * SNOW_SLANT
    angle = np.radians(slant + rng.normal(0, 1, LAYERS) * between(SPREAD, strength))
    coverage = log_between(COVERAGE, strength) * rng.dirichlet(np.full(LAYERS, 2.0))
    coverage *= SNOW_COVERAGE if is_snow else 1.0
    coverage[:3] *= np.arange(3) < rng.integers(1, 4)
    coverage[3] *= 0.4 * (rng.random() < SPLASHING)
    length[3], width[3] = rng.uniform(2, 6), rng.uniform(0.7, 1.6)
    grey = between(BRIGHTNESS, strength) * rng.uniform(0.7, 1.3)
    opacity = VEIL * strength * rng.random() * (rng.random() < VEILED)
    drawn: Draw = {
        "faint": rng.uniform(*FAINT),
        "colour": grey * (1 + rng.normal(0, 0.02, 3)),
        "screen": float(rng.choice((0.0, 0.5, 1.0))),
        "gusts": (1 + rng.normal(0, rng.uniform(0, 0.5), (FIELD, FIELD))).clip(0, 2),
        "veil": (opacity * (1 + rng.normal(0, 0.4, (FIELD, FIELD)))).clip(0, 1),
        "mist": rng.uniform(0.5, 0.9),
        "ground": rng.uniform(0.3, 0.9),
        "seed": int(rng.integers(2**62)),
    }
    scale = np.exp(rng.uniform(*CLOSENESS)) if rng.random() < CLOSE else 1.0
    length, width = np.minimum(length * scale, MAX_LENGTH), width * scale
    drawn["lines"] = np.stack((length, width, np.cos(angle), np.sin(angle)))
    drawn["density"] = coverage / (2.5 * length * width)
    return drawn


def fall(image: Tensor, rain: Rain) -> Tensor:
    """Let it rain; (n, 3, H, W) and a `Rain` of tensors (n, ...) to the same, not clipped."""
    drops = streaks(image, rain) * enlarged(rain.gusts, image).clamp(min=0)
    veiled = torch.lerp(image, spread(rain.mist).expand_as(image), enlarged(rain.veil, image).clamp(0, 1))
    return veiled + spread(rain.colour) * drops * (1 - spread(rain.screen) * veiled)


def streaks(image: Tensor, rain: Rain) -> Tensor:
    """Draw drops and smear each layer along its line; (n, 1, H, W) in [0, 1]."""
    height, width = image.shape[-2:]
    plane = image.new_zeros(len(image), LAYERS, max(height, MIN_PLANE), max(width, MIN_PLANE))
    generators = (torch.Generator(image.device).manual_seed(seed) for seed in rain.seed.tolist())
    chance = torch.stack([torch.rand(plane.shape[1:], generator=g, device=image.device) for g in generators])
    down, _ = places(plane)
    density = spread(rain.density).expand(*plane.shape[:3], 1).clone()
    density[:, 3] *= down > rain.ground.view(-1, 1, 1)
    bright = 1 - spread(rain.faint) * (chance / density.clamp(min=1e-12)).clamp(max=1).sqrt()
    drops = torch.where(chance < density, bright, 0)
    spectrum = (torch.fft.rfft2(drops) * line_spectra(rain.lines, plane.shape[-2:])).sum(dim=1, keepdim=True)
    whole: Tensor = torch.fft.irfft2(spectrum, s=plane.shape[-2:])
    return whole[..., :height, :width].clamp(0, 1)
