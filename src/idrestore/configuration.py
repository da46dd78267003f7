"""How settings are checked and errors are said, so that the same mistake reads the same wherever it is made."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args, get_origin


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that was most probably meant.

    >>> nearest("sede", ["steps", "seed"])
    'seed'
    """
    return difflib.get_close_matches(name, list(known), n=1, cutoff=0)[0]


def one_line(error: Exception) -> str:
    """Return what an error says, or at least what it is, in one line.

    >>> one_line(ValueError("two\\nlines")), one_line(MemoryError())
    ('two lines', 'MemoryError')
    """
    return " ".join(str(error).split()) or type(error).__name__


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

    Of types such as `tuple[str, ...]` and `Mapping[str, float]`, all entries are looked at.
    """
    if get_origin(kind) is Literal:
        check_one_of(name, value, get_args(kind))
    elif not _fits(value, kind):
        raise ValueError(f"{name}: got {value!r}, expected {_described(kind)}")


def _fits(value: Any, kind: Any) -> bool:
    """Tell whether a value, and all entries in it, are of a type."""
    plain, inner = get_origin(kind) or kind, get_args(kind)
    if plain is Literal:
        return value in inner
    if plain in (int, float):
        return isinstance(value, int | plain) and not isinstance(value, bool)
    if not isinstance(value, plain):
        return False
    if plain is tuple:
        kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return len(value) == len(kinds) and all(map(_fits, value, kinds))
    return plain is not Mapping or all(_fits(each, inner[1]) for each in value.values())


WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def _described(kind: Any) -> str:
    """Say in words what a type's values look like.

    >>> _described(tuple[float, ...]), _described(tuple[str, int])
    ('[a number, ...]', '[a text, a whole number]')
    """
    plain, inner = get_origin(kind) or kind, get_args(kind)
    if plain is Literal:
        return f"one of {inner}"
    if plain is tuple:
        return f"[{', '.join('...' if each is Ellipsis else _described(each) for each in inner)}]"
    return f"{{ NAME = {_described(inner[1])}, ... }}" if plain is Mapping else WORDS.get(plain, "a table")


def check_at_least(config: object, **least: float) -> None:
    """Raise `ValueError` for a field under its smallest possible value, of several numbers for any."""
    for name, smallest in least.items():
        value = getattr(config, name)
        if not all(number >= smallest for number in _numbers(value)):
            raise ValueError(f"{name}: got {value}, expected at least {smallest}")


def check_shares(config: object, *names: str) -> None:
    """Raise `ValueError` for a field that is no number from 0 to 1."""
    for name in names:
        if not 0 <= getattr(config, name) <= 1:
            raise ValueError(f"{name}: got {getattr(config, name)}, expected a number from 0 to 1")


def _numbers(value: Any) -> Iterable[float]:
    """Return the numbers in a field."""
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, tuple) else (value,)


def tuples(value: Any) -> Any:
    """Return a list, and lists in it, as tuples: a file has lists, a frozen configuration tuples."""
    return tuple(map(tuples, value)) if isinstance(value, list) else value
