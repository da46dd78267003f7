"""The pages of a TIFF file, taken apart and put together again, each with tags of its own."""

import io
import struct
from collections.abc import Iterable, Iterator

from idrestore.files import exif, tiff
from idrestore.files.containers import DamagedError
from idrestore.files.formats import recognised
from idrestore.files.photo import ImageError

MAX_PAGES = 1000
"""Beyond which a file is refused: each page is a copy of its bytes for a moment."""
_KEPT = (tiff.SUBFILE, tiff.PAGE_NUMBER)
"""Tags that say what a page is among others; a picture that stands alone has them not."""
_MASK = 4
"""Bit of tag 254: the page says which part of another one shows (TIFF 6.0, section 8)."""
_LARGEST = 0xFFFFFFFF  # bytes: a classic TIFF's pointers


def number(data: bytes, name: str, max_pixels: int) -> int:
    """Return how many pages a file has, 1 if it is no TIFF; raise `ImageError`, which names it `name`.

    All pages together may have `max_pixels` pixels, and be 1000.
    """
    row = recognised(io.BytesIO(data))
    if row is None or row.name != "TIFF":
        return 1
    pages = list(tiff.directories(io.BytesIO(data), MAX_PAGES + 1))
    if len(pages) > MAX_PAGES:
        raise ImageError(f"{name} has more than {MAX_PAGES} pages: split it first, for instance with tiffsplit")
    try:
        pixels = sum(page.integer(tiff.WIDTH, 0) * page.integer(tiff.HEIGHT, 0) for page in pages)
    except DamagedError as error:
        raise ImageError(f"{name} is damaged or cut short ({error}): expected a whole TIFF file") from error
    if len(pages) > 1 and pixels > max_pixels:
        found = f"{len(pages)} pages of {pixels:,} pixels in all"
        advice = "raise the limit (--max-pixels) if you trust the file"
        raise ImageError(f"{name} has {found}: expected at most {max_pixels:,}; {advice}")
    cut = [number for number, page in enumerate(pages, 1) if page.link + struct.calcsize(_pointer(data)[0]) > len(data)]
    if cut or (pages and _integer(data, pages[-1].link)):
        cause = f"the tags of page {cut[0]} are" if cut else f"page {len(pages) + 1} is"
        raise ImageError(f"{name} is damaged or cut short ({cause} missing): expected a whole TIFF file")
    return max(1, len(pages))


def alone(data: bytes) -> Iterator[bytes]:
    """Yield for each page a file whose only page it is: the same bytes, but for where directories are."""
    form, place = _pointer(data)
    for page in tiff.directories(io.BytesIO(data), MAX_PAGES):
        changed = bytearray(data)
        struct.pack_into(form, changed, place, page.place)
        struct.pack_into(form, changed, page.link, 0)
        yield bytes(changed)


def is_mask(data: bytes) -> bool:
    """Tell whether a file's first page says which part of another one shows."""
    page = next(tiff.directories(io.BytesIO(data)))
    return bool(page.integer(tiff.SUBFILE, 0) & _MASK)


def joined(results: Iterable[tuple[bytes, exif.Directory]]) -> bytes:
    """Return one file of the pages of several, as `image.encode` makes them, each with the tags that are `kept`.

    Raise `ImageError` where it would have more than 4 GiB.
    """
    whole, link = bytearray(), 4
    for result, own in results:
        start = len(whole)
        whole += result + bytes(len(result) % 2)
        tags = _moved(result, start) | own
        place = len(whole)
        whole += exif.laid_out(tags, "<", place)
        whole += bytes(len(whole) % 2)
        if len(whole) > _LARGEST or result[:4] != b"II*\0":
            raise ImageError("its pages have more than 4 GiB together: split it first, for instance with tiffsplit")
        struct.pack_into("<I", whole, link, place)
        link = place + 2 + 12 * len(tags)
    return bytes(whole)


def _moved(result: bytes, start: int) -> exif.Directory:
    """Return the tags of a file's page for when the file begins at `start` of another."""
    tags, page = exif.unpacked(result), next(tiff.directories(io.BytesIO(result)))
    for tag in (tiff.STRIP_OFFSETS, tiff.TILE_OFFSETS):
        if places := [each + start for each in page.integers(tag)]:
            tags[tag] = exif.Value(4, len(places), struct.pack(f"<{len(places)}I", *places))
    return tags


def kept(original: bytes) -> exif.Directory:
    """Return the tags of a file's first page that say what it is among others."""
    page = next(tiff.directories(io.BytesIO(original)))
    found = {tag: page.entries[tag] for tag in _KEPT if tag in page.entries}
    values = {tag: exif.Value(entry.type, entry.number, page.bytes(tag)) for tag, entry in found.items()}
    return exif.reordered(dict(values), page.order, "<")


def _pointer(data: bytes) -> tuple[str, int]:
    """Return how a file writes places, for `struct`, and where that of the first directory stands."""
    order = "<" if data[:2] == b"II" else ">"
    return (order + "Q", 8) if data[2:4] in (b"+\0", b"\0+") else (order + "I", 4)


def _integer(data: bytes, place: int) -> int:
    form, _ = _pointer(data)
    return int(struct.unpack(form, data[place : place + struct.calcsize(form)].ljust(struct.calcsize(form), b"\0"))[0])
