"""A step in training `fast`: its wide view on blurred photos, apart from the rest; an hour on two cores without bf16.

    python recipes/fast_wide.py MODEL.safetensors -o WIDE.safetensors --photos FOLDER_OF_CLEAN_PHOTOS

The wide view (`model/wide.py`) costs a tenth of the network, so on its own it learns ten times as fast. It predicts the
whole change of blurred photos here; recipes/fast_blur.toml then fits it and what else undoes blur to each other.

Prints, every 100 steps, how much PSNR the samples gained on average, and those of 16 photos held out.
"""

import argparse
import copy
from pathlib import Path

import torch
from torch import Tensor

from idrestore import checkpoint
from idrestore.data.loader import Batch, Photos, Samples, batches, find_photos
from idrestore.losses import LOG_ERROR_FLOOR
from idrestore.metrics import psnr_batch
from idrestore.model.config import PRESETS
from idrestore.model.wide import WideView
from idrestore.muon import Muon

SCALES = 1.0, 0.7, 0.5, 0.35
PATCH, BATCH, HELD_OUT, HELD_OUT_SAMPLES = 160, 12, 16, 48
RATE, WARM_UP, CLIP, EMA = 0.004, 50, 0.5, 0.998
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
    model.network.wide = learn(model.network.wide, samples, held_out, options.steps)
    checkpoint.save(options.out, model.network, model.card)


def _samples(paths: list[Path], seed: int) -> Samples:
    return Samples(Photos(paths, SCALES, PATCH), ("blur",), {"blur": 1.0}, PATCH, seed)


def learn(view: WideView, samples: Samples, held_out: Batch, steps: int) -> WideView:
    """Return the average of the weights that a wide view takes on its way."""
    view = view.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(view).requires_grad_(False)
    optimizer = Muon(view.parameters(), RATE)
    gains: list[Tensor] = []
    for step, batch in enumerate(batches(samples, BATCH, 0, steps, workers=1)):
        optimizer.param_groups[0]["lr"] = RATE * max(min((step + 1) / WARM_UP, 1 - step / steps), 1e-3)
        change = view(batch.degraded.contiguous(memory_format=torch.channels_last))
        error = batch.degraded + change - batch.clean
        log_error = (error.square().mean(dim=(1, 2, 3)) / LOG_ERROR_FLOOR).log1p()
        optimizer.zero_grad()
        (error.abs().mean() + LOG_ERROR * log_error.mean()).backward()
        torch.nn.utils.clip_grad_norm_(view.parameters(), CLIP)
        optimizer.step()
        decay = min(EMA, (1 + step) / (10 + step))
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), view.parameters(), strict=True):
                slow.lerp_(fast, 1 - decay)
        gains.append(gain(change.detach(), batch))
        if (step + 1) % 100 == 0:
            with torch.no_grad():
                of_held_out = gain(average(held_out.degraded), held_out).mean()
            print(f"{step + 1}: {torch.cat(gains).mean():.3f} dB, held out {of_held_out:.3f} dB", flush=True)
            gains.clear()
    return average


def gain(change: Tensor, batch: Batch) -> Tensor:
    """Return by how much a change raises the PSNR of each sample of a batch, in dB."""
    before, after = (psnr_batch(each.clamp(0, 1), batch.clean) for each in (batch.degraded, batch.degraded + change))
    return after.clamp(max=60) - before.clamp(max=60)


if __name__ == "__main__":
    main()
