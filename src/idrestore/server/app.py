"""The service: photos in and out by HTTP, a bounded queue, limits, and one sentence for what went wrong."""

import asyncio
import json
import socket
import tempfile
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import quote

import uvicorn
from fastapi import Depends, FastAPI, File, Form, HTTPException, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException as AnyHTTPException

import idrestore
from idrestore import batch
from idrestore.batch import Job, Settings
from idrestore.evaluation import explain
from idrestore.files import image
from idrestore.files.formats import FORMATS, format_named
from idrestore.files.image import ImageError
from idrestore.restoration.restorer import Progress, Restorer
from idrestore.server.middleware import Gate, Rules, problem
from idrestore.server.queue import Full, Stopped, TookTooLong, Work, Workshop

Result = TypeVar("Result")
LOOK_EVERY = 0.2
"""Seconds after which it is looked whether the client is still there."""
GRACE = 60.0
"""Seconds in which a service that is stopping finishes what it has."""
FAREWELL = 5
"""Seconds in which results are then sent."""
CONNECTIONS = 100
"""Connections beyond those that have a seat in the queue; further ones are turned away before they send anything."""
RESULT_HEADER = "Idrestore-Result"
EXPLAINED = 24_000_000
"""Largest photo that is explained, in pixels: its pictures and maps take up to 100 bytes for each."""
NAME_LENGTH = 60
"""Letters of a photo's name that are kept, its end: in UTF-8 at most 240 bytes, which every file system takes."""


class Problem(BaseModel):
    """What every answer other than 200 holds."""

    error: str
    """One sentence"""


class Card(BaseModel):
    """What is known of a model."""

    name: str
    default: bool
    licence: str
    description: str
    version: str
    sha256: str
    degradations: list[str]


class Health(BaseModel):
    """How the service is."""

    status: Literal["ok", "stopping"]
    version: str
    load: int
    """Photos that wait or are at work"""
    seats: int
    """How many of them there may be"""


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The request is not well-formed"},
    401: {"model": Problem, "description": "No token, or another one"},
    403: {"model": Problem, "description": "Another host's name, or a page of another origin"},
    408: {"model": Problem, "description": "The upload took too long"},
    413: {"model": Problem, "description": "Too many bytes or pixels"},
    415: {"model": Problem, "description": "Not a picture that can be read and written"},
    422: {"model": Problem, "description": "A field is missing, or wrong"},
    429: {"model": Problem, "description": "The queue is full"},
    500: {"model": Problem, "description": "The photo could not be restored"},
    503: {"model": Problem, "description": "The service is stopping"},
    504: {"model": Problem, "description": "The photo took too long"},
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
PICTURE = {
    "description": f"The restored photo; the header {RESULT_HEADER} has ingredients, sentence, model and notes as JSON",
    "content": {f"image/{row.name.lower()}": _BINARY for row in FORMATS if row.options is not None},
    "headers": {RESULT_HEADER: {"description": "What was found, as JSON", "schema": {"type": "string"}}},
}
EXPLANATION = {
    "description": "What `idrestore explain` writes as explanation.json, or as a page",
    "content": {"application/json": {"schema": {"type": "object"}}, "text/html": {"schema": {"type": "string"}}},
}


class Service:
    """What the endpoints share: models by name, the workshop, and the largest photo."""

    def __init__(self, restorers: Mapping[str, Restorer], workshop: Workshop, max_pixels: int) -> None:
        """Serve `restorers`, the first of which is the default."""
        self.restorers = restorers
        self.default = next(iter(restorers))
        self.workshop = workshop
        self.max_pixels = max_pixels
        self.checking = asyncio.Lock()

    def restorer(self, name: str) -> Restorer:
        """Return a model by its name, the default one for an empty name; raise `ValueError`."""
        if name and name not in self.restorers:
            raise ValueError(f"model: got {name!r}, expected one of {', '.join(self.restorers)}")
        return self.restorers[name or self.default]

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


class Wish:
    """The form of a photo to restore; the fields mean what the flags of `idrestore restore` mean."""

    def __init__(
        self,
        photo: Annotated[UploadFile, File(description="The photo; the result has its format")],
        model: Annotated[str, Form(description="One of /models; empty: the default")] = "",
        strength: Annotated[str, Form(description="0 to 1, or haze=0.5,noise=0.8")] = "1",
        only: Annotated[str, Form(description="Remove only these, such as rain,haze")] = "",
        ingredients: Annotated[str, Form(description="What is wrong, such as rain=0.7,noise=0.3")] = "",
        guard: Annotated[bool, Form(description="Leave alone what looks covered on purpose")] = True,
        provenance: Annotated[bool, Form(description="Write into the metadata how it was restored")] = True,
        quality: Annotated[int | None, Form(description="1 to 100, for JPEG, WebP, AVIF; empty: its own")] = None,
    ) -> None:
        self.photo = photo
        self.model = model
        self.steering = (strength, only, ingredients)
        self.rest: dict[str, Any] = {"guard": guard, "provenance": provenance, "quality": quality}


def build(service: Service, rules: Rules) -> FastAPI:
    """Return the service as an ASGI application, with its document at /openapi.json."""
    # FastAPI's own pages of documentation would load scripts from elsewhere.
    app = FastAPI(
        title="idrestore",
        version=idrestore.__version__,
        description=str(idrestore.__doc__).partition("\n")[0],
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(Gate, rules=rules)
    _add_answers_to_errors(app)

    @app.post("/restore", response_class=Response, responses={200: PICTURE, **REFUSALS})
    async def restore(request: Request, wish: Annotated[Wish, Depends()]) -> Response:
        """Restore a photo: the file of `idrestore restore`, byte for byte but for the date in its metadata."""
        restorer, settings = _settings(service, wish)
        job = await _checked(service, wish.photo, service.max_pixels)

        def work(progress: Progress) -> batch.Encoded:
            return batch.process(restorer, job, _bytes_of(wish.photo), settings, progress)

        made = await _done(work, service, request, job)
        return _picture(made, job, restorer)

    @app.post("/explain", response_class=Response, responses={200: EXPLANATION, **REFUSALS})
    async def explain_photo(
        request: Request,
        photo: Annotated[UploadFile, File(description="The photo")],
        model: Annotated[str, Form(description="One of /models; empty: the default")] = "",
        form: Annotated[Literal["json", "html"], Form(description="Numbers, or a page with pictures")] = "json",
    ) -> Response:
        """Say what is wrong with a photo, and which router says so."""
        restorer = _or_unprocessable(lambda: service.restorer(model))
        most = min(service.max_pixels, EXPLAINED)
        job = await _checked(service, photo, most)

        def work(progress: Progress) -> bytes:
            return _explain(restorer, job, _bytes_of(photo), form, most, progress)

        told = await _done(work, service, request, job)
        return Response(told, media_type="application/json" if form == "json" else "text/html; charset=utf-8")

    @app.get("/models", responses={code: REFUSALS[code] for code in (401, 403)})
    async def models() -> list[Card]:
        """List the models, with the licences of their weights."""
        return service.cards()

    @app.get("/health", responses={403: REFUSALS[403], 503: {"model": Health}})
    async def health(response: Response) -> Health:
        """Say whether photos are taken, and how many there are."""
        closing = service.workshop.is_closing
        response.status_code = 503 if closing else 200
        status: Literal["ok", "stopping"] = "stopping" if closing else "ok"
        load, seats = service.workshop.load, service.workshop.seats
        return Health(status=status, version=idrestore.__version__, load=load, seats=seats)

    return app


class Server(uvicorn.Server):
    """A server that finishes its photos before it stops."""

    def __init__(self, app: FastAPI, workshop: Workshop, before_stop: Callable[[], None]) -> None:
        """Prepare to serve; `before_stop` ends the connections that would never end by themselves."""
        config = uvicorn.Config(
            app,
            http="h11",  # bounds the size of headers, which httptools does not
            ws="none",
            log_level="warning",
            server_header=False,
            limit_concurrency=workshop.seats + CONNECTIONS,
            timeout_graceful_shutdown=FAREWELL,
        )
        super().__init__(config)
        self.workshop = workshop
        self.before_stop = before_stop

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more photos, finish those that are here unless told a second time, then stop."""
        closing = asyncio.create_task(asyncio.to_thread(self.workshop.close, GRACE))
        while not (await asyncio.wait([closing], timeout=LOOK_EVERY))[0]:
            if self.force_exit:
                self.workshop.cancel()
        self.before_stop()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there, at a free port for 0; raise `OSError`."""
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


def job_named(name: str) -> Job:
    r"""Return the job of a photo of such a name, folders and what no file's name can hold left out.

    >>> job_named("../../etc/a\n.heic").target.name
    'a.jpg'
    """
    last = PurePosixPath(name.replace("\\", "/")).name
    clean = "".join(letter for letter in last if unicodedata.category(letter)[0] != "C")[-NAME_LENGTH:]
    source = Path(clean if clean.strip(". ") else "photo")
    return Job(source, batch.writable(source))


def _add_answers_to_errors(app: FastAPI) -> None:
    """Answer every error in JSON, with one sentence."""

    @app.exception_handler(AnyHTTPException)
    async def refused(_: Request, error: AnyHTTPException) -> Response:
        return problem(error.status_code, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return problem(422, f"{first['loc'][-1]}: {first['msg']}")

    @app.exception_handler(ImageError)
    async def unreadable(_: Request, error: ImageError) -> Response:
        return problem(415, str(error))

    @app.exception_handler(Full)
    async def full(_: Request, error: Full) -> Response:
        return problem(429, str(error), {"Retry-After": "10"})

    @app.exception_handler(Stopped)
    async def stopped(_: Request, error: Stopped) -> Response:
        return problem(504 if isinstance(error, TookTooLong) else 503, str(error))

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:
        return problem(500, f"an error of idrestore itself ({type(error).__name__}): please report it")


async def _checked(service: Service, upload: UploadFile, max_pixels: int) -> Job:
    """Refuse what needs no waiting to be refused; no pixel is decoded yet.

    The photos that wait are on the disk: of those that are checked, one at a time is in memory.
    """
    service.workshop.check()
    job = job_named(upload.filename or "")
    image.check_target(job.target)
    async with service.checking:
        width, height = await asyncio.to_thread(lambda: image.size(_bytes_of(upload), str(job.source)))
    if width * height > max_pixels:
        found = f"{job.source} has {width} x {height} pixels"
        raise HTTPException(413, f"{found}: expected at most {max_pixels:,} in all")
    return job


def _bytes_of(upload: UploadFile) -> bytes:
    upload.file.seek(0)
    return upload.file.read()


def _settings(service: Service, wish: Wish) -> tuple[Restorer, Settings]:
    """Turn a form into what the work is done with."""

    def read() -> tuple[Restorer, Settings]:
        restorer = service.restorer(wish.model)
        steering = batch.parse_steering(*wish.steering)
        restorer.steer(**steering)
        return restorer, Settings(**steering, **wish.rest, max_pixels=service.max_pixels)

    return _or_unprocessable(read)


def _or_unprocessable(read: Callable[[], Result]) -> Result:
    """Return what a form says; a `ValueError` is the sender's."""
    try:
        return read()
    except ValueError as error:
        raise HTTPException(422, str(error)) from None


async def _done(work: Work[Result], service: Service, request: Request, job: Job) -> Result:
    """Have work done, and stop it when the client goes."""
    task = service.workshop.submit(work)
    end = asyncio.gather(asyncio.wrap_future(task.future), return_exceptions=True)
    try:
        while not (await asyncio.wait([end], timeout=LOOK_EVERY))[0]:
            if await request.is_disconnected():
                task.cancel()
        return task.result()
    except ImageError:
        raise
    except batch.FILE_ERRORS as error:
        raise HTTPException(500, batch.one_line(job.source, error)) from error
    finally:
        task.cancel()  # for a handler that was stopped itself; does nothing to what is finished


def _picture(made: batch.Encoded, job: Job, restorer: Restorer) -> Response:
    """Return a result as its file, with what was found in a header."""
    about = {
        "model": restorer.model.path.stem,
        "sentence": explain.sentence(made.ingredients),
        "ingredients": made.ingredients,
        "notes": made.notes,
    }
    headers = {
        RESULT_HEADER: json.dumps(about),
        "Content-Disposition": f"attachment; filename*=utf-8''{quote(job.target.name, safe='')}",
    }
    return Response(made.data, headers=headers, media_type=f"image/{str(format_named(job.target)).lower()}")


def _explain(restorer: Restorer, job: Job, data: bytes, form: str, max_pixels: int, progress: Progress) -> bytes:
    """Explain a photo in a folder that is gone afterwards; return its JSON or its page."""
    with tempfile.TemporaryDirectory(prefix="idrestore-") as folder:
        source = Path(folder) / job.source.name
        source.write_bytes(data)
        told = explain.explain_file(restorer, source, Path(folder) / "explained", max_pixels, progress)
        return told.page.with_suffix(f".{form}").read_bytes()
