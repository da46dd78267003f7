"""A step in training `fast`: its overlay blocks, and the top's weights for noise and rain; an hour on two fp32 cores.

    python recipes/fast_overlay.py MODEL.safetensors -o OVERLAID.safetensors --photos FOLDER_OF_CLEAN_PHOTOS

All else stays as it is, so what decoder level 2 makes of a patch is found once and kept, and from that the overlay
blocks, starting from what MODEL has of them, and what noise and rain have of their own in the mixed top, which cost a
quarter of it together, learn in many passes.

Prints, every 100 steps, how much PSNR the samples gained by it on average, and those of photos held out.
"""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from numpy.random import Generator
from torch import Tensor
from views import BATCH, Pictures, eight_bit, learn, make_all, noisy, options_of, patches, start

from idrestore.data import degrade
from idrestore.model import checkpoint
from idrestore.model.config import PRESETS
from idrestore.model.network import RestorationNetwork

LEARNING = "noise", "rain"
HELD_SHARE = 0.03
"""Number of samples of photos that are held out, relative to the others."""
SEEDS = 77, 5
PATCH = 128
KINDS = {
    "white noise": 0.37,
    "noise": 0.14,
    "weak noise": 0.07,
    "clean": 0.02,
    "blur+noise": 0.10,
    "haze+noise": 0.02,
    "low_light+noise": 0.03,
    "rain+noise": 0.04,
    "rain": 0.15,
    "rain+low_light": 0.03,
    "haze+rain": 0.01,
    "haze+rain+noise": 0.02,
}
"""How often which degradations."""
LOG_ERROR, ERROR_ITSELF = 1.0, 0.0
"""The logarithm alone: errors of haze and darkness are large, and would drown the others."""


class Made(NamedTuple):
    """Samples, and what a network makes of them; pictures are (N, 3, S, S)."""

    degraded: Tensor
    rest: Tensor
    """Restored by the network as it was"""
    clean: Tensor
    features: Tensor
    """(N, C, S/4, S/4): what decoder level 2 made of them"""
    ingredients: Tensor
    """(N, K)"""
    graded: Tensor
    """(N,): 0 for photos that are to come back as they are, else 1"""

    def part(self, index: Tensor) -> "Made":
        """Return some of the samples, as floats; pictures in [0, 1]."""
        degraded, rest, clean, *numbers = (each[index].float() for each in self)
        return Made(degraded / 255, rest / 255, clean / 255, *numbers)


def main() -> None:
    """Make samples, learn, print and save."""
    options = options_of(__doc__ or "", samples=10_800, steps=2_250)
    model, network = start(options)
    wide, network.wide = network.wide, None
    samples, parts = make_all(partial(make, network), options, HELD_SHARE, SEEDS)
    if network.overlay is None:
        network.add_overlay(PRESETS["fast"].overlay_blocks)
    own = tuple(f".of.{network.config.degradations.index(name)}." for name in LEARNING)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith("overlay.") or any(each in name for each in own))
    network = learn(network, drawn(samples, options.steps), parts, options.steps, LOG_ERROR, see, ERROR_ITSELF)
    network.wide = wide
    checkpoint.save(options.out, network, model.card)


@torch.no_grad()
def make(network: RestorationNetwork, paths: list[Path], number: int, seed: int) -> Made:
    """Degrade and restore patches."""
    made: list[tuple[Tensor, ...]] = []
    seen: list[Tensor] = []
    hook = network.prior_blocks["decoder2"].register_forward_hook(lambda *given: seen.append(given[2].features))
    for kind, degraded, clean in islice(patches(paths, seed, KINDS, PATCH, degrade_patch), number):
        output = network(degraded[None].contiguous(memory_format=torch.channels_last))
        pictures = map(eight_bit, (degraded, output.restored[0], clean))
        ingredients = output.logits[0, -1].softmax(dim=0)
        made.append((*pictures, seen.pop()[0].half(), ingredients, torch.tensor(float(kind != "clean"))))
    hook.remove()
    return Made(*map(torch.stack, zip(*made, strict=True)))


def degrade_patch(clean: Tensor, kind: str, generator: Generator) -> tuple[Tensor, Tensor]:
    """Return a patch as it is seen, and as it should be; (3, S, S) each."""
    seed = int(generator.integers(2**31))
    if kind in ("white noise", "weak noise"):
        return noisy(clean, kind, generator, seed), clean
    sample = degrade.sample(clean, tuple(kind.split("+")), seed)
    return sample.degraded, sample.clean


def drawn(samples: Made, steps: int) -> Iterator[Made]:
    """Yield a batch for each step."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        yield samples.part(torch.randint(len(samples.graded), (BATCH,), generator=generator))


def see(network: RestorationNetwork, made: Made) -> Pictures:
    """Restore samples as they were restored, and as it is now."""
    degraded, features = (x.contiguous(memory_format=torch.channels_last) for x in (made.degraded, made.features))
    changed = network.finish(degraded, features, features, made.ingredients)  # a mixed top needs no encoder 1
    return Pictures(made.rest, changed, made.clean, made.graded)


if __name__ == "__main__":
    main()
