"""What restoring a photo gives: the photo, what was found in it, and how it came about."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from idrestore.degradations import percentages
from idrestore.device import Arithmetic


@dataclass(frozen=True, repr=False)
class Result:
    """A restored photo and what was found in the degraded one.

    >>> Result(np.zeros((2, 3, 3), np.uint8), {"haze": 0.9, "clean": 0.1})
    Result(uint8 (2, 3, 3), haze 90%, clean 10%)
    """

    image: NDArray[Any]
    """Same shape and dtype as what came in"""
    ingredients: dict[str, float]
    """Share of each degradation, the largest first; they sum to 1"""
    again: dict[str, float] | None = None
    """Shares in what the first pass left, if there was a second pass"""
    changed: bool = True
    """Whether any pixel is another than before"""
    notes: tuple[str, ...] = ()
    """What did not go as usual, for people"""
    arithmetic: Arithmetic | None = None
    """Where, in which precision and by which kernels the network computed"""

    def __repr__(self) -> str:
        """Say what it is; pixels would fill pages."""
        return f"Result({self.image.dtype} {self.image.shape}, {percentages(self.ingredients)})"


class LatentMaps(NamedTuple):
    """What one meta-prior block made of a photo, or of a part of it (supplement, Fig. 2); (C, h, w) each."""

    features: NDArray[np.float32]
    """F: what entered the block"""
    degradation: NDArray[np.float32]
    """h_p: the prior-oriented degradation representation"""
    pseudo_clean: NDArray[np.float32]
    """x': what left the block"""


@dataclass(frozen=True)
class Explanation:
    """A restored photo, and how it came about; dictionaries run over the meta-prior blocks, by their level."""

    result: Result
    routers: dict[str, dict[str, float]]
    """Each router's own shares"""
    heat: dict[str, NDArray[np.float32]]
    """Where the degradation is: root mean square of h_p over its channels, (H, W), at the photo's size"""
    latents: dict[str, LatentMaps]
    """F, h_p and x' of `region`, as fine as the level is"""
    region: tuple[slice, slice]
    """Rows and columns of the photo that `latents` show: all, or the tile of largest h_p if there are several"""
