"""A step in training `fast`: its routers fitted anew, all else fixed; a quarter of an hour on two cores with bf16.

    python recipes/fast_routers.py MODEL.safetensors -o ROUTED.safetensors --photos FOLDER_OF_CLEAN_PHOTOS [--soft]

While the network learns, its routers see small patches of sharp photos. Here they see crops of 320 x 320, and what they
had not met: the weak, smooth noise that cameras leave, also in photos that are soft at the scale of a pixel. They learn
by AdamW to say what they said before, with the right ingredient raised to a least share where it had less. What each
router sees depends on what those before it said, so the noisy samples are shown twice, once with the network told so.

With `--soft` they learn another thing: of a hazy photo that is soft at the scale of a pixel, as photos of what is far
are, they say blur. They are to say haze, of haze that grows with distance by many times, too, and nothing else anew:
what of noise is gone, and soft and compressed photos that are clean, are among what they are to say the same of.

Prints, for photos learned from and for photos held out, how often each ingredient is named first, before and after.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor
from views import SCALES, SOFT, noisy, resized

from idrestore.data import degrade
from idrestore.data.jpeg import jpeg
from idrestore.data.loader import Photos, find_photos
from idrestore.degradations import NAMES
from idrestore.device import has_bf16_units
from idrestore.model import checkpoint
from idrestore.model.network import RestorationNetwork

CROP = 320
HELD_OUT, HELD_SHARE = 16, 0.3
WEAK_IID = 0.15
DEEP_BETA, DEEP_AIRLIGHT = (0.4, 2.2), (0.6, 0.97)
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
    """The photo is enlarged before it is degraded, or half of the photos blurred by a pixel"""
    jpeg: float = 0.0
    """Share that is compressed"""
    told: bool = False
    """The network is told the ingredient of `least`"""
    restored: bool = False
    """What the network makes of the photo takes its place"""


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

HAZE, DARK, BLUR = ("haze", 0.65), ("low_light", 0.6), ("blur", 0.72)
SOFT_KINDS = (
    Kind("haze", 170, 3.0, HAZE, soft=True, jpeg=0.4),
    Kind("haze", 90, 3.0, HAZE, soft=True, jpeg=0.4, told=True),
    Kind("deep haze", 130, 3.0, HAZE, soft=True, jpeg=0.4),
    Kind("deep haze", 90, 3.0, HAZE, soft=True, jpeg=0.4, told=True),
    Kind("low_light", 70, 3.0, DARK, soft=True, jpeg=0.4),
    Kind("clean", 170, 4.5),
    Kind("clean", 130, 3.0, soft=True, jpeg=0.4),
    Kind("clean", 60, 6.0, soft=True, jpeg=1.0),
    Kind("blur", 170, 7.0, BLUR),
    Kind("blur", 60, 5.0, BLUR, soft=True, jpeg=0.4),
    Kind("haze", 100, 2.0),
    Kind("deep haze", 60, 2.0),
    Kind("noise", 80, 2.0),
    Kind("noise", 40, 4.0, restored=True),
    Kind("rain", 100, 1.5),
    Kind("rain", 40, 1.5, soft=True, jpeg=0.4),
    Kind("low_light", 60, 1.5),
    Kind("weak", 60, 1.5),
    Kind("weak", 30, 4.0, restored=True),
    Kind("weak", 60, 1.5, soft=True, jpeg=0.4),
    Kind("mixture", 80, 2.0),
    Kind("haze+noise", 60, 5.0),
    Kind("haze+noise", 30, 6.0, restored=True),
    Kind("blur+noise", 60, 2.0),
    Kind("haze+rain+noise", 40, 1.5),
    Kind("rain+low_light", 40, 1.5),
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
    parser.add_argument("--soft", action="store_true")
    options = parser.parse_args()
    kinds = SOFT_KINDS if options.soft else KINDS
    torch.manual_seed(0)
    model = checkpoint.load(options.model)
    paths = find_photos([options.photos])
    held = paths[:: max(1, len(paths) // HELD_OUT)][:HELD_OUT]
    learned = [path for path in paths[::3] if path not in held]
    network = model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    new, old = (look(network, kinds, photos, share) for photos, share in ((held, HELD_SHARE), (learned, 1.0)))
    for index, block in enumerate(network.prior_blocks.values()):
        fit(block.router, index, kinds, old)
    for title, views in (("learned from", old), ("held out", new)):
        report(title, network, kinds, views)
    checkpoint.save(options.out, network, model.card)


@torch.no_grad()
def look(network: RestorationNetwork, kinds: Sequence[Kind], paths: list[Path], share: float) -> list[View]:
    """Show the network such a share of all kinds of samples, and return what its routers see."""
    photos = Photos(paths, SCALES, CROP)
    seen: list[list[Tensor]] = [[] for _ in network.prior_blocks]
    hooks = [
        block.router.hidden.register_forward_pre_hook(lambda _, given, rows=rows: rows.append(given[0].float()))
        for block, rows in zip(network.prior_blocks.values(), seen, strict=True)
    ]
    views = []
    for kind in kinds:
        generator = np.random.default_rng(0)
        told = torch.eye(len(NAMES))[[NAMES.index(kind.least[0])]] if kind.told and kind.least else None
        logits = []
        for _ in range(int(kind.number * share)):
            photo = draw(kind, photos, generator)[None].contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16_units(torch.device("cpu"))):
                if kind.restored:
                    photo = degrade.to_8_bit(network(photo).restored.float())
                    for rows in seen:
                        del rows[-1]
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
        crop = softened(crop, kind.jpeg > 0 and generator.random() < 0.5, generator)
    seed = int(generator.integers(2**31))
    degraded = degraded_as(kind.name, crop, seed, generator)
    if kind.jpeg and generator.random() < kind.jpeg:
        return jpeg(degraded, int(generator.integers(50, 90)), bool(generator.random() < 0.5))
    return degraded


def softened(crop: Tensor, by_blur: bool, generator: Generator) -> Tensor:
    """Return a crop without its finest detail: blurred by a pixel, or a part of it enlarged."""
    if by_blur:
        offsets = torch.arange(-5, 6) / generator.uniform(0.5, 1.3)
        line = torch.exp(-offsets.square() / 2)
        kernel = torch.outer(line, line) / line.sum() ** 2
        return F.conv2d(F.pad(crop[:, None], (5, 5, 5, 5), mode="reflect"), kernel[None, None])[:, 0]
    side = int(CROP / generator.uniform(*SOFT))
    return resized(crop[:, :side, :side], CROP, CROP)


def degraded_as(name: str, crop: Tensor, seed: int, generator: Generator) -> Tensor:
    """Return a crop with what a kind's name says."""
    if name == "weak":
        with patch.object(degrade, "NOISE_IID", WEAK_IID):
            return noisy(crop, "weak noise", generator, seed)
    if name == "deep haze":
        with patch.multiple(degrade, _scene=deep_scene, HAZE_BETA=DEEP_BETA, HAZE_AIRLIGHT=DEEP_AIRLIGHT):
            return degrade.to_8_bit(degrade.degrade(crop, "haze", float(generator.random()), seed))
    kinds = name.split("+")
    if name == "mixture":
        kinds = generator.permutation([name for name in NAMES if name != "clean"])[: generator.integers(2, 4)].tolist()
    return degrade.sample(crop, tuple(kinds), seed).degraded


def deep_scene(guide: Tensor, rng: Generator) -> Tensor:
    """Return a depth that grows by many times from bottom to top, but for things in front; see `degrade._scene`."""
    up = torch.linspace(1, -1, guide.shape[-2])[:, None]
    right = torch.linspace(-1, 1, guide.shape[-1])
    growth, slant = rng.uniform(0.6, 2.2), rng.normal(0, 0.25)
    hills = 0.25 * degrade._field(guide, int(rng.integers(2, 5)), rng)
    depth = torch.exp(growth * (up + slant * right + hills + rng.uniform(-0.2, 0.6) * (guide - guide.mean())))
    depth = depth.clamp(max=float(torch.quantile(depth, 0.97)))
    for _ in range(int(rng.integers(0, 3))):
        top, centre, half = rng.uniform(-0.9, 0.2), rng.uniform(-1, 1), rng.uniform(0.1, 0.5)
        inside = (up < top + 0.15 * degrade._field(guide, 6, rng)) & ((right - centre).abs() < half)
        depth = torch.where(inside, rng.uniform(0.05, 0.3) * depth, depth)
    return depth / depth.mean()


def fit(router: torch.nn.Module, index: int, kinds: Sequence[Kind], views: list[View]) -> None:
    """Fit router `index` by the divergence from what it is to say."""
    pooled, wanted, weights = [], [], []
    for kind, view in zip(kinds, views, strict=True):
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
def report(title: str, network: RestorationNetwork, kinds: Sequence[Kind], views: list[View]) -> None:
    """Print in percent what is named first, before and after."""
    print(f"{title}: named first, %, before -> after ({', '.join(NAMES)})")
    for kind, view in zip(kinds, views, strict=True):
        blocks = zip(network.prior_blocks.values(), view.pooled, strict=True)
        after = torch.stack([block.router.decide(pooled) for block, pooled in blocks], dim=1)
        first = [logits.softmax(dim=2).mean(dim=1).argmax(dim=1) for logits in (view.logits, after)]
        before, now = ([round(100 * (each == k).float().mean().item()) for k in range(len(NAMES))] for each in first)
        what = f"{'soft ' * kind.soft}{kind.name}{', told' * kind.told}{', restored' * kind.restored}"
        print(f"  {what}: {before} -> {now}")


if __name__ == "__main__":
    main()
