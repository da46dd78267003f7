"""Would someone who does not know which is which call a restored photo worse? Contact sheets for such a judge.

    python benchmarks/blind.py sheets OUT FOLDER... [--seed 0] [--side 512] [--model fast]
    python benchmarks/blind.py count OUT ANSWERS.json        count the answers

`sheets` restores every photo of the folders and draws its middle (`--side` pixels at most) beside that of what it was
made from, left or right by chance (seeded), with a detail of each enlarged: OUT/FIRST-LAST.png, `ACROSS` photos side by
side, and OUT/key.json, not for the judge's eyes. Answers are `{"1": "left", "2": "same", ...}`: which side looks
better. `count` counts them by the photos' folders.
"""

import argparse
import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pyvips

from idrestore.data.layouts import list_photos
from idrestore.data.pairs import Pixels8, read_8_bit
from idrestore.evaluation.figures import Panel, draw, most_different
from idrestore.restoration.restorer import load

SIDES = ("left", "right")
ACROSS = 3
"""Photos on a page."""


def sheets(out: Path, folders: list[Path], model: str, seed: int, side: int) -> None:
    """Draw all photos in an order and with sides decided by chance."""
    restorer, chance = load(model), random.Random(seed)
    photos = [photo for folder in folders for photo in list_photos(folder)]
    chance.shuffle(photos)
    out.mkdir(parents=True)
    key, page = {}, []
    for number, path in enumerate(photos, 1):
        photo = read_8_bit(path)
        result = restorer.restore(photo)
        degraded, restored = middle(photo, side), middle(result.image, side)
        restored_on = chance.choice(SIDES)
        pair = [degraded, restored] if restored_on == "right" else [restored, degraded]
        box = most_different(degraded, restored, degraded)
        panels = [Panel(f"{number} {name}", pixels, "") for name, pixels in zip(SIDES, pair, strict=True)]
        page.append(draw(panels, box))
        found = next(iter(result.ingredients))
        key[str(number)] = {"folder": path.parent.name, "photo": path.name, "restored": restored_on, "found": found}
        if len(page) == ACROSS or number == len(photos):
            write(out / f"{number - len(page) + 1:02}-{number:02}.png", page)
            page = []
    (out / "key.json").write_text(json.dumps(key, indent=1))


def middle(photo: Pixels8, side: int) -> Pixels8:
    """Return the middle of a photo, at most `side` pixels high and wide."""
    top, left = (max(0, (length - side) // 2) for length in photo.shape[:2])
    return photo[top : top + side, left : left + side]


def write(path: Path, figures: list[Pixels8]) -> None:
    """Write figures side by side."""
    height = max(len(figure) for figure in figures)
    tall = [np.pad(figure, ((0, height - len(figure)), (0, 0), (0, 0)), constant_values=255) for figure in figures]
    pyvips.Image.new_from_array(np.concatenate(tall, axis=1)).pngsave(str(path))


def count(out: Path, answers: Path) -> None:
    """Print how often the restored photo was called better, the same and worse, by the folder of the photos."""
    key, said = json.loads((out / "key.json").read_text()), json.loads(answers.read_text())
    if set(said) != set(key):
        raise SystemExit(f"{answers}: expected an answer for each of 1 to {len(key)}, got {len(said)}")
    counts: dict[str, Counter[str]] = {}
    for number, row in key.items():
        verdict = {row["restored"]: "better", "same": "same"}.get(said[number], "worse")
        for group in (row["folder"], "all"):
            counts.setdefault(group, Counter())[verdict] += 1
        if verdict == "worse":
            print(f"worse: {row['photo']} ({row['found']}), sheet {number}")
    print("| folder | better | same | worse |\n|---|---|---|---|")
    for group in sorted(counts, key=lambda name: name == "all"):
        print(
            f"| {group} | " + " | ".join(str(counts[group][verdict]) for verdict in ("better", "same", "worse")) + " |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    drawing, counting = commands.add_parser("sheets"), commands.add_parser("count")
    drawing.add_argument("out", type=Path)
    drawing.add_argument("folders", type=Path, nargs="+")
    drawing.add_argument("--seed", type=int, default=0)
    drawing.add_argument("--side", type=int, default=512)
    drawing.add_argument("--model", "-m", default="fast")
    counting.add_argument("out", type=Path)
    counting.add_argument("answers", type=Path)
    given = parser.parse_args()
    if given.command == "sheets":
        sheets(given.out, given.folders, given.model, given.seed, given.side)
    else:
        count(given.out, given.answers)
