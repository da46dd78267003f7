"""How many samples a second a recipe trains, and what share of a step making them would take.

    python benchmarks/training.py RECIPE.toml --photos FOLDER [--steps 20] [--threads 2] [-o training.json]

For each stage that the recipe has, takes some steps on samples made beforehand, then makes as many samples in this
process alone (and on the device that trains, if that is a GPU), three times in turn; prints medians with the smallest
and the largest. A share above 15 % would be felt where the worker that makes samples has no core of its own.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

from idrestore.data.loader import Photos, batches, find_photos
from idrestore.model.hub import PriorHub
from idrestore.training.loop import make_samples
from idrestore.training.recipe import TrainConfig
from idrestore.training.run import Run

TURNS = 3
NUM_PHOTOS = 16


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", "-o", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = TrainConfig.from_toml(options.recipe)
    paths = find_photos([options.photos])[:NUM_PHOTOS]
    found = {
        stage: _measure(config, stage, paths, options.steps)
        for stage in ("collect", "integrate")
        if getattr(config, stage).steps
    }
    if options.out:
        rows = [{"stage": stage, **row} for stage, row in found.items()]
        options.out.write_text(
            json.dumps({"format_version": 1, "threads": options.threads, "rows": rows}, indent=1) + "\n"
        )
    print("| stage | trained, samples a second | made, samples a second | making, share of a step |\n|---|---|---|---|")
    for stage, row in found.items():
        trained, made = (statistics.median(row[key]) for key in ("trained", "made"))
        print(f"| {stage} | {_spread(row['trained'])} | {_spread(row['made'])} | {trained / made:.0%} |")


def _measure(config: TrainConfig, name: str, paths: list[Path], steps: int) -> dict[str, list[float]]:
    """Return samples a second of steps, and of making samples, in turn."""
    run = Run(config)
    if name == "integrate" and isinstance(run.network.hub, PriorHub):
        run.integrate()
    stage = getattr(config, name)
    samples = make_samples(config, stage, Photos(paths, config.data.scales, stage.patch), config.seed)
    ready = list(batches(samples, stage.batch, 0, steps, 0, device=run.device))
    run.learn(ready[0], stage)  # the first step warms up
    trained, made = [], []
    for turn in range(1, TURNS + 1):
        start = time.perf_counter()
        for batch in ready:
            run.learn(batch, stage)
        _wait(run.device)
        trained.append(steps * stage.batch / (time.perf_counter() - start))
        start = time.perf_counter()
        stream = batches(samples, stage.batch, turn * steps, (turn + 1) * steps, 0, device=run.device)
        count = sum(len(batch.degraded) for batch in stream)
        _wait(run.device)
        made.append(count / (time.perf_counter() - start))
    return {"trained": trained, "made": made}


def _wait(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f}–{max(values):.1f})"


if __name__ == "__main__":
    main()
