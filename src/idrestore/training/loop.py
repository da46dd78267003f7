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
from idrestore.training.run import Run, StepSkippedError, TrainingError, TrainingStoppedError, table
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
    weights). Without `resume` it must not hold a run yet. After so many `minutes` it is saved and left, to be resumed.
    `finish` ends the second stage (`schedule = "constant"`) in so many steps, over which the learning rate falls to its
    end: from where the run is or, with `minutes`, as late as these allow, if steps go on as they went so far. Under
    torchrun, N processes take N batches a step. Raise `TrainingError` if it cannot start, `TrainingStoppedError` if it
    cannot go on; on SIGINT and SIGTERM, save the state after the step at work and raise `KeyboardInterrupt`.
    """
    if not config.steps:
        raise TrainingError("the recipe has no steps: set collect.steps or integrate.steps")
    if finish is not None and config.optimizer.schedule != "constant":
        raise TrainingError('finish: got optimizer.schedule = "cosine", which ends by itself, expected "constant"')
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
        if finish is not None and minutes is None:
            try:
                run.finish(finish)
            except ValueError as error:
                raise TrainingError(f"finish: {error}") from None
        try:
            _take_steps(run, files, progress, _Time(minutes, finish, run.step))
        except SampleError as error:
            raise TrainingStoppedError(f"{error}; {files.saved}") from None
    return folder / "best.safetensors"


class _Time:
    """The minutes that a run has, from now at a step, and how many steps of these are to end it (None: no limit)."""

    def __init__(self, minutes: float | None, finish: int | None, step: int) -> None:
        self.begun, self.first_step, self.finish = time.monotonic(), step, finish
        self.seconds = math.inf if minutes is None else 60 * minutes

    def is_over(self) -> bool:
        """Tell whether the run is to be left."""
        return time.monotonic() - self.begun > self.seconds

    def is_to_finish(self, step: int) -> bool:
        """Tell whether just as much is left as the last steps take, if they go on as those did up to this one.

        Not in the first quarter, for the first steps are slow on a GPU.
        """
        passed = time.monotonic() - self.begun
        if self.finish is None or passed < self.seconds / 4:
            return False
        return passed + self.finish * passed / (step - self.first_step) >= self.seconds


def _take_steps(run: Run, files: RunFolder, progress: Callable[[int, int], None], limit: _Time) -> None:
    """Take all steps of both stages that are left, or those for which there is time."""
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
            if name == "integrate" and run.step == begin:
                _cross_boundary(run, files, validation)
            seen: dict[str, list[Tensor]] = defaultdict(list)
            clock, waited = time.monotonic(), 0.0
            part = distributed.rank(), distributed.size()
            stream = batches(samples, stage.batch, run.step, end, config.data.workers, *part, run.device)
            asked = time.monotonic()
            for batch in stream:
                waited += time.monotonic() - asked
                for key, values in _learn(run, batch, stage, samples.seed, files).items():
                    seen[key].append(values)
                if name == "integrate" and distributed.any_of(limit.is_to_finish(run.step), run.device):
                    limit = _finished(run, limit)
                    config, end = run.config, run.config.steps
                progress(run.step, config.steps)
                if seen and (run.step % config.log_every == 0 or run.step == end):
                    _log(files, name, run, seen, time.monotonic() - clock, waited)
                    seen.clear()
                    clock, waited = time.monotonic(), 0.0
                if (run.step % config.save_every == 0 and not run.skipped) or run.step == config.steps:
                    files.save_model(validation)
                    files.save_state()
                if run.step == config.steps:
                    break
                if distributed.any_of(interrupted() or limit.is_over(), run.device):
                    _leave(files, validation, interrupted())
                    return
                asked = time.monotonic()


def _log(files: RunFolder, stage: str, run: Run, seen: dict[str, list[Tensor]], seconds: float, waited: float) -> None:
    """Write what was seen in the steps of so many seconds, of which so many went by waiting for samples."""
    columns = {key: torch.cat(values) for key, values in seen.items()}
    files.log(
        stage=stage,
        learning_rate=run.config.learning_rate(run.step - 1),
        loss=round(float(columns["loss"].mean()), 5),
        samples_per_second=round(len(columns["loss"]) / seconds, 2),
        waiting_for_data=round(waited / seconds, 3),
        degradations=table(columns, run.config),
    )


def _learn(run: Run, batch: Batch, stage: StageConfig, seed: int, files: RunFolder) -> dict[str, Tensor]:
    """Take a step, or write why it was skipped; if the run cannot go on, say of which samples, and what is saved."""
    try:
        return run.learn(batch, stage)
    except StepSkippedError as error:
        files.log(event="skipped", why=str(error))
        return {}
    except TrainingStoppedError as error:
        first, size = run.step * stage.batch * distributed.size(), stage.batch * distributed.size()
        which = f"its samples are {first} to {first + size - 1} of seed {seed}"
        raise TrainingStoppedError(f"{error}; {which}; {files.saved}") from None


def _cross_boundary(run: Run, files: RunFolder, validation: Batch) -> None:
    """Reformulate the hub, unless the run began with one that is, and write what that costs."""
    if isinstance(run.network.hub, PriorHub):
        before = run.validate(validation)
        forgot = run.integrate()
        files.log(event="boundary", before=before, after=run.validate(validation), forgotten=forgot)
        run.best = -math.inf


def _finished(run: Run, limit: _Time) -> _Time:
    """Let a run begin its last steps, unless the recipe has no more than these; return that it has all time now."""
    if limit.finish is not None and run.step + limit.finish < run.config.steps:
        run.finish(limit.finish)
    return _Time(None, None, run.step)


def _leave(files: RunFolder, validation: Batch, interrupted: bool) -> None:
    """Save what an unfinished run needs to go on; raise `KeyboardInterrupt` if that is why it is left."""
    if not interrupted:
        files.save_model(validation)
    files.save_state()
    if interrupted:
        raise KeyboardInterrupt
