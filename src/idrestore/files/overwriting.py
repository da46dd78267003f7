"""What may be replaced: no file without leave, and never one that something is made from."""

import unicodedata
import uuid
from collections.abc import Iterable
from pathlib import Path

Identity = tuple[int, int]
"""Device and inode: the same for every path that leads to a file or a folder."""


def identity(path: Path) -> Identity | None:
    """Return what tells a file or folder from all others; None if there is none, or its disk has no such numbers."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found.st_ino else None


class Originals:
    """Files that stay as they are, and are known again by whatever path: links, other spellings, mounts, shares."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._by_identity: dict[Identity, Path] = {}
        self._by_place: dict[tuple[Identity | str, str], Path] = {}
        self._by_spelling: dict[tuple[str, int], list[Path]] = {}
        for path in paths:
            found = identity(path)
            if found:
                self._by_identity[found] = path
            self._by_place[_place(path)] = path
            if path.exists():
                self._by_spelling.setdefault((_spelling(path), path.stat().st_size), []).append(path)

    def met_by(self, target: Path) -> Path | None:
        """Return the original that a file written to `target` would replace, None if there is none."""
        found = identity(target)
        known = self._by_identity.get(found) if found else None
        if known or (known := self._by_place.get(_place(target))):
            return known
        if found is None and not target.exists():
            return None
        # Two mounts of one share are two devices: what is of the same name and size may still be the same file.
        alike = self._by_spelling.get((_spelling(target), target.stat().st_size), ())
        return next((path for path in alike if _is_one_folder(target.parent, path.parent)), None)

    def check(self, target: Path) -> None:
        """Raise `ValueError` if `target` is an original."""
        if original := self.met_by(target):
            also = "" if original == target else f" ({original})"
            raise ValueError(f"{target} is one of the inputs{also} and stays as it is: expected another place")


def check_free(
    targets: Iterable[Path],
    overwrite: bool = False,
    inputs: Iterable[Path] = (),
    advice: str = "pass --overwrite to replace it",
) -> None:
    """Raise `ValueError` if files may not be written: some are there, without `overwrite`, or are inputs, even with."""
    originals = Originals(inputs)
    for target in targets:
        originals.check(target)
        if target.is_dir():
            raise ValueError(f"{target} is a folder: expected the name of a file")
        if not overwrite and (target.exists() or target.is_symlink()):
            raise ValueError(f"{target} exists already: {advice}")


def _place(path: Path) -> tuple[Identity | str, str]:
    """Return a path's folder and its name there, which still hold when a file is replaced by one of another inode."""
    resolved = path.resolve()
    return identity(resolved.parent) or str(resolved.parent), resolved.name


def _spelling(path: Path) -> str:
    """Return a name as disks that do not tell large letters from small ones compare it."""
    return unicodedata.normalize("NFC", path.name).casefold()


def _is_one_folder(one: Path, other: Path) -> bool:
    """Tell whether a file that is made in one folder appears in the other."""
    name = f".idrestore-{uuid.uuid4().hex}.part"
    probe = one / name
    try:
        probe.open("xb").close()
    except OSError:
        return False  # then nothing can be replaced there either
    try:
        return (other / name).exists()
    finally:
        probe.unlink()
