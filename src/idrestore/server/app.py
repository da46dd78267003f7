"""The service: photos in and out by HTTP, a bounded queue, limits, and one sentence for what went wrong."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Request, Response

import idrestore
from idrestore import batch
from idrestore.evaluation import explain
from idrestore.restoration.restorer import Progress
from idrestore.server import forms
from idrestore.server.answers import PICTURE, RESULT_HEADER, Card, Health, Language, about, attachment, media_type
from idrestore.server.errors import add_handlers, responses
from idrestore.server.forms import MULTIPART, ExplainForm, Options, RestoreForm
from idrestore.server.job_endpoints import add_job_files, add_jobs
from idrestore.server.jobs import Found, Jobs, result_name
from idrestore.server.metrics import MEDIA_TYPE, Metrics
from idrestore.server.middleware import Limits, Middleware
from idrestore.server.page import add_page
from idrestore.server.service import Service, bytes_of, checked, done

SWEEP_INTERVAL = 60.0
"""Seconds between two looks for jobs that nobody asks for any more."""
MAX_EXPLAINED = 24_000_000
"""Largest photo that is explained, in pixels: its pictures and maps take up to 100 bytes for each."""
EXPLANATION_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; sandbox allow-scripts"
)
EXPLANATION = {
    "description": "What `idrestore explain` writes as explanation.json, or as a page",
    "content": {"application/json": {"schema": {"type": "object"}}, "text/html": {"schema": {"type": "string"}}},
}


def build(service: Service, limits: Limits) -> Middleware:
    """Return the service as an ASGI application, with its document at /openapi.json."""
    # FastAPI's own pages of documentation would load scripts from elsewhere; /docs is the page's.
    app = FastAPI(
        title="idrestore",
        version=idrestore.__version__,
        description=str(idrestore.__doc__).partition("\n")[0],
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lambda _: _sweeping(service.jobs),
    )
    metrics = Metrics(service.queue, service.jobs.storage)
    add_handlers(app)
    _add_photos(app, service)
    add_jobs(app, service)
    add_job_files(app, service)
    _add_state(app, service, metrics)
    add_page(app, service)
    return Middleware(app, limits, service.jobs.storage, metrics.count)


def _add_photos(app: FastAPI, service: Service) -> None:
    """Add what answers with the result itself."""

    @app.post(
        "/restore",
        response_class=Response,
        responses={200: PICTURE, **responses(400, 401, 403, 408, 413, 415, 422, 429, 500, 503, 504, 507)},
        dependencies=[Depends(forms.only(RestoreForm))],
    )
    async def restore(request: Request, form: Annotated[RestoreForm, MULTIPART], language: Language) -> Response:
        """Restore a photo: the file of `idrestore restore`, byte for byte but for the date in its metadata."""
        restorer, settings = service.settings(form)
        photo, _ = await checked(service, form.photo, service.max_pixels)

        def work(progress: Progress) -> batch.Encoded:
            return batch.process(restorer, photo, bytes_of(form.photo), settings, progress)

        made = await done(work, service.queue, request, photo)
        found = about(Found.of(restorer, made, settings, forms.named(form)), language)
        headers = {RESULT_HEADER: json.dumps(found), "Content-Disposition": attachment(result_name(photo))}
        return Response(made.data, headers=headers, media_type=media_type(photo))

    @app.post(
        "/explain",
        response_class=Response,
        responses={200: EXPLANATION, **responses(400, 401, 403, 408, 413, 415, 422, 429, 500, 503, 504, 507)},
        dependencies=[Depends(forms.only(ExplainForm))],
    )
    async def explain_photo(request: Request, form: Annotated[ExplainForm, MULTIPART]) -> Response:
        """Say what is wrong with a photo, and which router says so."""
        restorer, _ = service.settings(Options(model=form.model))
        most = min(service.max_pixels, MAX_EXPLAINED)
        photo, _ = await checked(service, form.photo, most)

        def work(progress: Progress) -> bytes:
            with tempfile.TemporaryDirectory(dir=service.jobs.storage.folder) as folder:
                source = Path(folder) / photo.source.name
                source.write_bytes(bytes_of(form.photo))
                told = explain.explain_file(restorer, source, Path(folder) / "explained", most, progress)
                return told.page.with_suffix(f".{form.form}").read_bytes()

        told = await done(work, service.queue, request, photo)
        if form.form == "json":
            return Response(told, media_type="application/json")
        return Response(told, headers={"Content-Security-Policy": EXPLANATION_POLICY}, media_type="text/html")


def _add_state(app: FastAPI, service: Service, metrics: Metrics) -> None:
    """Add what is asked about the service."""
    known: dict[str, Any] = {"dependencies": [Depends(forms.only())]}

    @app.get("/models", responses=responses(401, 403, 422), **known)
    async def models() -> list[Card]:
        """List the models, with the licences of their weights."""
        return service.cards()

    @app.get("/health", responses={503: {"model": Health}, **responses(403, 422)}, **known)
    async def health(response: Response) -> Health:
        """Say whether photos are taken, and how many there are."""
        closing = service.queue.is_closing
        response.status_code = 503 if closing else 200
        status: Literal["ok", "stopping"] = "stopping" if closing else "ok"
        load, seats = service.queue.load, service.queue.seats
        return Health(status=status, version=idrestore.__version__, load=load, seats=seats)

    @app.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **responses(401, 403, 422)},
        **known,
    )
    async def figures() -> Response:
        """Give figures for Prometheus."""
        return Response(metrics.text(), media_type=MEDIA_TYPE)


@asynccontextmanager
async def _sweeping(jobs: Jobs) -> AsyncIterator[None]:
    """Remove what nobody asks for, again and again, for as long as the service runs."""

    async def sweep() -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL)
            await asyncio.to_thread(jobs.remove_forgotten)

    task = asyncio.create_task(sweep())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
