"""Noise as cameras leave it in sRGB: its colours' covariance, its growth with the level, its smoothing.

Two kinds were measured. Phones, hardly processed: red and blue are 1.6 times as noisy as green and go together, shadows
are 1.5 times as noisy as mid tones. Cameras' JPEGs: the three channels go together, noise is smooth, and tone
curves flatten it in shadows and lights. What smoothing leaves is coarser: noise of CC15 and PolyU still correlates with
itself by 0.06 to 0.2 three and four pixels away, where what is only smoothed does not.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from idrestore.data.camera.planes import Draw, gaussian, normals, spread, squared_frequencies
from idrestore.data.physics.chance import Range, log_between

WHITE = 0.1  # share of plain Gaussian draws, beside those that `data.white` asks for
WHITE_SIGMA: Range = (2.0, 55.0)  # 8-bit units, log scale; the benchmarks' 15, 25 and 50 are inside
SIGMA: Range = (0.7, 24.0)  # of green at mid-grey, 8-bit units, log scale: ISO 100 about 2 to 3.6, ISO 10000 about 22
HINT: Range = (0.3, 2.0)  # what other photos have of it
JPEGS = 0.5  # share of the others that are as in cameras' JPEGs
CURVE = 64  # entries of the table that is read by level
LEVEL_EXPONENT: Range = (0.6, 1.4)  # of the deviations by level: cameras differ


class Sensor(NamedTuple):
    """What noise looks like: how it was measured, in ranges."""

    red_blue: Range
    """Standard deviations over green's"""
    correlation: tuple[Range, Range, Range]
    """Red-green, green-blue, red-blue: mean and deviation each"""
    levels: tuple[float, ...]
    """8-bit levels"""
    deviations: tuple[float, ...]
    """Standard deviations there, over that of mid-grey"""
    smoothed: float
    """Share of the draws that are smoothed"""
    luma: Range
    """Smoothing of what the channels have in common: standard deviation, px"""
    chroma: Range
    """Smoothing of the rest, px"""


PHONE = Sensor(
    red_blue=(1.3, 2.0),
    correlation=((0.12, 0.08), (0.10, 0.12), (0.45, 0.10)),
    levels=(0, 8, 24, 40, 56, 72, 216, 232, 255),
    deviations=(1.4, 1.5, 1.64, 1.33, 1.24, 1.0, 0.85, 0.67, 0.4),
    smoothed=0.5,
    luma=(0.3, 0.9),
    chroma=(0.5, 2.5),
)
JPEG = Sensor(
    red_blue=(1.0, 1.3),
    correlation=((0.68, 0.12), (0.68, 0.12), (0.66, 0.12)),
    levels=(0, 8, 28, 56, 96, 130, 170, 210, 255),
    deviations=(0.35, 0.4, 0.66, 0.9, 1.0, 0.85, 0.6, 0.4, 0.25),
    smoothed=1.0,
    luma=(0.6, 0.9),
    chroma=(0.6, 1.6),
)
SHARPENED: Range = (0.0, 1.2)  # gain of the finest detail in half of the smoothed ones
LEFT: Range = (0.0, 0.35)  # part of the variance of smoothed noise that is as coarse as ...
LEFT_SIZE: Range = (1.5, 5.0)  # ... smoothing of such a standard deviation would make it, px


class Grain(NamedTuple):
    """How the noise of one sensor looks, whatever its strength."""

    seed: int
    colours: NDArray[np.float64]
    """(3, 3): a factor of the channels' covariance, green's variance being 1"""
    luma: float
    """Smoothing of what the channels have in common, px"""
    chroma: float
    """Smoothing of the rest, px"""
    sharpened: float
    """Gain of fine detail after smoothing"""
    left: float
    """Part of the variance that smoothing left, for it is coarse"""
    left_size: float
    """How coarse: as smoothed by this, px"""


class Noise(NamedTuple):
    """Noise of a sample."""

    sigma: Tensor
    """Of green at mid-grey, in [0, 1]"""
    curve: Tensor
    """(64,): standard deviation by level, over that of mid-grey"""
    grain: Tensor
    """`Grain`, flat"""
    seed: Tensor


def draw_sensor(rng: np.random.Generator) -> tuple[Grain, NDArray[np.float64]]:
    """Draw how a camera's noise looks, and its table of standard deviations by level, (CURVE,)."""
    sensor = JPEG if rng.random() < JPEGS else PHONE
    red_green, green_blue, red_blue = (rng.normal(*each) for each in sensor.correlation)
    correlation = np.array([[1, red_green, red_blue], [red_green, 1, green_blue], [red_blue, green_blue, 1]])
    deviations = np.array((rng.uniform(*sensor.red_blue), 1, rng.uniform(*sensor.red_blue)))
    values, axes = np.linalg.eigh(correlation)  # what is drawn may be impossible by a little
    colours = deviations[:, None] * axes * np.sqrt(values.clip(min=1e-3))
    colours /= np.linalg.norm(colours[1])
    smoothed, sharpened = rng.random() < sensor.smoothed, rng.random() < 0.5
    luma, chroma, gain = rng.uniform(*sensor.luma), rng.uniform(*sensor.chroma), rng.uniform(*SHARPENED)
    left, left_size = rng.uniform(*LEFT), rng.uniform(*LEFT_SIZE)
    filters = smoothed * luma, smoothed * chroma, smoothed * sharpened * gain, smoothed * left, left_size
    grain = Grain(int(rng.integers(2**62)), colours, *filters)
    curve = np.interp(np.linspace(0, 255, CURVE), sensor.levels, sensor.deviations)
    return grain, curve ** rng.uniform(*LEVEL_EXPONENT)


def draw(strength: float, rng: np.random.Generator) -> Draw:
    """Draw white noise, or a camera's."""
    if rng.random() < WHITE:
        flat_ = Grain(int(rng.integers(2**62)), np.eye(3), 0.0, 0.0, 0.0, 0.0, 0.0)
        return _noise(log_between(WHITE_SIGMA, strength), flat_, np.ones(CURVE))
    return _noise(log_between(SIGMA, strength), *draw_sensor(rng))


def draw_hint(rng: np.random.Generator) -> Draw:
    """Draw the little noise that photos have whatever else is wrong with them."""
    return _noise(rng.uniform(*HINT), *draw_sensor(rng))


def add(image: Tensor, noise: Noise) -> Tensor:
    """Add noise to encoded values; (n, 3, H, W) and a `Noise` of tensors (n, ...)."""
    return image + spread(noise.sigma) * read(noise.curve, image) * planes(noise.grain, noise.seed, image)


def planes(grain: Tensor, seeds: Tensor, like: Tensor) -> Tensor:
    """Draw noise of a grain (n, 14) whose green has unit variance; (n, 3, H, W)."""
    height, width = like.shape[-2:]
    colours, (luma, chroma, gain, left, left_size) = grain[:, :9].view(-1, 3, 3), grain[:, 9:].T
    noise = torch.einsum("nij,njhw->nihw", colours, normals(seeds, (3, height, width)))
    if not grain[:, 9:13].any():
        return noise
    spectrum = torch.fft.rfft2(noise)
    squares = squared_frequencies(like)
    grey = spectrum.mean(dim=1, keepdim=True)
    sharper = 1 + spread(gain) * (1 - gaussian(torch.ones_like(spread(gain)))(squares))
    blotches = spread(left) * _unit_energy(gaussian(spread(left_size))(squares)).square()

    def response(size: Tensor) -> Tensor:
        smooth = _unit_energy(gaussian(spread(size))(squares) * sharper)
        return ((1 - spread(left)) * smooth.square() + blotches).sqrt()

    result: Tensor = torch.fft.irfft2(response(luma) * grey + response(chroma) * (spectrum - grey), s=(height, width))
    return result


def read(curve: Tensor, image: Tensor) -> Tensor:
    """Look values in [0, 1] up in tables (n, CURVE), linearly; (n, 3, H, W) to the same."""
    place = image.clamp(0, 1).flatten(1) * (CURVE - 1)
    below = place.long().clamp(max=CURVE - 2)
    low, high = curve.gather(1, below), curve.gather(1, below + 1)
    return torch.lerp(low, high, place - below).view_as(image)


def flat(grain: Grain) -> NDArray[np.float64]:
    """Return a grain as numbers (14,): its colours and its filters."""
    return np.concatenate((grain.colours.ravel(), grain[2:]))


def _noise(sigma: float, grain: Grain, curve: NDArray[np.float64]) -> Draw:
    return {"sigma": sigma / 255, "curve": curve, "grain": flat(grain), "seed": grain.seed}


def _unit_energy(response: Tensor) -> Tensor:
    """Scale a filter so that it keeps the variance of white noise; the half spectrum stands for the whole."""
    return response / response.square().mean(dim=(-2, -1), keepdim=True).sqrt()
