"""What open pages have at work and what they have finished; the pictures that a page shows."""

import base64
import html
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template
from typing import NamedTuple, TypeVar

from idrestore import batch
from idrestore.batch import Encoded, Job, Settings
from idrestore.files import image
from idrestore.restoration.restorer import Progress
from idrestore.server.app import Service, job_named
from idrestore.server.queue import Full, Stopped, Task, Work

Made = TypeVar("Made")
Tell = Callable[[str, tuple[int, int] | None], None]
"""Is told, again and again, which photo is at work and how many of its tiles are done, and of how many."""

COMPARISON = Path(__file__).parents[1] / "templates/compare.html"
SIDE = 2400
"""Longest side of the pictures in the page, px; what is downloaded is as large as the photo."""
PART = 512
"""Side of the part that can be tried first, px."""
LOOK_EVERY = 0.1
"""Seconds after which it is looked how far the work is."""


class Wishes(NamedTuple):
    """What the controls of a page say."""

    photos: Sequence[Path]
    model: str
    guard: bool = True
    strengths: Mapping[str, float] = {}


class Finished(NamedTuple):
    """A photo that was restored."""

    source: Path
    target: Path
    ingredients: Mapping[str, float]
    notes: Sequence[str]


class Part(NamedTuple):
    """A part of a photo, before and after, as PNG files."""

    before: bytes
    after: bytes
    ingredients: Mapping[str, float]
    """Of the part by itself"""
    notes: tuple[str, ...]


@dataclass
class Visit:
    """What belongs to one open page."""

    folder: Path
    is_cancelled: bool = False
    tasks: list[Task] = field(default_factory=list)  # type: ignore[type-arg]  # of results of any kind


class Visits:
    """The open pages by a key of each; all work goes through the service's queue."""

    def __init__(self, service: Service, folder: Path) -> None:
        """Keep results below `folder` until their page is closed."""
        self.service = service
        self.folder = folder
        self._visits: dict[str, Visit] = {}

    def restore(self, key: str, wishes: Wishes, tell: Tell) -> tuple[list[Finished], list[str]]:
        """Restore photos one after the other; return those finished, and a line for what was not."""
        visit = self._begin(key)
        folder = Path(tempfile.mkdtemp(dir=visit.folder))
        finished, failures = [], []
        for number, source in enumerate(wishes.photos):
            job = job_named(source.name)
            target = _free(folder / job.target.name)
            try:
                made = self._restored(visit, source, job, wishes, tell)
                target.write_bytes(made.data)
                finished.append(Finished(source, target, made.ingredients, made.notes))
            except Stopped as stopped:
                failures.append(f"{stopped}; photos not restored: {len(wishes.photos) - number}")
                break
            except (Full, *batch.FILE_ERRORS) as error:
                failures.append(batch.one_line(job.source, error))
        return finished, failures

    def part(self, key: str, wishes: Wishes, place: tuple[float, float], tell: Tell) -> Part:
        """Restore a part of the first photo, whose middle lies at `place`, in shares of the width and the height.

        Raise `Full`, `Stopped` or one of `batch.FILE_ERRORS`.
        """
        path = wishes.photos[0]
        restorer, settings = self.service.restorer(wishes.model), self._settings(wishes)

        def work(progress: Progress) -> Part:
            decoded = batch.decode(path, path.read_bytes(), settings)
            part = decoded._replace(photo=_cut(decoded.photo, place))
            job = Job(path, path.with_suffix(".png"))
            before = image.encode(part.photo.pixels, job.target, part.photo)[0]
            made = batch.encode(batch.restore(restorer, part, settings, progress), job, settings)
            return Part(before, made.data, made.ingredients, made.notes)

        return self._work(self._begin(key), work, lambda tiles: tell("a part", tiles))

    def cancel(self, key: str) -> None:
        """Stop what a page has at work."""
        visit = self._visits.get(key)
        if visit:
            visit.is_cancelled = True
            for task in visit.tasks:
                task.cancel()

    def end(self, key: str) -> None:
        """Forget a page that was closed, with its results."""
        self.cancel(key)
        visit = self._visits.pop(key, None)
        if visit:
            shutil.rmtree(visit.folder, ignore_errors=True)

    def _begin(self, key: str) -> Visit:
        """Return what belongs to a page, ready for new work."""
        if key not in self._visits:
            self._visits[key] = Visit(Path(tempfile.mkdtemp(prefix="results-", dir=self.folder)))
        self._visits[key].is_cancelled = False
        return self._visits[key]

    def _settings(self, wishes: Wishes) -> Settings:
        """Return what the work is done with: without a wish, exactly what the command takes by default."""
        names = self.service.restorer(wishes.model).names
        less = {name: value for name, value in wishes.strengths.items() if value < 1 and name in names}
        return Settings(strength=less or 1.0, guard=wishes.guard, max_pixels=self.service.max_pixels)

    def _restored(self, visit: Visit, source: Path, job: Job, wishes: Wishes, tell: Tell) -> Encoded:
        """Have one photo restored."""
        restorer, settings = self.service.restorer(wishes.model), self._settings(wishes)

        def work(progress: Progress) -> Encoded:
            return batch.process(restorer, job, source.read_bytes(), settings, progress)

        return self._work(visit, work, lambda tiles: tell(job.source.name, tiles))

    def _work(self, visit: Visit, work: Work[Made], tell: Callable[[tuple[int, int] | None], None]) -> Made:
        """Have work done, and tell how far it is."""
        if visit.is_cancelled:
            raise Stopped("the work was cancelled")
        task = self.service.workshop.submit(work)
        visit.tasks.append(task)
        try:
            while not task.wait(LOOK_EVERY):
                tell(task.progress)
            return task.result()
        finally:
            visit.tasks.remove(task)


def comparison(before: Path | bytes, after: Path | bytes, name: str) -> str:
    """Return the HTML that shows a photo before and after; raise `ImageError`."""
    urls = [base64.b64encode(image.thumbnail(each, SIDE, quality=90)).decode() for each in (before, after)]
    return Template(COMPARISON.read_text("utf-8")).substitute(
        before=f"data:image/webp;base64,{urls[0]}",
        after=f"data:image/webp;base64,{urls[1]}",
        name=html.escape(name),
    )


def to_download(finished: Sequence[Finished]) -> Path | None:
    """Return the one file to take away, a ZIP archive beside the results if there are several, None for nothing."""
    if len(finished) < 2:
        return finished[0].target if finished else None
    path = finished[0].target.parent.with_suffix(".d") / "restored.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:  # photos are compressed already
        for each in finished:
            archive.write(each.target, each.target.name)
    return path


def _cut(photo: image.Photo, place: tuple[float, float]) -> image.Photo:
    """Return the part of a photo around a place, as near to it as the borders allow."""
    height, width = photo.pixels.shape[:2]
    across, down = place
    top = max(0, min(round(down * height) - PART // 2, height - PART))
    left = max(0, min(round(across * width) - PART // 2, width - PART))
    part = slice(top, top + PART), slice(left, left + PART)
    return replace(photo, pixels=photo.pixels[part], alpha=None if photo.alpha is None else photo.alpha[part])


def _free(path: Path) -> Path:
    """Return a path that no earlier result has: the name, or the name with a number."""
    free, number = path, 1
    while free.exists():
        number += 1
        free = path.with_stem(f"{path.stem}-{number}")
    return free
