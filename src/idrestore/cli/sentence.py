"""What is said of a photo, in one plain sentence."""

from collections.abc import Mapping

from idrestore.batch import Settings
from idrestore.degradations import DEGRADATIONS, canonical
from idrestore.restoration.rules import Rules

CLEAN = Rules().clean_shares
MOSTLY, SOME, LITTLE = 0.5, 0.15, 0.05
"""Shares from which there is mostly, some, or a little of a degradation; less is not worth a word."""
WORDS = {degradation.name: degradation.words for degradation in DEGRADATIONS}


def sentence(shares: Mapping[str, float], settings: Settings, done: bool = True) -> str:
    """Say what was found in a photo and what became of it, or would if it is not `done`.

    >>> sentence({"haze": 0.8, "noise": 0.12, "clean": 0.08}, Settings())
    'mostly haze, a little noise: removed'
    >>> sentence({"clean": 0.7, "haze": 0.3}, Settings())
    'looks clean, or there is some haze: left as it is; to insist: --haze'
    >>> sentence({"haze": 0.5, "clean": 0.4, "noise": 0.1}, Settings())
    'unsure between clean and haze: a little was removed; to insist: --haze'
    """
    left, removed = ("left as it is", "removed") if done else ("would be left as it is", "would be removed")
    found = {name: share for name, share in shares.items() if name != "clean" and share >= LITTLE}
    if settings.strength == 0:
        return f"{left}, as you say"
    if settings.ingredients is not None:
        return f"{_and(list(found))}, as you say: {_degree(settings)}{removed}" if found else f"{left}, as you say"
    clean = shares.get("clean", 0.0)
    if clean > CLEAN[0]:
        return _in_doubt(found, clean, left, f"a little {'was ' if done else ''}{removed}")
    if not found:
        return f"a little of everything, nothing for sure: {removed}"
    kept = [name for name in found if not _factor(settings, name)]
    if not kept:
        return f"{_amounts(found)}: {_degree(settings)}{removed}"
    gone = [name for name in found if name not in kept]
    rest = f"{_and(gone)} {_degree(settings)}{removed}, " if gone else ""
    return f"{_amounts(found)}: {rest}{_and(kept)} left, as you say"


def _in_doubt(found: Mapping[str, float], clean: float, left: str, removed: str) -> str:
    """Say of a photo that is partly called clean what was done, and how to have more done."""
    likely = next((name for name, share in found.items() if share >= SOME), None)
    if likely is None:
        return f"looks clean: {left}" if clean >= CLEAN[1] else f"looks nearly clean: {removed}"
    cure = f"to insist: --{likely.replace('_', '-')}"
    if clean >= CLEAN[1]:
        return f"looks clean, or there is some {_word(likely)}: {left}; {cure}"
    return f"unsure between clean and {_word(likely)}: {removed}; {cure}"


def _amounts(found: Mapping[str, float]) -> str:
    """Name what was found with how much of it there is."""
    parts = []
    for name, share in found.items():
        amount = "mostly" if share >= MOSTLY else "some" if share >= SOME else "a little"
        parts.append(f"{amount} {_word(name)}")
    return ", ".join(parts)


def _and(names: list[str]) -> str:
    words = [_word(name) for name in names]
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def _word(name: str) -> str:
    return WORDS.get(name, name.replace("_", " "))


def _factor(settings: Settings, name: str) -> float:
    """Return how much of a degradation is to be removed."""
    only, strength = settings.only, settings.strength
    if only is not None and name not in {*only, *map(canonical, only)}:
        return 0.0
    of_each = strength if isinstance(strength, Mapping) else {}
    return next((amount for word, amount in of_each.items() if name in (word, canonical(word))), 1.0)


def _degree(settings: Settings) -> str:
    """Say how far a photo goes on its way, if not to the end."""
    whole = 1.0 if isinstance(settings.strength, Mapping) else settings.strength
    return "" if whole == 1 else f"{whole:.0%} "
