"""What belongs to a photo beside its file: sidecars of XMP, and the date of the file."""

import os
from pathlib import Path

from idrestore import atomic
from idrestore.files import xmp

_ENDINGS = (".xmp", ".XMP")


def accompany(source: Path, target: Path, keep_dates: bool) -> tuple[str, ...]:
    """Give a result its photo's sidecars and, if wanted, the date of its file; return what became of them, in words.

    A sidecar is IMG_1.xmp or IMG_1.jpg.xmp beside IMG_1.jpg. One that is there with other contents is never replaced.
    """
    try:
        notes = tuple(filter(None, (_copied(sidecar, source, target) for sidecar in sidecars(source))))
    except OSError as error:
        notes = (f"sidecars were not looked for ({error.strerror})",)
    if keep_dates:
        try:
            dates = source.stat()
            os.utime(target, ns=(dates.st_atime_ns, dates.st_mtime_ns))
        except OSError as error:
            notes = (*notes, f"the date of the file was not kept ({error.strerror})")
    return notes


def sidecars(photo: Path) -> tuple[Path, ...]:
    """Return a photo's sidecars, a file once whatever the disk makes of large letters."""
    found: list[Path] = []
    for name in (photo.stem, photo.name):
        for path in (photo.with_name(name + ending) for ending in _ENDINGS):
            if path.is_file() and not any(path.samefile(other) for other in found):
                found.append(path)
    return tuple(found)


def _copied(sidecar: Path, source: Path, target: Path) -> str:
    name = target.stem if sidecar.stem == source.stem else target.name
    copy = target.with_name(name + sidecar.suffix)
    try:
        content = xmp.consistent(sidecar.read_bytes())
        if copy.exists():
            same = copy.samefile(sidecar) or copy.read_bytes() == content
            return "" if same else f"the sidecar {sidecar.name} was not copied: {copy.name} is there already"
        with atomic.replacing(copy, atomic.mode_of(sidecar)) as file:
            file.write(content)
    except OSError as error:
        return f"the sidecar {sidecar.name} was not copied ({error.strerror})"
    return f"the sidecar {sidecar.name} was copied"
