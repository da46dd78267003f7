"""Does --only leave the other degradation in the photo? Mixtures of two, one removed, compared with all that it may be.

    python benchmarks/steering.py FOLDER_OF_CLEAN_PHOTOS

For each mixture A+B and `only={A}` prints mean PSNR (dB) of the result to the photo with B alone (what is asked for),
to the clean photo (what restoring everything aims at), and, for scale, the same of the input and of restoring all.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from idrestore.data.degrade import mix
from idrestore.data.layouts import list_photos
from idrestore.data.pairs import read_8_bit, to_pixels
from idrestore.metrics import psnr
from idrestore.restoration.restorer import load

MIXTURES = (("rain", "noise"), ("noise", "rain"), ("low_light", "rain"), ("rain", "low_light"), ("rain", "haze"))
STRENGTH, NUM_PHOTOS = 0.4, 10


def main(folder: Path) -> None:
    """Print the table."""
    restorer = load("fast")
    print(
        "| mixture, removed | input to B | only A to B | all to B | input to clean | only A to clean | all to clean |"
    )
    print("|---|---|---|---|---|---|---|")
    for first, second in MIXTURES:
        rows = []
        for seed, path in enumerate(list_photos(folder)[:NUM_PHOTOS]):
            clean = read_8_bit(path)
            planes = torch.from_numpy(clean).permute(2, 0, 1) / 255
            both = to_pixels(mix(planes, {first: STRENGTH, second: STRENGTH}, seed))
            other = to_pixels(mix(planes, {second: STRENGTH}, seed))
            known = {first: 0.5, second: 0.5}
            only = restorer.restore(both, only={first}, ingredients=known).image
            everything = restorer.restore(both, ingredients=known).image
            rows.append([psnr(image, truth) for truth in (other, clean) for image in (both, only, everything)])
        cells = " | ".join(f"{value:.2f}" for value in np.mean(rows, axis=0))
        print(f"| {first}+{second}, {first} | {cells} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
