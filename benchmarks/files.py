"""Make small files of every kind, restore them, and judge what became of what they held: two tables in the guide.

    python benchmarks/files.py                  # prints what is wrong, and how many files there were
    python benchmarks/files.py --write          # makes the tables of docs/guide/files.md anew
    python benchmarks/files.py --keep FOLDER    # leaves the files and their results there

The files are made, and the results judged, by Pillow, tifffile, pillow-heif, avifenc, avifdec and exiftool, never by
our own readers. In the place of the network stands a function that makes each photo paler by half, so that it is seen
whether what was written is the restored photo. Exits with 1 if anything is lost in silence, or a pixel is wrong.
"""

import argparse
import io
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import tifffile
from file_makers import Case, Result
from file_metadata import metadata_cases
from file_pixels import pixel_cases
from PIL import Image

os.environ["SOURCE_DATE_EPOCH"] = "1700000000"  # the same results every time

from idrestore.batch.job import Encoded, Job
from idrestore.batch.photo import process
from idrestore.batch.settings import Settings
from idrestore.files.formats import FORMATS, SUBSTITUTES
from idrestore.files.image import ImageError
from idrestore.restoration.results import Result as Restored

PAGE = Path(__file__).parents[1] / "docs/guide/files.md"
MARKS = "<!-- made by benchmarks/files.py -->", "<!-- end -->"
GOOD = ("kept", "converted", "noted", "refused", "removed")
"""Verdicts; any other is a fault"""
HARMLESS = re.compile(r"\[minor\]|Unrecognized MakerNotes", re.IGNORECASE)


class Judged(NamedTuple):
    """A case and what became of it."""

    case: Case
    verdict: str
    why: str = ""


def paler(pixels: np.ndarray) -> np.ndarray:
    """Stand in for the network: half of the value, and a quarter of the range."""
    top = int(np.iinfo(pixels.dtype).max)
    return (pixels // 2 + top // 4).astype(pixels.dtype)


class StandIn:
    """What the way of a photo asks of a restorer."""

    model = SimpleNamespace(path=Path("stand-in"), sha256="0" * 64)

    def restore(self, pixels: np.ndarray, *_: object) -> Restored:
        """Return a paler photo."""
        return Restored(paler(pixels), {"noise": 1.0})


def restored(case: Case) -> Encoded | str:
    """Return a case's result as the command would write it, or the line by which it is refused."""
    ending = case.target or SUBSTITUTES.get(case.ending, case.ending)
    job = Job(Path(f"photo{case.ending}"), Path(f"photo-restored{ending}"))
    settings = Settings(guard=False, pages="all" if case.all_pages else "first")
    try:
        return process(StandIn(), job, case.data, settings)  # type: ignore[arg-type]
    except ImageError as error:
        return str(error)


def judged(all_cases: Iterable[Case], folder: Path) -> list[Judged]:
    """Restore each case and judge it, in their order; files and results lie in the folder."""
    made, refused = [], {}
    for number, case in enumerate(all_cases):
        outcome = restored(case)
        if isinstance(outcome, str):
            is_told = bool(case.note and re.search(case.note, outcome))
            refused[number] = Judged(case, "refused" if is_told else "FAILED", outcome)
            continue
        ending = case.target or SUBSTITUTES.get(case.ending, case.ending)
        (folder / f"{number}{case.ending}").write_bytes(case.data)
        path = folder / f"{number}-restored{ending}"
        path.write_bytes(outcome.data)
        made.append((number, case, outcome, path))
    said = tags_of([path for *_, path in made])
    found = {
        number: verdict(case, Result(outcome.data, outcome.notes, said[path]), path)
        for number, case, outcome, path in made
    }
    found |= refused
    return [found[number] for number in sorted(found)]


def tags_of(paths: list[Path]) -> dict[Path, dict[str, Any]]:
    """Return what exiftool reads in each file."""
    if not paths:
        return {}
    command = ["exiftool", "-j", "-G1", "-n", "-@", "-"]
    names = "\n".join(map(str, paths))
    done = subprocess.run(command, input=names, capture_output=True, text=True, check=False)
    return {Path(each["SourceFile"]): each for each in json.loads(done.stdout)}


def verdict(case: Case, result: Result, path: Path) -> Judged:
    """Judge a result: its pixels, exiftool's warnings, and what the case is about."""
    warning = str(result.tags.get("ExifTool:Warning", result.tags.get("ExifTool:Error", "")))
    if warning and not HARMLESS.search(warning):
        return Judged(case, "DAMAGED", warning)
    if case.pixels is not None:
        try:
            off = distance(samples(path), expected(case))
        except (OSError, ValueError, struct.error, zlib.error, subprocess.CalledProcessError) as error:
            return Judged(case, "DAMAGED", str(error))
        if off > case.tolerance:
            return Judged(case, "WRONG PIXELS", f"{off:.2f} steps off")
    there, told = case.proof(result), bool(case.note and any(re.search(case.note, note) for note in result.notes))
    if case.stale:
        return Judged(case, "LEFT IN" if there else "removed")
    return Judged(case, ("converted" if told else "kept") if there else "noted" if told else "LOST", str(result.notes))


def expected(case: Case) -> np.ndarray:
    """Return what the result has to show, as 16 bits; transparency stays, or is laid over white in a JPEG."""
    assert case.pixels is not None
    whole = case.pixels if case.pixels.dtype == np.uint16 else case.pixels.astype(np.uint16) * 257
    native = case.pixels[..., :3]
    scale = 257 if native.dtype == np.uint8 else 1
    return np.dstack([paler(native).astype(np.uint16) * scale, whole[..., 3:]])


def distance(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the mean difference of what is to be seen, in steps of 8 bits; infinite where size or channels differ."""
    if found.shape != wanted.shape:
        return float("inf")
    off = np.abs(found.astype(float) - wanted) / 257
    if wanted.shape[2] == 4:
        off[..., :3] *= wanted[..., 3:] > 0
    return float(off.mean())


def samples(path: Path) -> np.ndarray:
    """Decode a result: (H, W, 3 or 4) of 16 bits."""
    data = path.read_bytes()
    if path.suffix == ".tif":
        pixels = tifffile.imread(io.BytesIO(data), key=0)
    elif path.suffix == ".png":
        pixels = png_samples(data)
    elif path.suffix == ".avif":
        there = path.with_suffix(".decoded.png")
        subprocess.run(["avifdec", "-d", "16", "--png-compress", "0", path, there], check=True, capture_output=True)
        pixels = png_samples(there.read_bytes())
    else:
        picture = Image.open(io.BytesIO(data))
        pixels = np.asarray(picture if picture.mode in ("L", "RGB", "RGBA") else picture.convert("RGB"))
    return in_colour(pixels)


def in_colour(pixels: np.ndarray) -> np.ndarray:
    """Return samples of any kind as (H, W, 3 or 4) of 16 bits."""
    if pixels.dtype.kind == "f":
        pixels = np.rint(pixels.astype(np.float32).clip(0, 1) * 65535).astype(np.uint16)
    pixels = np.atleast_3d(pixels).astype(np.uint16) * (257 if pixels.dtype == np.uint8 else 1)
    grey, alpha = pixels[..., :1], pixels[..., 1:2] if pixels.shape[2] == 2 else pixels[..., 3:]
    return pixels if pixels.shape[2] > 2 else np.dstack([grey, grey, grey, alpha]) if alpha.size else three(grey)


def three(grey: np.ndarray) -> np.ndarray:
    """Return (H, W, 1) as (H, W, 3)."""
    return np.repeat(grey, 3, axis=2)


def png_samples(data: bytes) -> np.ndarray:
    """Decode a PNG without interlace or palette (ISO/IEC 15948, 9); Pillow has no 16-bit colour."""
    width, height, bits, kind = struct.unpack_from(">IIBB", data, 16)
    channels, size = {0: 1, 2: 3, 4: 2, 6: 4}[kind], bits // 8
    packed, place = b"", 8
    while data[place + 4 : place + 8] != b"IEND":
        (length,) = struct.unpack_from(">I", data, place)
        packed += data[place + 8 : place + 8 + length] if data[place + 4 : place + 8] == b"IDAT" else b""
        place += 12 + length
    step, rows = channels * size, []
    above = bytearray(width * step)
    body = zlib.decompress(packed)
    for start in range(0, len(body), 1 + width * step):
        row = bytearray(body[start + 1 : start + 1 + width * step])
        unfiltered(body[start], row, above, step)
        rows.append(above := row)
    flat = np.frombuffer(b"".join(rows), ">u2" if size == 2 else "u1")
    return flat.reshape(height, width, channels).astype(np.uint16 if size == 2 else np.uint8)


def unfiltered(kind: int, row: bytearray, above: bytearray, step: int) -> None:
    """Undo the filter of a row, in place."""
    for x in range(len(row)):
        left, up, corner = row[x - step] if x >= step else 0, above[x], above[x - step] if x >= step else 0
        guess = min((left, up, corner), key=lambda each: abs(left + up - corner - each))
        row[x] = (row[x] + (0, left, up, (left + up) // 2, guess)[kind]) & 255


# The tables


def tables(found: Iterable[Judged]) -> str:
    """Return two tables: of each format what becomes of what it holds, and what another one holds of it."""
    all_of_them = list(found)
    own = [each for each in all_of_them if not each.case.format.startswith("into ")]
    other = [each for each in all_of_them if each.case.format.startswith("into ")]
    columns = [row.name for row in FORMATS]
    named = [name for name in columns if any(each.case.format == name for each in own)]
    targets = [
        name for name in (f"into {row.name}" for row in FORMATS) if any(each.case.format == name for each in other)
    ]
    return f"{table(own, named, 'in the file')}\n\n{table(other, targets, 'of a JPEG or PNG')}"


def table(found: list[Judged], columns: list[str], corner: str) -> str:
    """Return a table of Markdown: a row for each feature, in each cell the verdicts of all its files."""
    cells: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for each in found:
        cells[each.case.feature, each.case.format][each.verdict] = None
    rows = [f"| {corner} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for feature in dict.fromkeys(each.case.feature for each in found):
        said = (" or ".join(cells[feature, column]) for column in columns)
        rows.append(f"| {feature} | " + " | ".join(said) + " |")
    return "\n".join(rows)


def in_page(text: str) -> str:
    """Return the tables that stand in the page."""
    return text.split(MARKS[0])[1].split(MARKS[1])[0].strip()


def with_tables(text: str, made: str) -> str:
    """Return the page with other tables."""
    before, rest = text.split(MARKS[0])
    return f"{before}{MARKS[0]}\n\n{made}\n\n{MARKS[1]}{rest.split(MARKS[1])[1]}"


def every_case() -> Iterator[Case]:
    """Yield all files."""
    yield from pixel_cases()
    yield from metadata_cases()


def main() -> None:
    """Run all, print what is wrong, count, and write the page if that is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="make the tables of the page anew")
    parser.add_argument("--keep", type=Path, help="leave files and results here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = judged(every_case(), folder)
    faults = [each for each in found if each.verdict not in GOOD]
    for case, said, why in faults:
        print(f"{case.format}, {case.feature} ({case.variant}): {said}: {why}")
    made = tables(found)
    if arguments.write:
        PAGE.write_text(with_tables(PAGE.read_text(), made))
    elif made != in_page(PAGE.read_text()):
        print(f"the tables of {PAGE.name} are others: run with --write")
    counts = ", ".join(f"{sum(each.verdict == verdict for each in found)} {verdict}" for verdict in GOOD)
    print(f"{len({each.case.data for each in found})} files in {len(found)} cases: {counts}, {len(faults)} wrong")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
