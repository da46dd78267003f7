"""What is said of a photo."""

import pytest

from idrestore.batch import Settings
from idrestore.cli.options import insisted
from idrestore.cli.sentence import sentence
from idrestore.degradations import NAMES

HAZY = {"haze": 0.7, "noise": 0.2, "clean": 0.1}


@pytest.mark.parametrize(
    ("shares", "settings", "said"),
    [
        (HAZY, {}, "mostly haze, some noise: removed"),
        (HAZY, {"strength": 0.6}, "mostly haze, some noise: 60% removed"),
        (HAZY, {"strength": 0.0}, "left as it is, as you say"),
        (HAZY, {"only": {"fog"}}, "mostly haze, some noise: haze removed, noise left, as you say"),
        (HAZY, {"only": {"rain"}}, "mostly haze, some noise: haze and noise left, as you say"),
        (HAZY, {"strength": {"noise": 0.0}}, "mostly haze, some noise: haze removed, noise left, as you say"),
        ({"clean": 0.97, "noise": 0.03}, {}, "looks clean: left as it is"),
        ({"clean": 0.3, "noise": 0.14, "rain": 0.1}, {}, "looks nearly clean: a little was removed"),
        ({"low_light": 0.5, "noise": 0.5}, {"ingredients": {}}, "low light and noise, as you say: removed"),
    ],
)
def test_what_was_found_and_what_became_of_it(shares, settings, said):
    assert sentence(shares, Settings(**settings)) == said


def test_nothing_is_said_to_be_done_that_only_would_be():
    shares = [HAZY, {"clean": 0.6, "haze": 0.4}, {"clean": 0.4, "haze": 0.4, "noise": 0.2}]
    assert all("would be" in sentence(each, Settings(), done=False) for each in shares)


def wish(**changes):
    return {"strength": 1.0, "only": None, "ingredients": None} | changes


def test_insisting_takes_the_place_of_what_is_found():
    assert insisted({"haze": 1.0}, wish(), NAMES) == {"ingredients": {"haze": 1.0}, "strength": 1.0}
    assert insisted({"haze": 0.5}, wish(), NAMES) == {"ingredients": {"haze": 1.0}, "strength": 0.5}
    both = insisted({"haze": 0.2, "noise": 0.8}, wish(strength=0.5), NAMES)
    assert both == {"ingredients": {"haze": pytest.approx(0.2), "noise": pytest.approx(0.8)}, "strength": 0.4}


def test_what_is_spared_is_left_and_the_rest_is_the_models():
    assert insisted({}, wish(), NAMES) == {}
    assert insisted({"haze": 0.0}, wish(), NAMES) == {"only": {"noise", "rain", "blur", "low_light"}}
    assert insisted({"haze": 0.0}, wish(only={"haze", "rain"}), NAMES) == {"only": {"rain"}}


@pytest.mark.parametrize("other", [{"only": {"rain"}}, {"ingredients": {"rain": 1.0}}, {"strength": {"haze": 0.5}}])
def test_wishes_that_contradict_each_other_are_refused(other):
    with pytest.raises(ValueError, match="haze: got --"):
        insisted({"haze": 1.0}, wish(**other), NAMES)
