"""Is a mixture of degradations restored better than by undoing any one of them alone?

    python benchmarks/mixtures.py FOLDER_OF_CLEAN_PHOTOS

For each mixture prints the mean PSNR (dB) of the input, of the shipped model's result by itself, when it is told all
that is wrong in equal shares, and when it is given one degradation alone (`ingredients={"noise": 1}` and so on).
"""

import sys
from pathlib import Path

import numpy as np

from idrestore.data.pairs import parse_set
from idrestore.metrics import psnr
from idrestore.restoration.restorer import load

MIXTURES = "haze+noise", "rain+low_light", "blur+noise", "haze+rain+noise"
NUM_PHOTOS = 20


def main(folder: Path) -> None:
    """Print the table."""
    restorer = load("fast")
    names = [name for name in restorer.names if name != "clean"]
    columns = ["mixture", "input", "by itself", "told", *(f"{name} alone" for name in names)]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for mixture in MIXTURES:
        _, spec = parse_set(f"mixture={folder}:degrade={mixture}")
        parts = mixture.split("+")
        givens = None, dict.fromkeys(parts, 1 / len(parts)), *({name: 1.0} for name in names)
        rows = []
        for index, pair in enumerate(spec.find().matched[:NUM_PHOTOS]):
            degraded, clean = spec.read(pair, index)
            results = [restorer.restore(degraded, ingredients=given).image for given in givens]
            rows.append([psnr(picture, clean) for picture in (degraded, *results)])
        print(f"| {mixture} | {' | '.join(f'{value:.2f}' for value in np.mean(rows, axis=0))} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
