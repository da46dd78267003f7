"""How clean photos look: soft or sharpened, scaled, pale or dark by nature, of one colour. Nothing is to be undone."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from idrestore.data.camera.planes import Draw, enlarged, filtered, gaussian, spread
from idrestore.data.physics.chance import Range

SOFTNESS: Range = (0.2, 0.95)  # standard deviation, px, of phones of 12 to 48 megapixels
HALO: Range = (0.2, 1.4)  # gain of sharpening
HALO_RADIUS: Range = (0.6, 1.6)  # px
PALE: Range = (0.72, 1.0)  # contrast
DARK: Range = (1.0, 1.7)  # exponent of encoded values
FLAT = 0.06  # share of one colour, or a slow change of it
FIELD = 3


class Look(NamedTuple):
    """Look of a sample."""

    softness: Tensor
    halo: Tensor
    halo_radius: Tensor
    contrast: Tensor
    black: Tensor
    """Where black lies, encoded"""
    exponent: Tensor
    saturation: Tensor
    flat: Tensor
    """How much a picture of one colour covers the photo"""
    colour: Tensor
    """(3,)"""
    change: Tensor
    """(FIELD, FIELD): of the colour's brightness"""


def draw(rng: np.random.Generator, kinds: tuple[str, ...]) -> Draw:
    """Draw a look; that of degraded photos varies less, and hides nothing that is to be judged."""
    share = 0.5 if kinds == ("clean",) else 0.2
    hides_light = not {"haze", "low_light"}.isdisjoint(kinds)

    def chosen(value: float, otherwise: float, times: float = 1.0) -> float:
        return value if rng.random() < share * times else otherwise

    contrast = chosen(rng.uniform(*PALE), 1.0, 0.3)
    exponent = chosen(rng.uniform(*DARK), 1.0, 0.4)
    return {
        "softness": chosen(rng.uniform(*SOFTNESS), 0.0) * ("blur" not in kinds),
        "halo": chosen(rng.uniform(*HALO), 0.0),
        "halo_radius": rng.uniform(*HALO_RADIUS),
        "contrast": 1.0 if hides_light else contrast,
        "black": 0.0 if hides_light else rng.uniform(0, 1 - contrast),
        "exponent": 1.0 if hides_light else exponent,
        "saturation": chosen(rng.uniform(0, 1.3), 1.0, 0.3),
        "flat": float(rng.random() < 2 * FLAT * share) * (not hides_light),
        "colour": rng.choice((0.0, 1.0), 3) if rng.random() < 0.3 else rng.uniform(0, 1, 3),
        "change": rng.normal(0, rng.uniform(0, 0.1), (FIELD, FIELD)) * (rng.random() < 0.6),
    }


def dress(image: Tensor, look: Look) -> Tensor:
    """Give clean photos their look; (n, 3, H, W) and a `Look` of tensors (n, ...) to the same, on the 8-bit grid."""
    soft, halo, radius = spread(look.softness), spread(look.halo), spread(look.halo_radius)
    if bool((soft + halo).any()):
        image = filtered(image, lambda f: gaussian(soft)(f) * (1 + halo * (1 - gaussian(radius)(f)))).clamp(0, 1)
    grey = image.mean(dim=1, keepdim=True)
    image = (grey + spread(look.saturation) * (image - grey)).clamp(1e-6, 1) ** spread(look.exponent)
    image = spread(look.black) + spread(look.contrast) * image
    plain = spread(look.colour) + enlarged(look.change, image)
    image = torch.lerp(image, plain.expand_as(image), spread(look.flat))
    return (image.clamp(0, 1) * 255).round() / 255
