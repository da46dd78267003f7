"""What looking at a restored photo again brings, and what it costs.

    python benchmarks/look_again.py NAME=FOLDER... [NAME=FOLDER:degrade=haze+noise:limit=12...]

Sets are those of `idrestore evaluate --data`. Prints a Markdown table: mean PSNR of the input, after one pass, and as
`Restorer.restore` does it; how many photos were restored in turn, and what the worst of these lost by it.
"""

import sys

import numpy as np

from idrestore import restore
from idrestore.data.pairs import parse_data
from idrestore.metrics import psnr


def main(texts: list[str]) -> None:
    """Print the table."""
    restorer, hint = restore.load("fast"), restore.HINT
    print(
        "| photos | input | one pass | looked at again | restored in turn | worst of these |\n|---|---|---|---|---|---|"
    )
    for name, spec in parse_data(texts).items():
        rows = []
        pairs = spec.find().matched[: spec.limit]
        for index, pair in enumerate(pairs):
            degraded, clean = spec.read(pair, index)
            both = restorer.restore(degraded)
            restore.HINT = 2.0  # more than any share: one pass
            once = restorer.restore(degraded) if both.again else both
            restore.HINT = hint
            values = [min(psnr(image, clean), 60) for image in (degraded, once.image, both.image)]
            rows.append((*values, both.again is not None, values[2] - values[1]))
        columns = np.array(rows).T
        worst = f"{columns[4][columns[3] > 0].min():+.2f}" if columns[3].any() else "–"
        means = " | ".join(f"{column.mean():.2f}" for column in columns[:3])
        print(f"| {name} | {means} | {columns[3].sum():.0f} of {len(pairs)} | {worst} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
