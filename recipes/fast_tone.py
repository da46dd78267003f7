"""A step in training `fast`: its tone view, on what all the rest makes of samples; an hour on two cores without bf16.

    python recipes/fast_tone.py MODEL.safetensors -o TONED.safetensors --photos FOLDER_OF_CLEAN_PHOTOS

All else stays as it is, so its work on a sample, half of the hour, is done once and kept. From that the tone view
(`model/refiners/affine.py`) learns in many passes, starting from what MODEL has of it.

Prints, every 100 steps, how much PSNR the samples gained by it on average, and those of photos held out.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from views import BATCH, Pictures, eight_bit, learn, make_all, one_of, options_of, resized, start

from idrestore.data import degrade
from idrestore.data.loader import Photos
from idrestore.model import checkpoint
from idrestore.model.config import PRESETS
from idrestore.model.network import RestorationNetwork
from idrestore.model.refiners.affine import MULTIPLE, ToneView, certainty, toned
from idrestore.restoration.restorer import HINT, THUMBNAIL
from idrestore.restoration.rules import was_hidden

HELD_SHARE = 0.08
"""Number of samples of photos that are held out, relative to the others."""
SEEDS = 7, 5
LOG_ERROR = 0.1
SIDES, SIDE_SHARES = (THUMBNAIL, 400), (0.75, 0.25)
GAMMA, COLOUR, CAST = (-0.05, 0.25), 0.2, 0.06
"""Lest brightness and colours be learned by heart: mean and deviation of the logarithm of an exponent on the clean
photo, and deviations of the logarithms of a factor on its colours, and of one on each of red, green and blue."""
FARTHEST = 2.0
"""How many times as long as a sample the short side of the photo is at most that it is cut from."""
PALE, HAZY = (-0.35, 0.3), 0.2
"""The exponent on pale photos, and the share of haze from which they are samples: clean ones taken for hazy."""
CUT, EXCHANGED = 4, 0.25
"""Up to how many times `tone.MULTIPLE` pixels a sample's height and width are cut, and how often its colours change
places, each time that it is learned from."""
KINDS = {
    "haze": 0.26,
    "low_light": 0.22,
    "haze+noise": 0.07,
    "rain+low_light": 0.06,
    "haze+rain": 0.03,
    "haze+rain+noise": 0.03,
    "low_light+noise": 0.04,
    "clean": 0.02,
    "pale": 0.27,
}
"""How often which degradations; `pale` photos are clean ones."""


class Made(NamedTuple):
    """Samples, and what a network makes of them without its tone view; pictures are (N, 3, S, S)."""

    degraded: Tensor
    """The thumbnail"""
    thumbnail: Tensor
    """The same, restored at this very size"""
    rest: Tensor
    """The photo, restored and then shrunk"""
    clean: Tensor
    share: Tensor
    """(N,): of haze and darkness"""

    def part(self, index: Tensor) -> "Made":
        """Return some of the samples, as floats in [0, 1]."""
        *pictures, share = (each[index] for each in self)
        return Made(*(picture.float() / 255 for picture in pictures), share)


def main() -> None:
    """Make samples, learn, print and save."""
    options = options_of(__doc__ or "", samples=3000, steps=1500)
    model, network = start(options)
    if network.tone is None:
        network.add_tone(PRESETS["fast"].tone_view)
    samples, parts = make_all(partial(make, network), options, HELD_SHARE, SEEDS)
    network.tone = learn(
        network.tone.requires_grad_(True), drawn(samples, options.steps), parts, options.steps, LOG_ERROR, see
    )
    checkpoint.save(options.out, network, model.card)


@torch.no_grad()
def make(network: RestorationNetwork, paths: list[Path], number: int, seed: int) -> Made:
    """Degrade and restore photos; what is restored in turn is a sample too, what calls for no tone view is none."""
    photos = Photos(paths, (1.0,), THUMBNAIL)
    made = []
    for index in range(number):
        generator = np.random.default_rng((seed, index))
        side = int(generator.choice(SIDES, p=SIDE_SHARES))
        kind = one_of(KINDS, generator)
        clean = degrade.to_8_bit(most_of(photos, side, PALE if kind == "pale" else GAMMA, generator))
        kinds = ("clean",) if kind == "pale" else tuple(kind.split("+"))
        sample = degrade.sample(clean, kinds, int(generator.integers(2**31)))
        photo, before = sample.degraded, None
        for _ in range(2):
            restored, shares = restore(network, photo)
            known = zip(network.config.degradations, shares.mean(dim=0).tolist(), strict=True)
            found = dict(sorted(known, key=lambda item: -item[1]))
            if before is not None and not was_hidden(before, found):
                break
            share = network.share("affine", shares[-1])
            if certainty(share) > 0 and (kind != "pale" or found["haze"] >= HAZY):
                small = shrunk(photo)
                thumbnail = restored if side == THUMBNAIL else restore(network, small, shares)[0]
                made.append((*map(eight_bit, (small, thumbnail, shrunk(restored), shrunk(sample.clean))), share))
            if len([name for name in found if name != "clean" and found[name] >= HINT]) < 2:
                break
            photo, before = eight_bit(restored) / 255, found
    return Made(*map(torch.stack, zip(*made, strict=True)))


def most_of(photos: Photos, side: int, gamma: tuple[float, float], generator: Generator) -> Tensor:
    """Return a square (3, side, side) that shows much of a photo, with its brightness and colours changed a little."""
    image = photos.images[int(generator.integers(len(photos.images)))]
    photo = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    short = min(photo.shape[1:])
    scale = max(side / short, min(1.0, side * generator.uniform(1.0, FARTHEST) / short))
    photo = resized(photo, *(max(side, round(length * scale)) for length in photo.shape[1:]))
    top, left = (int(generator.integers(length - side + 1)) for length in photo.shape[1:])
    cut = photo[:, top : top + side, left : left + side] ** float(np.exp(generator.normal(*gamma)))
    grey = cut.mean(dim=0, keepdim=True)
    cut = grey + float(np.exp(generator.normal(0, COLOUR))) * (cut - grey)
    cut = cut * torch.from_numpy(np.exp(generator.normal(0, CAST, (3, 1, 1)))).float()
    return cut.flip(2) if generator.random() < 0.5 else cut


def restore(network: RestorationNetwork, photo: Tensor, shares: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return what a network makes of a photo (3, H, W), and the ingredients (M, K)."""
    given = None if shares is None else shares[None]
    output = network(photo[None].contiguous(memory_format=torch.channels_last), given)
    return output.restored[0].clamp(0, 1), output.logits[0].softmax(dim=1) if shares is None else shares


def shrunk(photo: Tensor) -> Tensor:
    """Return a square photo at the size of a thumbnail."""
    return photo if photo.shape[-1] == THUMBNAIL else resized(photo, THUMBNAIL, THUMBNAIL)


def drawn(samples: Made, steps: int) -> Iterator[Made]:
    """Yield a batch for each step: parts of the pictures, half of them mirrored, some with their colours exchanged."""
    generator = torch.Generator().manual_seed(1)

    def number(end: int) -> int:
        return int(torch.randint(end, (), generator=generator))

    for _ in range(steps):
        *pictures, share = samples.part(torch.randint(len(samples.share), (BATCH,), generator=generator))
        height, width = (THUMBNAIL - MULTIPLE * number(CUT + 1) for _ in range(2))
        top, left = number(THUMBNAIL - height + 1), number(THUMBNAIL - width + 1)
        pictures = [picture[:, :, top : top + height, left : left + width] for picture in pictures]
        if number(2):
            pictures = [picture.flip(3) for picture in pictures]
        if torch.rand((), generator=generator) < EXCHANGED:
            order = torch.randperm(3, generator=generator)
            pictures = [picture[:, order] for picture in pictures]
        yield Made(*pictures, share)


def see(view: ToneView, made: Made) -> Pictures:
    """Restore samples without and with a tone view."""
    share = (made.share * certainty(made.share))[:, None, None, None]
    degraded, thumbnail = (x.contiguous(memory_format=torch.channels_last) for x in (made.degraded, made.thumbnail))
    changed = toned(made.rest, share * view(degraded, thumbnail, made.share), made.rest.shape[-2:])
    return Pictures(made.rest, changed, made.clean)


if __name__ == "__main__":
    main()
