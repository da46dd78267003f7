"""A training run: everything that changes while training, and what one step does to it."""

import copy
import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from idrestore.data.loader import MIXTURE, Batch
from idrestore.device import find_device, is_half
from idrestore.metrics import MOST, psnr_batch
from idrestore.model import checkpoint
from idrestore.model.hub import IngredientHub, PriorHub, forgetting, integrate
from idrestore.model.network import CLASSIFIERS, RestorationNetwork
from idrestore.model.outputs import NetworkOutput
from idrestore.restoration.rules import Rules
from idrestore.training import distributed
from idrestore.training.losses import Confusions, Typical, losses
from idrestore.training.optimizers import Muon
from idrestore.training.recipe import StageConfig, TrainConfig

FORMAT_VERSION = 3
RULES = Rules()
"""Decide about samples as about photos that are restored."""
EXPLOSION = 100.0
"""A step is skipped whose restoration terms exceed their running means by this factor."""
MOST_SKIPPED = 10
"""After so many steps in a row that had to be skipped, a run will not come back."""


class TrainingError(RuntimeError):
    """Training that cannot start; the message is one line for people."""


class TrainingStoppedError(TrainingError):
    """Training that had begun and cannot go on."""


class StepSkippedError(Exception):
    """A step that changed no weights, for its loss or gradient would have ruined them."""


class Run:
    """Everything that changes while training, so that saving and resuming it is exact."""

    def __init__(self, config: TrainConfig, device: torch.device | None = None) -> None:
        self.step = self.skipped = 0
        self.config = config
        self.device = device or find_device(config.device)
        self.half = is_half(config.precision, self.device)
        self.network = RestorationNetwork.from_seed(config.model, config.seed)
        self.teacher: RestorationNetwork | None = None
        """The model that the run starts from, where something of it is distilled or kept"""
        start = checkpoint.load(config.start).network if config.start else None
        self._check_classifiers(start)
        if start is not None:
            self._start_from(start)
            if config.is_taught:
                self.teacher = start.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.learn:
            self._freeze_all_but(set(config.learn))
            self.network.skip_unused = all(part.startswith("additive_refiner") for part in config.learn)
            if len(config.learn) == 1 and config.learn[0] in CLASSIFIERS:
                self.network.only_classify = config.learn[0]
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        distributed.share(self.network)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.typical = Typical(len(config.model.degradations))
        self.confusions = Confusions(len(config.model.degradations))
        self.best = -math.inf
        self.optimizer = self._make_optimizer()

    def _check_classifiers(self, start: RestorationNetwork | None) -> None:
        """Refuse a classifier that would be shipped untrained: it learns alone."""
        for name in CLASSIFIERS:
            known = start is not None and getattr(start.config, name)
            if getattr(self.config.model, name) and not known and self.config.learn != (name,):
                raise TrainingError(
                    f"model.{name}: it would not learn with the rest; leave it out, and train it afterwards "
                    f"(recipes/{name}.toml)"
                )

    def _start_from(self, other: RestorationNetwork) -> None:
        """Take over the parameters, and the hub of the stage that they were trained for."""
        wanted = self.config.model
        if other.config.backbone == wanted.backbone:
            other.grow(wanted)
        if other.config != wanted:
            raise TrainingError(f"start: {self.config.start} is another model than the recipe's")
        if isinstance(other.hub, IngredientHub):
            if self.config.collect.steps:
                raise TrainingError(f"start: {self.config.start} is integrated already; set collect.steps to 0")
            self.network.hub = copy.deepcopy(other.hub).requires_grad_(self.config.model.integration != "frozen")
        self.network.load_state_dict(other.state_dict())

    def _freeze_all_but(self, learning: set[str]) -> None:
        """Let only the parameters and parts of these names learn."""
        parameters = dict(self.network.named_parameters())
        for part in sorted(learning):
            if not any(_is_part(name, [part]) for name in parameters):
                raise TrainingError(f"learn: got {part!r}, expected parameters of the network, or parts of it")
        for name, parameter in parameters.items():
            parameter.requires_grad_(_is_part(name, learning))

    def _make_optimizer(self, previous: torch.optim.Optimizer | None = None) -> torch.optim.Optimizer:
        """Make an optimiser, keeping the moments of the parameters that `previous` had already."""
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        config = self.config.optimizer
        optimizer: torch.optim.Optimizer
        if config.kind == "muon":
            optimizer = Muon(parameters, config.learning_rate, config.weight_decay)
        else:
            optimizer = torch.optim.AdamW(parameters, betas=config.betas, weight_decay=config.weight_decay, fused=True)
        for parameter in parameters:
            if previous is not None and parameter in previous.state:
                optimizer.state[parameter] = previous.state[parameter]
        return optimizer

    def integrate(self) -> list[float]:
        """Cross the boundary: reformulate the hub, restart its moments and its average; return what it forgot."""
        before = self.network.hub
        assert isinstance(before, PriorHub)
        self.network.hub = integrate(before, self.config.model.integration, self.config.seed)
        if self.config.learn:
            for name, parameter in self.network.hub.named_parameters(prefix="hub"):
                parameter.requires_grad_(parameter.requires_grad and _is_part(name, self.config.learn))
        distributed.share(self.network)
        self.average.hub = copy.deepcopy(self.network.hub).requires_grad_(False)
        self.optimizer = self._make_optimizer(self.optimizer)
        return forgetting(before, self.network.hub)

    def learn(self, batch: Batch, stage: StageConfig) -> dict[str, Tensor]:
        """Take one optimiser step of a stage and return per-sample numbers for the log.

        Where the loss or the gradient is not finite, or the loss leaps, the step changes nothing: raise
        `StepSkippedError`, or, the last of `MOST_SKIPPED` in a row, `TrainingStoppedError`.
        """
        config, batch = self.config, self._turned(self._placed(batch), stage)
        told = self._tell(batch.ingredients, stage)
        again = told is None and self._is_turn(stage.again)
        if again:
            batch = batch._replace(degraded=self._restored_once(batch.degraded))
        wanted, decided = self._taught(batch, told, bool(stage.loss.distillation))
        with self._autocast():
            output = self.network.restore_whole(batch.degraded, RULES, told)
        wrong = torch.zeros_like(batch.ingredients[:, 0], dtype=torch.bool)
        if told is not None:
            wrong = ((told > 0) & (batch.ingredients == 0)).any(dim=1)
        target = torch.where(wrong[:, None, None, None], batch.degraded, wanted)
        truth = batch.degraded, target, batch.ingredients
        present = self.network.presence(batch.degraded, batch.clean, batch.ingredients)
        terms = losses(output, *truth, stage.loss, config.model.attention, decided, present)
        loss = terms.total(self.weights(batch.ingredients))
        seen = _observe(batch, output._replace(logits=output.logits[:, :1]), present)  # the others may be told
        seen["found"] = output.logits[:, 0].detach().softmax(dim=1)
        seen["counted"] = (~wrong).float()
        seen |= {"restoration": terms.restoration.detach(), "loss": loss.detach().expand(len(batch.degraded))}
        seen = {name: distributed.gather(values) for name, values in seen.items()}
        self._skip_unless(seen["loss"].isfinite().all(), f"the loss is {seen['loss'].mean().item()}")
        typical = self.typical.of(seen["ingredients"]).mean()
        self._skip_unless(
            seen["restoration"].mean() <= EXPLOSION * typical, f"the loss leaps to {seen['loss'].mean().item():.3g}"
        )
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate(self.step)
        self.optimizer.zero_grad()
        if loss.requires_grad:  # else nothing that learns had a say in this batch
            loss.backward()
        distributed.average_gradients(self.network.parameters())
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.optimizer.clip or math.inf)
        self._skip_unless(norm.isfinite(), f"the gradient is {norm.item()}")
        self.optimizer.step()
        self.typical.update(seen.pop("restoration"), seen["ingredients"])
        found = seen.pop("found")
        if not again:
            self.confusions.update(found, seen["ingredients"])
        seen["ingredients"] = seen["ingredients"] * seen.pop("counted")[:, None]  # what was told wrongly is in no row
        self._update_average()
        self.step += 1
        self.skipped = 0
        return seen

    def _tell(self, ingredients: Tensor, stage: StageConfig) -> Tensor | None:
        """Return what the network is told of samples of true ingredients (B, K) in this step; None: nothing.

        Half of the mixtures that are kept are told in part.
        """
        if not self._is_turn(stage.told):
            return None
        chance = np.random.default_rng((self.config.seed, self.step, distributed.rank()))
        told, kept = ingredients.clone(), self._kept(ingredients).tolist()
        mistakes = self.confusions.mistakes(ingredients).double().numpy()
        alone = torch.eye(told.shape[1])
        for k, draw in enumerate(chance.random(len(told))):
            if draw < stage.wrong and mistakes[k].any():
                told[k] = alone[chance.choice(len(alone), p=mistakes[k] / mistakes[k].sum())]
            elif kept[k] and draw > 0.5:  # a first pass undoes one degradation and leaves the others to the second
                told[k] = alone[chance.choice(ingredients[k].nonzero()[:, 0].tolist())]
        return told

    def _kept(self, ingredients: Tensor) -> Tensor:
        """Tell of which samples of true ingredients (B, K) the model that the run starts from says the target, (B,)."""
        names = self.config.model.degradations
        return (ingredients[:, [names.index(name) for name in self.config.keep]] > 0).any(dim=1)

    def _is_turn(self, share: float) -> bool:
        """Tell whether this step is among a share of the steps, spread evenly."""
        return int((self.step + 1) * share) > int(self.step * share)

    @torch.no_grad()
    def _restored_once(self, degraded: Tensor) -> Tensor:
        """Return what the averaged weights make of photos (B, 3, H, W): what a second pass sees."""
        with self._autocast():
            return self.average.restore_whole(degraded, RULES).restored.float().clamp(0, 1)

    @torch.no_grad()
    def _taught(self, batch: Batch, told: Tensor | None, distilled: bool) -> tuple[Tensor, Tensor | None]:
        """Return what a batch is to come back as, (B, 3, H, W), and what routers are to say of it, (B, M, K) or None.

        That is clean, or as the model made it that the run starts from where that is kept; and what its routers say.
        """
        kept, wanted, decided = self._kept(batch.ingredients), batch.clean, None
        if self.teacher is None:
            return wanted, decided
        with self._autocast():
            if distilled:
                decided = self.teacher.route(batch.degraded, told, one_photo=False).logits
            if kept.any():
                rows = None if told is None else told[kept]
                wanted = wanted.clone()
                wanted[kept] = self.teacher.restore_whole(batch.degraded[kept], RULES, rows).restored.float()
        return wanted, decided

    def _turned(self, batch: Batch, stage: StageConfig) -> Batch:
        """Return a batch whose photos are mirrored and turned at random, if the stage's are."""
        if not stage.turned:
            return batch
        ways = np.random.default_rng((self.config.seed, self.step, distributed.rank(), 1)).integers(
            8, size=len(batch.clean)
        )
        photos = [torch.stack([_turned(p, int(way)) for p, way in zip(each, ways, strict=True)]) for each in batch[:2]]
        return Batch(photos[0].contiguous(memory_format=torch.channels_last), photos[1], batch.ingredients)

    def weights(self, ingredients: Tensor) -> Tensor:
        """Return how much each sample's restoration counts, (B,), by the true ingredients (B, K)."""
        weights = self.config.optimizer.weights
        singles = ingredients.new_tensor([weights.get(name, 1.0) for name in self.config.model.degradations])
        several = (ingredients > 0).sum(dim=1) > 1
        return torch.where(several, weights.get(MIXTURE, 1.0), ingredients @ singles)

    def _skip_unless(self, well: Tensor, what: str) -> None:
        if well:
            return
        if self.skipped + 1 == MOST_SKIPPED:
            raise TrainingStoppedError(
                f"{what} at step {self.step}, the last of {MOST_SKIPPED} in a row that could not be taken; lower the"
                " learning rate"
            )
        self.skipped += 1
        self.step += 1
        raise StepSkippedError(what)

    def _placed(self, batch: Batch) -> Batch:
        """Return a batch on the run's device, its photos in the memory order that convolutions like."""
        degraded = batch.degraded.to(self.device, memory_format=torch.channels_last)
        return Batch(degraded, batch.clean.to(self.device), batch.ingredients.to(self.device))

    def _autocast(self) -> torch.autocast:
        """Return the context in which networks compute in the recipe's precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)

    @torch.no_grad()
    def _update_average(self) -> None:
        """Move the averaged weights; early on faster, so that they forget their random start."""
        decay = min(self.config.optimizer.ema, (1 + self.step) / (10 + self.step))
        for average, parameter in zip(self.average.parameters(), self.network.parameters(), strict=True):
            average.lerp_(parameter, 1 - decay)

    @torch.no_grad()
    def validate(self, batch: Batch) -> dict[str, Any]:
        """Restore held-out samples with the averaged weights, the routers deciding, and return the log's table.

        Where a classifier learns alone, `right` is how often it is.
        """
        seen: dict[str, list[Tensor]] = defaultdict(list)
        for start in range(0, len(batch.degraded), 8):
            part = self._placed(Batch(*(tensor[start : start + 8] for tensor in batch)))
            with self._autocast():
                output = self.average.restore_whole(part.degraded, RULES)
            present = self.average.presence(part.degraded, part.clean, part.ingredients)
            for name, values in _observe(part, output, present).items():
                seen[name].append(values)
        return table({name: torch.cat(values) for name, values in seen.items()}, self.config)

    def score(self, table: Mapping[str, Mapping[str, float]]) -> float:
        """Return by what the best model is chosen, from a table of `validate`: PSNR (dB), or how often a classifier is
        right.

        The PSNR of clean photos does not count: that of one that is left alone has no bound, and would outweigh the
        others.
        """
        if self.network.only_classify:
            counted = [row["right"] for row in table.values()]
        else:
            counted = [row["output"] for name, row in table.items() if name != "clean"] or [MOST]
        return sum(counted) / len(counted)

    def finish(self, steps: int) -> None:
        """End the second stage in so many steps, the learning rate falling from here on; raise `ValueError`."""
        ending = self.config.ending(self.step + steps)
        self.config = dataclasses.replace(ending, optimizer=dataclasses.replace(ending.optimizer, cool_down=steps))

    def state(self) -> dict[str, Any]:
        """Return all that an exact continuation needs."""
        return {
            "format_version": FORMAT_VERSION,
            "model": dataclasses.asdict(self.config.model),
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "typical": self.typical.state(),
            "confusions": self.confusions.shares,
            "best": self.best,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`; raise `TrainingError` if it is that of another recipe's run."""
        if state["format_version"] != FORMAT_VERSION:
            raise TrainingError(f"unknown format version, expected {FORMAT_VERSION}")
        integrated = "hub.left_map" in state["network"]
        if integrated != (state["step"] > self.config.collect.steps and self.config.model.is_integrated):
            raise TrainingError(f"step {state['step']} lies in another stage of the recipe")
        if state["model"] != dataclasses.asdict(self.config.model):
            raise TrainingError("the run trains another model than the recipe's")
        if integrated and isinstance(self.network.hub, PriorHub):
            self.integrate()
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.typical.load(state["typical"])
        self.confusions.shares = state["confusions"].cpu()
        self.step, self.best = state["step"], state["best"]


def _is_part(name: str, parts: Iterable[str]) -> bool:
    """Tell whether a parameter is one of these, or belongs to one of these parts."""
    return any(f"{name}.".startswith(f"{part}.") for part in parts)


def _turned(photo: Tensor, way: int) -> Tensor:
    """Return a photo (3, H, H) turned by quarters, way 0 to 3, or mirrored and turned, 4 to 7."""
    return torch.rot90(photo.flip(2) if way >= 4 else photo, way % 4, (1, 2))


def _observe(batch: Batch, output: NetworkOutput, present: Tensor | None) -> dict[str, Tensor]:
    """Return per-sample numbers: ingredients (B, K), input and output PSNR (B,), is what is named right (B,).

    That is the first ingredient, or what a classifier that learns alone says of what is `present` (B,).
    """
    first = output.logits.detach().softmax(dim=2).mean(dim=1).argmax(dim=1, keepdim=True)
    right = batch.ingredients.gather(1, first)[:, 0] > 0
    if output.classified is not None and present is not None:
        right = (output.classified > 0) == (present > 0.5)
    return {
        "ingredients": batch.ingredients,
        "input": psnr_batch(batch.degraded, batch.clean).clamp(max=MOST),
        "output": psnr_batch(output.restored.detach().float().clamp(0, 1), batch.clean).clamp(max=MOST),
        "right": right.float(),
    }


def table(seen: Mapping[str, Tensor], config: TrainConfig) -> dict[str, Any]:
    """Average per-sample numbers for each degradation: input and output PSNR (dB) and share named right."""
    several = (seen["ingredients"] > 0).sum(dim=1) > 1
    rows = {name: (seen["ingredients"][:, k] > 0) & ~several for k, name in enumerate(config.model.degradations)} | {
        MIXTURE: several
    }
    return {
        name: {key: round(float(seen[key][row].mean()), 3) for key in ("input", "output", "right")}
        for name, row in rows.items()
        if row.any()
    }
