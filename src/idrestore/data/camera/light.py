"""Darkness that is local: an even dusk, a scene against the light, a night with lamps; and the noise of little light.

What people want back decides the target: shadows lifted, lights kept, black kept where there is nothing. So lamps and
black skies belong to the clean photo; only the light on the rest is taken away.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from idrestore.data.camera import noise
from idrestore.data.camera.planes import Draw, along_edges, coarse, enlarged, places, spread
from idrestore.data.camera.tone import encoded, linear_light, power
from idrestore.data.physics.chance import Range, log_between

STOPS: Range = (0.3, 6.0)  # by how much the darkest parts are underexposed
EVENLY, AGAINST_LIGHT = 0.4, 0.35  # shares of the draws; nights with lamps have the rest
WINDOWS = 0.65  # share of uneven scenes that have a bright opening
NUM_LAMPS = 3
FIELD = 4  # cells of the uneven light
GAMMA: Range = (0.85, 1.25)  # on linear light
CAST = 0.06  # standard deviation of the log gain per channel
SHOT: Range = (1e-5, 4e-4)  # variance over linear light, log-uniform; LOL σ about 2 to 4
READ: Range = (1e-4, 8e-4)  # standard deviation, linear light, log-uniform
MIN_MEAN = 0.03  # encoded; darker, 8 bits would hold nothing


class Light(NamedTuple):
    """Light of a sample."""

    stops: Tensor
    field: Tensor
    """(FIELD, FIELD): smooth differences, stops"""
    backlit: Tensor
    """How much of the darkness bright parts are spared, 0 or more"""
    threshold: Tensor
    """Encoded brightness from which a part counts as bright"""
    window: Tensor
    """(4,): middle down and right, half height and half width of what is bright; no height: none"""
    glare: Tensor
    """Stops by which bright parts are overexposed; they stay so"""
    lamps: Tensor
    """(NUM_LAMPS, 8): place down and right, radius, reach, brightness, colour; brightness 0: no lamp"""
    sky: Tensor
    """(2,): height of a black sky, and its remaining light"""
    gamma: Tensor
    cast: Tensor
    """(3,): gains"""
    shot: Tensor
    read: Tensor
    grain: Tensor
    seed: Tensor


def draw(strength: float, rng: np.random.Generator) -> Draw:
    """Draw a scene's light, and the sensor that sees what is left of it."""
    kind = rng.random()
    is_even, is_night = kind < EVENLY, kind >= EVENLY + AGAINST_LIGHT
    warm = np.array((0.0, -0.15, -0.45)) * rng.uniform(-0.2, 1)  # tungsten, or a cold tube
    lamps = np.concatenate(
        (
            rng.uniform(-0.1, 1.1, (NUM_LAMPS, 2)),
            np.exp(rng.uniform(np.log(0.004), np.log(0.12), (NUM_LAMPS, 1))),
            np.exp(rng.uniform(np.log(0.08), np.log(0.8), (NUM_LAMPS, 1))),
            rng.uniform(0.3, 1.5, (NUM_LAMPS, 1)) * (np.arange(NUM_LAMPS)[:, None] < rng.integers(0, NUM_LAMPS + 1)),
            np.exp(warm + rng.normal(0, 0.1, (NUM_LAMPS, 3))),
        ),
        axis=1,
    )
    lamps[:, 4] *= is_night
    grain, _ = noise.draw_sensor(rng)
    return {
        "stops": STOPS[0] + (STOPS[1] - STOPS[0]) * strength,
        "field": rng.normal(0, rng.uniform(0, 0.25 if is_even else 0.8), (FIELD, FIELD)),
        "backlit": 0.0 if is_even else rng.uniform(0.7, 1.0),
        "threshold": rng.uniform(0.4, 0.85),
        "window": _window(rng) * (not is_even and rng.random() < WINDOWS),
        "glare": 0.0 if is_even else rng.uniform(0.0, 1.5),
        "lamps": lamps,
        "sky": np.array((rng.uniform(0.1, 0.7) * (is_night and rng.random() < 0.5), rng.uniform(0, 0.004))),
        "gamma": rng.uniform(*GAMMA),
        "cast": np.exp(rng.normal(0, CAST, 3) + is_night * warm / 2),
        "shot": log_between(SHOT, rng.random()),
        "read": log_between(READ, rng.random()),
        "grain": noise.flat(grain),
        "seed": grain.seed,
    }


def _window(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a window, a door, or the sky above an edge."""
    middle = rng.uniform(0, 1, 2)
    half = np.exp(rng.uniform(np.log(0.05), np.log(0.35), 2))
    if rng.random() < 0.45:
        middle, half = np.array((0.0, 0.5)), np.array((rng.uniform(0.15, 0.6), 1.0))
    return np.concatenate((middle, half))


def set_scene(image: Tensor, light: Light) -> Tensor:
    """Return the clean photo of such a place: with its lamps, and black where there is nothing to see."""
    rows = light.glare + light.sky[:, 0] + light.lamps[:, :, 4].sum(dim=1) > 0
    if not rows.all():
        image = image.clone()
        if rows.any():
            image[rows] = set_scene(image[rows], Light(*(column[rows] for column in light)))
        return image
    scene = linear_light(image) * torch.exp2(spread(light.glare) * _spared(image, light))
    remaining = spread(light.sky[:, 1])
    scene = scene * (1 - _sky(image, light) * (1 - remaining))
    return encoded(scene + _lamps(image, light, glow=True))


def darken(image: Tensor, light: Light) -> Tensor:
    """Take light away but from the lamps and what they shine on; (n, 3, H, W) and a `Light` of tensors."""
    scene = linear_light(image)
    lamps, thrown = _lamps(image, light, glow=True), _lamps(image, light, glow=False)
    stops = spread(light.stops) * (1 - spread(light.backlit) * _spared(image, light)) + enlarged(light.field, image)
    illumination = torch.exp2(-stops.clamp(min=0)) + thrown
    remaining = power(scene - lamps, spread(light.gamma)) * illumination.clamp(max=1)
    exposed = remaining * spread(light.cast) + lamps
    mean, least = exposed.mean(dim=(1, 2, 3), keepdim=True), linear_light(torch.tensor(MIN_MEAN)).to(exposed)
    wanted = torch.minimum(least, scene.mean(dim=(1, 2, 3), keepdim=True))
    return encoded(exposed * (wanted / mean.clamp(min=1e-6)).clamp(min=1))


def sense(image: Tensor, light: Light) -> Tensor:
    """Add the noise that a sensor makes of the light that is left."""
    exposed = linear_light(image)
    deviation = (spread(light.shot) * exposed + spread(light.read) ** 2).sqrt()
    return encoded(exposed + deviation * noise.planes(light.grain, light.seed, image))


def _spared(image: Tensor, light: Light) -> Tensor:
    """Return how much each place is a light itself: windows, skies; (n, 1, H, W) in [0, 1].

    Where most of the photo is bright, it is the subject and no light.
    """
    rough = F.interpolate(image.amax(dim=1, keepdim=True), size=coarse(image).shape[-2:], mode="area")
    mask = torch.sigmoid(20 * (rough - spread(light.threshold)))
    few = (1.5 - 2 * mask.mean(dim=(2, 3), keepdim=True)).clamp(0, 1)
    spared = along_edges(few * mask, image).clamp(0, 1)
    down, right = places(image)
    y, x, high, wide = (spread(column) for column in light.window.T)
    sharp = 2 * image.shape[-1] / 3  # an edge of three px
    opening = ((high - (down - y).abs()) * sharp).clamp(0, 1) * ((wide - (right - x).abs()) * sharp).clamp(0, 1)
    return torch.maximum(spared, opening)


def _sky(image: Tensor, light: Light) -> Tensor:
    """Return where the black sky is, along the photo's edges; (n, 1, H, W) in [0, 1]."""
    rough = coarse(image)
    down, _ = places(rough)
    height = spread(light.sky[:, 0])
    mask = torch.sigmoid((height - down + 0.15 * enlarged(light.field, rough)) * 40) * (height > 0)
    return along_edges(mask, image).clamp(0, 1)


def _lamps(image: Tensor, light: Light, glow: bool) -> Tensor:
    """Return the lamps with their glow, or the light that they throw; (n, 3, H, W) in linear light."""
    result = torch.zeros_like(image)
    rows = light.lamps[:, :, 4].sum(dim=1) > 0
    if not rows.any():
        return result
    down, right = places(image)
    y, x, radius, reach, bright, *colour = (column[rows, :, None, None] for column in light.lamps.unbind(dim=2))
    squares = (down - y) ** 2 + (right - x) ** 2  # (n, NUM_LAMPS, H, W)
    if glow:
        edge = torch.sigmoid((radius - squares.sqrt()) * 150)
        shine = bright * (edge + 0.04 * _fallen(squares / (2 * radius) ** 2))
    else:
        shine = 0.6 * bright * _fallen(squares / reach**2)
    result[rows] = torch.stack([(shine * channel).sum(dim=1) for channel in colour], dim=1)
    return result


def _fallen(squares: Tensor) -> Tensor:
    """Return (1 + x)^(-3/2): light that falls off as that of a lamp above the ground."""
    inverse = (1 + squares).reciprocal()
    return inverse * inverse.sqrt()
