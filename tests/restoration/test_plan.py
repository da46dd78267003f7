"""What is decided about a photo before any of it is restored."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from small import FAST, network

from idrestore.degradations import NAMES, operation_of
from idrestore.model.checkpoint import Model
from idrestore.model.outputs import Routed
from idrestore.restoration.engine import Engine
from idrestore.restoration.pixels import Photo
from idrestore.restoration.plan import Grid, Planner
from idrestore.restoration.request import Request
from idrestore.restoration.restorer import Restorer
from idrestore.restoration.rules import Rules
from idrestore.restoration.tiling import tiles

OTHERS = [name for name in NAMES if operation_of(name) != "affine"]
RULES = Rules()
SURE = Rules(clean_shares=(2.0, 3.0), grain=(1e8, 1e9), smoothed_grain=(1e8, 1e9))
"""Neither doubt nor grain counts."""
PHOTO = Photo.of(np.random.default_rng(0).random((64, 80, 3), np.float32))


def planner(rules=RULES, **changes):
    return Planner(Engine(network(FAST, **changes), "cpu", "fp32"), rules)


def first(subject, photo, request, grid):
    return subject.decide(photo, request, subject.find(photo, request, grid))


def plan(subject, **ingredients):
    """Plan for shares that the user gives."""
    request = Request.of(NAMES, 3, ingredients=ingredients)
    return first(subject, PHOTO, request, Grid(tiles(64, 80, 256, 96), 16))


@pytest.mark.parametrize("name", OTHERS)
def test_brightness_stays_where_nothing_calls_for_another(name):
    subject = planner()
    assert plan(subject, **{name: 1.0}).colours is None
    assert plan(subject, **{name: 0.71, "haze": 0.29}).colours is None
    assert plan(subject, **{name: 0.6, "haze": 0.4}).colours is not None


@pytest.mark.parametrize(
    ("shares", "hazy", "dark"),
    [
        ({"haze": 1.0}, 1.0, 0.0),
        ({"haze": 0.8, "low_light": 0.2}, 0.8, 0.0),
        ({"haze": 0.6, "low_light": 0.4}, 0.6, 0.5),
        ({"haze": 0.3, "low_light": 0.1, "rain": 0.6}, 0.375, 0.0),
        ({"low_light": 0.45, "rain": 0.55}, 0.0, 0.75),
        ({"low_light": 1.0}, 0.0, 1.0),
    ],
)
def test_a_photo_is_what_haze_or_darkness_made_of_it(shares, hazy, dark):
    """Haze is thicker where things are far; darkness is one exposure."""
    found = plan(planner(affine_from=(0.3, 0.5)), **shares)
    assert (float(found.hazy), found.darkness) == pytest.approx((hazy, dark), abs=1e-6)


@pytest.mark.parametrize(("haze", "dark", "factor"), [(0.5, 0.2, 1.0), (0.3, 0.1, 0.5)])
def test_the_affine_refiner_counts_by_the_share_of_haze_and_darkness(haze, dark, factor):
    subject, said = planner(), []
    subject.engine.network.affine_refiner.register_forward_hook(lambda _, __, grid: said.append(grid))
    found = plan(subject, haze=haze, low_light=dark, noise=1 - haze - dark).colours.grid
    torch.testing.assert_close(found, factor * (haze + dark) * said[0])


@pytest.mark.parametrize(("learned", "own", "factor"), [((0.1, 0.2), None, 1.0), ((0.1, 0.2), (0.3, 0.5), 0.5)])
def test_brightness_is_changed_from_the_shares_that_the_model_learned_unless_the_rules_have_others(
    learned, own, factor
):
    subject, said = planner(Rules(affine_shares=own), affine_from=learned), []
    subject.engine.network.affine_refiner.register_forward_hook(lambda _, __, grid: said.append(grid))
    torch.testing.assert_close(plan(subject, haze=0.4, noise=0.6).colours.grid, factor * 0.4 * said[0])


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_a_photo_of_one_colour_is_to_be_left_alone_unless_the_user_says_what_is_wrong(level):
    photo, grid = Photo.of(np.full((64, 80, 3), level, np.float32)), Grid(tiles(64, 80, 256, 96), 16)
    given = Request.of(NAMES, 3, ingredients={"noise": 1.0})
    assert first(planner(), photo, Request(), grid).strength == 0
    assert first(planner(), photo, given, grid).strength == 1


@pytest.mark.parametrize(
    ("shares", "is_read"),
    [
        ({"haze": 0.2, "low_light": 0.05, "blur": 0.75}, True),
        ({"haze": 0.3, "low_light": 0.1, "blur": 0.6}, False),  # what is undone would bring the haze back
        ({"low_light": 0.5, "blur": 0.5}, False),
        ({"noise": 0.99, "blur": 0.01}, False),
        ({"noise": 0.97, "blur": 0.03}, True),
    ],
)
def test_a_photo_is_deconvolved_where_it_is_blurred_and_its_brightness_right(shares, is_read):
    assert (plan(planner(), **shares).deconvolution is not None) == is_read


def test_without_a_blur_kernel_estimator_nothing_is_deconvolved():
    assert plan(planner(blur_kernel_estimator=()), blur=1.0).deconvolution is None


def test_without_an_affine_refiner_nothing_is_asked_of_it():
    assert plan(planner(affine_refiner=()), haze=1.0).colours is None


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"max_deconvolution_haze": 0.1}, "deconvolution"),
        ({"min_deconvolution_share": 0.6}, "deconvolution"),
        ({"affine_shares": (0.2, 0.4)}, "colours"),
    ],
)
def test_rules_are_replaced_without_a_patch(changes, what):
    shares = {"haze": 0.25, "blur": 0.5, "noise": 0.25}
    usual, other = (plan(planner(rules), **shares) for rules in (RULES, dataclasses.replace(RULES, **changes)))
    assert (getattr(usual, what) is None) != (getattr(other, what) is None)


def test_a_wish_scales_what_is_undone_and_not_what_was_found():
    request = Request.of(NAMES, 3, strength={"rain": 0.5}, ingredients={"rain": 0.6, "noise": 0.4})
    made = first(planner(), PHOTO, request, Grid(tiles(64, 80, 256, 96), 16))
    rain, clean = NAMES.index("rain"), NAMES.index("clean")
    torch.testing.assert_close(made.found[..., rain], torch.full((1, 3), 0.6))
    torch.testing.assert_close(made.ingredients[..., [rain, clean]], torch.full((1, 3, 2), 0.3))


def test_a_routed_photo_of_one_tile_is_gone_on_with_and_no_other():
    # Without the rules that would change shares, and so call for another pass.
    subject = planner(Rules(grain=(1e8, 1e9), rain_lines=(1e8, 1e9), traces=(2, 3)))
    one, two = (Grid(tiles(64, 80, side, 16), 16) for side in (256, 64))
    assert first(subject, PHOTO, Request(), one).routed is not None
    assert first(subject, PHOTO, Request(), two).routed is None
    assert first(subject, PHOTO, Request.of(NAMES, 3, strength={"rain": 0.5}), one).routed is None


@pytest.mark.parametrize(
    ("wish", "refiner", "noise", "haze"),
    [
        ({}, (), 0.5, 0.3),
        ({}, (3, 4, 5), 1.0, 0.0),
        ({"only": {"haze"}}, (3, 4, 5), 0.0, 0.3),
        ({"strength": {"haze": 0.5}}, (), 0.5, 0.15),
        ({"strength": {"haze": 0.5}}, (3, 4, 5), 1.0, 0.0),
        ({"strength": {"noise": 0.7, "haze": 0.5}}, (3, 4, 5), 0.7, 0.0),
    ],
)
def test_haze_waits_until_noise_is_gone_unless_the_user_keeps_the_noise(wish, refiner, noise, haze):
    logits = torch.tensor([[0.5, 1e-6, 0.3, 1e-6, 1e-6, 0.2]]).log()
    subject = planner(additive_refiner=refiner)
    subject.engine.route = lambda crops: Routed([logits] * 3, [], torch.empty(0), torch.empty(0))
    made = first(subject, PHOTO, Request.of(NAMES, 3, **wish), Grid(tiles(64, 80, 256, 96), 16))
    assert made.ingredients[0, 0, [NAMES.index("noise"), NAMES.index("haze")]].tolist() == pytest.approx(
        [noise, haze], abs=1e-4
    )
    assert made.found[0, 0, NAMES.index("haze")] == pytest.approx(0.3, abs=1e-4)


def test_nothing_is_done_where_nothing_is_left_to_undo():
    logits = torch.tensor([[0.1, 0.001, 0.89, 0.003, 0.003, 0.003]]).log()
    subject = planner()
    subject.engine.route = lambda crops: Routed([logits] * 3, [], torch.empty(0), torch.empty(0))
    grid = Grid(tiles(64, 80, 256, 96), 16)
    assert first(subject, PHOTO, Request.of(NAMES, 3, only={"low_light"}), grid).strength == 0
    assert first(subject, PHOTO, Request.of(NAMES, 3, only={"noise"}), grid).strength == 1


@pytest.mark.parametrize("top", [0.05, 0.95])
@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_a_dark_photo_that_the_routers_call_blurred_is_lifted_unless_that_is_not_wanted(top, strength):
    dark = np.full((64, 80, 3), 0.05, np.float32) + 0.01 * PHOTO.array
    dark[:20] = top
    subject, grid = planner(SURE), Grid(tiles(64, 80, 256, 96), 16)
    rows = torch.tensor([[[0.9 if name == "blur" else 0.02 for name in NAMES]] * 3])
    subject.engine.route = lambda _: Routed(list(rows.log().unbind(dim=1)), [], torch.empty(0), torch.empty(0))
    plan = first(subject, Photo.of(dark), Request.of(NAMES, 3, strength=strength), grid)
    assert subject.shares(plan.found)["low_light"] == pytest.approx(0.7)
    assert plan.tone is not None
    assert plan.strength == strength
    unwanted = first(subject, Photo.of(dark), Request.of(NAMES, 3, strength={"low_light": 0.0}), grid)
    assert unwanted.tone is None
    assert unwanted.strength == 1.0
    assert subject.shares(unwanted.found)["blur"] == pytest.approx(0.9)


def test_finding_goes_by_the_same_wishes_as_restoring():
    dark = np.full((64, 80, 3), 0.05, np.float32) + 0.01 * PHOTO.array
    subject = Restorer(Model(network(FAST).eval(), {}, Path("small"), ""), "cpu", "fp32", rules=SURE)
    rows = torch.tensor([[[0.9 if name == "blur" else 0.02 for name in NAMES]] * 3])
    subject.engine.route = lambda _: Routed(list(rows.log().unbind(dim=1)), [], torch.empty(0), torch.empty(0))
    assert next(iter(subject.find(dark))) == "low_light"
    assert next(iter(subject.find(dark, strength={"low_light": 0.0}))) == "blur"
    assert next(iter(subject.find(dark, only="noise"))) == "blur"


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (31, 400)])
def test_a_photo_too_small_to_be_judged_is_left_and_that_is_said(size):
    subject = Restorer(Model(network(FAST).eval(), {}, Path("small"), ""), "cpu", "fp32", rules=SURE)
    photo = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    result = subject.restore(photo)
    assert (result.image == photo).all()
    assert result.notes == ("too small to be judged: photos under 32 pixels a side are left as they are",)
    told = subject.restore(photo, ingredients={"noise": 1.0})
    assert (told.image != photo).any()
    assert not told.notes
