"""Does restoring help photos that come as raw files? Photos are photographed anew, by a camera that is all numbers.

    python benchmarks/raw.py PHOTO... --side 512

Each photo (its middle) becomes linear light, in the camera's own colours, white (1/2, 1, 1/2); each pixel of the sensor
keeps one colour (red, green, green, blue), takes the shot noise of so many electrons at white and the noise of reading
(Gaussian), and is rounded to 12 bits: a DNG. It is read as the command reads raw files: LibRaw develops it, which
spreads noise over neighbours, and may brighten it. The same without noise is what is compared with. Prints PSNR in dB
before and after restoring with `fast`, of its own accord and with `--only noise`, and what was found.
"""

import argparse
import io
from pathlib import Path

import numpy as np
import tifffile
import torch

import idrestore
from idrestore.data.physics.curves import linear_light
from idrestore.metrics import psnr

ELECTRONS = (8000, 2000, 500, 150)
"""At white: the larger the number, the more light the photo got"""
READ = 4.0
"""Standard deviation of reading, in electrons"""
BLACK, WHITE = 256, 4095
NEUTRAL = np.array([0.5, 1.0, 0.5])
XYZ_TO_SRGB = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
"""IEC 61966-2-1"""


def dng(pixels: np.ndarray, electrons: float | None, seed: int) -> bytes:
    """Return a raw file of (H, W, 3) sRGB, 0 to 1; without noise if no number of electrons is given."""
    light = linear_light(torch.from_numpy(pixels)).numpy() * NEUTRAL
    rows, columns = np.mgrid[: light.shape[0], : light.shape[1]]
    seen = np.take_along_axis(light, (rows % 2 + columns % 2)[..., None], axis=2)[..., 0]  # (H, W): R G / G B
    if electrons is not None:
        rng = np.random.default_rng(seed)
        seen = (rng.poisson(seen * electrons) + rng.normal(0, READ, seen.shape)) / electrons
    sensor = np.rint(BLACK + seen * (WHITE - BLACK)).clip(0, WHITE).astype(np.uint16)
    matrix = [each for value in (np.diag(NEUTRAL) @ XYZ_TO_SRGB).ravel() for each in (round(value * 10000), 10000)]
    tags = [
        (33421, "H", 2, (2, 2), True),  # CFARepeatPatternDim
        (33422, "B", 4, bytes((0, 1, 1, 2)), True),  # CFAPattern
        (50706, "B", 4, bytes((1, 4, 0, 0)), True),  # DNGVersion
        (50708, "s", 0, "Numbers", True),  # UniqueCameraModel
        (50714, "H", 1, BLACK, True),  # BlackLevel
        (50717, "I", 1, WHITE, True),  # WhiteLevel
        (50721, "2i", 9, matrix, True),  # ColorMatrix1
        (50728, "2I", 3, (1, 2, 1, 1, 1, 2), True),  # AsShotNeutral
        (50778, "H", 1, 21, True),  # CalibrationIlluminant1: D65
    ]
    file = io.BytesIO()
    tifffile.imwrite(file, sensor, photometric="cfa", extratags=tags, metadata=None)
    return file.getvalue()


def middle(path: Path, side: int) -> np.ndarray:
    """Return the middle of a photo, 0 to 1."""
    photo = idrestore.read(path)
    pixels = photo.pixels / np.iinfo(photo.pixels.dtype).max
    top, left = ((length - min(side, length)) // 2 for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def main() -> None:
    """Photograph, develop, restore, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--side", type=int, default=512, help="pixels of each photo's middle that are taken")
    arguments = parser.parse_args()
    restorer = idrestore.load("fast")
    print("| electrons at white | photo | before | after | after, noise alone | found |\n|---|---|---|---|---|---|")
    for electrons in ELECTRONS:
        gains = []
        for number, path in enumerate(arguments.photos):
            pixels = middle(path, arguments.side)
            clean, noisy = (idrestore.read(dng(pixels, each, number)).pixels for each in (None, electrons))
            result, told = restorer.restore(noisy), restorer.restore(noisy, only={"noise"})
            before, *after = (psnr(each, clean) for each in (noisy, result.image, told.image))
            gains.append([each - before for each in after])
            found = ", ".join(f"{name} {share:.0%}" for name, share in result.ingredients.items() if share >= 0.1)
            figures = " | ".join(f"{each:.2f}" for each in (before, *after))
            print(f"| {electrons} | {path.stem} | {figures} | {found} |", flush=True)
        mean, alone = np.mean(gains, axis=0)
        print(f"| {electrons} | mean | | {mean:+.2f} | {alone:+.2f} | |", flush=True)


if __name__ == "__main__":
    main()
