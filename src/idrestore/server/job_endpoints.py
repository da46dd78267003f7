"""The endpoints for photos that are kept for a while: begun, looked at, restored again, taken away."""

import asyncio
import json
from collections.abc import Iterator
from typing import IO, Annotated, Any, Literal

from fastapi import Depends, FastAPI, Form, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse

from idrestore.restoration.restorer import Progress
from idrestore.server import forms
from idrestore.server.answers import (
    BINARY,
    PICTURE,
    RESULT_HEADER,
    JobState,
    Language,
    Preview,
    about,
    attachment,
    media_type,
    preview_of,
    state_of,
)
from idrestore.server.errors import responses
from idrestore.server.forms import MULTIPART, JobForm, Options, PreviewForm
from idrestore.server.jobs import Part, restore_part, result_name
from idrestore.server.service import Service, checked, done

ARCHIVE_PART = 1 << 18
"""Bytes of an archive that are read at a time."""


def add_jobs(app: FastAPI, service: Service) -> None:
    """Add what begins and looks at work that is done meanwhile."""
    known: dict[str, Any] = {"dependencies": [Depends(forms.only())]}
    jobs = service.jobs

    @app.post(
        "/jobs",
        status_code=202,
        responses=responses(400, 401, 403, 408, 413, 415, 422, 429, 503, 507),
        dependencies=[Depends(forms.only(JobForm))],
    )
    async def begin(response: Response, form: Annotated[JobForm, MULTIPART], language: Language) -> JobState:
        """Take a photo to restore, and answer at once; the job says how far it is, and has the result then."""
        restorer, settings = service.settings(form)
        photo, size = await checked(service, form.photo, service.max_pixels)
        count = form.photo.size or 0
        job = await asyncio.to_thread(jobs.add, form.session, photo, size, form.photo.file, count)
        try:
            jobs.restore(job, restorer, settings, forms.named(form))
        except BaseException:
            jobs.remove(job)
            raise
        response.headers["Location"] = f"/jobs/{job.id}"
        return state_of(job, language)

    @app.get("/jobs/{job}", responses=responses(401, 403, 404, 422), **known)
    async def look(job: str, language: Language) -> JobState:
        """Say how far a job is, and what was found."""
        return state_of(service.job(job), language)

    @app.delete("/jobs/{job}", status_code=204, responses=responses(401, 403, 404, 422), **known)
    async def end(job: str) -> None:
        """Stop a job and forget its files."""
        await asyncio.to_thread(jobs.remove, service.job(job))

    @app.post(
        "/jobs/{job}/restore",
        status_code=202,
        responses=responses(401, 403, 404, 422, 429, 503),
        dependencies=[Depends(forms.only(Options))],
    )
    async def restore_again(job: str, form: Annotated[Options, Form()], language: Language) -> JobState:
        """Restore the photo of a job again, in another way; its result stays until there is a new one."""
        kept = service.job(job)
        jobs.restore(kept, *service.settings(form, kept.found and kept.found.ingredients), forms.named(form))
        return state_of(kept, language)

    @app.post("/jobs/{job}/cancel", responses=responses(401, 403, 404, 422), **known)
    async def cancel(job: str, language: Language) -> JobState:
        """Stop what a job has at work, after the tile that it is at; an earlier result stays."""
        kept = service.job(job)
        kept.cancel()
        return state_of(kept, language)

    @app.post(
        "/jobs/{job}/preview",
        responses=responses(401, 403, 404, 415, 422, 429, 500, 503, 504),
        dependencies=[Depends(forms.only(PreviewForm))],
    )
    async def preview(request: Request, job: str, form: Annotated[PreviewForm, Form()], language: Language) -> Preview:
        """Restore a part of the photo of a job, to see what options do."""
        kept = service.job(job)
        restorer, settings = service.settings(form, kept.found and kept.found.ingredients)

        def work(progress: Progress) -> Part:
            part = restore_part(restorer, kept, settings, (form.across, form.down), progress)
            return part._replace(found=part.found._replace(named=forms.named(form)))

        return preview_of(await done(work, service.queue, request, kept.photo), language)

    @app.get("/sessions/{session}", responses=responses(401, 403, 422), **known)
    async def list_session(session: str, language: Language) -> list[JobState]:
        """List the jobs that were begun with a session's name."""
        return [state_of(job, language) for job in jobs.of_session(session)]

    @app.delete("/sessions/{session}", status_code=204, responses=responses(401, 403, 422), **known)
    async def end_session(session: str) -> None:
        """Stop all jobs of a session and forget their files."""
        await asyncio.to_thread(jobs.remove, *jobs.of_session(session))


def add_job_files(app: FastAPI, service: Service) -> None:
    """Add what is taken away from jobs."""
    jobs = service.jobs

    @app.get(
        "/jobs/{job}/result",
        response_class=Response,
        responses={200: PICTURE, **responses(401, 403, 404, 409, 422)},
        dependencies=[Depends(forms.only())],
    )
    async def result(job: str, language: Language) -> Response:
        """Give the restored photo."""
        kept = service.finished(job)
        headers = {
            RESULT_HEADER: json.dumps(about(kept.found, language)),
            "Content-Disposition": attachment(result_name(kept.photo)),
        }
        return FileResponse(kept.result, headers=headers, media_type=media_type(kept.photo))

    @app.get(
        "/jobs/{job}/{which}.webp",
        response_class=Response,
        responses={200: {"content": {"image/webp": BINARY}}, **responses(401, 403, 404, 409, 415, 422, 507)},
        dependencies=[Depends(forms.only(query=["version"]))],
    )
    async def picture(
        job: str, which: Literal["before", "after"], version: Annotated[int, Query(description="Any; ignored")] = 0
    ) -> Response:
        """Give the photo, or the restored photo, as a WebP to look at, at most 2400 pixels long."""
        kept = service.job(job) if which == "before" else service.finished(job)
        async with service.checking:  # decoding takes memory: one at a time
            data = await asyncio.to_thread(jobs.picture, kept, which)
        return Response(data, media_type="image/webp")

    @app.get(
        "/archive",
        response_class=Response,
        responses={200: {"content": {"application/zip": BINARY}}, **responses(401, 403, 404, 409, 422, 507)},
        dependencies=[Depends(forms.only(query=["job"]))],
    )
    async def archive(
        job: Annotated[list[str], Query(description="Jobs, as often as wished", min_length=1, max_length=1000)],
    ) -> Response:
        """Give the results of several jobs as a ZIP file."""
        kept = [service.finished(name) for name in dict.fromkeys(job)]
        async with service.checking:
            file = await asyncio.to_thread(jobs.archive, kept)
        headers = {"Content-Disposition": attachment("restored.zip")}
        return StreamingResponse(_parts(file), headers=headers, media_type="application/zip")


def _parts(file: IO[bytes]) -> Iterator[bytes]:
    """Yield a file's bytes in parts, and close it."""
    with file:
        while part := file.read(ARCHIVE_PART):
            yield part
