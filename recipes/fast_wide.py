"""A step in training `fast`: its wide view, on what all the rest makes of blurred photos; an hour on two fp32 cores.

    python recipes/fast_wide.py MODEL.safetensors -o WIDE.safetensors --photos FOLDER_OF_CLEAN_PHOTOS [--unblurred]

All else stays as it is, so its work on a patch is done once and kept, and from that the wide view,
which costs a tenth of it, learns in many passes, starting from what MODEL has of it. It also learns what it must leave
alone where a photo is called blurred: noise, and photos that are merely soft. What blur hid behind noise is restored in
turn (`steering.was_hidden`), so patches whose noise is gone are samples too.

With `--unblurred` (and `--samples 13500 --steps 1500`) only that learns by which it sees patches with their blur
undone, as the kernel view (`recipes/fast_kernel.py`) reads it from four times as much of the photo, and by which it
says how much of them to take. Patches that are so dark or hazy that no kernel is read are then left out.

Prints, every 100 steps, how much PSNR the samples gained by it on average, and those of photos held out.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from numpy.random import Generator
from torch import Tensor
from views import BATCH, SOFT, Pictures, eight_bit, half, learn, make_all, noisy, parser_of, patches, resized, start

from idrestore.data import degrade
from idrestore.model import checkpoint
from idrestore.model.config import PRESETS
from idrestore.model.network import RestorationNetwork
from idrestore.model.refiners.blur_kernel import inverse, undo
from idrestore.model.refiners.convolutive import WideView

HELD_SHARE = 0.03
"""Number of samples of photos that are held out, relative to the others."""
SEEDS = 11, 5
WHOLE, SEEN, PATCH = 352, 320, 160
"""Sides, px, of what is degraded; of what of it is seen, since photos go on beyond their borders; and of a patch."""
LOG_ERROR = 0.04
TAKEN = 0.5
"""Part of what the kernel view makes of a photo that is taken at first."""
LEAST = 0.02
"""Share of blur from which a patch is a sample."""
IN_TURN = 0.4, 0.015
"""The same for a patch whose noise has been removed, and the least product with its share of blur before: as
`steering.was_hidden` has it, and somewhat less, so that what is nearly taken for hidden blur is learned too."""
KINDS = {
    "blur": 0.30,
    "blur+noise": 0.25,
    "noise": 0.09,
    "white noise": 0.07,
    "weak noise": 0.08,
    "soft": 0.05,
    "clean": 0.03,
    "rain": 0.08,
    "blur+low_light": 0.06,
    "low_light": 0.04,
    "rain+low_light": 0.03,
    "low_light+noise": 0.02,
    "haze+blur": 0.01,
}
"""How often which degradations; `soft` photos are clean ones, enlarged, as many of those with weak noise are. Dark ones
are seldom blurred, but have some share of blur, and lose by it what is not learned."""


class Made(NamedTuple):
    """Samples, and what a network makes of them without its wide view; pictures are (N, 3, S, S)."""

    degraded: Tensor
    rest: Tensor
    clean: Tensor
    unblurred: Tensor
    """As the kernel view has it; (N, 0, S, S) if that is not looked at"""
    share: Tensor
    """(N,): of blur"""
    graded: Tensor
    """(N,): 0 for photos that are to come back as they are, else 1"""

    def part(self, index: Tensor) -> "Made":
        """Return some of the samples, as floats in [0, 1]."""
        *pictures, share, graded = (each[index] for each in self)
        return Made(*(picture.float() / 255 for picture in pictures), share, graded)


def main() -> None:
    """Make samples, learn, print and save."""
    parser = parser_of(__doc__ or "", samples=8000, steps=5500)
    parser.add_argument("--unblurred", action="store_true")
    options = parser.parse_args()
    model, network = start(options)
    if network.wide is None:
        network.widen(PRESETS["fast"].wide_view)
    wide, network.wide = network.wide, None
    samples, parts = make_all(partial(make, network, options.unblurred), options, HELD_SHARE, SEEDS)
    wide.requires_grad_(not options.unblurred)
    if options.unblurred:
        wide.look.requires_grad_(True)
        wide.take.requires_grad_(True)
        torch.nn.init.constant_(wide.take.bias, TAKEN)
    network.wide = learn(wide, drawn(samples, options.steps), parts, options.steps, LOG_ERROR, see)
    checkpoint.save(options.out, network, model.card)


@torch.no_grad()
def make(network: RestorationNetwork, unblurred: bool, paths: list[Path], number: int, seed: int) -> Made:
    """Degrade and restore patches until so many were taken for blurred, if ever so little."""
    made: list[tuple[Tensor, ...]] = []
    margin = (WHOLE - SEEN) // 2
    seen = slice(margin, margin + SEEN)
    for kind, whole, target in patches(paths, seed, KINDS, WHOLE, degrade_patch):
        graded = torch.tensor(float(kind not in ("soft", "clean")))
        clean = target[:, seen, seen]
        for photo, restored, shares in looks(network, whole[:, seen, seen]):
            share = network.share("convolutive", shares)
            if share < LEAST or (unblurred and not network.is_unblurred(shares[None])):
                continue
            top, left = torch.randint(3, (2,)) * PATCH // 2  # at a border, where the filter has to guess, or not
            pictures = photo, restored, clean, without_blur(network, photo) if unblurred else photo[:0]
            cut = (eight_bit(picture[:, top : top + PATCH, left : left + PATCH]) for picture in pictures)
            made.append((*cut, share, graded))
        if len(made) >= number:
            break
    return Made(*map(torch.stack, zip(*made[:number], strict=True)))


def looks(network: RestorationNetwork, photo: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield a photo (3, H, W), restored, and its ingredients (K,); and the same once its noise is gone."""
    before: dict[str, float] = {}
    least, product = IN_TURN
    for _ in range(2):
        with half():
            output = network(photo[None].contiguous(memory_format=torch.channels_last))
        shares = output.logits[0].softmax(dim=1)
        found = dict(zip(network.config.degradations, shares.mean(dim=0).tolist(), strict=True))
        if before and (found["blur"] < least or found["blur"] * before["blur"] < product):
            return
        yield photo, output.restored[0], shares[-1]
        if max((name for name in found if name != "clean"), key=found.__getitem__) != "noise":
            return
        photo, before = eight_bit(output.restored[0]) / 255, found


def without_blur(network: RestorationNetwork, photo: Tensor) -> Tensor:
    """Return a photo (3, H, W) with its blur undone as the kernel view reads it."""
    blur = network.read_blur(photo[None])
    return photo if blur is None else undo(photo[None], inverse(*blur))[0]


def degrade_patch(clean: Tensor, kind: str, generator: Generator) -> tuple[Tensor, Tensor]:
    """Return a patch as it is seen, and as it should be; (3, S, S) each."""
    seed = int(generator.integers(2**31))
    if kind == "soft" or (kind == "weak noise" and generator.random() < 0.4):
        side = int(WHOLE / generator.uniform(*SOFT))
        clean = resized(clean[:, :side, :side], WHOLE, WHOLE)
    if kind in ("white noise", "weak noise"):
        return noisy(clean, kind, generator, seed), clean
    kinds = ("clean",) if kind == "soft" else tuple(kind.split("+"))
    sample = degrade.sample(degrade.to_8_bit(clean) if kind == "soft" else clean, kinds, seed)
    return sample.degraded, sample.clean


def drawn(samples: Made, steps: int) -> Iterator[Made]:
    """Yield a batch for each step, mirrored and turned at random."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        made = samples.part(torch.randint(len(samples.share), (BATCH,), generator=generator))
        turns, mirrored = torch.randint(4, (), generator=generator), torch.rand((), generator=generator) < 0.5
        pictures = [picture.rot90(int(turns), (2, 3)) for picture in made[:4]]
        yield Made(*(picture.flip(3) if mirrored else picture for picture in pictures), made.share, made.graded)


def see(view: WideView, made: Made) -> Pictures:
    """Restore samples without and with a wide view."""
    pictures = [picture for picture in (made.degraded, made.rest, made.unblurred) if picture.numel()]
    change = view(*(picture.contiguous(memory_format=torch.channels_last) for picture in pictures))
    changed = made.rest + made.share[:, None, None, None] * change
    return Pictures(made.rest, changed, made.clean, made.graded)


if __name__ == "__main__":
    main()
