"""Sets of photos → restorer → report: how much better, how often worse, was the cause named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from idrestore import metrics
from idrestore.configuration import one_line
from idrestore.data.layouts import Pair, Pairs, list_photos
from idrestore.data.pairs import Pixels8, SetSpec, read_8_bit
from idrestore.degradations import NAMES, canonical, check_known
from idrestore.evaluation.report import Failure, Pictures, Protocol, Report, Row, Score
from idrestore.metrics import psnr, ssim

if TYPE_CHECKING:
    from idrestore.restoration.restorer import Restorer
    from idrestore.restoration.results import Result

Routing = Literal["soft", "hard", "oracle"]
"""Who decides the ingredients: the routers' shares, their largest share alone, or the truth."""
MULTIPLE = 32
"""To whose multiples the protocol `research` crops, as the field's scripts do."""
PHOTO_ERRORS = (OSError, ValueError, RuntimeError, MemoryError)
"""What a broken file, or one too large for the device, raises; the next photo may do well."""


Observe = Callable[[Row, Pictures], None]


class _Job(NamedTuple):
    """A photo to measure: the set's name, the place in the set, and the files."""

    set: str
    number: int
    pair: Pair


def evaluate(
    restorer: Restorer,
    data: Mapping[str, SetSpec],
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    protocol: Protocol = "full",
    routing: Routing = "soft",
    versus: Mapping[str, Path] | None = None,
    told: Sequence[str] = (),
    tone_matched: bool = False,
    shard: tuple[int, int] = (1, 1),
    observe: Observe | None = None,
    about: Mapping[str, object] | None = None,
) -> Report:
    """Restore every photo of every set, and measure it before and after.

    `progress` is told how many photos are done, and of how many. `routing` says whose ingredients are used: the
    routers' shares (soft), their largest alone (hard), or the true ones (oracle). `versus` names folders of other
    methods' results, as `find_other` looks for them. `told` names degradations: every photo is restored once more for
    each, told that it has that alone, as if by another method, "told rain". With `tone_matched`, PSNR is taken after
    the best tone curve (`metrics.tone_matched`). `shard` (i, n) measures the i-th of n equal parts, whose reports
    `merge` joins. `observe` is shown every photo's pictures. `about` goes into the report. A photo that fails, or has
    no counterpart, is a `Failure` in the report, and the rest goes on. Raise `ValueError` or `OSError` before anything
    is restored if `data` is empty, a folder does not hold what its set says, or an oracle would have to guess.
    """
    found = find_sets(data, routing)
    for name, spec in data.items():
        if spec.first not in (None, *NAMES) and spec.first not in restorer.names:
            raise ValueError(f"first: got {spec.first} for {name}, expected one of {', '.join(restorer.names)}")
    told = [word if word in restorer.names else canonical(word) for word in told]
    check_known(restorer.names, "told", told)
    part, parts = shard
    if not 1 <= part <= parts:
        raise ValueError(f"shard: got {part} of {parts}, expected one of the parts, counted from 1")
    theirs = {
        name: {other: _list_others(folder, name, len(data) > 1) for other, folder in (versus or {}).items()}
        for name in data
    }
    jobs = [
        _Job(name, number, pair)
        for name, pairs in found.items()
        for number, pair in enumerate(pairs.matched[: data[name].limit])
    ][part - 1 :: parts]
    rows: list[Row] = []
    failures = [
        Failure(name, _file(path, data[name]), "has no counterpart")
        for name, pairs in found.items()
        for path in pairs.unmatched
        if part == 1
    ]
    for done, job in enumerate(jobs, start=1):
        spec = data[job.set]
        file = _file(job.pair.degraded, spec)
        try:
            degraded, clean = _cropped(spec.read(job.pair, job.number), protocol)
            others, missing = _read_others(theirs[job.set], file, clean, protocol)
            failures += [Failure(job.set, file, message) for message in missing]
            restore = partial(_restore, restorer, routing, spec.truth())
            others |= {f"told {kind}": restorer.restore(degraded, ingredients={kind: 1.0}).image for kind in told}
            row, pictures = _measure(restore, job, file, degraded, clean, others, protocol, tone_matched)
            rows.append(row)
            if observe:
                observe(row, pictures)
        except PHOTO_ERRORS as error:
            failures.append(Failure(job.set, file, one_line(error)))
        progress(done, len(jobs))
    return Report(data, rows, failures, protocol, about or {}, tone_matched)


def find_sets(data: Mapping[str, SetSpec], routing: Routing = "soft") -> dict[str, Pairs]:
    """Return the files of every set; raise `ValueError` or `OSError` as `evaluate` does before it starts."""
    if not data:
        raise ValueError("data: got no set, expected at least one")
    if routing not in get_args(Routing):
        raise ValueError(f"routing: got {routing!r}, expected one of {', '.join(get_args(Routing))}")
    for name, spec in data.items():
        if routing == "oracle" and spec.truth() is None:
            raise ValueError(
                f"routing: the oracle has to be told what is wrong with the photos of {name}: add :first=NAME"
            )
    return {name: spec.find() for name, spec in data.items()}


def find_other(photos: Mapping[str, Path], file: str) -> Path:
    """Return another method's result for a photo; raise `ValueError` if there is none.

    `photos` are its results by their place without suffix; `file` is the photo that went in, such as `blur/1.png`. The
    result lies at the same place, or at one without one of the folders (`1.png`).
    """
    *folders, name = Path(file).with_suffix("").parts
    fewer = [[*folders[:i], *folders[i + 1 :]] for i in range(len(folders))]
    for place in (folders, *fewer):
        if (key := "/".join([*place, name])) in photos:
            return photos[key]
    raise ValueError(f"no result named {name}")


def _list_others(folder: Path, set_name: str, several: bool) -> dict[str, Path]:
    """Return another method's results for a set by their place without suffix; they lie in `folder/SET` or `folder`."""
    inside = folder / set_name
    if several and not inside.is_dir():
        raise NotADirectoryError(f"{inside}: no such folder; of several sets, each has its own subfolder of results")
    folder = inside if inside.is_dir() else folder
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in list_photos(folder)}


def _read_others(
    folders: Mapping[str, Mapping[str, Path]], file: str, clean: Pixels8, protocol: Protocol
) -> tuple[dict[str, Pixels8], list[str]]:
    """Return the other methods' results for a photo, and what is wrong with those that are not there."""
    others: dict[str, Pixels8] = {}
    missing = []
    for name, photos in folders.items():
        try:
            others[name] = _read_other(photos, file, clean, protocol)
        except PHOTO_ERRORS as error:
            missing.append(f"{name}: {one_line(error)}")
    return others, missing


def _read_other(photos: Mapping[str, Path], file: str, clean: Pixels8, protocol: Protocol) -> Pixels8:
    """Read another method's result; under `research` it may be whole or already cropped."""
    path = find_other(photos, file)
    other = read_8_bit(path)
    if other.shape != clean.shape:
        (cropped,) = _cropped((other,), protocol)
        if cropped.shape != clean.shape:
            sizes = ["x".join(map(str, image.shape[1::-1])) for image in (other, clean)]
            raise ValueError(f"{path} is {sizes[0]}, expected {sizes[1]}")
        other = cropped
    return other


def _restore(restorer: Restorer, routing: Routing, truth: Mapping[str, float] | None, image: NDArray[Any]) -> Result:
    """Restore a photo with the ingredients that `routing` asks for."""
    if routing == "soft":
        return restorer.restore(image)
    shares = truth
    if routing == "hard":
        shares = {next(iter(restorer.find(image))): 1.0}
    return restorer.restore(image, ingredients=shares)


def _measure(
    restore: Callable[[NDArray[Any]], Result],
    job: _Job,
    file: str,
    degraded: Pixels8,
    clean: Pixels8,
    others: dict[str, Pixels8],
    protocol: Protocol,
    tone_matched: bool,
) -> tuple[Row, Pictures]:
    exact = protocol == "research"
    score = partial(_score, tone_matched=tone_matched)
    start = perf_counter()
    result = restore(degraded.astype(np.float32) / 255 if exact else degraded)
    seconds = perf_counter() - start
    before = score(degraded, clean)
    after = score(result.image.astype(np.float64), clean / 255) if exact else score(result.image, clean)
    row = Row(
        set=job.set,
        number=job.number,
        file=file,
        megapixels=clean.shape[0] * clean.shape[1] / 1e6,
        seconds=seconds,
        psnr_input=before.psnr,
        psnr_restored=after.psnr,
        ssim_input=before.ssim,
        ssim_restored=after.ssim,
        ingredients=dict(result.ingredients),
        others={name: score(other, clean) for name, other in others.items()},
    )
    restored = (result.image * 255).round().astype(np.uint8) if exact else result.image
    return row, Pictures(degraded, others, restored, clean)


def _score(picture: NDArray[Any], clean: NDArray[Any], tone_matched: bool) -> Score:
    if not tone_matched or np.array_equal(picture, clean):
        return Score(psnr(picture, clean), ssim(picture, clean))
    peak = 255 if clean.dtype == np.uint8 else 1
    return Score(psnr(metrics.tone_matched(picture, clean), clean / peak), ssim(picture, clean))


def _cropped(pictures: tuple[Pixels8, ...], protocol: Protocol) -> tuple[Pixels8, ...]:
    """Return pictures as a protocol wants them: whole, or the middle, its sides multiples of `MULTIPLE`."""
    if protocol == "full":
        return pictures
    return tuple(picture[tuple(_middle(side) for side in picture.shape[:2])] for picture in pictures)


def _middle(side: int) -> slice:
    kept = side - side % MULTIPLE
    if not kept:
        raise ValueError(f"the protocol research needs sides of at least {MULTIPLE} pixels, got {side}")
    return slice((side - kept) // 2, (side - kept) // 2 + kept)


def _file(path: Path, spec: SetSpec) -> str:
    return path.relative_to(spec.folder).as_posix()
