"""How much of a set's blur could a filter undo that knows no direction, and at what sizes of detail?

    python benchmarks/isotropic.py FOLDER_OF_PAIRS

Fits, to the very pairs that it is then judged on, one gain for each ring of spatial frequencies, the same for all
photos (a Wiener filter). Prints the gains and the mean PSNR before and after, in dB. For each pair, the mean of the
blurred photo less that of the sharp one, in 255ths, of encoded values and of linear light: what was averaged keeps it.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from idrestore.data.pairs import PairedPhotos
from idrestore.data.physics.curves import linear_light
from idrestore.metrics import psnr

RING = 0.01
"""Width of a ring, in cycles a pixel."""
SHOWN = 0.1


def main(folder: Path) -> None:
    """Fit, print."""
    photos = PairedPhotos(folder)
    pairs = [photos[index] for index in range(len(photos))]
    products, squares = np.zeros(100), np.zeros(100)
    for degraded, clean in pairs:
        before, after = (np.fft.rfft2(photo / 255, axes=(0, 1)) for photo in (degraded, clean))
        rings = _rings(degraded.shape).ravel()
        products += np.bincount(rings, (before.conj() * after).real.sum(axis=2).ravel(), 100)
        squares += np.bincount(rings, (np.abs(before) ** 2).sum(axis=2).ravel(), 100)
    gains = products / np.maximum(squares, 1e-12)
    for ring in range(round(SHOWN / RING)):
        print(f"{ring * RING:.2f} to {(ring + 1) * RING:.2f} cycles a pixel: {gains[ring]:.2f}")
    seen = []
    for degraded, clean in pairs:
        spectrum = np.fft.rfft2(degraded / 255, axes=(0, 1)) * gains[_rings(degraded.shape)][..., None]
        filtered = np.fft.irfft2(spectrum, s=degraded.shape[:2], axes=(0, 1)).clip(0, 1)
        seen.append([psnr(each, clean) for each in (degraded, np.round(255 * filtered).astype(np.uint8))])
    print("PSNR {:.2f} -> {:.2f}".format(*np.mean(seen, axis=0)))
    for degraded, clean in pairs:
        blurred, sharp = (torch.from_numpy(photo / 255) for photo in (degraded, clean))
        encoded, linear = blurred.mean() - sharp.mean(), linear_light(blurred).mean() - linear_light(sharp).mean()
        print(f"means differ by {255 * encoded:.2f} encoded, {255 * linear:.2f} linear")


def _rings(shape: tuple[int, ...]) -> np.ndarray:
    """Return the ring of each frequency of a photo (H, W, 3): (H, W // 2 + 1)."""
    radius: np.ndarray = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))
    return (radius / RING).astype(int)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
