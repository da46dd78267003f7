"""Photos that are soft at the scale of a pixel, and worked on at half their size."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from small import FAST, network

from idrestore.degradations import NAMES
from idrestore.model.checkpoint import Model
from idrestore.restoration import pixels
from idrestore.restoration.evidence import Evidence
from idrestore.restoration.halves import SOFT
from idrestore.restoration.pixels import Photo
from idrestore.restoration.restorer import Restorer
from idrestore.restoration.rules import Rules

RULES = dataclasses.replace(Rules(), min_second_share=2.0, grain=(1e8, 1e9))
"""One pass is enough here, and photos of chance alone are not noise."""
SIDES = 330, 361


def photo(dtype=np.uint8, channels=3):
    values = np.random.default_rng(0).random((*SIDES, channels))
    return values if dtype is float else (values * np.iinfo(dtype).max).astype(dtype)


def restorer(**halved):
    """Return a restorer whose routers find blur in a photo of `SIDES`, and such shares at half its size."""
    model = network(FAST, haze_classifier=(), rain_classifier=()).eval()
    subject = Restorer(Model(model, {}, Path("small"), ""), "cpu", "fp32", rules=RULES)
    shares = {"blur": 0.6, "noise": 0.39, "clean": 0.01}, halved
    really = subject.engine.route

    def route(crops):
        found = shares[crops.shape[1] < 200]
        logits = torch.tensor([[found.get(name, 1e-4) for name in NAMES]]).log()
        return really(crops)._replace(of_routers=[logits] * 3)

    subject.engine.route = route
    return subject


def seen(rain=None):
    """Return what a photo says in which it is so likely to rain."""
    return Evidence(Photo.of(photo()), look=lambda: None, read_rain=lambda: rain)


@pytest.mark.parametrize(
    ("found", "halved", "expected"),
    [
        ({"blur": 0.6, "clean": 0.4}, {"noise": 0.75, "blur": 0.15, "clean": 0.1}, True),
        ({"blur": 0.6, "clean": 0.4}, {"noise": 0.65, "blur": 0.1, "clean": 0.25}, False),
        ({"blur": 0.6, "clean": 0.4}, {"noise": 0.7, "blur": 0.3}, False),  # blurred all the same
        ({"blur": 0.6, "clean": 0.4}, {"clean": 0.6, "rain": 0.2, "blur": 0.2}, False),
        ({"blur": 0.6, "clean": 0.4}, {"blur": 0.28, "rain": 0.2}, False),
        ({"blur": 0.6, "clean": 0.4}, {"rain": 0.6, "blur": 0.2, "clean": 0.2}, False),  # by the routers alone
        ({"blur": 0.2, "noise": 0.8}, {"haze": 0.8, "clean": 0.2}, False),  # looked at for its streaks
    ],
)
def test_what_is_blurred_at_full_size_alone_is_soft(found, halved, expected):
    assert RULES.is_soft(found, halved) == expected


@pytest.mark.parametrize(
    ("rain", "at_half", "expected"),
    [
        (0.2, 0.4, False),
        (0.3, 0.66, True),
        (0.7, 0.85, False),
        (0.7, 0.95, True),
        (0.95, 0.97, False),
        (0.9, 0.5, False),
    ],
)
def test_rain_is_undone_where_its_streaks_are_seen_best(rain, at_half, expected):
    """Streaks three times as wide as usual are not seen at full size, but at half."""
    assert RULES.is_coarse_rain({"rain": 0.7, "blur": 0.3}, seen(rain), seen(at_half)) == expected
    assert not RULES.is_coarse_rain({"noise": 0.7, "rain": 0.3}, seen(rain), seen(at_half))


def test_little_blur_is_no_reason_to_look_at_half_the_size_but_rain_is():
    assert not RULES.may_be_soft({"noise": 0.8, "blur": 0.2}, seen(0.5))
    assert RULES.may_be_soft({"clean": 0.75, "blur": 0.25}, seen())
    assert RULES.may_be_soft({"haze": 0.8, "blur": 0.2}, seen(0.7))


def test_a_soft_photo_that_stays_as_it_is_is_not_said_to_be_worked_on():
    assert restorer(noise=0.8, clean=0.1, blur=0.1).restore(photo(np.uint8, 3), strength=0).notes == ()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, float])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_soft_photo_changes_as_its_half_does(dtype, channels):
    image = photo(dtype, channels)
    subject = restorer(noise=0.8, clean=0.1, blur=0.1)
    result = subject.restore(image)
    half = Photo.of(image).halved()
    expected = subject.restore(half.colour)
    assert result.image.shape == image.shape and result.image.dtype == image.dtype
    assert result.notes == (SOFT.format(2),)
    assert next(iter(result.ingredients)) == "noise"
    change = expected.image.astype(float) - half.colour
    if channels == 1:  # grey is the mean of the three
        change = np.repeat(change.mean(axis=2, keepdims=True), 3, axis=2)
    here = Photo.of(result.image).colour.astype(float) - Photo.of(image).colour
    means = here[:, :-1].reshape(SIDES[0] // 2, 2, SIDES[1] // 2, 2, 3).mean(axis=(1, 3))[1:-1, 1:-1]
    change = change[:, :-1]
    for axis in (0, 1):  # the mean of pixels that a change is interpolated for has a part of its neighbours' changes
        change = 0.75 * change + 0.125 * (np.roll(change, 1, axis) + np.roll(change, -1, axis))
    assert np.corrcoef(means.ravel(), change[1:-1, 1:-1].ravel())[0, 1] > 0.98
    assert subject.find(image) == pytest.approx(expected.ingredients)
    if channels == 4:
        assert (result.image[..., 3] == image[..., 3]).all()


@pytest.mark.parametrize(
    "wish", [{"ingredients": {"noise": 1.0}}, {"only": "blur"}, {"strength": {"noise": 0.0}}], ids=str
)
def test_a_wish_for_something_else_is_worked_on_at_full_size(wish):
    assert not restorer(noise=0.8, clean=0.1, blur=0.1).restore(photo(), **wish).notes


def test_a_blurred_photo_and_a_small_one_are_worked_on_at_full_size():
    assert not restorer(blur=0.7, noise=0.3).restore(photo()).notes
    assert not restorer(noise=0.8, clean=0.1, blur=0.1).restore(photo()[:318]).notes


def test_what_is_protected_in_a_soft_photo_comes_back_exactly():
    image = photo()
    protect = np.zeros(SIDES, np.bool_)
    protect[:150, :200] = True
    result = restorer(noise=0.8, clean=0.1, blur=0.1).restore(image, protect=protect).image
    assert (result[protect] == image[protect]).all()
    assert (result[200:] != image[200:]).any()


def test_an_explanation_of_a_soft_photo_has_its_size():
    image = photo()
    explanation = restorer(noise=0.8, clean=0.1, blur=0.1).explain(image)
    assert explanation.result.notes == (SOFT.format(2),)
    assert explanation.result.image.shape == image.shape
    assert all(heat.shape == SIDES for heat in explanation.heat.values())


@pytest.mark.parametrize("sides", [(5, 7), (600, 3), (514, 1030)])
def test_half_of_a_ramp_is_a_ramp_and_so_is_its_double(sides):
    ramp = np.broadcast_to(np.linspace(0, 1, sides[0], dtype=np.float32)[:, None, None], (*sides, 3))
    half = Photo.of(np.ascontiguousarray(ramp)).halved().colour
    assert half.shape == (-(-sides[0] // 2), -(-sides[1] // 2), 3)
    bands = [slice(top, min(sides[0], top + 256)) for top in range(0, sides[0], 256)]
    again = np.concatenate([pixels.enlarged(np.zeros_like(half), half, rows, sides[1]) for rows in bands])
    np.testing.assert_allclose(again[1:-2], ramp[1:-2], atol=1e-5)


def test_what_is_softer_still_is_worked_on_at_a_quarter_of_its_size():
    """At half the size as much is called blurred as at full, so that only a quarter tells."""
    image = np.random.default_rng(0).random((2 * SIDES[0], 2 * SIDES[1], 3), np.float32)
    result = restorer(noise=0.8, clean=0.1, blur=0.1).restore(image)
    assert result.notes == (SOFT.format(4),)
    assert result.image.shape == image.shape
    assert (result.image != image).any()


def test_rain_is_told_by_the_half_of_close_ups_that_look_rainier():
    """A pale sky, before which no drop shows, used to hide the rain below it."""
    subject = Restorer(Model(network(FAST).eval(), {}, Path("small"), ""), "cpu", "fp32")
    crops = []

    def classify_rain(seen):
        crops.append(seen)
        return torch.tensor([-4.0, 3.0, 1.0, -6.0]) if len(crops) == 1 else torch.tensor([1.0])

    subject.engine.network.classify_rain = classify_rain
    values = np.zeros((300, 700, 3), np.uint8)
    assert subject._planner._evidence(Photo.of(values), subject._grid(Photo.of(values))).rain == pytest.approx(
        torch.tensor(2.0).sigmoid().item()
    )
    assert crops[0].shape == (16, 3, 256, 256)
    assert subject.engine.rain(np.zeros((1, 32, 32, 3), np.float32)) == pytest.approx(
        torch.tensor(1.0).sigmoid().item()
    )
