"""Feed broken files to the readers, in child processes so that a crash is seen: what became of them is counted.

    python benchmarks/fuzz.py --minutes 10
    python benchmarks/fuzz.py --cases 300

Each case is drawn from (seed, number): a whole picture or model file, changed in one to six places. It must be read, or
refused by `ImageError` or `CheckpointError` in one line, within 10 s and 1 GiB above what the child starts with. Exits
with 1 if any was not, and prints its number; `--only NUMBER` runs it alone. Needs Linux.
"""

import argparse
import multiprocessing
import resource
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pyvips

SECONDS = 10
MEMORY = 1 << 20
"""Kilobytes above those of an idle child."""
MAX_PIXELS = 20_000_000
KINDS = ("jpg", "png", "webp", "tif", "avif", "safetensors")
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def whole_files() -> dict[str, list[bytes]]:
    """Make small pictures in every format, with metadata, and a small model file."""
    from idrestore.model import checkpoint
    from idrestore.model.config import PRESETS
    from idrestore.model.network import RestorationNetwork

    y, x = np.mgrid[:48, :64]
    colour = np.stack([x * 4, y * 5, (x * y) % 256], axis=2).astype(np.uint8)
    with_alpha = np.dstack([colour, colour[..., 0]]).astype(np.uint16) * 257
    files = {}
    for kind in KINDS[:-1]:
        files[kind] = [encoded(colour, kind), encoded(with_alpha if kind in ("png", "tif") else colour[..., 1], kind)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.safetensors"
        checkpoint.save(path, RestorationNetwork(PRESETS["tiny"]), {"licence": "CC0"})
        files["safetensors"] = [path.read_bytes()]
    return files


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    """Encode (H, W) or (H, W, C) with EXIF and XMP."""
    space = "rgb16" if pixels.dtype == np.uint16 else ("srgb" if pixels.ndim == 3 else "b-w")
    picture = pyvips.Image.new_from_array(pixels, interpretation=space).copy()
    picture.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Software", "Camera 7 (x)")
    picture.set_type(pyvips.GValue.blob_type, "xmp-data", b"<x:xmpmeta/>")
    return picture.write_to_buffer(f".{kind}")


def mutated(data: bytes, rng: np.random.Generator, is_png: bool) -> bytes:
    """Change one to six places, half of the time near the start; mend a PNG's checksums half of the time."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 7)):
        if not changed:
            break
        reach = min(len(changed), 400) if rng.random() < 0.5 else len(changed)
        MUTATIONS[rng.integers(len(MUTATIONS))](changed, int(rng.integers(reach)), rng)
    return checksummed(bytes(changed)) if is_png and rng.random() < 0.5 else bytes(changed)


def flip(data: bytearray, place: int, rng: np.random.Generator) -> None:
    data[place] ^= 1 << int(rng.integers(8))


def overwrite(data: bytearray, place: int, rng: np.random.Generator) -> None:
    length = int(rng.integers(1, 17))
    data[place : place + length] = rng.bytes(length)


def extreme(data: bytearray, place: int, rng: np.random.Generator) -> None:
    size, order = int(rng.choice([1, 2, 4, 8])), ("little", "big")[rng.integers(2)]
    value = INTERESTING[rng.integers(len(INTERESTING))] & (256**size - 1)
    data[place : place + size] = value.to_bytes(size, order)


def cut(data: bytearray, place: int, rng: np.random.Generator) -> None:
    del data[place:]


def remove(data: bytearray, place: int, rng: np.random.Generator) -> None:
    del data[place : place + int(rng.integers(1, 65))]


def repeat(data: bytearray, place: int, rng: np.random.Generator) -> None:
    part = data[place : place + int(rng.integers(1, 65))]
    data[place:place] = part * int(rng.integers(1, 40))


def swap_digits(data: bytearray, place: int, rng: np.random.Generator) -> None:
    """Replace the next digit, which in a model file's header is part of a shape, an offset or a setting."""
    for at in range(place, len(data)):
        if 48 <= data[at] < 58:
            data[at : at + 1] = str(int(rng.choice([0, 1, 9, 999_999_999]))).encode()
            return


MUTATIONS: tuple[Callable[[bytearray, int, np.random.Generator], None], ...] = (
    flip, overwrite, extreme, cut, remove, repeat, swap_digits,
)  # fmt: skip


def checksummed(png: bytes) -> bytes:
    """Give each chunk of a PNG the checksum of what it holds now, so that more than checksums are tried."""
    result, place = bytearray(png[:8]), 8
    while place + 12 <= len(png):
        (length,) = struct.unpack_from(">I", png, place)
        if place + 12 + length > len(png):
            break
        body = png[place + 4 : place + 8 + length]
        result += png[place : place + 4] + body + struct.pack(">I", zlib.crc32(body))
        place += 12 + length
    return bytes(result + png[place:])


def case(files: dict[str, list[bytes]], seed: int, number: int) -> tuple[str, bytes]:
    """Return the kind and the bytes of a case."""
    rng = np.random.default_rng([seed, number])
    kind = KINDS[number % len(KINDS)]
    data = files[kind][rng.integers(len(files[kind]))]
    return kind, mutated(data, rng, kind == "png")


def outcome(kind: str, data: bytes, folder: Path) -> str:
    """Read one file; return "read", "refused", or what was wrong with how it failed."""
    from idrestore.files import image
    from idrestore.model import checkpoint
    from idrestore.restoration.guard import find_redactions

    try:
        if kind == "safetensors":
            path = folder / "case.safetensors"
            path.write_bytes(data)
            checkpoint.load(path)
        else:
            find_redactions(image.read(data, MAX_PIXELS).pixels)
    except (image.ImageError, checkpoint.CheckpointError) as error:
        return "refused" if len(str(error).splitlines()) == 1 else f"{len(str(error).splitlines())} lines: {error}"
    except BaseException as error:  # noqa: BLE001 - what must not happen, whatever it is
        return f"{type(error).__name__}: {error}"
    return "read"


def child(connection: Connection, seed: int) -> None:
    """Answer case numbers with outcomes until none come."""
    import torch

    torch.set_num_threads(1)
    files = whole_files()
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            outcome(kind, files[kind][0], Path(folder))
        idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        ceiling = pages * resource.getpagesize() + 4 * MEMORY * 1024  # so that no case takes the machine with it
        resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))
        connection.send("ready")
        while (number := connection.recv()) is not None:
            said = outcome(*case(files, seed, number), Path(folder))
            used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle
            connection.send(said if used <= MEMORY else f"used {used >> 10} MiB more than idle, then: {said}")


class Child:
    """A process that reads cases; a new one takes the place of one that died or hung."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.start()

    def start(self) -> None:
        self.ours, theirs = multiprocessing.get_context("spawn").Pipe()
        self.process = multiprocessing.get_context("spawn").Process(target=child, args=(theirs, self.seed), daemon=True)
        self.process.start()
        theirs.close()
        self.ours.recv()

    def run(self, number: int) -> str:
        """Return what became of a case."""
        self.ours.send(number)
        try:
            if self.ours.poll(SECONDS):
                said = str(self.ours.recv())
                if not said.startswith("used"):
                    return said
            else:
                said = f"not done after {SECONDS} s"
        except EOFError:
            self.process.join()
            said = f"crashed with exit code {self.process.exitcode}"
        self.stop()
        self.start()
        return said

    def stop(self) -> None:
        self.process.kill()
        self.process.join()


def main() -> None:
    """Run the cases, print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=0, help="run for so long")
    parser.add_argument("--cases", type=int, default=0, help="run so many")
    parser.add_argument("--only", type=int, help="run this case alone")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    counts, bad, number = Counter(), 0, arguments.only or 0
    subject, end = Child(arguments.seed), time.monotonic() + 60 * arguments.minutes
    while number < arguments.cases or time.monotonic() < end or number == arguments.only:
        said = subject.run(number)
        good = said in ("read", "refused")
        counts[KINDS[number % len(KINDS)], said if good else "FAILED"] += 1
        if not good:
            bad += 1
            print(f"case {number}, {KINDS[number % len(KINDS)]}: {said}", flush=True)
        number += 1
    subject.stop()
    print("| files | cases | read | refused | failed |\n|---|---|---|---|---|")
    for kind in KINDS:
        row = [counts[kind, said] for said in ("read", "refused", "FAILED")]
        print(f"| {kind} | {sum(row)} | " + " | ".join(map(str, row)) + " |")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
