"""One photo: read, restored, written; each step a function of values, so that any process may do it."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idrestore.batch.job import Encoded, Job, is_short_of_memory, kind_of
from idrestore.batch.settings import Settings
from idrestore.files import image, pages
from idrestore.files.exif import Directory
from idrestore.files.formats import format_named
from idrestore.files.image import ImageError
from idrestore.files.provenance import add_provenance
from idrestore.restoration.guard import find_redactions, mask_of
from idrestore.restoration.restorer import Progress, Restorer

BYTES_PER_PIXEL, METADATA_BYTES = 16, 1 << 28
"""Of the largest file that is read: RGB and alpha in 32 bits, not compressed, and what may come with them."""


class Decoded(NamedTuple):
    """A photo in memory, and the hash of the very bytes that it was decoded from."""

    photo: image.Photo
    sha256: str
    data: bytes
    """The file itself: the result, if nothing is to be restored"""
    pages: int = 1
    """Of a TIFF of which all are to be restored; `photo` is the first"""


class Restored(NamedTuple):
    """A restored photo in memory; of the degraded one nothing is kept but its metadata."""

    photo: image.Photo
    ingredients: Mapping[str, float]
    input_sha256: str
    notes: tuple[str, ...]
    unchanged: bytes = b""
    """The photo's file, if restoring changed no pixel; else empty"""
    pages: bytes = b""
    """The result's file, if all pages of several were wanted; else empty"""
    arithmetic: str = ""


def read_file(source: Path, settings: Settings) -> bytes:
    """Return a file's bytes; raise `ImageError` for what is no file, cannot be read, or is larger than is allowed."""
    limit = BYTES_PER_PIXEL * settings.max_pixels + METADATA_BYTES
    if source.exists() and not source.is_file():  # a pipe would be waited for
        raise ImageError(f"{source} is {kind_of(source)}: expected a picture file")
    try:
        if (found := source.stat().st_size) > limit:
            size = f"{found / 1e6:,.0f} MB, expected at most {limit / 1e6:,.0f}"
            raise ImageError(f"{source} has {size}: raise the limit (--max-pixels) if you trust the file")
        return source.read_bytes()
    except OSError as error:
        raise ImageError(f"{source} cannot be read ({error.strerror}): check the name and the permissions") from error


def decode(source: Path, data: bytes, settings: Settings, target: Path | None = None) -> Decoded:
    """Decode a file's bytes; raise `ImageError`, also if `target` cannot hold all pages that are wanted."""
    number = pages.number(data, str(source), settings.max_pixels) if settings.pages == "all" else 1
    if number > 1 and target is not None and format_named(target) != "TIFF":
        found = f"{source} has {number} pages, and {target.name} holds one"
        raise ImageError(f"{found}: expected a result that ends in .tif, or --pages first")
    first = next(pages.alone(data)) if number > 1 else data
    photo = image.read(first, settings.max_pixels, str(source))
    return Decoded(photo, hashlib.sha256(data).hexdigest(), data, number)


def restore(restorer: Restorer, decoded: Decoded, settings: Settings, progress: Progress) -> Restored:
    """Restore a photo, what is to be left alone excepted; where memory is short, in smaller and smaller tiles.

    Of a TIFF of several pages, if all are wanted, one after the other: only what is encoded stays in memory.
    """
    if decoded.pages == 1:
        return _restore_one(restorer, decoded, settings, progress)
    made = _Pages(decoded.pages)
    for number, data in enumerate(pages.alone(decoded.data), 1):
        photo = image.read(data, settings.max_pixels, f"page {number}")
        page = Decoded(photo, decoded.sha256, data)
        if pages.is_mask(data):
            restored = Restored(photo, {}, decoded.sha256, ("a mask was kept as it is",), data)
        else:
            restored = _restore_one(restorer, page, settings, partial(_tell, progress, number, decoded.pages))
        made.add(restored, data)
    return made.together(decoded)


def _tell(progress: Progress, number: int, of: int, done: int, total: int) -> None:
    progress((number - 1) * total + done, of * total)


class _Pages:
    """Restored pages of one file, as far as they are done."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.files: list[tuple[bytes, Directory]] = []
        self.notes: dict[str, list[int]] = {}
        self.shares: list[Mapping[str, float]] = []
        self.arithmetic = ""
        self.changed = False

    def add(self, restored: Restored, original: bytes) -> None:
        """Encode the next page, and drop its pixels."""
        data, lost = image.encode(restored.photo.pixels, "page.tif", restored.photo)
        self.files.append((data, pages.kept(original)))
        self.changed |= not restored.unchanged
        self.arithmetic = restored.arithmetic or self.arithmetic
        if restored.ingredients:
            self.shares.append(restored.ingredients)
        for note in dict.fromkeys((*restored.photo.notes, *restored.notes, *lost)):
            self.notes.setdefault(note, []).append(len(self.files))

    def together(self, decoded: Decoded) -> Restored:
        """Return the whole file, with the mean of what was found."""
        names = dict.fromkeys(name for shares in self.shares for name in shares)
        found = {name: sum(shares.get(name, 0) for shares in self.shares) / len(self.shares) for name in names}
        notes = (*([f"{self.number} pages were restored"] if self.changed else []), *map(self._said, self.notes))
        photo = replace(decoded.photo, notes=())
        unchanged = b"" if self.changed else decoded.data
        whole = pages.joined(self.files) if self.changed else decoded.data
        return Restored(photo, found, decoded.sha256, notes, unchanged, whole, self.arithmetic)

    def _said(self, note: str) -> str:
        where = self.notes[note]
        return note if len(where) == self.number else f"page {', '.join(map(str, where))}: {note}"


def _restore_one(restorer: Restorer, decoded: Decoded, settings: Settings, progress: Progress) -> Restored:
    photo = decoded.photo
    mask, left = left_alone(photo.pixels, settings)
    progress(0, 1)  # whoever limits the time may have had enough
    used = restorer
    while True:
        try:
            wish = settings.strength, settings.only, settings.ingredients
            result = used.restore(photo.pixels, *wish, progress, mask)
            break
        except (RuntimeError, MemoryError) as error:
            smaller = used.fitting(photo.pixels).smaller() if is_short_of_memory(error) else None
            if smaller is None:
                raise
        used = smaller  # outside the handler, which keeps the failed pass's arrays alive
    notes = left if result.changed or (mask is not None and mask.all()) else ()  # else nothing was to be done
    if used is not restorer:
        notes = (*notes, f"memory was short: worked on in tiles of {used.tile} px")
    if result.again:
        found = next(f"{name} {share:.0%}" for name, share in result.again.items())
        notes = (*notes, f"restored in a second pass: {found}")
    notes = (*notes, *result.notes)
    arithmetic = str(result.arithmetic or "")
    if not result.changed:
        return Restored(photo, result.ingredients, decoded.sha256, notes, decoded.data, arithmetic=arithmetic)
    photo = replace(photo, pixels=result.image)
    if settings.provenance:
        photo, missing = add_provenance(photo, restorer.model.path.stem, restorer.model.sha256, result.ingredients)
        notes = (*notes, *missing)
    return Restored(photo, result.ingredients, decoded.sha256, notes, arithmetic=arithmetic)


def left_alone(pixels: image.Pixels, settings: Settings) -> tuple[NDArray[np.bool_] | None, tuple[str, ...]]:
    """Return the mask (H, W) of what restoring must not touch, None if there is nothing, and say so in words."""
    height, width = pixels.shape[:2]
    mask, notes = np.zeros((height, width), np.bool_), []
    if settings.protect is not None:
        painted = image.read(settings.protect, settings.max_pixels).pixels
        if painted.shape != pixels.shape:
            found = f"{painted.shape[1]} x {painted.shape[0]}"
            raise ImageError(f"the mask {settings.protect} has {found} pixels: expected the photo's {width} x {height}")
        mask |= painted[..., 1] > np.iinfo(painted.dtype).max // 2
        notes.append(f"{mask.mean():.1%} of the photo was left alone, as {settings.protect.name} says")
    regions = find_redactions(pixels) if settings.guard else []
    if regions:
        mask |= mask_of(regions, height, width)
        kinds = ", ".join(sorted({region.kind for region in regions}))
        number = "1 region" if len(regions) == 1 else f"{len(regions)} regions"
        notes.append(f"left alone: {number} that may be redacted on purpose ({kinds}); --no-guard restores all")
    return (mask if mask.any() else None), tuple(notes)


def encode(restored: Restored, job: Job, settings: Settings) -> Encoded:
    """Encode a result as its target's name demands, with the notes of all steps; raise `ImageError`.

    A photo that is unchanged, and keeps its format, is its own file, byte for byte.
    """
    photo, notes = restored.photo, restored.notes
    if restored.pages:
        data = restored.pages
    elif restored.unchanged and settings.quality is None and format_named(job.target) == photo.format:
        data = restored.unchanged
    else:
        data, lost = image.encode(photo.pixels, job.target, photo, settings.quality)
        notes = (*photo.notes, *_misnamed(job, photo.format), *notes, *lost)
    is_unchanged = bool(restored.unchanged)
    return Encoded(data, restored.input_sha256, restored.ingredients, notes, is_unchanged, restored.arithmetic)


def process(
    restorer: Restorer,
    job: Job,
    data: bytes,
    settings: Settings,
    progress: Progress = lambda done, total: None,
) -> Encoded:
    """Decode, restore and encode in one go; raise one of `FILE_ERRORS`, or what `progress` raises."""
    # Nothing here keeps the degraded photo in memory while the restored one is encoded.
    return encode(restore(restorer, decode(job.source, data, settings, job.target), settings, progress), job, settings)


def _misnamed(job: Job, found: str) -> tuple[str, ...]:
    """Note that a file was not what its name said, if its result is not what it was either."""
    named, made = format_named(job.source), format_named(job.target)
    if found in (named, made):
        return ()
    return (f"the file is {found} in spite of its name; the result is {made}",)
