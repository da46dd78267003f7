"""How settings are checked, so that the same mistake reads the same wherever it is made."""

import difflib
from collections.abc import Iterable
from typing import Any, get_args, get_origin


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that was most probably meant.

    >>> nearest("sede", ["steps", "seed"])
    'seed'
    """
    return difflib.get_close_matches(name, list(known), n=1, cutoff=0)[0]


def check_known(keys: Iterable[str], known: Iterable[str], where: str = "", what: str = "setting") -> None:
    """Raise `ValueError` for the first key that is not known, naming the nearest one; `where` stands before both."""
    known = list(known)
    for key in keys:
        if key not in known:
            close = where + nearest(key, known)
            raise ValueError(f"unknown {what} {where + key!r}; the nearest one is {close!r}")


def check_one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Raise `ValueError` for a value that is none of those allowed."""
    if value not in allowed:
        raise ValueError(f"{name}: got {value!r}, expected one of {allowed}")


def check_kind(name: str, value: object, kind: Any) -> None:
    """Raise `ValueError` for a value that is not what a field's type says; a `float` may be a whole number.

    Of types such as `tuple[str, ...]` only the outer one is looked at.
    """
    plain = get_origin(kind) or kind
    if not isinstance(plain, type):  # Literal
        check_one_of(name, value, get_args(kind))
    elif not isinstance(value, (int, float) if plain is float else plain):
        raise ValueError(f"{name}: got {value!r}, expected {plain.__name__}")


def check_at_least(config: object, **least: float) -> None:
    """Raise `ValueError` for a field under its smallest possible value."""
    for name, smallest in least.items():
        if getattr(config, name) < smallest:
            raise ValueError(f"{name}: got {getattr(config, name)}, expected at least {smallest}")


def tuples(value: Any) -> Any:
    """Return a list, and lists in it, as tuples: a file has lists, a frozen configuration tuples."""
    return tuple(map(tuples, value)) if isinstance(value, list) else value
