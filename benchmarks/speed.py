"""Seconds, memory and arithmetic from file to file, beside what the machine can do, and where the time goes.

    python benchmarks/speed.py PHOTO -o speed.json [--models fast,paper] [--megapixels 0.25,1,12,48]
                               [--precisions fp32,bf16] [--threads 1,2] [--repeats 3] [--device cpu] [--memory 1.5G]

The photo is mirrored at its borders to each size and written as a JPEG file. Every measurement is a process of its own,
from its start to the result's file in place; all combinations run in turn, `repeats` times over, so that a machine
that slows down slows all. Prints Markdown and writes JSON: medians, and in brackets the smallest and the largest.

A preset whose weights are not shipped gets random ones: its results are worthless, its speed is the same.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

FORMAT_VERSION = 1
SIDES = {0.25: (576, 432), 1: (1152, 864), 12: (4000, 3000), 48: (8000, 6000), 100: (11552, 8664)}
"""Megapixels → (width, height)."""
STAGES = ("start", "load", "decode", "guard", "routing", "network", "blend", "encode")
Case = dict[str, Any]
Inputs = ParamSpec("Inputs")
Output = TypeVar("Output")


def main() -> None:
    """Measure everything in turn, print tables, and write JSON."""
    if sys.argv[1] == "--case":
        print(json.dumps(_measure(json.loads(sys.argv[2]))))
        return
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        photos = {size: _enlarged(options.photo, size, Path(folder)) for size in options.megapixels}
        cases = list(_cases(options, photos))
        found: list[list[Case]] = [[] for _ in cases]
        for _, (case, results) in itertools.product(range(options.repeats), zip(cases, found, strict=True)):
            results.append(_in_own_process(case))
            print(".", end="", file=sys.stderr, flush=True)
    rows = [{**case, **_summary(results)} for case, results in zip(cases, found, strict=True)]
    for row in rows:
        row.pop("photo", None)  # a temporary file
    text = json.dumps({"format_version": FORMAT_VERSION, "repeats": options.repeats, "rows": rows}, indent=1)
    options.out.write_text(text + "\n")
    _print(rows)


def _options() -> argparse.Namespace:
    def numbers(text: str) -> list[float]:
        return [float(part) for part in text.split(",")]

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--out", "-o", type=Path, required=True)
    parser.add_argument("--models", default="fast")
    parser.add_argument("--megapixels", type=numbers, default=numbers("0.25,1,12"))
    parser.add_argument("--precisions", default="fp32,bf16")
    parser.add_argument("--threads", type=numbers, default=numbers("1,2"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--memory", default="")
    return parser.parse_args()


def _enlarged(source: Path, megapixels: float, folder: Path) -> Path:
    """Write a JPEG of that size, mirrored at the photo's borders, and return its path."""
    import pyvips

    width, height = SIDES[megapixels]
    path = folder / f"{megapixels:g}.jpg"
    photo = pyvips.Image.new_from_file(str(source))
    photo.embed(0, 0, width, height, extend="mirror").jpegsave(str(path), Q=92)
    return path


def _cases(options: argparse.Namespace, photos: dict[float, Path]) -> Iterator[Case]:
    """Yield what is to be measured: the machine's ceilings first, the profile last."""
    for threads, precision in itertools.product(options.threads, options.precisions.split(",")):
        common = {"threads": int(threads), "precision": precision, "device": options.device, "memory": options.memory}
        yield {"kind": "ceiling", **common}
        for model in options.models.split(","):
            for size, path in photos.items():
                yield {"kind": "restore", "model": model, "megapixels": size, "photo": str(path), **common}
            yield {"kind": "modules", "model": model, **common}


def _in_own_process(case: Case) -> Case:
    """Measure one case in a fresh process, and return what it found."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(case["threads"])}
    command = [sys.executable, __file__, "--case", json.dumps({**case, "started": time.time()})]
    output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    result: Case = json.loads(output)
    return result


def _measure(case: Case) -> Case:
    """Measure one case here."""
    return {"ceiling": _ceiling, "restore": _restore, "modules": _modules}[case["kind"]](case)


def _ceiling(case: Case) -> Case:
    """Measure the best of several products of matrices, and of several copies larger than any cache."""
    import torch

    torch.set_num_threads(case["threads"])
    dtype = torch.bfloat16 if case["precision"] == "bf16" else torch.float32
    matrix = torch.rand(2048, 2048, device=case["device"]).to(dtype)
    source = torch.rand(2**26, device=case["device"])
    target = torch.empty_like(source)
    product = _shortest(lambda: matrix @ matrix, case["device"])
    copying = _shortest(lambda: target.copy_(source), case["device"])
    return {"gflops": 2 * 2048**3 / product / 1e9, "gigabytes_per_second": 2 * 4 * 2**26 / copying / 1e9}


def _shortest(work: Any, device: str, repeats: int = 8) -> float:
    """Return the seconds of the fastest of some calls."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        _finish(device)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _finish(device: str) -> None:
    """Wait for what a GPU still has to do."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _restorer(case: Case) -> Any:
    import torch

    torch.set_num_threads(case["threads"])
    from tiles import model_of

    from idrestore.restoration import memory
    from idrestore.restoration.restorer import Restorer

    memory.keep_freed()
    budget = memory.parse_bytes(case["memory"]) if case["memory"] else None
    return Restorer(model_of(case["model"]), case["device"], case["precision"], budget=budget)


def _restore(case: Case) -> Case:
    """Restore a file to a file as the command does, and say how long each stage took."""
    from idrestore.batch import Settings
    from idrestore.batch import photo as one
    from idrestore.batch.job import Job

    took: dict[str, float] = defaultdict(float, start=time.time() - case["started"])
    with _timed(took, "load"):
        restorer = _restorer(case)
    source, first = Path(case["photo"]), []
    engine = restorer.engine

    def timed(function: Callable[Inputs, Output], stage: str) -> Callable[Inputs, Output]:
        def run(*arguments: Inputs.args, **options: Inputs.kwargs) -> Output:
            with _timed(took, stage):
                output = function(*arguments, **options)
                _finish(case["device"])
            return output

        return run

    engine.route, engine.restore = timed(engine.route, "routing"), timed(engine.restore, "network")
    one.left_alone = timed(one.left_alone, "guard")
    with _timed(took, "decode"):
        decoded = one.decode(source, source.read_bytes(), Settings())
    with _timed(took, "blend"):
        restored = one.restore(
            restorer, decoded, Settings(), lambda done, total: first.append(time.time() - case["started"])
        )
    took["blend"] -= took["guard"] + took["routing"] + took["network"]
    del decoded
    with _timed(took, "encode"):
        job = Job(source, source.with_suffix(".out.jpg"))
        job.target.write_bytes(one.encode(restored, job, Settings()).data)
    return {
        "seconds": time.time() - case["started"],
        "first_tile": first[0],
        "peak": _peak(),
        **{f"{stage}_seconds": took[stage] for stage in STAGES},
    }


@contextmanager
def _timed(took: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    took[stage] += time.perf_counter() - start


def _peak() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _modules(case: Case) -> Case:
    """Restore one tile; say how long each part of the network took, how fast it was, and what memory all took."""
    import numpy as np
    import torch

    from idrestore.model.cost import costs
    from idrestore.restoration import memory

    restorer = _restorer(case)
    took: dict[str, float] = defaultdict(float)
    begun: dict[str, float] = {}
    side = 256 if case["model"] == "paper" else 1024
    rows = torch.full((1, 3, len(restorer.names)), 1 / len(restorer.names), device=restorer.engine.device)
    parts = {cost.name: cost.kmac for cost in costs(restorer.model.network.to("cpu"))}
    restorer.model.network.to(restorer.engine.device)
    modules = dict(restorer.engine.network.named_modules())
    for name in parts.keys() & modules.keys():

        def begin(*_: Any, name: str = name) -> None:
            _finish(case["device"])
            begun[name] = time.perf_counter()

        def end(*_: Any, name: str = name) -> None:
            _finish(case["device"])
            took[name] += time.perf_counter() - begun[name]

        modules[name].register_forward_pre_hook(begin)
        modules[name].register_forward_hook(end)
    tile = np.random.default_rng(0).random((1, side, side, 3), np.float32)
    counted, before = restorer._bytes_per_pixel, memory.resident()
    for _ in range(2):  # the first warms up
        took.clear()
        start = time.perf_counter()
        restorer.engine.restore(tile, rows)
        _finish(case["device"])
        took["all"] = time.perf_counter() - start
    speed = {name: 2 * parts[name] * 1000 * side**2 / seconds / 1e9 for name, seconds in took.items()}
    seen = (_peak() - before) / side**2
    return {"kmac": parts["all"], "counted": counted, "seen": seen} | {
        f"{name} {unit}": value
        for name, seconds in took.items()
        for unit, value in (("ms", seconds * 1000), ("GFLOP/s", speed[name]))
    }


def _summary(results: list[Case]) -> Case:
    """Return (median, smallest, largest) of each figure."""
    columns = {key: [result[key] for result in results] for key in results[0]}
    return {key: (statistics.median(values), min(values), max(values)) for key, values in columns.items()}


def _print(rows: list[Case]) -> None:
    """Print the machine, the table of photos with their stages, and the profile of the network."""
    print("| threads | precision | matrix product, GFLOP/s | memory copy, GB/s |\n|---|---|---|---|")
    for row in (row for row in rows if row["kind"] == "ceiling"):
        product, copying = _spread(row["gflops"], 0), _spread(row["gigabytes_per_second"], 1)
        print(f"| {row['threads']} | {row['precision']} | {product} | {copying} |")
    ceilings = {(row["threads"], row["precision"]): row["gflops"][0] for row in rows if row["kind"] == "ceiling"}
    kmac = {row["model"]: row["kmac"][0] for row in rows if row["kind"] == "modules"}
    stages = " | ".join(f"{stage}, s" for stage in STAGES)
    print(
        f"\n| model | megapixels | threads | precision | seconds | s a megapixel | first tile, s | peak, GB "
        f"| network, GFLOP/s | of the ceiling | {stages} |\n|{'---|' * (10 + len(STAGES))}"
    )
    for row in (row for row in rows if row["kind"] == "restore"):
        width, height = SIDES[row["megapixels"]]
        # What the photo needs; the overlaps of tiles, worked on twice, do not count.
        reached = 2 * kmac[row["model"]] * 1000 * width * height / row["network_seconds"][0] / 1e9
        cells = [
            row["model"],
            f"{row['megapixels']:g}",
            str(row["threads"]),
            row["precision"],
            _spread(row["seconds"], 1),
            f"{row['seconds'][0] / (width * height / 1e6):.2f}",
            _spread(row["first_tile"], 1),
            _spread(tuple(value / 1e9 for value in row["peak"]), 2),
            f"{reached:.0f}",
            f"{reached / ceilings[row['threads'], row['precision']]:.0%}",
            *(f"{row[f'{stage}_seconds'][0]:.2f}" for stage in STAGES),
        ]
        print(f"| {' | '.join(cells)} |")
    for row in (row for row in rows if row["kind"] == "modules"):
        print(f"\n{row['model']}, {row['precision']}, {row['threads']} threads, one tile")
        print(f"({_spread(row['seen'], 0)} bytes a pixel; its tensors were counted as {row['counted'][0]:.0f}):\n")
        print("| part | ms | share | GFLOP/s |\n|---|---|---|---|")
        for name in (key.removesuffix(" ms") for key in row if key.endswith(" ms")):
            milliseconds, speed = row[f"{name} ms"], row[f"{name} GFLOP/s"]
            share = milliseconds[0] / row["all ms"][0]
            print(f"| {name} | {_spread(milliseconds, 1)} | {share:.1%} | {speed[0]:.0f} |")


def _spread(values: Any, digits: int) -> str:
    median, low, high = values
    return f"{median:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


if __name__ == "__main__":
    main()
