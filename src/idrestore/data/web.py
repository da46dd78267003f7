"""Photos as the web hands them on: made smaller, softened, compressed once more."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from idrestore.data.camera.planes import filtered, gaussian
from idrestore.data.jpeg import jpegs

LARGER = 11 / 8
"""Sides of what may be made smaller, relative to what comes out."""
SHRUNK, SOFTENED, COMPRESSED = 0.6, 0.35, 0.5
"""Shares of the photos"""
SOFTNESS = 0.3, 1.2  # standard deviation of a Gaussian, px
QUALITY = 40, 95


class Passage(NamedTuple):
    """What becomes of a photo."""

    top: int
    left: int
    side: int
    """Of the part of it that is left, px, before that is made smaller"""
    softness: float
    """0: none"""
    quality: int
    """Of the JPEG; 0: none"""
    is_halved: bool
    """Whether its colours have half the resolution"""


def draw(side: int, rng: np.random.Generator, share: float = 1.0) -> Passage:
    """Draw what becomes of a photo of which a square of `side` px is to be left; all but a share stay as they are."""
    drawn = larger(side)
    part = int(rng.integers(side, drawn, endpoint=True)) if rng.random() < SHRUNK else side
    top, left = (int(at) for at in rng.integers(drawn - part + 1, size=2))
    softness = rng.uniform(*SOFTNESS) if rng.random() < SOFTENED else 0.0
    quality = int(rng.integers(*QUALITY, endpoint=True)) if rng.random() < COMPRESSED else 0
    passage = Passage(top, left, part, softness, quality, bool(rng.random() < 0.5))
    return passage if rng.random() < share else Passage(0, 0, side, 0.0, 0, False)


def larger(side: int, share: float = 1.0) -> int:
    """Return the side of photos from which squares of such a side are left, px, if a share of them is handed on."""
    return round(LARGER * side) if share else side


def hand_on(photos: Tensor, passages: Sequence[Passage], side: int) -> Tensor:
    """Hand on photos (B, 3, h, w) in [0, 1]: what is left of them, (B, 3, side, side) on the 8-bit grid."""
    parts = zip(photos, passages, strict=True)
    handed = torch.cat([_handed_on(photo[None], passage, side) for photo, passage in parts])
    for is_halved in (False, True):
        rows = [row for row, each in enumerate(passages) if each.quality and each.is_halved == is_halved]
        if rows:
            handed[rows] = jpegs(handed[rows], [passages[row].quality for row in rows], is_halved)
    return handed


def _handed_on(photo: Tensor, passage: Passage, side: int) -> Tensor:
    down, right = (slice(start, start + passage.side) for start in (passage.top, passage.left))
    part = photo[..., down, right]
    if passage.side != side:
        part = F.interpolate(part, (side, side), mode="bicubic", antialias=True)
    if passage.softness:
        part = filtered(part, gaussian(part.new_tensor(passage.softness)))
    return (part.clamp(0, 1) * 255).round() / 255
