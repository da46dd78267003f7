"""What became of each photo, kept in the output folder: one run at a time writes it, the next one reads it."""

import json
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from idrestore.batch.photo import printable
from idrestore.batch.plan import Shard

FORMAT_VERSION = 1
FOLDER = ".idrestore"
"""Hidden folder inside the output folder."""


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
    status: Literal["writing", "done", "failed"]
    """Writing: the result is about to take its place, and may have"""
    output_sha256: str = ""
    """Of the file that we put there last, or were about to; empty if none"""
    replaced_sha256: str = ""
    """Of the file that was there before: it still is if the run was killed before the replacing"""
    seconds: float = 0.0
    ingredients: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    error: str = ""
    finished: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    """When it was recorded, UTC, ISO 8601"""


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
            entries = _entries(self._connection)
            for path in sorted(folder.glob("manifest*.sqlite")):
                if path != self.path:
                    entries += _entries_of_another(path, shard)
        except BaseException:
            self._connection.close()
            raise
        self._known = {entry.output: entry for entry in sorted(entries, key=lambda entry: entry.finished)}

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
        values = [value if isinstance(value, str | float) else json.dumps(value) for value in astuple(entry)]
        marks = ", ".join("?" * len(values))
        self.check()  # SQLite would go on writing into a file that has no name any more
        try:
            with self._lock, self._connection:
                self._connection.execute(f"REPLACE INTO photos VALUES ({marks})", values)
        except sqlite3.Error as error:
            raise ManifestError(f"{self.path} cannot be written ({error}): check the space left") from error
        self._known[entry.output] = entry


def _opened(path: Path) -> sqlite3.Connection:
    """Open a manifest, made if need be, and keep it locked until it is closed, or the process ends in any way."""
    connection = sqlite3.connect(path, timeout=1, check_same_thread=False)
    columns = ", ".join(field.name for field in fields(Entry))
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        if _version(connection) == 0:
            connection.execute(f"CREATE TABLE photos ({columns}, PRIMARY KEY (output))")
            connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        connection.commit()
        _check_version(path, connection)
    except BaseException as error:
        connection.close()
        raise _explained(path, error) from error
    return connection


def _entries_of_another(path: Path, shard: Shard | None) -> list[Entry]:
    """Read another shard's manifest; none while its run goes on, as its photos are none of ours."""
    connection = sqlite3.connect(path, timeout=0)
    try:
        if _version(connection) == 0:  # its run has only just begun
            return []
        _check_version(path, connection)
        return _entries(connection)
    except sqlite3.OperationalError as error:
        if shard and path.stem.endswith(f"-of-{shard.total}"):
            return []
        raise _explained(path, error) from error
    except sqlite3.Error as error:
        raise _explained(path, error) from error
    finally:
        connection.close()


def _entries(connection: sqlite3.Connection) -> list[Entry]:
    """Read all records."""
    names = ", ".join(field.name for field in fields(Entry))
    rows = connection.execute(f"SELECT {names} FROM photos")
    return [_entry(dict(zip([field.name for field in fields(Entry)], row, strict=True))) for row in rows]


def _entry(row: dict[str, Any]) -> Entry:
    """Make a record of a row."""
    return Entry(**row | {"ingredients": json.loads(row["ingredients"]), "notes": tuple(json.loads(row["notes"]))})


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _check_version(path: Path, connection: sqlite3.Connection) -> None:
    """Refuse manifests of a later or an unknown version."""
    if (version := _version(connection)) != FORMAT_VERSION:
        message = f"{path} has format version {version}, expected {FORMAT_VERSION}: update idrestore, or choose another"
        raise ManifestError(f"{message} folder")


def _explained(path: Path, error: BaseException) -> BaseException:
    """Say in one line why a manifest cannot be used."""
    if not isinstance(error, sqlite3.Error):
        return error
    if "locked" in str(error):
        return ManifestError(f"another run is at work in {path.parent.parent}: wait for its end, or use --shard in all")
    return ManifestError(f"{path} cannot be used as a manifest ({error}): choose another folder, or remove the file")
