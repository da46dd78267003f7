"""Teach a model a degradation that it does not know, from a few pairs, and see what the old ones lost."""

import dataclasses
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from idrestore import checkpoint
from idrestore.checkpoint import Model
from idrestore.data.layouts import Pair, find_pairs
from idrestore.data.pairs import parse_data, read_8_bit, write_pair
from idrestore.degradations import Operation
from idrestore.evaluate import evaluate
from idrestore.losses import LossWeights
from idrestore.model.hub import PriorHub
from idrestore.model.network import RestorationNetwork
from idrestore.recipe import DataConfig, OptimizerConfig, PairFolder, StageConfig, TrainConfig
from idrestore.restore import Restorer
from idrestore.train import train

LEARNING_RATE = 2e-4
"""Gentle: what the model knows has to stay"""
BATCH, PATCH = 8, 128
COLLECT_SHARE = 0.5
"""Share of the steps that collect the new prior; the others follow after the new integration"""
LOSS = LossWeights(pixel=0.12, frequency=0.5, log_error=0.04, side=0.05, classification=0.01, label_smoothing=0.05)
NUM_MEASURED = 8
"""Photos on which each degradation is measured before and after"""
Degrade = Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.floating]]
"""A user's function: a clean photo (H, W, 3) in [0, 1] and random numbers to a degraded one of the same size."""


class ExtensionError(ValueError):
    """A model that cannot be extended as asked; the message is one line for people."""


class Change(NamedTuple):
    """PSNR (dB) of a degradation's photos: as they came, restored by the old model, and by the extended one."""

    name: str
    degraded: float
    before: float
    after: float


class Extension(NamedTuple):
    """An extended model's file, and what it gained and lost; the new degradation comes last."""

    path: Path
    changes: list[Change]


def extend(
    model: Model,
    pairs: Path,
    name: str,
    operation: Operation,
    folder: Path,
    steps: int = 600,
    validation: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Extension:
    """Write `folder`/NAME.safetensors, a model that knows degradation `name` beside the old ones.

    Half of the steps collect a prior hub for it from `pairs` (a folder as `find_pairs` takes it), the other half follow
    the integration of all hubs into ingredients anew. Half of the samples show the old degradations, synthesised on
    the clean photos of the pairs, so that they are not forgotten. What was gained and lost is measured on the pairs of
    `validation`, or else on those learned from. Raises `ExtensionError`, `ValueError` or `OSError`.
    """
    found = find_pairs(pairs)
    if not found.matched or found.unmatched:
        lonely = f"{found.unmatched[0]} has no counterpart" if found.unmatched else "no pairs"
        raise ExtensionError(f"{pairs}: {lonely}, expected degraded and clean photos of the same names")
    folder.mkdir(parents=True, exist_ok=True)
    network = add_degradation(model.network, name, operation)
    start = folder / "start.safetensors"
    checkpoint.save(start, network, model.card)
    recipe = _recipe(start, network, [pair.clean for pair in found.matched], pairs, name, steps, Restorer(model).half)
    train(recipe, folder, progress=progress)
    learned = checkpoint.load(folder / "last.safetensors")
    changes = measure([model, learned], validation or pairs, name)
    path = folder / f"{name}.safetensors"
    record = {
        "name": name,
        "operation": operation,
        "from": model.sha256,
        "pairs": len(found.matched),
        "steps": steps,
        "measured_on": "other pairs" if validation else "the pairs learned from",
        "psnr": [change._asdict() for change in changes],
    }
    extensions = [*model.card.get("extensions", []), record]
    checkpoint.save(path, learned.network, model.card | {"extensions": extensions}, half=True)
    return Extension(path, changes)


def add_degradation(old: RestorationNetwork, name: str, operation: Operation) -> RestorationNetwork:
    """Return a network of the first stage that has one more degradation, and does for the others what `old` does.

    Each old degradation's hub is what `old` uses for it alone; the new one's is fresh, its operation the identity, and
    its routers find it nowhere yet. Raises `ExtensionError` for a name that is taken.
    """
    if name in old.config.degradations:
        raise ExtensionError(f"name: the model knows {name!r} already, choose another name")
    names = (*old.config.degradations, name)
    added = (*old.config.added, (name, operation))
    new = RestorationNetwork(dataclasses.replace(old.config, degradations=names, added=added))
    assert isinstance(new.hub, PriorHub)
    known = len(old.config.degradations)
    state = {key: value for key, value in old.state_dict().items() if not key.startswith("hub.")}
    with torch.no_grad():
        new.hub.priors[:known] = old.hub(torch.eye(known))
        for key, tensor in new.state_dict().items():
            if key not in state:
                continue
            if tensor.shape == state[key].shape:
                tensor.copy_(state[key])
            else:  # rows by degradation: routers' logits and the heads of shared operations
                tensor[:known] = state[key]
                tensor[known:] = state[key].amin(dim=0) if key.endswith("router.logits.bias") else 0
    return new


def measure(models: Sequence[Model], pairs: Path, name: str) -> list[Change]:
    """Return the mean PSNR of both models on `pairs`, and on their clean photos with each old degradation."""
    old = [known for known in models[0].network.config.degradations if known != "clean"]
    clean = find_pairs(pairs).matched[0].clean.parent
    sets = [f"{known}={clean}:degrade={known}:limit={NUM_MEASURED}" for known in old]
    reports = [evaluate(Restorer(each), parse_data([*sets, f"{name}={pairs}"])).summaries() for each in models]
    return [
        Change(key, *(round(mean.value, 2) for mean in (row.psnr_input, row.psnr_restored, after.psnr_restored)))
        for key, row, after in ((key, row, reports[1][key]) for key, row in reports[0].items())
    ]


def make_pairs(degrade: Degrade, photos: Sequence[Path], folder: Path, seed: int = 0) -> None:
    """Write 8-bit pairs into `folder`/degraded and /clean with a user's function.

    Raises `ExtensionError` if it returns anything but a picture of the same size; values beyond [0, 1] are clipped.
    """
    for index, path in enumerate(photos):
        clean = read_8_bit(path)
        degraded = np.asarray(degrade((clean / 255).astype(np.float32), np.random.default_rng([seed, index])))
        if degraded.shape != clean.shape or not np.isfinite(degraded).all():
            raise ExtensionError(f"degrade: got shape {degraded.shape}, expected finite values of shape {clean.shape}")
        if degraded.max() > 10:  # 0 to 255, most likely
            raise ExtensionError(f"degrade: got values up to {degraded.max():g}, expected them in [0, 1]")
        made = (degraded.clip(0, 1) * 255).round().astype(np.uint8)
        name = f"{path.stem}-{index}.png"
        write_pair(made, clean, Pair(folder / "degraded" / name, folder / "clean" / name))


def load_function(reference: str) -> Degrade:
    """Return the function of "FILE.py:NAME"; it runs the user's file. Raises `ExtensionError`."""
    file, _, name = reference.rpartition(":")
    spec = importlib.util.spec_from_file_location("degrade_of_user", file) if file.endswith(".py") else None
    if spec is None or spec.loader is None or not Path(file).is_file():
        raise ExtensionError(f"degrade: got {reference!r}, expected FILE.py:FUNCTION")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function: Any = getattr(module, name, None)
    if not callable(function):
        raise ExtensionError(f"degrade: {file} has no function {name!r}")
    return function  # type: ignore[no-any-return]


def _recipe(
    start: Path, network: RestorationNetwork, clean: Sequence[Path], pairs: Path, name: str, steps: int, half: bool
) -> TrainConfig:
    """Return what both stages do: as much of the new degradation as of all old ones together."""
    old = [known for known in network.config.degradations if known != name]
    collect = round(steps * COLLECT_SHARE)
    stage = StageConfig(batch=BATCH, patch=PATCH, loss=LOSS)
    return TrainConfig(
        start=str(start),
        precision="bf16" if half else "fp32",
        model=network.config,
        data=DataConfig(
            photos=tuple(map(str, clean)),
            pairs=(PairFolder(str(pairs), name, share=1.0),),
            ratios={name: float(len(old))} | dict.fromkeys(old, 1.0),
            held_out=0,
        ),
        optimizer=OptimizerConfig(learning_rate=LEARNING_RATE, warm_up=max(1, steps // 20), clip=0.5, ema=0.99),
        collect=dataclasses.replace(stage, steps=collect, told=0.5),
        integrate=dataclasses.replace(stage, steps=steps - collect),
        save_every=max(1, steps // 2),
    )
