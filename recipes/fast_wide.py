"""A step in training `fast`: its wide view on blurred photos, apart from the rest; an hour on two cores without bf16.

    python recipes/fast_wide.py MODEL.safetensors -o WIDE.safetensors --photos FOLDER_OF_CLEAN_PHOTOS

The wide view (`model/wide.py`) costs a tenth of the network, so on its own it learns ten times as fast. It predicts the
whole change of blurred photos here; recipes/fast_blur.toml then fits it and what else undoes blur to each other.

Prints, every 100 steps, how much PSNR the samples gained on average, and those of 16 photos held out.
"""

import argparse
from pathlib import Path

import torch
from views import Pictures, learn

from idrestore import checkpoint
from idrestore.data.loader import Batch, Photos, Samples, batches, find_photos
from idrestore.model.config import PRESETS
from idrestore.model.wide import WideView

SCALES = 1.0, 0.7, 0.5, 0.35
PATCH, BATCH, HELD_OUT, HELD_OUT_SAMPLES = 160, 12, 16, 48
LOG_ERROR = 0.04
SEED, HELD_OUT_SEED = 31, 5


def main() -> None:
    """Learn, print and save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--out", "-o", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=6500)
    options = parser.parse_args()
    model = checkpoint.load(options.model)
    paths = find_photos([options.photos])
    held = paths[:: max(1, len(paths) // HELD_OUT)][:HELD_OUT]
    samples = _samples([path for path in paths if path not in held], SEED)
    held_out = next(iter(batches(_samples(held, HELD_OUT_SEED), HELD_OUT_SAMPLES, 0, 1, workers=0)))
    torch.manual_seed(0)
    model.network.widen(PRESETS["fast"].wide_view)
    drawn = batches(samples, BATCH, 0, options.steps, workers=1)
    model.network.wide = learn(model.network.wide, drawn, [held_out], options.steps, LOG_ERROR, see)
    checkpoint.save(options.out, model.network, model.card)


def _samples(paths: list[Path], seed: int) -> Samples:
    return Samples(Photos(paths, SCALES, PATCH), ("blur",), {"blur": 1.0}, PATCH, seed)


def see(view: WideView, batch: Batch) -> Pictures:
    """Change blurred photos by a wide view."""
    change = view(batch.degraded.contiguous(memory_format=torch.channels_last))
    return batch.degraded, batch.degraded + change, batch.clean


if __name__ == "__main__":
    main()
