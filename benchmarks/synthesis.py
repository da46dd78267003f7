"""Are degradations that are synthesised like real ones? Their statistics side by side.

    python benchmarks/synthesis.py PHOTOS KIND NAME=DIR... [--samples 60] [--half 1|2]

Draws samples of KIND from clean photos, by the plain synthesis and by that of cameras, as crops of 256 px of photos at
half their size, and reads real sets: folders of pairs, or of degraded photos alone. Prints the 10th, 50th and 90th
percentile over the photos of what describes KIND. With --half, only every second photo of each set is read: what was
fitted on one half can be checked on the other. With --speed PATCH, prints how many samples one processor core
makes a second instead.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from idrestore.data.layouts import list_photos
from idrestore.data.loader import MIXTURE, Photos, Samples, Synthesis, find_photos
from idrestore.data.pairs import PairedPhotos, read_8_bit
from idrestore.degradations import FIVE, NAMES

PATCH, SEED = 256, 11
SHORT_SIDE = 256  # px to which photos without counterpart are shrunk: crops show as much of a scene
Pictures = tuple[Tensor, Tensor | None]
"""A degraded photo and, where it is known, the clean one, (3, H, W) in [0, 1]"""
Numbers = dict[str, float]


def psnr(degraded: Tensor, clean: Tensor | None) -> Numbers:
    """Return the PSNR, dB."""
    return {} if clean is None else {"PSNR": float(-10 * torch.log10((degraded - clean).square().mean() + 1e-10))}


def noise(degraded: Tensor, clean: Tensor | None) -> Numbers:
    """Describe the residual by channel, by level and by its correlation with its neighbours."""
    if clean is None:
        return {}
    residual, level = (degraded - clean) * 255, clean[1] * 255
    residual = residual - F.avg_pool2d(residual[None], 31, 1, 15, count_include_pad=False)[0]
    red, green, blue = residual.flatten(1)
    if green.std() < 0.3:
        return {}
    correlation = torch.corrcoef(residual.flatten(1))

    def beside(steps: int) -> float:
        return float((residual[1, :, steps:] * residual[1, :, :-steps]).mean() / residual[1].square().mean())

    def deviation(low: int, high: int) -> Tensor:
        inside = (level >= low) & (level < high)
        return residual[1][inside].std() if inside.sum() > 200 else torch.tensor(float("nan"))

    middle = deviation(80, 112)
    return psnr(degraded, clean) | {
        "sd of green": float(green.std()),
        "red / green": float(red.std() / green.std()),
        "blue / green": float(blue.std() / green.std()),
        "red-green": float(correlation[0, 1]),
        "green-blue": float(correlation[1, 2]),
        "red-blue": float(correlation[0, 2]),
        "sd at 16-40 / 80-112": float(deviation(16, 40) / middle),
        "sd at 150-190 / 80-112": float(deviation(150, 190) / middle),
        "neighbours": beside(1),
        "three pixels away": beside(3),
    }


def blur(degraded: Tensor, clean: Tensor | None) -> Numbers:
    """Describe what is left of three bands of frequency, and of the brightness in linear light."""
    if clean is None:
        return {}
    kept = {}
    spectra = [
        torch.fft.rfft2((p - p.mean(dim=(1, 2), keepdim=True)).mean(dim=0)).abs().square() for p in (degraded, clean)
    ]
    height, width = clean.shape[-2:]
    size = (torch.fft.fftfreq(height)[:, None] ** 2 + torch.fft.rfftfreq(width) ** 2).sqrt()
    for low, high in ((0.02, 0.05), (0.05, 0.1), (0.1, 0.2), (0.2, 0.4)):
        band = (size >= low) & (size < high)
        kept[f"{low}-{high} c/px"] = float(10 * torch.log10(spectra[0][band].sum() / spectra[1][band].sum()))
    return psnr(degraded, clean) | {f"dB left at {name}": value for name, value in kept.items()}


def low_light(degraded: Tensor, clean: Tensor | None) -> Numbers:
    """Describe the histogram of encoded brightness, and how uneven it is over sixteenths of the photo."""
    luma = degraded.mean(dim=0) * 255
    places = F.adaptive_avg_pool2d(luma[None, None], 4).flatten()
    dark, middle, bright = luma.flatten().quantile(torch.tensor([0.05, 0.5, 0.95])).tolist()
    return psnr(degraded, clean) | {
        "5 % level": dark,
        "median level": middle,
        "95 % level": bright,
        "share above 200": float((luma > 200).float().mean()),
        "share below 16": float((luma < 16).float().mean()),
        "brightest / darkest sixteenth": float(places.max() / places.min().clamp(min=1)),
    }


def haze(degraded: Tensor, clean: Tensor | None) -> Numbers:
    """Describe the dark channel (windows of 15 px), the colour of what is brightest in it, and the contrast."""
    dark = -F.max_pool2d(-degraded.amin(dim=0)[None, None], 15, 1, 7)[0, 0]
    airlight = degraded[:, dark >= dark.flatten().quantile(0.99)].mean(dim=1)
    low, middle, high = (255 * dark.flatten().quantile(torch.tensor([0.1, 0.5, 0.9]))).tolist()
    return psnr(degraded, clean) | {
        "dark channel, 10 %": low,
        "dark channel, 50 %": middle,
        "dark channel, 90 %": high,
        "airlight": float(airlight.mean() * 255),
        "airlight, red - blue": float((airlight[0] - airlight[2]) * 255),
        "sd of brightness": float(degraded.mean(dim=0).std() * 255),
    }


def rain(degraded: Tensor, clean: Tensor | None) -> Numbers:
    """Describe what was added: how much, on how much of the photo, and how steep it is."""
    if clean is None:
        return {}
    added = (degraded - clean).mean(dim=0) * 255
    return psnr(degraded, clean) | {
        "mean added": float(added.mean()),
        "99 % added": float(added.flatten().quantile(0.99)),
        "share above 8": float((added > 8).float().mean()),
        "across / down": float(added.diff(dim=1).abs().mean() / added.diff(dim=0).abs().mean().clamp(min=1e-3)),
    }


DESCRIBE: dict[str, Callable[[Tensor, Tensor | None], Numbers]] = {
    "noise": noise,
    "rain": rain,
    "haze": haze,
    "blur": blur,
    "low_light": low_light,
}


def synthetic(photos: Photos, kind: str, synthesis: Synthesis, number: int) -> Iterator[Pictures]:
    """Draw samples."""
    samples = Samples(photos, FIVE, {kind: 1.0}, PATCH, SEED, synthesis=synthesis)
    for first in range(0, number, 8):
        batch = samples.batch(range(first, min(first + 8, number)))
        yield from zip(batch.degraded, batch.clean, strict=True)


def real(folder: Path, half: int) -> Iterator[Pictures]:
    """Read pairs, or photos alone, all of them or every second one."""
    if any(path.is_dir() for path in folder.iterdir()):
        pairs = PairedPhotos(folder)
        for index in range(len(pairs))[chosen(half)]:
            degraded, clean = (as_planes(pixels) for pixels in pairs[index])
            yield degraded, clean
    else:
        for path in list_photos(folder)[chosen(half)]:
            planes = as_planes(read_8_bit(path))
            scale = SHORT_SIDE / min(planes.shape[-2:])
            size = [round(side * scale) for side in planes.shape[-2:]]
            yield F.interpolate(planes[None], size, mode="area")[0] if scale < 1 else planes, None


def chosen(half: int) -> slice:
    """Return what is read of a list: all of it (0), or its first, third, ... (1), or the others (2)."""
    return slice(half - 1, None, 2) if half else slice(None)


def as_planes(pixels: NDArray[np.uint8]) -> Tensor:
    """Return (H, W, 3) as (3, H, W) in [0, 1]."""
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)


def column(kind: str, pictures: Iterator[Pictures]) -> dict[str, str]:
    """Return percentiles of what describes a set, as text."""
    rows = [numbers for degraded, clean in pictures if (numbers := DESCRIBE[kind](degraded, clean))]
    table = {name: [row[name] for row in rows if name in row] for name in (rows[0] if rows else {})}
    return {
        name: " / ".join(f"{v:.2f}" for v in np.nanpercentile(values, (10, 50, 90))) for name, values in table.items()
    }


def speed(photos: Photos, patch: int, number: int = 48) -> None:
    """Print the samples that one second of processor time makes, of each kind and synthesis."""
    torch.set_num_threads(1)
    print("| samples a second | plain | camera |\n|---|---|---|")
    for kind in (*FIVE, "clean", MIXTURE):
        rates = []
        for name in ("plain", "camera"):
            samples = Samples(photos, NAMES, {kind: 1.0}, patch, SEED, synthesis=name)
            samples.batch(range(8))
            start = time.process_time()
            for first in range(0, number, 8):
                samples.batch(range(first, first + 8))
            rates.append(number / (time.process_time() - start))
        print(f"| {kind} | {' | '.join(f'{rate:.0f}' for rate in rates)} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("photos", type=Path, nargs="+", help="folders of clean photos, a kind, NAME=DIR...")
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--half", type=int, default=0, choices=(0, 1, 2))
    parser.add_argument("--speed", type=int, metavar="PATCH")
    given = parser.parse_args()
    if given.speed:
        speed(Photos(find_photos(given.photos)[::24], (0.5,), given.speed), given.speed)
        return
    words = [str(path) for path in given.photos]
    at = next(place for place, word in enumerate(words) if word in DESCRIBE)
    kind, sets = words[at], [word.split("=", 1) for word in words[at + 1 :]]
    paths = find_photos([Path(word) for word in words[:at]])
    photos = Photos(paths[:: max(1, len(paths) // given.samples)], (0.5,), PATCH)
    columns = {name: column(kind, real(Path(folder), given.half)) for name, folder in sets}
    columns |= {name: column(kind, synthetic(photos, kind, name, given.samples)) for name in ("plain", "camera")}
    print(f"| {kind} | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for name in dict.fromkeys(name for values in columns.values() for name in values):
        print(f"| {name} | {' | '.join(values.get(name, '') for values in columns.values())} |")


if __name__ == "__main__":
    main()
