"""What the endpoints share: models, the queue, what is kept; how a photo is checked, and how its work is waited for."""

import asyncio
import unicodedata
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from fastapi import HTTPException, Request, UploadFile

from idrestore import batch
from idrestore.batch import Settings
from idrestore.files import image
from idrestore.files.image import ImageError
from idrestore.restoration.restorer import Restorer
from idrestore.server import forms
from idrestore.server.answers import Card
from idrestore.server.forms import Options
from idrestore.server.jobs import Job, Jobs
from idrestore.server.queue import JobQueue, Work

Result = TypeVar("Result")
POLL_INTERVAL = 0.2
"""Seconds between two looks at whether the client is still there."""
NAME_LENGTH = 60
"""Letters of a photo's name that are kept, its end: in UTF-8 at most 240 bytes, which every file system takes."""


class Service:
    """What the endpoints share: models by name, the queue, what is kept, and the largest photo."""

    def __init__(self, restorers: Mapping[str, Restorer], queue: JobQueue, jobs: Jobs, max_pixels: int) -> None:
        """Serve `restorers`, the first of which is the default."""
        self.restorers = restorers
        self.default = next(iter(restorers))
        self.queue = queue
        self.jobs = jobs
        self.max_pixels = max_pixels
        self.checking = asyncio.Lock()

    def restorer(self, name: str) -> Restorer:
        """Return a model by its name, the default one for an empty name; raise `ValueError`."""
        if name and name not in self.restorers:
            raise ValueError(f"model: got {name[:60]!r}, expected one of {', '.join(self.restorers)}")
        return self.restorers[name or self.default]

    def settings(self, options: Options, found: Mapping[str, float] | None = None) -> tuple[Restorer, Settings]:
        """Turn a form into what the work is done with; raise 422."""
        try:
            restorer = self.restorer(options.model)
            steering = forms.steering(options, restorer.names, found or {})
            restorer.request(**({"strength": 1.0, "only": None, "ingredients": None} | steering))
            rest: dict[str, Any] = {
                "guard": options.guard,
                "provenance": options.provenance,
                "quality": options.quality,
            }
            return restorer, Settings(**steering, **rest, max_pixels=self.max_pixels)
        except ValueError as error:
            raise HTTPException(422, str(error)) from None

    def cards(self) -> list[Card]:
        """Say what is known of the models."""
        return [
            Card(
                name=name,
                default=name == self.default,
                sha256=restorer.model.sha256,
                degradations=list(restorer.names),
                **{key: str(restorer.model.card.get(key, "")) for key in ("licence", "description", "version")},
            )
            for name, restorer in self.restorers.items()
        ]

    def job(self, name: str) -> Job:
        """Return a job that is kept; raise 404."""
        try:
            return self.jobs.get(name)
        except KeyError:
            raise HTTPException(404, "there is no such job, or not any more: send the photo again") from None

    def finished(self, name: str) -> Job:
        """Return a job that has a result; raise 404 or 409."""
        job = self.job(name)
        if job.found is None:
            raise HTTPException(409, f"{job.photo.source} has no result: it is {job.state} {job.error}".rstrip())
        return job


def job_named(name: str) -> batch.Job:
    r"""Return the names of a photo and of its result, folders and what no file's name can hold left out.

    >>> job_named("../../etc/a\n.heic").target.name
    'a.jpg'
    """
    last = PurePosixPath(name.replace("\\", "/")).name
    clean = "".join(letter for letter in last if unicodedata.category(letter)[0] != "C")[-NAME_LENGTH:]
    source = Path(clean if clean.strip(". ") else "photo")
    return batch.Job(source, batch.writable(source))


async def checked(service: Service, upload: UploadFile, max_pixels: int) -> tuple[batch.Job, tuple[int, int]]:
    """Refuse what needs no waiting to be refused, and return the photo's names and size; no pixel is decoded yet.

    The photos that wait are on the disk: of those that are checked, one at a time is in memory.
    """
    service.queue.check()
    photo = job_named(upload.filename or "")
    image.check_target(photo.target)
    async with service.checking:
        width, height = await asyncio.to_thread(lambda: image.size(bytes_of(upload), str(photo.source)))
    if width * height > max_pixels:
        found = f"{photo.source} has {width} x {height} pixels"
        raise HTTPException(413, f"{found}: expected at most {max_pixels:,} in all")
    return photo, (width, height)


def bytes_of(upload: UploadFile) -> bytes:
    """Return all bytes of an uploaded file, from its first on."""
    upload.file.seek(0)
    return upload.file.read()


async def done(work: Work[Result], queue: JobQueue, request: Request, photo: batch.Job) -> Result:
    """Have work done, and stop it when the client goes."""
    task = queue.submit(work)
    end = asyncio.gather(asyncio.wrap_future(task.future), return_exceptions=True)
    try:
        while not (await asyncio.wait([end], timeout=POLL_INTERVAL))[0]:
            if await request.is_disconnected():
                task.cancel()
        return task.result()
    except ImageError:
        raise
    except batch.FILE_ERRORS as error:
        raise HTTPException(500, batch.complaint(photo.source, error)) from error
    finally:
        task.cancel()  # for a handler that was stopped itself; does nothing to what is finished
