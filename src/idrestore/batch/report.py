"""What a run did, as a file for people or programs: CSV, JSON, or a page of HTML that needs nothing else."""

import base64
import csv
import functools
import html
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from idrestore import atomic
from idrestore.batch.job import Outcome, summary
from idrestore.files import image

FORMAT_VERSION = 1
COLUMNS = ("photo", "result", "status", "seconds", "ingredients", "notes", "error", "arithmetic")
THUMBNAIL = 160
"""Longest side in the page, px."""


def check_report(path: Path, overwrite: bool = False) -> None:
    """Raise `ValueError` if a report cannot be written there: before the work, not after it."""
    if path.suffix.lower() not in _WRITERS:
        raise ValueError(f"report: got {path}, expected a name that ends in {', '.join(_WRITERS)}")
    head = _WRITERS[path.suffix.lower()][1]
    try:
        if path.exists() and not overwrite and not path.read_bytes().startswith(head.encode()):
            raise ValueError(f"report: {path} exists already and is no report: pass --overwrite to replace it")
        atomic.check_writable(path)
    except OSError as error:
        expected = "expected a file in a folder that is there and may be written"
        raise ValueError(f"report: got {path}, which cannot be written ({error.strerror}): {expected}") from error


def write_report(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write a report of the kind that the name's ending says; raise `OSError`."""
    lines = _WRITERS[path.suffix.lower()][0]
    # Who may not see one of the photos sees no small picture of it either.
    photos = (outcome.job.source for outcome in outcomes if outcome.job.source.exists())
    mode = functools.reduce(int.__and__, map(atomic.mode_of, photos), 0o666)
    with atomic.replacing(path, mode) as file:
        for text in lines(outcomes):
            file.write(text.encode("utf-8", "backslashreplace"))


def _csv(outcomes: Iterable[Outcome]) -> Iterator[str]:
    yield _csv_line(COLUMNS)
    for outcome in outcomes:
        found = "; ".join(f"{name} {share:.4f}" for name, share in outcome.ingredients.items())
        what = f"{outcome.seconds:.3f}", found, "; ".join(outcome.notes), outcome.error, outcome.arithmetic
        yield _csv_line([*_places(outcome), *what])


def _csv_line(values: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


def _json(outcomes: Sequence[Outcome]) -> Iterator[str]:
    counts = json.dumps(Counter(outcome.status for outcome in outcomes))
    arithmetic = json.dumps(_arithmetic(outcomes))
    yield f'{_JSON_HEAD} {FORMAT_VERSION},\n"counts": {counts},\n"arithmetic": {arithmetic},\n"photos": ['
    for index, outcome in enumerate(outcomes):
        found = dict(outcome.ingredients)
        values = (*_places(outcome), outcome.seconds, found, outcome.notes, outcome.error, outcome.arithmetic)
        yield (",\n" if index else "\n") + _line(dict(zip(COLUMNS, values, strict=True)))
    yield "\n]}\n"


def _line(row: dict[str, object]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False)


def _html(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield f"{_HTML_HEAD}<h1>Restored photos</h1>\n<p>{summary(outcomes)}</p>\n"
    if arithmetic := _arithmetic(outcomes):
        yield f"<p>Computed on {html.escape('; '.join(arithmetic))}</p>\n"
    yield "<table>\n<thead><tr>"
    yield "".join(f'<th scope="col">{name}</th>' for name in ("before", "after", "photo", "found", "remarks"))
    yield "</tr></thead>\n<tbody>\n"
    # The failed first: they are what a reader has to act on.
    for outcome in sorted(outcomes, key=lambda outcome: outcome.status != "failed"):
        yield _html_row(outcome)
    yield "</tbody>\n</table>\n</html>\n"


def _html_row(outcome: Outcome) -> str:
    photo, result, status = map(html.escape, _places(outcome))
    found = html.escape(outcome.found)
    before = _picture(outcome.job.source, f"before: {photo}")
    after = "" if outcome.status == "failed" else _picture(outcome.job.target, f"after: {photo}, restored")
    remarks = "<br>".join(html.escape(line) for line in filter(None, (outcome.error, *outcome.notes)))
    names = f"{photo}<br>→ {result}<br>{status}, {outcome.seconds:.1f} s"
    cells = "".join(f"<td>{cell}</td>" for cell in (before, after, names, found, remarks))
    return f'<tr class="{status}">{cells}</tr>\n'


def _picture(path: Path, words: str) -> str:
    """Return a thumbnail inside an element, or nothing if the file is no picture any more."""
    try:
        data = base64.b64encode(image.thumbnail(path, THUMBNAIL)).decode()
    except image.ImageError:
        return "–"
    return f'<img src="data:image/webp;base64,{data}" alt="{words}">'


def _arithmetic(outcomes: Iterable[Outcome]) -> list[str]:
    """Return the ways in which results were computed: machines of a cluster may differ."""
    return sorted({outcome.arithmetic for outcome in outcomes} - {""})


def _places(outcome: Outcome) -> tuple[str, str, str]:
    return str(outcome.job.source), str(outcome.job.target), outcome.status


_JSON_HEAD = '{"report_of": "idrestore", "format_version":'
_HTML_HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="generator" content="idrestore">
<meta name="viewport" content="width=device-width">
<title>Restored photos</title>
<style>
body { font: 1rem/1.4 system-ui, sans-serif; margin: 2rem; color: #222; background: #fff }
table { border-collapse: collapse }
th, td { border-bottom: 1px solid #ccc; padding: .4rem .8rem; text-align: left; vertical-align: top }
.failed td { background: #fdecea }
</style>
"""
_WRITERS: dict[str, tuple[Callable[[Sequence[Outcome]], Iterator[str]], str]] = {
    ".csv": (_csv, "photo,result,status,"),
    ".json": (_json, _JSON_HEAD),
    ".html": (_html, _HTML_HEAD),
}
"""Ending → what writes it, and how its files begin, by which a report is told from a file of somebody else."""
