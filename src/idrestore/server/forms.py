"""What may be sent with a photo, and what it means to the restorer."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Literal

from fastapi import Form, HTTPException, Request, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from idrestore import batch
from idrestore.batch.settings import parse_amount
from idrestore.degradations import canonical
from idrestore.server.errors import refuse_unknown

Control = float | Literal["auto", "off"]
"""Of an ingredient: as found; not at all; or an amount, 0 to 1, whatever is found."""


class Options(BaseModel):
    """How to restore; the fields mean what the flags of `idrestore restore` mean."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(default="", description="One of /models; empty: the default")
    strength: str = Field(default="1", description="How much to do: 0 to 1, or haze=0.5,noise=0.8")
    only: str = Field(default="", description="Remove only these, such as rain,haze")
    ingredients: str = Field(default="", description="What is wrong, such as rain=0.7,noise=0.3")
    controls: str = Field(
        default="",
        description="In place of these three: auto, off or an amount for ingredients, such as haze=0.7,noise=off",
    )
    guard: bool = Field(default=True, description="Leave alone what looks covered on purpose")
    provenance: bool = Field(default=True, description="Write into the metadata how it was restored")
    quality: int | None = Field(default=None, description="1 to 100, for JPEG, WebP, AVIF; empty: its own")


class RestoreForm(Options):
    """A photo, and how to restore it."""

    photo: UploadFile = Field(description="The photo; the result has its format")


class JobForm(RestoreForm):
    """A photo to restore while other things are done."""

    session: str = Field(
        default="",
        pattern=r"^[\w-]{0,64}$",
        description="A secret of the client's; its jobs can be listed and ended by it",
    )


class PreviewForm(Options):
    """A part of a photo to try; it is judged by itself, unless the photo was restored before."""

    across: float = Field(default=0.5, ge=0, le=1, description="The middle of the part, as a share of the width")
    down: float = Field(default=0.5, ge=0, le=1, description="The middle of the part, as a share of the height")


class ExplainForm(BaseModel):
    """A photo to explain."""

    model_config = ConfigDict(extra="forbid")

    photo: UploadFile = Field(description="The photo")
    model: str = Field(default="", description="One of /models; empty: the default")
    form: Literal["json", "html"] = Field(default="json", description="Numbers, or a page with pictures")


FORM = "multipart/form-data"
"""Media type of what photos are sent in"""
MULTIPART = Form(media_type=FORM)


def only(form: type[BaseModel] | None = None, query: Collection[str] = ()) -> Callable[[Request], Awaitable[None]]:
    """Return a dependency that refuses fields that are not known, or are sent twice, and photos that are in none."""

    async def check(request: Request) -> None:
        refuse_unknown("query field", request.query_params.keys(), query)
        if form is None:
            return
        kind = request.headers.get("content-type", "")
        if "photo" in form.model_fields and kind and not kind.lower().startswith(FORM):
            got = f"got a body of {kind[:60]}"
            raise HTTPException(
                422, f"{got}: expected {FORM} with the field photo, as curl -F photo=@photo.jpg sends it"
            )
        names = [name for name, _ in (await request.form()).multi_items()]
        refuse_unknown("field", names, form.model_fields)
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise HTTPException(422, f"{twice}: sent {names.count(twice)} times, expected once")

    return check


def parse_controls(text: str) -> dict[str, Control]:
    """Read what a form says of single ingredients; raise `ValueError`.

    >>> parse_controls("fog=70%,noise=off,rain=auto")
    {'haze': 0.7, 'noise': 'off', 'rain': 'auto'}
    """
    controls: dict[str, Control] = {}
    for part in filter(None, text.split(",")):
        word, _, value = (each.strip() for each in part.partition("="))
        name = canonical(word)
        try:
            controls[name] = "auto" if value == "auto" else "off" if value == "off" else parse_amount(value)
        except ValueError:
            raise ValueError(f"controls: got {part!r}, expected NAME=auto, NAME=off or NAME=NUMBER, 0 to 1") from None
    return controls


def steering(options: Options, names: Collection[str], found: Mapping[str, float]) -> dict[str, Any]:
    """Return what a form says, as `Settings` takes it; raise `ValueError`.

    `names` are the model's degradations, `found` what an earlier pass found in the photo, if there was one.
    """
    if not options.controls:
        return batch.parse_steering(options.strength, options.only, options.ingredients)
    if (options.strength, options.only, options.ingredients) != ("1", "", ""):
        raise ValueError("controls: expected no strength, only or ingredients beside them")
    controls = parse_controls(options.controls)
    for name in controls:
        if name not in names or name == "clean":
            expected = ", ".join(each for each in names if each != "clean")
            raise ValueError(f"controls: got {name}, expected some of {expected}")
    return _settings(controls, found)


def named(options: Options) -> frozenset[str] | None:
    """Return the degradations that a form insists on; None: all ingredients are its own."""
    amounts = {name for name, value in parse_controls(options.controls).items() if isinstance(value, float) and value}
    return frozenset(amounts) if options.controls else None


def _settings(controls: Mapping[str, Control], found: Mapping[str, float]) -> dict[str, Any]:
    """Return the strengths or the ingredients that controls mean.

    As on the command line, what is insisted on is taken for granted, in the proportion of the amounts, and the photo
    goes as far of its way as the largest amount says; beside it stays what was found.
    """
    off = {name for name, value in controls.items() if value in ("off", 0.0)}
    amounts = {name: value for name, value in controls.items() if isinstance(value, float) and value}
    if not amounts:
        return {"strength": dict.fromkeys(off, 0.0) or 1.0}
    largest = max(amounts.values())
    shares = {name: share for name, share in found.items() if name != "clean" and name not in off}
    shares |= {name: amount / largest for name, amount in amounts.items()}
    total = sum(shares.values())
    return {"ingredients": {name: share / total for name, share in shares.items()}, "strength": largest}
