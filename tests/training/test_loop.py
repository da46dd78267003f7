import copy
import dataclasses
import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import write_png
from small import FAST, one_hot, shaken

from idrestore.data.degrade import gaussian_noise
from idrestore.data.layouts import list_photos
from idrestore.data.loader import MIXTURE, Batch, Photos, Samples
from idrestore.degradations import NAMES
from idrestore.metrics import psnr_batch
from idrestore.model import checkpoint
from idrestore.model.config import PRESETS
from idrestore.model.hub import IngredientHub, PriorHub
from idrestore.model.network import CLASSIFIERS, RestorationNetwork
from idrestore.training import loop
from idrestore.training.loop import held_out_batch, make_samples, train
from idrestore.training.losses import LossWeights
from idrestore.training.recipe import DataConfig, OptimizerConfig, PairFolder, StageConfig, TrainConfig
from idrestore.training.run import RULES, Run, StepSkippedError, TrainingError, TrainingStoppedError

RECIPES = Path(__file__).parents[2] / "recipes"
MODEL = dataclasses.replace(PRESETS["tiny"], degradations=("noise", "low_light"), affine_refiner=())
FAST = dataclasses.replace(FAST, haze_classifier=(), rain_classifier=())  # they learn alone
COLLECT, INTEGRATE = 3, 3
TOLD = StageConfig(told=1.0)


def recipe(folder="", model=MODEL, optimizer=None, **changes):
    """Return a recipe of a second: 3 + 3 steps of 2 patches of 16 px."""
    fields = {
        "data": DataConfig((str(folder),), held_out=1, workers=0, scales=(1.0,)),
        "optimizer": optimizer or OptimizerConfig(warm_up=2),
        "collect": StageConfig(COLLECT, 2, 16, told=1.0),
        "integrate": StageConfig(INTEGRATE, 2, 16),
        "log_every": 2,
        "save_every": 1,
    }
    return TrainConfig(model=model, **(fields | changes))


def simple_batch():
    """Return two noisy and two dark pictures of coloured waves, 32 px."""
    y, x = torch.meshgrid(torch.arange(32) / 32, torch.arange(32) / 32, indexing="ij")
    waves = 1 + 5 * torch.rand(4, 3, 3, 1, 1)
    clean = 0.5 + 0.3 * torch.sin(waves[:, 0] * x + waves[:, 1] * y + waves[:, 2])
    noisy = [gaussian_noise(clean[0], 25, 0), gaussian_noise(clean[1], 50, 1)]
    degraded = torch.stack([*noisy, 0.3 * clean[2], 0.15 * clean[3]])
    return Batch(degraded, clean, torch.eye(2)[[0, 0, 1, 1]])


def lines(folder):
    """Return the log's lines; JSON's own numbers only."""

    def refuse(text):
        raise ValueError(f"{text} is not JSON")

    text = (folder / "log.jsonl").read_text()
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


# ---- learning


@pytest.mark.parametrize("stage", ["collect", "integrate"])
def test_sixty_steps_on_four_patches_halve_the_loss(stage):
    run, batch = Run(recipe(optimizer=OptimizerConfig(8e-3, 4e-3, warm_up=5))), simple_batch()
    told = 1.0
    if stage == "integrate":
        run.integrate()
        told = 0.0
    steps = [run.learn(batch, StageConfig(told=told)) for _ in range(60)]
    first, last = (float(step["loss"][0]) for step in (steps[0], steps[-1]))
    assert last < first / 2
    noisy, dark = (steps[-1]["output"] - steps[-1]["input"]).reshape(2, 2).mean(dim=1)
    assert noisy > 0.2  # dB
    assert dark > 5


def test_the_router_separates_two_degradations(photo_folder):
    config = recipe(optimizer=OptimizerConfig(4e-3, 2e-3, warm_up=5))
    photos = Photos(list_photos(photo_folder), (1.0,), 32)

    def batch(first, size):
        sequence = Samples(photos, MODEL.degradations, {"noise": 1.0, "low_light": 1.0}, 32, seed=0)
        rows = [sequence[index] for index in range(first, first + size)]
        return Batch(*(torch.stack(column) for column in zip(*rows, strict=True)))

    run, unseen = Run(config), batch(10_000, 40)
    for step in range(60):
        run.learn(batch(8 * step, 8), StageConfig(told=0.5))
    right = run.network(unseen.degraded).logits.mean(dim=1).argmax(1) == unseen.ingredients.argmax(1)
    assert right.float().mean() > 0.85  # weak noise in a dark crop looks like neither


def test_a_stage_without_steps_demands_no_patch(photo_folder, tmp_path):
    """The default of the second one is larger than these photos."""
    config = recipe(photo_folder, collect=StageConfig(1, 2, 16), integrate=StageConfig())
    assert train(config, tmp_path / "run").exists()


def test_a_batch_in_which_nothing_that_learns_has_a_say_does_not_end_a_run():
    run = Run(recipe(model=FAST, learn=("affine_refiner",)))
    batch = simple_batch()
    only_noise = Batch(batch.degraded, batch.clean, one_hot("noise", len(batch.clean)))
    before = [parameter.clone() for parameter in run.network.parameters()]
    run.learn(only_noise, StageConfig(told=1.0))
    assert run.step == 1
    assert all(map(torch.equal, run.network.parameters(), before))


@pytest.mark.parametrize(("told", "expected"), [(0.0, 0), (0.25, 2), (0.5, 4), (1.0, 8)])
def test_the_network_is_told_in_its_share_of_the_steps(monkeypatch, told, expected):
    rows = tells(monkeypatch, run := Run(recipe()))
    batch = simple_batch()
    for _ in range(8):
        run.learn(batch, StageConfig(told=told))
    assert sum(given is not None for given in rows) == expected
    assert all(given is None or torch.equal(given, batch.ingredients) for given in rows)


def tells(monkeypatch, run):
    """Return a list that gets what a run's network is told at each step."""
    rows, restore = [], run.network.restore_whole

    def told(photos, rules, ingredients):
        rows.append(ingredients)
        return restore(photos, rules, ingredients)

    monkeypatch.setattr(run.network, "restore_whole", told)
    return rows


def test_wrong_tells_are_what_routers_confuse_and_leave_photos_as_they_are(monkeypatch):
    """The loss of a photo that is told what is not there is its change; it is in no row of the log."""
    model = dataclasses.replace(MODEL, degradations=("noise", "rain", "haze"))
    rows = tells(monkeypatch, run := Run(recipe(model=model)))
    batch = simple_batch()._replace(ingredients=torch.eye(3)[[0, 0, 1, 1]])
    run.confusions.shares = torch.tensor([[0.5, 0.0, 0.5], [0.0, 0.5, 0.5], [0.3, 0.3, 0.4]])
    before = run.network.restore_whole(batch.degraded, RULES, torch.eye(3)[[2, 2, 2, 2]]).restored
    seen = run.learn(batch, StageConfig(told=1.0, wrong=1.0, loss=LossWeights(side=0.0, classification=0.0)))
    assert rows[-1].argmax(dim=1).tolist() == [2, 2, 2, 2]
    change = (before - batch.degraded).abs().mean(dim=(1, 2, 3)).mean()
    torch.testing.assert_close(seen["loss"][0], change.detach(), atol=1e-5, rtol=1e-4)
    assert not seen["ingredients"].any()
    run.learn(batch, StageConfig(told=1.0, wrong=0.0))
    assert torch.equal(rows[-1], batch.ingredients)


def test_samples_are_turned_in_all_eight_ways_and_pairs_alike(monkeypatch):
    run = Run(recipe())
    marked = torch.arange(4.0).view(1, 1, 2, 2).expand(4, 3, 2, 2).repeat_interleave(16, 2).repeat_interleave(16, 3) / 4
    batch, seen = Batch(marked, marked, torch.eye(2)[[0, 0, 1, 1]]), set()
    for run.step in range(20):
        turned = run._turned(batch, StageConfig(turned=True))
        assert torch.equal(turned.degraded, turned.clean)
        seen |= {tuple(photo[0, ::16, ::16].flatten().tolist()) for photo in turned.clean}
    assert len(seen) == 8
    assert run._turned(batch, StageConfig()) is batch


def test_a_run_stops_after_its_minutes_and_goes_on(photo_folder, tmp_path):
    config = recipe(photo_folder)
    train(config, tmp_path / "run", minutes=0)
    assert lines(tmp_path / "run")[-1]["step"] == 1
    train(config, tmp_path / "run", resume=True)
    train(config, tmp_path / "whole")
    one, other = (checkpoint.load(tmp_path / name / "last.safetensors").network for name in ("run", "whole"))
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())


def test_a_run_at_a_constant_rate_can_be_ended_any_day(photo_folder, tmp_path):
    optimizer = OptimizerConfig(1e-3, 0.0, warm_up=1, schedule="constant", cool_down=2)
    config = recipe(photo_folder, optimizer=optimizer, log_every=1)
    train(dataclasses.replace(config, integrate=StageConfig(1, 2, 16)), tmp_path / "run")
    train(dataclasses.replace(config, integrate=StageConfig(1000, 2, 16)), tmp_path / "run", resume=True, finish=4)
    rates = {line["step"]: line["learning_rate"] for line in lines(tmp_path / "run") if "learning_rate" in line}
    assert max(rates) == COLLECT + 1 + 4
    assert [rates[step] for step in range(5, 9)] == pytest.approx([1e-3, 7.5e-4, 5e-4, 2.5e-4])
    with pytest.raises(TrainingError, match="which ends by itself"):
        train(recipe(photo_folder), tmp_path / "other", finish=4, minutes=1)


def test_a_run_of_so_many_minutes_can_end_in_them(photo_folder, tmp_path, monkeypatch):
    now, learn = [0.0], Run.learn

    def slowly(run, *arguments):
        now[0] += 60 if run.step else 100  # the first is slower
        return learn(run, *arguments)

    monkeypatch.setattr(Run, "learn", slowly)
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now[0]))
    optimizer = OptimizerConfig(1e-3, 0.0, warm_up=1, schedule="constant", cool_down=2)
    config = recipe(photo_folder, optimizer=optimizer, log_every=1, integrate=StageConfig(1000, 2, 16))
    train(config, tmp_path / "run", finish=5, minutes=12)
    rates = {line["step"]: line["learning_rate"] for line in lines(tmp_path / "run") if "learning_rate" in line}
    assert rates[1] == rates[6] == 1e-3
    assert [rates[step] for step in range(7, 12)] == pytest.approx([1e-3, 8e-4, 6e-4, 4e-4, 2e-4])
    assert max(rates) == 11


def leaping(run):
    with torch.no_grad():
        for weight in run.network.output.parameters():
            weight.mul_(1e4)


def not_finite(run):
    with torch.no_grad():
        run.network.stem.weight[0] = torch.nan


def without_gradient(run):
    run.network.stem.weight.register_hook(lambda gradient: gradient * torch.inf)


@pytest.mark.parametrize(
    ("ruin", "why"),
    [
        (leaping, "the loss leaps to "),
        (not_finite, "the loss is nan"),
        (without_gradient, r"the gradient is (inf|nan)"),
    ],
)
def test_a_step_that_would_ruin_the_weights_is_skipped_and_ten_in_a_row_stop_the_run(ruin, why):
    run, batch = Run(recipe()), simple_batch()
    for _ in range(2):
        run.learn(batch, TOLD)
    ruin(run)
    before = copy.deepcopy([run.network.state_dict(), run.average.state_dict(), run.typical.state()])
    for step in range(2, 11):
        with pytest.raises(StepSkippedError, match=why):
            run.learn(batch, TOLD)
        assert run.step == step + 1
    with pytest.raises(
        TrainingStoppedError, match=f"{why}.* at step 11, the last of 10 in a row .*; lower the learning"
    ):
        run.learn(batch, TOLD)
    after = [run.network.state_dict(), run.average.state_dict(), run.typical.state()]
    torch.testing.assert_close(after, before, rtol=0, atol=0, equal_nan=True)


def test_a_run_goes_on_after_a_step_that_it_skips_and_says_so(photo_folder, tmp_path, monkeypatch):
    learn = Run.learn

    def leap(run, batch, stage):
        if run.step == 1:
            batch = batch._replace(clean=batch.clean * 1e4)
        return learn(run, batch, stage)

    monkeypatch.setattr(Run, "learn", leap)
    train(recipe(photo_folder, log_every=1), tmp_path / "run")
    log = lines(tmp_path / "run")
    skipped = [line for line in log if line.get("event") == "skipped"]
    assert [(line["step"], line["why"][:17]) for line in skipped] == [(2, "the loss leaps to")]
    assert [line["step"] for line in log if "loss" in line] == [1, 3, 4, 5, 6]


# ---- parts of a step


def test_the_step_uses_the_learning_rate_and_clips(monkeypatch):
    run, seen = Run(recipe(optimizer=OptimizerConfig(1e-3, warm_up=4, clip=0.01))), []
    step = run.optimizer.step

    def observe():
        norms = [p.grad.norm() for p in run.network.parameters() if p.grad is not None]
        seen.append((run.optimizer.param_groups[0]["lr"], float(torch.stack(norms).norm())))
        step()

    monkeypatch.setattr(run.optimizer, "step", observe)
    for _ in range(2):
        run.learn(simple_batch(), TOLD)
    assert [rate for rate, _ in seen] == [0.25e-3, 0.5e-3]
    assert [norm for _, norm in seen] == pytest.approx([0.01] * 2, rel=1e-3)


@pytest.mark.parametrize("limit", [0.15, 0.999])
def test_averaged_weights_follow_their_formula(limit):
    run, batch = Run(recipe(optimizer=OptimizerConfig(warm_up=1, ema=limit))), simple_batch()
    expected = run.network.stem.weight.detach().double()
    for step in range(4):
        run.learn(batch, TOLD)
        decay = min(limit, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * run.network.stem.weight.detach()
    torch.testing.assert_close(run.average.stem.weight, expected.float(), atol=1e-7, rtol=1e-5)
    assert not any(parameter.requires_grad for parameter in run.average.parameters())


def test_the_boundary_restarts_the_hub_and_nothing_else():
    run, batch = Run(recipe()), simple_batch()
    for _ in range(3):
        run.learn(batch, TOLD)
    moments, average = dict(run.optimizer.state), run.average.stem.weight.clone()
    run.integrate()
    maps = list(run.network.hub.parameters())
    assert isinstance(run.network.hub, IngredientHub)
    for parameter in run.network.parameters():
        fresh = any(parameter is learned for learned in maps)
        assert (parameter in run.optimizer.state) != fresh
        assert fresh or run.optimizer.state[parameter] is moments[parameter]
    assert torch.equal(run.average.stem.weight, average)
    for name, tensor in run.network.hub.state_dict().items():
        assert torch.equal(run.average.hub.state_dict()[name], tensor)
    before = maps[0].detach().clone()
    run.learn(batch, StageConfig())
    assert not torch.equal(run.network.hub.left_map, before)


@pytest.mark.parametrize("integration", ["frozen", "none"])
def test_other_integrations_go_on_learning(integration):
    model = dataclasses.replace(MODEL, integration=integration)
    run, batch = Run(recipe(model=model)), simple_batch()
    run.learn(batch, TOLD)
    forgotten = run.integrate()
    before = {name: p.detach().clone() for name, p in run.network.named_parameters()}
    for _ in range(2):
        run.learn(batch, StageConfig())
    changed = {n for n, p in run.network.named_parameters() if not torch.equal(p, before[n])}
    assert (forgotten == [0, 0]) == (integration == "none")
    assert ("hub.priors" in changed) == (integration == "none")
    assert not {"hub.left_map", "hub.right_map"} & changed


# ---- whole runs


class PowerCutError(Exception):
    """What interrupts a run."""


def interrupted_at(step):
    def progress(done, _):
        if done == step:
            raise PowerCutError

    return progress


@pytest.fixture(scope="module")
def finished(tmp_path_factory, photo_folder):
    """Return the folder of a run that nothing interrupted."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("finished")
    assert train(recipe(photo_folder), folder) == folder / "best.safetensors"
    return folder


def flat(state, where=""):
    """Yield the leaves of nested dictionaries and lists with their paths."""
    if isinstance(state, dict | list):
        for key, value in state.items() if isinstance(state, dict) else enumerate(state):
            yield from flat(value, f"{where}/{key}")
    else:
        yield where, state


def test_training_leaves_the_callers_random_numbers_alone(tmp_path, photo_folder):
    before = torch.get_rng_state()
    train(recipe(photo_folder), tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("step", [2, COLLECT + 1, COLLECT + 3], ids=["collect", "boundary", "integrate"])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, photo_folder, finished, step):
    """Bit for bit. The state of step 3 is that of collect's end, before the boundary."""
    config = recipe(photo_folder)
    with pytest.raises(PowerCutError):
        train(config, tmp_path, progress=interrupted_at(step))
    hub = torch.load(tmp_path / "state.pt")["network"]
    assert ("hub.priors" in hub) == (step <= COLLECT + 1)
    torch.manual_seed(2)  # global state has no say
    train(config, tmp_path, resume=True)
    for name in ("last.safetensors", "best.safetensors"):
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes()
    states = [dict(flat(torch.load(folder / "state.pt"))) for folder in (tmp_path, finished)]
    del states[0]["/log_size"], states[1]["/log_size"]  # the log also says how fast it went
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        same = torch.equal if isinstance(value, torch.Tensor) else lambda a, b: a == b
        assert same(value, states[1][key]), key
    said = [[(e["step"], e.get("event"), e.get("stage")) for e in lines(folder)] for folder in (tmp_path, finished)]
    assert said[0] == said[1]


def test_a_run_leaves_its_model_its_state_and_its_log(finished):
    names = {"log.jsonl", "state.pt", "last.safetensors", "best.safetensors"}
    assert {path.name for path in finished.iterdir()} == names
    model = checkpoint.load(finished / "best.safetensors")
    assert isinstance(model.network.hub, IngredientHub)
    assert model.network.config == MODEL
    assert model.card["recipe"]["collect"]["steps"] == COLLECT
    assert set(model.card["validation"]) == {"noise", "low_light", MIXTURE}
    averaged = torch.load(finished / "state.pt")["average"]
    last = checkpoint.load(finished / "last.safetensors").network.state_dict()
    assert all(torch.equal(tensor, averaged[name]) for name, tensor in last.items())


def test_the_best_model_is_the_best_of_the_second_stage(tmp_path, photo_folder, monkeypatch):
    """Stage 1 is told the ingredients, so that its numbers must not win."""
    scores = {1: 30.0, 2: 32.0, 3: 31.0, 4: 20.0, 5: 25.0, 6: 22.0}
    monkeypatch.setattr(Run, "validate", lambda run, _: {"noise": {"output": scores[run.step]}})
    best, last = train(recipe(photo_folder), tmp_path), tmp_path / "last.safetensors"
    assert checkpoint.load(best).card["step"] == 5
    assert checkpoint.load(last).card["step"] == 6


def test_every_log_line_says_input_and_output_psnr(finished):
    entries = lines(finished)
    assert entries[0]["event"] == "start"
    assert entries[0]["held_out"] == ["photo0.png"]
    learned = [entry for entry in entries if "stage" in entry]
    assert [(e["stage"], e["step"]) for e in learned] == [
        ("collect", 2),
        ("collect", 3),
        ("integrate", 4),
        ("integrate", 6),
    ]
    tables = [entry["degradations"] for entry in learned]
    tables += [entry["degradations"] for entry in entries if entry.get("event") == "validation"]
    for row in (row for table in tables for row in table.values()):
        assert set(row) == {"input", "output", "right"}
        assert 3 < row["input"] <= 60
        assert 3 < row["output"] <= 60
        assert 0 <= row["right"] <= 1
    for entry in learned:
        assert math.isfinite(entry["loss"])
        assert entry["samples_per_second"] > 0
        assert 0 <= entry["waiting_for_data"] <= 1


def test_the_boundary_logs_both_sides_and_what_was_forgotten(finished):
    (boundary,) = [entry for entry in lines(finished) if entry.get("event") == "boundary"]
    assert boundary["step"] == COLLECT
    for side in ("before", "after"):
        assert set(boundary[side]) == {"noise", "low_light", MIXTURE}
    assert len(boundary["forgotten"]) == 2
    assert all(0 < share < 1.5 for share in boundary["forgotten"])


def test_validation_is_the_same_at_every_call(photo_folder):
    config = recipe(photo_folder)
    held_out = Photos(list_photos(photo_folder)[:1], (1.0,), 16)
    one, other = (held_out_batch(config, held_out, each=2) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    rows = [(row > 0).tolist() for row in one.ingredients]
    assert rows == [[True, False]] * 2 + [[False, True]] * 2 + [[True, True]] * 2
    run = Run(config)
    table = run.validate(one)
    errors = (one.degraded - one.clean).square().mean(dim=(1, 2, 3))
    expected = float((-10 * errors.log10()).clamp(max=60)[:2].mean())
    assert table["noise"]["input"] == pytest.approx(expected, abs=1e-3)
    assert run.validate(one) == table


@pytest.mark.parametrize("synthesis", ["plain", "camera", "both"])
def test_validation_has_as_many_of_each_kind_and_depends_on_the_seed(photo_folder, synthesis):
    photos = Photos(list_photos(photo_folder)[:1], (1.0,), 24)
    model = dataclasses.replace(MODEL, degradations=NAMES)
    config = recipe(model=model, data=DataConfig(synthesis=synthesis), integrate=StageConfig(1, patch=24))
    one, again, other = (held_out_batch(dataclasses.replace(config, seed=seed), photos, 3) for seed in (1, 1, 2))
    assert all(map(torch.equal, one, again))
    assert not torch.equal(one.degraded, other.degraded)
    alone = one.ingredients[: 3 * len(NAMES)]
    assert torch.equal(alone, torch.eye(len(NAMES)).repeat_interleave(3, dim=0))
    assert ((one.ingredients[3 * len(NAMES) :] > 0).sum(dim=1) > 1).all()


def test_validation_is_of_what_a_recipe_learns_from(photo_folder, monkeypatch):
    made = []
    monkeypatch.setattr("idrestore.training.loop.Samples", lambda *how: made.append(how) or Samples(*how))
    how = {"sigmas": (25.0,), "white": 0.4, "synthesis": "both", "degraded": 0.3, "scenes": True, "web": 0.5}
    config = recipe(data=DataConfig((str(photo_folder),), ratios={"noise": 0.3, "low_light": 0.0, MIXTURE: 2.0}, **how))
    photos = Photos(list_photos(photo_folder)[:1], (1.0,), 16)
    batch = held_out_batch(config, photos, each=1)
    assert ((batch.ingredients > 0).sum(dim=1)).tolist() == [1, 2]
    learned = make_samples(config, config.integrate, photos, 0)
    assert [each[6:] for each in made] == [tuple(how.values())] * 3
    assert batch.degraded.shape[-1] == learned.patch


def test_one_stage_is_enough(tmp_path, photo_folder):
    collected = recipe(photo_folder, integrate=StageConfig(0, patch=16), save_every=99)
    model = checkpoint.load(train(collected, tmp_path / "collect"))
    assert isinstance(model.network.hub, PriorHub)
    integrated = recipe(photo_folder, collect=StageConfig(0, patch=16), save_every=99)
    model = checkpoint.load(train(integrated, tmp_path / "integrate"))
    assert isinstance(model.network.hub, IngredientHub)


@pytest.mark.parametrize("hub", ["prior", "ingredient"])
def test_a_run_starts_from_a_model(tmp_path, photo_folder, finished, hub):
    """From one of the first stage, or, to go on with the second alone, from an integrated one."""
    source = finished / "last.safetensors"
    stages = {"collect": StageConfig(0, patch=16)}
    if hub == "prior":
        source = train(recipe(photo_folder, integrate=StageConfig(0, patch=16)), tmp_path / "first")
        stages = {}
    config = recipe(photo_folder, start=str(source), **stages)
    started = Run(config).network.state_dict()
    expected = checkpoint.load(source).network.state_dict()
    assert started.keys() == expected.keys()
    assert all(torch.equal(started[name], tensor) for name, tensor in expected.items())
    best = train(config, tmp_path / "second")
    assert isinstance(checkpoint.load(best).network.hub, IngredientHub)
    train(config, tmp_path / "second", resume=True)


def test_the_routers_of_the_model_that_a_run_starts_from_are_distilled(finished):
    loss = LossWeights(pixel=0, side=0, classification=0, distillation=1)
    stages = {"collect": StageConfig(0, patch=16), "integrate": StageConfig(60, 4, 32, loss=loss)}
    run = Run(recipe(start=str(finished / "last.safetensors"), optimizer=OptimizerConfig(8e-3, warm_up=1), **stages))
    batch = simple_batch()
    expected = run.teacher.route(batch.degraded, one_photo=False).logits.softmax(dim=2)
    for block in run.network.prior_blocks.values():
        torch.nn.init.normal_(block.router.logits.bias, std=3)

    def distance():
        with torch.no_grad():
            return float((run.network(batch.degraded).logits.softmax(dim=2) - expected).abs().mean())

    before = distance()
    for _ in range(60):
        run.learn(batch, run.config.integrate)
    assert distance() < before / 4


def test_what_is_kept_is_to_come_back_as_the_model_made_it_that_a_run_starts_from(tmp_path):
    """So it costs nothing at first, and what else is learned changes it little."""
    model = dataclasses.replace(MODEL, integration="none")
    checkpoint.save(tmp_path / "start.safetensors", shaken(RestorationNetwork(model), 0.03), {})
    stage = StageConfig(60, 4, 32, loss=LossWeights(side=0, classification=0))
    settings = {"start": str(tmp_path / "start.safetensors"), "collect": stage, "model": model}
    batch = simple_batch()
    dark = batch.ingredients[:, 1] > 0
    moved = {}
    for keep in ((), ("low_light",)):
        run = Run(recipe(optimizer=OptimizerConfig(2e-3, warm_up=1), keep=keep, **settings))
        with torch.no_grad():
            before = run.network.restore_whole(batch.degraded, RULES).restored
        run.learn(batch, stage)
        assert (run.teacher is not None) == bool(keep)
        noisy_cost, dark_cost = run.typical.of(torch.eye(2)).tolist()
        assert (dark_cost < 1e-3) == bool(keep)
        assert noisy_cost > 1e-2
        for _ in range(40):
            run.learn(batch, stage)
        with torch.no_grad():
            after = run.network.restore_whole(batch.degraded, RULES).restored
        moved[keep] = [float((after - before)[rows].abs().mean()) for rows in (dark, ~dark)]
    assert moved["low_light",][0] < moved[()][0] / 4
    assert moved["low_light",][1] > moved["low_light",][0]


def test_mixtures_that_are_kept_are_told_in_part_too(tmp_path, monkeypatch):
    """As first passes are, which leave haze behind noise to the second."""
    checkpoint.save(tmp_path / "start.safetensors", RestorationNetwork(MODEL), {})
    settings = {"start": str(tmp_path / "start.safetensors"), "keep": ("low_light",)}
    run = Run(recipe(**settings))
    rows = tells(monkeypatch, run)
    batch = simple_batch()
    ingredients = torch.tensor([[0.5, 0.5]] * 3 + [[1.0, 0.0]])
    for _ in range(12):
        seen = run.learn(batch._replace(ingredients=ingredients), StageConfig(told=1.0))
        assert torch.equal(seen["ingredients"], ingredients)  # none is told wrongly
    found = {tuple(row) for given in rows if given is not None and len(given) == 4 for row in given[:3].tolist()}
    assert found == {(0.5, 0.5), (1.0, 0.0), (0.0, 1.0)}
    assert all(given[3].tolist() == [1.0, 0.0] for given in rows if given is not None and len(given) == 4)


def test_a_share_of_the_steps_sees_what_a_second_pass_sees():
    """That is what the averaged weights make of the samples, and never where something is told."""
    run, batch = Run(recipe()), simple_batch()
    for network in (run.network, run.average):
        shaken(network, 0.03)
    stage = StageConfig(told=0.25, again=0.5)
    seen = [psnr_batch(batch.degraded, batch.clean)]
    for step in range(4):
        with torch.no_grad():
            once = run.average.restore_whole(batch.degraded, RULES).restored.clamp(0, 1)
        learned = run.learn(batch, stage)
        photos = once if step == 1 else batch.degraded  # step 3 is told
        torch.testing.assert_close(learned["input"], psnr_batch(photos, batch.clean))
        seen.append(learned["input"])
    assert not torch.allclose(seen[0], seen[2], atol=0.1)


def test_mixed_weights_start_as_those_of_all(tmp_path):
    """So a network can go on learning with weights of its own for each degradation, and restores as before at first."""
    plain = dataclasses.replace(MODEL, per_operation_top=False)
    before = shaken(RestorationNetwork(plain), 0.02)
    checkpoint.save(tmp_path / "plain.safetensors", before, {})
    run = Run(
        recipe(model=dataclasses.replace(plain, per_operation_top=True), start=str(tmp_path / "plain.safetensors"))
    )
    photo = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(run.network(photo).restored, before(photo).restored)
    with pytest.raises(TrainingError, match=r"start: .* is another model than the recipe's"):
        Run(recipe(model=dataclasses.replace(plain, num_priors=3), start=str(tmp_path / "plain.safetensors")))
    checkpoint.save(tmp_path / "mixed.safetensors", run.network, {})
    with pytest.raises(TrainingError, match=r"start: .* is another model than the recipe's"):
        Run(recipe(model=plain, start=str(tmp_path / "mixed.safetensors")))


def test_parts_can_be_added_to_what_is_trained_already(tmp_path):
    plain = dataclasses.replace(MODEL, deblurring_refiner=(), blur_kernel_estimator=())
    narrow = dataclasses.replace(plain, degradations=("noise", "blur", "haze"))
    before = shaken(RestorationNetwork(narrow), 0.02)
    checkpoint.save(tmp_path / "narrow.safetensors", before, {})
    model = dataclasses.replace(
        narrow,
        additive_refiner=(3, 4, 5),
        deblurring_refiner=(3, 4),
        blur_kernel_estimator=(2, 3),
        affine_refiner=(3, 4, 5),
    )

    run = Run(recipe(model=model, start=str(tmp_path / "narrow.safetensors")))
    network = run.network
    assert None not in (
        network.additive_refiner,
        network.deblurring_refiner,
        network.blur_kernel_estimator,
        network.affine_refiner,
    )
    photo = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(run.network(photo).restored, before(photo).restored)


def test_only_the_named_parts_learn():
    run = Run(recipe(learn=("refinement", "output", "hub.priors")))
    learning = {name for name, parameter in run.network.named_parameters() if parameter.requires_grad}
    expected = {n for n in dict(run.network.named_parameters()) if n.startswith(("refinement.", "output."))}
    assert learning == expected | {"hub.priors"}


@pytest.mark.parametrize("kind", ["haze", "rain"])
def test_a_classifier_learns_alone_and_nothing_else_works(kind):
    name, works = f"{kind}_classifier", []
    model = dataclasses.replace(FAST, **{name: (4, 10, 14)})
    run = Run(recipe(model=model, learn=(name,), optimizer=OptimizerConfig(0.01, 0.01, ema=0.5)))
    run.network.stem.register_forward_hook(lambda *_: works.append(1))
    run.average.stem.register_forward_hook(lambda *_: works.append(1))
    clean = torch.rand(6, 3, 32, 32)
    degraded = torch.cat([0.3 * clean[:3] + 0.6, clean[3:]])
    batch = Batch(degraded, clean, torch.cat([one_hot(kind, 3), one_hot("clean", 3)]))
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    losses = [
        float(run.learn(batch, StageConfig(loss=LossWeights(0.0, presence=1.0, classification=0.0)))["loss"][0])
        for _ in range(45)
    ]
    table = run.validate(batch)
    assert not works
    assert losses[-1] < losses[0] / 3
    assert {row: table[row]["right"] for row in table} == {kind: 1.0, "clean": 1.0}
    assert run.score(table) == 1
    assert run.score({kind: {"right": 0.25, "output": 9.0}, "clean": {"right": 1.0, "output": 60.0}}) == 0.625
    changed = {name for name, value in run.network.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[0] for name in changed} == {f"{kind}_classifier"}


@pytest.mark.parametrize("name", ["haze_classifier", "rain_classifier"])
def test_a_classifier_that_would_stay_untrained_is_refused(tmp_path, name):
    model = dataclasses.replace(FAST, **{name: (4, 10, 14)})
    message = rf"model.{name}: it would not learn with the rest; .* \(recipes/{name}.toml\)"
    for learn in ((), ("stem",), (name, "stem")):
        with pytest.raises(TrainingError, match=message):
            Run(recipe(model=model, learn=learn))
    known = tmp_path / "known.safetensors"
    checkpoint.save(known, RestorationNetwork(model), {})
    Run(recipe(model=model, start=str(known)))  # it stays as it is
    assert all((RECIPES / f"{each}.toml").is_file() for each in CLASSIFIERS)


@pytest.mark.parametrize("learn", [("output",), ("output", "hub"), ("output", "hub.left_map")])
def test_what_does_not_learn_does_not_behind_the_boundary_either(learn):
    before = tuple(part for part in learn if part != "hub.left_map")
    run = Run(recipe(learn=before))
    run.config = dataclasses.replace(run.config, learn=learn)
    run.integrate()
    learning = {name for name, p in run.network.named_parameters() if p.requires_grad and name.startswith("hub")}
    hub = {f"hub.{name}" for name in dict(run.network.hub.named_parameters())}
    assert learning == {name for name in hub if name in learn or "hub" in learn}


@pytest.mark.parametrize("kind", ["noise", "rain"])
def test_an_additive_refiner_learns_alone_and_nothing_else_works(kind):
    model = dataclasses.replace(FAST, additive_refiner=(4, 6, 9))
    run, works = Run(recipe(model=model, learn=(f"additive_refiner.{kind}",), optimizer=OptimizerConfig(0.01))), []
    other = run.network.additive_refiner[{"noise": "rain", "rain": "noise"}[kind]]
    for part in (run.network.stem, other):
        part.register_forward_hook(lambda *_: works.append(1))
    clean = torch.rand(2, 3, 32, 32)
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    losses = [float(run.learn(Batch(clean / 2, clean, one_hot(kind, 2)), TOLD)["loss"][0]) for _ in range(45)]
    assert not works
    assert losses[-1] < losses[0] / 1.5
    changed = {name for name, value in run.network.state_dict().items() if not torch.equal(value, before[name])}
    assert {".".join(name.split(".")[:2]) for name in changed} == {f"additive_refiner.{kind}"}


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_both_optimisers_learn_and_follow_the_learning_rate(kind):
    rate = {"adamw": 8e-3, "muon": 0.02}[kind]
    run, batch = Run(recipe(optimizer=OptimizerConfig(rate, rate / 2, warm_up=5, kind=kind))), simple_batch()
    losses = [float(run.learn(batch, TOLD)["loss"][0]) for _ in range(40)]
    assert losses[-1] < losses[0] / 1.5
    assert run.optimizer.param_groups[0]["lr"] == pytest.approx(run.config.learning_rate(39))


# ---- failures


def test_an_existing_run_is_not_overwritten(tmp_path, finished):
    before = {path: path.read_bytes() for path in finished.iterdir()}
    with pytest.raises(TrainingError, match="holds a run already: pass --resume"):
        train(recipe(), finished)
    assert {path: path.read_bytes() for path in finished.iterdir()} == before
    with pytest.raises(TrainingError, match="holds no run to resume"):
        train(recipe(), tmp_path / "nothing", resume=True)
    assert not (tmp_path / "nothing").exists()


def test_a_finished_run_has_nothing_to_resume(photo_folder, finished):
    before = (finished / "last.safetensors").read_bytes()
    assert train(recipe(photo_folder), finished, resume=True) == finished / "best.safetensors"
    assert (finished / "last.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": dataclasses.replace(MODEL, num_priors=5)}, "another model"),
        ({"collect": StageConfig(6, 2, 16)}, "step 6 lies in another stage"),
    ],
)
def test_another_recipe_does_not_resume_a_run(photo_folder, finished, change, message):
    with pytest.raises(TrainingError, match=message):
        train(recipe(photo_folder, **change), finished, resume=True)


@pytest.mark.parametrize(
    ("table", "settings", "message"),
    [
        ("data", {"ratios": {"nois": 1.0}}, "data.ratios: got .*nois"),
        ("data", {"ratios": {"haze": 1.0}}, "data.ratios: got .*haze"),  # known, but not to this model
        ("data", {"pairs": (PairFolder("pairs", "nois"),)}, "data.pairs: got .*nois"),
        ("optimizer", {"weights": {"nois": 1.0}}, "optimizer.weights: got .*nois"),
    ],
)
def test_unknown_degradations_are_refused(tmp_path, photo_folder, table, settings, message):
    config = recipe(photo_folder)
    config = dataclasses.replace(config, **{table: dataclasses.replace(getattr(config, table), **settings)})
    with pytest.raises(TrainingError, match=message):
        train(config, tmp_path)


def test_a_recipe_without_steps_is_refused(tmp_path, photo_folder):
    none = {"collect": StageConfig(0, patch=16), "integrate": StageConfig(0, patch=16)}
    with pytest.raises(TrainingError, match=r"has no steps: set collect\.steps or integrate\.steps"):
        train(recipe(photo_folder, **none), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def with_pairs(photo_folder, folder, workers=0):
    """Return a recipe whose noise is real, from pairs in a folder."""
    config = recipe(photo_folder)
    data = dataclasses.replace(config.data, pairs=(PairFolder(str(folder), "noise", 1.0),), workers=workers)
    return dataclasses.replace(config, data=data)


def test_pairs_smaller_than_a_patch_are_refused_before_training(tmp_path, photo_folder):
    for side in ("low", "high"):
        write_png(tmp_path / "pairs" / side / "a.png", np.zeros((30, 15, 3), np.uint8))
    with pytest.raises(TrainingError, match=r"low/a\.png is 15x30, expected at least the patch, 16x16"):
        train(with_pairs(photo_folder, tmp_path / "pairs"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_photo_that_breaks_while_training_stops_it_in_one_line(tmp_path, photo_folder, workers):
    grain = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    for side in ("low", "high"):
        write_png(tmp_path / "pairs" / side / "a.png", grain)
    damaged = tmp_path / "pairs" / "low" / "a.png"
    damaged.write_bytes(damaged.read_bytes()[:-500])
    with pytest.raises(
        TrainingStoppedError, match=r"a\.png is damaged .*(no checkpoint yet|last good checkpoint is)"
    ) as error:
        train(with_pairs(photo_folder, tmp_path / "pairs", workers), tmp_path / "run")
    assert "\n" not in str(error.value)
    assert "Error:" not in str(error.value)


def test_weights_of_degradations_scale_their_restoration(photo_folder):
    config = recipe(photo_folder)
    weights = {"noise": 3.0, "mixture": 0.5}
    run = Run(dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, weights=weights)))
    first, second = config.model.degradations[:2]
    assert first == "noise"
    rows = torch.eye(len(config.model.degradations))
    mixed = (rows[:1] + rows[1:2]) / 2
    assert run.weights(torch.cat([rows[:2], mixed])).tolist() == [3.0, 1.0, 0.5], (first, second)
