"""How a part of `fast` learns apart from all else, in recipes/fast_overlay.py, fast_wide.py and fast_tone.py."""

import argparse
import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor, nn

from idrestore.data import degrade
from idrestore.data.loader import WHITE_SIGMA, Photos, find_photos
from idrestore.device import is_half
from idrestore.metrics import psnr_batch
from idrestore.model import checkpoint
from idrestore.model.network import RestorationNetwork
from idrestore.training.losses import LOG_ERROR_FLOOR
from idrestore.training.optimizers import Muon

HELD_OUT = 31
"""Every so manieth photo is held out."""
SCALES = 1.0, 0.7, 0.5, 0.35
"""Sizes of the photos that patches are cut from, relative to what they are."""
WEAK = 0.05, 0.5
"""Strengths of weak noise."""
SOFT = 1.15, 2.4
"""By how much soft photos were enlarged."""
BATCH = 12
RATE, WARM_UP, CLIP, EMA = 0.003, 50, 0.5, 0.998

View = TypeVar("View", bound=nn.Module)
Made = TypeVar("Made")


class Kept(Protocol):
    """Samples in tensors, all of which have a row for each."""

    def __getitem__(self, field: int, /) -> Tensor: ...

    def part(self, index: Tensor) -> Any:
        """Return some of the samples."""


Samples = TypeVar("Samples", bound=Kept)


class Pictures(NamedTuple):
    """Samples as a view sees them; pictures are (B, 3, H, W)."""

    without: Tensor
    """What is there without what the view changes"""
    changed: Tensor
    clean: Tensor
    graded: Tensor | float = 1.0
    """(B,): how much the logarithm of a sample's error counts; next to no error would count too much"""


def parser_of(description: str, samples: int, steps: int) -> argparse.ArgumentParser:
    """Return what reads what a recipe is asked for; `samples` and `steps` are used if they are not given."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--out", "-o", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=samples)
    parser.add_argument("--steps", type=int, default=steps)
    return parser


def options_of(description: str, samples: int, steps: int) -> argparse.Namespace:
    """Read what a recipe is asked for, as `parser_of` has it."""
    return parser_of(description, samples, steps).parse_args()


def start(options: argparse.Namespace) -> tuple[checkpoint.Model, RestorationNetwork]:
    """Seed all chance, and return the model that a recipe starts from, and its network, in channels_last memory."""
    torch.manual_seed(0)
    model = checkpoint.load(options.model)
    return model, model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def make_all(
    make: Callable[[list[Path], int, int], Samples],
    options: argparse.Namespace,
    held_share: float,
    seeds: tuple[int, int],
) -> tuple[Samples, list[Samples]]:
    """Make samples (photos, their number, seed) to learn from, and batches of some of the photos that are held out.

    `held_share` is the number of the latter, relative to the others; `seeds` are for the ones and the others.
    """
    paths = find_photos([options.photos])
    held = paths[::HELD_OUT]
    held_out = make(held, max(1, round(options.samples * held_share)), seeds[1])
    samples = make([path for path in paths if path not in held], options.samples, seeds[0])
    return samples, [held_out.part(part) for part in torch.arange(len(held_out[0])).split(BATCH)]


def patches(
    paths: list[Path],
    seed: int,
    kinds: Mapping[str, float],
    side: int,
    degrade_patch: Callable[[Tensor, str, Generator], tuple[Tensor, Tensor]],
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield patches without end: of which kind, as `degrade_patch` has them seen, and as they should be."""
    photos = Photos(paths, SCALES, side)
    for index in itertools.count():
        generator = np.random.default_rng((seed, index))
        kind = one_of(kinds, generator)
        yield kind, *degrade_patch(photos.crop(side, generator), kind, generator)


def one_of(kinds: Mapping[str, float], generator: Generator) -> str:
    """Draw a kind, given how often which."""
    chances = np.array(list(kinds.values()))
    return list(kinds)[int(generator.choice(len(kinds), p=chances / chances.sum()))]


def noisy(clean: Tensor, kind: str, generator: Generator, seed: int) -> Tensor:
    """Return (3, H, W) with "white noise" or "weak noise"."""
    if kind == "weak noise":
        return degrade.to_8_bit(degrade.degrade(clean, "noise", generator.uniform(*WEAK), seed))
    sigma = float(np.exp(generator.uniform(*np.log(WHITE_SIGMA))))
    return degrade.to_8_bit(degrade.gaussian_noise(clean, sigma, seed))


def learn(
    view: View,
    samples: Iterable[Made],
    held_out: Sequence[Made],
    steps: int,
    log_error: float,
    see: Callable[[View, Made], Pictures],
    error_itself: float = 1.0,
) -> View:
    """Return a view with the average of the weights that it takes on its way; `see` shows it a batch of samples.

    What learns is what requires a gradient. The loss is the mean error, times `error_itself`, and the mean logarithm of
    samples' squared errors, times `log_error`.
    """
    view = view.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(view).requires_grad_(False)
    learning = [parameter for parameter in view.parameters() if parameter.requires_grad]
    averages = [slow for slow, fast in zip(average.parameters(), view.parameters(), strict=True) if fast.requires_grad]
    optimizer = Muon(learning, RATE)
    gains: list[Tensor] = []
    for step, batch in enumerate(samples):
        optimizer.param_groups[0]["lr"] = RATE * max(min((step + 1) / WARM_UP, 1 - step / steps), 1e-3)
        with half():
            pictures = see(view, batch)
        error = pictures.changed - pictures.clean
        log_errors = pictures.graded * (error.square().mean(dim=(1, 2, 3)) / LOG_ERROR_FLOOR).log1p()
        optimizer.zero_grad()
        (error_itself * error.abs().mean() + log_error * log_errors.mean()).backward()
        torch.nn.utils.clip_grad_norm_(learning, CLIP)
        optimizer.step()
        decay = min(EMA, (1 + step) / (10 + step))
        with torch.no_grad():
            for slow, fast in zip(averages, learning, strict=True):
                slow.lerp_(fast, 1 - decay)
            gains.append(gain(pictures))
        if (step + 1) % 100 == 0 or step + 1 == steps:
            with torch.no_grad():
                of_held_out = torch.cat([gain(see(average, part)) for part in held_out]).mean()
            print(f"{step + 1}: {torch.cat(gains).mean():.3f} dB, held out {of_held_out:.3f} dB", flush=True)
            gains.clear()
    return average


def half() -> torch.autocast:
    """Return a context in which networks calculate in bf16, if this machine has units for it."""
    return torch.autocast("cpu", torch.bfloat16, enabled=is_half("auto", torch.device("cpu")))


def gain(pictures: Pictures) -> Tensor:
    """Return by how much a view raises the PSNR of each sample of a batch, in dB."""
    before, after = (psnr_batch(each.clamp(0, 1), pictures.clean) for each in pictures[:2])
    return after.clamp(max=60) - before.clamp(max=60)


def resized(photo: Tensor, height: int, width: int) -> Tensor:
    """Return (3, H, W) in [0, 1] at another size."""
    return F.interpolate(photo[None], (height, width), mode="bicubic", antialias=True)[0].clamp(0, 1)


def eight_bit(photo: Tensor) -> Tensor:
    """Return [0, 1] as 0 to 255."""
    return (255 * photo.clamp(0, 1)).round().byte()
