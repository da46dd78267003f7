"""Local tone mapping: the shadows of a photo that was exposed for its lights, lifted by its own tones.

As in Durand and Dorsey 2002, light and detail are told apart and only the light is changed, so that detail, hues and
lights stay; what is light is read by a guided filter (He, Sun and Tang 2013), which follows edges, so that there are no
halos.
"""

import math
from typing import NamedTuple

from torch import Tensor

from idrestore import guided_filter
from idrestore.restoration.evidence import ramps

WINDOW = 13
"""Side of the windows in which light is told from detail, px of a thumbnail."""
FLAT = 0.16
"""Variance of the logarithm of a photo's tones up to which a place is flat: what varies less is detail."""
DARKEST = 0.02
"""Added to tones before their logarithm is taken: what is darker is noise and rounding."""
BLACK = 0.06
"""Tone, as a part of the largest one, at which half of a lift is kept: what is darker is black, and stays so."""
LIGHTS = 0.35, 0.5
"""Tones that are lights in part, and surely."""
COLOURFUL = 0.75
"""Power of a gain that colours grow by: in the light they look stronger than in the dark."""
STEPS = 24
"""Halvings by which a gain is found."""


class Tone(NamedTuple):
    """How the shadows of a whole photo are lifted."""

    slope: Tensor
    """(1, 1, h, w)"""
    offset: Tensor
    """(1, 1, h, w): the logarithm of the light at a place is slope · that of its tone + offset"""
    black: float
    """Light at which half of a lift is kept: what is darker is black"""
    gain: float
    """How many times as bright the darkest parts become that are not black"""


def fit(thumbnail: Tensor, brightness: float, most: float, amount: float = 1.0) -> Tone:
    """Return how the photo of a thumbnail (1, 3, h, w) in [0, 1] is lifted until its shadows are that bright.

    That is the geometric mean of what is neither black nor a light. No gain is above `most`; `amount` in [0, 1] is how
    much of it is kept.
    """
    tones = _tones(thumbnail)
    size = (thumbnail.shape[-2], thumbnail.shape[-1])
    black = BLACK * float(thumbnail.max())
    tone = Tone(*guided_filter.fit(_logarithm(tones), _logarithm(tones), WINDOW, FLAT, size), black, 1.0)
    shadows = _shows(tones, black) * (1 - ramps(tones, LIGHTS))
    least, largest = 1.0, most
    for _ in range(STEPS):
        gain = (least + largest) / 2
        lifted = _logarithm(lift(thumbnail, tone._replace(gain=gain), size).mean(dim=1, keepdim=True))
        is_bright = float((lifted * shadows).sum() / shadows.sum().clamp(min=1)) > math.log(brightness + DARKEST)
        least, largest = (least, gain) if is_bright else (gain, largest)
    return tone._replace(gain=1 + amount * (least - 1))


def lift(photos: Tensor, tone: Tone, size: tuple[int, int], corner: tuple[int, int] = (0, 0)) -> Tensor:
    """Lift the shadows of photos (1, 3, H, W) in [0, 1], the part of a photo of `size` from the pixel `corner` on."""
    tones = _tones(photos)
    slope, offset = (guided_filter.placed(plane, photos, size, corner) for plane in (tone.slope, tone.offset))
    light = ((slope * _logarithm(tones) + offset).exp() - DARKEST).clamp(0, 1)
    opened = (tone.gain - 1) * _shows(light, tone.black)
    gain = (1 + opened) / (1 + opened * light.maximum(tones))  # what is lighter than its place stays so
    grey = photos.mean(dim=1, keepdim=True)
    return gain * grey + gain**COLOURFUL * (photos - grey)


def _tones(photos: Tensor) -> Tensor:
    """Return the largest of the colours of photos (B, 3, H, W), (B, 1, H, W)."""
    return photos.amax(dim=1, keepdim=True)


def _logarithm(tones: Tensor) -> Tensor:
    return (tones + DARKEST).log()


def _shows(light: Tensor, black: float) -> Tensor:
    """Return how far what is so light is not black, in [0, 1]."""
    return light.square() / (light.square() + max(black, DARKEST / 10) ** 2)
