"""Whether what a manifest says is still so: every result is there, as it was written, and can be read whole."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from idrestore.batch.manifest import FOLDER, IN_PLACE, Entry, ManifestError, entries_of_others, latest, path_of, planned
from idrestore.configuration import one_line
from idrestore.files import image


class Verdict(NamedTuple):
    """What was found of a result."""

    path: Path
    status: Literal["good", "missing", "changed", "unreadable", "failed", "never made"]
    """Failed: there is no result to look at, as the photo was not restored; never made: no run came to it"""
    message: str
    """One line; empty if it is good"""


def verify(out: Path) -> Iterator[Verdict]:
    """Look at every result that the manifests of a folder know, and at what runs were to make and did not.

    Each file is read twice: for its hash, and decoded to the last pixel (of several pages, the first). Raise
    `ManifestError`, before the first, if there is no manifest, or one that cannot be read.
    """
    if not out.exists():
        raise ManifestError(f"{out}: no such folder, expected one that restore wrote results to")
    if not list((out / FOLDER).glob("manifest*.sqlite")):
        raise ManifestError(f"{out} has no manifest: expected a folder that restore wrote results to")
    known = latest(entries_of_others(out / FOLDER))
    unmade = planned(out / FOLDER) - known.keys()
    return (
        _verdict(path_of(out, name), known[name]) if name in known else _unmade(path_of(out, name))
        for name in sorted(known.keys() | unmade)
    )


def _unmade(path: Path) -> Verdict:
    return Verdict(path, "never made", f"{path} was never made: the same command goes on")


def _verdict(path: Path, entry: Entry) -> Verdict:
    """Compare a result with its record."""
    if entry.status not in IN_PLACE:
        reason = entry.error or "the run that was at work on it was killed: the same command goes on"
        return Verdict(path, "failed", f"{path} was not made ({reason})")
    if not path.is_file():
        return Verdict(path, "missing", f"{path} is missing: the same command makes it again")
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != entry.output_sha256:
            return Verdict(path, "changed", f"{path} was changed since it was made")
        width, height = image.size(path)
        image.read(path, max_pixels=width * height)
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        reason = one_line(error)
        return Verdict(path, "unreadable", reason if str(path) in reason else f"{path} cannot be read ({reason})")
    return Verdict(path, "good", "")
