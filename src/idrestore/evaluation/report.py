"""What an evaluation found: a row for each photo, means for each set, as JSON and as a table."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

from idrestore.data.pairs import Pixels8, SetSpec

FORMAT_VERSION = 1
LOSS = 0.3
"""By how much a photo's PSNR must fall to count as a loser, dB: about what a careful eye may see."""
TONE_MATCHED = (
    "Every picture's PSNR is taken after the cubic tone curve of each channel that brings it closest to the clean one: "
    "detail counts, brightness and colour casts do not."
)
Protocol = Literal["full", "research"]
PROTOCOLS: dict[Protocol, str] = {
    "full": (
        "PSNR (dB) and SSIM (uniform 7x7 window) by scikit-image on RGB, 8 bit; every pixel counts, "
        "nothing is cropped. Means are over finite values, (+n) tells how many were not: PSNR is "
        "infinite where nothing differs, SSIM undefined where a side is under 7 pixels."
    ),
    "research": (
        "PSNR (dB) and SSIM (uniform 7x7 window) by scikit-image on RGB, as the research scripts of this field "
        "measure: photos are cropped about their middle to multiples of 32 before they are restored, and the restored "
        "photo is compared in floating point, not rounded to 8 bit. Means as in the protocol `full`."
    ),
}


class Score(NamedTuple):
    """How close a picture is to the clean one."""

    psnr: float
    """dB"""
    ssim: float


class Row(NamedTuple):
    """What was measured on one photo."""

    set: str
    number: int
    """Its place in the set, which seeds all chance."""
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
    others: dict[str, Score]
    """Of the pictures that other methods made of the same photo."""

    @property
    def gain(self) -> float:
        """PSNR gained in dB; 0 where an identical picture stayed identical."""
        unchanged = self.psnr_restored == self.psnr_input
        return 0.0 if unchanged else self.psnr_restored - self.psnr_input


class Pictures(NamedTuple):
    """The pictures of one photo, all (H, W, 3) uint8."""

    degraded: Pixels8
    others: dict[str, Pixels8]
    """What other methods made of it."""
    restored: Pixels8
    clean: Pixels8


class Failure(NamedTuple):
    """A photo that could not be measured, and why, in one line."""

    set: str
    file: str
    message: str


class Mean(NamedTuple):
    """The mean of the finite values (of all, if none is finite), and how many were not finite."""

    value: float
    left_out: int


class MeanScore(NamedTuple):
    """The means of another method's pictures."""

    psnr: Mean
    ssim: Mean


class Worst(NamedTuple):
    """The photo of a set that gained least."""

    file: str
    gain: float
    """dB"""
    psnr: float
    """Of the restored photo, dB"""


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
    losers: int
    """Photos whose PSNR fell by more than `LOSS`."""
    worst: Worst | None
    """The photo that gained least; None if no photo could be measured."""
    right: float | None
    """Share whose largest ingredient was the expected one; None where that was not judged."""
    ingredients: dict[str, float]
    seconds_per_megapixel: float
    others: dict[str, MeanScore]


@dataclass(frozen=True)
class Report:
    """All that an evaluation found. A command that prints it exits with 1 if there are failures."""

    data: Mapping[str, SetSpec]
    rows: Sequence[Row]
    failures: Sequence[Failure]
    protocol: Protocol = "full"
    about: Mapping[str, object] = field(default_factory=dict)
    """What was evaluated, such as the model's name and hash."""
    tone_matched: bool = False
    """PSNR is that of `metrics.tone_matched` pictures."""

    @property
    def protocol_text(self) -> str:
        """What the numbers are, in words."""
        return PROTOCOLS[self.protocol] + (f" {TONE_MATCHED}" if self.tone_matched else "")

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

    def to_json(self) -> str:
        """Return everything, unrounded; numbers that JSON lacks are "inf", "-inf" and "nan"."""
        report = {
            "format_version": FORMAT_VERSION,
            "about": self.about,
            "protocol": self.protocol,
            "protocol_text": self.protocol_text,
            "tone_matched": self.tone_matched,
            "sets": {
                name: {"spec": asdict(self.data[name]), "summary": asdict(summary)}
                for name, summary in self.summaries().items()
            },
            "photos": self.rows,
            "failures": self.failures,
        }
        return json.dumps(json_ready(report), indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Return what `to_json` wrote; raise `ValueError` for anything else."""
        try:
            found = json.loads(text)
            if found["format_version"] != FORMAT_VERSION:
                raise ValueError(f"format version {found['format_version']}, expected {FORMAT_VERSION}")
            specs = {name: entry["spec"] for name, entry in found["sets"].items()}
            data = {name: SetSpec(**spec | {"folder": Path(spec["folder"])}) for name, spec in specs.items()}
            failures = [Failure(**failure) for failure in found["failures"]]
            rows = [_row(row) for row in found["photos"]]
            return cls(data, rows, failures, found["protocol"], found["about"], bool(found.get("tone_matched", False)))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not an evaluation's results ({error!r})") from error

    def to_markdown(self) -> str:
        """Return the table of means, rounded; below it the protocol, and what failed."""
        names = dict.fromkeys(name for row in self.rows for name in row.others)
        table = [_cells(name, self.data[name], mean, names) for name, mean in self.summaries().items()]
        lines = [list(table[0]), ["---"] * len(table[0]), *(list(row.values()) for row in table)]
        text = [f"| {' | '.join(line)} |" for line in lines]
        failed = [f"- failed: {f.set}, {f.file}: {f.message}" for f in self.failures]
        return "\n".join([*text, "", self.protocol_text, *([""] if failed else []), *failed]) + "\n"


def merge(reports: Sequence[Report]) -> Report:
    """Return the report of the whole of which `reports` are the shards: from their photos, not from their means.

    Raise `ValueError` if they are not shards of one evaluation, or hold a photo twice.
    """
    if not reports:
        raise ValueError("got no results to merge, expected at least one")
    first = reports[0]
    for report in reports[1:]:
        if dataclasses.replace(report, rows=(), failures=()) != dataclasses.replace(first, rows=(), failures=()):
            raise ValueError("these are not shards of one evaluation: sets, options, model or protocol differ")
    order = list(first.data)
    rows = sorted(
        (row for report in reports for row in report.rows), key=lambda row: (order.index(row.set), row.number)
    )
    for row, following in pairwise(rows):
        if (row.set, row.number) == (following.set, following.number):
            raise ValueError(f"these are not shards of one evaluation: {row.set}, {row.file} is there twice")
    failures = sorted(failure for report in reports for failure in report.failures)
    return dataclasses.replace(first, rows=rows, failures=failures)


def _row(found: Mapping[str, Any]) -> Row:
    """Return a row from its JSON, in which infinite numbers are text."""
    numbers = ("megapixels", "seconds", "psnr_input", "psnr_restored", "ssim_input", "ssim_restored")
    others = {name: Score(*map(float, score.values())) for name, score in found["others"].items()}
    return Row(**{**found, **{name: float(found[name]) for name in numbers}, "others": others})


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
        losers=sum(row.gain < -LOSS for row in rows),
        worst=_worst(rows),
        right=_mean(judged).value if judged else None,
        ingredients={name: _mean([row.ingredients[name] for row in rows]).value for name in names},
        seconds_per_megapixel=sum(row.seconds for row in rows) / megapixels if rows else math.nan,
        others=_mean_scores([row.others for row in rows]),
    )


def _worst(rows: Sequence[Row]) -> Worst | None:
    """Return the photo that gained least; of changed clean ones the least like itself."""
    if not rows:
        return None
    row = min(rows, key=lambda row: (row.gain, row.psnr_restored))
    return Worst(row.file, row.gain, row.psnr_restored)


def _mean_scores(others: Sequence[Mapping[str, Score]]) -> dict[str, MeanScore]:
    scores: dict[str, list[Score]] = {}
    for of_photo in others:
        for name, score in of_photo.items():
            scores.setdefault(name, []).append(score)
    return {name: MeanScore(*(_mean(column) for column in zip(*rows, strict=True))) for name, rows in scores.items()}


def _mean(values: Collection[float]) -> Mean:
    finite = [value for value in values if math.isfinite(value)]
    chosen = finite or values
    return Mean(sum(chosen) / len(chosen) if chosen else math.nan, len(values) - len(finite))


def _cells(name: str, spec: SetSpec, summary: Summary, others: Iterable[str]) -> dict[str, str]:
    """Return a set's line of the table, by column."""
    largest = sorted(summary.ingredients.items(), key=lambda item: -item[1])[:3]
    judged = summary.right is not None
    cells = {
        "set": name,
        "photos": str(summary.num_photos),
        "PSNR input": _rounded(summary.psnr_input, ".2f"),
        "PSNR restored": _rounded(summary.psnr_restored, ".2f"),
        "gain": _rounded(summary.gain, "+.2f"),
        "SSIM input": _rounded(summary.ssim_input, ".4f"),
        "SSIM restored": _rounded(summary.ssim_restored, ".4f"),
        "worse": f"{summary.worse:.0%}",
        f"lose > {LOSS} dB": str(summary.losers),
        "worst": _name_worst(summary.worst),
        "named first": f"{spec.first} {summary.right:.0%}" if judged else "–",
        "ingredients": ", ".join(f"{name} {share:.2f}" for name, share in largest),
        "s/megapixel": f"{summary.seconds_per_megapixel:.2f}",
    }
    for other in others:
        score = summary.others.get(other)
        cells[f"PSNR {other}"] = _rounded(score.psnr, ".2f") if score else "–"
        cells[f"SSIM {other}"] = _rounded(score.ssim, ".4f") if score else "–"
    return cells


def _name_worst(worst: Worst | None) -> str:
    """Return a photo and what it gained, or what it came to where it was clean and so lost infinitely."""
    if worst is None:
        return "–"
    change = f"{worst.gain:+.2f}" if math.isfinite(worst.gain) else f"{worst.psnr:.2f} dB"
    return f"{worst.file} {change}"


def _rounded(mean: Mean, form: str) -> str:
    others = mean.left_out and math.isfinite(mean.value)
    return f"{mean.value:{form}}" + (f" (+{mean.left_out})" if others else "")


def json_ready(value: Any) -> Any:
    """Return `value` as JSON has it: dictionaries, lists, text, finite numbers; the others as "inf" and "nan"."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {key: json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value.as_posix() if isinstance(value, Path) else value
