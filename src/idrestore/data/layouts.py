"""Where photos lie: the folders of the usual data sets, and which photo is whose counterpart.

>>> [*candidates("0001_0.8_0.2")], [*candidates("rain-007")]
(['0001_0.8_0.2', '0001'], ['rain-007', 'norain-007'])
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from idrestore.files.image import SUFFIXES, is_supported

FOLDERS: tuple[tuple[str, str], ...] = (
    ("degraded", "clean"),
    ("input", "target"),
    ("low", "high"),  # LOL
    ("low", "normal"),  # LOL v2
    ("blur", "sharp"),  # GoPro, in a folder a sequence
    ("hazy", "gt"),  # RESIDE indoor
    ("hazy", "clear"),  # RESIDE and SOTS outdoor
    ("haze", "clear"),
    ("synthetic", "original"),  # RESIDE outdoor, as the all-in-one research scripts lay it out
    ("rain", "norain"),  # Rain200L, Rain200H
    ("rainy", "gt"),
    ("rainy", ""),  # Rain100L, Rain100H as published: the clean photos lie beside the folder
    ("lq", "hq"),  # UDC: T-OLED, P-OLED
)
"""Names, in any case, of the two folders of a set of pairs: degraded, clean."""
COUNTERPARTS: tuple[tuple[str, str], ...] = (
    (r"(.+)", r"\1"),
    (r"(.+?)(_[\d.]+)+", r"\1"),  # RESIDE: 0001_0.8_0.2 and 1400_3 name the clean photo, then the haze
    (r"rain-(\d+)", r"norain-\1"),  # Rain100L, Rain100H
    (r"(norain-\d+)x2", r"\1"),  # Rain200L, Rain200H
    (r"low(\d+)", r"normal\1"),  # LOL v2
)
"""A degraded photo's name without suffix, and the clean one's; the first that exists counts."""
ORIGINALS = ("original_png", "original", "hr")
"""Subfolders, in any case, in which CBSD68 and Urban100 keep the clean photos beside degraded ones."""
UNREADABLE = frozenset({".ppm", ".pgm", ".mat", ".npy"})
"""Endings of pictures that some data sets have and that are not read."""


class Pair(NamedTuple):
    """The files of one degraded photo and its clean counterpart."""

    degraded: Path
    clean: Path


class Pairs(NamedTuple):
    """What a folder of pairs holds."""

    matched: tuple[Pair, ...]
    unmatched: tuple[Path, ...]
    """Photos of either side without counterpart; never to be dropped without a word."""


def list_photos(folder: Path) -> list[Path]:
    """Return the clean photos in `folder` and below it, by name; of one that has `ORIGINALS`, only those.

    Raise `NotADirectoryError` if there is no such folder, `ValueError` if it holds no photo, or pairs: their degraded
    halves are not clean.
    """
    originals = [path for path in _subfolders(folder) if path.name.lower() in ORIGINALS]
    if len(originals) == 1:
        folder = originals[0]
    pairs = next(_sides_below(folder), None)
    if pairs:
        raise ValueError(f"{folder}: holds pairs ({pairs[0]}), expected clean photos alone: name their own folder")
    return _some_photos(folder)


def find_pairs(folder: Path) -> Pairs:
    """Match the photos of a set of pairs, or of several that lie below `folder`, such as the sequences of a film.

    A set is a folder with two subfolders that are one row of `FOLDERS`. Photos match if they lie at the same place in
    both and `COUNTERPARTS` makes the clean one's name of the degraded one's; where all clean photos lie in one folder,
    the degraded ones may be spread over several. Suffixes may differ (`0001.jpg`, `0001.png`). Raise `ValueError` if
    there is no set, a set of two rows, or if two photos of one side differ in nothing but their suffix.
    """
    sets = [_match(*sides) for sides in _sides_below(folder)]
    if not sets:
        raise ValueError(f"{folder}: got 0 pairs of subfolders, expected {_EXPECTED}")
    return Pairs(*(tuple(row for pairs in sets for row in pairs[side]) for side in (0, 1)))  # type: ignore[arg-type]


def candidates(stem: str) -> Iterator[str]:
    """Yield the names that the clean counterpart of a degraded photo may have, all without suffix."""
    for pattern, clean in COUNTERPARTS:
        if match := re.fullmatch(pattern, stem):
            yield match.expand(clean)


def unreadable(folder: Path) -> list[Path]:
    """Return the pictures in `folder` and below it whose format is not read, by name."""
    return sorted(path for path in _files(folder) if path.suffix.lower() in UNREADABLE)


_EXPECTED = "one: " + " or ".join(f"{degraded}/{clean or '.'}" for degraded, clean in FOLDERS)


def _subfolders(folder: Path) -> list[Path]:
    """Return the folders directly in `folder`, by name, without hidden ones."""
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: no such folder")
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    """Return all files in `folder` and below it, without hidden ones."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _some_photos(folder: Path, deep: bool = True) -> list[Path]:
    """Return the photos in `folder`, and below it if `deep`, by name; raise `ValueError` if there are none."""
    photos = sorted(path for path in _files(folder) if is_supported(path) and (deep or path.parent == folder))
    if not photos:
        raise ValueError(f"{folder}: no photos, expected files in {' '.join(sorted(SUFFIXES))}")
    return photos


def _sides_below(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the subfolders of the degraded and of the clean photos of every set in `folder`."""
    subfolders = _subfolders(folder)
    found = {path.name.lower(): path for path in subfolders}
    if any(is_supported(path) and not path.name.startswith(".") for path in folder.iterdir()):
        found[""] = folder
    sides = [(found[degraded], found[clean]) for degraded, clean in FOLDERS if degraded in found and clean in found]
    if len(sides) > 1:
        raise ValueError(f"{folder}: got {len(sides)} pairs of subfolders, expected {_EXPECTED}")
    if sides:
        yield sides[0]
        return
    for subfolder in subfolders:
        yield from _sides_below(subfolder)


def _match(degraded: Path, clean: Path) -> Pairs:
    """Match the photos of two folders."""
    clean_photos = _by_place(clean, deep=clean not in degraded.parents)
    places = {place.parent for place in clean_photos}
    matched, unmatched = [], []
    for place, path in _by_place(degraded).items():
        parents = dict.fromkeys((place.parent, *(places if len(places) == 1 else ())))
        wanted = (parent / name for name in candidates(place.name) for parent in parents)
        counterpart = next((clean_photos[key] for key in wanted if key in clean_photos), None)
        if counterpart:
            matched.append(Pair(path, counterpart))
        else:
            unmatched.append(path)
    used = {pair.clean for pair in matched}
    return Pairs(tuple(matched), (*unmatched, *(path for path in clean_photos.values() if path not in used)))


def _by_place(folder: Path, deep: bool = True) -> dict[Path, Path]:
    """Return the photos by their place in `folder`, without suffix."""
    photos: dict[Path, Path] = {}
    for path in _some_photos(folder, deep):
        place = path.relative_to(folder).with_suffix("")
        if place in photos:
            raise ValueError(f"{path.parent}: both {photos[place].name} and {path.name}, keep one")
        photos[place] = path
    return photos
