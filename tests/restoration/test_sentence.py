"""What is said of a photo."""

import string

import pytest

from idrestore.degradations import FIVE
from idrestore.restoration.sentence import PHRASES, name_of, sentence, unsure

HAZY = {"haze": 0.7, "noise": 0.2, "clean": 0.1}


@pytest.mark.parametrize(
    ("shares", "wish", "said"),
    [
        (HAZY, {}, "mostly haze, some noise: removed"),
        (HAZY, {"changed": False}, "mostly haze, some noise: left as it is"),
        (HAZY, {"strength": 0.6}, "mostly haze, some noise: 60% removed"),
        (HAZY, {"strength": 0.0}, "left as it is, as you say"),
        (HAZY, {"only": {"fog"}}, "mostly haze, some noise: haze removed, noise left, as you say"),
        (HAZY, {"only": {"rain"}}, "mostly haze, some noise: haze and noise left, as you say"),
        (HAZY, {"strength": {"noise": 0.0}}, "mostly haze, some noise: haze removed, noise left, as you say"),
        ({"clean": 0.97, "noise": 0.03}, {}, "looks clean: left as it is"),
        ({"clean": 0.3, "noise": 0.14, "rain": 0.1}, {}, "looks nearly clean: a little was removed"),
        ({"low_light": 0.5, "noise": 0.5}, {"ingredients": {}}, "low light and noise, as you say: removed"),
        ({"clean": 1.0}, {"ingredients": {}}, "left as it is, as you say"),
        (HAZY, {"ingredients": HAZY, "named": {"haze"}}, "haze, as you say, some noise: removed"),
        (HAZY, {"ingredients": HAZY, "named": {"rain"}, "strength": 0.5}, "mostly haze, some noise: 50% removed"),
        ({"under_display": 0.9, "noise": 0.1}, {}, "mostly under display, a little noise: removed"),
        (dict.fromkeys(map(str, range(40)), 0.025), {}, "a little of everything, nothing for sure: removed"),
        (HAZY, {"language": "de", "strength": 0.6}, "vor allem Dunst, etwas Rauschen: zu 60 % entfernt"),
    ],
)
def test_what_was_found_and_what_became_of_it(shares, wish, said):
    assert sentence(shares, **wish) == said


def test_the_largest_comes_first_in_whatever_order_shares_come():
    assert sentence({"noise": 0.2, "haze": 0.7, "clean": 0.1}) == sentence(HAZY)


@pytest.mark.parametrize(("language", "would"), [("en", "would be"), ("de", "würde|bliebe")])
def test_nothing_is_said_to_be_done_that_only_would_be(language, would):
    shares = [HAZY, {"clean": 0.6, "haze": 0.4}, {"clean": 0.4, "haze": 0.4, "noise": 0.2}]
    for each in shares:
        assert any(word in sentence(each, done=False, language=language) for word in would.split("|"))


def test_the_model_is_unsure_where_it_neither_removes_nor_leaves_all():
    assert unsure({"clean": 0.4, "haze": 0.4, "noise": 0.2}) == "haze"
    assert unsure({"clean": 0.9, "noise": 0.1}) is None
    assert unsure(HAZY) is None
    assert unsure({"clean": 0.6, "haze": 0.4}, {"haze": 0.4}) is None


def test_every_language_has_every_phrase_with_the_same_blanks():
    blanks = {
        language: {
            key: {name for _, name, *_ in string.Formatter().parse(text) if name}
            for key, text in phrases.items()
            if key not in FIVE
        }
        for language, phrases in PHRASES.items()
    }
    assert all(each == blanks["en"] for each in blanks.values())
    assert all(len({name_of(name, language) for name in FIVE}) == 5 for language in PHRASES)
