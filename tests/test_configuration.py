"""Checks of settings say what was got and what was expected, and that nobody checks in another way."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest

import idrestore
from idrestore.configuration import check_at_least, check_kind, check_known, check_one_of, tuples


def test_an_unknown_key_is_refused_with_the_nearest_one_where_it_stands():
    check_known(["seed"], ["seed", "steps"])
    with pytest.raises(ValueError, match=r"^unknown setting 'data.sede'; the nearest one is 'data.seed'$"):
        check_known(["steps", "sede"], ["steps", "seed"], "data.")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1, float),
        (("a",), tuple[str, ...]),
        ((), tuple[str, ...]),
        ((("a", 1),), tuple[tuple[str, Literal[1, 2]], ...]),
        ({"a": 1}, Mapping[str, float]),
        ("x", Literal["x", "y"]),
    ],
)
def test_values_of_a_fields_type_pass(value, kind):
    check_kind("name", value, kind)


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (1.5, int, "name: got 1.5, expected a whole number"),
        (True, float, "name: got True, expected a number"),
        ("a", tuple[str, ...], r"name: got 'a', expected \[a text, ...\]"),
        (("a", 1), tuple[str, ...], r"name: got \('a', 1\), expected \[a text, ...\]"),
        ((1,), tuple[int, bool], r"name: got \(1,\), expected \[a whole number, true or false\]"),
        ({"a": "b"}, Mapping[str, float], r"name: got \{'a': 'b'\}, expected \{ NAME = a number, ... \}"),
        ("z", Literal["x", "y"], r"name: got 'z', expected one of \('x', 'y'\)"),
    ],
)
def test_values_of_another_type_are_refused(value, kind, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        check_kind("name", value, kind)


def test_the_smallest_value_passes_and_one_below_does_not():
    config = SimpleNamespace(workers=1)
    check_at_least(config, workers=1)
    with pytest.raises(ValueError, match=r"^workers: got 1, expected at least 2$"):
        check_at_least(config, workers=2)
    with pytest.raises(ValueError, match=r"^workers: got nan, expected at least 1$"):
        check_at_least(SimpleNamespace(workers=math.nan), workers=1)
    with pytest.raises(ValueError, match=r"^scales: got \(1, -1\), expected at least 0$"):
        check_at_least(SimpleNamespace(scales=(1, -1)), scales=0)
    with pytest.raises(ValueError, match=r"^workers: got 3"):
        check_one_of("workers", 3, (1, 2))


def test_lists_become_tuples_all_the_way_down():
    assert tuples([1, [2, [3]], "a"]) == (1, (2, (3,)), "a")


def test_names_of_settings_are_compared_in_one_place():
    """The service hints at all fields where none is near, and a misspelt command is no setting."""
    files = Path(idrestore.__file__).parent.rglob("*.py")
    found = {path.name for path in files if re.search(r"get_close_matches\(", path.read_text())}
    assert found == {"configuration.py", "errors.py", "help.py"}
