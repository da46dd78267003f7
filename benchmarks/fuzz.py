"""Feed broken files to the readers, in processes of their own so that a crash is seen: what became of them is counted.

    python benchmarks/fuzz.py --cases 1000000 --workers 2
    python benchmarks/fuzz.py --minutes 10
    python benchmarks/fuzz.py --only 300

Each case is drawn from (seed, number): a whole picture or model file, changed in one to six places. It must be read, or
refused by `ImageError` or `CheckpointError` in one line, within 10 s of processor time and 1 GiB above what the worker
starts with. Of what is read, every twentieth is searched for redactions and written again. A worker takes one case
after the other and notes its number first, so that the one that ended it is known. Exits with 1 if any case was not as
it must be, and prints its number. Needs Linux and the extras `heif` and `raw`.
"""

import argparse
import contextlib
import multiprocessing
import random
import resource
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import fuzz_seeds
import psutil

SECONDS = 10
MEMORY = 1 << 20
"""Kilobytes above those of an idle worker."""
MAX_PIXELS = 20_000_000
WHOLE_WAY = 20
"""One in so many files that can be read is also searched for redactions and written."""
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
KINDS = fuzz_seeds.KINDS
TURNS = (*KINDS[:-1] * 10, KINDS[-1])
"""Kinds of the cases, one after the other: a model file, which takes longest, is one in a hundred."""
SAID = ("read", "refused", "FAILED")


def mutated(data: bytes, rng: random.Random, is_png: bool) -> bytes:
    """Change one to six places, half of the time near the start; mend a PNG's checksums half of the time."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        if not changed:
            break
        reach = min(len(changed), 400) if rng.random() < 0.5 else len(changed)
        rng.choice(MUTATIONS)(changed, rng.randrange(reach), rng)
    return checksummed(bytes(changed)) if is_png and rng.random() < 0.5 else bytes(changed)


def flip(data: bytearray, place: int, rng: random.Random) -> None:
    data[place] ^= 1 << rng.randrange(8)


def overwrite(data: bytearray, place: int, rng: random.Random) -> None:
    length = rng.randint(1, 16)
    data[place : place + length] = rng.randbytes(length)


def extreme(data: bytearray, place: int, rng: random.Random) -> None:
    size, order = rng.choice([1, 2, 4, 8]), rng.choice(["little", "big"])
    value = rng.choice(INTERESTING) & (256**size - 1)
    data[place : place + size] = value.to_bytes(size, order)


def cut(data: bytearray, place: int, rng: random.Random) -> None:
    del data[place:]


def remove(data: bytearray, place: int, rng: random.Random) -> None:
    del data[place : place + rng.randint(1, 64)]


def repeat(data: bytearray, place: int, rng: random.Random) -> None:
    data[place:place] = data[place : place + rng.randint(1, 64)] * rng.randint(1, 39)


def swap_digits(data: bytearray, place: int, rng: random.Random) -> None:
    """Replace the next digit, which in a model file's header is part of a shape, an offset or a setting."""
    for at in range(place, min(len(data), place + 1000)):
        if 48 <= data[at] < 58:
            data[at : at + 1] = str(rng.choice([0, 1, 9, 999_999_999])).encode()
            return


MUTATIONS: tuple[Callable[[bytearray, int, random.Random], None], ...] = (
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
    rng = random.Random(f"{seed} {number}")
    kind = TURNS[number % len(TURNS)]
    return kind, mutated(rng.choice(files[kind]), rng, kind == "png")


def outcome(kind: str, data: bytes, folder: Path, whole_way: bool = True) -> str:
    """Read one file; return "read", "refused", or what was wrong with how it failed."""
    from idrestore.files import image
    from idrestore.model import checkpoint
    from idrestore.model.shipped import CheckpointError

    try:
        if kind == "safetensors":
            path = folder / "case.safetensors"
            path.write_bytes(data)
            checkpoint.load(path)
        else:
            photo = image.read(data, MAX_PIXELS)
            if kind == "pages":
                every_page(data)
            if whole_way:
                go_on(photo)
    except (image.ImageError, CheckpointError) as error:
        return "refused" if len(str(error).splitlines()) == 1 else f"{len(str(error).splitlines())} lines: {error}"
    except BaseException as error:  # noqa: BLE001 - what must not happen, whatever it is
        return f"{type(error).__name__}: {error}"
    return "read"


def every_page(data: bytes) -> None:
    """Take a TIFF apart, read each page, and put them together again."""
    from idrestore.files import image, pages

    pages.number(data, "the picture", MAX_PIXELS)
    each = ((page, image.read(page, MAX_PIXELS)) for page in pages.alone(data))
    pages.joined((image.encode(photo.pixels, "a.tif", photo)[0], pages.kept(page)) for page, photo in each)


def go_on(photo: Any) -> None:
    """Do with a photo what comes after reading, as far as the file has a say."""
    from idrestore.files import formats, image
    from idrestore.restoration.guard import find_redactions

    find_redactions(photo.pixels)
    suffix = next((row.suffixes[0] for row in formats.FORMATS if row.name == photo.format and row.saver), ".png")
    image.encode(photo.pixels, f"a{suffix}", photo)


class Shared:
    """What a worker says of its cases, in memory that outlives it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.number = context.Value("q", -1, lock=False)
        self.counts = context.Array("q", 3 * len(KINDS), lock=False)

    def count(self, number: int, said: str) -> None:
        """Count what became of a case."""
        self.counts[3 * KINDS.index(TURNS[number % len(TURNS)]) + (SAID.index(said) if said in SAID else 2)] += 1


def work(shared: Shared, connection: Connection, seed: int, numbers: range) -> None:
    """Read case after case; end after one that took too much memory, for the next to be measured from the start."""
    import torch

    torch.set_num_threads(1)
    files = fuzz_seeds.whole_files()
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            for data in files[kind]:
                outcome(kind, data, Path(folder))
        idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        ceiling = pages * resource.getpagesize() + 4 * MEMORY * 1024  # so that no case takes the machine with it
        resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))
        for number in numbers:
            shared.number.value = number
            said = outcome(*case(files, seed, number), Path(folder), number % WHOLE_WAY == 0)
            used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle
            if used > MEMORY:
                said = f"used {used >> 10} MiB more than idle, then: {said}"
            shared.count(number, said)
            if said not in SAID:
                connection.send((number, said))
            if used > MEMORY:
                return
        shared.number.value = numbers.stop


class Worker:
    """A process that reads its share of the cases; a new one takes the place of one that ended or hung."""

    def __init__(self, seed: int, numbers: range) -> None:
        self.seed, self.numbers, self.shared = seed, numbers, Shared()
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.ours, theirs = context.Pipe()
        arguments = (self.shared, theirs, self.seed, self.numbers)
        self.process = context.Process(target=work, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.seen, self.since = -1, 0.0

    @property
    def done(self) -> bool:
        """Whether there is no case left."""
        return not self.numbers

    def watch(self) -> list[tuple[int, str]]:
        """Return the failures since the last look; start anew what has ended or hangs."""
        found = list(self.told())
        number = self.shared.number.value
        if not self.process.is_alive():
            self.process.join()
            found += self.told()
            if self.process.exitcode:
                found.append((number, f"crashed with exit code {self.process.exitcode}"))
                self.shared.count(number, "crashed")
            self.go_on_behind(self.shared.number.value)
        elif number >= 0:
            used = psutil.Process(self.process.pid).cpu_times()
            if number != self.seen:
                self.seen, self.since = number, used.user + used.system
            elif used.user + used.system - self.since > SECONDS:
                self.stop()
                found.append((number, f"not done after {SECONDS} s"))
                self.shared.count(number, "hung")
                self.go_on_behind(number)
        return found

    def told(self) -> Iterator[tuple[int, str]]:
        """Yield what the process has sent."""
        with contextlib.suppress(EOFError):
            while self.ours.poll():
                yield self.ours.recv()

    def go_on_behind(self, number: int) -> None:
        """Start a new process with the next case."""
        if number < 0:
            raise SystemExit("a worker cannot even start")
        self.numbers = range(min(number + self.numbers.step, self.numbers.stop), self.numbers.stop, self.numbers.step)
        if self.numbers:
            self.start()

    def stop(self) -> None:
        self.process.kill()
        self.process.join()


def main() -> None:
    """Run the cases, print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1e6, help="end after so long")
    parser.add_argument("--cases", type=int, default=1_000_000, help="run so many")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", type=int, help="run this case alone")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    first, last = arguments.first, arguments.first + arguments.cases
    if arguments.only is not None:
        first, last = arguments.only, arguments.only + 1
    workers = [
        Worker(arguments.seed, range(start, last, arguments.workers))
        for start in range(first, first + arguments.workers)
    ]
    end = time.monotonic() + 60 * arguments.minutes
    bad = 0
    while not all(worker.done for worker in workers) and time.monotonic() < end:
        time.sleep(0.2)
        for number, said in [failure for worker in workers if not worker.done for failure in worker.watch()]:
            bad += 1
            print(f"case {number}, {TURNS[number % len(TURNS)]}: {said}", flush=True)
    for worker in workers:
        worker.stop()
    print("| files | cases | read | refused | failed |\n|---|---|---|---|---|")
    for place, kind in enumerate(KINDS):
        row = [sum(worker.shared.counts[3 * place + said] for worker in workers) for said in range(3)]
        print(f"| {kind} | {sum(row)} | " + " | ".join(map(str, row)) + " |")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
