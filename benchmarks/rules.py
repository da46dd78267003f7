"""What one of the rules between routers and result brings, and what it costs.

    python benchmarks/rules.py RULE NAME=FOLDER... [NAME=FOLDER:degrade=haze+noise:limit=20...] [--told noise+rain]
        [--enlarged 1.5]

Rules are amount, soft, grain, smoothed, grainy, haze, rain, again, clean, highlights, lines, traces, veil, dark and
black (docs/guide/explain.md); sets those of `idrestore evaluate --data`. Prints a Markdown table: how many photos a
rule changes, by the median and largest grain of all; mean PSNR of the input, without the rule, and as
`Restorer.restore` does it; and what it changed for the photos for which it was best and worst. `--told` says what is
wrong with all photos. `--enlarged` makes photos soft at the scale of a pixel first: the middle 340 pixels of both are
enlarged so many times, bicubically, and the degraded one is compressed as JPEG of quality 88.
"""

import argparse
import io
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from idrestore.data.pairs import parse_data
from idrestore.metrics import psnr
from idrestore.model.checkpoint import load
from idrestore.restoration import pixels
from idrestore.restoration.restorer import Restorer
from idrestore.restoration.rules import Rules

MIDDLE, QUALITY = 340, 88
"""Side of the middle of a photo that is enlarged, px, and of its JPEG."""
OFF: dict[str, dict[str, Any]] = {
    "amount": {"max_told_clean": 0.0},
    "soft": {"min_soft_share": 2.0},  # more than any share
    "grain": {"grain": (1e8, 1e9)},  # more than any photo has
    "smoothed": {"smoothed_grain": (1e8, 1e9)},
    "grainy": {"min_grainy_rain": 2.0},
    "haze": {"min_waiting_haze": 2.0, "min_hidden_haze": 2.0},
    "rain": {"sure_rain_share": 2.0},
    "again": {"min_second_share": 2.0},  # more than any share
    "clean": {"clean_shares": (2.0, 3.0)},
    "highlights": {"highlights": (1.0, 2.0)},  # nothing is brighter
    "lines": {"rain_lines": (2.0, 3.0)},  # more than a correlation can be
    "traces": {"traces": (2.0, 3.0)},
    "veil": {"veiled_shares": (2.0, 3.0)},
    "dark": {"darknesses": (-1.0, -2.0)},  # nothing is as dark
    "black": {"lights": (2.0, 3.0)},
}
"""What switches a rule off."""


def enlarged(photo: np.ndarray, times: float, is_degraded: bool) -> np.ndarray:
    """Return the middle of a photo, so many times as large."""
    top, left = ((length - min(MIDDLE, length)) // 2 for length in photo.shape[:2])
    middle = Image.fromarray(photo[top : top + MIDDLE, left : left + MIDDLE])
    large = middle.resize((round(middle.width * times), round(middle.height * times)), Image.Resampling.BICUBIC)
    if is_degraded:
        file = io.BytesIO()
        large.save(file, "JPEG", quality=QUALITY)
        large = Image.open(file)
    return np.asarray(large)


def main(rule: str, texts: list[str], told: str | None, times: float | None) -> None:
    """Print the table."""
    model = load("fast")
    restorers = [Restorer(model, rules=rules) for rules in (replace(Rules(), **OFF[rule]), Rules())]
    names = told.split("+") if told else []
    ingredients = dict.fromkeys(names, 1 / len(names)) if names else None
    print("| photos | changed | grain | largest | input | without | with | best | worst |\n|" + "---|" * 9)
    for name, spec in parse_data(texts).items():
        rows, grains, changed = [], [], 0
        for index, pair in enumerate(spec.find().matched[: spec.limit]):
            degraded, clean = spec.read(pair, index)
            if times is not None:
                degraded, clean = enlarged(degraded, times, True), enlarged(clean, times, False)
            without, result = (restorer.restore(degraded, ingredients=ingredients).image for restorer in restorers)
            changed += not np.array_equal(result, without)
            grains.append(pixels.grain(pixels.scaled(degraded, np.iinfo(degraded.dtype).max)[None]))
            rows.append([min(psnr(image, clean), 60) for image in (degraded, without, result)])
        columns = np.array(rows).T
        change = columns[2] - columns[1]
        numbers = [f"{number:.2f}" for number in (np.median(grains), max(grains), *columns.mean(axis=1))]
        ends = f"{change.max():+.2f}", f"{change.min():+.2f}"
        print(f"| {' | '.join((name, f'{changed} of {len(rows)}', *numbers, *ends))} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("rule", choices=OFF)
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--told")
    parser.add_argument("--enlarged", type=float)
    given = parser.parse_args()
    main(given.rule, given.sets, given.told, given.enlarged)
