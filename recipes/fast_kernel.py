"""A trial for `fast`: a photo's blur kernel, read from its correlations, and undone; half an hour on two fp32 cores.

    python recipes/fast_kernel.py MODEL.safetensors -o KERNELS.safetensors --photos FOLDER [--data NAME=FOLDER...]

Blur that is the same all over a photo is undone by one filter, if its kernel is known. A small network reads it from
how the photo's differences with its neighbours correlate, up to 16 pixels away, with themselves and with their cubes:
the one gives the kernel's own correlation, the other tells it from its mirror image. And it says how much noise the
filter, Wiener's, has to reckon with. It learns the kernel that leads from the clean photo to the blurred one, at first,
and then to make the filtered photo's error small. Nothing of MODEL learns, and nothing uses the kernels yet.

Prints, every 200 steps, by how much PSNR the filter alone raises photos held out; then a table for the sets of
`--data`, in dB: their photos, what MODEL makes of them, the filter alone, and the mean of the two. Of photos that are
noisy first, what MODEL's first pass makes is filtered.
"""

from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from views import SCALES, Pictures, eight_bit, gain, make_all, parser_of

from idrestore import restore
from idrestore.data import degrade
from idrestore.data.jpeg import YCBCR, jpeg
from idrestore.data.loader import Photos
from idrestore.data.pairs import parse_data
from idrestore.metrics import psnr
from idrestore.model.layers import ResidualBlock, zero
from idrestore.restore import Restorer

CROP, HELD_SHARE, SEEDS = 256, 0.03, (0, 900)
REACH, RADIUS = 16, 8
"""How far correlations and kernels reach, px."""
STRENGTH, CLEAN, NOISY, JPEG = (0.1, 0.7), 0.08, 0.12, 0.4
"""Strengths of blur, and shares of samples that are clean, noisy as well, and compressed."""
NEAR, FAR = 24, 64
BATCH, RATE, KERNEL_SHARE, CUT, BORDER = 32, 1.5e-3, 0.6, 48, 24
SMOOTH, FIT, LEAST = 0.02, 0.003, 2e-5
GREY = torch.tensor(YCBCR[0])


class Samples(NamedTuple):
    """Grey photos of N samples, 0 to 255, with what is to be learned from them."""

    degraded: Tensor
    """(N, 1, H, W)"""
    clean: Tensor
    correlations: Tensor
    """(N, 8, 2 REACH + 1, 2 REACH + 1)"""
    kernels: Tensor
    """(N, 2 RADIUS + 1, 2 RADIUS + 1), which lead from the clean photo to the degraded one"""

    def part(self, index: Tensor) -> "Samples":
        """Return some of the samples, their photos in [0, 1]."""
        degraded, clean, correlations, kernels = (each[index].float() for each in self)
        return Samples(degraded / 255, clean / 255, correlations, kernels)


class KernelReader(nn.Module):
    """Read kernels and noise from correlations; starts from a kernel that hardly blurs, whatever it sees."""

    near_kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(8, NEAR, 3, padding=1), ResidualBlock(NEAR, start_as_identity=True))
        blocks = (ResidualBlock(FAR, start_as_identity=True) for _ in range(4))
        self.down = nn.Sequential(nn.Conv2d(NEAR, FAR, 4, stride=2, padding=1), *blocks)
        self.pool, self.noise = nn.Linear(2 * FAR, FAR), nn.Linear(FAR, 1)
        self.up = nn.Sequential(nn.Conv2d(FAR, 4 * NEAR, 1), nn.PixelShuffle(2))
        self.last = nn.Sequential(ResidualBlock(NEAR, start_as_identity=True), zero(nn.Conv2d(NEAR, 1, 3, padding=1)))
        offsets = torch.arange(-RADIUS, RADIUS + 1).square()
        self.register_buffer("near_kernel", -(offsets[:, None] + offsets) / 6)
        nn.init.zeros_(self.noise.weight)
        nn.init.constant_(self.noise.bias, -4.0)

    def forward(self, correlations: Tensor) -> tuple[Tensor, Tensor]:
        """Return kernels (B, 2 RADIUS + 1, 2 RADIUS + 1), whose sum is 1, and noise (B,) relative to the photo."""
        roots = correlations.sign() * correlations.abs().clamp(min=1e-6).sqrt()
        near = self.stem(roots[..., 1:, 1:])
        far = self.down(near)
        known = F.relu(self.pool(torch.cat([far.mean(dim=(2, 3)), far.amax(dim=(2, 3))], 1)))
        logits = self.last(near + self.up(far + known[:, :, None, None]))[:, 0]
        centre = slice(REACH - 1 - RADIUS, REACH + RADIUS)
        scaled = 5 * logits[:, centre, centre] + self.near_kernel
        return scaled.flatten(1).softmax(dim=1).view_as(scaled), self.noise(known)[:, 0].exp()


def main() -> None:
    """Make samples, learn, save, and print the table."""
    parser = parser_of(__doc__ or "", samples=8000, steps=2000)
    parser.add_argument("--data", action="append", default=[])
    options = parser.parse_args()
    torch.manual_seed(0)
    samples, parts = make_all(make, options, HELD_SHARE, SEEDS)
    reader = KernelReader()
    learn(reader, samples, parts, options.steps)
    save_file(reader.state_dict(), options.out)
    restorer = restore.load(options.model)
    for name, spec in parse_data(options.data).items():
        rows = []
        for index, pair in enumerate(spec.find().matched[: spec.limit]):
            degraded, clean = spec.read(pair, index)
            now, filtered = both(restorer, reader, degraded)
            means = np.round((now.astype(float) + filtered) / 2)
            rows.append([psnr(each.astype(np.uint8), clean) for each in (degraded, now, filtered, means)])
        print(f"| {name} | {' | '.join(f'{mean:.2f}' for mean in np.mean(rows, axis=0))} |", flush=True)


def make(paths: list[Path], number: int, seed: int) -> Samples:
    """Return so many samples cut from photos."""
    photos = Photos(paths, SCALES[:3], CROP)
    rows = []
    for index in range(number):
        generator = np.random.default_rng((seed, index))
        clean = degrade.to_8_bit(photos.crop(CROP, generator))
        kind, strength, of_noise = generator.random(), generator.uniform(*STRENGTH), generator.uniform(0.02, 0.3)
        strengths = {"blur": strength, "noise": of_noise} if kind < CLEAN + NOISY else {"blur": strength}
        degraded = degrade.mix(clean, {} if kind < CLEAN else strengths, int(generator.integers(2**31)))
        if generator.random() < JPEG:
            degraded = jpeg(degraded, int(generator.integers(*degrade.JPEG_QUALITY)), bool(generator.random() < 0.5))
        before, after = (torch.tensordot(GREY, each, 1) for each in (degraded, clean))
        rows.append((eight_bit(before)[None], eight_bit(after)[None], correlate(before), kernel_between(after, before)))
    return Samples(*(torch.stack(column) for column in zip(*rows, strict=True)))


def correlate(photo: Tensor) -> Tensor:
    """Return how a photo's (H, W) differences in four directions correlate with themselves, and with their cubes.

    (8, 2 REACH + 1, 2 REACH + 1), differences measured by their root mean square; the cubes of large ones are cut.
    """
    inner = photo[1:-1, 1:-1]
    neighbours = photo[1:-1, 2:], photo[2:, 1:-1], photo[2:, 2:], photo[2:, :-2]
    differences = torch.stack([neighbour - inner for neighbour in neighbours])
    differences = differences - differences.mean(dim=(1, 2), keepdim=True)
    size = differences.square().mean(dim=(1, 2), keepdim=True).sqrt() + 1e-4
    differences = (differences / size).clamp(-8, 8)
    sides = [side + REACH for side in inner.shape]
    first, second = (torch.fft.rfft2(each, s=sides) for each in (differences, differences.clamp(-4, 4) ** 3 / 8))
    spectra = torch.cat([first.conj() * first, first.conj() * second])
    around = torch.fft.irfft2(spectra, s=sides).roll((REACH, REACH), dims=(1, 2)) / inner.numel()
    return around[:, : 2 * REACH + 1, : 2 * REACH + 1].clone()


def kernel_between(clean: Tensor, degraded: Tensor) -> Tensor:
    """Return the kernel (2 RADIUS + 1, 2 RADIUS + 1) that fits best to two photos (H, W); zero if none is as small."""
    window = torch.hann_window(len(clean), periodic=False)
    spectra = [torch.fft.rfft2(_slopes(photo) * window[:-1, None] * window[:-1]) for photo in (clean, degraded)]
    power = spectra[0].abs().square().sum(dim=0)
    ratio = (spectra[0].conj() * spectra[1]).sum(dim=0) / (power + FIT * power.mean())
    side = len(clean) - 1
    wide = 14
    kernel = torch.fft.irfft2(ratio, s=(side, side)).roll((wide, wide), dims=(0, 1))[: 2 * wide + 1, : 2 * wide + 1]
    kernel = (kernel - 0.02 * kernel.amax()).clamp(min=0)
    inside = slice(wide - RADIUS, wide + RADIUS + 1)
    small = kernel[inside, inside]
    return small / small.sum() * (small.sum() > 0.9 * kernel.sum())


def _slopes(photo: Tensor) -> Tensor:
    """Return differences to the right and down, (2, H - 1, W - 1)."""
    return torch.stack([photo[:-1, 1:] - photo[:-1, :-1], photo[1:, :-1] - photo[:-1, :-1]])


def wiener(photos: Tensor, kernels: Tensor, noise: Tensor) -> Tensor:
    """Undo kernels in photos (B, C, H, W): Wiener's filter for photos whose power falls with the square of frequency.

    Photos go on mirrored, and fade there into what the kernel makes of them, so that their ends meet.
    """
    padded = F.pad(photos, (BORDER,) * 4, mode="reflect")
    height, width = padded.shape[-2:]
    placed = F.pad(kernels, (0, width - kernels.shape[-1], 0, height - kernels.shape[-2]))
    response = torch.fft.rfft2(placed.roll((-RADIUS, -RADIUS), dims=(1, 2)))
    down, right = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)
    roughness = 4 * (torch.pi * down).sin().square() + 4 * (torch.pi * right).sin().square() + SMOOTH
    power = response.real.square() + response.imag.square()
    inverse = response.conj() / (power + noise[:, None, None] * roughness)
    ramp = 0.5 - 0.5 * torch.cos(torch.pi * (torch.arange(BORDER) + 0.5) / BORDER)
    fades = [torch.cat([ramp, torch.ones(side - 2 * BORDER), ramp.flip(0)]) for side in (height, width)]
    blurred = torch.fft.irfft2(torch.fft.rfft2(padded) * response[:, None], s=(height, width))
    meeting = torch.lerp(blurred, padded, torch.outer(*fades))
    undone: Tensor = torch.fft.irfft2(torch.fft.rfft2(meeting) * inverse[:, None], s=(height, width))
    return undone[..., BORDER:-BORDER, BORDER:-BORDER]


def learn(reader: KernelReader, samples: Samples, held_out: list[Samples], steps: int) -> None:
    """Let kernels be learned, and for the last part of the steps their filters' errors."""
    optimizer = torch.optim.AdamW(reader.parameters(), RATE, weight_decay=1e-3)
    inside = slice(CUT, -CUT)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * min(1, (step + 1) / 100) * max(0.02, 1 - step / steps)
        batch = samples.part(torch.randint(len(samples.clean), (BATCH,)))
        kernels, noise = reader(batch.correlations)
        loss = -(batch.kernels * (kernels + 1e-8).log()).sum(dim=(1, 2)).mean()
        if step >= KERNEL_SHARE * steps:
            before, clean = (each[..., inside, inside] for each in (batch.degraded, batch.clean))
            pictures = wiener(before, kernels, noise), before
            errors = [(each - clean).square().mean(dim=(1, 2, 3)) + LEAST for each in pictures]
            loss = 0.1 * loss + (errors[0].log() - errors[1].log()).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(reader.parameters(), 0.5)
        optimizer.step()
        if (step + 1) % 200 == 0 or step + 1 == steps:
            with torch.no_grad():
                gains = [gain(see(reader, part)) for part in held_out]
            print(f"{step + 1}: held out {torch.cat(gains).mean():+.3f} dB", flush=True)


def see(reader: KernelReader, samples: Samples) -> Pictures:
    """Return samples as they are and filtered."""
    return Pictures(samples.degraded, wiener(samples.degraded, *reader(samples.correlations)), samples.clean)


@torch.no_grad()
def both(
    restorer: Restorer, reader: KernelReader, degraded: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return a photo restored, and filtered; if it is noisy first, what the first pass makes of it is filtered."""
    result = restorer.restore(degraded)
    before = degraded
    if next(iter(result.ingredients)) == "noise":
        with patch.object(restore, "HINT", 2.0):
            before = restorer.restore(degraded).image
    photo = torch.from_numpy(before.astype(np.float32) / 255)
    kernels, noise = reader(correlate(photo @ GREY)[None])
    undone = wiener(photo.permute(2, 0, 1)[None], kernels, noise)[0].permute(1, 2, 0)
    return result.image, np.round(255 * undone.clamp(0, 1).double().numpy())


if __name__ == "__main__":
    main()
