"""Which photo goes where: folders mirrored, nothing met twice, no input overwritten; and who does which."""

import hashlib
import mimetypes
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from idrestore.batch.photo import Job
from idrestore.files import image
from idrestore.files.overwriting import Originals

SUBSTITUTES = {".heic": ".jpg", ".heif": ".jpg"}
"""Endings of formats that can be read but not written, and what is written instead."""


class Problem(NamedTuple):
    """Something asked for that cannot be done, in one line."""

    source: Path
    message: str


class Shard(NamedTuple):
    """One of several equal parts of the work, by a hash of where each result goes.

    >>> Shard.parse("2/3")
    Shard(number=2, total=3)
    """

    number: int
    """From 1"""
    total: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read "2/3"; raise `ValueError`."""
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        shard = cls(*map(int, match.groups())) if match else cls(0, 0)
        if not 1 <= shard.number <= shard.total:
            raise ValueError(f"shard: got {text!r}, expected NUMBER/TOTAL such as 1/4, 2/4, 3/4 and 4/4")
        return shard

    def holds(self, job: Job, out: Path) -> bool:
        """Tell whether a job is of this part: the same answer on every machine, whatever else there is to do."""
        relative = job.target.relative_to(out) if job.target.is_relative_to(out) else Path(job.target.name)
        digest = hashlib.sha256(os.fsencode(relative.as_posix())).digest()
        return int.from_bytes(digest[:8]) % self.total == self.number - 1


def plan(inputs: Sequence[Path], out: Path, writes_photos: bool = True) -> tuple[list[Job], list[Problem]]:
    """Decide where each photo goes: folders are searched to the bottom and mirrored in `out`.

    `out` is a folder, or a file's name if there is a single photo and the name ends like a picture. Two photos that
    would meet in one file, a photo that a result would overwrite (if `writes_photos`), and inputs that are missing or
    hold no photo are problems. Raise `ValueError` if `out` names a file where there has to be a folder, or one that
    cannot be written, and `OSError` for names that no file can have.
    """
    found: list[tuple[Path, Path]] = []
    problems: list[Problem] = []
    for source in inputs:
        photos = _photos_in(source, out)
        if not photos:
            problems.append(Problem(source, _why_nothing(source)))
        found += photos
    found = list(dict.fromkeys(found))  # a photo named twice is one photo
    if found and _is_named_like_a_file(out):
        if len(found) > 1:
            raise ValueError(f"{out} is a file's name: expected a folder for the results of {len(found)} photos")
        image.check_target(out)
        jobs = [Job(found[0][0], out)]
    else:
        jobs = [Job(path, out / writable(relative)) for path, relative in found]
    return _checked(jobs, problems, Originals(path for path, _ in found if writes_photos))


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


def _is_named_like_a_file(out: Path) -> bool:
    """Tell whether the results' place was meant to be one picture: ours, or of a kind that is not written here."""
    kind = mimetypes.guess_type(out.name)[0] or ""
    return not out.is_dir() and (image.is_supported(out) or kind.startswith(("image/", "video/")))


def _is_inside(path: Path, out: Path, source: Path) -> bool:
    """Tell whether `path` is an earlier result: inside `out`, where `out` lies below the folder `source`."""
    out = out.resolve()
    return source.resolve() in out.parents and out in path.resolve().parents


def _why_nothing(source: Path) -> str:
    """Say in one line why an input gives no photo."""
    if not source.exists():
        return f"{source}: no such file or folder"
    return f"{source}: no photos in this folder, expected files ending in {', '.join(sorted(image.SUFFIXES))}"


def writable(relative: Path) -> Path:
    """Return a photo's name as that of its result: an ending that cannot be written is replaced."""
    return relative.with_suffix(SUBSTITUTES.get(relative.suffix.lower(), relative.suffix))


def _checked(jobs: list[Job], problems: list[Problem], originals: Originals) -> tuple[list[Job], list[Problem]]:
    """Sort out jobs that would replace one of the photos, or one another's result."""
    taken: dict[Path, Path] = {}
    good: list[Job] = []
    for job in jobs:
        target = job.target.resolve()
        if originals.met_by(job.target):
            message = f"{job.target} is one of the photos to restore and stays as it is: choose another -o"
            problems.append(Problem(job.source, message))
        elif target in taken:
            message = f"{job.source}: its result would replace that of {taken[target]}: restore them apart"
            problems.append(Problem(job.source, message))
        else:
            taken[target] = job.source
            good.append(job)
    return good, problems
