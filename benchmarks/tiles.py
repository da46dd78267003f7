"""Do tiles show? How deep the cut at a tile's border reaches, and what overlaps of several widths leave of it.

    python benchmarks/tiles.py PHOTO... [--model fast] [--tile 512] [--overlaps 32,48,64,96]
                               [--kinds noise,rain,haze,blur,low_light] [--precision fp32]

The middle of each photo, as large as two by two tiles with that overlap, is degraded in each of the ways, and restored
with the same ingredients throughout. Prints, in levels of 255:

- the reach: the photo is cut along a column, and the network's results with and without what lies beyond are compared
  at each distance from the cut (mean, and the 99.99th percentile over all photos);
- for each overlap, the same restored in tiles against the whole: the share of pixels within one level in every
  channel, the 99.99th percentile, the largest difference, and the seams: the gradient energy across the borders of
  tiles over that of all other lines, relative to the same in the untiled result (1 = nothing to see).

`paper` attends to the whole of what it is given, so its difference does not end at any distance. `--model` takes a
file, or a preset's name for random weights: they tell that a network can reach so far, not how far a trained one does.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from idrestore.data.degrade import mix
from idrestore.data.pairs import read_8_bit
from idrestore.model.checkpoint import Model, load
from idrestore.model.config import PRESETS
from idrestore.model.network import RestorationNetwork
from idrestore.restoration import restorer as restore
from idrestore.restoration import tiling
from idrestore.restoration.restorer import Restorer

DISTANCES = (4, 8, 12, 16, 24, 32, 40, 48, 64, 96, 128)
STRENGTH = 0.4
Picture = NDArray[np.float32]


def main() -> None:
    """Print both tables."""
    options = _options()
    model = model_of(options.model)
    overlaps = [int(text) for text in options.overlaps.split(",")]
    largest = -(-(2 * options.tile - min(overlaps)) // 64) * 64
    whole = Restorer(model, options.device, options.precision, largest)
    tiled = Restorer(model, options.device, options.precision, options.tile)
    photos = list(_photos(options.photos, options.kinds.split(","), 2 * options.tile))
    shares = [whole.restore(photo[: options.tile, : options.tile]).ingredients for photo in photos]
    _print_reach(whole, [photo[: options.tile, : options.tile] for photo in photos], shares)
    print("\n| overlap | tiles | within 1/255 | 99.99 % | largest | seams |\n|---|---|---|---|---|---|")
    for overlap in overlaps:
        restore.OVERLAP = overlap
        side = 2 * options.tile - overlap
        _print_overlap(whole, tiled, overlap, [photo[:side, :side] for photo in photos], shares)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--model", default="fast")
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--overlaps", default="32,48,64,96")
    parser.add_argument("--kinds", default="noise,rain,haze,blur,low_light")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


def model_of(name: str) -> Model:
    """Load a model, or make one of random weights for a preset that is not shipped."""
    if name in PRESETS and name != "fast":
        torch.manual_seed(0)
        return Model(RestorationNetwork(PRESETS[name]).eval(), {}, Path(name), "")
    return load(name)


def _photos(paths: Sequence[Path], kinds: Sequence[str], side: int) -> Iterator[Picture]:
    """Yield the middle of each photo, degraded in each way, (side, side, 3) in [0, 1]."""
    for seed, path in enumerate(paths):
        clean = read_8_bit(path)
        top, left = ((length - side) // 2 for length in clean.shape[:2])
        planes = torch.from_numpy(clean[top : top + side, left : left + side]).permute(2, 0, 1) / 255
        for kind in kinds:
            yield mix(planes, {kind: STRENGTH}, seed).permute(1, 2, 0).clamp(0, 1).numpy()


def _print_reach(restorer: Restorer, photos: Sequence[Picture], ingredients: Sequence[dict[str, float]]) -> None:
    """Print how much the network's result changes at each distance from a cut in the middle."""
    differences = []
    network = restorer.engine.network
    refiner, network.affine_refiner = network.affine_refiner, None  # it sees the whole photo, which a cut changes
    for photo, shares in zip(photos, ingredients, strict=True):
        cut = photo.shape[1] // 2
        left = restorer.restore(photo[:, :cut], ingredients=shares).image
        differences.append(np.abs(restorer.restore(photo, ingredients=shares).image[:, :cut] - left)[:, ::-1] * 255)
    network.affine_refiner = refiner
    at = np.concatenate(differences)  # (rows of all photos, distance from the cut, 3)
    print("| px from the cut | mean | 99.99 % |\n|---|---|---|")
    for distance in [distance for distance in DISTANCES if distance < at.shape[1]]:
        beyond = at[:, distance : distance + 4]
        print(f"| {distance} | {beyond.mean():.4f} | {np.quantile(beyond, 0.9999):.3f} |", flush=True)


def _print_overlap(
    whole: Restorer, tiled: Restorer, overlap: int, photos: Sequence[Picture], ingredients: Sequence[dict[str, float]]
) -> None:
    """Print what is left of tiles with an overlap."""
    height, width = photos[0].shape[:2]
    grid = tiling.tiles(height, width, tiled.tile, overlap, tiled.multiple)
    results = [
        [restorer.restore(photo, ingredients=shares).image for restorer in (whole, tiled)]
        for photo, shares in zip(photos, ingredients, strict=True)
    ]
    far = np.stack([np.abs(first - second) * 255 for first, second in results])
    seams = np.sum([[_seams(result, grid) for result in pair] for pair in results], axis=0)
    ratio = (seams[1, 0] / seams[1, 1]) / (seams[0, 0] / seams[0, 1])
    print(
        f"| {overlap} | {len(grid)} | {(far <= 1).all(axis=3).mean():.4%} | {np.quantile(far, 0.9999):.3f} | "
        f"{far.max():.2f} | {ratio:.4f} |",
        flush=True,
    )


def _seams(image: Picture, grid: Sequence[tiling.Tile]) -> tuple[float, float]:
    """Return the mean squared step across the lines where tiles begin or end, and across all other lines."""
    at, elsewhere = [], []
    for axis, spans in ((0, [tile.rows for tile in grid]), (1, [tile.columns for tile in grid])):
        steps = np.square(np.diff(image, axis=axis)).mean(axis=(1 - axis, 2))  # (lines - 1,)
        borders = sorted({side - 1 for span in spans for side in (span.start, span.stop)} - {-1, len(steps)})
        at.append(steps[borders])
        elsewhere.append(np.delete(steps, borders))
    return float(np.concatenate(at).mean()), float(np.concatenate(elsewhere).mean())


if __name__ == "__main__":
    main()
