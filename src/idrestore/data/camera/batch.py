"""Degraded photos as cameras make them, a batch at a time: parameters drawn on the host, tensors made anywhere.

`draw` is a pure function of what the samples show and of their seeds; `develop` makes photos of crops and parameters on
the device where the crops are. Chance that fills planes comes from the device's own generators, seeded for each sample:
so a sample does not depend on its batch, but differs between kinds of devices.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from idrestore.data.camera import blur, haze, light, lines, look, noise, rain
from idrestore.data.camera.planes import Draw, Stacked, stacked
from idrestore.data.degrade import MIXTURE_RELIEF, to_8_bit
from idrestore.data.jpeg import jpegs

STRENGTHS = {"noise": (1.1, 1.3), "rain": (1.5, 1.3), "haze": (1.4, 1.3), "blur": (1.9, 1.2), "low_light": (1.5, 0.9)}
"""Beta distribution of each degradation's strength: from nothing up."""
KINDS = (*STRENGTHS, "clean")
LINES = {"clean": 0.35, "rain": 0.25}
"""Share of samples with lines that stay; `LINES_ELSEWHERE` of the others."""
LINES_ELSEWHERE = 0.08
HINTS = 0.5  # share of the samples without noise of their own that have a little nevertheless
JPEG_SHARE = 0.55
JPEG_QUALITY = 70, 98
OLD_JPEG_QUALITY = 25, 98  # of clean photos, whose target is what comes in


class Parameters(NamedTuple):
    """What is done to a batch; a row that shows nothing stays as it is."""

    stages: dict[str, tuple[list[int], Any]]
    """For each stage the rows that it concerns, and what was drawn for each of them"""
    clean: list[int]
    """Rows whose target is what comes in"""


class File(NamedTuple):
    """How a photo is stored."""

    quality: int
    is_halved: bool
    """Whether its colours have half the resolution"""


def draw(
    kinds: Sequence[tuple[str, ...]], seeds: Sequence[Sequence[int]], side: int, are_scenes: bool = False
) -> Parameters:
    """Draw the parameters of samples `side` px wide, each showing its kinds and drawn from its own seeds alone.

    Those that `are_scenes` show whole ones, else parts of them.
    """
    stages: dict[str, tuple[list[int], list[Any]]] = {}
    for row, (shown, seed) in enumerate(zip(kinds, seeds, strict=True)):
        for stage, drawn in _drawn(shown, side, are_scenes, np.random.default_rng(seed)).items():
            rows, values = stages.setdefault(stage, ([], []))
            rows.append(row)
            values.append(drawn)
    return Parameters(dict(stages), [row for row, shown in enumerate(kinds) if shown == ("clean",)])


def develop(crops: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
    """Return degraded photos and what they should come back as; (B, 3, H, W) in [0, 1] to two of the same, 8 bit."""
    clean = _staged(crops, parameters, "look", look.Look, look.dress)
    clean = _staged(clean, parameters, "lines", lines.Lines, lines.draw_on)
    clean = _staged(clean, parameters, "blur", blur.Blur, blur.set_scene)
    clean = _rounded(_staged(clean, parameters, "low_light", light.Light, light.set_scene))
    degraded = _staged(clean, parameters, "rain", rain.Rain, rain.fall)
    degraded = _staged(degraded, parameters, "haze", haze.Haze, haze.scatter)
    degraded = _staged(degraded, parameters, "low_light", light.Light, light.darken)
    degraded = _staged(degraded, parameters, "blur", blur.Blur, blur.expose)
    degraded = _staged(degraded, parameters, "low_light", light.Light, light.sense)
    degraded = to_8_bit(_staged(degraded, parameters, "noise", noise.Noise, noise.add))
    degraded = _stored(degraded, parameters)
    rows = parameters.clean
    return degraded, clean.index_put((torch.tensor(rows, dtype=torch.long),), degraded[rows]) if rows else clean


def _drawn(kinds: tuple[str, ...], side: int, is_scene: bool, rng: np.random.Generator) -> dict[str, Any]:
    """Draw all that happens to one sample."""
    if not kinds:
        return {}
    is_clean = kinds == ("clean",)
    drawn: dict[str, Any] = {}
    if seen := look.draw(rng, kinds):
        drawn["look"] = seen
    if rng.random() < max(LINES.get(kind, LINES_ELSEWHERE) for kind in kinds):
        drawn["lines"] = lines.draw(rng)
    makers: dict[str, Callable[[float, np.random.Generator], Draw]] = {
        "noise": noise.draw,
        "rain": rain.draw,
        "haze": partial(haze.draw, is_scene=is_scene),
        "blur": partial(blur.draw, side=side),
        "low_light": light.draw,
    }
    relief = MIXTURE_RELIEF ** (len(kinds) - 1)
    for kind in kinds if not is_clean else ():
        strength = relief * rng.beta(*STRENGTHS[kind])
        drawn[kind] = makers[kind](strength, rng)
    if not {"noise", "low_light", "clean"} & set(kinds) and rng.random() < HINTS:
        drawn["noise"] = noise.draw_hint(rng)
    if rng.random() < JPEG_SHARE:
        worst, best = OLD_JPEG_QUALITY if is_clean else JPEG_QUALITY
        drawn["file"] = File(int(rng.integers(worst, best, endpoint=True)), bool(rng.random() < 0.6))
    return drawn


def _staged(
    image: Tensor, parameters: Parameters, name: str, stage: type[Stacked], apply: Callable[[Tensor, Stacked], Tensor]
) -> Tensor:
    """Apply a stage to the rows that it concerns, and clip them to [0, 1]."""
    if name not in parameters.stages:
        return image
    rows, drawn = parameters.stages[name]
    index = torch.tensor(rows, device=image.device)
    changed = apply(image[index], stacked(stage, drawn, image.device)).clamp(0, 1)
    return image.index_copy(0, index, changed)


def _stored(image: Tensor, parameters: Parameters) -> Tensor:
    """Compress rows as JPEG."""
    image = image.clone()
    rows, files = parameters.stages.get("file", ((), ()))
    for is_halved in (False, True):
        chosen = [(row, file.quality) for row, file in zip(rows, files, strict=True) if file.is_halved == is_halved]
        if chosen:
            index = [row for row, _ in chosen]
            image[index] = jpegs(image[index], [quality for _, quality in chosen], is_halved)
    return image


def _rounded(image: Tensor) -> Tensor:
    """Round to the 8-bit grid."""
    return (image * 255).round() / 255
