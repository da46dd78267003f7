"""Many files: which photo goes where, one after the other, and none lost because another is broken."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from idrestore import image
from idrestore.data.degrade import mix
from idrestore.data.pairs import read_8_bit, to_pixels
from idrestore.guard import find_redactions, mask_of
from idrestore.image import ImageError
from idrestore.provenance import stamped
from idrestore.restore import Progress, Restorer

SUBSTITUTES = {".heic": ".jpg", ".heif": ".jpg"}
"""Endings of formats that can be read but not written, and what is written instead."""
FILE_ERRORS = (ImageError, OSError, ValueError, RuntimeError, MemoryError)
"""What one photo may raise without stopping the others."""


class Job(NamedTuple):
    """One photo to restore."""

    source: Path
    target: Path


class Problem(NamedTuple):
    """Something asked for that cannot be done, in one line."""

    source: Path
    message: str


class Outcome(NamedTuple):
    """What became of a job."""

    job: Job
    error: str
    """One line; empty if all went well"""
    ingredients: dict[str, float]
    notes: tuple[str, ...]
    """What reading or writing changed or left out"""
    seconds: float


def plan(inputs: Sequence[Path], out: Path) -> tuple[list[Job], list[Problem]]:
    """Decide where each photo goes: folders are searched to the bottom and mirrored in `out`.

    `out` is a folder, or a file's name if there is a single photo and the name ends like a picture. Two photos that
    would meet in one file, a photo that would be overwritten by its own result, and inputs that are missing or hold no
    photo are problems.
    """
    found: list[tuple[Path, Path]] = []
    problems: list[Problem] = []
    for source in inputs:
        photos = _photos_in(source, out)
        if not photos:
            problems.append(Problem(source, _why_nothing(source)))
        found += photos
    found = list(dict.fromkeys(found))  # a photo named twice is one photo
    if len(found) == 1 and image.is_supported(out) and not out.is_dir():
        return _checked([Job(found[0][0], out)], problems)
    return _checked([Job(path, out / _writable(relative)) for path, relative in found], problems)


def restore_files(
    restorer: Restorer,
    jobs: Sequence[Job],
    strength: float = 1.0,
    only: Collection[str] | None = None,
    overwrite: bool = False,
    max_pixels: int = image.MAX_PIXELS,
    progress: Callable[[Job, int, int], None] = lambda job, done, total: None,
    guard: bool = True,
    protect: Path | None = None,
    provenance: bool = True,
) -> Iterator[Outcome]:
    """Restore one photo after the other and say of each how it went; a failure never stops the rest.

    `guard` leaves alone what `find_redactions` finds, `protect` what is white in a picture of the photos' size;
    `provenance` writes into the results' metadata how they were made.
    """
    for job in jobs:
        start = perf_counter()
        try:
            if job.target.exists() and not overwrite:
                raise ImageError(f"{job.target} exists already: pass --overwrite to replace it")

            def tell(done: int, total: int, job: Job = job) -> None:
                progress(job, done, total)

            options = (strength, only, overwrite, max_pixels, guard, protect, provenance)
            ingredients, notes = _restore_file(restorer, job, *options, tell)
            yield Outcome(job, "", ingredients, notes, perf_counter() - start)
        except FILE_ERRORS as error:
            yield Outcome(job, one_line(job.source, error), {}, (), perf_counter() - start)


def one_line(source: Path, error: Exception) -> str:
    """Say in one line, with the file's name, what went wrong."""
    message = " ".join(str(error).split()) or type(error).__name__
    return message if source.name in message else f"{source}: {message}"


def degrade_file(source: Path, degraded: Path, clean: Path, strengths: Mapping[str, float], seed: int) -> None:
    """Write a pair of 8-bit PNG files from a clean photo: the photo degraded, and as it is."""
    pixels = read_8_bit(source)
    planes = torch.from_numpy(pixels).permute(2, 0, 1) / 255
    made = to_pixels(mix(planes, dict(strengths), seed))
    for path, values in ((clean, pixels), (degraded, made)):
        path.parent.mkdir(parents=True, exist_ok=True)
        image.write(values, path, image.Photo(pixels))


def _restore_file(
    restorer: Restorer,
    job: Job,
    strength: float,
    only: Collection[str] | None,
    overwrite: bool,
    max_pixels: int,
    guard: bool,
    protect: Path | None,
    provenance: bool,
    progress: Progress,
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Read, restore, write."""
    photo = image.read(job.source, max_pixels)
    mask, notes = _left_alone(photo.pixels, guard, protect, max_pixels)
    result = restorer.restore(photo.pixels, strength, only, progress, protect=mask)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    if provenance:
        photo, missing = stamped(photo, restorer.model.path.stem, restorer.model.sha256, result.ingredients)
        notes = (*notes, *missing)
    lost = image.write(result.image, job.target, photo, overwrite=overwrite)
    return result.ingredients, (*photo.notes, *notes, *lost)


def _left_alone(
    pixels: image.Pixels, guard: bool, protect: Path | None, max_pixels: int
) -> tuple[NDArray[np.bool_] | None, tuple[str, ...]]:
    """Return the mask (H, W) of what restoring must not touch, None if there is nothing, and say so in words."""
    height, width = pixels.shape[:2]
    mask, notes = np.zeros((height, width), np.bool_), []
    if protect is not None:
        painted = image.read(protect, max_pixels).pixels
        if painted.shape != pixels.shape:
            found = f"{painted.shape[1]} x {painted.shape[0]}"
            raise ImageError(f"the mask {protect} has {found} pixels: expected the photo's {width} x {height}")
        mask |= painted[..., 1] > np.iinfo(painted.dtype).max // 2
        notes.append(f"{mask.mean():.1%} of the photo was left alone, as {protect.name} says")
    regions = find_redactions(pixels) if guard else []
    if regions:
        mask |= mask_of(regions, height, width)
        kinds = ", ".join(sorted({region.kind for region in regions}))
        notes.append(f"{len(regions)} regions that look redacted ({kinds}) were left alone; --no-guard restores them")
    return (mask if mask.any() else None), tuple(notes)


def _photos_in(source: Path, out: Path) -> list[tuple[Path, Path]]:
    """Return the photos of a file or a folder, each with its path relative to what was asked for."""
    if source.is_file():
        return [(source, Path(source.name))]
    return [
        (path, path.relative_to(source))
        for path in sorted(source.rglob("*"))
        if path.is_file()
        and image.is_supported(path)
        and not any(part.startswith(".") for part in path.relative_to(source).parts)
        and not _is_inside(path, out, source)
    ]


def _is_inside(path: Path, out: Path, source: Path) -> bool:
    """Tell whether `path` is an earlier result: inside `out`, where `out` lies below the folder `source`."""
    out = out.resolve()
    return source.resolve() in out.parents and out in path.resolve().parents


def _why_nothing(source: Path) -> str:
    """Say in one line why an input gives no photo."""
    if not source.exists():
        return f"{source}: no such file or folder"
    return f"{source}: no photos in this folder, expected files ending in {', '.join(sorted(image.SUFFIXES))}"


def _writable(relative: Path) -> Path:
    """Replace an ending that cannot be written."""
    return relative.with_suffix(SUBSTITUTES.get(relative.suffix.lower(), relative.suffix))


def _checked(jobs: list[Job], problems: list[Problem]) -> tuple[list[Job], list[Problem]]:
    """Sort out jobs that would overwrite a photo of this plan, or one another's result."""
    sources = {job.source.resolve() for job in jobs}
    taken: dict[Path, Path] = {}
    good: list[Job] = []
    for job in jobs:
        target = job.target.resolve()
        if target in sources:
            message = f"{job.target} is one of the photos to restore and stays as it is: choose another -o"
            problems.append(Problem(job.source, message))
        elif target in taken:
            message = f"{job.source}: its result would replace that of {taken[target]}: restore them apart"
            problems.append(Problem(job.source, message))
        else:
            taken[target] = job.source
            good.append(job)
    return good, problems
