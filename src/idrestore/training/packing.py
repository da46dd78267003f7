"""Photos made small enough to travel to another machine: all of them, each as large as the limit lets it be."""

from collections.abc import Sequence
from pathlib import Path

from idrestore.atomic import replacing
from idrestore.files.reading import thumbnail

SIDES = (2048, 1600, 1280, 1024, 832, 704, 608, 512, 448, 384, 320, 256)
"""Longer sides, px, of which the largest that fits is taken"""
QUALITY = 92
EVERY = 8
"""A photo in so many tells how much all will take"""
MARGIN = 0.97
"""How much of the limit that estimate may reach"""


def pack(photos: Sequence[Path], folder: Path, megabytes: float) -> int:
    """Write photos as WebP of at most `megabytes` in all into a folder that is empty or new; return their longer side.

    Raises `ValueError` if even the smallest side is too large, or the folder holds something.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty, expected a new folder")
    limit = MARGIN * megabytes * 1e6
    probes = photos[::EVERY]
    for side in SIDES:
        if sum(len(thumbnail(path, side, QUALITY)) for path in probes) * len(photos) / max(1, len(probes)) > limit:
            continue
        packed = [thumbnail(path, side, QUALITY) for path in photos]
        if sum(map(len, packed)) <= megabytes * 1e6:
            folder.mkdir(parents=True, exist_ok=True)
            for number, (path, content) in enumerate(zip(photos, packed, strict=True)):
                with replacing(folder / f"{number:05}-{path.stem}.webp") as file:
                    file.write(content)
            return side
    raise ValueError(
        f"got {len(photos)} photos, too many for {megabytes:g} MB at {SIDES[-1]} px; name fewer, or more MB"
    )
