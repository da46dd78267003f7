"""Photos with their clean counterparts: pairs, and clean photos degraded on the way.

>>> name, photos = parse_set("noise25=val/cbsd68:sigma=25:limit=20")
>>> name, photos.sigma, photos.limit, photos.first
('noise25', 25.0, 20, 'noise')
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from idrestore.configuration import one_line
from idrestore.data.degrade import check_strengths, gaussian_noise, mix, parse_kinds, to_8_bit
from idrestore.data.jpeg import jpeg
from idrestore.data.layouts import Pair, Pairs, find_pairs, list_photos, unreadable
from idrestore.degradations import NAMES, canonical
from idrestore.files.image import MAX_PIXELS, Photo, read, write

DEFAULT_STRENGTH = 0.5

Pixels8 = NDArray[np.uint8]


def read_8_bit(path: Path, max_pixels: int = MAX_PIXELS) -> Pixels8:
    """Return a photo as (H, W, 3) uint8; 16 bits are rounded to 8. Raise `ImageError`."""
    pixels = read(path, max_pixels).pixels
    if pixels.dtype == np.uint16:
        return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 / 255 = 257
    return pixels.astype(np.uint8)


def write_pair(degraded: Pixels8, clean: Pixels8, pair: Pair) -> None:
    """Write both photos (H, W, 3) of a pair, making their folders; raise `ImageError` or `OSError`."""
    for path, pixels in ((pair.clean, clean), (pair.degraded, degraded)):
        path.parent.mkdir(parents=True, exist_ok=True)
        write(pixels, path, Photo(pixels))


def degrade_file(source: Path, pair: Pair, strengths: Mapping[str, float], seed: int) -> None:
    """Write a pair made of a clean photo: the photo degraded, and as it is, both of 8 bits."""
    pixels = read_8_bit(source)
    write_pair(to_pixels(mix(to_planes(pixels), strengths, seed)), pixels, pair)


def read_pair(pair: Pair) -> tuple[Pixels8, Pixels8]:
    """Return a pair's photos, degraded and clean; raise `ValueError` if their sizes differ."""
    degraded, clean = read_8_bit(pair.degraded), read_8_bit(pair.clean)
    if degraded.shape != clean.shape:
        sizes = ["x".join(map(str, image.shape[1::-1])) for image in (degraded, clean)]
        raise ValueError(f"{pair.degraded} is {sizes[0]}, but {pair.clean} is {sizes[1]}")
    return degraded, clean


class Wrong(NamedTuple):
    """A file of a data set that is not as it should be, and why, in one line."""

    path: Path
    message: str


def check(spec: "SetSpec", progress: Callable[[int, int], None] = lambda done, total: None) -> tuple[int, list[Wrong]]:
    """Read every photo of a set once; return how many pairs (or clean photos) it has, and what is wrong with it.

    Wrong are photos without counterpart, damaged ones, pairs of two sizes, and pictures of a format that is not read.
    `progress` is told how many photos are done, and of how many. Raise as `SetSpec.find` does.
    """
    matched, unmatched = spec.find()
    wrong = [Wrong(path, "has no counterpart") for path in unmatched]
    wrong += [Wrong(path, "is in a format that is not read; convert it to PNG") for path in unreadable(spec.folder)]
    paths = dict.fromkeys(path for pair in matched for path in pair)
    sizes: dict[Path, str] = {}
    for done, path in enumerate(paths, start=1):
        try:
            height, width, _ = read_8_bit(path).shape
            sizes[path] = f"{width}x{height}"
        except (OSError, ValueError, MemoryError) as error:
            wrong.append(Wrong(path, f"cannot be read: {one_line(error)}"))
        progress(done, len(paths))
    both = (pair for pair in matched if pair.degraded in sizes and pair.clean in sizes)
    return len(matched), wrong + [
        Wrong(degraded, f"is {sizes[degraded]}, but {clean.name} is {sizes[clean]}")
        for degraded, clean in both
        if sizes[degraded] != sizes[clean]
    ]


class PairedPhotos:
    """The pairs of a folder, by index: `(degraded, clean)`, both (H, W, 3) uint8.

    The folder is as in `find_pairs`, but complete: a photo without counterpart is a `ValueError`
    that names it, before a long training starts.
    """

    def __init__(self, folder: Path) -> None:
        self.pairs, unmatched = find_pairs(folder)
        if unmatched:
            raise ValueError(f"no counterpart for {', '.join(map(str, unmatched))}")

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Pixels8, Pixels8]:
        return read_pair(self.pairs[index])


@dataclass(frozen=True)
class SetSpec:
    """A set to evaluate on: the pairs in `folder`, or its clean photos, degraded here.

    At most one of `sigma`, `jpeg`, `degrade` and `clean`; with none of them, pairs. All chance is
    seeded by the photo's place in the folder. A wrong value raises `ValueError` naming the field.
    """

    folder: Path
    sigma: float | None = None
    """Add Gaussian noise of this standard deviation, in 8-bit units; clip, truncate to 8 bit."""
    jpeg: int | None = None
    """Compress as JPEG of this quality, 4:2:0; the JPEG is what should come back."""
    degrade: Mapping[str, float] = field(default_factory=dict)
    """Degradations to synthesise together, and their strengths, 0 to 1."""
    clean: bool = False
    """Leave the photos as they are, and see whether they come back."""
    limit: int | None = None
    """Take only this many photos, the first by name."""
    first: str | None = None
    """The ingredient that should be the largest; None: not judged."""

    def __post_init__(self) -> None:
        sources = self._sources()
        _expect(len(sources) < 2, "options", " and ".join(sources), "one of these at most")
        _expect(self.sigma is None or 0 < self.sigma < math.inf, "sigma", self.sigma, "above 0")
        _expect(self.jpeg is None or 1 <= self.jpeg <= 100, "jpeg", self.jpeg, "1 to 100")
        _expect(self.limit is None or self.limit >= 1, "limit", self.limit, "at least 1")
        _expect(self.first is None or self.first.isidentifier(), "first", self.first, "a degradation's name, or none")
        check_strengths(self.degrade)

    def find(self) -> Pairs:
        """Return the files, before `limit`; a clean photo to be degraded is its own counterpart."""
        if not self._sources():
            return find_pairs(self.folder)
        return Pairs(tuple(Pair(path, path) for path in list_photos(self.folder)), ())

    def read(self, pair: Pair, index: int) -> tuple[Pixels8, Pixels8]:
        """Return what goes in and what should come out, both (H, W, 3), of photo `index`."""
        if not self._sources():
            return read_pair(pair)
        clean = read_8_bit(pair.clean)
        image = to_planes(clean)
        if self.sigma is not None:
            return to_pixels(gaussian_noise(image, self.sigma, seed=index)), clean
        if self.degrade:
            return to_pixels(mix(image, self.degrade, seed=index)), clean
        if self.jpeg is not None:
            clean = to_pixels(jpeg(image, self.jpeg, chroma_subsampling=True))
        return clean, clean

    def truth(self) -> dict[str, float] | None:
        """Return the ingredients of its photos, even over what is synthesised; None where nobody told."""
        kinds = list(self.degrade)
        if self.sigma is not None:
            kinds = ["noise"]
        elif self.clean or self.jpeg is not None:
            kinds = ["clean"]
        elif self.first and not kinds:
            kinds = [self.first]
        return {kind: 1 / len(kinds) for kind in kinds} or None

    def _sources(self) -> list[str]:
        """Return which of the ways to make an input from a clean photo are asked for."""
        unset: dict[str, object] = {"sigma": None, "jpeg": None, "degrade": {}, "clean": False}
        return [name for name, nothing in unset.items() if getattr(self, name) != nothing]


def parse_data(texts: Iterable[str]) -> dict[str, SetSpec]:
    """Read several sets as `parse_set` does; two of one name are a `ValueError` as well."""
    data: dict[str, SetSpec] = {}
    for name, spec in map(parse_set, texts):
        _expect(name not in data, "data", f"two sets {name}", "a name of its own for each")
        data[name] = spec
    return data


def parse_set(text: str) -> tuple[str, SetSpec]:
    """Read `NAME=FOLDER[:OPTION]...` with the options in `OPTIONS`; `SetSpec` has their meaning.

    Unless `first` is given, it is the degradation that NAME contains, if it contains exactly one.
    Of an option given twice, the last counts. Raise `ValueError`, one line, for anything else.
    """
    parts = re.fullmatch(r"([\w.-]+)=([^:].*)", text)
    if not parts:
        raise ValueError(f"data: got {text!r}, expected NAME=FOLDER[:OPTION]..., OPTION {_FORMS}")
    folder, *options = re.split(r":(?![\\/])", parts[2])  # but not at the colon of C:\ or C:/
    values: dict[str, Any] = {"first": _degradation_in(parts[1])}
    try:
        values |= map(_option, options)
        return parts[1], SetSpec(Path(folder), **values)
    except ValueError as error:
        raise ValueError(f"data {text!r}: {error}") from None


def _option(text: str) -> tuple[str, object]:
    key, _, value = text.partition("=")
    _expect(key in OPTIONS, "option", text, _FORMS)
    form, convert = OPTIONS[key]
    if key == "degrade":
        return key, convert(value)  # it says itself what is wrong
    try:
        return key, convert(value)
    except (ValueError, KeyError):
        raise ValueError(f"option: got {text}, expected {form}") from None


OPTIONS: dict[str, tuple[str, Callable[[str], object]]] = {
    "sigma": ("sigma=NUMBER", float),
    "jpeg": ("jpeg=QUALITY", int),
    "degrade": ("degrade=KIND[@STRENGTH][+KIND[@STRENGTH]]...", partial(parse_kinds, strength=DEFAULT_STRENGTH)),
    "clean": ("clean", {"": True}.__getitem__),
    "limit": ("limit=COUNT", int),
    "first": ("first=INGREDIENT|none", lambda text: None if text == "none" else canonical(text)),
}
"""Options of a set: how each is written, and what reads its value."""
_FORMS = ", ".join(form for form, _ in OPTIONS.values())


def _degradation_in(name: str) -> str | None:
    """Return the one degradation a set's name contains, but not inside a word: `train` has none."""
    found = [kind for kind in NAMES if re.search(f"(?<![a-z]){kind}", name.lower())]
    return found[0] if len(found) == 1 else None


def _expect(right: bool, field: str, got: object, expected: str) -> None:
    if not right:
        raise ValueError(f"{field}: got {got}, expected {expected}")


def to_planes(pixels: Pixels8) -> torch.Tensor:
    """Return (H, W, 3) as (3, H, W) in [0, 1]."""
    return torch.from_numpy(pixels).permute(2, 0, 1) / 255


def to_pixels(image: torch.Tensor) -> Pixels8:
    """Truncate (3, H, W) in [0, 1] to 8 bit, (H, W, 3)."""
    levels = (to_8_bit(image) * 255).round().byte()
    return np.ascontiguousarray(levels.permute(1, 2, 0).numpy())
