"""What a user wishes of a restoration, as numbers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from idrestore.degradations import canonical, check_known
from idrestore.restoration.guard import Mask
from idrestore.restoration.rules import one_hot, scale_shares


@dataclass(frozen=True)
class Request:
    """A wish; the default leaves everything to the model."""

    strength: float = 1.0
    """Factor on the change of every pixel"""
    factors: Tensor | None = None
    """(K,) factors on the shares of the degradations"""
    ingredients: Tensor | None = None
    """(1, M, K) in place of what the routers find"""
    protect: Mask | None = None
    """(H, W): where it is True, pixels come back as they were"""

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        num_rows: int = 1,
        strength: float | Mapping[str, float] = 1.0,
        only: str | Collection[str] | None = None,
        ingredients: Mapping[str, float] | None = None,
        protect: Mask | None = None,
    ) -> Self:
        """Turn the wishes of `Restorer.restore` into numbers, for M rows of the degradations `names` of a model.

        Names may be any words of `degradations.DEGRADATIONS`, and `only` one text of them with commas. Raise
        `ValueError` for what cannot be.
        """
        of_each = _known(names, "strength", strength) if isinstance(strength, Mapping) else {}
        only = only.split(",") if isinstance(only, str) else only
        only = None if only is None else set(_known(names, "only", dict.fromkeys(only, 1.0)))
        ingredients = None if ingredients is None else _known(names, "ingredients", ingredients)
        overall = 1.0 if isinstance(strength, Mapping) else strength
        if not 0 <= overall <= 1:
            raise ValueError(f"strength: got {overall}, expected 0 to 1")
        _check(names, "strength", of_each)
        if only is not None:
            _check(names, "only", dict.fromkeys(only, 1.0) if only else {"nothing": 1.0})
            of_each = {name: of_each.get(name, 1.0) if name in only else 0.0 for name in names}
        if ingredients is not None:
            _check(names, "ingredients", ingredients)
        total = 1.0 if ingredients is None else sum(ingredients.values())
        if total > 1 + 1e-6:
            raise ValueError(f"ingredients: got a sum of {total:g}, expected at most 1")
        if (of_each or total < 1 - 1e-6) and "clean" not in names:
            wish = "ingredients" if total < 1 - 1e-6 else "strength" if only is None else "only"
            raise ValueError(f"{wish}: this model was trained without clean photos, so nothing can be left in a photo")
        factors = torch.tensor([of_each.get(name, 1.0) for name in names]) if of_each else None
        rows = None
        if ingredients is not None:
            row = torch.tensor([ingredients.get(name, 0.0) for name in names])
            rows = scale_shares(names, row.expand(1, num_rows, -1), torch.ones(len(names)))
        return cls(overall, factors, rows, protect)

    @property
    def of_half(self) -> Self:
        """The wish for a photo of another size, at which nothing is protected yet."""
        return replace(self, protect=None)

    def without(self, names: Sequence[str], name: str) -> Self:
        """Return the wish for a photo from which a degradation, one of a model's `names`, is gone, in full strength."""
        kept = torch.tensor([float(each != name) for each in names])
        rows = None if self.ingredients is None else scale_shares(names, self.ingredients, kept)
        factors = kept if self.factors is None else self.factors * kept
        return replace(self, strength=1.0, factors=factors, ingredients=rows)

    def in_turn(self, names: Sequence[str]) -> "tuple[Request, ...]":
        """Return the wishes of one pass after the other: what was told, noise first, then rain, then all else."""
        wish, turns = self, []
        for first in ("noise", "rain"):
            if (split := wish._split(names, first)) is not None:
                alone, wish = split
                turns.append(alone)
        return (*turns, wish)

    def _split(self, names: Sequence[str], first: str) -> "tuple[Request, Request] | None":
        """Return the wishes for one degradation that was told, and for all others; None if there is no other.

        As much is left as was told to be `clean`.
        """
        if self.ingredients is None or first not in names:
            return None
        told = self.ingredients.mean(dim=(0, 1))
        wanted = told if self.factors is None else told * self.factors
        behind = set(names) - {first, "clean"}
        if not wanted[names.index(first)] or not any(wanted[names.index(name)] for name in behind):
            return None
        alone, clean = one_hot(names, first), one_hot(names, "clean")
        rest = dict(zip(names, (told * (1 - alone - clean)).tolist(), strict=True))
        return (
            replace(self, ingredients=scale_shares(names, self.ingredients, alone + clean, first)),
            replace(self, strength=1.0, ingredients=scale_shares(names, self.ingredients, 1 - alone, rest)),
        )

    def wants(self, degradation: int) -> bool:
        """Tell whether a degradation, by its number, is to be undone if it is found."""
        return self.part(degradation) > 0

    def part(self, degradation: int) -> float:
        """Return how much of a degradation, by its number, is to be undone."""
        return 1.0 if self.factors is None else float(self.factors[degradation])

    def check(self, height: int, width: int) -> None:
        """Raise `ValueError` for a mask that is not that of a photo of such a size."""
        mask = self.protect
        if mask is not None and (mask.shape != (height, width) or mask.dtype != np.bool_):
            raise ValueError(f"protect: got {mask.dtype} {mask.shape}, expected bool {(height, width)}")


def _known(names: Sequence[str], what: str, values: Mapping[str, float]) -> dict[str, float]:
    """Return values by the model's names of degradations, whichever words they came with.

    Raise `ValueError` for two words for one degradation that say different things.
    """
    known: dict[str, float] = {}
    for word, value in values.items():
        name = word if word in names else canonical(word)
        if known.setdefault(name, value) != value:
            raise ValueError(f"{what}: got {known[name]} and {value} for {name}, expected one number")
    return known


def _check(names: Sequence[str], what: str, values: Mapping[str, float]) -> None:
    """Raise `ValueError` for names that the model does not know, and for values outside [0, 1]."""
    check_known(names, what, values)
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{what}: got {value} for {name}, expected 0 to 1")
