"""A step in training `fast`: its routers fitted anew, all else fixed; a quarter of an hour on two cores with bf16.

    python recipes/fast_routers.py MODEL.safetensors -o ROUTED.safetensors --photos FOLDER_OF_CLEAN_PHOTOS

While the network learns, its routers see small patches of sharp photos. Here they see crops of 320 x 320, and what they
had not met: the weak, smooth noise that cameras leave, also in photos that are soft at the scale of a pixel. They learn
by AdamW to say what they said before, with the right ingredient raised to a least share where it had less. What each
router sees depends on what those before it said, so the noisy samples are shown twice, once with the network told so.

Prints, for photos learned from and for photos held out, how often each ingredient is named first, before and after.
"""

import argparse
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor
from views import SCALES, SOFT, WEAK

from idrestore import checkpoint
from idrestore.data import degrade
from idrestore.data.loader import Photos, find_photos
from idrestore.degradations import NAMES
from idrestore.device import has_bf16_units
from idrestore.model.network import RestorationNetwork

CROP = 320
HELD_OUT, HELD_SHARE = 16, 0.3
WEAK_IID = 0.15
STEPS, RATE, DECAY = 300, 1e-3, 1e-2


class Kind(NamedTuple):
    """Samples of one kind."""

    name: str
    """Degradations joined by "+"; "weak", which is camera noise; "mixture", two or three at random"""
    number: int
    weight: float = 1.0
    least: tuple[str, float] | None = None
    """Ingredient, and the least share that it is to have"""
    soft: bool = False
    """The photo is enlarged before it is degraded"""
    told: bool = False
    """The network is told the ingredient of `least`"""


KINDS = (
    Kind("weak", 300, 1.0, ("noise", 0.85)),
    Kind("weak", 300, 1.0, ("noise", 0.85), told=True),
    Kind("weak", 300, 2.0, ("noise", 0.85), soft=True),
    Kind("weak", 300, 2.0, ("noise", 0.85), soft=True, told=True),
    Kind("clean", 360, 4.5, ("clean", 0.75)),
    Kind("clean", 120, soft=True),
    Kind("blur", 360, 4.5, ("blur", 0.75)),
    Kind("haze", 380, 2.0, ("haze", 0.72)),
    Kind("noise", 360, 2.0, ("noise", 0.8)),
    Kind("rain", 420, 1.5, ("rain", 0.8)),
    Kind("low_light", 340, 2.0),
    Kind("mixture", 160, 2.0),
    Kind("haze+noise", 80, 3.0),
    Kind("blur+noise", 80, 2.0),
    Kind("rain+low_light", 80),
)


class View(NamedTuple):
    """What the M routers saw and said of the samples of one kind."""

    pooled: list[Tensor]
    """M of (N, D)"""
    logits: Tensor
    """(N, M, K)"""


def main() -> None:
    """Fit, print and save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--out", "-o", type=Path, required=True)
    options = parser.parse_args()
    torch.manual_seed(0)
    model = checkpoint.load(options.model)
    paths = find_photos([options.photos])
    held = paths[:: max(1, len(paths) // HELD_OUT)][:HELD_OUT]
    learned = [path for path in paths[::3] if path not in held]
    network = model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    new, old = (look(network, photos, share) for photos, share in ((held, HELD_SHARE), (learned, 1.0)))
    for index, block in enumerate(network.prior_blocks.values()):
        fit(block.router, index, old)
    for title, views in (("learned from", old), ("held out", new)):
        report(title, network, views)
    checkpoint.save(options.out, network, model.card)


@torch.no_grad()
def look(network: RestorationNetwork, paths: list[Path], share: float) -> list[View]:
    """Show the network such a share of all kinds of samples, and return what its routers see."""
    photos = Photos(paths, SCALES, CROP)
    seen: list[list[Tensor]] = [[] for _ in network.prior_blocks]
    hooks = [
        block.router.hidden.register_forward_pre_hook(lambda _, given, rows=rows: rows.append(given[0].float()))
        for block, rows in zip(network.prior_blocks.values(), seen, strict=True)
    ]
    views = []
    for kind in KINDS:
        generator = np.random.default_rng(0)
        told = torch.eye(len(NAMES))[[NAMES.index(kind.least[0])]] if kind.told and kind.least else None
        logits = []
        for _ in range(int(kind.number * share)):
            photo = draw(kind, photos, generator)[None].contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16_units(torch.device("cpu"))):
                logits.append(network(photo, told).logits.float())
        views.append(View([torch.cat(rows) for rows in seen], torch.cat(logits)))
        for rows in seen:
            rows.clear()
    for hook in hooks:
        hook.remove()
    return views


def draw(kind: Kind, photos: Photos, generator: Generator) -> Tensor:
    """Return a sample (3, h, w) in [0, 1]."""
    crop = photos.crop(CROP, generator)
    if kind.soft:
        side = int(CROP / generator.uniform(*SOFT))
        small = crop[None, :, :side, :side]
        crop = F.interpolate(small, size=(CROP, CROP), mode="bicubic", antialias=True)[0].clamp(0, 1)
    seed = int(generator.integers(2**31))
    if kind.name == "weak":
        strength = float(generator.uniform(*WEAK))
        with patch.object(degrade, "NOISE_IID", WEAK_IID):
            return degrade.to_8_bit(degrade.degrade(crop, "noise", strength, seed))
    kinds = kind.name.split("+")
    if kind.name == "mixture":
        kinds = generator.permutation([name for name in NAMES if name != "clean"])[: generator.integers(2, 4)].tolist()
    return degrade.sample(crop, tuple(kinds), seed).degraded


def fit(router: torch.nn.Module, index: int, views: list[View]) -> None:
    """Fit router `index` by the divergence from what it is to say."""
    pooled, wanted, weights = [], [], []
    for kind, view in zip(KINDS, views, strict=True):
        if kind.told and index == 0:
            continue  # nothing was told before the first router: it saw the same
        shares = view.logits[:, index].softmax(dim=1)
        pooled.append(view.pooled[index])
        wanted.append(shares if kind.least is None else raised(shares, *kind.least))
        weights.append(torch.full((len(shares),), kind.weight))
    x, target, weight = torch.cat(pooled), torch.cat(wanted), torch.cat(weights)
    router.requires_grad_(True)
    optimizer = torch.optim.AdamW(router.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, STEPS)
    for _ in range(STEPS):
        loss = F.kl_div(router.decide(x).log_softmax(dim=1), target, reduction="none").sum(dim=1)
        optimizer.zero_grad()
        (loss * weight).mean().backward()
        optimizer.step()
        schedule.step()


def raised(shares: Tensor, name: str, least: float) -> Tensor:
    """Return shares (N, K) in which one has at least so much; the others keep their proportions."""
    one = torch.eye(len(NAMES))[NAMES.index(name)]
    share = shares[:, one.bool()]
    others = shares * (1 - one) / (1 - share).clamp_min(1e-6)
    return torch.where(share < least, least * one + (1 - least) * others, shares)


@torch.no_grad()
def report(title: str, network: RestorationNetwork, views: list[View]) -> None:
    """Print in percent what is named first, before and after."""
    print(f"{title}: named first, %, before -> after ({', '.join(NAMES)})")
    for kind, view in zip(KINDS, views, strict=True):
        blocks = zip(network.prior_blocks.values(), view.pooled, strict=True)
        after = torch.stack([block.router.decide(pooled) for block, pooled in blocks], dim=1)
        first = [logits.softmax(dim=2).mean(dim=1).argmax(dim=1) for logits in (view.logits, after)]
        before, now = ([round(100 * (each == k).float().mean().item()) for k in range(len(NAMES))] for each in first)
        print(f"  {'soft ' * kind.soft}{kind.name}{', told' * kind.told}: {before} -> {now}")


if __name__ == "__main__":
    main()
