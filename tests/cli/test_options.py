"""Amounts of what is wrong, as flags say them, and what they mean."""

import pytest

from idrestore.batch import Settings
from idrestore.cli.options import insisted
from idrestore.cli.restoring import sentence
from idrestore.degradations import NAMES


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
    for words in ({"haze", "rain"}, {"fog", "rain"}):
        assert insisted({"haze": 0.0}, wish(only=words), NAMES) == {"only": {"rain"}}
    with pytest.raises(ValueError, match="--no-haze: with these nothing is left"):
        insisted({"haze": 0.0}, wish(only={"fog"}), NAMES)


@pytest.mark.parametrize("other", [{"only": {"rain"}}, {"ingredients": {"rain": 1.0}}, {"strength": {"haze": 0.5}}])
def test_wishes_that_contradict_each_other_are_refused(other):
    with pytest.raises(ValueError, match="haze: got --"):
        insisted({"haze": 1.0}, wish(**other), NAMES)


def test_who_is_not_sure_is_told_by_which_flag_to_insist():
    doubt = {"clean": 0.7, "low_light": 0.3}
    assert (
        sentence(doubt, Settings()) == "looks clean, or there is some low light: left as it is; to insist: --low-light"
    )
    assert "insist" not in sentence(doubt, Settings(ingredients={"low_light": 1.0}))
