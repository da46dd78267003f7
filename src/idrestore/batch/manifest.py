"""What became of each photo, kept in the output folder: one run at a time writes it, the next one reads it."""

import json
import math
import re
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self, get_args

from idrestore.batch.job import Job, encodable
from idrestore.batch.shard import Shard
from idrestore.configuration import one_line

FORMAT_VERSION = 2
"""1 had no "started", "retried" and "unchanged"; it is read, and raised to 2"""
FOLDER = ".idrestore"
"""Hidden folder inside the output folder."""
Status = Literal["started", "retried", "writing", "done", "unchanged", "failed"]
"""Started: a run was at work on it; retried: a second run was, after the first had died so. Writing: the result is
about to take its place, and may have. Done and unchanged: it has."""
IN_PLACE = ("writing", "done", "unchanged")
LAST_DAY = datetime(9999, 1, 1, tzinfo=UTC)


class ManifestError(ValueError):
    """A manifest that cannot be used; the message is one line for people."""


@dataclass(frozen=True)
class Entry:
    """A photo's record; the fields are the columns of the table."""

    output: str
    """Path of the result relative to the output folder, with forward slashes"""
    source: str
    """Absolute path of the photo"""
    input_sha256: str
    settings_sha256: str
    model_sha256: str
    status: Status
    output_sha256: str = ""
    """Of the file that we put there last, or were about to; empty if none"""
    replaced_sha256: str = ""
    """Of the file that was there before: it still is if the run was killed before the replacing"""
    seconds: float = 0.0
    ingredients: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    error: str = ""
    finished: str = ""
    """When it was recorded, UTC, ISO 8601; later than all that was known then, whatever the clock says"""

    @property
    def died(self) -> bool:
        """Whether the run that was at work on this photo came to a sudden end."""
        return self.status in ("started", "retried")


class Earlier:
    """What earlier runs recorded of an output folder, to be read alone: nothing is made or locked there."""

    def __init__(self, out: Path, shard: Shard | None = None) -> None:
        """Read the manifests of `out`, as far as there are any; raise `ManifestError`."""
        self.out = out
        self._known = latest(entries_of_others(out / FOLDER, shard=shard))

    def key(self, target: Path) -> str:
        """Return how a result is called here."""
        return encodable(target.relative_to(self.out).as_posix())

    def known(self, target: Path) -> Entry | None:
        """Return the last record of a result, by this run or an earlier one, of whatever shard."""
        return self._known.get(self.key(target))


class Manifest(Earlier):
    """The records of an output folder, in SQLite: locked while open, so that two runs never work side by side.

    Shards have a file each and may share a folder. Threads may share an object.
    """

    def __init__(self, out: Path, shard: Shard | None = None) -> None:
        """Open the manifest of `out`, which need not exist yet.

        Raise `ManifestError` if another run holds it, if it is damaged or of another version, `OSError` if the folder
        cannot be made.
        """
        self.out = out
        folder = out / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        part = f"-{shard.number}-of-{shard.total}" if shard else ""
        self.path = folder / f"manifest{part}.sqlite"
        self._lock = threading.Lock()
        self._connection = _opened(self.path)
        try:
            entries = _entries(self.path, self._connection) + entries_of_others(folder, self.path, shard)
        except BaseException:
            self._connection.close()
            raise
        self._known = latest(entries)
        self._last = max((entry.finished for entry in entries), default="")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the next run in."""
        self._connection.close()

    def plan(self, jobs: Iterable[Job]) -> None:
        """Note what a run is about to make, so that what it does not come to is known; raise `ManifestError`.

        What an earlier run did not come to stays noted as long as its photo is there.
        """
        try:
            with self._lock:
                noted = self._connection.execute("SELECT output, source FROM planned").fetchall()
        except sqlite3.Error as error:
            raise _explained(self.path, error) from error
        gone = [(output,) for output, source in noted if not Path(source).exists()]
        self._write("DELETE FROM planned WHERE output = ?", *gone)
        rows = ((self.key(job.target), encodable(job.source.absolute())) for job in jobs)
        self._write("REPLACE INTO planned VALUES (?, ?)", *rows)

    def check(self) -> None:
        """Raise `ManifestError` if the file is no longer there: then nothing could be recorded."""
        if not self.path.exists():
            raise ManifestError(f"{self.path} was removed during the run: start again, or choose another folder")

    def record(self, entry: Entry) -> None:
        """Write a record, which is on the disk when this returns; raise `ManifestError` if it cannot be."""
        with self._lock:
            self._last = _later_than(self._last)
            entry = replace(entry, finished=self._last)
        values = [v if isinstance(v, str | float) else json.dumps(v, allow_nan=False) for v in astuple(entry)]
        self._write(f"REPLACE INTO photos VALUES ({', '.join('?' * len(values))})", values)
        self._known[entry.output] = entry

    def restore(self, output: str, earlier: Entry | None) -> None:
        """Put an earlier record, or none, in the place of that of a result; raise `ManifestError`."""
        if earlier:
            self.record(earlier)
            return
        self._write("DELETE FROM photos WHERE output = ?", [output])
        self._known.pop(output, None)

    def _write(self, statement: str, *rows: Sequence[object]) -> None:
        self.check()  # SQLite would go on writing into a file that has no name any more
        try:
            with self._lock, self._connection:
                self._connection.executemany(statement, rows)
        except sqlite3.Error as error:
            raise ManifestError(f"{self.path} cannot be written ({error}): check the space left") from error


def latest(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Return the last record of each result."""
    return {entry.output: entry for entry in sorted(entries, key=lambda entry: entry.finished)}


def entries_of_others(folder: Path, own: Path | None = None, shard: Shard | None = None) -> list[Entry]:
    """Read the manifests in a folder but our own; raise `ManifestError`.

    Those of other shards of our division are left out while their runs go on, as their photos are none of ours.
    """
    entries = []
    for path in sorted(folder.glob("manifest*.sqlite")):
        if path != own:
            entries += _entries_of_another(path, shard)
    return entries


def planned(folder: Path) -> set[str]:
    """Return the results that runs were to make, as the manifests in a folder call them; raise `ManifestError`."""
    return {output for path in folder.glob("manifest*.sqlite") for output in _planned(path)}


def results_of(out: Path) -> set[Path]:
    """Return what runs have put into a folder, none if it has no manifest; raise `ManifestError`."""
    entries = latest(entries_of_others(out / FOLDER)).values()
    return {path_of(out, entry.output) for entry in entries if entry.output_sha256}


def results_around(folder: Path) -> set[Path]:
    """Return, by their resolved paths, what runs have put into a folder, and into those that it lies in.

    Manifests that cannot be read, or are in use, tell nothing here.
    """
    found: set[Path] = set()
    for each in (folder.resolve(), *folder.resolve().parents):
        with suppress(ManifestError):
            found |= {path.resolve() for path in results_of(each)}
    return found


def path_of(out: Path, output: str) -> Path:
    """Return where a result is; bytes that are no text are spelled out in a manifest."""
    path = out / output
    if path.exists():
        return path
    return out / re.sub(r"\\udc([89a-f][0-9a-f])", lambda byte: chr(0xDC00 + int(byte[1], 16)), output)


def _opened(path: Path) -> sqlite3.Connection:
    """Open a manifest, made if need be, and keep it locked until it is closed, or the process ends in any way."""
    connection = _connected(path, timeout=1)
    columns = ", ".join(field.name for field in fields(Entry))
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        version = _version(connection)
        if version == 0:
            connection.execute(f"CREATE TABLE photos ({columns}, PRIMARY KEY (output))")
        if version in (0, 1):
            connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        _check_version(path, connection)  # before anything is written to one of a later version
        connection.execute("CREATE TABLE IF NOT EXISTS planned (output, source, PRIMARY KEY (output))")
        connection.commit()
    except BaseException as error:
        connection.close()
        raise _explained(path, error) from error
    return connection


def _connected(path: Path, timeout: float) -> sqlite3.Connection:
    try:
        return sqlite3.connect(path, timeout=timeout, check_same_thread=False)
    except sqlite3.Error as error:
        raise _explained(path, error) from error


def _entries_of_another(path: Path, shard: Shard | None) -> list[Entry]:
    """Read another manifest; none of a shard of the same division that is at work."""
    connection = _connected(path, timeout=0)
    try:
        if _version(connection) == 0:  # its run has only just begun
            return []
        _check_version(path, connection)
        return _entries(path, connection)
    except sqlite3.OperationalError as error:
        if shard and path.stem.endswith(f"-of-{shard.total}"):
            return []
        raise _explained(path, error) from error
    except sqlite3.Error as error:
        raise _explained(path, error) from error
    finally:
        connection.close()


def _planned(path: Path) -> list[str]:
    connection = _connected(path, timeout=0)
    try:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'planned'").fetchall():
            return []  # written before there were plans
        return [str(output) for (output,) in connection.execute("SELECT output FROM planned")]
    except sqlite3.Error as error:
        raise _explained(path, error) from error
    finally:
        connection.close()


def _entries(path: Path, connection: sqlite3.Connection) -> list[Entry]:
    """Read all records; raise `ManifestError` if some make no sense."""
    columns = [field.name for field in fields(Entry)]
    try:
        rows = connection.execute(f"SELECT {', '.join(columns)} FROM photos").fetchall()
        return [_entry(dict(zip(columns, row, strict=True))) for row in rows]
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise
        raise _explained(path, error) from error
    except (sqlite3.Error, ValueError, TypeError, AttributeError) as error:
        raise _explained(path, error) from error


def _entry(row: dict[str, Any]) -> Entry:
    """Make a record of a row; raise `ValueError`, `TypeError` or `AttributeError` if it is none."""
    numbers = {name: float(share) for name, share in json.loads(row["ingredients"]).items()}
    notes = tuple(map(str, json.loads(row["notes"])))
    entry = Entry(**row | {"ingredients": numbers, "notes": notes, "seconds": float(row["seconds"])})
    texts = (entry.output, entry.source, entry.input_sha256, entry.output_sha256, entry.replaced_sha256, entry.error)
    if entry.status not in get_args(Status) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"a record makes no sense: {entry.output!r:.80}")
    if not all(map(math.isfinite, (*numbers.values(), entry.seconds))):
        raise ValueError(f"a record has numbers that are none: {entry.output!r:.80}")
    if datetime.fromisoformat(entry.finished) > LAST_DAY:
        raise ValueError(f"a record has an impossible time: {entry.output!r:.80}")
    return entry


def _later_than(last: str) -> str:
    """Return the time, or, where the clock has fallen behind the last record, a moment after that."""
    now = datetime.now(UTC)
    if last:
        now = max(now, datetime.fromisoformat(last) + timedelta(milliseconds=1))
    return now.isoformat(timespec="milliseconds")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _check_version(path: Path, connection: sqlite3.Connection) -> None:
    """Refuse manifests of a later or an unknown version."""
    if not 1 <= (version := _version(connection)) <= FORMAT_VERSION:
        message = f"{path} has format version {version}, expected {FORMAT_VERSION}: update idrestore, or choose another"
        raise ManifestError(f"{message} folder")


def _explained(path: Path, error: BaseException) -> BaseException:
    """Say in one line why a manifest cannot be used."""
    if isinstance(error, ManifestError) or not isinstance(error, Exception):
        return error
    if "locked" in str(error):
        return ManifestError(f"another run is at work in {path.parent.parent}: wait for its end, or use --shard in all")
    reason = one_line(error)
    return ManifestError(f"{path} cannot be used as a manifest ({reason}): choose another folder, or move it away")
