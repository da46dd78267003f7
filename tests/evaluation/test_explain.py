"""Explanations: the words, the pictures, the files, and the page that needs nothing from outside."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import pyvips
import torch
from small import FAST, network

from idrestore.degradations import NAMES
from idrestore.evaluation import embeddings, explain
from idrestore.files import image
from idrestore.model.checkpoint import Model
from idrestore.model.config import PRESETS
from idrestore.model.network import RestorationNetwork
from idrestore.restoration.restorer import Restorer
from idrestore.restoration.results import LatentMaps, Result


@pytest.fixture
def restorer():
    torch.manual_seed(0)
    return Restorer(Model(RestorationNetwork(PRESETS["tiny"]).eval(), {}, Path("tiny"), "0" * 64), "cpu", "fp32")


def test_what_showed_when_the_first_was_gone_is_said_too():
    seen = Result(np.zeros((1, 1, 3)), {"noise": 0.8, "haze": 0.2}, {"low_light": 0.7, "clean": 0.1})
    assert explain.describe(seen) == "mostly noise, some haze: removed; behind it: low light"


def test_heat_is_red_where_it_is_strong_and_the_photo_shows_through():
    photo = np.full((20, 40, 3), 100, np.uint8)
    photo[:, 15:25] = 200
    heat = np.linspace(0, 1, 40, dtype=np.float32) * np.ones((20, 1), np.float32)
    picture = explain.heat_picture(photo, heat).astype(int)
    assert picture.shape == photo.shape
    assert picture[0, 0, 2] >= picture[0, 0, 0]
    assert picture[0, 35, 0] > picture[0, 35, 2]
    assert picture[0, 16].sum() - picture[0, 14].sum() > 60


def test_latent_pictures_show_the_same_features_in_the_same_colours():
    features, priors = torch.randn(2, 8, 6, 9, generator=torch.Generator().manual_seed(0)).numpy()
    same = explain.latent_pictures(LatentMaps(features, priors, features))
    np.testing.assert_array_equal(same["features"], same["pseudo_clean"])
    assert same["degradation"].shape == (6, 9, 3)
    assert (same["degradation"] != same["features"]).any()
    for picture in same.values():
        assert picture.min() == 0
        assert picture.max() == 255


def test_flat_features_give_a_flat_picture():
    flat = np.ones((8, 6, 9), np.float32)
    assert explain.latent_pictures(LatentMaps(flat, flat, flat))["degradation"].std() == 0


def test_a_folder_holds_pictures_json_and_a_page(restorer, photo_folder, tmp_path):
    source = photo_folder / "photo0.png"
    told = explain.explain_file(restorer, source, tmp_path / "out", latents=True)
    report = json.loads((tmp_path / "out/explanation.json").read_text())
    assert report["sentence"] == told.sentence
    assert list(report["ingredients"]) == list(restorer.restore(_pixels(source)).ingredients)
    assert set(report["routers"]) == {"encoder2", "encoder3", "decoder2"}
    sizes = {name: _pixels(tmp_path / "out" / name).shape for name in report["pictures"]}
    assert sizes["before.png"] == sizes["after.png"] == sizes["encoder3-where.png"] == (72, 96, 3)
    assert sizes["encoder2-features.png"] == (20, 24, 3)  # of 80x96, stride 4
    np.testing.assert_array_equal(_pixels(tmp_path / "out/before.png"), _pixels(source))
    page = told.page.read_text()
    assert "$" not in re.sub(r"base64,[^\"]*", "", page)
    assert set(re.findall(r"(?:src|href)=\"(\w+):", page)) == {"data"}
    assert page.count("<img") == page.count("alt=") == 2 + len(report["pictures"]) - 2


def test_what_was_redacted_stays_so(restorer, tmp_path):
    photo = np.random.default_rng(0).integers(60, 200, (128, 160, 3), np.uint8)
    photo[40:64, 30:90] = 0
    source = tmp_path / "a.png"
    image.write(photo, source, image.Photo(photo))
    explain.explain_file(restorer, source, tmp_path / "out")
    after = _pixels(tmp_path / "out/after.png")
    assert (after[40:64, 30:90] == 0).all()
    assert (after != photo).any()


def test_for_photographers_the_sentence_the_photo_and_its_change_are_enough(restorer, photo_folder, tmp_path):
    told = explain.explain_file(restorer, photo_folder / "photo0.png", tmp_path / "out")
    report = json.loads((tmp_path / "out/explanation.json").read_text())
    page = told.page.read_text()
    assert report["pictures"] == ["before.png", "after.png", "change.png"]
    assert page.count("<img") == 3
    assert f"<h1>{told.sentence}</h1>" in page
    assert "router" not in page
    assert "h_p" not in page


def test_a_name_that_is_no_text_is_spelled_out(restorer, photo_folder, tmp_path):
    photo = next(photo_folder.glob("*.png"))
    source = tmp_path / "f\udcff.png"
    source.write_bytes(photo.read_bytes())
    explain.explain_file(restorer, source, tmp_path / "out")
    assert json.loads((tmp_path / "out/explanation.json").read_text("utf-8"))["photo"] == source.name
    assert "f\\udcff.png" in (tmp_path / "out/explanation.html").read_text("utf-8")


def test_names_are_text_in_the_page(restorer, photo_folder, tmp_path):
    source = tmp_path / "<b>&.png"
    source.write_bytes((photo_folder / "photo0.png").read_bytes())
    page = explain.explain_file(restorer, source, tmp_path / "out").page.read_text()
    assert "&lt;b&gt;&amp;.png" in page
    assert "<b>&" not in page


@pytest.mark.parametrize("stage", ["prior", "ingredient"])
def test_priors_of_both_stages(stage, tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    net = network(FAST, hub=stage)
    picture = embeddings.write(Model(net, {}, Path("small"), ""), tmp_path)
    found = json.loads((tmp_path / "priors.json").read_text())
    assert _pixels(picture).shape[0] > 500
    assert np.shape(found["t_sne"]) == np.shape(found["principal_components"]) == (6, 5, 2)
    similarity = np.array(found["similarity"])
    np.testing.assert_allclose(np.diag(similarity), 1)
    hubs = net.hub(torch.eye(6)).detach().flatten(1).double().numpy()
    hubs -= hubs.mean(axis=0)
    expected = hubs[0] @ hubs[3] / np.linalg.norm(hubs[0]) / np.linalg.norm(hubs[3])
    assert similarity[0, 3] == pytest.approx(expected, abs=1e-5)
    assert found["degradations"] == list(NAMES)
    assert found["stage"] == {"prior": "collect", "ingredient": "integrate"}[stage]


def _pixels(path):
    return pyvips.Image.new_from_file(str(path)).numpy()[..., :3]
