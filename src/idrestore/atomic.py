"""Files that appear whole or not at all, and what a killed process leaves of one that did not."""

import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Give a new file beside `path` that takes its place if, and only if, all went well; raise `OSError`.

    `mode` are its permissions from the start, those that the system masks left out.
    """
    temporary = path.with_name(f"{_prefix(path)}{uuid.uuid4().hex[:8]}.part")
    try:
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # or a power cut may leave an empty file of the final name
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def mode_of(source: Path) -> int:
    """Return who may read and write a file, for what is made from it; the owner alone if it is gone."""
    try:
        return source.stat().st_mode & 0o666
    except OSError:
        return 0o600


def check_writable(path: Path) -> None:
    """Raise `OSError` unless a file can be made beside `path`: permissions as listed do not tell."""
    probe = path.with_name(f"{_prefix(path)}{uuid.uuid4().hex[:8]}.part")
    probe.open("xb").close()
    probe.unlink()


def remove_leftovers(paths: Iterable[Path]) -> int:
    """Remove what killed writers of these files left beside them; return how many.

    Nobody else may be writing them meanwhile.
    """
    prefixes: dict[Path, set[str]] = {}
    for path in paths:
        prefixes.setdefault(path.parent, set()).add(_prefix(path))
    count = 0
    for folder, ours in prefixes.items():
        for leftover in folder.glob(".idrestore-*.part"):
            if leftover.name.rpartition("-")[0] + "-" in ours:
                leftover.unlink(missing_ok=True)
                count += 1
    return count


def _prefix(path: Path) -> str:
    """Return how temporary files for `path` begin: hidden, and not too long however long its name is."""
    return f".idrestore-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]}-"
