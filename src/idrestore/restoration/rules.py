"""What a user wishes of a restoration, in numbers, and when to restore in turn what hid behind something else."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from idrestore.degradations import canonical
from idrestore.restoration import pixels

SURE = 0.5
"""Looked at again, a photo is restored in turn if one degradation has at least this share."""
EVIDENCE = (0.07, 0.15), (0.14, 0.2)
"""And if the product of its shares, before and after, is at least the one, and `clean` at most the other of a pair."""
BLUR_EVIDENCE = (0.025, 0.15), (0.04, 0.25)
"""The same for blur, of which noise lets less be seen; behind anything but noise it is not looked for."""
HIDING = 6 / 255
"""Nor behind noise whose removal changed the photo by less (root mean square): blur behind it would have been seen."""
KERNEL, LEAST = 0.3, 0.3
"""With a kernel view, blur was hidden if the kernel read from what noise left is flatter than the one (the sum of its
squares, 1 if it does not blur), and the routers give blur at least the other share."""

GRAIN = 0.4, 0.8
"""Grain (`pixels.grain`) from which a photo is less blurred than it seems, and from which it is not blurred at all."""
LITTLE = 0.1
"""Share of blur under which that does not matter."""
DARK = 0.3, 0.5
"""Shares of low light up to which a photo's highlights stay as they are, and from which they are rolled off."""


class Steering(NamedTuple):
    """A wish; the default leaves everything to the model."""

    strength: float = 1.0
    """Factor on the change of every pixel"""
    factors: Tensor | None = None
    """(K,) factors on the shares of the degradations"""
    ingredients: Tensor | None = None
    """(1, 1, K) in place of the routers' decision, or (1, M, K), each block's own"""


def steer(
    names: Sequence[str],
    strength: float | Mapping[str, float],
    only: str | Collection[str] | None,
    ingredients: Mapping[str, float] | None,
) -> Steering:
    """Turn the wishes of `Restorer.restore` into numbers, for a model of degradations `names`; raise `ValueError`.

    Names may be any words of `degradations.DEGRADATIONS`, and `only` one text of them with commas.
    """
    of_each = _known(names, strength) if isinstance(strength, Mapping) else {}
    only = only.split(",") if isinstance(only, str) else only
    only = None if only is None else set(_known(names, dict.fromkeys(only, 1.0)))
    ingredients = None if ingredients is None else _known(names, ingredients)
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
    if (of_each or total < 1 - 1e-6) and "clean" not in names:
        wish = "ingredients" if total < 1 - 1e-6 else "strength" if only is None else "only"
        raise ValueError(f"{wish}: this model knows no clean photos, so no share can be taken away")
    factors = torch.tensor([of_each.get(name, 1.0) for name in names]) if of_each else None
    if ingredients is None:
        return Steering(overall, factors)
    if total > 1 + 1e-6:
        raise ValueError(f"ingredients: got a sum of {total:g}, expected at most 1")
    row = torch.tensor([ingredients.get(name, 0.0) for name in names])
    return Steering(overall, factors, weaken(names, row.expand(1, 1, -1), torch.ones(len(names))))


def weaken(names: Sequence[str], rows: Tensor, factors: Tensor, heir: str = "clean") -> Tensor:
    """Scale the shares in rows (1, M, K) by factors (K,), and give what is missing to 1 to `clean`, or another."""
    kept = rows * factors.to(rows.device)
    return kept + (1 - kept.sum(dim=2, keepdim=True)) * _one_hot(names, heir).to(rows.device)


def all_blur(names: Sequence[str], rows: Tensor) -> Tensor:
    """Take for blur all that is not called clean in rows (1, M, K)."""
    return weaken(names, rows, _one_hot(names, "clean"), "blur")


def _known(names: Sequence[str], values: Mapping[str, float]) -> dict[str, float]:
    """Return values by the model's names of degradations, whichever words they came with."""
    return {name if name in names else canonical(name): value for name, value in values.items()}


def _one_hot(names: Sequence[str], name: str) -> Tensor:
    """Return 1 for one name and 0 for all others, (K,)."""
    return torch.tensor([float(each == name) for each in names])


def _check(names: Sequence[str], what: str, values: Mapping[str, float]) -> None:
    """Raise `ValueError` for names that the model does not know, and for values outside [0, 1]."""
    if unknown := set(values) - set(names):
        raise ValueError(f"{what}: got {', '.join(sorted(unknown))}, expected some of {', '.join(names)}")
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{what}: got {value} for {name}, expected 0 to 1")


def ramp(value: float, limits: tuple[float, float]) -> float:
    """Return how far a value is on its way from one limit, where that is 0, to the other, where it is 1."""
    start, end = limits
    return min(max((value - start) / (end - start), 0.0), 1.0)


def mistrust_blur(names: Sequence[str], rows: Tensor, photo: NDArray[np.float32]) -> Tensor:
    """Give the share of blur in rows (1, M, K) to noise, as far as a photo's grain speaks against blur.

    The photo is given as crops (B, h, w, 3). Blur takes the finest detail first. Where all of a photo has some, it is
    noise, which deblurring would sharpen. Rows of which nothing changes are returned themselves.
    """
    if not {"noise", "blur"} <= set(names):
        return rows
    noise, blur = names.index("noise"), names.index("blur")
    if float(rows[..., blur].mean()) < LITTLE:
        return rows
    part = ramp(pixels.grain(photo), GRAIN)
    if not part:
        return rows
    moved, corrected = part * rows[..., blur], rows.clone()
    corrected[..., noise] += moved
    corrected[..., blur] -= moved
    return corrected


def darkness(names: Sequence[str], rows: Tensor) -> float:
    """Return how far a photo of ingredients (1, M, K) counts as dark, in [0, 1]."""
    share = float(rows[..., names.index("low_light")].mean()) if "low_light" in names else 0.0
    return ramp(share, DARK)


def hides_blur(before: Mapping[str, float], taken: float) -> bool:
    """Tell whether what was removed, as `was_hidden` has it, is what blur hides behind: strong noise."""
    return _largest(before) == "noise" and taken >= HIDING


def kernel_decides(before: Mapping[str, float], after: Mapping[str, float], taken: float) -> bool:
    """Tell whether a photo's kernel, if it can be read, is to say if blur was hidden; arguments as in `was_hidden`."""
    return hides_blur(before, taken) and after.get("blur", 0.0) >= LEAST and after.get("clean", 0.0) <= SURE


def was_hidden(before: Mapping[str, float], after: Mapping[str, float], taken: float = 0.0) -> bool:
    """Tell from what was found, before and after restoring, the largest first, if a photo is to be restored in turn.

    `taken` is by how much restoring changed it, as `HIDING` has it.
    """
    name, share = next(iter(after.items()))
    if share < SURE or name in (_largest(before), "clean") or (name == "blur" and not hides_blur(before, taken)):
        return False
    clean = after.get("clean", 0.0)
    evidence = BLUR_EVIDENCE if name == "blur" else EVIDENCE
    return any(share * before[name] >= product and clean <= doubt for product, doubt in evidence)


def _largest(found: Mapping[str, float]) -> str | None:
    """Return the first degradation of those found, the largest first, that is one."""
    return next((name for name in found if name != "clean"), None)
