"""Learning one degradation more: the old ones stay, the new one is learned, functions are checked."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from small import BOTH, FAST, PAPER, mixture, network, shaken
from typer.testing import CliRunner

from idrestore.cli import app
from idrestore.data.layouts import find_pairs, list_photos
from idrestore.data.pairs import read_8_bit
from idrestore.degradations import NAMES
from idrestore.evaluation.report import Report
from idrestore.model import checkpoint
from idrestore.model.checkpoint import Model
from idrestore.model.hub import integrate
from idrestore.model.prior_block import Router
from idrestore.training import extend
from idrestore.training.extend import ExtensionError, View, add_degradation
from idrestore.training.recipe import TrainConfig
from idrestore.training.run import Run, TrainingError


@pytest.mark.parametrize("hub", ["prior", "ingredient"])
@pytest.mark.parametrize("config", BOTH.values(), ids=BOTH)
def test_what_is_learned_changes_nothing_where_its_share_is_zero(config, hub):
    """Bit for bit, whatever the new parameters become; and again when the extended model is extended."""
    old = network(config, hub=hub)
    photo, rows = torch.rand(len(NAMES), 3, 32, 32), torch.cat([torch.eye(len(NAMES))[:4], mixture(2)])
    expected = old(photo, rows)
    new = old
    for number, name in enumerate(["scratches", "smear"], start=1):
        before, new = new, add_degradation(new, name, "affine")
        shaken(new, 0.3)
        new.load_state_dict(before.state_dict(), strict=False)
        found = new(photo, torch.cat([rows, torch.zeros(len(rows), number)], dim=1))
        assert torch.equal(found.restored, expected.restored)
        assert torch.equal(found.logits[..., :-number], expected.logits)
        used = new(photo, torch.eye(len(NAMES) + number)[[-1] * len(rows)]).restored
        assert (used != found.restored).any()


@pytest.mark.parametrize("hub", ["prior", "ingredient"])
@pytest.mark.parametrize("config", BOTH.values(), ids=BOTH)
def test_a_fresh_degradation_is_not_found_and_undone_by_nothing(config, hub):
    old = network(config, hub=hub)
    new = add_degradation(old, "scratches", "affine")
    photo = torch.rand(1, 3, 32, 32)
    assert torch.equal(new(photo).restored, old(photo).restored)
    tables = new.hub(torch.eye(len(NAMES) + 1))
    torch.testing.assert_close(tables[-1], tables[:-1].mean(dim=0))
    for block in new.prior_blocks.values():
        dim = block.features_to_context.in_channels
        x, context = torch.randn(1, dim, 8, 8), torch.randn(1, 2 * dim, 8, 8)
        assert torch.equal(block.added[0].operations(x, context, torch.ones(1, 1)), x)


def test_its_operation_is_of_its_kind():
    new = add_degradation(network(FAST), "scratches", "convolutive")
    assert new.config.operation_of("scratches") == "convolutive"
    assert new.config.operation_of("haze") == "affine"
    assert all(block.added[0].operations.convolutive.tolist() == [1] for block in new.prior_blocks.values())


@pytest.mark.parametrize("config", BOTH.values(), ids=BOTH)
def test_extending_is_deterministic(config):
    old = network(config)
    one, other = (add_degradation(old, "scratches", "affine").state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_an_extended_hub_is_not_integrated():
    with pytest.raises(ValueError, match="hub: got one with added degradations"):
        integrate(add_degradation(network(FAST), "scratches", "affine").hub)


def test_an_extended_model_survives_its_file(tmp_path):
    new = add_degradation(network(FAST), "scratches", "affine")
    checkpoint.save(tmp_path / "new.safetensors", new, {})
    loaded = checkpoint.load(tmp_path / "new.safetensors").network
    assert loaded.config == new.config
    assert loaded.config.degradations[-1] == "scratches"


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(ExtensionError, match="knows 'haze' already"):
        add_degradation(network(FAST), "haze", "affine")


@pytest.mark.parametrize(
    "added", [[["haze", "affine"]], [["scratches", "magic"]], [["scratches"]], [["scratches", "affine"]]]
)
def test_impossible_additions_are_refused(added):
    with pytest.raises(ValueError, match="added: got"):
        dataclasses.replace(FAST, added=added)


def test_additions_come_last():
    with pytest.raises(ValueError, match="expected the last of the degradations"):
        dataclasses.replace(FAST, degradations=("scratches", *NAMES), added=(("scratches", "affine"),))
    with pytest.raises(ValueError, match="expected the last of the degradations"):
        dataclasses.replace(FAST, degradations=("scratches",), added=(("scratches", "affine"),))


def test_what_is_to_learn_has_to_exist():
    with pytest.raises(TrainingError, match=r"learn: got .stem.wieght., expected"):
        Run(TrainConfig(model=PAPER, learn=("stem.weight", "stem.wieght")))


def test_a_router_is_fitted_against_the_old_logits():
    """Two clouds of pooled vectors, of which one lies where the old routers were very sure."""
    router = Router(4, 1, "mean")
    torch.nn.init.constant_(router.logits.bias, extend.NEVER)
    ones = torch.ones(200)
    apart = torch.tensor([3.0, 0, 0, 0])
    new, old = View(torch.randn(200, 4) + apart, ones), View(torch.randn(200, 4) - apart, 9 * ones)
    extend.fit(router, new, old)
    found, mistaken = ((router.decide(view.pooled)[:, 0] - view.others).sigmoid() for view in (new, old))
    assert found.mean() > 0.95
    assert mistaken.mean() < 0.01


def test_learning_from_pairs_end_to_end(photo_folder, tmp_path, monkeypatch):
    """Half of the light is lost: some steps bring some of it back, and the file says what was done."""
    extend.make_pairs(lambda image, rng: image / 2, list_photos(photo_folder), tmp_path / "pairs")
    torch.manual_seed(0)
    net = network(FAST, hub="ingredient").eval()
    for setting, value in {"PATCH": 48, "NUM_NEW": 16, "NUM_OLD": 48}.items():
        monkeypatch.setattr(extend, setting, value)
    model = Model(net, {"licence": "CC0"}, Path("small"), "0" * 64)
    seen = []
    made = extend.extend(
        model, tmp_path / "pairs", "dim", "affine", tmp_path / "run", steps=12, progress=lambda *at: seen.append(at)
    )
    assert seen[-1] == (12, 12)
    assert [change.name for change in made.changes] == [name for name in NAMES if name != "clean"] + ["dim"]
    learned = checkpoint.load(made.path)
    assert learned.network.config.degradations == (*NAMES, "dim")
    assert learned.card["licence"] == "CC0"
    record = learned.card["extensions"][0]
    assert (record["name"], record["operation"], record["pairs"], record["steps"]) == ("dim", "affine", 4, 12)
    before = made.changes[-1].before
    assert made.changes[-1].after > before
    start = add_degradation(net, "dim", "affine").state_dict()
    state = learned.network.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in net.state_dict().items())
    assert all((state[name] != start[name]).any() for name in state.keys() - net.state_dict().keys())


def test_what_cannot_be_measured_is_not_learned(photo_folder, tmp_path, monkeypatch):
    def missing():
        raise ImportError("PSNR and SSIM need scikit-image")

    monkeypatch.setattr(extend, "scikit_image", missing)
    arguments = ["extend", str(photo_folder), "--name", "dim", "-o", str(tmp_path / "run"), "-m", "fast"]
    refused = CliRunner().invoke(app, arguments)
    assert (refused.exit_code, refused.stderr) == (2, "idrestore: PSNR and SSIM need scikit-image\n")
    assert not list((tmp_path / "run").iterdir())


def test_what_was_learned_is_kept_though_it_cannot_be_measured(photo_folder, tmp_path, monkeypatch):
    def fail(*_):
        raise ValueError("no")

    extend.make_pairs(lambda image, rng: image / 2, list_photos(photo_folder), tmp_path / "pairs")
    for setting, value in {"PATCH": 48, "NUM_NEW": 8, "NUM_OLD": 8, "FIT_STEPS": 1, "measure": fail}.items():
        monkeypatch.setattr(extend, setting, value)
    model = Model(network(FAST, hub="ingredient").eval(), {}, Path("small"), "0" * 64)
    with pytest.raises(ValueError, match="no"):
        extend.extend(model, tmp_path / "pairs", "dim", "affine", tmp_path / "run", steps=2)
    assert checkpoint.load(tmp_path / "run/dim.safetensors").network.config.degradations[-1] == "dim"


@pytest.mark.parametrize("layout", ["rainy/{}.png {}.png", "{0}/blur/1.png {0}/sharp/1.png"])
def test_clean_photos_are_measured_wherever_they_lie(layout, tmp_path, monkeypatch):
    """Beside the degraded ones, or in sequences."""
    degraded, clean = layout.split()
    for number in range(20):
        for name in (degraded.format(number), clean.format(number)):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
    seen = {}
    monkeypatch.setattr(extend, "evaluate", lambda _, sets: seen.update(sets) or Report({}, [], []))
    assert extend.measure([Model(network(FAST), {}, Path("small"), "")], tmp_path, "dim") == []
    found = [pair.clean for pair in seen["noise"].find().matched]
    assert len(found) == len(set(found) & {tmp_path / clean.format(number) for number in range(20)}) == 7


def test_pairs_from_a_function_are_seeded_and_clipped(photo_folder, tmp_path):
    def grain(image, rng):
        return image + rng.normal(0, 0.5, image.shape)

    for folder in ("a", "b"):
        extend.make_pairs(grain, list_photos(photo_folder), tmp_path / folder)
    pairs = [find_pairs(tmp_path / folder).matched for folder in ("a", "b")]
    assert len(pairs[0]) == 4
    for one, other, source in zip(*pairs, list_photos(photo_folder), strict=True):
        np.testing.assert_array_equal(read_8_bit(one.degraded), read_8_bit(other.degraded))
        np.testing.assert_array_equal(read_8_bit(one.clean), read_8_bit(source))
    assert (read_8_bit(pairs[0][0].degraded) == 255).any()


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda image, rng: image[:-1], "got shape"),
        (lambda image, rng: image * np.nan, "finite"),
        (lambda image, rng: image * 255, "expected them in"),
    ],
)
def test_a_function_that_returns_nonsense_is_refused(function, words, photo_folder, tmp_path):
    with pytest.raises(ExtensionError, match=words):
        extend.make_pairs(function, list_photos(photo_folder), tmp_path)


def test_functions_by_reference(tmp_path):
    (tmp_path / "mine.py").write_text("def halve(image, rng):\n    return image / 2\n")
    halve = extend.load_function(f"{tmp_path}/mine.py:halve")
    assert halve(np.ones((1, 1, 3), np.float32), np.random.default_rng(0)).max() == 0.5
    for reference in ("mine.py", f"{tmp_path}/mine.py:other", f"{tmp_path}/none.py:halve"):
        with pytest.raises(ExtensionError, match="degrade: "):
            extend.load_function(reference)


def test_pairs_without_counterpart_are_refused(photo_folder, tmp_path):
    extend.make_pairs(lambda image, rng: image / 2, list_photos(photo_folder), tmp_path / "pairs")
    next(iter(list_photos(tmp_path / "pairs/clean"))).unlink()
    with pytest.raises(ExtensionError, match="has no counterpart"):
        extend.extend(
            Model(network(FAST), {}, Path("small"), ""), tmp_path / "pairs", "dim", "affine", tmp_path / "run"
        )
