"""The page, and the human page of the service: templates and a few files, each known by name before anybody asks."""

import json
import secrets
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import HTMLResponse

import idrestore
from idrestore import templates
from idrestore.degradations import FIVE
from idrestore.files import image
from idrestore.files.formats import SUFFIXES
from idrestore.restoration.sentence import name_of
from idrestore.server import forms
from idrestore.server.answers import choose_language
from idrestore.server.service import Service

PACKAGE = Path(__file__).parents[1]
STATIC = templates.FOLDER / "page"
EXAMPLES = (PACKAGE / "examples", PACKAGE.parents[1] / "examples/degraded")
"""Where example photos are: in the installed package, or in the source tree."""
EXAMPLE_SIDE = 360
"""Longest side of the small pictures of examples, px."""
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".jpg": "image/jpeg"}
Texts = dict[str, dict[str, str]]


def add_page(app: FastAPI, service: Service) -> None:
    """Add the page at /, the document for people at /docs, and the files that they need."""
    texts: Texts = json.loads((STATIC / "texts.json").read_text("utf-8"))
    files = {path.name: path for path in STATIC.iterdir() if path.suffix in MEDIA_TYPES}
    examples = {path.stem: path for path in _examples()}
    small = cache(lambda name: image.thumbnail(examples[name], EXAMPLE_SIDE, quality=80))
    hidden: dict[str, Any] = {"include_in_schema": False}

    @app.get("/", response_class=HTMLResponse, dependencies=[Depends(forms.only(query=["lang"]))], **hidden)
    async def page(lang: str = "", accept_language: Annotated[str, Header()] = "") -> str:
        """Give the page, in a language that the browser takes."""
        language = choose_language(accept_language, lang)
        return templates.render(
            "page.html",
            language=language,
            languages={name: entry["language"] for name, entry in texts.items()},
            text=texts[language] | {name: name_of(name, language) for name in FIVE},
            session=secrets.token_urlsafe(16),
            cards=[card.model_dump() for card in service.cards()],
            suffixes=sorted(SUFFIXES),
            examples=sorted(examples),
            version=idrestore.__version__,
        )

    @app.get("/docs", response_class=HTMLResponse, dependencies=[Depends(forms.only())], **hidden)
    async def docs(request: Request) -> str:
        """Give the document of the service for people."""
        return templates.render(
            "docs.html", document=app.openapi(), url=str(request.base_url).rstrip("/"), version=idrestore.__version__
        )

    @app.get("/static/{name}", dependencies=[Depends(forms.only())], **hidden)
    async def static(name: str) -> Response:
        """Give one of the page's own files."""
        path = _known(files, name)
        headers = {"Cache-Control": "no-cache"}
        return Response(path.read_bytes(), headers=headers, media_type=MEDIA_TYPES[path.suffix])

    @app.get("/examples/{name}/{size}", dependencies=[Depends(forms.only())], **hidden)
    def example(name: str, size: Literal["photo", "small"]) -> Response:
        """Give an example, or a small picture of it."""
        path = _known(examples, name)
        if size == "small":
            return Response(small(name), media_type="image/webp")
        return Response(path.read_bytes(), media_type=MEDIA_TYPES[path.suffix])


def _examples() -> list[Path]:
    """List the example photos."""
    folder = next((place for place in EXAMPLES if place.is_dir()), None)
    return sorted(folder.glob("*.jpg")) if folder else []


def _known(files: dict[str, Path], name: str) -> Path:
    """Return a file by its name; raise 404 for any other name, so that no path is ever made of what a client sends."""
    if name not in files:
        raise HTTPException(404, f"there is nothing called {name[:60]} here")
    return files[name]
