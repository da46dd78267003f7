"""What became of each photo, kept in the output folder; it decides what is done again, and what may be written.

One run at a time writes it, the next one reads it: `Manifest` is the file, `Records` what a run does with it.
"""

import hashlib
import json
import math
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self, get_args

from idrestore.batch.photo import Encoded, Job, Outcome, failure, printable
from idrestore.batch.plan import Shard
from idrestore.batch.settings import Settings
from idrestore.files import atomic, companions, image
from idrestore.files.image import ImageError
from idrestore.files.overwriting import Identity, Originals, identity

FORMAT_VERSION = 2
"""1 had no "started", "retried" and "unchanged"; it is read, and raised to 2"""
FOLDER = ".idrestore"
"""Hidden folder inside the output folder."""
Status = Literal["started", "retried", "writing", "done", "unchanged", "failed"]
"""Started: a run was at work on it; retried: a second run was, after the first had died so. Writing: the result is
about to take its place, and may have. Done and unchanged: it has."""
IN_PLACE = ("writing", "done", "unchanged")
LAST_DAY = datetime(9999, 1, 1, tzinfo=UTC)
DIED = "the process died twice while it was at work on this photo (killed, out of memory, or a fault in a decoder)"


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


class Manifest:
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

    def key(self, target: Path) -> str:
        """Return how a result is called here."""
        return printable(target.relative_to(self.out).as_posix())

    def known(self, target: Path) -> Entry | None:
        """Return the last record of a result, by this run or an earlier one, of whatever shard."""
        return self._known.get(self.key(target))

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

    def _write(self, statement: str, values: Sequence[object]) -> None:
        self.check()  # SQLite would go on writing into a file that has no name any more
        try:
            with self._lock, self._connection:
                self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise ManifestError(f"{self.path} cannot be written ({error}): check the space left") from error


class Records:
    """What a run knows, writes and records of its photos; threads may share it."""

    def __init__(
        self, settings: Settings, model_sha256: str, manifest: Manifest | None = None, inputs: Iterable[Path] = ()
    ) -> None:
        """Without a manifest, nothing is known of earlier runs, and nothing is recorded of this one.

        `inputs` are the photos of the run, none of which is ever replaced.
        """
        self.settings = settings
        self.model_sha256 = model_sha256
        self.manifest = manifest
        self._originals = Originals(inputs)
        self._made: dict[Identity, Path] = {}
        self._started: dict[Job, Entry | None] = {}

    def known(self, job: Job) -> Entry | None:
        """Return what was recorded of a result last."""
        return self.manifest.known(job.target) if self.manifest else None

    def is_suspect(self, job: Job) -> bool:
        """Tell whether a run died while it was at work on this photo, among others perhaps."""
        known = self.known(job)
        return known is not None and known.died

    def skip_or_fail(self, job: Job, input_sha256: str) -> Outcome | None:
        """Return the outcome of a photo of which nothing is to be done, None for one that is to be worked on.

        Raise `ImageError` or `OSError` if its result may not, or cannot, be written.
        """
        known = self.known(job)
        if known and self._is_same_work(known, input_sha256):
            # "writing" with the result in its place: the run was killed before it could write "done".
            if known.status in IN_PLACE and _sha256_of(job.target) == known.output_sha256:
                self._remember(job)
                return Outcome(job, "skipped", "", known.ingredients, known.notes, known.seconds)
            if not self.settings.retry_failed:
                if known.status == "retried":
                    return self.fail(job, RuntimeError(f"{DIED}: --retry-failed tries again"), input_sha256)
                if known.status == "failed":
                    return Outcome(job, "failed", f"{known.error} (in an earlier run: --retry-failed tries again)")
        self._check_target(job, known)
        return None

    def start(self, job: Job, input_sha256: str) -> None:
        """Record that the work on a photo begins: if the process dies of it, the next run knows."""
        known = self.known(job)
        again = known is not None and known.died and self._is_same_work(known, input_sha256)
        self._started[job] = known
        self._record(job, input_sha256, "retried" if again else "started", "", Outcome(job, "failed"))

    def withdraw(self, *jobs: Job) -> None:
        """Take back that work on photos began, by default on all that are not finished: no process died of them."""
        for job in jobs or tuple(self._started):
            if job in self._started and self.manifest:
                with suppress(ManifestError):
                    self.manifest.restore(self.manifest.key(job.target), self._started[job])
            self._started.pop(job, None)

    def commit(self, job: Job, made: Encoded, seconds: float) -> Outcome:
        """Put a result in its place, announced in the manifest before and confirmed after; leave all as it was if not.

        Failures here are the disk's, not the photo's: none is recorded, and the next run tries again.
        """
        digest = hashlib.sha256(made.data).hexdigest()
        status: Literal["done", "unchanged"] = "unchanged" if made.unchanged else "done"
        outcome = Outcome(job, status, "", made.ingredients, made.notes, seconds, made.arithmetic)
        known = self.known(job)
        try:
            with atomic.replacing(job.target, atomic.mode_of(job.source)) as file:
                file.write(made.data)
                self._check_replaceable(job, known)
                self._record(job, made.input_sha256, "writing", digest, outcome)
        except (OSError, ValueError) as error:  # ValueError: of the image or the manifest
            self.withdraw(job)
            found = image.unwritable(job.target, error) if isinstance(error, OSError) else error
            return failure(job, found, seconds)
        self._remember(job)
        notes = companions.accompany(job.source, job.target, self.settings.keep_dates)
        outcome = replace(outcome, notes=(*outcome.notes, *notes))
        with suppress(ManifestError):  # "writing" is enough for the next run to see that it was done
            self._record(job, made.input_sha256, status, digest, outcome)
        self._started.pop(job, None)
        return outcome

    def fail(self, job: Job, error: Exception, input_sha256: str, seconds: float = 0.0) -> Outcome:
        """Record that a photo, as it is, could not be restored."""
        outcome = failure(job, error, seconds)
        with suppress(ManifestError):  # then the next run tries again
            self._record(job, input_sha256, "failed", "", outcome)
        self._started.pop(job, None)
        return outcome

    def _remember(self, job: Job) -> None:
        """Note a result of this run, which no other photo's may replace."""
        if made := identity(job.target):
            self._made[made] = job.source

    def _is_same_work(self, known: Entry, input_sha256: str) -> bool:
        now = input_sha256, self._settings_sha256(known.status), self.model_sha256
        return (known.input_sha256, known.settings_sha256, known.model_sha256) == now

    def _settings_sha256(self, status: Status) -> str:
        """Return the hash of the settings on which such a state depends."""
        return self.settings.sha256 if status in IN_PLACE else self.settings.sha256_with_limits

    def _check_target(self, job: Job, known: Entry | None) -> None:
        """Raise unless the result can be written, before the work is done in vain."""
        image.check_target(job.target)
        if self.manifest:
            self.manifest.check()
        self._check_replaceable(job, known)
        try:
            job.target.parent.mkdir(parents=True, exist_ok=True)
            atomic.check_writable(job.target)
        except OSError as error:
            raise image.unwritable(job.target, error) from error

    def _check_replaceable(self, job: Job, known: Entry | None) -> None:
        """Raise if there is a file that is not our own result of the same photo, or is one of the photos."""
        self._originals.check(job.target)
        other = self._made.get(identity(job.target) or (0, 0))
        if other:  # a disk that does not tell large letters from small ones
            raise ImageError(f"{job.target} is the result of {other} already: restore them apart")
        if self.settings.overwrite or not job.target.exists():
            return
        if not known or not known.output_sha256:
            raise ImageError(f"{job.target} exists already: pass --overwrite to replace it")
        if _sha256_of(job.target) not in {known.output_sha256, known.replaced_sha256} - {""}:
            raise ImageError(f"{job.target} was changed since it was made: pass --overwrite to replace it")
        if known.source != _absolute(job.source):
            raise ImageError(f"{job.target} is the result of {known.source}: pass --overwrite to replace it")

    def _record(self, job: Job, input_sha256: str, status: Status, output_sha256: str, what: Outcome) -> None:
        """Write a record, if records are kept; without a hash of a new file, that of the last one stays."""
        if not self.manifest:
            return
        known = self.known(job)
        replaced = _sha256_of(job.target) if status == "writing" else known.replaced_sha256 if known else ""
        entry = Entry(
            output=self.manifest.key(job.target),
            source=_absolute(job.source),
            input_sha256=input_sha256,
            settings_sha256=self._settings_sha256(status),
            model_sha256=self.model_sha256,
            status=status,
            output_sha256=output_sha256 or (known.output_sha256 if known else ""),
            replaced_sha256="" if status in ("done", "unchanged") else replaced,
            seconds=what.seconds,
            ingredients=what.ingredients,
            notes=what.notes,
            error=what.error,
        )
        self.manifest.record(entry)


def clean_up(jobs: Iterable[Job]) -> None:
    """Remove what runs that were killed left half-written; folders that cannot be read are met again later."""
    with suppress(OSError):
        atomic.remove_leftovers(job.target for job in jobs)


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
        connection.commit()
        _check_version(path, connection)
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
    reason = " ".join(str(error).split())
    return ManifestError(f"{path} cannot be used as a manifest ({reason}): choose another folder, or move it away")


def _sha256_of(target: Path) -> str:
    """Return the hash of a file, empty if there is none."""
    if not target.is_file():
        return ""
    with target.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _absolute(source: Path) -> str:
    return printable(source.resolve())
