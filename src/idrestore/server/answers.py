"""What the service answers with: the fields of its JSON, and the headers of its files."""

import base64
import re
import unicodedata
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import Depends, Header
from pydantic import BaseModel

from idrestore import batch
from idrestore.files.formats import FORMATS, format_named
from idrestore.restoration.sentence import PHRASES, sentence, unsure
from idrestore.server.jobs import Found, Job, Part, State, result_name

RESULT_HEADER = "Idrestore-Result"
BINARY = {"schema": {"type": "string", "format": "binary"}}
PICTURE = {
    "description": f"The restored photo; the header {RESULT_HEADER} has ingredients, sentence, model and notes as JSON",
    "content": {f"image/{row.name.lower()}": BINARY for row in FORMATS if row.options is not None},
    "headers": {RESULT_HEADER: {"description": "What was found, as JSON", "schema": {"type": "string"}}},
}


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


class JobState(BaseModel):
    """A photo that is kept, and what became of it."""

    id: str
    name: str
    """What the photo is called"""
    result: str
    """What the result is called"""
    state: State
    progress: float
    """How much of the work is done, 0 to 1"""
    error: str
    width: int
    height: int
    version: int
    """Grows with each result; 0: there is none yet"""
    model: str
    sentence: str
    """What was found and what became of it, in words; empty before there is a result"""
    unsure: str
    """The degradation of which the model is not sure whether it is there; empty if it is sure"""
    ingredients: dict[str, float]
    notes: list[str]
    unchanged: bool
    """Whether there was nothing to restore: the result is the photo's own file"""


class Preview(BaseModel):
    """A part of a photo, before and after, as data URLs."""

    before: str
    after: str
    left: int
    top: int
    width: int
    height: int
    sentence: str
    ingredients: dict[str, float]
    notes: list[str]


def choose_language(accepted: str, wanted: str = "") -> str:
    """Return the language that is wanted, else the first that a client accepts and that there is, else English.

    >>> choose_language("fr, de-AT;q=0.8, en;q=0.5")
    'de'
    """
    names = [wanted, *(part.partition(";")[0].strip() for part in accepted.split(","))]
    known = (name.partition("-")[0].lower() for name in names)
    return next((name for name in known if name in PHRASES), "en")


def _language(
    accept_language: Annotated[str, Header(description=f"Of the sentence: {', '.join(PHRASES)}")] = "",
) -> str:
    return choose_language(accept_language)


Language = Annotated[str, Depends(_language)]
"""What the client wants sentences in"""


def state_of(job: Job, language: str) -> JobState:
    """Say how a job is."""
    state, tiles = job.state, job.task.progress if job.task else None
    return JobState(
        id=job.id,
        name=job.photo.source.name,
        result=result_name(job.photo),
        state=state,
        progress=1.0 if state == "done" else tiles[0] / tiles[1] if tiles else 0.0,
        error=job.error,
        width=job.width,
        height=job.height,
        version=job.version,
        **about(job.found, language),
    )


def about(found: Found | None, language: str) -> dict[str, Any]:
    """Return what was found, as JSON has it; empty as long as nothing was."""
    if found is None:
        return {"model": "", "sentence": "", "unsure": "", "ingredients": {}, "notes": [], "unchanged": False}
    steering = found.settings.steering
    return {
        "model": found.model,
        "sentence": sentence(
            found.ingredients, **steering, named=found.named, changed=not found.unchanged, language=language
        ),
        "unsure": unsure(found.ingredients, steering["ingredients"]) or "",
        "ingredients": dict(found.ingredients),
        # Flags are the command's.
        "notes": [re.sub(r"; --[^;]*| \(--[^)]*\)", "", note) for note in found.notes],
        "unchanged": found.unchanged,
    }


def preview_of(part: Part, language: str) -> Preview:
    """Return a part as JSON has it."""
    left, top, width, height = part.box
    before, after = (f"data:image/png;base64,{base64.b64encode(each).decode()}" for each in (part.before, part.after))
    return Preview(
        before=before,
        after=after,
        left=left,
        top=top,
        width=width,
        height=height,
        **{key: value for key, value in about(part.found, language).items() if key in Preview.model_fields},
    )


def attachment(name: str) -> str:
    """Return the header that says what a file is called: in any script, and for old clients in ASCII.

    >>> attachment("Übung 雨.png")
    'attachment; filename="Ubung _.png"; filename*=utf-8\\'\\'%C3%9Cbung%20%E9%9B%A8.png'
    """
    letters = (letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))
    plain = "".join(letter if letter.isascii() and letter not in '"\\%' else "_" for letter in letters)
    return f"attachment; filename=\"{plain}\"; filename*=utf-8''{quote(name, safe='')}"


def media_type(photo: batch.Job) -> str:
    """Return the media type of a photo's result, such as image/jpeg."""
    return f"image/{str(format_named(photo.target)).lower()}"
