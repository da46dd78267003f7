"""What recipes say, and how they are refused."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from idrestore.model import checkpoint
from idrestore.model.config import PRESETS, ModelConfig
from idrestore.training.losses import LossWeights
from idrestore.training.recipe import (
    DataConfig,
    OptimizerConfig,
    PairFolder,
    RecipeError,
    StageConfig,
    TrainConfig,
    plain,
    with_photos,
)

RECIPES = Path(__file__).parents[2] / "recipes"


def test_learning_rate_rises_then_falls_along_a_cosine():
    config = TrainConfig(
        optimizer=OptimizerConfig(1e-3, 1e-5, warm_up=10),
        collect=StageConfig(50),
        integrate=StageConfig(60),
    )
    rates = [config.learning_rate(step) for step in range(111)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) * 1e-4)
    progress = np.arange(101) / 100
    np.testing.assert_allclose(rates[10:], 1e-5 + 0.99e-3 * (1 + np.cos(np.pi * progress)) / 2)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.name)
def test_every_recipe_is_understood(path):
    config = TrainConfig.from_toml(path)
    assert config.steps > 0
    assert config.collect.patch % config.model.size_multiple == 0
    assert config.integrate.patch % config.model.size_multiple == 0


def test_the_recipe_of_the_publication_says_what_it_says():
    """Released configuration: 480,000 steps of 7 patches of 128, 220,000 of them collect; noise of three strengths."""
    config = TrainConfig.from_toml(RECIPES / "paper.toml")
    assert config.model == PRESETS["paper"]
    assert (config.collect.steps, config.steps, config.collect.batch, config.integrate.batch) == (
        220_000,
        480_000,
        7,
        7,
    )
    assert config.data.ratios["noise"] / sum(config.data.ratios.values()) == pytest.approx(3 / 7)
    assert (config.optimizer.betas, config.optimizer.clip) == ((0.9, 0.999), 0)
    assert config.collect.turned and config.integrate.turned
    starts = [0, 92_000, 180_000, 352_000]
    np.testing.assert_allclose([config.learning_rate(step) for step in starts], [1e-4, 1e-4, 5e-5, 3e-5])
    np.testing.assert_allclose([config.learning_rate(step - 1) for step in [*starts[1:], 480_000]], 1e-6, rtol=1e-3)
    assert config.collect.patch == config.integrate.patch == 128
    assert config.data.sigmas == (15, 25, 50)
    assert (
        set(config.data.ratios)
        == set(config.model.degradations)
        == {"noise"} | {pair.degradation for pair in config.data.pairs}
    )
    assert {pair.share for pair in config.data.pairs} == {1.0}
    assert config.collect.loss == config.integrate.loss == LossWeights()
    assert config.learning_rate(0) == 1e-4


def from_text(tmp_path, text):
    (tmp_path / "recipe.toml").write_text(text)
    return TrainConfig.from_toml(tmp_path / "recipe.toml")


def test_a_recipe_sets_what_it_names(tmp_path):
    text = """
    seed = 3
    model = { preset = "tiny", num_priors = 7 }
    data = { photos = ["a", "b"], ratios = { noise = 2.0 }, pairs = [{ folder = "p", degradation = "rain" }] }
    integrate = { steps = 9, loss = { frequency = 0.5 } }
    """
    config = from_text(tmp_path, text)
    assert config == TrainConfig(
        seed=3,
        model=dataclasses.replace(PRESETS["tiny"], num_priors=7),
        data=DataConfig(("a", "b"), (PairFolder("p", "rain", 0.5),), ratios={"noise": 2.0}),
        integrate=StageConfig(steps=9, loss=LossWeights(frequency=0.5)),
    )


def test_a_recipe_without_a_network_trains_that_of_the_model_it_starts_from(tmp_path):
    tuned = TrainConfig.from_toml(RECIPES / "fine_tune.toml")
    assert tuned.model == checkpoint.load("fast").network.config
    assert from_text(tmp_path, "start = 'fast'\nmodel = { preset = 'tiny' }").model == PRESETS["tiny"]
    wider = from_text(tmp_path, "start = 'fast'\nmodel = { haze_classifier = [2, 3, 4] }").model
    assert wider == dataclasses.replace(checkpoint.load("fast").network.config, haze_classifier=(2, 3, 4))
    with pytest.raises(RecipeError, match=r"recipe\.toml: no model 'fsat': expected one of fast or"):
        from_text(tmp_path, "start = 'fsat'")


def test_collect_tells_unless_it_is_told_otherwise(tmp_path):
    """Naming another setting of a stage does not change this one."""
    assert from_text(tmp_path, "").collect.told == 1
    assert from_text(tmp_path, "collect = { steps = 5 }").collect == StageConfig(5, told=1.0)
    assert from_text(tmp_path, "collect = { told = 0.5 }").collect.told == 0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sede = 1", "unknown setting 'sede'; the nearest one is 'seed'"),
        ("[colect]\nsteps = 1", "unknown setting 'colect'; the nearest one is 'collect'"),
        ("[data]\nphoto = []", "unknown setting 'data.photo'; the nearest one is 'data.photos'"),
        ("[[data.pairs]]\nfoldr = ''", "'data.pairs.foldr'; the nearest one is 'data.pairs.folder'"),
        ("[collect.loss]\nfreqency = 1", "'collect.loss.freqency'; the nearest one is 'collect.loss.frequency'"),
        ("[collect]\nstep = 1", "'collect.step'; the nearest one is 'collect.steps'"),
        ("[optimizer]\nlr = 1", "unknown setting 'optimizer.lr'"),
        ("[model]\nplacment = '3E'", "'placment'; the nearest one is 'placement'"),
        ("[model]\nplacement = '4E'", "placement: got '4E'"),
        ("[model", "recipe.toml: Expected"),
        ("data = { pairs = 'folder' }", "data.pairs: got 'folder'"),
        ("precision = 'fp16'", "precision: got 'fp16', expected"),
        ("collect = 5", "collect: got 5, expected a table"),
        ("[collect]\nsteps = 'many'", "collect.steps: got 'many'"),
        ("[data]\nphotos = 'folder'", "data.photos: got 'folder'"),
        ("log_every = 0", "log_every: got 0, expected at least 1"),
        ("[integrate.loss]\ndistillation = 0.1", "loss.distillation: got 0.1 without a model to start from"),
        ("keep = ['haze']", r"keep: got \['haze'\] without a model to start from, expected \[\], or a `start`"),
        ("start = 'fast'\nkeep = ['fog']", r"keep: got \['fog'\], expected names among"),
        ("[integrate]\nbatch = 0", "batch: got 0, expected at least 1"),
        ("[collect]\nsteps = -1", "collect.steps: got -1, expected at least 0"),
        ("[collect]\nsteps = true", "collect.steps: got True, expected a whole number"),
        ("[collect]\ntold = 5.0", "collect.told: got 5.0, expected a number from 0 to 1"),
        ("[collect.loss]\npixel = -1.0", "collect.loss.pixel: got -1.0, expected at least 0"),
        ("[data]\nscales = ['a']", r"data.scales: got \('a',\), expected \[a number, ...\]"),
        ("[data]\nscales = [0]", r"data.scales: got \(0,\), expected some numbers above 0"),
        ("[data]\nratios = { rain = 'often' }", r"data.ratios: got .*'often'.*, expected \{ NAME = a number, ... \}"),
        ("[data]\nratios = { rain = -1 }", "data.ratios: got .*-1.*, expected at least 0"),
        ("[data]\nratios = { rain = 0 }", "data.ratios: got .*, expected one above 0"),
        ("[[data.pairs]]\nshare = 2.0", "data.pairs.share: got 2.0, expected a number from 0 to 1"),
        ("[optimizer]\nlearning_rate = -1.0", "optimizer.learning_rate: got -1.0, expected at least 0"),
        ("[optimizer]\nlearning_rate = nan", "optimizer.learning_rate: got nan, expected at least 0"),
        ("[optimizer]\nbetas = [0.9]", r"optimizer.betas: got \(0.9,\), expected \[a number, a number\]"),
        ("[optimizer]\nbetas = [0.9, 1.0]", "optimizer.ema, betas: got .*, expected numbers from 0 to below 1"),
        ("[optimizer]\ncycles = [[9]]", r"optimizer.cycles: got .*, expected \[\[a whole number, a number\], ...\]"),
        ("[model]\ndeblurring_refiner = 3", r"deblurring_refiner: got 3, expected \[a whole number, ...\]"),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(RecipeError, match=message) as caught:
        from_text(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert "recipe.toml" in str(caught.value)


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"none\.toml cannot be read") as caught:
        TrainConfig.from_toml(tmp_path / "none.toml")
    assert str(caught.value).count("none.toml") == 1


def test_photos_may_come_from_elsewhere():
    config = TrainConfig(data=DataConfig(("a",), held_out=3))
    assert with_photos(config, [Path("b"), Path("c")]).data == DataConfig(("b", "c"), held_out=3)
    assert config.data.photos == ("a",)


def test_a_recipe_fits_into_a_card(tmp_path):
    """What a model's card says is a recipe again."""
    config = from_text(tmp_path, "seed = 3\ncollect.loss = { side = 0.5 }\nmodel = { preset = 'fast' }")
    card = json.loads(json.dumps(plain(config)))
    assert (card["seed"], card["collect"]["loss"]["side"]) == (3, 0.5)
    assert ModelConfig.from_mapping(card["model"]) == PRESETS["fast"]
