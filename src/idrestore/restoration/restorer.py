"""The product: a degraded photo goes in as an array, and comes out restored with the reasons."""

import copy
import functools
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from idrestore.device import Precision
from idrestore.model import checkpoint
from idrestore.model.checkpoint import Model
from idrestore.model.config import PLACEMENTS
from idrestore.model.inference import arithmetic, prepare
from idrestore.model.network import NetworkOutput
from idrestore.model.prior_block import Latents
from idrestore.model.refiners.affine import MULTIPLE, toned
from idrestore.model.refiners.blur_kernel import REACH, Blur, inverse
from idrestore.restoration import guard, memory, pixels, tiling
from idrestore.restoration.guard import Mask
from idrestore.restoration.results import Explanation, LatentMaps, Result
from idrestore.restoration.rules import (
    KERNEL,
    Steering,
    all_blur,
    darkness,
    kernel_decides,
    mistrust_blur,
    ramp,
    steer,
    was_hidden,
    weaken,
)

Progress = Callable[[int, int], None]
Look = Callable[[tiling.Tile, NetworkOutput], NDArray[np.float32]]
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
ROUTING_CROPS = 16
"""Largest number of crops from which a large photo's ingredients are decided."""
ROUTING_CROP = 256
"""Side of such a crop, px. Crops are at full resolution: shrinking would erase noise and thin rain."""
ROUTING_WHOLE = 1024 * 1024
"""Photos of at most this many pixels are routed as a whole."""
THUMBNAIL = 288
"""Side of a square of as many pixels as the thumbnail that the tone view sees of a photo, which may be smaller."""
HINT = 0.03
"""A second degradation of this share is reason to look at the restored photo again: noise hides haze and blur."""
CLEAN = 0.25, 0.5
"""Shares of `clean` from which a photo is changed less, and from which it is left alone."""


class Restorer:
    """A model ready to restore arrays; holds no state between calls, so threads may share it."""

    def __init__(
        self,
        model: Model,
        device: str = "auto",
        precision: Precision = "auto",
        tile: int | None = None,
        budget: int | None = None,
    ) -> None:
        """Place a model on a device: "auto" is CUDA if there is one, else the CPU.

        "auto" precision is bf16 where the processor has bf16 units, else fp32; `arithmetic` then says what it is, and
        which kernels are used. `tile` is the side in pixels above
        which a photo is worked on in overlapping tiles; by default it is `TILE`, halved down to `SMALLEST_TILE` as
        often as needed to stay within `budget` bytes for the whole process, photos and all, or, without a budget,
        within the memory that is free when a photo is started. Raises `ValueError` for settings that cannot be.
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
        memory.keep_freed()
        self.model = model
        self.tile = tile or TILE
        self.is_tile_given = tile is not None
        self.budget = budget
        self.sharers = 1  # threads that restore at the same time, and share the memory that is left
        self.routing_crops = ROUTING_CROPS
        self.arithmetic = arithmetic(device, precision)
        self.device = torch.device(self.arithmetic.device)
        self.half = self.arithmetic.precision == "bf16"
        self.network = prepare(model.network, self.half).to(self.device)
        self.names = model.network.config.degradations

    def restore(
        self,
        image: ArrayLike,
        strength: float | Mapping[str, float] = 1.0,
        only: str | Collection[str] | None = None,
        ingredients: Mapping[str, float] | None = None,
        progress: Progress = lambda done, total: None,
        protect: Mask | None = None,
    ) -> Result:
        """Restore a photo.

        `image` is (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA of uint8, uint16, or floats in [0, 1]; alpha
        passes through. `progress` is told how many tiles are done, and of how many.

        What one degradation hid from the routers shows once it is gone: a photo in which there is a hint of a second
        one (`HINT`) is looked at again, and restored in turn if one was hidden (`was_hidden`). The larger
        the share of `clean`, from `CLEAN[0]` on, the less a photo is changed. And the cure can be steered:

        - `strength`, a number in [0, 1], scales the change of every pixel: 0 returns the photo.
        - `strength`, a mapping such as {"haze": 0.5}, scales the shares of single degradations (others: 1). What they
          lose goes to `clean`: the network does less, and leaves that degradation in the photo.
        - `only` names what to remove, such as {"rain", "haze"} or "rain,haze": a strength of 0 for every other one.
        - `ingredients`, such as {"rain": 0.7, "noise": 0.3}, takes the place of what the routers find; what is missing
          to 1 is `clean`. `strength` and `only` then act on it.
        - `protect`, an (H, W) mask: where it is True, pixels come back exactly as they were, and within `guard.FEATHER`
          pixels around the restored photo fades in.

        Raises `ValueError` for anything else.
        """
        array, steering = np.asarray(image), self.steer(strength, only, ingredients)
        first = self._work(array, steering, progress, protect=protect)[0]
        return self._finish(array, first, steering, progress, protect)

    def find(self, image: ArrayLike) -> dict[str, float]:
        """Return the ingredients that the routers find in a photo, the largest first, without restoring it."""
        colour, _, peak = pixels.colour_of(np.asarray(image))
        return self._name(self.fitting(colour)._route(colour, peak).mean(dim=1))

    def explain(self, image: ArrayLike, progress: Progress = lambda done, total: None) -> Explanation:
        """Restore a photo and tell what was found, by which router, where, and the latent pictures behind it.

        `image` and `progress` are those of `restore`.
        """
        levels = PLACEMENTS[self.model.network.config.placement]
        strongest: tuple[float, tiling.Tile, list[Latents]] | None = None

        def look(tile: tiling.Tile, output: NetworkOutput) -> NDArray[np.float32]:
            nonlocal strongest
            size = output.restored.shape[-2:]
            maps = [block.degradation.float().square().mean(dim=1, keepdim=True).sqrt() for block in output.latents]
            planes = torch.cat([F.interpolate(each, size, mode="bilinear") for each in maps], dim=1)[0]
            mean = float(planes.mean())
            if strongest is None or mean > strongest[0]:
                strongest = (mean, tile, output.latents)
            return planes.permute(1, 2, 0).cpu().numpy()

        array = np.asarray(image)
        result, rows, planes = self._work(array, Steering(), progress, look)
        result = self._finish(array, result, Steering(), progress)
        assert strongest is not None and planes is not None
        _, tile, latents = strongest
        arrays = [LatentMaps(*(each[0].float().cpu().numpy() for each in block)) for block in latents]
        return Explanation(
            result,
            {level: self._name(rows[:, index]) for index, level in enumerate(levels)},
            {level: planes[..., index] for index, level in enumerate(levels)},
            dict(zip(levels, arrays, strict=True)),
            (tile.rows, tile.columns),
        )

    def _finish(
        self, before: NDArray[Any], first: Result, steering: Steering, progress: Progress, protect: Mask | None = None
    ) -> Result:
        """Look again, and scale the change: by the user's strength, and down where much of a photo is called clean."""
        result = self._look_again(before, first, steering, progress, protect)
        clean = 0.0 if steering.ingredients is not None else first.ingredients.get("clean", 0.0)
        pixels.take_back(result.image, before, steering.strength * ramp(clean, CLEAN[::-1]))
        return result

    def _look_again(
        self, before: NDArray[Any], first: Result, steering: Steering, progress: Progress, protect: Mask | None
    ) -> Result:
        """Restore a restored photo in turn, if something hid behind what was removed."""
        degradations = [share for name, share in first.ingredients.items() if name != "clean"]
        if steering.ingredients is not None or len(degradations) < 2 or degradations[1] < HINT:
            return first
        colour, _, peak = pixels.colour_of(first.image)
        fitting = self.fitting(first.image)
        rows = fitting._route(colour, peak)
        found = self._name(rows.mean(dim=1))
        taken = pixels.difference(pixels.colour_of(before)[0], colour, peak)
        hidden = was_hidden(first.ingredients, found, taken)
        blur = None
        if (not hidden or next(iter(found)) == "blur") and kernel_decides(first.ingredients, found, taken):
            blur = fitting._read_blur(colour, peak)
        if blur is not None:  # it tells more surely than the routers
            hidden = bool(blur[0].square().sum() < KERNEL)
            rows = all_blur(self.names, rows) if hidden else rows
            found = self._name(rows.mean(dim=1))
        name = self.names.index(next(iter(found)))
        if not hidden or (steering.factors is not None and not steering.factors[name]):
            return first
        steering = steering._replace(ingredients=rows)
        second = self._work(
            first.image, steering, lambda at, of: progress(of + at, 2 * of), protect=protect, blur=blur
        )[0]
        return Result(second.image, first.ingredients, found)

    def _work(
        self,
        array: NDArray[Any],
        steering: Steering,
        progress: Progress,
        look: Look | None = None,
        protect: Mask | None = None,
        blur: Blur | None = None,
    ) -> tuple[Result, Tensor, NDArray[np.float32] | None]:
        """Restore a photo in one pass, at full strength.

        Returns the result, the ingredients (1, M, K) that were found or given, and the blended planes (H, W, C) of
        `look`.
        """
        colour, rest, peak = pixels.colour_of(array)
        height, width = colour.shape[:2]
        if protect is not None and (protect.shape != (height, width) or protect.dtype != np.bool_):
            raise ValueError(f"protect: got {protect.dtype} {protect.shape}, expected bool {(height, width)}")
        fitting = self.fitting(array)
        tiles = tiling.fitted_tiles(height, width, fitting.tile, OVERLAP, self.multiple)
        # What fits into one tile is routed in the same pass that restores it, unless the user interferes.
        rows, factors = steering.ingredients, steering.factors
        if rows is None and (factors is not None or len(tiles) > 1):
            rows = fitting._route(colour, peak)
        wanted = rows if rows is None or factors is None else weaken(self.names, rows, factors)
        restored = np.empty(colour.shape, array.dtype)
        planes: list[NDArray[np.float32]] = []
        found: list[Tensor] = []
        curves: Tensor | None = None
        unblur = functools.cache(lambda: (read := blur or fitting._read_blur(colour, peak)) and inverse(*read))

        def run(tile: tiling.Tile) -> NDArray[np.float32]:
            nonlocal curves
            patch = pixels.scaled(colour[tile.rows, tile.columns], peak)
            padded = tiling.pad_to_multiple(patch, self.multiple)[None]
            output = routed = None
            shares = wanted
            if shares is None:
                output = self._forward(padded, unblur=unblur)
                routed = output.logits.softmax(dim=2)
                shares = mistrust_blur(self.names, routed, padded)
            seen, taken = pixels.roll_off(padded, darkness(self.names, shares))
            if output is None or seen is not padded or shares is not routed:
                output = self._forward(seen, shares, unblur=unblur)
            found.append(shares)
            if len(found) == 1:
                curves = self._curves(colour, peak, found[0])
            photo = output.restored
            if curves is not None:
                photo = toned(photo, curves, (height, width), (tile.rows.start, tile.columns.start))
            changed = photo[0].permute(1, 2, 0).float().cpu().numpy()
            if seen is not padded:  # what is light stays light
                changed += np.square(taken[0]) * (padded[0] - changed)
            maps = [] if look is None else [tiling.crop(look(tile, output), *tile.shape)]
            progress(len(found), len(tiles))
            return np.concatenate([tiling.crop(changed, *tile.shape), *maps], axis=2)

        top = 0
        for band in tiling.blend(tiles, run):  # in place, and let go at the end: a row of tiles in floats is large
            scaled = np.clip(band[..., :3], 0, 1, out=band[..., :3])
            scaled *= peak
            rows_of_band = slice(top, top + len(band))
            if protect is not None:
                scaled += guard.keep(protect, top, top + len(band)) * (colour[rows_of_band] - scaled)
            if array.dtype.kind == "u":
                scaled.round(out=scaled)
            restored[rows_of_band] = scaled
            if look is not None:
                planes.append(band[..., 3:].copy())
            top += len(band)
            del band, scaled
        rows = found[0] if rows is None else rows
        whole = pixels.with_rest(restored, rest, array)
        if protect is not None:  # exactly, whatever sums and rounding did
            whole[protect] = array[protect]
        result = Result(whole, self._name(rows.mean(dim=1)))
        return result, rows, None if look is None else np.concatenate(planes)

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
            left = memory.left(self.device, self.budget) // self.sharers
            if self.device.type == "cpu":
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
        """Bytes of tensors that the network needs for a pixel more: measured, whatever its configuration."""
        sides = 8 * self.multiple, 12 * self.multiple
        small, large = (
            memory.peak_of(functools.partial(self._forward, np.zeros((1, side, side, 3), np.float32))) for side in sides
        )
        return (large - small) / (sides[1] ** 2 - sides[0] ** 2)

    def _route(self, colour: NDArray[Any], peak: float) -> Tensor:
        """Decide a photo's ingredients (1, M, K) once."""
        crops = pixels.scaled(self._crops(colour), peak)
        padded = np.stack([tiling.pad_to_multiple(crop, self.multiple) for crop in crops])
        with self._inference():
            rows = self.network.route(self._tensor(padded)).softmax(dim=2)
        return mistrust_blur(self.names, rows, padded)

    def _read_blur(self, colour: NDArray[Any], peak: float) -> Blur | None:
        """Read once how a photo was blurred, as `KernelView` says it; None if it is too small or the model has none."""
        if min(colour.shape[:2]) <= 2 * REACH:
            return None
        crops = torch.from_numpy(pixels.scaled(self._crops(colour), peak)).to(self.device)
        with torch.inference_mode():
            return self.network.read_blur(crops.permute(0, 3, 1, 2))

    def _crops(self, colour: NDArray[Any]) -> NDArray[Any]:
        """Return from where a photo is judged (N, h, w, 3): the whole of a small one, or crops of a large one."""
        if math.prod(colour.shape[:2]) <= ROUTING_WHOLE * self.routing_crops / ROUTING_CROPS:
            return colour[None]
        return pixels.crops(colour, ROUTING_CROP, ROUTING_CROPS)[: self.routing_crops]

    def _curves(self, colour: NDArray[Any], peak: float, rows: Tensor) -> Tensor | None:
        """Look at a thumbnail of the whole photo for what its brightness and colours need (`ToneView`)."""
        if self.network.tone_share(rows) is None:
            return None
        height, width = colour.shape[:2]
        scale = min(1.0, THUMBNAIL / math.sqrt(height * width))
        multiple = math.lcm(MULTIPLE, self.multiple)
        size = [max(1, round(length * scale / multiple)) * multiple for length in (height, width)]
        small = pixels.thumbnail(colour, peak, size).permute(0, 2, 3, 1).numpy()
        seen = torch.from_numpy(pixels.roll_off(small, darkness(self.names, rows))[0]).permute(0, 3, 1, 2)
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            return self.network.curves(seen.to(self.device), rows)

    def _forward(
        self,
        images: NDArray[np.float32],
        rows: Tensor | None = None,
        unblur: Callable[[], Tensor | None] | None = None,
    ) -> NetworkOutput:
        """Pass images (B, H, W, 3) through the network."""
        with self._inference():
            return self.network(self._tensor(images), rows, unblur)

    def _tensor(self, images: NDArray[np.float32]) -> Tensor:
        """Return images (B, H, W, 3) as (B, 3, H, W) on the device; permuted, they lie in channels_last order."""
        return torch.from_numpy(np.ascontiguousarray(images)).to(self.device).permute(0, 3, 1, 2)

    @contextmanager
    def _inference(self) -> Iterator[None]:
        """Compute without gradients, in the precision of this machine."""
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            yield

    def steer(
        self,
        strength: float | Mapping[str, float],
        only: str | Collection[str] | None,
        ingredients: Mapping[str, float] | None,
    ) -> Steering:
        """Turn what the user wishes into numbers; raise `ValueError` for what cannot be."""
        steering = steer(self.names, strength, only, ingredients)
        if steering.ingredients is None:
            return steering
        of_each_block = steering.ingredients.expand(-1, self.model.network.config.num_rows, -1)
        return steering._replace(ingredients=of_each_block.to(self.device))

    def _name(self, shares: Tensor) -> dict[str, float]:
        """Return shares (1, K) by name, the largest first."""
        named = dict(zip(self.names, shares[0].tolist(), strict=True))
        return dict(sorted(named.items(), key=lambda item: -item[1]))


def load(
    model: str | Path = "fast",
    device: str = "auto",
    precision: Precision = "auto",
    tile: int | None = None,
    budget: int | None = None,
) -> Restorer:
    """Load a shipped model by name, or a model file by path; raise `CheckpointError` if it cannot be used.

    The rest is for `Restorer`.
    """
    return Restorer(checkpoint.load(model), device, precision, tile, budget)
