"""What the grain of photos that are called blurred tells, and what mistrusting blur by it brings.

    python benchmarks/grain.py NAME=FOLDER... [NAME=FOLDER:degrade=blur:limit=20...]

Sets are those of `idrestore evaluate --data`. Prints a Markdown table: how many photos have a share of blur that counts
by the routers alone, and the median and largest grain of these; mean PSNR of the input, without the rule, and as
`Restorer.restore` does it; and what the photo lost for which the rule was worst.
"""

import sys

import numpy as np

from idrestore import pixels, restore, steering
from idrestore.data.pairs import parse_data
from idrestore.metrics import psnr


def main(texts: list[str]) -> None:
    """Print the table."""
    restorer, grain = restore.load("fast"), steering.GRAIN
    print("| photos | called blurred | their grain | largest | input | without | with | worst |\n|" + "---|" * 8)
    for name, spec in parse_data(texts).items():
        rows, grains = [], []
        pairs = spec.find().matched[: spec.limit]
        for index, pair in enumerate(pairs):
            degraded, clean = spec.read(pair, index)
            steering.GRAIN = 1e8, 1e9  # more than any photo has: the rule is off
            without = restorer.restore(degraded)
            steering.GRAIN = grain
            blurred = without.ingredients["blur"] >= steering.LITTLE
            if blurred:
                grains.append(pixels.grain(pixels.scaled(degraded, np.iinfo(degraded.dtype).max)[None]))
            result = restorer.restore(degraded) if blurred else without
            rows.append([min(psnr(image, clean), 60) for image in (degraded, without.image, result.image)])
        columns = np.array(rows).T
        means = " | ".join(f"{column.mean():.2f}" for column in columns)
        seen = f"{np.median(grains):.2f} | {max(grains):.2f}" if grains else "– | –"
        worst = (columns[2] - columns[1]).min()
        print(f"| {name} | {len(grains)} of {len(pairs)} | {seen} | {means} | {worst:+.2f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
