"""Teach a model a degradation that it does not know, from a few pairs, and see what the old ones lost."""

import dataclasses
import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from idrestore.data.layouts import Pair, Pairs, find_pairs
from idrestore.data.loader import MIXTURE, Photos, batches
from idrestore.data.pairs import DEFAULT_STRENGTH, SetSpec, read_8_bit, write_pair
from idrestore.degradations import FIVE, Operation
from idrestore.device import is_half
from idrestore.evaluation.evaluate import evaluate
from idrestore.metrics import scikit_image
from idrestore.model import checkpoint
from idrestore.model.checkpoint import Model
from idrestore.model.hub import IngredientHub, PriorHub
from idrestore.model.network import RestorationNetwork
from idrestore.model.operations import SharedOperations
from idrestore.model.per_operation import PerOperationConv2d
from idrestore.model.prior_block import Addition, MetaPriorBlock, Router
from idrestore.model.published import ingredient_hub
from idrestore.restoration.restorer import Restorer
from idrestore.training.loop import make_samples, train
from idrestore.training.losses import LossWeights
from idrestore.training.recipe import DataConfig, OptimizerConfig, PairFolder, StageConfig, TrainConfig

LEARNING_RATE = 2e-3
"""Of what is new; nothing else learns, so it need not be gentle"""
BATCH, PATCH = 8, 128
LOSS = LossWeights(pixel=0.12, frequency=0.5, log_error=0.04, side=0.0, classification=0.0)
"""Of the cure alone: side images belong to the old parameters, and routers are fitted afterwards"""
NEVER = -1e4
"""A logit whose share is exactly 0"""
NUM_NEW, NUM_OLD = 320, 1600
"""Samples to which routers are fitted"""
FIT_STEPS, FIT_RATE, FIT_DECAY = 600, 3e-3, 0.01
"""Steps, learning rate and weight decay of that fit, each over all samples at once"""
OLD_COUNT = 10.0
"""A photo taken wrongly for the new degradation counts as much as this many that are missed"""
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

    `pairs` is a folder as `find_pairs` takes it. Only the new learns (`add_degradation`): its cure, in `steps` steps
    on the pairs, then its routers, on the pairs and on old degradations, which are synthesised on their clean photos.
    What was gained and lost is measured on the pairs of `validation`, or else on those learned from. Raises
    `ExtensionError`, `ValueError` or `OSError`, and `ImportError` without the extra `train`.
    """
    scikit_image()  # before all the work that is to be measured
    clean = _clean_photos(pairs)
    if validation is not None:
        _clean_photos(validation)
    folder.mkdir(parents=True, exist_ok=True)
    network = add_degradation(model.network, name, operation)
    recipe = _recipe(network, clean, pairs, steps)
    learned = _learn_cure(network, recipe, folder, progress)
    fit_routers(learned, recipe)
    path = folder / f"{name}.safetensors"
    record: dict[str, Any] = {
        "name": name,
        "operation": operation,
        "from": model.sha256,
        "pairs": len(clean),
        "steps": steps,
    }
    _save(path, learned, model, record)  # before it is measured, which takes a while and may fail
    changes = measure([model, dataclasses.replace(model, network=learned)], validation or pairs, name)
    measured_on = "other pairs" if validation else "the pairs learned from"
    psnr = [change._asdict() for change in changes]
    _save(path, learned, model, record | {"measured_on": measured_on, "psnr": psnr})
    return Extension(path, changes)


def _save(path: Path, network: RestorationNetwork, old: Model, record: Mapping[str, Any]) -> None:
    """Write an extended model, in whose card a record is added to those of the old one."""
    extensions = [*old.card.get("extensions", []), record]
    checkpoint.save(path, network, old.card | {"extensions": extensions}, half=_is_half(old.network))


def add_degradation(old: RestorationNetwork, name: str, operation: Operation) -> RestorationNetwork:
    """Return a network that has one more degradation, and does, where that one's share is 0, exactly what `old` does.

    All parameters of `old` are in it under the same names. New are, in each meta-prior block, a router of one logit,
    which starts from the features of the block's own router, and an operation, which starts as the identity; and in
    the hub a table of priors, or in an ingredient hub a row of C, and in mixed convolutions weights, which start as the
    mean of the others. Raises `ExtensionError` for a name that is taken.
    """
    if name in old.config.degradations:
        raise ExtensionError(f"name: the model knows {name!r} already, choose another name")
    if old.config.routing == "even" or not old.prior_blocks:
        raise ExtensionError("the model has no routers, which a new degradation needs")
    names = (*old.config.degradations, name)
    added = (*old.config.added, (name, operation))
    new = RestorationNetwork.from_seed(dataclasses.replace(old.config, degradations=names, added=added))
    if isinstance(old.hub, IngredientHub):
        new.hub = ingredient_hub(new.config)
    assert isinstance(new.hub, PriorHub | IngredientHub)
    new.load_state_dict(old.state_dict(), strict=False)
    with torch.no_grad():
        tables = new.hub.spectra if isinstance(new.hub, IngredientHub) else new.hub.priors
        new.hub.added[-1].copy_(tables.mean(dim=0))
        for block in _blocks(new):
            _start(block.additions[-1], block)
        for mixed in new.modules():
            if isinstance(mixed, PerOperationConv2d):
                for part, parameter in mixed.added[-1].named_parameters():
                    parameter.copy_(torch.stack([each.get_parameter(part) for each in mixed.of]).mean(dim=0))
    return new


def _blocks(network: RestorationNetwork) -> list[MetaPriorBlock]:
    return cast("list[MetaPriorBlock]", list(network.prior_blocks.values()))


def _start(fresh: Addition, block: MetaPriorBlock) -> None:
    """Let an addition see what its block sees, and find nothing yet."""
    assert isinstance(block.router, Router)
    fresh.router.hidden.load_state_dict(block.router.hidden.state_dict())
    fresh.router.logits.weight.zero_()
    fresh.router.logits.bias.fill_(NEVER)
    if isinstance(fresh.operations, SharedOperations) and isinstance(block.operations, SharedOperations):
        fresh.operations.trunk.load_state_dict(block.operations.trunk.state_dict())


def _learn_cure(
    network: RestorationNetwork, recipe: TrainConfig, folder: Path, progress: Callable[[int, int], None]
) -> RestorationNetwork:
    """Train the newest operations and their part of the hub on the new degradation, told that it is there."""
    start = folder / "start.safetensors"
    checkpoint.save(start, network, {})
    newest = f".added.{len(network.config.added) - 1}."
    names = [name for name, _ in network.named_parameters() if newest in f"{name}." and ".router." not in name]
    train(dataclasses.replace(recipe, start=str(start), learn=tuple(names)), folder, progress=progress)
    return checkpoint.load(folder / "last.safetensors").network


def fit_routers(network: RestorationNetwork, recipe: TrainConfig) -> None:
    """Let the newest routers tell their degradation from all others.

    Nothing else changes any more, so each router is fitted to pooled vectors that are computed once: of samples of the
    new degradation, told that it is there, and of those that the network was first made for and their mixtures, as the
    old routers see them.
    """
    config = network.config
    new = _look(network, recipe, {config.degradations[-1]: 1.0}, NUM_NEW)
    old = _look(network, recipe, dict.fromkeys([*config.known, MIXTURE], 1.0), NUM_OLD)
    for block, of_new, of_old in zip(_blocks(network), new, old, strict=True):
        fit(block.additions[-1].router, of_new, of_old)
    network.requires_grad_(False)


class View(NamedTuple):
    """What a block's router sees of N samples, and how sure the old logits are."""

    pooled: Tensor
    """(N, D)"""
    others: Tensor
    """(N,), the logarithm of the sum of the exponentials of the logits of all other degradations"""


@torch.no_grad()
def _look(network: RestorationNetwork, recipe: TrainConfig, ratios: dict[str, float], number: int) -> list[View]:
    """Return what each block sees of samples drawn by `ratios`; those of the newest degradation are told."""
    stage = recipe.integrate if recipe.integrate.steps else recipe.collect
    config = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, ratios=ratios))
    photos = Photos([Path(photo) for photo in config.data.photos], config.data.scales, stage.patch)
    samples = make_samples(config, stage, photos, seed=1)
    told = torch.eye(len(config.model.degradations))[-1:] if config.model.degradations[-1] in ratios else None
    routers = [block.additions[-1].router for block in _blocks(network)]
    seen: list[list[Tensor]] = [[] for _ in routers]
    hooks = [
        router.hidden.register_forward_pre_hook(lambda _, given, rows=rows: rows.append(given[0]))
        for router, rows in zip(routers, seen, strict=True)
    ]
    logits = []
    for batch in batches(samples, stage.batch, 0, number // stage.batch, workers=0):
        with torch.autocast("cpu", torch.bfloat16, enabled=is_half(config.precision, torch.device("cpu"))):
            output = network(batch.degraded, None if told is None else told.expand(len(batch.degraded), -1))
        logits.append(output.logits[..., :-1].logsumexp(dim=2))
    for hook in hooks:
        hook.remove()
    return [View(torch.cat(rows).float(), of) for rows, of in zip(seen, torch.cat(logits).unbind(dim=1), strict=True)]


def fit(router: Router, new: View, old: View) -> None:
    """Fit a router of one logit by the cross-entropy of "new" against all others together."""
    router.requires_grad_(True)
    torch.nn.init.zeros_(router.logits.bias)
    optimizer = torch.optim.AdamW(router.parameters(), FIT_RATE, weight_decay=FIT_DECAY)
    for _ in range(FIT_STEPS):
        missed = F.softplus(new.others - router.decide(new.pooled)[:, 0]).mean()
        mistaken = F.softplus(router.decide(old.pooled)[:, 0] - old.others).mean()
        optimizer.zero_grad()
        (missed + OLD_COUNT * mistaken).backward()
        optimizer.step()


@dataclass(frozen=True)
class _CleanPhotos(SetSpec):
    """Clean photos that are named one by one, as they may lie beside degraded ones."""

    photos: tuple[Path, ...] = ()

    def find(self) -> Pairs:
        return Pairs(tuple(Pair(path, path) for path in self.photos), ())


def measure(models: Sequence[Model], pairs: Path, name: str) -> list[Change]:
    """Return the mean PSNR of both models on `pairs`, and on some of their clean photos with each old degradation.

    Those are spread evenly over all, so that no sequence stands for the others.
    """
    old = [known for known in models[0].network.config.degradations if known in FIVE]
    clean = list(dict.fromkeys(_clean_photos(pairs)))
    chosen = tuple(clean[:: math.ceil(len(clean) / NUM_MEASURED)])
    sets: dict[str, SetSpec] = {
        known: _CleanPhotos(pairs, degrade={known: DEFAULT_STRENGTH}, photos=chosen) for known in old
    }
    reports = [evaluate(Restorer(each), sets | {name: SetSpec(pairs)}).summaries() for each in models]
    return [
        Change(key, *(round(mean.value, 2) for mean in (row.psnr_input, row.psnr_restored, after.psnr_restored)))
        for key, row, after in ((key, row, reports[1][key]) for key, row in reports[0].items())
    ]


def make_pairs(degrade: Degrade, photos: Sequence[Path], folder: Path) -> None:
    """Write 8-bit pairs into `folder`/degraded and /clean with a user's function.

    Raises `ExtensionError` if it returns anything but a picture of the same size; values beyond [0, 1] are clipped.
    """
    for index, path in enumerate(photos):
        clean = read_8_bit(path)
        degraded = np.asarray(degrade((clean / 255).astype(np.float32), np.random.default_rng([0, index])))
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


def _clean_photos(pairs: Path) -> list[Path]:
    """Return the clean photos of pairs; raise `ExtensionError` if one has no counterpart."""
    matched, unmatched = find_pairs(pairs)
    if unmatched or not matched:
        lonely = f"{unmatched[0]} has no counterpart" if unmatched else "no pairs"
        raise ExtensionError(f"{pairs}: {lonely}, expected degraded and clean photos of the same names")
    return [pair.clean for pair in matched]


def _is_half(network: RestorationNetwork) -> bool:
    """Tell whether 16 bits hold a network's parameters as they are."""
    return all(torch.equal(tensor.half().float(), tensor) for tensor in network.state_dict().values())


def _recipe(network: RestorationNetwork, clean: Sequence[Path], pairs: Path, steps: int) -> TrainConfig:
    """Return how the new degradation's cure is learned, in the stage of which the hub is."""
    name = network.config.degradations[-1]
    stage = StageConfig(steps=steps, batch=BATCH, patch=PATCH, told=1.0, loss=LOSS)
    none = dataclasses.replace(stage, steps=0)
    integrated = isinstance(network.hub, IngredientHub)
    return TrainConfig(
        precision="auto",
        model=network.config,
        data=DataConfig(
            photos=tuple(map(str, clean)),
            pairs=(PairFolder(str(pairs), name, share=1.0),),
            ratios={name: 1.0},
            held_out=0,
        ),
        optimizer=OptimizerConfig(learning_rate=LEARNING_RATE, warm_up=max(1, steps // 20), clip=0.5, ema=0.99),
        collect=none if integrated else stage,
        integrate=stage if integrated else none,
        save_every=steps,
    )
