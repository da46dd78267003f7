"""Haze from barely visible to dense, grey, blue or yellow, over a scene with sky and near ground."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from idrestore.data.camera.planes import Draw, along_edges, coarse, enlarged, places, spread
from idrestore.data.camera.tone import encoded, linear_light
from idrestore.data.physics.chance import Range

BETA = 1.7  # per unit of depth at full strength; falls to nothing with the strength
BETA_EXPONENT = 1.4
AIRLIGHT: Range = (0.6, 1.0)
DIM_AIR = 0.12  # share of airlight after sunset, 0.3 to 0.6
TINTS = ((0.0, 0.0, 0.0), (-0.10, -0.02, 0.06), (0.05, 0.0, -0.14))  # grey, blue, yellow over the airlight
TINT_SHARES = (0.55, 0.25, 0.2)
ENCODED = 0.7  # share scattered on encoded values as in RESIDE, the others in linear light
EVEN = 0.25  # share of crops whose depth hardly changes
SCENE_TOP: Range = (-1.2, 0.2)  # of a whole scene: more than half sky to no horizon at all
SCENE_END: Range = (0.8, 1.1)  # where its ground ends
FAR: Range = (0.2, 0.9)  # depth up to which there is no haze, where it is far only
FAR_SHARE = 0.25  # of whole scenes
WALLS = 0.3  # share of scenes with something on both sides, as in streets and woods
WALL_DEPTH = 1.5  # where these end
FIELD = 5  # cells of the random hills


class Haze(NamedTuple):
    """Haze of a sample."""

    beta: Tensor
    airlight: Tensor
    """(3,)"""
    slope: Tensor
    """(2,): how the airlight brightens to the right and downwards"""
    window: Tensor
    """(2,): top and height of the crop in a scene whose horizon is 0 and whose ground ends at 1"""
    sky: Tensor
    """Depth of the sky, that of the horizon being 1"""
    ground: Tensor
    """How fast the ground comes near below the horizon"""
    clear: Tensor
    """Depth up to which there is no haze"""
    relief: Tensor
    """Share of the scene that is not even"""
    hills: Tensor
    """(FIELD, FIELD)"""
    bright: Tensor
    """How much farther bright parts are"""
    box: Tensor
    """(4,): top, centre, half width and depth factor of something in front"""
    walls: Tensor
    """(2,): where what is on both sides ends, and how fast it comes near; 0: nothing is"""
    soft: Tensor
    """How much far parts are softened"""
    is_encoded: Tensor


def draw(strength: float, rng: np.random.Generator, is_scene: bool = False) -> Draw:
    """Draw the air and the scene, of which a sample shows a part or, if it `is_scene`, all."""
    tint = np.array(TINTS[rng.choice(3, p=TINT_SHARES)]) * rng.uniform(0.3, 1.3) + rng.normal(0, 0.015, 3)
    bright = rng.uniform(*AIRLIGHT) if rng.random() > DIM_AIR else rng.uniform(0.3, 0.6)
    even = rng.random() < EVEN
    is_far = is_scene and rng.random() < FAR_SHARE
    clear = rng.uniform(*FAR) if is_far else rng.uniform(0, 0.35) * (rng.random() < 0.5)
    return {
        "beta": BETA * strength**BETA_EXPONENT / (1 - clear / WALL_DEPTH if is_far else 1),
        "airlight": np.clip(bright * (1 + tint), 0, 1),
        "slope": rng.normal(0, 0.05, 2),
        "window": _window(rng, is_scene),
        "sky": rng.uniform(1, 2.5),
        "ground": rng.uniform(1, 10),
        "clear": clear,
        "relief": rng.uniform(0, 0.2) if even else 1.0,
        "hills": rng.normal(0, rng.uniform(0, 0.35), (FIELD, FIELD)),
        "bright": rng.uniform(-0.2, 0.8),
        "box": np.array((rng.uniform(0.1, 1.5), rng.uniform(0, 1), rng.uniform(0.05, 0.3), rng.uniform(0.1, 0.9))),
        "walls": np.array((rng.uniform(0.2, 0.8), rng.uniform(2, 12) * (rng.random() < WALLS))),
        "soft": rng.uniform(0, 1) * (rng.random() < 0.5),
        "is_encoded": rng.random() < ENCODED,
    }


def _window(rng: np.random.Generator, is_scene: bool) -> NDArray[np.float64]:
    if not is_scene:
        return np.array((rng.uniform(-0.8, 0.6), rng.uniform(0.15, 1.2)))
    top = rng.uniform(*SCENE_TOP)
    return np.array((top, rng.uniform(*SCENE_END) - top))


def scatter(image: Tensor, haze: Haze) -> Tensor:
    """Return J·t + A·(1 − t), t = exp(−β·d); (n, 3, H, W) and a `Haze` of tensors (n, ...)."""
    transmission = torch.exp(-spread(haze.beta) * depth(image, haze))
    down, right = places(image)
    gradient = spread(haze.slope[:, 0]) * (right - 0.5) + spread(haze.slope[:, 1]) * (down - 0.5)
    airlight = (spread(haze.airlight) * (1 + gradient)).clamp(0, 1)
    blurred = F.avg_pool2d(F.pad(image, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
    scene = torch.lerp(image, blurred, spread(haze.soft) * (1 - transmission))
    result = torch.lerp(airlight, scene, transmission)
    rows = ~haze.is_encoded
    if rows.any():
        light, air = linear_light(scene[rows]), linear_light(airlight[rows])
        result[rows] = encoded(torch.lerp(air, light, transmission[rows]))
    return result


def depth(image: Tensor, haze: Haze) -> Tensor:
    """Invent a depth that follows the photo's edges: sky, ground, hills, things in front; (n, 1, H, W), 0 or more."""
    rough = coarse(image)
    down, right = places(rough)
    top, height = spread(haze.window[:, 0]), spread(haze.window[:, 1])
    below = top + height * down  # from the horizon
    ground = 1 / (1 + spread(haze.ground) * below.clamp(min=0))
    scene = torch.where(below > 0, ground, spread(haze.sky))
    centre, steep = (spread(column) for column in haze.walls.T)
    walls = WALL_DEPTH / (1 + steep * (right - centre).abs())
    scene = torch.where(steep > 0, scene.minimum(walls), scene)
    guide = F.interpolate(image.mean(dim=1, keepdim=True), size=rough.shape[-2:], mode="area")
    scene = scene * (1 + spread(haze.bright) * (guide - guide.mean(dim=(2, 3), keepdim=True)))
    scene = scene + enlarged(haze.hills, rough)
    start, centre, half, factor = (spread(column) for column in haze.box.T)
    inside = (down > start) & ((right - centre).abs() < half)
    scene = torch.where(inside, factor * scene, scene)
    scene = 1 + spread(haze.relief) * (scene - 1)
    return (along_edges(scene.clamp(min=0), image) - spread(haze.clear)).clamp(min=0)
