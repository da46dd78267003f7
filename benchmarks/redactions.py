"""Measure `idrestore.guard`: how many redactions it finds, and its false alarms on photos that have none.

    python benchmarks/redactions.py NAME=FOLDER... [--limit N] [--seed S]

prints two tables. Every photo gets one redaction of each kind in turn, drawn from (seed, photo, kind).

    python benchmarks/redactions.py --times PHOTO

prints how long the search takes in the photo, mirrored up to 9, 16 and 48 megapixels, and in rows of small bars.
"""

import argparse
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from time import perf_counter, process_time
from typing import NamedTuple, TypeVar

import numpy as np
import pyvips
from numpy.typing import NDArray

from idrestore.files import image
from idrestore.restoration.guard import find_redactions, mask_of

Key = TypeVar("Key")
Picture = NDArray[np.uint8]
KINDS = ("bar", "mosaic", "blur")
COVERED = 0.95
"""Share of a redaction's pixels that must lie inside regions found for it to count as found."""
CONTENT = 20
"""Standard deviation, in levels, of what is worth hiding; where a photo has no such place, any will do."""
SMALLEST = 32
"""Shorter side of a redaction, px, at least."""
MEGAPIXELS = (9, 16, 48)
"""Of the pictures in which the search is timed, 4:3."""


class Redacted(NamedTuple):
    """A photo with one redaction, and where it is."""

    picture: Picture
    mask: NDArray[np.bool_]


def redact(picture: Picture, kind: str, rng: np.random.Generator) -> Redacted:
    """Cover one rectangle or ellipse of (H, W, 3): 10 to 35 % of the photo's shorter side, anywhere inside it."""
    height, width = picture.shape[:2]
    side = max(SMALLEST, rng.uniform(0.1, 0.35) * min(height, width))
    aspect = rng.uniform(1, 3 if kind == "bar" else 1.5)
    tall, wide = round(side), round(min(side * aspect, 0.6 * width))
    for _ in range(50):  # until there is something to hide
        top, left = int(rng.integers(4, height - tall - 3)), int(rng.integers(4, width - wide - 3))
        if picture[top : top + tall, left : left + wide].mean(axis=2).std() >= CONTENT:
            break
    mask = np.zeros((height, width), np.bool_)
    mask[top : top + tall, left : left + wide] = _shape(tall, wide, kind != "bar" and rng.random() < 0.5)
    changed = {"bar": _painted, "mosaic": _pixelated, "blur": _blurred}[kind](picture, mask, side, rng)
    return Redacted(np.where(mask[..., None], changed, picture), mask)


def _shape(tall: int, wide: int, round_: bool) -> NDArray[np.bool_]:
    if not round_:
        return np.ones((tall, wide), np.bool_)
    y, x = np.mgrid[:tall, :wide]
    ellipse: NDArray[np.bool_] = ((y + 0.5) / tall - 0.5) ** 2 + ((x + 0.5) / wide - 0.5) ** 2 <= 0.25
    return ellipse


def _painted(picture: Picture, mask: NDArray[np.bool_], side: float, rng: np.random.Generator) -> Picture:
    """Use black, white, grey or any colour."""
    colour = (np.zeros(3), np.full(3, 255), np.full(3, rng.integers(256)), rng.integers(0, 256, 3))[rng.integers(4)]
    return np.broadcast_to(colour.astype(np.uint8), picture.shape)


def _pixelated(picture: Picture, mask: NDArray[np.bool_], side: float, rng: np.random.Generator) -> Picture:
    """Average square blocks, 5 to 12 of them along the side, on a grid that starts at the redaction or the photo."""
    block = max(4, round(side / rng.uniform(5, 12)))
    rows, columns = (np.flatnonzero(mask.any(axis=axis))[0] % block for axis in (1, 0))
    start = (rows, columns) if rng.random() < 0.5 else (0, 0)
    labels = [(np.arange(size) - first) // block for size, first in zip(mask.shape, start, strict=True)]
    labels = [label - label.min() for label in labels]
    sums, counts = (
        np.zeros((labels[0].max() + 1, labels[1].max() + 1, 3)),
        np.zeros((labels[0].max() + 1, labels[1].max() + 1, 1)),
    )
    np.add.at(sums, (labels[0][:, None], labels[1][None]), picture)
    np.add.at(counts, (labels[0][:, None], labels[1][None]), 1)
    blocks: Picture = (sums / counts).round().astype(np.uint8)[labels[0]][:, labels[1]]
    return blocks


def _blurred(picture: Picture, mask: NDArray[np.bool_], side: float, rng: np.random.Generator) -> Picture:
    """Blur by a Gaussian whose σ is a twelfth to a sixth of the side, at least 4 px."""
    sigma = max(4.0, side / rng.uniform(6, 12))
    blurred: Picture = pyvips.Image.new_from_array(picture, interpretation="srgb").gaussblur(sigma).numpy()
    return blurred


def as_jpeg(picture: Picture, quality: int) -> Picture:
    """Save and read again, as JPEG with halved colours."""
    data = pyvips.Image.new_from_array(picture, interpretation="srgb").jpegsave_buffer(Q=quality, subsample_mode="on")
    return image.read(data).pixels


def noisy(picture: Picture, rng: np.random.Generator) -> Picture:
    """Add Gaussian noise of σ 25."""
    return (picture + rng.normal(0, 25, picture.shape)).clip(0, 255).astype(np.uint8)


def framed(picture: Picture) -> Picture:
    """Black bars above and below, as of a film, and a white rim, as of a scan."""
    wide = np.pad(picture, ((len(picture) // 8, len(picture) // 8), (0, 0), (0, 0)))
    return np.pad(wide, ((9, 9), (9, 9), (0, 0)), constant_values=255)


def overexposed(picture: Picture) -> Picture:
    """Twice the light, clipped."""
    return np.minimum(picture.astype(np.uint16) * 2, 255).astype(np.uint8)


VERSIONS: dict[str, Callable[[Picture, np.random.Generator], Picture]] = {
    "as it is": lambda picture, rng: picture,
    "JPEG 90": lambda picture, rng: as_jpeg(picture, 90),
    "JPEG 75": lambda picture, rng: as_jpeg(picture, 75),
    "JPEG 30": lambda picture, rng: as_jpeg(picture, 30),
    "noise σ 25": noisy,
    "framed": lambda picture, rng: framed(picture),
    "overexposed": lambda picture, rng: overexposed(picture),
}
"""What photos without redactions are turned into."""
SAVED = ("as it is", "JPEG 90", "JPEG 75")
"""How a photo is saved after it was redacted."""


class Measured(NamedTuple):
    """What came out for one set of photos."""

    found: dict[tuple[str, str], list[float]]
    """Share of each redaction that is inside a region, by kind and version"""
    beyond: dict[tuple[str, str], list[float]]
    """Share of the photo that is inside a region and not redacted, by kind and version"""
    false: dict[str, list[float]]
    """Share of a photo without redaction that is inside a region, by version"""
    seconds: list[float]
    """A megapixel"""


def measure(folder: Path, limit: int, seed: int) -> Measured:
    """Redact the photos of a folder, and leave them as they are, and look for redactions."""
    result = Measured({}, {}, {}, [])
    for number, picture in enumerate(photos_of(folder, limit)):
        for version, change in VERSIONS.items():
            changed = change(picture, np.random.default_rng([seed, number, 99]))
            start = perf_counter()
            result.false.setdefault(version, []).append(float(inside(changed).mean()))
            result.seconds.append((perf_counter() - start) / changed[..., 0].size * 1e6)
        for index, kind in enumerate(KINDS):
            redacted = redact(picture, kind, np.random.default_rng([seed, number, index]))
            for version in SAVED:
                mask = inside(VERSIONS[version](redacted.picture, np.random.default_rng(0)))
                result.found.setdefault((kind, version), []).append(float(mask[redacted.mask].mean()))
                result.beyond.setdefault((kind, version), []).append(float((mask & ~redacted.mask).mean()))
    return result


def inside(picture: Picture) -> NDArray[np.bool_]:
    """Return the mask of the regions found."""
    return mask_of(find_redactions(picture), *picture.shape[:2])


def photos_of(folder: Path, limit: int) -> Iterator[Picture]:
    """Yield photos (H, W, 3) uint8 in the order of their names; `limit` takes that many, evenly spread, 0 all."""
    paths = sorted(path for path in folder.rglob("*") if image.is_supported(path))
    for path in paths[:: -(-len(paths) // limit)] if limit else paths:
        pixels = image.read(path).pixels
        yield pixels if pixels.dtype == np.uint8 else (pixels // 257).astype(np.uint8)


def times(photo: Picture) -> Iterator[str]:
    """Give the seconds of processor time that the search takes in large pictures, and how many regions it finds."""
    yield "| megapixels | bars | rows of bars, s | found | photo, s | found |\n|" + "---|" * 6
    for megapixels in MEGAPIXELS:
        height, width = (round((megapixels * 1e6 * ratio) ** 0.5) for ratio in (3 / 4, 4 / 3))
        y, x = np.mgrid[:height, :width]
        bars = np.where((y % 24 < 12) & (x % 40 < 28), 20, 200).astype(np.uint8)
        cells = [f"{megapixels}", f"{(height // 24) * (width // 40):,}"]
        for picture in (bars, np.pad(photo, ((0, height), (0, width), (0, 0)), mode="symmetric")[:height, :width]):
            start = process_time()
            number = len(find_redactions(picture))
            cells += [f"{process_time() - start:.2f}", f"{number:,}"]
        yield f"| {' | '.join(cells)} |"


def found_table(sets: dict[str, Measured]) -> Iterator[str]:
    """Give the share of redactions found, and in brackets the mean share of the photo left alone besides."""
    columns = [(kind, version) for kind in KINDS for version in SAVED]
    yield "| photos | number | " + " | ".join(f"{kind}, {version}" for kind, version in columns) + " |"
    yield "|---" * (len(columns) + 2) + "|"
    for name, one in sets.items():
        cells = [
            f"{np.mean(np.array(one.found[key]) >= COVERED):.0%} ({np.mean(one.beyond[key]):.1%})" for key in columns
        ]
        yield f"| {name} | {len(one.false['as it is'])} | " + " | ".join(cells) + " |"


def false_table(sets: dict[str, Measured]) -> Iterator[str]:
    """Give the share of photos with any region, and in brackets the share of pixels."""
    yield "| photos | number | " + " | ".join(VERSIONS) + " | s a megapixel |"
    yield "|---" * (len(VERSIONS) + 3) + "|"
    for name, one in sets.items():
        cells = [f"{np.mean(np.array(one.false[key]) > 0):.0%} ({np.mean(one.false[key]):.2%})" for key in VERSIONS]
        row = " | ".join(cells)
        yield f"| {name} | {len(one.false['as it is'])} | {row} | {np.median(one.seconds):.2f} |"


def together(sets: dict[str, Measured]) -> Measured:
    """Pool all sets."""
    ones = list(sets.values())

    def pool(tables: list[dict[Key, list[float]]]) -> dict[Key, list[float]]:
        return {key: list(chain(*(table[key] for table in tables))) for key in tables[0]}

    return Measured(
        pool([one.found for one in ones]),
        pool([one.beyond for one in ones]),
        pool([one.false for one in ones]),
        list(chain(*(one.seconds for one in ones))),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="NAME=FOLDER", help="folders are searched to the bottom")
    parser.add_argument("--limit", type=int, default=0, help="photos of a set; 0 = all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--times", type=Path, metavar="PHOTO", help="time the search in large pictures instead")
    arguments = parser.parse_args()
    if arguments.times or not arguments.sets:
        print("\n".join(times(image.read(arguments.times).pixels) if arguments.times else [parser.format_usage()]))
        return
    pairs = [text.partition("=") for text in arguments.sets]
    sets = {name: measure(Path(folder), arguments.limit, arguments.seed) for name, _, folder in pairs}
    if len(sets) > 1:
        sets["all"] = together(sets)
    print("\n".join([*found_table(sets), "", *false_table(sets)]))


if __name__ == "__main__":
    main()
