"""The two-stage loop: collect task-oriented knowledge, integrate it into ingredients; readable top to bottom."""

import dataclasses
import math
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from idrestore.data import web
from idrestore.data.loader import MIXTURE, Batch, Photos, SampleError, Samples, batches, find_photos
from idrestore.data.pairs import PairedPhotos
from idrestore.degradations import NAMES
from idrestore.device import find_device
from idrestore.files import image
from idrestore.model.hub import PriorHub
from idrestore.training import distributed
from idrestore.training.recipe import StageConfig, TrainConfig, plain
from idrestore.training.run import Run, TrainingError, TrainingStoppedError, table
from idrestore.training.run_folder import RunFolder, interruptible


def make_samples(config: TrainConfig, stage: StageConfig, photos: Photos, seed: int) -> Samples:
    """Return the sample sequence of a stage."""
    known = set(config.model.degradations)
    ratios = dict(config.data.ratios) or dict.fromkeys(config.model.degradations, 1.0)
    for setting, given in (("data.ratios", ratios), ("optimizer.weights", config.optimizer.weights)):
        if set(given) - known - {MIXTURE}:
            raise TrainingError(f"{setting}: got {sorted(given)}, expected names among {sorted(known)} or {MIXTURE}")
    for pair in config.data.pairs:
        if pair.degradation not in known:
            raise TrainingError(f"data.pairs: got {pair.degradation!r}, expected a name among {sorted(known)}")
    data = config.data
    side = web.larger(stage.patch, data.web) if stage.steps else 0
    pairs = [(_large_enough(PairedPhotos(Path(p.folder)), side), p.degradation, p.share) for p in data.pairs]
    how = data.sigmas, data.white, data.synthesis, data.degraded, data.scenes, data.web
    return Samples(photos, config.model.degradations, ratios, stage.patch, seed, pairs, *how)


def _large_enough(photos: PairedPhotos, side: int) -> PairedPhotos:
    """Return the pairs, or raise `TrainingError` if a photo is smaller than a patch, by its file's header."""
    for path in (path for pair in photos.pairs for path in pair):
        width, height = image.size(path)
        if min(width, height) < side:
            raise TrainingError(f"{path} is {width}x{height}, expected at least the patch, {side}x{side}")
    return photos


def held_out_batch(config: TrainConfig, photos: Photos, each: int = 8) -> Batch:
    """Return the same few samples, at every call, of all that the recipe draws, and made as it makes them.

    Real pairs are not among them: where a recipe learns from these alone, they are of all that can be synthesised.
    """
    stage = config.integrate if config.integrate.steps else config.collect
    made = [name for name in (*config.model.degradations, MIXTURE) if name in (*NAMES, MIXTURE)]
    drawn = [name for name in made if config.data.ratios.get(name)]
    parts = []
    for name in drawn or made:
        data = dataclasses.replace(config.data, ratios={name: 1.0}, pairs=())
        samples = make_samples(dataclasses.replace(config, data=data), stage, photos, config.seed + 1)
        parts.append(samples.batch(range(each)))
    return Batch(*(torch.cat(column) for column in zip(*parts, strict=True)))


def train(
    config: TrainConfig,
    folder: Path,
    resume: bool = False,
    progress: Callable[[int, int], None] = lambda step, steps: None,
    finish: int | None = None,
    minutes: float | None = None,
) -> Path:
    """Train by a recipe in `folder`; return the best model's file.

    The folder gets `log.jsonl`, `state.pt` (for `resume`), `last.safetensors` and `best.safetensors` (averaged
    weights). Without `resume` it must not hold a run yet; with it, `finish` ends the second stage in so many steps
    from where the run is, the learning rate falling to its end (`schedule = "constant"`). After so many `minutes` it
    is saved and left, to be resumed. Under torchrun, N processes
    take N batches a step. Raise `TrainingError` if it cannot start, `TrainingStoppedError` if it cannot go on; on
    SIGINT and SIGTERM, save the state after the step at work and raise `KeyboardInterrupt`.
    """
    if not config.steps:
        raise TrainingError("the recipe has no steps: set collect.steps or integrate.steps")
    holds_run = (folder / "state.pt").exists()
    if holds_run and not resume:
        raise TrainingError(f"{folder} holds a run already: pass --resume to continue it, or another folder")
    if resume and not holds_run:
        raise TrainingError(f"{folder} holds no run to resume")
    with distributed.joined(find_device(config.device)) as device:
        run = Run(config, device)
        files = RunFolder(folder, run)
        if resume:
            files.resume()
        if finish is not None:
            try:
                run.finish(finish)
            except ValueError as error:
                raise TrainingError(f"finish: {error}") from None
        try:
            _take_steps(run, files, progress, math.inf if minutes is None else time.monotonic() + 60 * minutes)
        except SampleError as error:
            raise TrainingStoppedError(f"{error}; {files.saved}") from None
    return folder / "best.safetensors"


def _take_steps(run: Run, files: RunFolder, progress: Callable[[int, int], None], end_time: float) -> None:
    """Take all steps of both stages that are left, or those until a time of the monotonic clock."""
    config = run.config
    paths = find_photos([Path(source) for source in config.data.photos])
    largest = max(stage.patch for stage in (config.collect, config.integrate) if stage.steps)
    smallest = web.larger(largest, config.data.web)
    spacing = max(1, len(paths) // max(1, config.data.held_out))
    held = paths[::spacing][: config.data.held_out]
    photos = Photos([path for path in paths if path not in held] or paths, config.data.scales, smallest)
    stages = [
        (name, begin, stage, make_samples(config, stage, photos, config.seed + begin))
        for name, begin, stage in (
            ("collect", 0, config.collect),
            ("integrate", config.collect.steps, config.integrate),
        )
    ]
    validation = held_out_batch(config, Photos(held or paths, config.data.scales, smallest))
    if run.step == 0:
        files.start()
        files.log(event="start", recipe=plain(config), photos=len(paths), held_out=[path.name for path in held])
    with interruptible() as interrupted:
        for name, begin, stage, samples in stages:
            end = begin + stage.steps
            if run.step >= end:
                continue
            if name == "integrate" and run.step == begin and isinstance(run.network.hub, PriorHub):
                before = run.validate(validation)
                forgot = run.integrate()
                files.log(event="boundary", before=before, after=run.validate(validation), forgotten=forgot)
                run.best = -math.inf
            seen: dict[str, list[Tensor]] = defaultdict(list)
            clock, waited = time.monotonic(), 0.0
            part = distributed.rank(), distributed.size()
            stream = batches(samples, stage.batch, run.step, end, config.data.workers, *part, run.device)
            asked = time.monotonic()
            for batch in stream:
                waited += time.monotonic() - asked
                try:
                    learned = run.learn(batch, stage)
                except TrainingStoppedError as error:
                    first, size = run.step * stage.batch * distributed.size(), stage.batch * distributed.size()
                    which = f"its samples are {first} to {first + size - 1} of seed {samples.seed}"
                    raise TrainingStoppedError(f"{error}; {which}; {files.saved}") from None
                for key, values in learned.items():
                    seen[key].append(values)
                progress(run.step, config.steps)
                if run.step % config.log_every == 0 or run.step == end:
                    columns = {key: torch.cat(values) for key, values in seen.items()}
                    elapsed = time.monotonic() - clock
                    files.log(
                        stage=name,
                        learning_rate=config.learning_rate(run.step - 1),
                        loss=round(float(columns["loss"].mean()), 5),
                        samples_per_second=round(len(columns["loss"]) / elapsed, 2),
                        waiting_for_data=round(waited / elapsed, 3),
                        degradations=table(columns, config),
                    )
                    seen.clear()
                    clock, waited = time.monotonic(), 0.0
                if run.step % config.save_every == 0 or run.step == config.steps:
                    files.save_model(validation)
                    files.save_state()
                if (
                    distributed.any_of(interrupted() or time.monotonic() > end_time, run.device)
                    and run.step < config.steps
                ):
                    _leave(files, validation, interrupted())
                    return
                asked = time.monotonic()


def _leave(files: RunFolder, validation: Batch, interrupted: bool) -> None:
    """Save what an unfinished run needs to go on; raise `KeyboardInterrupt` if that is why it is left."""
    if not interrupted:
        files.save_model(validation)
    files.save_state()
    if interrupted:
        raise KeyboardInterrupt
