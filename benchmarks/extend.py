"""What extending `fast` by the under-display camera brings: from 5, 20 and 50 pairs, and against learning it alone.

    python benchmarks/extend.py PHOTOS_TO_LEARN_FROM OTHER_PHOTOS OUT [STEPS]

OUT must not exist yet. The camera is synthesised (`under_display` in `data/physics/panel.py`); no shipped model is
trained on it. Photos are shrunk to 768 px first. Prints a Markdown table of PSNR on the pairs made from OTHER_PHOTOS:
of the new degradation, and of the old ones, before and after.
"""

import dataclasses
import sys
from pathlib import Path

import pyvips

from idrestore.data.layouts import Pair, list_photos
from idrestore.data.pairs import degrade_file, parse_data
from idrestore.evaluation.evaluate import evaluate
from idrestore.model import checkpoint
from idrestore.model.config import PRESETS
from idrestore.restoration.restorer import Restorer
from idrestore.training import extend
from idrestore.training.loop import train
from idrestore.training.recipe import DataConfig, OptimizerConfig, PairFolder, StageConfig, TrainConfig

NAME, STRENGTH, NUM_OTHERS, SIDE = "under_display", 0.4, 16, 768
COUNTS = (5, 20, 50)
ALONE = "haze"


def make(photos: list[Path], folder: Path) -> Path:
    """Make pairs of shrunk photos."""
    for index, path in enumerate(photos):
        small = folder / "small.png"
        folder.mkdir(parents=True, exist_ok=True)
        pyvips.Image.thumbnail(str(path), SIDE, size="down").pngsave(str(small))
        pair = Pair(*(folder / side / f"{index:02}.png" for side in ("degraded", "clean")))
        degrade_file(small, pair, {NAME: STRENGTH}, index)
        small.unlink()
    return folder


def learn_alone(pairs: Path, folder: Path, steps: int) -> Path:
    """Train a network of the same size on nothing else; it calls it haze, which has the same operation."""
    model = dataclasses.replace(PRESETS["fast"], degradations=(ALONE,), integration="none")
    loss = dataclasses.replace(extend.LOSS, side=0.05)
    stage = StageConfig(steps=steps, batch=extend.BATCH, patch=extend.PATCH, told=1.0, loss=loss)
    clean = tuple(map(str, list_photos(pairs / "clean")))
    data = DataConfig(clean, (PairFolder(str(pairs), ALONE, 1.0),), ratios={ALONE: 1.0}, held_out=0)
    optimizer = OptimizerConfig(1e-3, 1e-6, warm_up=max(1, steps // 20), clip=0.5, ema=0.99)
    train(TrainConfig(precision="bf16", model=model, data=data, optimizer=optimizer, collect=stage), folder)
    return folder / "last.safetensors"


def main(learn: Path, other: Path, out: Path, steps: int = 400) -> None:
    """Run everything and print the table."""
    learned_from, spacing = list_photos(learn), max(1, len(list_photos(learn)) // 50)
    validation = make(list_photos(other)[:NUM_OTHERS], out / "validation")
    fast = checkpoint.load("fast")
    print("| model | under_display | noise | rain | haze | blur | low_light |\n|---|---|---|---|---|---|---|")
    first = None
    for number in COUNTS:
        pairs = make(learned_from[::spacing][:number], out / f"pairs{number}")
        made = extend.extend(fast, pairs, NAME, "affine", out / f"extended{number}", steps, validation)
        changes = {change.name: change for change in made.changes}
        if first is None:
            first = changes
            row(f"input ({NUM_OTHERS} pairs; 8 photos each)", {k: c.degraded for k, c in changes.items()})
            row("fast, which has never seen it", {k: c.before for k, c in changes.items()})
        row(f"extended with {number} pairs", {k: c.after for k, c in changes.items()})
    alone = Restorer(checkpoint.load(learn_alone(out / f"pairs{COUNTS[-1]}", out / "alone", steps)))
    mean = evaluate(alone, parse_data([f"{NAME}={validation}"])).summaries()[NAME].psnr_restored.value
    row(f"the same size, from scratch on {COUNTS[-1]} pairs", {NAME: mean})


def row(label: str, values: dict[str, float]) -> None:
    """Print one line of the table."""
    names = (NAME, "noise", "rain", "haze", "blur", "low_light")
    print(f"| {label} | " + " | ".join(f"{values[n]:.2f}" if n in values else "–" for n in names) + " |", flush=True)


if __name__ == "__main__":
    photos, others, target = map(Path, sys.argv[1:4])
    main(photos, others, target, *map(int, sys.argv[4:5]))
