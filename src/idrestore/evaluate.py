"""Sets of photos → restorer → tables: how much better, how often worse, was the cause named."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from idrestore.data.pairs import Pair, SetSpec
from idrestore.metrics import psnr, ssim

if TYPE_CHECKING:
    from idrestore.restore import Restorer

FORMAT_VERSION = 1
PROTOCOL = (
    "PSNR (dB) and SSIM (uniform 7x7 window) by scikit-image on RGB, 8 bit; every pixel counts, "
    "nothing is cropped. Means are over finite values, (+n) tells how many were not: PSNR is "
    "infinite where nothing differs, SSIM undefined where a side is under 7 pixels."
)
PHOTO_ERRORS = (OSError, ValueError, RuntimeError, MemoryError)
"""What a broken file, or one too large for the device, raises; the next photo may do well."""


class Row(NamedTuple):
    """What was measured on one photo."""

    set: str
    file: str
    """Of the photo that went in, within the set's folder."""
    megapixels: float
    seconds: float
    """In `Restorer.restore` alone."""
    psnr_input: float
    psnr_restored: float
    ssim_input: float
    ssim_restored: float
    ingredients: dict[str, float]

    @property
    def gain(self) -> float:
        """PSNR gained in dB; 0 where an identical picture stayed identical."""
        unchanged = self.psnr_restored == self.psnr_input
        return 0.0 if unchanged else self.psnr_restored - self.psnr_input


class Failure(NamedTuple):
    """A photo that could not be measured, and why, in one line."""

    set: str
    file: str
    message: str


class Mean(NamedTuple):
    """The mean of the finite values (of all, if none is finite), and how many were not finite."""

    value: float
    left_out: int


@dataclass(frozen=True)
class Summary:
    """The means of one set, unrounded; NaN if no photo could be measured."""

    num_photos: int
    num_failed: int
    psnr_input: Mean
    psnr_restored: Mean
    gain: Mean
    ssim_input: Mean
    ssim_restored: Mean
    worse: float
    """Share of the photos whose PSNR fell."""
    right: float | None
    """Share whose largest ingredient was the expected one; None where that was not judged."""
    ingredients: dict[str, float]
    seconds_per_megapixel: float


@dataclass(frozen=True)
class Report:
    """All that an evaluation found. A command that prints it exits with 1 if there are failures."""

    data: Mapping[str, SetSpec]
    rows: Sequence[Row]
    failures: Sequence[Failure]

    def summaries(self) -> dict[str, Summary]:
        """Return the means of each set."""
        return {
            name: _summary(
                [row for row in self.rows if row.set == name],
                sum(failure.set == name for failure in self.failures),
                spec.first,
            )
            for name, spec in self.data.items()
        }

    def to_json(self, about: Mapping[str, object] | None = None) -> str:
        """Return everything, unrounded; numbers that JSON lacks are "inf", "-inf" and "nan".

        `about` says what was evaluated, such as the model's name and hash.
        """
        report = {
            "format_version": FORMAT_VERSION,
            "about": about or {},
            "protocol": PROTOCOL,
            "sets": {
                name: {"spec": asdict(self.data[name]), "summary": asdict(summary)}
                for name, summary in self.summaries().items()
            },
            "photos": self.rows,
            "failures": self.failures,
        }
        return json.dumps(_plain(report), indent=1, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """Return the table of means, rounded; below it the protocol, and what failed."""
        table = [_cells(name, self.data[name], mean) for name, mean in self.summaries().items()]
        lines = [list(table[0]), ["---"] * len(table[0]), *(list(row.values()) for row in table)]
        text = [f"| {' | '.join(line)} |" for line in lines]
        failed = [f"- failed: {f.set}, {f.file}: {f.message}" for f in self.failures]
        return "\n".join([*text, "", PROTOCOL, *([""] if failed else []), *failed]) + "\n"


def evaluate(
    restorer: Restorer,
    data: Mapping[str, SetSpec],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Restore every photo of every set, and measure it before and after.

    `progress` is told how many photos are done, and of how many. A photo that fails, or has no
    counterpart, is a `Failure` in the report, and the rest goes on. Raise `ValueError` or `OSError`
    before anything is restored if `data` is empty or a folder does not hold what its set says.
    """
    if not data:
        raise ValueError("data: got no set, expected at least one")
    found = {name: spec.find() for name, spec in data.items()}
    jobs = [
        (name, index, pair)
        for name, pairs in found.items()
        for index, pair in enumerate(pairs.matched[: data[name].limit])
    ]
    rows: list[Row] = []
    failures = [
        Failure(name, _file(path, data[name]), "has no counterpart")
        for name, pairs in found.items()
        for path in pairs.unmatched
    ]
    for done, (name, index, pair) in enumerate(jobs, start=1):
        try:
            rows.append(_measure(restorer, name, data[name], pair, index))
        except PHOTO_ERRORS as error:
            message = " ".join(str(error).split()) or repr(error)
            failures.append(Failure(name, _file(pair.degraded, data[name]), message))
        progress(done, len(jobs))
    return Report(data, rows, failures)


def _measure(restorer: Restorer, name: str, spec: SetSpec, pair: Pair, index: int) -> Row:
    degraded, clean = spec.read(pair, index)
    start = perf_counter()
    result = restorer.restore(degraded)
    seconds = perf_counter() - start
    return Row(
        set=name,
        file=_file(pair.degraded, spec),
        megapixels=clean.shape[0] * clean.shape[1] / 1e6,
        seconds=seconds,
        psnr_input=psnr(degraded, clean),
        psnr_restored=psnr(result.image, clean),
        ssim_input=ssim(degraded, clean),
        ssim_restored=ssim(result.image, clean),
        ingredients=dict(result.ingredients),
    )


def _file(path: Path, spec: SetSpec) -> str:
    return path.relative_to(spec.folder).as_posix()


def _summary(rows: Sequence[Row], num_failed: int, first: str | None) -> Summary:
    judged = [
        max(row.ingredients, key=row.ingredients.__getitem__) == first for row in rows if first in row.ingredients
    ]
    names = rows[0].ingredients if rows else ()
    megapixels = sum(row.megapixels for row in rows)
    return Summary(
        num_photos=len(rows),
        num_failed=num_failed,
        psnr_input=_mean([row.psnr_input for row in rows]),
        psnr_restored=_mean([row.psnr_restored for row in rows]),
        gain=_mean([row.gain for row in rows]),
        ssim_input=_mean([row.ssim_input for row in rows]),
        ssim_restored=_mean([row.ssim_restored for row in rows]),
        worse=_mean([row.gain < 0 for row in rows]).value,
        right=_mean(judged).value if judged else None,
        ingredients={name: _mean([row.ingredients[name] for row in rows]).value for name in names},
        seconds_per_megapixel=sum(row.seconds for row in rows) / megapixels if rows else math.nan,
    )


def _mean(values: Collection[float]) -> Mean:
    finite = [value for value in values if math.isfinite(value)]
    chosen = finite or values
    return Mean(sum(chosen) / len(chosen) if chosen else math.nan, len(values) - len(finite))


def _cells(name: str, spec: SetSpec, summary: Summary) -> dict[str, str]:
    """Return a set's line of the table, by column."""
    largest = sorted(summary.ingredients.items(), key=lambda item: -item[1])[:3]
    judged = summary.right is not None
    return {
        "set": name,
        "photos": str(summary.num_photos),
        "PSNR input": _rounded(summary.psnr_input, ".2f"),
        "PSNR restored": _rounded(summary.psnr_restored, ".2f"),
        "gain": _rounded(summary.gain, "+.2f"),
        "SSIM input": _rounded(summary.ssim_input, ".4f"),
        "SSIM restored": _rounded(summary.ssim_restored, ".4f"),
        "worse": f"{summary.worse:.0%}",
        "named first": f"{spec.first} {summary.right:.0%}" if judged else "–",
        "ingredients": ", ".join(f"{name} {share:.2f}" for name, share in largest),
        "s/megapixel": f"{summary.seconds_per_megapixel:.2f}",
    }


def _rounded(mean: Mean, form: str) -> str:
    others = mean.left_out and math.isfinite(mean.value)
    return f"{mean.value:{form}}" + (f" (+{mean.left_out})" if others else "")


def _plain(value: Any) -> Any:
    """Return `value` as JSON has it: dictionaries, lists, text, finite numbers."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value.as_posix() if isinstance(value, Path) else value
