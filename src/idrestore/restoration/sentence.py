"""What is said of a photo, in one plain sentence: by the command, in explanations, by the service and on its page."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from idrestore.degradations import DEGRADATIONS, canonical
from idrestore.restoration.rules import Rules

CLEAN = Rules().clean_shares
MOSTLY, SOME, LITTLE = 0.5, 0.15, 0.05
"""Shares from which there is mostly, some, or a little of a degradation; less is not worth a word."""
PHRASES: dict[str, dict[str, str]] = json.loads(
    (Path(__file__).parents[1] / "templates/sentences.json").read_text("utf-8")
)
"""By language."""
WORDS = {degradation.name: degradation.words for degradation in DEGRADATIONS}


def sentence(
    shares: Mapping[str, float],
    strength: float | Mapping[str, float] = 1.0,
    only: Collection[str] | None = None,
    ingredients: Mapping[str, float] | None = None,
    *,
    named: Collection[str] | None = None,
    done: bool = True,
    changed: bool = True,
    language: str = "en",
) -> str:
    """Say what was found in a photo, and what became of it, or would if it is not `done`.

    `strength`, `only` and `ingredients` are what was asked for, as `Restorer.restore` takes it; of the ingredients, the
    user `named` these (None: all), and the rest was found. `changed` is whether any pixel was.

    >>> sentence({"haze": 0.8, "noise": 0.12, "clean": 0.08})
    'mostly haze, a little noise: removed'
    >>> sentence({"clean": 0.7, "haze": 0.3})
    'looks clean, or there is some haze: left as it is'
    >>> sentence({"haze": 0.5, "clean": 0.4, "noise": 0.1})
    'unsure between clean and haze: a little was removed'
    """
    say = _Speaker(language, done, changed)
    found = _found(shares)
    whole = 1.0 if isinstance(strength, Mapping) else strength
    if not whole or (ingredients is not None and not found):
        return say("told", what=say.outcome("left"))
    if ingredients is not None:
        told = [name for name in found if named is None or name in named]
        rest = {name: share for name, share in found.items() if name not in told}
        parts = [say("told", what=say.names(told))] if told else []
        return f"{', '.join([*parts, *_amounts(say, rest)])}: {say.removed(whole)}"
    if (clean := shares.get("clean", 0.0)) > CLEAN[0]:
        return f"{_doubt(say, shares)}: {say.outcome('left' if clean >= CLEAN[1] or not changed else 'partly')}"
    if not found:
        return f"{say('vague')}: {say.removed(whole)}"
    amounts = ", ".join(_amounts(say, found))
    kept = [name for name in found if not _factor(name, strength, only)]
    if not kept:
        return f"{amounts}: {say.removed(whole)}"
    gone = [name for name in found if name not in kept]
    left = say("kept", names=say.names(kept))
    return f"{amounts}: {say.names(gone)} {say.removed(whole)}, {left}" if gone else f"{amounts}: {left}"


def unsure(shares: Mapping[str, float], ingredients: Mapping[str, float] | None = None) -> str | None:
    """Return the degradation of which the model is not sure whether it is there: to have it removed, insist on it.

    >>> unsure({"clean": 0.7, "haze": 0.3}), unsure({"haze": 0.9, "clean": 0.1})
    ('haze', None)
    """
    if ingredients is not None or shares.get("clean", 0.0) <= CLEAN[0]:
        return None
    return next((name for name, share in _found(shares).items() if share >= SOME), None)


def name_of(degradation: str, language: str = "en") -> str:
    """Return what a degradation is called in a sentence.

    >>> name_of("low_light"), name_of("rain", "de")
    ('low light', 'Regen')
    """
    return PHRASES[language].get(degradation) or WORDS.get(degradation, degradation.replace("_", " "))


class _Speaker:
    """Speaks one language, of what was done or would be."""

    def __init__(self, language: str, done: bool, changed: bool) -> None:
        self.language = language
        self.done = done
        self.changed = changed

    def __call__(self, key: str, **values: object) -> str:
        return PHRASES[self.language][key].format(**values)

    def names(self, degradations: Collection[str]) -> str:
        *names, last = (name_of(each, self.language) for each in degradations)
        return self("and", names=", ".join(names), last=last) if names else last

    def outcome(self, key: str, **values: object) -> str:
        return self(key if self.done else f"would_{key}", **values)

    def removed(self, strength: float) -> str:
        if not self.changed:
            return self.outcome("left")
        return self.outcome("removed") if strength == 1 else self.outcome("in_part", percent=round(100 * strength))


def _found(shares: Mapping[str, float]) -> dict[str, float]:
    """Return what is worth a word, the largest first."""
    ranked = sorted(shares.items(), key=lambda each: -each[1])
    return {name: share for name, share in ranked if name != "clean" and share >= LITTLE}


def _amounts(say: _Speaker, found: Mapping[str, float]) -> list[str]:
    """Name what was found with how much of it there is."""
    words = {
        name: "mostly" if share >= MOSTLY else "some" if share >= SOME else "little" for name, share in found.items()
    }
    return [say(word, name=name_of(name, say.language)) for name, word in words.items()]


def _doubt(say: _Speaker, shares: Mapping[str, float]) -> str:
    """Say of a photo that is partly called clean what it looks like."""
    likely, is_clean = unsure(shares), shares["clean"] >= CLEAN[1]
    if likely is None:
        return say("clean_photo" if is_clean else "nearly_clean")
    return say("perhaps" if is_clean else "unsure", name=name_of(likely, say.language))


def _factor(name: str, strength: float | Mapping[str, float], only: Collection[str] | None) -> float:
    """Return how much of a degradation is to be removed."""
    if only is not None and name not in {*only, *map(canonical, only)}:
        return 0.0
    of_each = strength if isinstance(strength, Mapping) else {}
    return next((amount for word, amount in of_each.items() if name in (word, canonical(word))), 1.0)
