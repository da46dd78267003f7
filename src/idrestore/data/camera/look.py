"""How clean photos look: soft or sharpened, scaled, pale or dark by nature, of one colour. Nothing is to be undone."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from idrestore.data.camera.planes import Draw, enlarged, filtered, gaussian, spread
from idrestore.data.camera.tone import power
from idrestore.data.physics.chance import Range

SOFTNESS: Range = (0.2, 0.95)  # standard deviation, px, of phones of 12 to 48 megapixels
SCALED: Range = (0.4, 0.95)  # size of the photo before it was enlarged
HALO: Range = (0.2, 1.4)  # gain of sharpening
HALO_RADIUS: Range = (0.6, 1.6)  # px
PALE: Range = (0.72, 1.0)  # contrast
DARK: Range = (1.0, 1.7)  # exponent of encoded values
FLAT = 0.06  # share of one colour, or a slow change of it
FIELD = 3


class Look(NamedTuple):
    """Look of a sample."""

    softness: Tensor
    scaled: Tensor
    """Size of the photo before it was enlarged to this one; 2: it never was"""
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


def draw(rng: np.random.Generator, kinds: tuple[str, ...]) -> Draw | None:
    """Draw a look, or none; that of degraded photos varies less, and hides nothing that is to be judged.

    Under noise they vary as much: cameras' photos are soft at the scale of a pixel, and only noise is sharp.
    """
    share = 0.5 if kinds in (("clean",), ("noise",)) else 0.2  # half of the photos that have any have each
    hides_light = not {"haze", "low_light"}.isdisjoint(kinds)

    def chosen(value: float, otherwise: float, times: float = 1.0) -> float:
        return value if rng.random() < 0.5 * times else otherwise

    if rng.random() > 2 * share:
        return None
    contrast = chosen(rng.uniform(*PALE), 1.0, 0.3)
    exponent = chosen(rng.uniform(*DARK), 1.0, 0.4)
    return {
        "softness": chosen(rng.uniform(*SOFTNESS), 0.0) * ("blur" not in kinds),
        "scaled": chosen(rng.uniform(*SCALED), 2.0, 0.4) if "blur" not in kinds else 2.0,
        "halo": chosen(rng.uniform(*HALO), 0.0),
        "halo_radius": rng.uniform(*HALO_RADIUS),
        "contrast": 1.0 if hides_light else contrast,
        "black": 0.0 if hides_light else rng.uniform(0, 1 - contrast),
        "exponent": 1.0 if hides_light else exponent,
        "saturation": chosen(rng.uniform(0, 1.3), 1.0, 0.3),
        "flat": float(rng.random() < FLAT) * (not hides_light),
        "colour": rng.choice((0.0, 1.0), 3) if rng.random() < 0.3 else rng.uniform(0, 1, 3),
        "change": rng.normal(0, rng.uniform(0, 0.1), (FIELD, FIELD)) * (rng.random() < 0.6),
    }


def dress(image: Tensor, look: Look) -> Tensor:
    """Give clean photos their look; (n, 3, H, W) and a `Look` of tensors (n, ...) to the same, on the 8-bit grid."""
    rows = (look.softness + look.halo > 0) | (look.scaled < 1)
    if rows.any():
        image = image.clone()
        image[rows] = _refined(image[rows], Look(*(column[rows] for column in look))).clamp(0, 1)
    grey = image.mean(dim=1, keepdim=True)
    image = power(torch.lerp(grey, image, spread(look.saturation)), spread(look.exponent))
    image = spread(look.black) + spread(look.contrast) * image
    rows = look.flat > 0
    if rows.any():
        plain = spread(look.colour[rows]) + enlarged(look.change[rows], image)
        image[rows] = plain.expand_as(image[rows])
    return (image.clamp(0, 1) * 255).round() / 255


def _refined(image: Tensor, look: Look) -> Tensor:
    """Soften, lose what an enlarged photo never had, and sharpen what is left."""
    soft, scaled, halo, radius = map(spread, (look.softness, look.scaled, look.halo, look.halo_radius))

    def response(squares: Tensor) -> Tensor:
        known = torch.sigmoid((scaled / 2 - squares.sqrt()) * 60)
        return gaussian(soft)(squares) * known * (1 + halo * (1 - gaussian(radius)(squares)))

    return filtered(image, response)
