"""A step in training `fast`: its kernel view, which reads how a photo was blurred; 40 minutes on two bf16 cores.

    python recipes/fast_kernel.py MODEL.safetensors -o KERNEL.safetensors --photos FOLDER_OF_CLEAN_PHOTOS

Patches are blurred, some are noisy as well, and of some of those MODEL removes the noise first, as it does before it
looks at a photo again. The kernel view (`refiners/blur_kernel.py`) learns the kernel that leads from the clean patch to
the blurred one, where there is one that is small enough, and for the last part of the steps to make the filtered
patch's error small as well. All else stays as it is, and its wide view, which is to see the filtered photo, does not
look at it yet: `recipes/fast_wide.py` is the next step.

Prints, every 200 steps, by how much PSNR the filter alone raises patches of photos held out.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from views import SCALES, Pictures, eight_bit, gain, half, make_all, options_of, start

from idrestore.data import degrade
from idrestore.data.jpeg import jpeg
from idrestore.data.loader import Photos
from idrestore.model import checkpoint
from idrestore.model.config import PRESETS
from idrestore.model.network import RestorationNetwork
from idrestore.model.refiners.blur_kernel import GREY, RADIUS, TAPS, KernelView, correlate, inverse, undo

CROP, HELD_SHARE, SEEDS = 256, 0.03, (0, 900)
STRENGTH, OF_NOISE = (0.1, 0.9), (0.02, 0.4)
SHARP, NOISY, REMOVED, JPEG = 0.1, 0.3, 0.5, 0.4
"""Shares of patches without blur and with noise, of the noisy ones whose noise is removed, and of compressed ones."""
BATCH, RATE, KERNEL_SHARE = 32, 1.5e-3, 0.6
FIT, LEAST, WIDE = 0.003, 2e-5, 20


class Samples(NamedTuple):
    """Grey patches of N samples, 0 to 255, with what is to be learned from them."""

    degraded: Tensor
    """(N, 1, H, W)"""
    clean: Tensor
    correlations: Tensor
    """(N, 8, 2 REACH + 1, 2 REACH + 1)"""
    kernels: Tensor
    """(N, 2 RADIUS + 1, 2 RADIUS + 1), which lead from the clean patch to the degraded one"""

    def part(self, index: Tensor) -> "Samples":
        """Return some of the samples, their patches in [0, 1]."""
        degraded, clean, correlations, kernels = (each[index].float() for each in self)
        return Samples(degraded / 255, clean / 255, correlations, kernels)


def main() -> None:
    """Make samples, learn, print and save."""
    options = options_of(__doc__ or "", samples=12000, steps=3000)
    model, network = start(options)
    if network.kernel is None:
        network.add_kernel(PRESETS["fast"].kernel_view)
    samples, parts = make_all(partial(make, network), options, HELD_SHARE, SEEDS)
    learn(network.kernel.requires_grad_(True), samples, parts, options.steps)
    checkpoint.save(options.out, network, model.card)


@torch.no_grad()
def make(network: RestorationNetwork, paths: list[Path], number: int, seed: int) -> Samples:
    """Return so many samples cut from photos."""
    photos, grey, rows = Photos(paths, SCALES[:3], CROP), torch.tensor(GREY), []
    for index in range(number):
        generator = np.random.default_rng((seed, index))
        clean = degrade.to_8_bit(photos.crop(CROP, generator))
        is_sharp, is_noisy, is_removed, is_packed = generator.random(4) < (SHARP, NOISY, REMOVED, JPEG)
        strengths = {} if is_sharp else {"blur": generator.uniform(*STRENGTH)}
        of_noise = {"noise": generator.uniform(*OF_NOISE)} if is_noisy else {}
        chance = int(generator.integers(2**31))
        blurred = degrade.mix(clean, strengths, chance)
        degraded = degrade.to_8_bit(degrade.mix(clean, strengths | of_noise, chance))  # the same blur
        if is_packed:
            degraded = jpeg(degraded, int(generator.integers(*degrade.JPEG_QUALITY)), bool(generator.random() < 0.5))
        if is_noisy and is_removed:
            with half():
                degraded = degrade.to_8_bit(network(degraded[None]).restored[0].float().clamp(0, 1))
        greys = [torch.tensordot(grey, photo, 1) for photo in (degraded, clean, blurred)]
        kernel = kernel_between(greys[1], greys[2])
        rows.append((*(eight_bit(photo)[None] for photo in greys[:2]), correlate(degraded[None]), kernel))
    return Samples(*(torch.stack(column) for column in zip(*rows, strict=True)))


def kernel_between(clean: Tensor, degraded: Tensor) -> Tensor:
    """Return the kernel (2 RADIUS + 1, 2 RADIUS + 1) that fits best to two photos (H, H); zero if none is as small."""
    window = torch.hann_window(len(clean), periodic=False)
    spectra = [torch.fft.rfft2(_slopes(photo) * window[:-1, None] * window[:-1]) for photo in (clean, degraded)]
    power = spectra[0].abs().square().sum(dim=0)
    ratio = (spectra[0].conj() * spectra[1]).sum(dim=0) / (power + FIT * power.mean())
    side = len(clean) - 1
    kernel = torch.fft.irfft2(ratio, s=(side, side)).roll((WIDE, WIDE), dims=(0, 1))[: 2 * WIDE + 1, : 2 * WIDE + 1]
    kernel = (kernel - 0.02 * kernel.amax()).clamp(min=0)
    inside = slice(WIDE - RADIUS, WIDE + RADIUS + 1)
    small = kernel[inside, inside]
    return small / small.sum() * (small.sum() > 0.9 * kernel.sum())


def _slopes(photo: Tensor) -> Tensor:
    """Return differences to the right and down, (2, H - 1, W - 1)."""
    return torch.stack([photo[:-1, 1:] - photo[:-1, :-1], photo[1:, :-1] - photo[:-1, :-1]])


def learn(view: KernelView, samples: Samples, held_out: list[Samples], steps: int) -> None:
    """Let kernels be learned, and for the last part of the steps their filters' errors."""
    optimizer = torch.optim.AdamW(view.parameters(), RATE, weight_decay=1e-3)
    inside = slice(TAPS, -TAPS)  # what the filter sees all of
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * min(1, (step + 1) / 100) * max(0.02, 1 - step / steps)
        batch = samples.part(torch.randint(len(samples.clean), (BATCH,)))
        with half():
            kernels, noise = (each.float() for each in view(batch.correlations))
        loss = -(batch.kernels * (kernels + 1e-8).log()).sum(dim=(1, 2)).mean()
        if step >= KERNEL_SHARE * steps:
            filtered = undo(batch.degraded, inverse(kernels, noise))
            pictures = ((each - batch.clean)[..., inside, inside] for each in (filtered, batch.degraded))
            errors = [picture.square().mean(dim=(1, 2, 3)) + LEAST for picture in pictures]
            loss = 0.1 * loss + (errors[0].log() - errors[1].log()).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(view.parameters(), 0.5)
        optimizer.step()
        if (step + 1) % 200 == 0 or step + 1 == steps:
            with torch.no_grad():
                gains = [gain(see(view, part)) for part in held_out]
            print(f"{step + 1}: held out {torch.cat(gains).mean():+.3f} dB", flush=True)


def see(view: KernelView, samples: Samples) -> Pictures:
    """Return samples as they are and filtered."""
    filtered = undo(samples.degraded, inverse(*view(samples.correlations)))
    return Pictures(samples.degraded, filtered, samples.clean)


if __name__ == "__main__":
    main()
