"""Are synthesised degradations as strong as real ones, and do the routers take them alike?

    python benchmarks/physics.py RECIPE PHOTOS NAME=DEGRADATION=DIR... [--samples 40]

Draws samples of each degradation as training by the recipe would, but crops of 256 px, from a folder of photos, and
takes the pairs of validation sets; prints for each the PSNR of the input (mean, and the 10th and 90th percentile) and
the mean share of every degradation that the shipped model finds.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from idrestore.data.loader import Photos, find_photos
from idrestore.data.pairs import PairedPhotos, Pixels8, to_pixels
from idrestore.metrics import psnr
from idrestore.restoration.restorer import load
from idrestore.training.loop import make_samples
from idrestore.training.recipe import TrainConfig

PATCH, SEED = 256, 9


def main(recipe: Path, photos: Path, sets: list[tuple[str, str, Path]], number: int) -> None:
    """Print the table."""
    config, restorer = TrainConfig.from_toml(recipe), load("fast")
    stage = dataclasses.replace(config.integrate, patch=PATCH)
    crops = Photos(find_photos([photos])[::8], config.data.scales, PATCH)
    names = restorer.names
    print("| degradation | pairs | PSNR of the input | 10 % – 90 % | " + " | ".join(names) + " |")
    print("|---|---|---|---|" + "---|" * len(names))

    def row(degradation: str, label: str, pairs: list[tuple[Pixels8, Pixels8]]) -> None:
        values = [psnr(degraded, clean) for degraded, clean in pairs]
        shares = [restorer.restore(degraded, strength=0.0).ingredients for degraded, _ in pairs]
        low, high = np.percentile(values, (10, 90))
        means = " | ".join(f"{np.mean([share[name] for share in shares]):.2f}" for name in names)
        print(f"| {degradation} | {label} | {np.mean(values):.2f} | {low:.1f} – {high:.1f} | {means} |", flush=True)

    for degradation in dict.fromkeys(degradation for _, degradation, _ in sets):
        data = dataclasses.replace(config.data, ratios={degradation: 1.0})
        samples = make_samples(dataclasses.replace(config, data=data), stage, crops, SEED)
        drawn = [samples[index] for index in range(number)]
        row(
            degradation,
            f"{number} synthesised",
            [(to_pixels(degraded), to_pixels(clean)) for degraded, clean, _ in drawn],
        )
        for name, kind, folder in sets:
            if kind == degradation:
                paired = PairedPhotos(folder)
                row(degradation, name, [paired[index] for index in range(len(paired))])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("recipe", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--samples", type=int, default=40)
    given = parser.parse_args()
    sets = [(name, kind, Path(folder)) for name, kind, folder in (each.split("=", 2) for each in given.sets)]
    main(given.recipe, given.photos, sets, given.samples)
