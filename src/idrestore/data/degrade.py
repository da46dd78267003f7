"""The synthesis of `idrestore degrade` and of the benchmarks' sets: pure functions of (image, strength, seed).

Images are float32 RGB tensors (3, H, W) in [0, 1], sRGB-encoded, on any device; strengths lie in
[0, 1], from barely visible to the strongest. What each degradation does is in `physics/`; its ranges make the
PSNR of the untouched input resemble that of the usual test sets (Rain100L, SOTS, GoPro, LOL, CC15).
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import NamedTuple

import numpy as np
from torch import Tensor

from idrestore.configuration import nearest
from idrestore.data.jpeg import jpeg
from idrestore.data.physics.chance import normal
from idrestore.degradations import ALIASES, SYNTHESISED, canonical

Effect = Callable[[Tensor, float, np.random.Generator], Tensor]
"""(image, strength, random numbers) to image, not clipped; all chance comes from the generator."""


def _effect(function: str) -> Effect:
    """Return a function of `physics/` by its name, such as `light.darken`."""
    module, name = function.split(".")
    effect: Effect = getattr(import_module(f"idrestore.data.physics.{module}"), name)
    return effect


STAGES: tuple[tuple[int, str, Effect], ...] = tuple(
    sorted(
        ((place, row.name, _effect(function)) for row in SYNTHESISED for place, function in row.stages),
        key=lambda stage: stage[0],
    )
)
"""(place, kind, effect) from the scene to the file: air, light, lens, sensor."""
KINDS: tuple[str, ...] = tuple(row.name for row in SYNTHESISED)

JPEG_QUALITY, JPEG_SHARE = (60, 98), 0.5  # what phones, cameras and messengers write
SAMPLE_PLACE = 8  # seeds the draws of `sample`; no stage may stand here
MIXTURE_RELIEF = 0.8  # factor on every strength for each further degradation: something must stay


class Sample(NamedTuple):
    """One training pair and its labels."""

    degraded: Tensor
    """(3, H, W) in [0, 1], on the 8-bit grid."""
    clean: Tensor
    """(3, H, W): what the network should return."""
    kinds: tuple[str, ...]


def mix(image: Tensor, strengths: Mapping[str, float], seed: int) -> Tensor:
    """Apply degradations in the order of the physics, whatever the order of `strengths`; `clean` changes nothing.

    (3, H, W) in [0, 1] to the same. Each stage has its own random numbers, so that adding a kind does not change the
    others. Raise `ValueError` for an unknown kind or a strength outside [0, 1].
    """
    check_strengths({kind: strength for kind, strength in strengths.items() if kind != "clean"})
    for place, kind, effect in STAGES:
        if kind in strengths:
            image = effect(image, strengths[kind], np.random.default_rng((seed, place))).clamp(0, 1)
    return image


def sample(clean: Tensor, kinds: tuple[str, ...], seed: int) -> Sample:
    """Draw strengths, degrade, quantise and, in half of the samples, compress as JPEG.

    For `("clean",)` the target is the quantised photo itself: a clean one must come back unchanged.
    """
    if not kinds or ("clean" in kinds and len(kinds) > 1):
        raise ValueError(f"kinds is {kinds!r}; expected ('clean',) or one or more of {KINDS}")
    rng = np.random.default_rng((seed, SAMPLE_PLACE))
    relief = MIXTURE_RELIEF ** (len(kinds) - 1)
    spreads = {row.name: row.strength for row in SYNTHESISED}
    strengths = {kind: relief * rng.beta(*spreads.get(kind, (1, 1))) for kind in kinds}
    degraded = to_8_bit(mix(clean, strengths, seed))
    if rng.random() < JPEG_SHARE:
        quality = int(rng.integers(JPEG_QUALITY[0], JPEG_QUALITY[1], endpoint=True))
        degraded = jpeg(degraded, quality, chroma_subsampling=bool(rng.random() < 0.5))
    return Sample(degraded, degraded if kinds == ("clean",) else clean, kinds)


def gaussian_noise(image: Tensor, sigma: float, seed: int) -> Tensor:
    """Add white noise of standard deviation `sigma` in 8-bit units, then clip to [0, 1]."""
    plane = normal(image.shape, image, np.random.default_rng(seed))
    return (image + sigma / 255 * plane).clamp(0, 1)


def to_8_bit(image: Tensor) -> Tensor:
    """Clip to [0, 1] and truncate to k/255, as the test protocols do.

    The margin of 1e-4 keeps values already on the grid where they are in spite of rounding.
    """
    return (image.clamp(0, 1) * 255 + 1e-4).floor() / 255


def parse_kinds(text: str, strength: float) -> dict[str, float]:
    """Read `KIND[@STRENGTH][+KIND[@STRENGTH]]...`, kinds in any words for them; `strength` is for those without an @.

    Raise `ValueError` for anything else, and for a kind that stands twice.

    >>> parse_kinds("fog+noise@0.3", 0.5)
    {'haze': 0.5, 'noise': 0.3}
    """
    strengths: dict[str, float] = {}
    for part in text.split("+"):
        word, _, own = part.partition("@")
        kind = canonical(word)
        if kind in strengths:
            raise ValueError(f"got {kind} twice, expected it once")
        try:
            strengths[kind] = float(own) if own else strength
        except ValueError:
            raise ValueError(f"got {part!r}, expected KIND or KIND@STRENGTH") from None
    check_strengths(strengths)
    return strengths


def check_strengths(strengths: Mapping[str, float]) -> None:
    """Raise `ValueError` for a kind that cannot be made or a strength outside [0, 1]."""
    for kind, strength in strengths.items():
        if kind not in KINDS:
            close = canonical(nearest(kind, (*KINDS, *ALIASES)))
            raise ValueError(f"unknown kind {kind!r}, nearest is {close!r}; one of {', '.join(KINDS)}")
        if not 0 <= strength <= 1:
            raise ValueError(f"strength of {kind}: got {strength:g}, expected 0 to 1")
