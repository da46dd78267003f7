import pytest

from idrestore.degradations import DEGRADATIONS, FIVE, NAMES, UNSEEN, canonical, operation_of


def test_the_physics_of_the_paper():
    """Method, Sec. 2: additive (noise, rain), affine (haze, low light), convolutive (blur)."""
    assert {name: operation_of(name) for name in FIVE} == {
        "noise": "additive",
        "rain": "additive",
        "haze": "affine",
        "blur": "convolutive",
        "low_light": "affine",
    }


def test_clean_is_the_optional_sixth_prior_with_an_operation_that_learns():
    assert (*FIVE, "clean") == NAMES[:6]
    assert operation_of("clean") == "additive"  # an identity would leave its hub without gradient


def test_names_are_unique_identifiers():
    names = [degradation.name for degradation in DEGRADATIONS] + list(UNSEEN)
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() and name == name.lower() for name in names)


def test_a_name_not_in_the_table_is_refused():
    with pytest.raises(KeyError, match="fog"):
        operation_of("fog")


def test_words_of_people_name_one_degradation_each():
    words = [word for degradation in DEGRADATIONS for word in degradation.also]
    assert len({*words, *NAMES, *UNSEEN}) == len(words) + len(NAMES) + len(UNSEEN)
    assert all(canonical(word) in set(NAMES) - {"clean"} for word in words)
    assert [canonical(word) for word in ("Night", "low-light", " fog ", "clean")] == [
        "low_light",
        "low_light",
        "haze",
        "clean",
    ]
