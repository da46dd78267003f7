"""Photos that the service keeps for a while: uploaded, restored again and again, shown, taken away, forgotten.

A job has a folder of its own, in which files have names of ours: no name or path of a client's is ever opened.
"""

import secrets
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import IO, BinaryIO, Literal, NamedTuple

from idrestore import batch
from idrestore.batch import Settings
from idrestore.files import image
from idrestore.restoration.restorer import Progress, Restorer
from idrestore.server.queue import JobQueue, Stopped, Task, TookTooLong
from idrestore.server.storage import Storage, StorageFull

KEPT_FOR = 3600.0
"""Seconds after which a job that nobody asks for is forgotten."""
PICTURE_SIDE = 2400
"""Longest side of the pictures that are shown, px; a result is as large as its photo."""
PART_SIDE = 512
"""Side of the part that can be tried, px."""
SESSION_SHARE = 0.5
"""The largest share of the storage and of the jobs that one session may have."""
State = Literal["waiting", "working", "done", "failed", "cancelled"]


class Found(NamedTuple):
    """What came of a photo, beside its file."""

    model: str
    ingredients: Mapping[str, float]
    notes: tuple[str, ...]
    unchanged: bool
    """Whether there was nothing to restore"""
    settings: Settings
    """What it was made with"""
    named: frozenset[str] | None
    """Of its ingredients, those that the client insisted on; None: all"""

    @classmethod
    def of(
        cls, restorer: Restorer, made: batch.Encoded, settings: Settings, named: frozenset[str] | None = None
    ) -> "Found":
        """Return what came of a photo."""
        return cls(restorer.model.path.stem, made.ingredients, made.notes, made.unchanged, settings, named)


class Part(NamedTuple):
    """A part of a photo, before and after, as PNG files, and where it lies."""

    before: bytes
    after: bytes
    box: tuple[int, int, int, int]
    """Left, top, width and height, px"""
    found: Found


@dataclass(eq=False)
class Job:
    """A photo that is kept, and what becomes of it."""

    session: str
    photo: batch.Job
    """Names alone: nothing is read or written there"""
    folder: Path
    width: int
    height: int
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    asked: float = field(default_factory=monotonic)
    """When it was last asked for"""
    taken: int = 0
    """Bytes on the disk"""
    task: Task[None] | None = None
    found: Found | None = None
    """Of the newest result"""
    version: int = 0
    """How many results there were"""

    def cancel(self) -> None:
        """Stop what is at work for it."""
        if self.task:
            self.task.cancel()

    @property
    def source(self) -> Path:
        """The file that was uploaded."""
        return self.folder / "source"

    @property
    def result(self) -> Path:
        """The file that came of it; there is one when `found` is not None."""
        return self.folder / "result"

    @property
    def state(self) -> State:
        """What the newest work on it does."""
        if self.task is None:  # it is about to be queued
            return "waiting"
        future = self.task.future
        if not future.done():
            return "working" if future.running() else "waiting"
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or (isinstance(error, Stopped) and not isinstance(error, TookTooLong)):
            return "cancelled"
        return "failed" if error else "done"

    @property
    def error(self) -> str:
        """One line, if it failed or was cancelled."""
        if self.task is None or self.state not in ("failed", "cancelled"):
            return ""
        future = self.task.future
        error = None if future.cancelled() else future.exception()
        if isinstance(error, Stopped) or error is None:
            return str(error or "the work was cancelled")
        if isinstance(error, batch.FILE_ERRORS):
            return batch.complaint(self.photo.source, error)
        return f"an error of idrestore itself ({type(error).__name__}): please report it"


class Jobs:
    """The jobs that are kept, by their secret names."""

    def __init__(self, queue: JobQueue, storage: Storage, max_jobs: int = 500) -> None:
        """Keep at most `max_jobs`, in `storage`."""
        self.queue = queue
        self.storage = storage
        self.max_jobs = max_jobs
        self._jobs: dict[str, Job] = {}
        self._lock = threading.RLock()

    def add(self, session: str, photo: batch.Job, size: tuple[int, int], upload: BinaryIO, count: int) -> Job:
        """Keep an upload of `count` bytes; raise `StorageFull`."""
        folder = Path(tempfile.mkdtemp(prefix="job-", dir=self.storage.folder))
        job = Job(session, photo, folder, *size)
        try:
            self._register(job, count)
            upload.seek(0)
            with job.source.open("wb") as file:
                shutil.copyfileobj(upload, file)
        except BaseException:
            self.remove(job)
            raise
        return job

    def get(self, name: str) -> Job:
        """Return a job, which is not forgotten soon then; raise `KeyError`."""
        with self._lock:
            job = self._jobs[name]
            job.asked = monotonic()
            return job

    def of_session(self, session: str) -> list[Job]:
        """Return a session's jobs, none of which is forgotten soon then."""
        with self._lock:
            return [self.get(name) for name, job in self._jobs.items() if session and job.session == session]

    def restore(self, job: Job, restorer: Restorer, settings: Settings, named: frozenset[str] | None = None) -> None:
        """Queue a job to be restored, in the place of what it has at work; raise `Full` or `Stopped`."""

        def work(progress: Progress) -> None:
            made = batch.process(restorer, job.photo, job.source.read_bytes(), settings, progress)
            self._keep(job, made, Found.of(restorer, made, settings, named))

        task = self.queue.submit(work)
        job.cancel()
        job.task = task

    def picture(self, job: Job, which: Literal["before", "after"]) -> bytes:
        """Return a WebP of the photo or of its result, made once; raise `ImageError`, `OSError` or `StorageFull`."""
        path = job.folder / f"{which}.webp"
        if not path.exists():
            data = image.thumbnail(job.source if which == "before" else job.result, PICTURE_SIDE, quality=90)
            self._write(job, path, data)
        return path.read_bytes()

    def remove(self, *jobs: Job) -> None:
        """Stop and forget jobs, with all their files."""
        for job in jobs:
            job.cancel()
            with self._lock:
                self._jobs.pop(job.id, None)
                self.storage.give_back(job.taken)
                job.taken = 0
            shutil.rmtree(job.folder, ignore_errors=True)

    def remove_forgotten(self) -> None:
        """Remove what nobody has asked for in a while."""
        with self._lock:
            old = [job for job in self._jobs.values() if monotonic() - job.asked > KEPT_FOR]
        self.remove(*old)

    def archive(self, jobs: Sequence[Job]) -> IO[bytes]:
        """Return a ZIP file of results, which is gone when it is closed; raise `StorageFull`."""
        count = sum(job.result.stat().st_size for job in jobs)
        self.storage.take(count)
        try:
            file = tempfile.TemporaryFile(dir=self.storage.folder)  # noqa: SIM115 (closed by who sends it)
            with zipfile.ZipFile(file, "w") as archive:  # photos are compressed already
                for job, name in zip(jobs, _told_apart(result_name(job.photo) for job in jobs), strict=True):
                    archive.write(job.result, name)
        finally:
            self.storage.give_back(count)
        file.seek(0)
        return file

    def _register(self, job: Job, count: int) -> None:
        """Count a new job."""
        with self._lock:
            mine = [each for each in self._jobs.values() if each.session == job.session]
            if len(self._jobs) >= self.max_jobs or len(mine) >= SESSION_SHARE * self.max_jobs:
                raise StorageFull(
                    f"{len(mine)} photos of yours, {len(self._jobs)} in all are kept already: remove some"
                )
            most = SESSION_SHARE * self.storage.max_bytes
            if sum(each.taken for each in mine) + count > most:
                raise StorageFull(f"a session may keep {most:,.0f} bytes of photos: remove some")
            self.storage.take(count)
            job.taken = count
            self._jobs[job.id] = job

    def _keep(self, job: Job, made: batch.Encoded, found: Found) -> None:
        """Keep a result in the place of an earlier one."""
        self._write(job, job.result, made.data)
        self._count(job, -_remove(job.folder / "after.webp"))
        job.found, job.version = found, job.version + 1

    def _write(self, job: Job, path: Path, data: bytes) -> None:
        """Write one of a job's files, whole or not at all."""
        self._count(job, len(data) - (path.stat().st_size if path.exists() else 0))
        new = path.with_suffix(".new")
        new.write_bytes(data)
        new.replace(path)

    def _count(self, job: Job, count: int) -> None:
        """Count bytes of a job; what came of a job that was removed meanwhile is not kept."""
        with self._lock:
            if job.id not in self._jobs:
                raise Stopped("the job was removed")
            self.storage.take(count)
            job.taken += count


def restore_part(
    restorer: Restorer, job: Job, settings: Settings, place: tuple[float, float], progress: Progress
) -> Part:
    """Restore a part of a photo, whose middle lies at `place`, in shares of the width and the height.

    Raises one of `batch.FILE_ERRORS`, or what `progress` raises.
    """
    decoded = batch.decode(job.photo.source, job.source.read_bytes(), settings)
    photo, box = _cut(decoded.photo, place)
    as_png = batch.Job(job.photo.source, Path("part.png"))
    before = image.encode(photo.pixels, as_png.target, photo)[0]
    made = batch.encode(
        batch.restore(restorer, decoded._replace(photo=photo, data=before), settings, progress), as_png, settings
    )
    return Part(before, made.data, box, Found.of(restorer, made, settings))


def result_name(photo: batch.Job) -> str:
    """Return what a result is called when it is taken away.

    >>> result_name(batch.Job(Path("a.heic"), Path("a.jpg")))
    'a-restored.jpg'
    """
    return photo.target.with_stem(f"{photo.target.stem}{batch.SUFFIX}").name


def _remove(path: Path) -> int:
    """Remove a file, if it is there; return how many bytes it had."""
    try:
        count = path.stat().st_size
    except FileNotFoundError:
        return 0
    path.unlink()
    return count


def _cut(photo: image.Photo, place: tuple[float, float]) -> tuple[image.Photo, tuple[int, int, int, int]]:
    """Return the part of a photo around a place, as near to it as the borders allow, and where it lies."""
    height, width = photo.pixels.shape[:2]
    across, down = place
    top = max(0, min(round(down * height) - PART_SIDE // 2, height - PART_SIDE))
    left = max(0, min(round(across * width) - PART_SIDE // 2, width - PART_SIDE))
    part = slice(top, top + PART_SIDE), slice(left, left + PART_SIDE)
    cut = replace(photo, pixels=photo.pixels[part], alpha=None if photo.alpha is None else photo.alpha[part])
    return cut, (left, top, min(PART_SIDE, width), min(PART_SIDE, height))


def _told_apart(names: Iterable[str]) -> list[str]:
    """Return names of which no two are equal: numbers are added where they would be.

    >>> _told_apart(["a.png", "a.png", "b.png"])
    ['a.png', 'a-2.png', 'b.png']
    """
    free: list[str] = []
    for name in names:
        path, number = Path(name), 1
        while (path if number == 1 else path.with_stem(f"{path.stem}-{number}")).name in free:
            number += 1
        free.append(path.name if number == 1 else path.with_stem(f"{path.stem}-{number}").name)
    return free
