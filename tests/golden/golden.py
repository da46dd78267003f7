"""What the shipped model makes of small photos that between them reach every rule: recorded, to be compared with.

    python tests/golden/golden.py WHY [CASE...]

records anew what all cases, or those named, give now, and prints what differs from before. It is done on purpose only:
WHY is what the commit says. Records are hashes, which hold for one kind of processor and one version of torch, and
coarse means, which hold everywhere. The inputs are parts of the pictures in examples/, degraded or as they are.
"""

import hashlib
import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import idrestore
from idrestore import batch
from idrestore.files import image
from idrestore.training.loop import train
from idrestore.training.recipe import TrainConfig, with_photos

HERE = Path(__file__).parent
RECORDS = HERE / "recorded.json"
SMOKE = HERE.parents[1] / "recipes/smoke.toml"
PHOTOS = HERE.parents[1] / "examples/clean"
GRID = 8
"""Means are those of so many fields each way."""


class Made(NamedTuple):
    """What a case gives."""

    arrays: tuple[np.ndarray, ...]
    facts: Any
    """Of JSON: numbers are compared up to a tolerance, texts exactly"""


@cache
def restorer(tile: int | None = None) -> idrestore.Restorer:
    """Return the shipped model in fp32."""
    return idrestore.load("fast", "cpu", "fp32", tile)


def photo(name: str) -> np.ndarray:
    """Return one of the inputs, 128 x 128 or larger, uint8."""
    return image.read(HERE / "inputs" / f"{name}.png").pixels


def restored(pixels: np.ndarray, tile: int | None = None, **wish: Any) -> Made:
    """Restore, and keep what was found."""
    result = restorer(tile).restore(pixels, **wish)
    return Made((result.image,), [result.ingredients, result.again])


def explained(pixels: np.ndarray) -> Made:
    """Explain, and keep the pictures and each router's shares."""
    made = restorer().explain(pixels)
    latents = (part for maps in made.latents.values() for part in maps)
    return Made((made.result.image, *made.heat.values(), *latents), made.routers)


def large() -> np.ndarray:
    """Return a mosaic of inputs, 384 x 512: more than one tile of 256."""
    names = (
        "noise",
        "rain",
        "haze_noise",
        "blur",
        "rain",
        "noise",
        "soft",
        "rain_haze",
        "noise",
        "haze",
        "rain",
        "noise",
    )
    rows = [np.concatenate([photo(name) for name in names[start : start + 4]], axis=1) for start in (0, 4, 8)]
    return np.concatenate(rows)


def enlarged() -> np.ndarray:
    """Return an input two and a half times as large: soft at the scale of a pixel."""
    planes = torch.from_numpy(photo("rain")).permute(2, 0, 1)[None].float()
    large = torch.nn.functional.interpolate(planes, scale_factor=2.5, mode="bicubic")[0].permute(1, 2, 0)
    return large.clamp(0, 255).round().numpy().astype(np.uint8)


def lamp() -> np.ndarray:
    """Return a dark photo with a lamp in it, as floats."""
    pixels = np.full((96, 96, 3), 0.06, np.float32)
    pixels[40:56, 40:56] = 1
    return pixels


def against_the_light() -> np.ndarray:
    """Return an input of whose light a fifth is left, but for the upper quarter."""
    pixels = photo("soft_clean").copy()
    lower = pixels[len(pixels) // 4 :]
    lower[:] = (255 * (0.2 * (lower / 255) ** 2.2) ** (1 / 2.2)).round()
    return pixels


def half_protected() -> np.ndarray:
    """Return a mask of the left half."""
    mask = np.zeros((128, 128), np.bool_)
    mask[:, :64] = True
    return mask


def files() -> Made:
    """Restore a folder of one file of each format; keep results, report and manifest."""
    with tempfile.TemporaryDirectory() as name:
        source, out = Path(name, "in"), Path(name, "out")
        source.mkdir()
        pixels = photo("rain")[:48, :64]
        for ending in ("jpg", "png", "webp", "tif", "avif"):
            image.write(pixels, source / f"{ending}.{ending}", image.Photo(pixels))
        (source / "broken.jpg").write_bytes(b"no photo")
        jobs, _ = batch.plan([source], out)
        with batch.Manifest(out) as manifest:
            outcomes = list(batch.restore_files(restorer(), jobs, batch.Settings(), manifest))
            statuses = {job.target.name: manifest.known(job.target).status for job in jobs}
        batch.write_report(out / "report.json", outcomes)
        rows = json.loads((out / "report.json").read_text())["photos"]
        facts = [[Path(row["result"]).name, row["status"], row["ingredients"]] for row in rows]
        made = [image.read(job.target).pixels for job in jobs if job.target.exists()]
        return Made(tuple(made), [sorted(facts), statuses])


def trained() -> Made:
    """Take the 40 steps of the smoke recipe."""
    config = with_photos(TrainConfig.from_toml(SMOKE), [PHOTOS])
    with tempfile.TemporaryDirectory() as name:
        train(config, Path(name))
        lines = [json.loads(line) for line in Path(name, "log.jsonl").read_text().splitlines()]
        network = idrestore.model.checkpoint.load(Path(name, "last.safetensors")).network
    weights = np.concatenate([tensor.float().flatten().numpy() for tensor in network.state_dict().values()])
    return Made((weights,), [line["loss"] for line in lines if "loss" in line])


CASES: Mapping[str, Callable[[], Made]] = {
    **{
        name: lambda name=name: restored(photo(name))
        for name in ("noise", "rain", "haze", "blur", "low_light", "soft", "soft_clean", "half_clean", "clean")
    },
    "veil": lambda: restored(photo("veil")),
    "smoothed grain": lambda: restored(photo("smoothed")),
    "second pass: haze behind noise": lambda: restored(photo("haze_noise")),
    "second pass: blur behind noise": lambda: restored(photo("blur_noise")),
    "second pass: haze behind noise and rain": lambda: restored(photo("rain_haze")),
    "second pass: protected": lambda: restored(photo("haze_noise"), protect=half_protected()),
    "second pass: without haze": lambda: restored(photo("haze_noise"), strength={"haze": 0.0, "noise": 0.8}),
    "only": lambda: restored(photo("haze_noise"), only={"haze"}),
    "strength": lambda: restored(photo("half_clean"), strength=0.4),
    "ingredients": lambda: restored(photo("blur"), ingredients={"blur": 0.6, "noise": 0.3}),
    "protect": lambda: restored(photo("rain"), protect=half_protected()),
    "a lamp in the dark": lambda: restored(lamp(), ingredients={"low_light": 0.9, "noise": 0.1}),
    "against the light": lambda: restored(against_the_light()),
    "tiled": lambda: restored(large(), 256),
    "tiled: haze": lambda: restored(large(), 256, ingredients={"haze": 0.9, "blur": 0.1}),
    "half the size": lambda: restored(enlarged()),
    "16 bit": lambda: restored(photo("rain").astype(np.uint16) * 257 // 2),
    "alpha": lambda: restored(np.concatenate([photo("noise"), photo("rain")[..., :1]], axis=2)[:101, :77]),
    "grey": lambda: restored(photo("rain")[:90, :127, 1]),
    "one pixel": lambda: restored(photo("rain")[:1, :1]),
    "explain": lambda: explained(photo("rain_haze")),
    "files": files,
    "training": trained,
}


def machine() -> str:
    """Return what hashes hold for: kernels differ by the model of a processor, not by its name and units alone."""
    units = [torch.backends.cpu.get_cpu_capability(), *filter(None, [os.environ.get("ONEDNN_MAX_CPU_ISA")])]
    return f"torch {torch.__version__}, numpy {np.__version__}, {_processor()}, {', '.join(units)}"


def _processor() -> str:
    """Return a processor's name, family and model; what is known of it where Linux does not say."""
    known = Path("/proc/cpuinfo")
    if not known.exists():
        return platform.processor()
    first = known.read_text().partition("\n\n")[0]
    facts = dict(re.findall(r"^(.+?)\s*: (.*)$", first, re.MULTILINE))
    return " ".join(facts.get(key, "?") for key in ("model name", "cpu family", "model"))


def hash_of(made: Made) -> str:
    """Return a hash of every bit of the arrays."""
    digest = hashlib.sha256()
    for array in made.arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def means(made: Made) -> list[list[float]]:
    """Return the means of the fields of each array, in levels of 8 bit; floats have 255 to 1."""
    return [[round(float(value), 2) for value in _means(array)] for array in made.arrays]


def _means(array: np.ndarray) -> Iterator[float]:
    levels = array * (255 / (np.iinfo(array.dtype).max if array.dtype.kind == "u" else 1))
    if array.ndim == 1 or array.shape[0] > 1000:  # weights: how large they are
        yield np.abs(levels).mean()
        return
    if array.ndim == 3 and array.shape[2] > 4:  # latent maps, (C, h, w)
        levels = levels.mean(axis=0)
    for rows in np.array_split(levels, min(GRID, len(levels))):
        for field in np.array_split(rows, min(GRID, rows.shape[1]), axis=1):
            yield from field.reshape(field.shape[0] * field.shape[1], -1).mean(axis=0)


def record(cases: list[str]) -> None:
    """Record cases, and print which of them changed."""
    records = json.loads(RECORDS.read_text()) if RECORDS.exists() else {"hashes": {}, "means": {}, "facts": {}}
    hashes = records["hashes"].setdefault(machine(), {})
    for name in cases or CASES:
        made = CASES[name]()
        found = hash_of(made)
        print("same   " if hashes.get(name) == found else "changed", name, flush=True)  # noqa: T201
        for others in records["hashes"].values():  # of other processors: they hold for what was before
            others.pop(name, None)
        hashes[name], records["means"][name], records["facts"][name] = found, means(made), made.facts
    for kind in records.values():
        for name in [name for name in kind if name not in CASES and kind is not records["hashes"]]:
            del kind[name]
    lines = (f"{json.dumps(kind)}: {_lines(values)}" for kind, values in records.items())
    RECORDS.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _lines(values: Mapping[str, Any]) -> str:
    """Write one case a line."""
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in values.items()) + "\n}"


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] in CASES or sys.argv[1].startswith("-") or set(sys.argv[2:]) - set(CASES):
        raise SystemExit(__doc__)
    torch.set_num_threads(1)
    record(sys.argv[2:])
