"""Training samples: a pure function of (seed, index), so that any number of workers gives the same sequence."""

import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from idrestore.data import web
from idrestore.data.camera import batch as camera
from idrestore.data.degrade import gaussian_noise, sample, to_8_bit
from idrestore.data.layouts import list_photos
from idrestore.data.pairs import PairedPhotos, read_8_bit
from idrestore.degradations import FIVE

MIXTURE = "mixture"
"""What a recipe's ratios call a sample of two or three degradations at once."""


GOLDEN = 5**0.5 / 2 + 0.5
"""Its multiples, modulo 1, are spread evenly: so each batch has what the ratios say, as far as it can."""


CAMERA, WEB = 1, 2
"""Set the random numbers of the synthesis, and of the web, apart from those that choose and cut."""
Synthesis = Literal["plain", "camera", "both"]
"""How samples are degraded: as `idrestore degrade` does, as cameras do, or half of them each way."""


WHITE_SIGMA = 8.0, 60.0
"""Standard deviations of the noise of benchmarks, in 8-bit units; drawn evenly on a logarithmic scale."""


UNDER: dict[tuple[str, ...], tuple[str, ...]] = {
    ("noise",): ("rain", "haze", "blur", "low_light"),
    ("rain",): ("haze", "blur", "low_light"),
}
"""What may be wrong with a photo before a sensor adds noise to it, or behind drops."""


GRACE = 60
"""Seconds that a worker goes on for after it was told to end."""


class Batch(NamedTuple):
    """Samples of one step."""

    degraded: Tensor
    """(B, 3, h, w) in [0, 1]"""
    clean: Tensor
    """(B, 3, h, w) in [0, 1]"""
    ingredients: Tensor
    """(B, K): one-hot, or even over what a mixture contains"""


class Draft(NamedTuple):
    """Samples of one step before they are degraded, so that this can be done where the training is."""

    crops: Tensor
    """(B, 3, h, w) in [0, 1]"""
    parameters: camera.Parameters
    """What is done to them"""
    ready: dict[int, Tensor]
    """(3, h, w): the rows that are degraded already"""
    ingredients: Tensor
    """(B, K)"""
    passages: Sequence[web.Passage]
    """What becomes of them on the web; none: they stay as they are"""
    side: int
    """Of samples that come from there"""

    def developed(self, device: torch.device) -> Batch:
        """Return the samples, degraded on a device."""
        degraded, clean = camera.develop(self.crops.to(device), self.parameters)
        for row, photo in self.ready.items():
            degraded[row] = photo.to(device)
        if self.passages:
            degraded, clean = (web.hand_on(photos, self.passages, self.side) for photos in (degraded, clean))
        return Batch(degraded, clean, self.ingredients.to(device))


class _Start(NamedTuple):
    """A sample's beginning: what it shows, its crop (3, h, w), and that degraded, where it is already."""

    kinds: tuple[str, ...]
    clean: Tensor
    degraded: Tensor | None


class SampleError(ValueError):
    """A photo that cannot be read or used while training; the message is one line for people."""


class Photos:
    """Clean photos in memory at several scales, as uint8.

    Users' photos are scaled in every way, and shrinking cleans the grain and the compression of the sources.
    """

    def __init__(self, paths: Sequence[Path], scales: Sequence[float], smallest: int) -> None:
        """Read all `paths`; scales that leave a side under `smallest` px are left out."""
        if not paths:
            raise ValueError(
                "no photos to learn from: name folders of clean photos (--photos, or data.photos in the recipe)"
            )
        self.images = [scaled for path in paths for scaled in _at_scales(path, scales, smallest)]
        if not self.images:
            raise ValueError(f"none of {len(paths)} photos is at least {smallest} px at a scale of {scales}")

    def crop(self, size: int, generator: np.random.Generator) -> Tensor:
        """Return a random crop (3, size, size) in [0, 1], mirrored in half of the cases."""
        image = self.images[generator.integers(len(self.images))]
        return _crops([image], size, generator)[0]


class Samples(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """An endless sequence of training samples.

    `ratios` says how often each of `degradations`, or `mixture`, is drawn; `pairs` gives folders of real pairs with
    the degradation they show and how often they take the place of a synthetic sample of it. With `sigmas`, noise is
    the benchmarks': white, Gaussian, of one of these standard deviations in 8-bit units, and never compressed.
    `synthesis` says how the rest is made: as `idrestore degrade` does, as cameras do, a batch at a time, or both.
    `degraded` is the share of noisy and rainy samples that have something else as well, which the clean photo keeps.
    With `scenes`, samples show whole scenes, so that haze as cameras see it lies over all from sky to near ground.
    A share `from_web` of them is then made smaller, softened and compressed, degraded and clean alike (`data/web.py`).
    """

    def __init__(
        self,
        photos: Photos,
        degradations: Sequence[str],
        ratios: Mapping[str, float],
        patch: int,
        seed: int,
        pairs: Sequence[tuple[PairedPhotos, str, float]] = (),
        sigmas: Sequence[float] = (),
        white: float = 0.0,
        synthesis: Synthesis = "plain",
        degraded: float = 0.0,
        scenes: bool = False,
        from_web: float = 0.0,
    ) -> None:
        self.photos = photos
        self.degradations = tuple(degradations)
        self.choices = list(ratios)
        chances = np.array([ratios[choice] for choice in self.choices], float)
        self.bounds = chances.cumsum() / chances.sum()
        self.patch = patch
        self.seed = seed
        self.pairs = pairs
        self.sigmas = tuple(sigmas)
        self.white = white
        self.synthesis = synthesis
        self.degraded = degraded
        self.scenes = scenes
        self.from_web = from_web

    @property
    def side(self) -> int:
        """Of what is cut out of photos, px."""
        return web.larger(self.patch, self.from_web)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return degraded and clean (3, h, w) in [0, 1] and ingredients (K,) of sample `index`."""
        degraded, clean, ingredients = self.batch([index])
        return degraded[0], clean[0], ingredients[0]

    def __getitems__(self, indices: Sequence[int]) -> "Draft":
        """Return samples that are still to be developed; what a `DataLoader` asks for."""
        return self.draft(indices)

    def batch(self, indices: Sequence[int], device: torch.device | None = None) -> Batch:
        """Return samples, developed on a device, by default the processor."""
        return self.draft(indices).developed(device or torch.device("cpu"))

    def draft(self, indices: Sequence[int]) -> "Draft":
        """Return crops and what is to be done to them."""
        starts = [self._start(index) for index in indices]
        drawn = camera.draw(
            [() if start.degraded is not None else start.kinds for start in starts],
            [(self.seed, index, CAMERA) for index in indices],
            self.side,
            self.scenes,
        )
        rngs = (np.random.default_rng((self.seed, index, WEB)) for index in indices) if self.from_web else ()
        return Draft(
            torch.stack([start.clean for start in starts]),
            drawn,
            {row: start.degraded for row, start in enumerate(starts) if start.degraded is not None},
            torch.stack([self.label(start.kinds) for start in starts]),
            [web.draw(self.patch, rng, self.from_web) for rng in rngs],
            self.patch,
        )

    def _start(self, index: int) -> "_Start":
        """Choose what a sample shows and cut it out; degrade it where that is done one photo at a time."""
        generator = np.random.default_rng([self.seed, index])
        kinds = self._kinds(index, generator)
        for photos, degradation, share in self.pairs:
            if kinds == (degradation,) and generator.random() < share:
                images = list(photos[int(generator.integers(len(photos)))])
                degraded, clean = _crops(images, self.side, generator)
                return _Start(kinds, clean, degraded)
        crop = self.photos.crop(self.side, generator)
        under = UNDER.get(kinds, ())
        if under and self.degraded and generator.random() < self.degraded:
            crop = sample(crop, (str(generator.choice(under)),), int(generator.integers(2**31))).degraded
        if kinds == ("noise",) and (self.sigmas or generator.random() < self.white):
            any_sigma = float(np.exp(generator.uniform(*np.log(WHITE_SIGMA))))
            sigma = self.sigmas[generator.integers(len(self.sigmas))] if self.sigmas else any_sigma
            degraded = to_8_bit(gaussian_noise(crop, sigma, int(generator.integers(2**31))))
            return _Start(kinds, crop, degraded)
        as_cameras = self.synthesis == "camera" or (self.synthesis == "both" and generator.random() < 0.5)
        if as_cameras and all(kind in camera.KINDS for kind in kinds):
            return _Start(kinds, crop, None)
        made = sample(crop, kinds, int(generator.integers(2**31)))
        return _Start(kinds, made.clean, made.degraded)

    def label(self, kinds: Sequence[str]) -> Tensor:
        """Return the ingredients (K,) of what is present, even over all of it."""
        present = [float(name in kinds) for name in self.degradations]
        return torch.tensor(present) / len(kinds)

    def _kinds(self, index: int, generator: np.random.Generator) -> tuple[str, ...]:
        choice = self.choices[int(np.searchsorted(self.bounds, index * GOLDEN % 1))]
        if choice != MIXTURE:
            return (choice,)
        # What was added is known by its pairs alone, even where it could be synthesised.
        kinds = [name for name in self.degradations if name in FIVE]
        number = int(generator.integers(2, 4))
        return tuple(generator.permutation(kinds)[:number].tolist())


def batches(
    samples: Samples,
    size: int,
    first: int,
    last: int,
    workers: int,
    part: int = 0,
    parts: int = 1,
    device: torch.device | None = None,
) -> Iterator[Batch]:
    """Yield the batches of steps `first` to `last` - 1, made by `workers` processes (0: in this one).

    Samples are degraded on `device` if it is no processor, else by the workers.
    Where a step's `parts * size` samples are shared by several trainings in parallel, these are those of number `part`.
    Raise `SampleError` for a photo that cannot be read or used.
    """
    on_device = device is not None and device.type != "cpu"
    collate: Callable[[Any], Draft | Batch] = _kept if on_device else _developed
    starts = range((first * parts + part) * size, last * parts * size, parts * size)
    loader = DataLoader(
        samples,
        batch_sampler=([*range(start, start + size)] for start in starts),
        num_workers=workers,
        collate_fn=collate,
        generator=torch.Generator(),  # else the loader would draw from the caller's; samples have seeds of their own
        prefetch_factor=4 if workers else None,
        worker_init_fn=_outlive_signals,
        # Pairs are read by libvips, whose threads do not survive a fork: a forked worker would wait for ever.
        multiprocessing_context="spawn" if workers and samples.pairs else None,
    )
    try:
        for made in loader:
            yield made.developed(device) if on_device else made
    except (ValueError, OSError) as error:
        # A worker's error carries its traceback; the last line is what happened.
        raise SampleError(re.sub(r"^[\w.]+Error: ", "", str(error).splitlines()[-1])) from None


def _kept(draft: Draft) -> Draft:
    return draft


def _developed(draft: Draft) -> Batch:
    return draft.developed(torch.device("cpu"))


def _outlive_signals(_: int) -> None:
    """Leave signals that are sent to all processes of a group, by a terminal or `timeout`, to the one that trains.

    It stops its workers once it has saved its state. One that it has forgotten, and tells to end when it ends itself,
    does so after `GRACE`: it would be waited for.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(GRACE))


def find_photos(sources: Sequence[Path]) -> list[Path]:
    """Return all photos in folders, sorted by name; a source that is a file is taken as it is."""
    return [path for source in sources for path in (list_photos(source) if source.is_dir() else [source])]


def _at_scales(path: Path, scales: Sequence[float], smallest: int) -> Iterator[NDArray[np.uint8]]:
    """Yield a photo (H, W, 3) at every scale that leaves its sides long enough."""
    pixels = read_8_bit(path)
    for scale in scales:
        size = [round(side * scale) for side in pixels.shape[:2]]
        if min(size) < smallest:
            continue
        if scale == 1:
            yield pixels
            continue
        planes = torch.from_numpy(pixels).permute(2, 0, 1)[None]
        small = F.interpolate(planes, size, mode="bicubic", antialias=True)
        yield small[0].permute(1, 2, 0).contiguous().numpy()


def _crops(images: Sequence[NDArray[np.uint8]], size: int, generator: np.random.Generator) -> list[Tensor]:
    """Cut the same random square out of aligned images (H, W, 3), as (3, size, size) in [0, 1]."""
    height, width = images[0].shape[:2]
    if min(height, width) < size:
        raise ValueError(f"got a photo of {width}x{height}, expected at least {size}x{size}")
    top = int(generator.integers(height - size + 1))
    left = int(generator.integers(width - size + 1))
    step = -1 if generator.random() < 0.5 else 1
    cut = [image[top : top + size, left : left + size][:, ::step] for image in images]
    return [torch.from_numpy(c.transpose(2, 0, 1).astype(np.float32) / 255) for c in cut]
