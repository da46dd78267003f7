"""What it brings to roll off the highlights of photos that are found to be dark.

    python benchmarks/highlights.py NAME=FOLDER... [NAME=FOLDER:degrade=low_light:limit=20...]

Sets are those of `idrestore evaluate --data`. Prints a Markdown table: how many photos it changes; mean PSNR of
the input, without, and as `Restorer.restore` does it; and the change of the photos for which it was best and worst.
"""

import sys

import numpy as np

from idrestore import pixels, restore
from idrestore.data.pairs import parse_data
from idrestore.metrics import psnr


def main(texts: list[str]) -> None:
    """Print the table."""
    restorer, shoulder = restore.load("fast"), pixels.SHOULDER
    print("| photos | rolled off | input | without | with | best | worst |\n|" + "---|" * 7)
    for name, spec in parse_data(texts).items():
        rows = []
        for index, pair in enumerate(spec.find().matched[: spec.limit]):
            degraded, clean = spec.read(pair, index)
            pixels.SHOULDER = 1.0, 2.0  # nothing is brighter: the rule is off
            without = restorer.restore(degraded).image
            pixels.SHOULDER = shoulder
            images = degraded, without, restorer.restore(degraded).image
            rows.append([min(psnr(image, clean), 60) for image in images])
        columns = np.array(rows).T
        change = columns[2] - columns[1]
        means = " | ".join(f"{column.mean():.2f}" for column in columns)
        counted = f"{np.count_nonzero(change)} of {len(change)}"
        print(f"| {name} | {counted} | {means} | {change.max():+.2f} | {change.min():+.2f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
