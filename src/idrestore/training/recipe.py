"""How a model is trained, as data: a TOML file, checked key by key."""

import dataclasses
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, get_type_hints

from idrestore.configuration import check_at_least, check_kind, check_known, check_shares, tuples
from idrestore.data.loader import Synthesis
from idrestore.device import Precision
from idrestore.model import checkpoint
from idrestore.model.config import ModelConfig
from idrestore.training.losses import LossWeights


class RecipeError(ValueError):
    """A recipe that cannot be followed; the message is one line for people."""


@dataclass(frozen=True)
class PairFolder:
    """Real pairs that take the place of part of a degradation's synthetic samples."""

    folder: str
    """Folder with two subfolders, such as degraded and clean"""
    degradation: str
    """What its degraded photos show"""
    share: float = 0.5
    """Chance that a sample of this degradation comes from here"""

    def __post_init__(self) -> None:
        check_shares(self, "share")


@dataclass(frozen=True)
class DataConfig:
    """What is learned from."""

    photos: tuple[str, ...] = ()
    """Folders of clean photos, relative to where the command runs"""
    pairs: tuple[PairFolder, ...] = ()
    """Folders of real pairs"""
    scales: tuple[float, ...] = (1.0, 0.7, 0.5, 0.35)
    """Scales at which photos are cropped"""
    ratios: Mapping[str, float] = field(default_factory=dict)
    """How often each degradation, or "mixture", is drawn; by default all of the model's equally, no mixtures"""
    sigmas: tuple[float, ...] = ()
    """Standard deviations of white noise, in 8-bit units, as in the benchmarks; empty: noise of all kinds"""
    white: float = 0.0
    """Share of the noise samples that are as with `sigmas`, but of any standard deviation from 8 to 60"""
    degraded: float = 0.0
    """Share of noisy and rainy samples that have something else behind that as well, which is to stay"""
    scenes: bool = False
    """Whether patches show whole scenes, and haze as cameras see it reaches from their sky to their near ground"""
    web: float = 0.0
    """Share of the samples that are then made smaller, softened and compressed, as photos are that come from the web"""
    synthesis: Synthesis = "plain"
    """How photos are degraded: as `idrestore degrade` does, as cameras do, or half of them each way ("both")"""
    held_out: int = 16
    """Photos kept for validation, spread evenly over the list"""
    workers: int = 1
    """Processes that make samples; the samples do not depend on it"""

    def __post_init__(self) -> None:
        check_at_least(self, ratios=0, sigmas=0, held_out=0, workers=0)
        check_shares(self, "white", "degraded", "web")
        if not self.scales or not all(scale > 0 for scale in self.scales):
            raise ValueError(f"scales: got {self.scales}, expected some numbers above 0")
        if self.ratios and not any(self.ratios.values()):
            raise ValueError(f"ratios: got {dict(self.ratios)}, expected one above 0")


@dataclass(frozen=True)
class StageConfig:
    """One of the two stages."""

    steps: int = 0
    """Optimiser steps"""
    batch: int = 8
    """Samples a step"""
    patch: int = 128
    """Side of a sample, px"""
    told: float = 0.0
    """Share of the steps in which the network is told the true ingredients; in the others its routers decide. Routers
    behind the first one see features that being told has marked, and would learn nothing at a share of 1."""
    wrong: float = 0.0
    """Share of the samples of those steps that are told what is not there, drawn from what the routers confuse it with;
    they are to come back as they are, so that an operation does no harm where there is nothing to undo"""
    again: float = 0.0
    """Share of the steps in which the network sees what its averaged weights made of the samples, as a second pass
    does; steps in which it is told something are not among them"""
    turned: bool = False
    """Whether samples, degraded and clean alike, are mirrored and turned in eight ways at random"""
    loss: LossWeights = field(default_factory=LossWeights)
    """Terms of the loss"""

    def __post_init__(self) -> None:
        check_at_least(self, steps=0, batch=1, patch=1)
        check_shares(self, "told", "wrong", "again")


@dataclass(frozen=True)
class OptimizerConfig:
    """How parameters move."""

    learning_rate: float = 3e-4
    """Peak, after warm-up"""
    final_learning_rate: float = 1e-6
    """At the last step"""
    schedule: Literal["cosine", "constant"] = "cosine"
    """From peak to end: a cosine over both stages; or the peak throughout and a straight line in the last steps, so
    that a run can go on for as long as it pays"""
    cool_down: int = 0
    """Steps of that line"""
    cycles: tuple[tuple[int, float], ...] = ()
    """Cosines in turn: steps, and peak relative to `learning_rate`; empty: one over all steps"""
    warm_up: int = 200
    """Steps of linear rise from 0"""
    weight_decay: float = 0.0
    """Decoupled from the gradient"""
    clip: float = 1.0
    """Largest norm of the gradient; 0: any"""
    betas: tuple[float, float] = (0.9, 0.99)
    """AdamW's memories of the gradient and of its square: runs on a laptop have thousands of steps, not millions"""
    ema: float = 0.999
    """Decay of the averaged weights, which are what is validated and shipped"""
    weights: Mapping[str, float] = field(default_factory=dict)
    """How much the restoration of each degradation, or of "mixture", counts; 1 for what is not named"""
    kind: Literal["adamw", "muon"] = "adamw"
    """AdamW, or Muon for matrices and Adam for the rest, with learning rates about fifty times as large"""

    def __post_init__(self) -> None:
        check_at_least(self, learning_rate=0, final_learning_rate=0, cool_down=0, warm_up=0)
        check_at_least(self, weight_decay=0, clip=0, weights=0)
        if not all(0 <= decay < 1 for decay in (self.ema, *self.betas)):
            raise ValueError(f"ema, betas: got {self.ema}, {self.betas}, expected numbers from 0 to below 1")


@dataclass(frozen=True)
class TrainConfig:
    """A recipe."""

    seed: int = 0
    """Of the weights and of the samples"""
    start: str = ""
    """Model to start from (name or path); empty: from scratch"""
    learn: tuple[str, ...] = ()
    """Parameters, or parts of the network, that learn, the others staying as they start; empty: all learn"""
    keep: tuple[str, ...] = ()
    """Degradations whose samples, mixtures with them too, are to come back as the model makes them that the run starts
    from: what it does to them is kept while the rest learns (learning without forgetting, Li and Hoiem 2016)"""
    device: str = "auto"
    """Where to train: cpu, cuda, ...; auto is CUDA if there is one, else the CPU"""
    precision: Precision = "fp32"
    """Arithmetic of forward and backward passes; weights and moments are always fp32. "auto" is bf16 where the
    processor has units for it: elsewhere it is slower by far."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The network; `preset` names what to start from; a recipe's file without it changes that of `start`"""
    data: DataConfig = field(default_factory=DataConfig)
    """Photos and pairs"""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Learning rate and its companions"""
    collect: StageConfig = field(default_factory=lambda: StageConfig(told=1.0))
    """First, every degradation has its own prior hub"""
    integrate: StageConfig = field(default_factory=StageConfig)
    """Then there is one ingredient hub"""
    log_every: int = 50
    """Steps between log lines"""
    save_every: int = 500
    """Steps between validations and checkpoints"""

    def __post_init__(self) -> None:
        check_at_least(self, log_every=1, save_every=1)
        for name, value, none in (("loss.distillation", self.distilled, 0), ("keep", list(self.keep), [])):
            if value and not self.start:
                raise ValueError(f"{name}: got {value} without a model to start from, expected {none}, or a `start`")
        if set(self.keep) - set(self.model.degradations):
            raise ValueError(f"keep: got {list(self.keep)}, expected names among {self.model.degradations}")

    @classmethod
    def from_toml(cls, path: Path) -> "TrainConfig":
        """Read a recipe; raise `RecipeError` naming the file and the unknown or impossible setting.

        One that starts from a model trains that model's network, with what its table for the network changes, unless
        this names a preset.
        """
        try:
            settings = tomllib.loads(path.read_text(encoding="utf-8"))
            changes = settings.get("model", {})
            if "start" in settings and isinstance(changes, dict) and "preset" not in changes:
                network = checkpoint.load(settings["start"]).network
                settings["model"] = dataclasses.asdict(network.config) | changes
            return cls().changed(settings)
        except OSError as error:
            raise RecipeError(f"{path} cannot be read ({error.strerror}): expected a recipe, a TOML file") from error
        except ValueError as error:
            raise RecipeError(f"{path}: {error}") from error

    def changed(self, settings: Mapping[str, Any]) -> Self:
        """Return this recipe with some settings, as a recipe's file holds them; raise `ValueError` naming a wrong one.

        Tables change what they name; a mapping of numbers, such as `data.ratios`, is replaced as a whole.
        """
        try:
            return _configure(self, settings, "")
        except TypeError as error:
            raise ValueError(str(error)) from error

    @property
    def distilled(self) -> float:
        """How much what routers said before counts, in either stage."""
        return max(self.collect.loss.distillation, self.integrate.loss.distillation)

    @property
    def is_taught(self) -> bool:
        """Whether a run needs the model that it starts from beyond its start."""
        return bool(self.distilled or self.keep)

    @property
    def steps(self) -> int:
        """Steps of both stages."""
        return self.collect.steps + self.integrate.steps

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step: linear warm-up, then as `schedule` and `cycles` say."""
        optimizer = self.optimizer
        if step < optimizer.warm_up:
            return optimizer.learning_rate * (step + 1) / optimizer.warm_up
        if optimizer.schedule == "constant":
            left = (self.steps - step) / max(1, optimizer.cool_down)
            return self._between(min(left, 1), 1.0)
        begin, cycles = optimizer.warm_up, optimizer.cycles or ((self.steps - optimizer.warm_up, 1.0),)
        for length, peak in cycles:  # noqa: B007
            if step < begin + length:
                break
            begin += length
        else:
            begin -= length
        progress = min((step - begin) / max(1, length), 1)
        return self._between(0.5 * (1 + math.cos(math.pi * progress)), peak)

    def _between(self, part: float, peak: float) -> float:
        """Return a learning rate: such a part of the way from the final one to the peak."""
        last = self.optimizer.final_learning_rate
        return last + part * (peak * self.optimizer.learning_rate - last)

    def ending(self, step: int) -> Self:
        """Return this recipe with its second stage cut or stretched to end at a step; raise `ValueError`."""
        if step <= self.collect.steps:
            raise ValueError(f"expected an end in the second stage, behind step {self.collect.steps}, got step {step}")
        return dataclasses.replace(self, integrate=dataclasses.replace(self.integrate, steps=step - self.collect.steps))


Config = TypeVar("Config")


def _configure(start: Config, values: Any, where: str) -> Config:
    """Return `start` with a table's values, with one clear error for an unknown key or a value of another type."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{where.rstrip('.')}: got {values!r}, expected a table")
    if isinstance(start, ModelConfig):
        return start.changed(values)
    hints = get_type_hints(type(start))
    arguments: dict[str, Any] = {}
    check_known(values, hints, where)
    for key, value in values.items():
        if dataclasses.is_dataclass(hints[key]):
            value = _configure(getattr(start, key), value, f"{where}{key}.")
        elif key == "pairs" and isinstance(value, list):
            value = [_configure(PairFolder("", ""), pair, f"{where}pairs.") for pair in value]
        arguments[key] = tuples(value)
        check_kind(where + key, arguments[key], hints[key])
    try:
        return dataclasses.replace(start, **arguments)  # type: ignore[type-var]
    except ValueError as error:
        raise ValueError(f"{where}{error}") from error


def with_photos(config: TrainConfig, folders: Sequence[Path]) -> TrainConfig:
    """Return a recipe that learns from other folders of clean photos."""
    photos = tuple(str(folder) for folder in folders)
    return dataclasses.replace(config, data=dataclasses.replace(config.data, photos=photos))


def plain(config: TrainConfig) -> dict[str, Any]:
    """Return a recipe as JSON can hold it."""
    return dataclasses.asdict(config)
