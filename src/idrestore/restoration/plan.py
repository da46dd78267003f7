"""What is decided about a photo, once, before any of it is restored; each further pass has a plan of its own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor

from idrestore.model import classifiers
from idrestore.model.outputs import Routed
from idrestore.model.refiners.affine import Colours
from idrestore.model.refiners.blur_kernel import REACH, Blur, wiener_filter
from idrestore.model.thumbnail import MULTIPLE
from idrestore.restoration import evidence, pixels, tiling, tone
from idrestore.restoration.engine import Engine, Floats, NotFiniteError
from idrestore.restoration.evidence import Evidence
from idrestore.restoration.pixels import Photo
from idrestore.restoration.request import Request
from idrestore.restoration.rules import Rules, all_blur, largest, mean_shares, raise_share, scale_shares
from idrestore.restoration.tiling import Tile
from idrestore.restoration.tone import Tone

ROUTING_CROPS = 16
"""Largest number of crops from which a large photo's ingredients are decided."""
ROUTING_CROP = 256
"""Side of such a crop, px. Crops are at full resolution: shrinking would erase noise and thin rain."""
THUMBNAIL = 288
"""Side of a square of as many pixels as the thumbnail that the affine refiner sees of a photo, or less."""


class Grid(NamedTuple):
    """How a photo is divided."""

    tiles: Sequence[Tile]
    """What it is restored in"""
    num_crops: int
    """What it is routed by, if it is larger than so many crops and than a tile"""


class Found(NamedTuple):
    """What is known of a photo before anything is decided about it, each as in its `Plan`."""

    grid: Grid
    rows: Tensor
    """(1, M, K)"""
    routed: Routed | None
    lift: float
    """How surely a photo that is not called dark is so in most of its parts, in [0, 1]"""
    seen: Evidence
    """What it says itself"""


@dataclass(frozen=True)
class Plan:
    """All decisions of a pass over a photo; tiles are restored by nothing else."""

    grid: Grid
    found: Tensor
    """(1, M, K): what the routers found, corrected by the rules, or what the user gave"""
    ingredients: Tensor
    """(1, M, K): what is undone, which is what was found as far as the user wants"""
    strength: float
    """How much of the change is kept, in [0, 1]"""
    darkness: float
    """How far it counts as dark, in [0, 1]: highlights are rolled off, and one exposure undone"""
    tone: Tone | None
    """How a dark photo's shadows are lifted by its own tones, in place of all else; None: they are not"""
    hazy: Tensor
    """(1,): how far it counts as what haze made of a scene"""
    colours: Colours | None
    """What the affine refiner changes, over the whole photo; None: nothing"""
    deconvolution: Tensor | None
    """The filter that undoes the photo's blur; None: it has none that could be read"""
    routed: Routed | None = None
    """What the network knows of the photo already, if that is one tile and routed to these very ingredients"""


class Planner(NamedTuple):
    """Makes plans by a network and rules."""

    engine: Engine
    rules: Rules

    def in_turn(self, request: Request) -> tuple[Request, ...]:
        """Return the wishes of one pass after the other, as far as the user tells what is wrong."""
        return request.in_turn(self.engine.names) if self.engine.network.config.taken_off else (request,)

    def first(self, photo: Photo, request: Request, grid: Grid) -> Plan:
        """Decide what is done to a photo of which nothing is known yet."""
        return self.decide(photo, request, self.find(photo, request, grid))

    def find(self, photo: Photo, request: Request, grid: Grid) -> Found:
        """Find what is wrong with a photo, or take the user's word for it; raise `NotFiniteError`."""
        if request.ingredients is not None:
            return Found(grid, request.ingredients.to(self.engine.device), None, 0.0, self._evidence(photo, grid))
        found, routed, seen = self.route(photo, grid)
        found, lift = self._dark(request, found, seen)
        return Found(grid, found, None if lift else routed, lift, seen)

    def decide(self, photo: Photo, request: Request, known: Found) -> Plan:
        """Decide what is done to a photo in which this was found."""
        grid, found, routed, lift, seen = known
        if request.ingredients is not None:
            return self._plan(photo, request, grid, found, request.strength, seen)
        if evidence.why_unjudged(photo):
            strength = 0.0
        else:
            clean = 0.0 if lift else self.shares(found).get("clean", 0.0)
            strength = request.strength * self.rules.kept_change(clean)
        return self._plan(photo, request, grid, found, strength, seen, routed, lift, may_wait=True)

    def next(
        self, before: Photo, after: Photo, plans: Sequence[Plan], request: Request, grid: Grid, may_wait: bool
    ) -> Plan | None:
        """Decide what is done to a restored photo, if something was hidden in it that now shows; None if not.

        `plans` are those by which it was restored; `may_wait` is whether there may be another pass.
        """
        rules, names = self.rules, self.engine.names
        last, undone = plans[-1], largest(self.shares(plans[-1].ingredients))
        found, routed, seen = self.route(after, grid, [largest(self.shares(p.ingredients)) or "clean" for p in plans])
        shares = self.shares(found)
        lift = 0.0
        if (raised := rules.hidden(names, undone, found, seen)) is not found:
            found, routed = raised, None
        elif not rules.needs_second_pass([self.shares(plan.found) for plan in plans], undone, shares, seen):
            found, lift = self._dark(request, found, seen, undone)
            if not lift:
                change = pixels.difference(before.colour, after.colour, before.white)
                if not rules.may_hide_blur(undone, shares, change) or not rules.is_blurring(seen):
                    return None
                found = all_blur(names, found)
            routed = None
        if not request.wants(names.index(next(iter(self.shares(found))))):
            return None
        return self._plan(after, request, grid, found, last.strength, seen, routed, lift, may_wait)

    def after_lift(self, photo: Photo, request: Request, grid: Grid) -> Plan | None:
        """Decide what is done to a photo whose shadows were lifted, which shows their noise; None if it is clean."""
        rest = request.without(self.engine.names, "low_light")
        plan = self.first(photo, rest, grid)
        return plan if plan.strength and next(iter(self.shares(plan.ingredients))) != "clean" else None

    def _dark(self, request: Request, found: Tensor, seen: Evidence, undone: str | None = None) -> tuple[Tensor, float]:
        """Return what is found in a photo that is dark but not called so, and how surely it is; 0: it is not dark.

        `undone` is as in `Rules.lift`.
        """
        names, lift = self.engine.names, self.rules.lift(self.engine.names, found, seen, undone)
        if not lift or not request.wants(names.index("low_light")):
            return found, 0.0
        return raise_share(names, found, "low_light", self.rules.lifted_share), lift

    def shares(self, rows: Tensor) -> dict[str, float]:
        """Return the mean of rows (1, M, K) by name, the largest share first."""
        return mean_shares(self.engine.names, rows)

    def _plan(
        self,
        photo: Photo,
        request: Request,
        grid: Grid,
        found: Tensor,
        strength: float,
        seen: Evidence,
        routed: Routed | None = None,
        lift: float = 0.0,
        may_wait: bool = False,
    ) -> Plan:
        """Decide what follows from what was found."""
        names, rules, network = self.engine.names, self.rules, self.engine.network
        ingredients = found
        if request.factors is not None:
            ingredients = scale_shares(names, found, request.factors)
        how = self._tone(photo, request, found, seen, lift)
        if may_wait and how is None:
            wanted = {name: request.part(names.index(name)) for name in network.config.taken_off}
            ingredients = rules.what_waits(names, ingredients, wanted)
        if rules.is_nothing(names, ingredients):
            strength = 0.0
        darkness = rules.darkness(names, ingredients)
        share = network.share("affine", ingredients[:, -1])
        certainty = rules.affine_certainty(share, network.config.affine_from)
        return Plan(
            grid,
            found,
            ingredients,
            strength,
            darkness,
            how,
            certainty * rules.haziness(names, ingredients),
            self._colours(photo, ingredients, certainty, darkness) if how is None and certainty.any() else None,
            self._deconvolution(ingredients, seen) if how is None else None,
            routed if ingredients is found else None,
        )

    def route(self, photo: Photo, grid: Grid, undone: Sequence[str] = ()) -> tuple[Tensor, Routed | None, Evidence]:
        """Return what is found in a photo, (1, M, K), what to go on from if it is one tile, and what speaks for it.

        What to go on from is None if the routers were corrected. `undone` is as in `Evidence`. Raise `NotFiniteError`.
        """
        seen = self._evidence(photo, grid, undone)
        routed = self.engine.route(seen.crops)
        rows = routed.logits.softmax(dim=2)
        if not rows.isfinite().all():
            raise NotFiniteError
        found = self.rules.corrected(self.engine.names, rows, seen)
        return found, routed if found is rows and len(grid.tiles) == 1 else None, seen

    def _evidence(self, photo: Photo, grid: Grid, undone: Sequence[str] = ()) -> Evidence:
        """Return what can be read from a photo."""

        def look() -> Floats:
            return np.stack([tiling.pad_to_multiple(crop, self.engine.multiple) for crop in self._crops(photo, grid)])

        def read_blur() -> Blur | None:
            is_large_enough = min(photo.colour.shape[:2]) > 2 * REACH
            return self.engine.read_blur(self._crops(photo, grid)) if is_large_enough else None

        def read_haze() -> float | None:
            if is_small:
                return None
            return self.engine.haze(self._thumbnail(photo, classifiers.SIDE).permute(0, 2, 3, 1).numpy())

        def read_rain() -> float | None:
            return None if is_small else self.engine.rain(self._close_up(photo, grid))

        is_small = min(photo.colour.shape[:2]) < evidence.SMALLEST
        return Evidence(photo, look, undone, read_blur, read_haze, read_rain)

    def _crops(self, photo: Photo, grid: Grid) -> Floats:
        """Return from where a photo is judged (N, h, w, 3): the whole of a small one, or crops of a large one."""
        if len(grid.tiles) == 1 or math.prod(photo.colour.shape[:2]) <= grid.num_crops * ROUTING_CROP**2:
            return pixels.scaled(photo.colour[None], photo.white)
        return self._close_up(photo, grid)

    @staticmethod
    def _close_up(photo: Photo, grid: Grid) -> Floats:
        """Return crops of a photo, (N, h, w, 3)."""
        return pixels.scaled(pixels.crops(photo.colour, ROUTING_CROP, ROUTING_CROPS)[: grid.num_crops], photo.white)

    def _colours(self, photo: Photo, ingredients: Tensor, certainty: Tensor, darkness: float) -> Colours | None:
        """Look at a thumbnail of the whole photo for what its brightness and colours need."""
        thumbnail = self._thumbnail(photo, THUMBNAIL).permute(0, 2, 3, 1).numpy()
        seen = pixels.roll_off(thumbnail, darkness, self.rules.highlights)[0]
        return self.engine.colours(seen, ingredients, certainty)

    def _tone(self, photo: Photo, request: Request, found: Tensor, seen: Evidence, lift: float) -> Tone | None:
        """Look at a thumbnail of a photo that is dark most of all for how far its shadows are to be lifted, if so."""
        rules, names = self.rules, self.engine.names
        if next(iter(self.shares(found))) != "low_light":
            return None
        amount = (lift or rules.darkness(names, found)) * request.part(names.index("low_light"))
        has_lights = rules.has_lights(seen)
        if not amount or not (has_lights or lift):
            return None
        limits = rules.lifted(has_lights, request.ingredients is not None)
        return tone.fit(self._thumbnail(photo, THUMBNAIL), *limits, amount)

    def _thumbnail(self, photo: Photo, side: int) -> Tensor:
        """Return a photo at about as many pixels as a square of such a side has, or less, (1, 3, h, w) in [0, 1]."""
        height, width = photo.colour.shape[:2]
        scale = min(1.0, side / math.sqrt(height * width))
        multiple = math.lcm(MULTIPLE, self.engine.multiple)
        size = [max(1, round(length * scale / multiple)) * multiple for length in (height, width)]
        return pixels.thumbnail(photo.colour, photo.white, size)

    def _deconvolution(self, ingredients: Tensor, seen: Evidence) -> Tensor | None:
        """Return the filter that undoes a photo's blur, if it has some that can be read."""
        network, last = self.engine.network, ingredients[:, -1]
        if not self.rules.is_deconvolved(network.share("convolutive", last), network.share("affine", last)):
            return None
        return None if seen.blur is None else wiener_filter(*seen.blur)
