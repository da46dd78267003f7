"""What can be read from a photo itself."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small import FAST, network

from idrestore.degradations import NAMES
from idrestore.model.checkpoint import Model
from idrestore.restoration import evidence
from idrestore.restoration.pixels import Grain, Photo
from idrestore.restoration.restorer import Restorer
from idrestore.restoration.rules import Rules, mean_shares

RULES = Rules()


def texture(height=200, width=240, seed=0):
    """Return a photo without direction, (1, H, W, 3)."""
    return np.random.default_rng(seed).uniform(0.3, 0.35, (1, height, width, 1)).astype(np.float32).repeat(3, axis=3)


def streaks(slant, length, seed=0):
    """Return a photo with bright streaks of such a slant from the vertical, in degrees, and length."""
    photo, rng = texture(), np.random.default_rng(seed)
    along = np.arange(length)
    for _ in range(8000 // length):
        top, left = rng.integers(0, 200), rng.integers(0, 240)
        down = (top + along * np.cos(np.radians(slant))).astype(int) % 200
        right = (left + along * np.sin(np.radians(slant))).astype(int) % 240
        photo[0, down, right] = 0.9
    return photo


def grid(across, down):
    photo = texture()
    if across:
        photo[:, ::20] = 0.9
    if down:
        photo[:, :, ::20] = 0.9
    return photo


@pytest.mark.parametrize("slant", [0, 15, -30])
def test_rain_is_not_taken_for_lines(slant):
    assert evidence.lines_unlike_rain(streaks(slant, 22)) < RULES.rain_lines[0]


@pytest.mark.parametrize("photo", [grid(True, True), grid(True, False), grid(False, True), streaks(80, 22)])
def test_grids_blinds_bars_and_what_lies_across_are_no_rain(photo):
    assert evidence.lines_unlike_rain(photo) > RULES.rain_lines[1]


def test_texture_is_no_line():
    assert evidence.lines_unlike_rain(texture()) < RULES.rain_lines[0]
    assert evidence.lines_unlike_rain(np.zeros((2, 200, 200, 3), np.float32)) < RULES.rain_lines[0]
    assert evidence.lines_unlike_rain(grid(True, True)[:, :150]) == 0


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_one_colour_is_one_colour_in_any_type(kind):
    white = np.iinfo(kind).max if kind != np.float32 else 1
    picture = np.full((64, 70, 3), [0, white // 2, white], kind)
    assert evidence.is_one_colour(Photo.of(picture))
    assert evidence.is_one_colour(Photo.of(picture[:32]))
    picture[3, 4, 1] += kind(3 * white / 255)
    assert not evidence.is_one_colour(Photo.of(picture))


def test_brightness_knows_lights():
    picture = np.full((300, 400, 3), 10, np.uint8)
    picture[:30, :40] = 255
    found = evidence.brightness(Photo.of(picture))
    assert found.most == pytest.approx(10 / 255)
    assert found.lights == 1
    picture[:, 250:] = 100  # of 400
    assert evidence.brightness(Photo.of(picture)).most == pytest.approx(100 / 255)


# ---- what follows


def seen(*undone, **facts):
    """Return what a photo says."""
    return SimpleNamespace(undone=undone, **facts)


def rows(**shares):
    return torch.tensor([[[shares.get(name, 0.0) for name in NAMES]] * 3])


def shares(found):
    return {
        name: pytest.approx(share, abs=1e-6) for name, share in zip(NAMES, found.mean(dim=1)[0].tolist(), strict=True)
    }


@pytest.mark.parametrize(
    ("sharpness", "blur", "left"),
    [(0.06, 0.8, 0.8), (0.35, 0.8, 0.8), (0.4, 0.8, 0.4), (0.6, 0.8, 0.0), (0.6, 0.09, 0.09), (0.0, 0.8, 0.8)],
)
def test_what_is_called_blurred_and_has_a_kernel_that_hardly_blurs_is_clean(sharpness, blur, left):
    """Clean photos that are called blurred used to be sharpened, to 44 to 50 dB."""
    found = rows(blur=blur, haze=0.02, clean=0.98 - blur)
    corrected = RULES.nothing_for_blur(NAMES, found, seen(sharpness=sharpness))
    expected = torch.tensor([left, 0.98 - left])
    torch.testing.assert_close(corrected[0, 0, [NAMES.index("blur"), NAMES.index("clean")]], expected)
    assert RULES.nothing_for_blur(NAMES, found, seen("noise")) is found


def test_a_sharp_photo_is_sharp_and_a_blurred_one_is_not():
    kernel = torch.zeros(1, 25, 25)
    kernel[0, 12, 12] = 1
    for spread, sharpness in ((0.0, 1.0), (0.5, 0.5)):
        kernel[0, 12, 12:14] = torch.tensor([1 - spread, spread])
        read = evidence.Evidence(hills(0), lambda: hills(0).colour[None], False, lambda: (kernel, torch.ones(1)))
        assert read.sharpness == pytest.approx(sharpness)
    assert evidence.Evidence(hills(0), lambda: hills(0).colour[None]).sharpness == 0


def test_lines_take_rain_for_nothing():
    found = rows(rain=0.8, noise=0.2)
    assert RULES.nothing_for_rain(NAMES, found, seen(lines=0.1)) is found
    assert shares(RULES.nothing_for_rain(NAMES, found, seen(lines=0.18))) == shares(
        rows(rain=0.4, noise=0.2, clean=0.4)
    )
    assert shares(RULES.nothing_for_rain(NAMES, found, seen(lines=0.5))) == shares(rows(noise=0.2, clean=0.8))


def test_a_trace_of_darkness_is_noise_where_noise_is_strongest():
    traced = RULES.noise_for_darkness(NAMES, rows(noise=0.6, low_light=0.2, clean=0.2))
    assert shares(traced) == shares(rows(noise=0.8, clean=0.2))
    for kept in (rows(noise=0.5, low_light=0.4), rows(noise=0.2, low_light=0.3, rain=0.5), rows(noise=0.99)):
        assert RULES.noise_for_darkness(NAMES, kept) is kept


@pytest.mark.parametrize("part", [1.0, 0.6])
def test_all_waits_for_the_additive_refiners_which_see_how_much_there_is(part):
    wanted = {"noise": part, "rain": part}
    for found in (rows(noise=0.4, blur=0.2, low_light=0.1, clean=0.3), rows(rain=0.6, noise=0.3, clean=0.1)):
        assert shares(RULES.what_waits(NAMES, found, wanted)) == shares(rows(noise=part, clean=1 - part))
    for found in (rows(rain=0.4, haze=0.3, clean=0.3), rows(clean=0.6, rain=0.3, blur=0.1), rows(rain=0.7, noise=0.2)):
        assert shares(RULES.what_waits(NAMES, found, wanted)) == shares(rows(rain=part, clean=1 - part))


@pytest.mark.parametrize(
    "kept", [rows(noise=0.1, blur=0.9), rows(haze=0.5, rain=0.4, clean=0.1), rows(rain=0.6, low_light=0.3, haze=0.1)]
)
def test_what_lies_over_nothing_stronger_and_rain_in_the_dark_do_not_come_first(kept):
    assert RULES.what_waits(NAMES, kept, {"noise": 1.0, "rain": 1.0}) is kept


@pytest.mark.parametrize("first", ["noise", "rain"])
def test_nothing_waits_in_a_model_without_additive_refiners(first):
    found = rows(haze=0.3, **{first: 0.7})
    assert RULES.what_waits(NAMES, found, {}) is found


@pytest.mark.parametrize(("most", "lift"), [(0.04, 1.0), (0.15, 1.0), (0.175, 0.5), (0.2, 0.0), (0.6, 0.0)])
def test_a_photo_most_of_which_is_dark_is_lifted(most, lift):
    photo = seen(brightness=evidence.Brightness(most, 1.0))
    for found in (rows(clean=0.8, blur=0.2), rows(blur=0.9, clean=0.1)):
        assert RULES.lift(NAMES, found, photo) == pytest.approx(lift)
    for found in (rows(rain=0.6, clean=0.4), rows(low_light=0.6, clean=0.4)):
        assert RULES.lift(NAMES, found, photo) == 0


@pytest.mark.parametrize(("lights", "lift"), [(1.0, 1.0), (0.2, 0.0)])
def test_a_dark_photo_with_lights_that_is_called_noisy_is_lifted_first(lights, lift):
    """Stars, and trees at night, used to be smeared as noise, and lifted only then."""
    photo = seen(brightness=evidence.Brightness(0.1, lights))
    assert RULES.lift(NAMES, rows(noise=0.6, clean=0.4), photo) == lift


def test_darkness_that_noise_hid_is_read_from_the_photo_once_the_noise_is_gone():
    dark, bright = (seen(brightness=evidence.Brightness(most, 0.5)) for most in (0.15, 0.3))
    for left in (rows(clean=0.7, blur=0.3), rows(blur=0.6, clean=0.4)):
        assert RULES.lift(NAMES, left, dark, "noise") == 1
        assert RULES.lift(NAMES, left, dark, "rain") == 0
        assert RULES.lift(NAMES, left, bright, "noise") == 0
    assert RULES.lift(NAMES, rows(noise=0.6, clean=0.4), dark, "noise") == 0


def test_darkness_that_shows_once_noise_is_gone_is_undone_in_full():
    """A share of 0.4 was too little to be undone, and such a photo was lifted by its tones alone: 18 dB, not 22."""
    found = rows(low_light=0.42, blur=0.34, clean=0.24)
    dark, bright = (seen(brightness=evidence.Brightness(most, 0.3)) for most in (0.19, 0.21))
    raised = RULES.hidden(NAMES, "noise", found, dark)
    assert shares(raised) == shares(rows(low_light=1.0))
    assert RULES.lift(NAMES, raised, dark, "noise") == 0
    assert RULES.hidden(NAMES, "noise", found, bright) is found
    assert RULES.hidden(NAMES, "rain", found, dark) is found


@pytest.mark.parametrize("side", [32, 64])
def test_a_picture_of_one_colour_comes_back_as_it_is(side):
    """Those under 64 px used to be changed by up to 189 levels."""
    rules = dataclasses.replace(RULES, clean_shares=(2.0, 3.0))
    subject = Restorer(Model(network(FAST).eval(), {}, Path("small"), ""), "cpu", "fp32", rules=rules)
    picture = np.full((side, 80, 3), 77, np.uint8)
    result, told = subject.restore(picture), subject.restore(picture, ingredients={"low_light": 1.0})
    assert (result.image == picture).all()
    assert result.notes == ("all of one colour: nothing can be judged by it, and it is left as it is",)
    assert (told.image != picture).any()
    assert not told.notes


def test_a_dark_photo_with_lights_is_lifted_by_its_own_tones_and_one_without_by_the_network():
    """Told, black skies used to become grey, and lamps to get halos."""
    night = np.full((128, 128, 3), 3, np.uint8)
    night[64:] = 20
    night[100:116, 4:20] = 230  # a lamp
    subject = Restorer(Model(network(FAST).eval(), {}, Path("small"), ""), "cpu", "fp32")
    lifted = subject.restore(night, ingredients={"low_light": 1.0})
    assert lifted.notes
    assert (abs(lifted.image[:60].astype(int) - 3) <= 2).all()
    assert (lifted.image[70:100] >= 40).all()
    assert lifted.image[102:114, 6:18].max() < 253
    night[100:116, 4:20] = 60
    assert not subject.restore(night, ingredients={"low_light": 1.0}).notes


def test_who_says_that_a_photo_is_dark_has_its_shadows_lifted_twice_as_far():
    backlit = np.full((128, 128, 3), 180, np.uint8)
    backlit[64:] = 15
    subject = Restorer(Model(network(FAST).eval(), {}, Path("small"), ""), "cpu", "fp32")
    full = subject.restore(backlit, ingredients={"low_light": 1.0}).image[80:]
    assert (full > 35).all()
    half = subject.restore(backlit, ingredients={"low_light": 1.0}, strength={"low_light": 0.5}).image[80:]
    assert 15 + 5 < half.mean() < full.mean() - 5  # half used to be left to the network, which made more of it
    assert RULES.lifted(True, False) == (0.2, 3.0)
    assert RULES.lifted(True, True) == (0.4, 6.0)


def test_nothing_is_left_to_undo_once_shadows_are_lifted_by_a_model_that_knows_no_clean_photos():
    night = np.full((64, 64, 3), 20, np.uint8)
    night[8:16, 4:20] = 230
    five = tuple(name for name in NAMES if name != "clean")
    subject = Restorer(Model(network(FAST, degradations=five).eval(), {}, Path("small"), ""), "cpu", "fp32")
    lifted = subject.restore(night, ingredients={"low_light": 1.0})
    assert lifted.notes and lifted.again is None


def hills(thickness, seed=0):
    """Return a photo of texture, 200 x 240, behind a veil of such a thickness at the top and none at the bottom."""
    seen = np.random.default_rng(seed).uniform(0, 0.6, (200, 240, 3))
    passes = np.exp(-np.linspace(thickness, 0, 200))[:, None, None]
    return Photo.of(np.float32(seen * passes + 0.8 * (1 - passes)))


@pytest.mark.parametrize(
    ("haze", "found", "expected"),
    [
        (0.5, (0.4, 0.1, 0.1, 0.4), (0.4, 0.1, 0.1, 0.4)),  # says nothing
        (0.8, (0.4, 0.1, 0.1, 0.4), (1.6 / 2.1 * 0.9, 0.1 / 2.1 * 0.9, 0.1, 0.4 / 2.1 * 0.9)),  # odds of 4
        (0.1, (0.4, 0.1, 0.1, 0.4), (0.4 / 4.9 * 0.9, 0.9 / 4.9 * 0.9, 0.1, 3.6 / 4.9 * 0.9)),  # pale, and clear
        (1.0, (0.4, 0.1, 0.1, 0.4), (39.6 / 40.1 * 0.9, 0.1 / 40.1 * 0.9, 0.1, 0.4 / 40.1 * 0.9)),
        (1.0, (0.0, 0.5, 0.1, 0.4), (0.0, 0.5, 0.1, 0.4)),  # the routers know better
        (0.9, (0.3, 0.1, 0.4, 0.2), (0.3, 0.1, 0.4, 0.2)),  # noise lies over it, and goes first
    ],
)
def test_what_the_whole_photo_says_of_haze_multiplies_its_odds(haze, found, expected):
    names, rows = ("haze", "blur", "noise", "clean"), torch.tensor([[found]])
    limits = dataclasses.replace(RULES, hazy_odds=(1.0, 0.0, 0.0), most_raised=1.0, min_change=0)
    weighed = limits.haze_of_scene(names, rows, seen(haze=haze))
    assert weighed[0, 0].tolist() == pytest.approx(expected, abs=1e-4)


def test_rules_work_where_the_rows_are():
    """Rows of another device, or of another type, which the processor can tell too."""
    found = rows(haze=0.5, clean=0.4, blur=0.1).double()
    assert RULES.haze_of_scene(NAMES, found, seen(haze=0.9)).dtype == torch.float64


@pytest.mark.parametrize(("found", "expected"), [(0.5, 0.7), (0.6, 0.7), (0.8, 0.8), (0.95, 0.95)])
def test_what_the_whole_photo_says_makes_haze_no_surer_than_the_network_learned_it(found, expected):
    weighed = RULES.haze_of_scene(NAMES, rows(haze=found, clean=1 - found), seen(haze=0.99))
    assert shares(weighed) == shares(rows(haze=expected, clean=1 - expected))


def test_haze_is_rare_and_rarer_behind_something_else():
    rare = dataclasses.replace(RULES, hazy_odds=(0.25, 0.05, 0.025), min_change=0)
    even = rows(haze=0.5, clean=0.5)
    assert shares(rare.haze_of_scene(NAMES, even, seen(haze=0.8))) == shares(even)
    for undone, share in (("rain", 1 / 6), ("noise", 1 / 11), ("blur", 1 / 11)):
        rarer = rare.haze_of_scene(NAMES, even, seen(undone, haze=0.8))
        assert shares(rarer) == shares(rows(haze=share, clean=1 - share))


def test_a_photo_is_soft_for_what_was_undone_not_for_blur():
    """A hazy, noisy photo is called blurred once its noise is gone, and used to be sharpened in its haze."""
    found = rows(haze=0.35, blur=0.6, clean=0.05)
    equal = dataclasses.replace(RULES, hazy_odds=(0.025, 0.025, 0.025))
    haze = NAMES.index("haze")
    as_it_came, without_rain, after = (
        float(equal.haze_of_scene(NAMES, found, seen(*undone, haze=0.93))[0, 0, haze])
        for undone in ((), ("rain",), ("noise", "rain"))
    )
    assert after > RULES.sure_share > 0.4 > as_it_came == without_rain


def test_what_hardly_changes_stays():
    for found, haze in ((rows(haze=0.001, clean=0.999), 0.9), (rows(haze=0.4, clean=0.6), None)):
        assert RULES.haze_of_scene(NAMES, found, seen(haze=haze)) is found
    no_clean = torch.tensor([[[0.5, 0.5]]])
    assert RULES.haze_of_scene(("haze", "noise"), no_clean, seen(haze=0.9)) is no_clean


@pytest.mark.parametrize(
    ("rain", "found", "expected"),
    [
        (0.65, (0.1, 0.5, 0.1, 0.3), (0.5, 0.4, 0.1, 0.0)),  # what came first has its share in turn
        (0.65, (0.1, 0.1, 0.1, 0.7), (0.8, 0.1, 0.1, 0.0)),
        (0.99, (0.8, 0.2, 0.0, 0.0), (0.8, 0.2, 0.0, 0.0)),  # first already
        (0.64, (0.1, 0.5, 0.1, 0.3), (0.1, 0.5, 0.1, 0.3)),
        (0.9, (0.1, 0.2, 0.4, 0.3), (0.1, 0.2, 0.4, 0.3)),  # noise lies over it, and goes first
        (None, (0.1, 0.5, 0.1, 0.3), (0.1, 0.5, 0.1, 0.3)),
    ],
)
def test_rain_comes_first_where_streaks_are_seen(rain, found, expected):
    """Real rain, which routers call clean or blurred, used to stay, and enlarged streaks were called haze."""
    names, routed = ("rain", "blur", "noise", "clean"), torch.tensor([[found]])
    weighed = RULES.rain_of_streaks(names, routed, seen(rain=rain))
    assert weighed[0, 0].tolist() == pytest.approx(expected, abs=1e-4)
    assert RULES.rain_of_streaks(names, routed, seen("noise", rain=rain)) is routed
    never = dataclasses.replace(RULES, likely_rain=2.0)
    assert never.rain_of_streaks(names, routed, seen(rain=rain)) is routed


def test_noise_behind_rain_and_haze_is_as_likely_as_it_was():
    """Rain of 0.7 left so little noise that it was not believed behind the rain, and haze stayed behind that noise."""
    routed, seen_of = rows(haze=0.64, rain=0.22, noise=0.11, clean=0.03), seen(rain=0.98)
    found = RULES.rain_of_streaks(NAMES, routed, seen_of)
    assert shares(found) == shares(rows(rain=0.64, haze=0.25, noise=0.11))
    behind = {"noise": 0.74, "haze": 0.18, "blur": 0.08, "clean": 0.0}
    assert RULES.needs_second_pass([mean_shares(NAMES, found)], "rain", behind, seen("rain"))


def test_streaks_are_not_looked_for_in_the_dark_and_lines_speak_against_them():
    for dark in (rows(low_light=0.5, rain=0.1, clean=0.4), rows(rain=0.6, low_light=0.3, clean=0.1)):
        assert RULES.rain_of_streaks(NAMES, dark, seen(rain=0.9)) is dark
    grid = seen(rain=0.99, lines=1.0, haze=None, sharpness=0.0, grain=Grain(0, 0, 0))
    assert shares(RULES.corrected(NAMES, rows(rain=0.3, clean=0.7), grid)) == shares(rows(clean=1.0))


def test_each_thing_is_read_from_a_photo_when_it_is_asked_for(monkeypatch):
    asked = []
    for name in ("grains", "lines_unlike_rain", "brightness"):
        monkeypatch.setattr(evidence, name, lambda *given, name=name: asked.append(name))
    photo, haze, rain = hills(0), lambda: asked.append("haze"), lambda: asked.append("rain")
    read = evidence.Evidence(photo, lambda: photo.colour[None], read_haze=haze, read_rain=rain)
    assert not asked
    for _ in range(2):
        assert (read.grain, read.lines, read.brightness, read.haze, read.rain) == (None,) * 5
    assert asked == ["grains", "lines_unlike_rain", "brightness", "haze", "rain"]
    assert evidence.Evidence(hills(0), lambda: hills(0).colour[None], "noise").grain.half == 0
