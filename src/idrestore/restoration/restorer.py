"""The product: a degraded photo goes in as an array, and comes out restored with the reasons."""

import copy
import functools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from idrestore.device import Precision
from idrestore.model import checkpoint
from idrestore.model.checkpoint import Model
from idrestore.model.config import PLACEMENTS
from idrestore.model.outputs import NetworkOutput
from idrestore.model.prior_block import Latents
from idrestore.model.refiners import affine
from idrestore.restoration import evidence, finish, halves, memory, pixels, tiling, tone
from idrestore.restoration.engine import Engine, NotFiniteError
from idrestore.restoration.guard import Mask
from idrestore.restoration.pixels import Photo
from idrestore.restoration.plan import ROUTING_CROP, ROUTING_CROPS, THUMBNAIL, Grid, Plan, Planner
from idrestore.restoration.request import Request
from idrestore.restoration.results import Explanation, LatentMaps, Result
from idrestore.restoration.rules import Rules
from idrestore.restoration.tiling import Tile
from idrestore.restoration.tone import Tone

Progress = Callable[[int, int], None]
Look = Callable[[Tile, NetworkOutput], NDArray[np.float32]]
"""Sees a tile and the network's output for it, and returns planes (h, w, C) to be blended over the photo."""

TILE, SMALLEST_TILE = 1088, 256
"""Largest and smallest side that a tile has by default, px: the largest unless memory is short. Four of the largest are
as wide as a photo of twelve megapixels (4032 x 3024)."""
OVERLAP = 96
"""Pixels that neighbouring tiles share, blended by a smooth ramp: twice what a cut reaches into `fast`."""
BAND = 2 * 3 * 4
"""Bytes a pixel of a row of tiles: RGB in floats, and as much for what is unfinished or in between."""
WORK = 1.6
"""Memory that a network's work takes, in multiples of its tensors; seen: up to 1.61 (docs/guide/performance.md)."""
IN_FP32 = "16-bit arithmetic (bf16) gave no numbers: restored in 32-bit"
MOST_PASSES = 3
"""Passes over a photo: noise lies over rain, and rain over haze."""
LEAST_LIFT = 1.05
"""Gain from which lifting shows."""
LIFTED = "dark: its shadows were made up to {:.1f} times as bright"


class Pass(NamedTuple):
    """What a pass over a photo gives, at full strength."""

    image: NDArray[Any]
    """Of the photo's shape and type"""
    planes: NDArray[np.float32] | None
    """(H, W, C): what was looked at"""


class Work(NamedTuple):
    """What restoring a photo gives."""

    result: Result
    plan: Plan
    """Of the first pass"""
    planes: NDArray[np.float32] | None
    """(h, w, C): what was looked at then"""
    times: int
    """How many times as large the photo is as what was worked on"""


class Restorer:
    """A model ready to restore arrays; holds no state between calls, so threads may share it.

    >>> import numpy as np
    >>> load("fast").restore(np.full((32, 48), 0.5), ingredients={"noise": 1.0})
    Result(float64 (32, 48), noise 100%)
    """

    def __init__(
        self,
        model: Model,
        device: str = "auto",
        precision: Precision = "auto",
        tile: int | None = None,
        budget: int | None = None,
        rules: Rules = Rules(),  # noqa: B008 (frozen)
    ) -> None:
        """Place a model on a device: "auto" is CUDA if there is one, else the CPU.

        "auto" precision is bf16 where the processor has bf16 units, else fp32; `arithmetic` then says what it is, and
        which kernels are used. `tile` is the side in pixels above which a photo is worked on in overlapping tiles; by
        default it is `TILE`, halved down to `SMALLEST_TILE` as often as needed to stay within `budget` bytes for the
        whole process, photos and all, or, without a budget, within the memory that is free when a photo is started.
        `rules` are the limits by which is decided what is done to a photo. Raises `ValueError` for settings that
        cannot be.
        """
        self.multiple = model.network.config.size_multiple
        if precision not in get_args(Precision):
            raise ValueError(f"precision: got {precision!r}, expected one of {', '.join(get_args(Precision))}")
        if tile is not None and (tile < SMALLEST_TILE or tile % self.multiple):
            raise ValueError(f"tile: got {tile}, expected a multiple of {self.multiple}, at least {SMALLEST_TILE}")
        if budget is not None and budget <= (taken := memory.resident()):
            raise ValueError(
                f"memory: got {budget / 1e9:.2f}G, expected more than the {taken / 1e9:.2f}G taken already"
            )
        self.model = model
        self.rules = rules
        self.tile = tile or TILE
        self.is_tile_given = tile is not None
        self.budget = budget
        self.sharers = 1  # threads that restore at the same time, and share the memory that is left
        self.routing_crops = ROUTING_CROPS
        self.engine = Engine(model.network, device, precision)
        self.arithmetic = self.engine.arithmetic
        self.names = model.network.config.degradations

    def restore(
        self,
        image: pixels.Picture,
        strength: float | Mapping[str, float] = 1.0,
        only: str | Collection[str] | None = None,
        ingredients: Mapping[str, float] | None = None,
        progress: Progress = lambda done, total: None,
        protect: Mask | None = None,
    ) -> Result:
        """Restore a photo.

        `image` is a file's path, what `idrestore.read` gives, or an array: (H, W), (H, W, 1), (H, W, 3) RGB or
        (H, W, 4) RGBA of uint8, uint16, or floats in [0, 1]; alpha passes through. `progress` is told how many tiles
        are done, and of how many.

        The routers say what is wrong, and `Rules` what follows. What one degradation hid shows once it is gone: then a
        second pass restores the restored photo. And the cure can be steered:

        - `strength`, a number in [0, 1], scales the change of every pixel: 0 returns the photo.
        - `strength`, a mapping such as {"haze": 0.5}, scales the shares of single degradations (others: 1). What they
          lose goes to `clean`: the network does less, and leaves that degradation in the photo.
        - `only` names what to remove, such as {"rain", "haze"} or "rain,haze": a strength of 0 for every other one.
        - `ingredients`, such as {"rain": 0.7, "noise": 0.3}, takes the place of what the routers find; what is missing
          to 1 is `clean`. `strength` and `only` then act on it.
        - `protect`, an (H, W) mask: where it is True, pixels come back exactly as they were, and within `guard.FEATHER`
          pixels around the restored photo fades in.

        Raises `ValueError` for anything else, and `NotFiniteError` if the model gives no numbers.
        """
        photo = Photo.of(image)
        request = self.request(strength, only, ingredients, protect)
        request.check(*photo.colour.shape[:2])
        return self._restore(photo, request, progress).result

    def _restore(self, photo: Photo, request: Request, progress: Progress, look: Look | None = None) -> Work:
        """Restore a photo, in fp32 if bf16 fails, and look at each tile of the first pass, if that is asked for."""
        try:
            return self._work(photo, request, progress, look)
        except NotFiniteError:
            if not self.engine.half:
                raise
        work = self.in_fp32()._work(photo, request, progress, look)
        return work._replace(result=replace(work.result, notes=(*work.result.notes, IN_FP32)))

    def _work(self, photo: Photo, request: Request, progress: Progress, look: Look | None) -> Work:
        first_wish = self._planner.in_turn(request)[0]
        sizes, known = halves.sizes(photo, first_wish, self._planner, self._grid)
        seen, wish = sizes[-1], request if len(sizes) == 1 else request.of_half
        plan = self._planner.decide(seen, first_wish, known)
        planes = None
        if plan.strength or look is not None:
            first, planes = self.run(seen, plan, wish, progress, look)
            plan = replace(plan, routed=None)  # features of a whole tile, of no more use
        else:
            progress(1, 1)
        if plan.strength:
            result = self._finish(seen, first, plan, wish, progress)
        else:
            why = evidence.why_unjudged(seen) if request.ingredients is None else ""
            notes = (why,) if why else ()
            result = Result(seen.array.copy(), self._found([plan], request)[0], None, False, notes, self.arithmetic)
        return Work(halves.at_full_size(sizes, result, request), plan, planes, 2 ** (len(sizes) - 1))

    def find(
        self,
        image: pixels.Picture,
        strength: float | Mapping[str, float] = 1.0,
        only: str | Collection[str] | None = None,
    ) -> dict[str, float]:
        """Return the ingredients that the routers find in a photo, the largest first, without restoring it.

        The arguments are those of `restore`: where they leave darkness in, a photo is dark only if the routers say so.
        """
        photo, request = Photo.of(image), self.request(strength, only)
        try:
            _, known = halves.sizes(photo, request, self._planner, self._grid)
        except NotFiniteError:
            if not self.engine.half:
                raise
            _, known = halves.sizes(photo, request, (fp32 := self.in_fp32())._planner, fp32._grid)
        return self._planner.shares(known.rows)

    def explain(
        self, image: pixels.Picture, progress: Progress = lambda done, total: None, protect: Mask | None = None
    ) -> Explanation:
        """Restore a photo and tell what was found, by which router, where, and the latent pictures behind it.

        The arguments are those of `restore`.
        """
        strongest: tuple[float, Tile, list[Latents]] | None = None

        def look(tile: Tile, output: NetworkOutput) -> NDArray[np.float32]:
            nonlocal strongest
            size = output.restored.shape[-2:]
            maps = [block.degradation.float().square().mean(dim=1, keepdim=True).sqrt() for block in output.latents]
            planes = torch.cat([F.interpolate(each, size, mode="bilinear") for each in maps], dim=1)[0]
            mean = float(planes.mean())
            if strongest is None or not mean <= strongest[0]:  # nor NaN, in bf16
                strongest = (mean, tile, output.latents)
            return planes.permute(1, 2, 0).cpu().numpy()

        photo, request = Photo.of(image), self.request(protect=protect)
        height, width = photo.colour.shape[:2]
        request.check(height, width)
        work = self._restore(photo, request, progress, look)
        assert strongest is not None and work.planes is not None
        _, tile, latents = strongest
        levels = PLACEMENTS[self.model.network.config.placement]
        heat = work.planes.repeat(work.times, axis=0).repeat(work.times, axis=1)[:height, :width]
        rows, columns = (
            slice(work.times * part.start, min(work.times * part.stop, length))
            for part, length in ((tile.rows, height), (tile.columns, width))
        )
        arrays = [LatentMaps(*(each[0].float().cpu().numpy() for each in block)) for block in latents]
        found = work.plan.found
        return Explanation(
            work.result,
            {level: self._planner.shares(found[:, index : index + 1]) for index, level in enumerate(levels)},
            {level: heat[..., index] for index, level in enumerate(levels)},
            dict(zip(levels, arrays, strict=True)),
            (rows, columns),
        )

    def request(
        self,
        strength: float | Mapping[str, float] = 1.0,
        only: str | Collection[str] | None = None,
        ingredients: Mapping[str, float] | None = None,
        protect: Mask | None = None,
    ) -> Request:
        """Turn what the user wishes into numbers, as `restore` does; raise `ValueError` for what cannot be."""
        return Request.of(self.names, self.model.network.config.num_rows, strength, only, ingredients, protect)

    def run(
        self,
        photo: Photo,
        plan: Plan,
        request: Request,
        progress: Progress = lambda done, total: None,
        look: Look | None = None,
    ) -> Pass:
        """Restore a photo in one pass, at full strength, tile by tile."""
        restored = np.empty(photo.colour.shape, photo.array.dtype)
        planes: list[NDArray[np.float32]] = []
        done = 0

        def work(tile: Tile) -> NDArray[np.float32]:
            nonlocal done
            if plan.tone is None or look is not None:
                changed, output = self._restore_tile(photo, tile, plan, look is not None)
            if plan.tone is not None:
                changed = self._lift_tile(photo, tile, plan.tone)
            done += 1
            progress(done, len(plan.grid.tiles))
            return changed if look is None else np.concatenate([changed, _crop(look(tile, output), tile)], axis=2)

        top = 0
        for band in tiling.blend(plan.grid.tiles, work):
            rows = slice(top, top + len(band))
            restored[rows] = finish.to_values(band[..., :3], photo, request, rows)
            if look is not None:
                planes.append(band[..., 3:].copy())
            top += len(band)
            del band  # a row of tiles in floats is large: let go before the next is made
        whole = finish.whole(restored, photo, request)
        return Pass(whole, None if look is None else np.concatenate(planes))

    def _restore_tile(
        self, photo: Photo, tile: Tile, plan: Plan, looked_at: bool
    ) -> tuple[NDArray[np.float32], NetworkOutput]:
        """Restore a tile, (h, w, 3), by a plan alone; raise `NotFiniteError`.

        One to be looked at goes through the meta-prior blocks even if it is restored without them.
        """
        patch = pixels.scaled(photo.colour[tile.rows, tile.columns], photo.white)
        padded = tiling.pad_to_multiple(patch, self.multiple)[None]
        seen, taken = pixels.roll_off(padded, plan.darkness, self.rules.highlights)
        routed = plan.routed if seen is padded else None
        if looked_at and routed is None:
            routed = self.engine.route(seen, plan.ingredients)
        output = self.engine.restore(seen, plan.ingredients, plan.deconvolution, routed)
        restored = output.restored
        if plan.colours is not None:
            place = photo.colour.shape[:2], (tile.rows.start, tile.columns.start)
            photos = self.engine.placed(seen)
            dark = plan.hazy.new_full((1,), plan.darkness)
            restored = affine.refine(photos, restored, plan.colours, plan.hazy, dark, *place)
        changed = restored[0].permute(1, 2, 0).float().cpu().numpy()
        if not np.isfinite(changed).all():
            raise NotFiniteError
        if seen is not padded:  # what is light stays light
            changed += np.square(taken[0]) * (padded[0] - changed)
        return _crop(changed, tile), output

    @staticmethod
    def _lift_tile(photo: Photo, tile: Tile, how: Tone) -> NDArray[np.float32]:
        """Lift the shadows of a tile, (h, w, 3)."""
        patch = pixels.scaled(photo.colour[tile.rows, tile.columns], photo.white)
        place = photo.colour.shape[:2], (tile.rows.start, tile.columns.start)
        lifted = tone.lift(torch.from_numpy(patch).permute(2, 0, 1)[None], how, *place)
        return lifted[0].permute(1, 2, 0).numpy()

    def _finish(self, photo: Photo, first: NDArray[Any], plan: Plan, request: Request, progress: Progress) -> Result:
        """Take further passes if something was hidden, and keep as much of the change as the plan says."""
        image, plans = first, [plan]
        while (following := self._next(photo, after := Photo.of(image), plans, request)) is not None:
            told = functools.partial(_after, len(plans), progress)
            before, image = image, self.run(after, following, request, told).image
            if any(each.tone is not None for each in plans):
                pixels.blend(image, before, following.strength)
            plans.append(following)
        pixels.blend(image, photo.array, plans[0].strength)
        is_changed = not pixels.is_equal(image, photo.array)
        tones = [each.tone for each in plans if each.tone is not None]
        notes = tuple(LIFTED.format(each.gain) for each in tones if each.gain >= LEAST_LIFT)
        found, *again = self._found(plans, request)
        return Result(image, found, again[0] if again else None, is_changed, notes, self.arithmetic)

    def _next(self, photo: Photo, after: Photo, plans: list[Plan], request: Request) -> Plan | None:
        """Return the plan of the next pass over what the passes so far made of a photo; None if it is done."""
        if len(plans) == MOST_PASSES:
            return None
        planner, last = self._planner, plans[-1]
        turns = planner.in_turn(request)
        if last.tone is not None:
            return planner.after_lift(after, turns[min(len(plans), len(turns)) - 1], self._grid(after))
        if len(plans) < len(turns):
            return planner.first(after, turns[len(plans)], self._grid(after))
        if request.ingredients is not None or not self.rules.may_hide_something(planner.shares(last.found), photo):
            return None
        return planner.next(photo, after, plans, request, self._grid(after), may_wait=len(plans) + 1 < MOST_PASSES)

    @property
    def _planner(self) -> Planner:
        return Planner(self.engine, self.rules)

    def _found(self, plans: Sequence[Plan], request: Request) -> list[dict[str, float]]:
        """Return what was found in each pass, the largest share first, or, in one, what the user told."""
        told = request.ingredients
        return [self._planner.shares(rows) for rows in ([plan.found for plan in plans] if told is None else [told])]

    def _grid(self, photo: Photo) -> Grid:
        """Divide a photo as the memory that is left allows."""
        fitting = self.fitting(photo.array)
        height, width = photo.colour.shape[:2]
        tiles = tiling.fitted_tiles(height, width, fitting.tile, OVERLAP, self.multiple)
        return Grid(tiles, fitting.routing_crops)

    def in_fp32(self) -> "Restorer":
        """Return the same in fp32."""
        twin = copy.copy(self)
        vars(twin).pop("_bytes_per_pixel", None)  # twice as many
        twin.engine = self.engine.exact
        twin.arithmetic = twin.engine.arithmetic
        return twin

    def smaller(self) -> "Restorer | None":
        """Return the same at half the tile, which needs about a quarter of the memory; None if there is no smaller."""
        tile = self.tile // 2 // self.multiple * self.multiple
        if tile < SMALLEST_TILE:
            return None
        twin = copy.copy(self)
        twin.tile, twin.routing_crops = tile, max(1, self.routing_crops // 4)
        return twin

    def fitting(self, image: NDArray[Any]) -> "Restorer":
        """Return the same at the largest tile for which memory suffices, or the smallest; a given tile stays."""
        used = self
        if not self.is_tile_given:
            left = memory.left(self.engine.device, self.budget) // self.sharers
            if self.engine.device.type == "cpu":
                left -= image.nbytes  # the result
            while used._work_bytes(image) > left and (smaller := used.smaller()):
                used = smaller
        return used

    def _work_bytes(self, image: NDArray[Any]) -> int:
        """Return the bytes that restoring takes beside the photo and its result."""
        area = math.prod(min(length, self.tile) for length in image.shape[:2])
        beside = max(self.routing_crops * ROUTING_CROP**2, THUMBNAIL**2)
        area = max(area, min(math.prod(image.shape[:2]), beside))
        band = BAND * min(image.shape[0], self.tile) * image.shape[1]
        return int(area * WORK * self._bytes_per_pixel) + band

    @functools.cached_property
    def _bytes_per_pixel(self) -> float:
        """Bytes of tensors that the network needs for a pixel more: measured, whatever its configuration.

        All of it works where there is something of everything, and noise is most of it.
        """
        sides = 8 * self.multiple, 12 * self.multiple
        amounts = torch.tensor([2.0 * len(self.names) if name == "noise" else 1.0 for name in self.names])
        ingredients = (amounts / amounts.sum()).to(self.engine.device)
        rows = ingredients.expand(1, self.model.network.config.num_rows, -1)

        def work(side: int) -> None:
            self.engine.restore(np.zeros((1, side, side, 3), np.float32), rows)

        small, large = (memory.peak_of(functools.partial(work, side)) for side in sides)
        return (large - small) / (sides[1] ** 2 - sides[0] ** 2)


def _after(passes: int, progress: Progress, done: int, total: int) -> None:
    """Tell how many tiles are done in a pass that comes after others."""
    progress(passes * total + done, (passes + 1) * total)


def _crop(array: NDArray[np.float32], tile: Tile) -> NDArray[np.float32]:
    """Return what of a padded tile is the tile."""
    cropped: NDArray[np.float32] = tiling.crop(array, *tile.shape)
    return cropped


def load(
    model: str | Path = "fast",
    device: str = "auto",
    precision: Precision = "auto",
    tile: int | None = None,
    budget: int | None = None,
) -> Restorer:
    """Load a shipped model by name, or a model file by path; raise `CheckpointError` if it cannot be used.

    The rest is for `Restorer`.

    >>> load("fast").names
    ('noise', 'rain', 'haze', 'blur', 'low_light', 'clean')
    """
    return Restorer(checkpoint.load(model), device, precision, tile, budget)
