"""Learning one degradation more: the old ones stay, the new one is learned, functions are checked."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from small import BOTH, FAST, network

from idrestore import checkpoint, extend
from idrestore.checkpoint import Model
from idrestore.data.layouts import find_pairs, list_photos
from idrestore.data.pairs import read_8_bit
from idrestore.degradations import NAMES
from idrestore.extend import ExtensionError, add_degradation


@pytest.mark.parametrize("hub", ["prior", "ingredient"])
@pytest.mark.parametrize("config", BOTH.values(), ids=BOTH)
def test_a_fresh_degradation_changes_nothing_for_the_others(config, hub):
    old = network(config, hub=hub)
    new = add_degradation(old, "scratches", "affine")
    photo = torch.rand(1, 3, 32, 32)
    rows = torch.eye(len(NAMES))
    for row in rows:
        expected = old(photo, row[None]).restored
        found = new(photo, torch.cat([row, torch.zeros(1)])[None])
        torch.testing.assert_close(found.restored, expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.logits[..., :-1], old(photo, row[None]).logits, rtol=1e-4, atol=1e-5)


def test_its_operation_starts_as_the_identity_and_keeps_its_kind():
    new = add_degradation(network(FAST), "scratches", "convolutive")
    assert new.config.operation_of("scratches") == "convolutive"
    assert new.config.operation_of("haze") == "affine"
    block = new.prior_blocks["encoder2"].operations
    x, context = torch.randn(1, 12, 8, 8), torch.randn(1, 24, 8, 8)
    alone = torch.eye(7)[6:]
    head = block.weight.new_zeros(())
    assert (block.weight[6] == head).all()
    assert (block(x, context, alone) != x).any()  # the shared filters work for it as for blur


def test_an_extended_model_survives_its_file(tmp_path):
    new = add_degradation(network(FAST), "scratches", "affine")
    checkpoint.save(tmp_path / "new.safetensors", new, {})
    loaded = checkpoint.load(tmp_path / "new.safetensors").network
    assert loaded.config == new.config
    assert loaded.config.degradations[-1] == "scratches"


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(ExtensionError, match="knows 'haze' already"):
        add_degradation(network(FAST), "haze", "affine")


@pytest.mark.parametrize("added", [[["haze", "affine"]], [["scratches", "magic"]], [["scratches"]]])
def test_impossible_additions_are_refused(added):
    with pytest.raises(ValueError, match="added: got"):
        dataclasses.replace(FAST, added=added)


def test_learning_from_pairs_end_to_end(photo_folder, tmp_path, monkeypatch):
    """Half of the light is lost: some steps bring some of it back, and the file says what was done."""
    extend.make_pairs(lambda image, rng: image / 2, list_photos(photo_folder), tmp_path / "pairs")
    torch.manual_seed(0)
    net = network(FAST, hub="ingredient").eval()
    monkeypatch.setattr(extend, "PATCH", 48)
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
