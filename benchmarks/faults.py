"""What `idrestore restore` makes of a folder when things go wrong: the table of docs/guide/reliability.md.

    python benchmarks/faults.py [FAULT...] [--tries N] [--photos N]

Each fault is made for real, again and again, on a folder of small photos and with a tiny model of random weights.
Every file under a result's name is compared, byte for byte, with that of an undisturbed run. Filling a disk, and
reaching a folder by two paths, need the right to mount.
"""

import argparse
import contextlib
import io
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil

PHOTOS, TRIES = 40, 3
"""Those of the table: with more, it takes hours."""
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["idrestore.batch", "idrestore.cli.restore"])


class Row(NamedTuple):
    """A line of the table."""

    fault: str
    tries: int
    wrong: int
    """Files under a result's name that are not that result, right after the fault or after the next run; leftovers"""
    lost: int
    """Photos without result, and without a word, or whose result is missing after the next run"""
    remark: str


class Run:
    """One command in a process of its own, that can be killed."""

    def __init__(self, arguments: list[object], memory: int = 0, deadly: Collection[str] = ()) -> None:
        """Start it with so many bytes left; photos of the `deadly` names kill the process that decodes them."""
        self._ours, theirs = CONTEXT.Pipe(duplex=False)
        self.process = CONTEXT.Process(target=command, args=([str(a) for a in arguments], theirs, memory, deadly))
        self.process.start()
        theirs.close()

    def end(self) -> tuple[int, str]:
        """Wait; return the exit code and all that was printed."""
        said: list[tuple[int, str]] = []
        with contextlib.suppress(EOFError):
            while True:
                said.append(self._ours.recv())
        self.process.join()
        assert self.process.exitcode is not None  # it was joined
        code = said[-1][0] if said else self.process.exitcode
        return code, "".join(text for _, text in said)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.join()


def command(arguments: list[str], pipe: Any, memory: int, deadly: Collection[str]) -> None:
    """Run the command here, in as many processes as it takes, and send back what came of it."""
    import torch

    from idrestore import cli
    from idrestore.batch import photo
    from idrestore.batch.settings import Settings
    from idrestore.cli.supervise import SUPERVISED

    torch.set_num_threads(1)
    decode, this = photo.decode, os.getpid()

    def dying(source: Path, data: bytes, settings: Settings, target: Path | None = None) -> photo.Decoded:
        if source.name in deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return decode(source, data, settings, target)

    photo.decode = dying
    if memory:
        in_use = psutil.Process().memory_info().vms
        resource.setrlimit(resource.RLIMIT_AS, (in_use + memory, in_use + memory))
    code, printed = 0, io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            cli.app(["restore", *arguments], standalone_mode=True, obj=SUPERVISED)
        except SystemExit as leave:
            code = int(leave.code or 0)
    pipe.send((code, printed.getvalue()))
    if os.getpid() != this:  # the one that did the work
        os._exit(code)


class Bench:
    """A folder of photos, a model, and what the results have to be."""

    def __init__(self, root: Path, photos: int) -> None:
        self.root, self.inputs, self.out = root, root / "in", root / "out"
        self.model = root / "tiny.safetensors"
        make_model(self.model)
        self.photos = photos
        for number in range(photos):
            make_photo(self.inputs / f"{number % 5}/{number:03}.png", number)
        code, text = self.start("-o", root / "reference").end()
        shutil.move(root / "reference", root / "first")  # it had to import torch, too
        start = time.perf_counter()
        self.start("-o", root / "reference").end()
        self.seconds = time.perf_counter() - start
        if code:
            raise SystemExit(text)
        self.expected = results(root / "reference")

    def start(self, *options: object, memory: int = 0, deadly: Collection[str] = ()) -> Run:
        arguments = [self.inputs, "-m", self.model, "--device", "cpu", "--precision", "fp32", *options]
        return Run(arguments, memory, deadly)

    def wrong(self, also: dict[str, bytes] | None = None) -> int:
        """Count the files under a result's name that are not that result."""
        allowed = {name: {data, (also or {}).get(name, data)} for name, data in self.expected.items()}
        return sum(data not in allowed.get(name, ()) for name, data in results(self.out).items())

    def unsaid(self, text: str) -> int:
        """Count the photos of which a first run says nothing."""
        return sum(name not in text for name in self.expected)

    def finish(self) -> tuple[int, int]:
        """Run to the end; return how many results are wrong, and lost, counting what is left over and not recorded."""
        # What two kills have met in turn counts as deadly, and is tried again on request alone.
        code, _ = self.start("-o", self.out, "--retry-failed").end()
        missing = len(self.expected.keys() - results(self.out).keys())
        connection = sqlite3.connect(self.out / ".idrestore/manifest.sqlite")
        (done,) = connection.execute("SELECT count(*) FROM photos WHERE status != 'failed'").fetchone()
        connection.close()
        wrong = self.wrong() + len(list(self.out.rglob("*.part")))
        shutil.rmtree(self.out)
        return wrong, missing or abs(done - self.photos) or code

    def moment(self) -> None:
        """Wait until some moment of a run."""
        time.sleep(random.uniform(0, self.seconds))


def killed(bench: Bench, tries: int) -> Row:
    """Kill, look, and go on from there; once the folder is finished, begin anew."""
    wrong = lost = midway = 0
    for _ in range(tries):
        run = bench.start("-o", bench.out)
        bench.moment()
        run.kill()
        there = len(results(bench.out))
        midway += 0 < there < bench.photos
        wrong += bench.wrong()
        if there > 0.9 * bench.photos:
            bad, missing = bench.finish()
            wrong, lost = wrong + bad, lost + missing
    bad, missing = bench.finish()
    return Row("SIGKILL at a random moment", tries, wrong + bad, lost + missing, f"{midway} of them between photos")


def full_disk(bench: Bench, tries: int) -> Row:
    """Run on a disk that is too small; make it larger; run again."""
    wrong = lost = short = 0
    need = sum(map(len, bench.expected.values())) // 1024 + 4 * bench.photos  # KiB, blocks of 4
    for _ in range(tries):
        bench.out.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={random.randint(64, need)}k", "faults", bench.out], check=True
        )
        try:
            code, text = bench.start("-o", bench.out).end()
            wrong += bench.wrong()
            lost += (
                bench.unsaid(text)
                + len(told_done(text) ^ results(bench.out).keys())
                + (code == 0 and len(results(bench.out)) < bench.photos)
            )
            short += code == 1
            subprocess.run(["mount", "-o", "remount,size=64m", bench.out], check=True)
            code, _ = bench.start("-o", bench.out).end()
            wrong += bench.wrong()
            lost += len(bench.expected.keys() - results(bench.out).keys()) or code
        finally:
            subprocess.run(["umount", bench.out], check=True)
            bench.out.rmdir()
    return Row("disk full, then larger", tries, wrong, lost, f"{short} times too small; the next run finishes")


def removed(bench: Bench, tries: int) -> Row:
    """Move the output folder to the bin in the middle, as a file manager does; run again."""
    wrong = lost = stopped = 0
    for _ in range(tries):
        run = bench.start("-o", bench.out)
        bench.moment()
        with contextlib.suppress(FileNotFoundError):  # not made yet
            bench.out.rename(bench.root / "bin")
        code, text = run.end()
        shutil.rmtree(bench.root / "bin", ignore_errors=True)
        stopped += code == 1
        wrong += bench.wrong()
        lost += bench.unsaid(text)
        bad, missing = bench.finish()
        wrong, lost = wrong + bad, lost + missing
    remark = f"{stopped} runs ended with 1; the next does all again"
    return Row("output folder moved away during the run", tries, wrong, lost, remark)


def unreadable(bench: Bench, tries: int) -> Row:
    """Damage photos beside the good ones: cut, emptied, overwritten in places, replaced by text, removed."""
    wrong = lost = restored = 0
    folder = bench.inputs / "damaged"
    for _ in range(tries):
        for number in range(10):
            damage(make_photo(folder / f"bad{number}{random.choice(['.png', '.jpg'])}", number))
        _, text = bench.start("-o", bench.out).end()
        bad = {path.name for path in folder.iterdir()}
        made = {path.name for path in (bench.out / "damaged").glob("*")} if (bench.out / "damaged").exists() else set()
        restored += len(made)
        lost += sum(name not in text for name in bad) + len(bench.expected.keys() - results(bench.out).keys())
        wrong += sum(results(bench.out).get(name) != data for name, data in bench.expected.items())
        shutil.rmtree(bench.out)
        shutil.rmtree(folder)
    remark = f"of {10 * tries} damaged photos {10 * tries - restored} failed with a line, the others could be decoded"
    return Row("unreadable photos among good ones", tries, wrong, lost, remark)


def changed(bench: Bench, tries: int) -> Row:
    """Replace a quarter of the photos by others during the run; what is made must be of one or the other, and told."""
    wrong = lost = 0
    originals = {path: path.read_bytes() for path in bench.inputs.rglob("*.png")}
    others = another_reference(bench)
    for _ in range(tries):
        run = bench.start("-o", bench.out)
        bench.moment()
        for path in random.sample(sorted(originals), len(originals) // 4):
            swap(path, int(path.stem) + bench.photos)
        code, _ = run.end()
        lost += code
        wrong += bench.wrong(also=others)
        for path, data in originals.items():
            path.write_bytes(data)
        bad, missing = bench.finish()
        wrong, lost = wrong + bad, lost + missing
    return Row(
        "photos changed during the run", tries, wrong, lost, "results of the one or the other; then all of the last"
    )


def twice(bench: Bench, tries: int) -> Row:
    """Start the same run twice."""
    wrong = lost = refused = 0
    for _ in range(tries):
        first = bench.start("-o", bench.out)
        time.sleep(random.uniform(0, bench.seconds / 2))
        second = bench.start("-o", bench.out)
        ends = [first.end(), second.end()]
        refused += sum("another run is at work" in text for code, text in ends if code == 2)
        lost += all(code for code, _ in ends)
        wrong += bench.wrong()
        bad, missing = bench.finish()
        wrong, lost = wrong + bad, lost + missing
    return Row("two runs on one folder", tries, wrong, lost, f"{refused} times one was refused with a line")


def shards(bench: Bench, tries: int) -> Row:
    """Three shards at once, of which one is killed and started again."""
    wrong = lost = 0
    for _ in range(tries):
        runs = [bench.start("-o", bench.out, "--shard", f"{part}/3") for part in (1, 2, 3)]
        bench.moment()
        runs[1].kill()
        runs[1] = bench.start("-o", bench.out, "--shard", "2/3")
        lost += sum(run.end()[0] for run in runs) + len(bench.expected.keys() - results(bench.out).keys())
        wrong += bench.wrong() + len(list(bench.out.rglob("*.part")))
        shutil.rmtree(bench.out)
    return Row("three shards at once, one killed and restarted", tries, wrong, lost, "")


def memory(bench: Bench, tries: int) -> Row:
    """Give the process too little memory for a tile of 1024 px, but enough for one of half the side."""
    wrong = lost = smaller = 0
    for number in range(tries):
        large = make_photo(bench.inputs / "large.png", number, 1100, 1500)
        code, text = bench.start("-o", bench.out, memory=MEMORY).end()
        smaller += "memory was short: worked on in tiles of" in text
        wrong += sum(results(bench.out).get(name) != data for name, data in bench.expected.items())
        lost += code or not (bench.out / "large.png").exists()
        shutil.rmtree(bench.out)
        large.unlink()
    remark = f"the large photo was worked on in smaller tiles {smaller} times, the small ones as ever"
    return Row(f"{MEMORY >> 20} MiB left, a large photo among small ones", tries, wrong, lost, remark)


def deadly(bench: Bench, tries: int) -> Row:
    """Let three photos kill every process that decodes them, as a fault in a decoder does."""
    wrong = lost = 0
    for _ in range(tries):
        names = set(random.sample(sorted(bench.expected), 3))
        code, text = bench.start("-o", bench.out, deadly=names).end()
        named = {name for name in names if f"{name}: the process died twice" in text}
        wrong += bench.wrong() + (code != 1)
        lost += len(names - named) + len(bench.expected.keys() - results(bench.out).keys() - names)
        bad, missing = bench.finish()  # with a decoder that was mended
        wrong, lost = wrong + bad, lost + missing
    return Row(
        "three photos that kill the process", tries, wrong, lost, "each named by the one command, the others done"
    )


def huge(bench: Bench, tries: int) -> Row:
    """Give the process too little memory to decode a photo at all."""
    wrong = lost = killed = 0
    large = make_photo(bench.inputs / "huge.png", 0, 9000, 9000, flat=True)
    for _ in range(tries):
        code, text = bench.start("-o", bench.out, memory=HUGE).end()
        killed += "the process was killed" in text
        wrong += bench.wrong() + (code != 1)
        lost += ("huge.png" not in text) + len(bench.expected.keys() - results(bench.out).keys())
        shutil.rmtree(bench.out)
    large.unlink()
    remark = f"it is named and the others are done; {killed} times the process was killed by it"
    return Row(f"{HUGE >> 20} MiB left, a photo of 243 MB among small ones", tries, wrong, lost, remark)


def another_path(bench: Bench, tries: int) -> Row:
    """Let the output folder be the input folder by another path, and pass --overwrite."""
    wrong = lost = 0
    originals = {path: path.read_bytes() for path in bench.inputs.rglob("*.png")}
    for number in range(tries):
        kind = ("linked folder", "hard links", "mount")[number % 3]
        with reached(bench, kind):
            code, text = bench.start("-o", bench.out, "--overwrite").end()
        wrong += sum(path.read_bytes() != data for path, data in originals.items()) + (code not in (1, 2))
        # Seen at once, it is one line for all; by hard links, a line for each photo.
        lost += text.count("\n") != 1 if code == 2 else bench.unsaid(text)
    remark = "a linked folder, hard links, a bind mount in turn; all refused with a line, no original changed"
    return Row("output folder that is the input folder, --overwrite", tries, wrong, lost, remark)


@contextlib.contextmanager
def reached(bench: Bench, kind: str) -> Iterator[None]:
    """Make the output folder lead to the photos."""
    if kind == "linked folder":
        bench.out.symlink_to(bench.inputs)
        yield
        bench.out.unlink()
    elif kind == "hard links":
        shutil.copytree(bench.inputs, bench.out, copy_function=os.link)
        yield
        shutil.rmtree(bench.out)
    else:
        bench.out.mkdir()
        subprocess.run(["mount", "--bind", bench.inputs, bench.out], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", bench.out], check=True)
            bench.out.rmdir()
    shutil.rmtree(bench.inputs / ".idrestore", ignore_errors=True)


def no_photos(bench: Bench, tries: int) -> Row:
    """Put things that only look like photos, and photos that do not, among the photos."""
    wrong = lost = 0
    folder = bench.inputs / "others"
    for _ in range(tries):
        photo = make_photo(folder / "good.png", 0)
        shutil.copy(photo, folder / "unnamed")
        shutil.copy(photo, folder / "backup.png_old")
        os.mkfifo(folder / "pipe.jpg")
        (folder / "nowhere.jpg").symlink_to(folder / "none.jpg")
        (folder / "elsewhere").symlink_to(bench.root / "first")
        code, text = bench.start("-o", bench.out).end()
        names = {path.name for path in folder.iterdir()}
        lost += sum(name not in text for name in names) + bench.unsaid(text)
        wrong += bench.wrong() + (code != 1)
        shutil.rmtree(bench.out)
        shutil.rmtree(folder)
    remark = "a pipe, a link to nowhere, a linked folder, pictures without an ending or with an unknown one: named"
    return Row("what is no photo, or does not look like one", tries, wrong, lost, remark)


def damaged_manifest(bench: Bench, tries: int) -> Row:
    """Damage the manifest of a finished folder, and run again: one line and exit code 2, or all as it was."""
    wrong = lost = refused = 0
    for _ in range(tries):
        bench.start("-o", bench.out).end()
        path = bench.out / ".idrestore/manifest.sqlite"
        data = bytearray(path.read_bytes())
        for _ in range(random.choice((1, 20, 400))):
            data[random.randrange(len(data))] = random.randrange(256)
        path.write_bytes(random.choice((bytes(data), bytes(data), bytes(data[: random.randrange(len(data))]))))
        code, text = bench.start("-o", bench.out).end()
        refused += code == 2
        wrong += bench.wrong() + (code not in (0, 1, 2)) + (code == 2 and text.count("\n") != 1)
        lost += len(bench.expected.keys() - results(bench.out).keys())
        shutil.rmtree(bench.out)
    return Row("damaged manifest", tries, wrong, lost, f"{refused} times refused with one line; no result touched")


HUGE = 400 << 20
MEMORY = 800 << 20
FAULTS: dict[str, Callable[[Bench, int], Row]] = {
    "killed": killed,
    "full_disk": full_disk,
    "removed": removed,
    "unreadable": unreadable,
    "changed": changed,
    "twice": twice,
    "shards": shards,
    "memory": memory,
    "huge": huge,
    "deadly": deadly,
    "another_path": another_path,
    "no_photos": no_photos,
    "damaged_manifest": damaged_manifest,
}
"""Name → what makes the fault."""


def results(folder: Path) -> dict[str, bytes]:
    """Return what lies under the results' names: all but hidden files."""
    paths = folder.rglob("*.png")
    return {path.name: path.read_bytes() for path in paths if not path.name.startswith(".") and path.stem.isdigit()}


def told_done(text: str) -> set[str]:
    """Return the photos that a run says it restored."""
    return set(re.findall(r"→ \S*?(\d{3}\.png)", text))


def make_model(path: Path) -> None:
    import torch

    from idrestore.model import checkpoint
    from idrestore.model.config import PRESETS
    from idrestore.model.network import RestorationNetwork

    torch.manual_seed(0)
    network = RestorationNetwork(PRESETS["tiny"])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.03)
    checkpoint.save(path, network, {})


def make_photo(path: Path, seed: int, height: int = 24, width: int = 32, flat: bool = False) -> Path:
    from idrestore.files import image

    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (1, 1, 3) if flat else (height, width, 3), dtype=np.uint8)
    pixels = np.ascontiguousarray(np.broadcast_to(pixels, (height, width, 3)))
    image.write(pixels, path, image.Photo(pixels), overwrite=True)
    return path


def swap(path: Path, seed: int) -> None:
    """Put another photo in the place of one."""
    make_photo(path.with_name(".swap.png"), seed).replace(path)


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(20):
        data[random.randrange(8, len(data))] = random.randrange(256)
    cut = data[: random.randrange(len(data))]
    path.write_bytes(random.choice([bytes(data), bytes(cut), b"", b"hello"]))


def another_reference(bench: Bench) -> dict[str, bytes]:
    """Return the results of the photos that `changed` puts in."""
    folder = bench.root / "others"
    for path in bench.inputs.rglob("*.png"):
        make_photo(folder / path.relative_to(bench.inputs), int(path.stem) + bench.photos)
    arguments = [folder, "-m", bench.model, "--device", "cpu", "--precision", "fp32", "-o", bench.root / "others-out"]
    Run(arguments).end()
    return results(bench.root / "others-out")


def rows(names: list[str], tries: int, photos: int) -> Iterator[Row]:
    """Make the faults, each in a folder of its own."""
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            yield FAULTS[name](Bench(Path(folder), photos), tries)


def main() -> None:
    """Print the table; exit 1 if anything was wrong or lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", help=", ".join(FAULTS))
    parser.add_argument("--tries", type=int, default=TRIES)
    parser.add_argument("--photos", type=int, default=PHOTOS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random.seed(options.seed)
    os.environ["SOURCE_DATE_EPOCH"] = "0"  # results are compared byte for byte, and say when they were made
    print("| fault | tries | wrong | lost | |\n|---|---|---|---|---|", flush=True)
    bad = 0
    for row in rows(options.faults or list(FAULTS), options.tries, options.photos):
        print(f"| {row.fault} | {row.tries} | {row.wrong} | {row.lost} | {row.remark} |", flush=True)
        bad += row.wrong + row.lost
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
