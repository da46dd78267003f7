"""The product: a degraded photo goes in as an array, and comes out restored with the reasons."""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from idrestore import checkpoint, guard, tiling
from idrestore.checkpoint import Model
from idrestore.model.network import NetworkOutput

Precision = Literal["auto", "fp32", "bf16"]
Progress = Callable[[int, int], None]

TILE = 1024
"""Default side of a tile, px: about 0.5 GB while `fast` works on it."""
OVERLAP = 128
"""Pixels that neighbouring tiles share, blended by a smooth ramp."""
ROUTING_CROPS = 16
"""Largest number of crops from which a large photo's ingredients are decided."""
ROUTING_CROP = 256
"""Side of such a crop, px. Crops are at full resolution: shrinking would erase noise and thin rain."""
ROUTING_WHOLE = 1024 * 1024
"""Photos of at most this many pixels are routed as a whole."""


@dataclass(frozen=True)
class Result:
    """A restored photo and what was found in the degraded one."""

    image: NDArray[Any]
    """Same shape and dtype as what came in"""
    ingredients: dict[str, float]
    """Share of each degradation, the largest first; they sum to 1"""


class Restorer:
    """A model ready to restore arrays; holds no state between calls, so threads may share it."""

    def __init__(self, model: Model, device: str = "auto", precision: Precision = "auto", tile: int = TILE) -> None:
        """Place a model on a device: "auto" is CUDA if there is one, else the CPU.

        "auto" precision is bf16 where the processor has bf16 units, else fp32. `tile` is the side in pixels above
        which a photo is worked on in overlapping tiles. Raises `ValueError` for settings that cannot be.
        """
        self.multiple = model.network.config.size_multiple
        if precision not in get_args(Precision):
            raise ValueError(f"precision: got {precision!r}, expected one of {', '.join(get_args(Precision))}")
        if tile < 2 * OVERLAP or tile % self.multiple:
            raise ValueError(f"tile: got {tile}, expected a multiple of {self.multiple}, at least {2 * OVERLAP}")
        self.model = model
        self.tile = tile
        self.device = find_device(device)
        self.half = precision == "bf16" or (precision == "auto" and _has_bf16_units(self.device))
        self.network = model.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.names = model.network.config.degradations

    def restore(
        self,
        image: ArrayLike,
        strength: float = 1.0,
        only: Collection[str] | None = None,
        progress: Progress = lambda done, total: None,
        protect: NDArray[np.bool_] | None = None,
    ) -> Result:
        """Restore a photo.

        `image` is (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA of uint8, uint16, or floats in [0, 1]; alpha
        passes through. `strength` in [0, 1] scales the change; `only` names the degradations to remove. `progress`
        is told how many tiles are done, and of how many. `protect` is an (H, W) mask: where it is True, pixels come
        back exactly as they were (`guard.FEATHER` pixels outside are blended). Raises `ValueError` for anything else.
        """
        if not 0 <= strength <= 1:
            raise ValueError(f"strength: got {strength}, expected 0 to 1")
        array = np.asarray(image)
        colour, rest, peak = _colour_of(array)
        height, width = colour.shape[:2]
        if protect is not None and (protect.shape != (height, width) or protect.dtype != np.bool_):
            raise ValueError(f"protect: got {protect.dtype} {protect.shape}, expected bool {(height, width)}")
        tiles = tiling.tiles(height, width, self.tile, OVERLAP, self.multiple)
        # What fits into one tile is routed in the same pass that restores it, unless the user interferes.
        rows = None if only is None and len(tiles) == 1 else self._route(colour, peak)
        wanted = rows if rows is None or only is None else self._keep_only(rows, only)
        restored = np.empty(colour.shape, array.dtype)
        found: list[Tensor] = []

        def run(tile: tiling.Tile) -> NDArray[np.float32]:
            patch = _scaled(colour[tile.rows, tile.columns], peak)
            changed, rows_of_tile = self._run(patch, wanted)
            found.append(rows_of_tile)
            progress(len(found), len(tiles))
            return patch + np.float32(strength) * (changed - patch)

        top = 0
        for band in tiling.blend(tiles, run):
            scaled = band.clip(0, 1) * peak
            rows_of_band = slice(top, top + len(band))
            if protect is not None:
                scaled += guard.keep(protect, top, top + len(band)) * (colour[rows_of_band] - scaled)
            if array.dtype.kind == "u":
                scaled = scaled.round()
            restored[rows_of_band] = scaled
            top += len(band)
        whole = _with_rest(restored, rest, array)
        if protect is not None:  # exactly, whatever sums and rounding did
            whole[protect] = array[protect]
        return Result(whole, self._name(found[0] if rows is None else rows))

    def _run(self, patch: NDArray[np.float32], rows: Tensor | None) -> tuple[NDArray[np.float32], Tensor]:
        """Pass one patch (h, w, 3) in [0, 1] through the network; return it restored, and its ingredients (1, M, K)."""
        padded = tiling.pad_to_multiple(patch, self.multiple)
        output = self._forward(padded[None], rows)
        restored = output.restored[0].permute(1, 2, 0).float().cpu().numpy()
        rows = output.logits.softmax(dim=2) if rows is None else rows
        return tiling.crop(restored, *patch.shape[:2]), rows

    def _route(self, colour: NDArray[Any], peak: float) -> Tensor:
        """Decide a photo's ingredients (1, M, K) once, from the whole of a small one or from crops of a large one."""
        crops = colour[None] if _is_small(colour) else _seeded_crops(colour)
        padded = np.stack([tiling.pad_to_multiple(_scaled(crop, peak), self.multiple) for crop in crops])
        return self._forward(padded, one_photo=True).logits[:1].softmax(dim=2)

    def _forward(
        self, images: NDArray[np.float32], rows: Tensor | None = None, one_photo: bool = False
    ) -> NetworkOutput:
        """Pass images (B, H, W, 3) through the network; permuted, they lie in channels_last order as they are."""
        degraded = torch.from_numpy(np.ascontiguousarray(images)).to(self.device).permute(0, 3, 1, 2)
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            return self.network(degraded, rows, one_photo)

    def _keep_only(self, rows: Tensor, only: Collection[str]) -> Tensor:
        """Give the share of every degradation that is not to be removed to `clean`."""
        unknown = set(only) - set(self.names)
        if unknown or not only:
            got = ", ".join(sorted(unknown)) or "nothing"
            raise ValueError(f"only: got {got}, expected some of {', '.join(self.names)}")
        if "clean" not in self.names:
            raise ValueError("only: this model knows no clean photos, so nothing can be left out")
        keep = torch.tensor([float(name in only) for name in self.names], device=rows.device)
        clean = torch.tensor([float(name == "clean") for name in self.names], device=rows.device)
        kept = rows * keep
        return kept + (1 - kept.sum(dim=2, keepdim=True)) * clean

    def _name(self, rows: Tensor) -> dict[str, float]:
        """Return the mean over the meta-prior blocks of ingredients (1, M, K), by name, the largest first."""
        shares = dict(zip(self.names, rows.mean(dim=(0, 1)).tolist(), strict=True))
        return dict(sorted(shares.items(), key=lambda item: -item[1]))


def load(model: str | Path = "fast", device: str = "auto", precision: Precision = "auto", tile: int = TILE) -> Restorer:
    """Load a shipped model by name, or a model file by path; raise `CheckpointError` if it cannot be used."""
    return Restorer(checkpoint.load(model), device, precision, tile)


def find_device(name: str) -> torch.device:
    """Return the device of that name, or the best there is for "auto"."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device: got {name!r}, which this machine or this torch does not have") from error
    return device


def _has_bf16_units(device: torch.device) -> bool:
    """Tell whether bf16 products run in hardware there; emulated ones are slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device.type != "cpu":
        return False
    # Older torch cannot tell; then fp32 is the safe answer.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _colour_of(array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None, float]:
    """Split an image into RGB (H, W, 3), alpha or None, and the value of white."""
    shape, kind = array.shape, array.dtype
    if len(shape) not in (2, 3) or 0 in shape or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        raise ValueError(f"image: got shape {shape}, expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)")
    if kind in (np.uint8, np.uint16):
        peak = float(np.iinfo(kind).max)
    elif kind.kind == "f" and np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1:
        peak = 1.0
    else:
        raise ValueError(f"image: got {kind}, expected uint8, uint16, or floats in [0, 1]")
    if len(shape) == 2 or shape[2] == 1:
        return np.repeat(array.reshape(*shape[:2], 1), 3, axis=2), None, peak
    return array[..., :3], array[..., 3:] if shape[2] == 4 else None, peak


def _with_rest(restored: NDArray[Any], alpha: NDArray[Any] | None, like: NDArray[Any]) -> NDArray[Any]:
    """Bring RGB (H, W, 3) back to the channels of `like`; grey is the mean of the three."""
    if alpha is not None:
        return np.concatenate([restored, alpha], axis=2)
    if like.ndim == 3 and like.shape[2] == 3:
        return restored
    grey = restored.mean(axis=2, dtype=np.float64)
    if like.dtype.kind == "u":
        grey = grey.round()
    return grey.astype(like.dtype).reshape(like.shape)


def _is_small(image: NDArray[Any]) -> bool:
    """Tell whether routing looks at the whole photo."""
    return math.prod(image.shape[:2]) <= ROUTING_WHOLE


def _scaled(pixels: NDArray[Any], peak: float) -> NDArray[np.float32]:
    """Return pixels as floats in [0, 1]."""
    return pixels.astype(np.float32) / np.float32(peak)


def _seeded_crops(image: NDArray[Any]) -> NDArray[Any]:
    """Return the same crops of a photo at every call, (n, 256, 256, 3) or narrower where the photo is."""
    generator = np.random.default_rng(0)
    height, width = image.shape[:2]
    tall, wide = min(ROUTING_CROP, height), min(ROUTING_CROP, width)
    tops = generator.integers(0, height - tall + 1, ROUTING_CROPS)
    lefts = generator.integers(0, width - wide + 1, ROUTING_CROPS)
    corners = zip(tops, lefts, strict=True)
    return np.stack([image[top : top + tall, left : left + wide] for top, left in corners])
