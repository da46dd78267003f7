"""What goes wrong, said in one form: a status, and `{"error": "one sentence"}`."""

import difflib
from collections.abc import Collection

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.responses import JSONResponse

from idrestore.files.image import ImageError
from idrestore.server.queue import Full, Stopped, TookTooLong
from idrestore.server.storage import StorageFull


class Problem(BaseModel):
    """What every answer holds that refuses something."""

    error: str
    """One sentence"""


MEANINGS = {
    400: "The request is not well-formed",
    401: "No token, or another one",
    403: "Another host's name, or a page of another origin",
    404: "There is no such address or job; a job is forgotten an hour after it was last asked for",
    405: "The address takes another method",
    408: "The request arrived too slowly",
    409: "The job has no result, or not yet",
    413: "Too many bytes or pixels",
    415: "Not a picture that can be read and written",
    422: "A field is missing, unknown or wrong",
    429: "The queue is full: try again after the seconds in `Retry-After`",
    500: "The photo could not be restored",
    503: "The service is stopping",
    504: "The photo took too long",
    507: "Too many photos, or bytes of photos, are kept already",
}
"""The statuses of refusals, and what each means."""


def responses(*statuses: int) -> dict[int | str, dict[str, object]]:
    """Return how an endpoint's document describes these refusals."""
    return {status: {"model": Problem, "description": MEANINGS[status]} for status in statuses}


def problem(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the answer that says what went wrong."""
    return JSONResponse({"error": " ".join(message.split())}, status, headers)


def hint(name: str, known: Collection[str]) -> str:
    """Return a hint at the name that was probably meant, or at all of them.

    >>> hint("strenght", ["strength", "only"])
    'did you mean strength?'
    >>> hint("x", ["strength", "only"])
    'expected strength, only'
    """
    close = difflib.get_close_matches(name, known, 1)
    if close:
        return f"did you mean {close[0]}?"
    return f"expected {', '.join(known)}" if known else "expected none"


def refuse_unknown(kind: str, sent: Collection[str], known: Collection[str]) -> None:
    """Raise 422 for the first name that is not known."""
    for name in sent:
        if name not in known:
            raise HTTPException(422, f"{name[:60]}: no {kind} of this name; {hint(name, known)}")


def add_handlers(app: FastAPI) -> None:
    """Answer every error in the one form."""

    @app.exception_handler(AnyHTTPException)
    async def refused(request: Request, error: AnyHTTPException) -> Response:
        return problem(error.status_code, _sentence(request, error), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return problem(422, f"{first['loc'][-1]}: {_reason(first['type'], str(first['msg']))}")

    @app.exception_handler(ImageError)
    async def unreadable(_: Request, error: ImageError) -> Response:
        return problem(415, str(error))

    @app.exception_handler(Full)
    async def full(_: Request, error: Full) -> Response:
        return problem(429, str(error), {"Retry-After": "10"})

    @app.exception_handler(StorageFull)
    async def no_room(_: Request, error: StorageFull) -> Response:
        return problem(507, str(error))

    @app.exception_handler(Stopped)
    async def stopped(_: Request, error: Stopped) -> Response:
        return problem(504 if isinstance(error, TookTooLong) else 503, str(error))

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:
        return problem(500, f"an error of idrestore itself ({type(error).__name__}): please report it")


def _sentence(request: Request, error: AnyHTTPException) -> str:
    """Say what went wrong; of what the framework says, make a sentence that helps."""
    if error.status_code == 404 and error.detail == "Not Found":
        return f"there is nothing at {request.url.path[:100]}: see /docs"
    if error.status_code == 405:
        return f"{request.method} is not for {request.url.path[:100]}: see /docs"
    return str(error.detail)


def _reason(kind: str, message: str) -> str:
    """Return why a field was refused, in words of the service's users."""
    if kind == "missing":
        return "this field is missing"
    if "UploadFile" in message:
        return "expected a file's content, sent as multipart/form-data with a filename"
    return message
