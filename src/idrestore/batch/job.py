"""One photo's way through a run, as values: what is to be done, what came of it, and what is said of a failure."""

import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from idrestore.configuration import one_line
from idrestore.degradations import percentages
from idrestore.files.image import ImageError

FILE_ERRORS = (ImageError, OSError, ValueError, RuntimeError, MemoryError)
"""What one photo may raise without stopping the others."""
MEMORY_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "could not create a")
"""How torch and oneDNN ("could not create a primitive") say in a `RuntimeError` that memory is short."""


class Job(NamedTuple):
    """One photo to restore."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    job: Job
    status: Literal["done", "unchanged", "skipped", "failed"]
    """Unchanged: restoring changed no pixel, and the result is a copy, or the same in another format. Skipped: an
    earlier run had done it"""
    error: str = ""
    """One line; empty unless it failed"""
    ingredients: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What reading, restoring or writing changed or left out"""
    seconds: float = 0.0
    """Of work on this photo, waiting left out"""
    arithmetic: str = ""
    """Where, in which precision and by which kernels it was computed (`device.Arithmetic`); empty: not in this run"""
    replaces: str = ""
    """What the result took the place of, in words; empty: there was no file"""

    @property
    def found(self) -> str:
        """What was found, in percent, what is next to nothing left out."""
        return percentages(self.ingredients, 0.05)


def summary(outcomes: Iterable[Outcome]) -> str:
    """Count what became of photos, such as "4 restored, 2 unchanged, 0 failed"."""
    counts = Counter[str](outcome.status for outcome in outcomes)
    words = {"done": "restored", "unchanged": "unchanged", "skipped": "done already", "failed": "failed"}
    always = ("done", "failed")
    return ", ".join(f"{counts[name]} {word}" for name, word in words.items() if counts[name] or name in always)


class Encoded(NamedTuple):
    """A restored photo as the bytes of its file."""

    data: bytes
    input_sha256: str
    ingredients: Mapping[str, float]
    notes: tuple[str, ...]
    unchanged: bool = False
    """Whether restoring changed no pixel: they are the very bytes that came in, if these may stay as they are"""
    arithmetic: str = ""


def kind_of(path: Path) -> str:
    """Say in words what is there that is no file."""
    mode = path.stat().st_mode
    kinds = {"a folder": stat.S_ISDIR, "a pipe": stat.S_ISFIFO, "a socket": stat.S_ISSOCK}
    return next((words for words, is_one in kinds.items() if is_one(mode)), "a device")


def is_short_of_memory(error: Exception) -> bool:
    """Tell whether less work at a time would help."""
    words = str(error).lower()
    return isinstance(error, MemoryError) or any(word in words for word in MEMORY_WORDS)


def failure(job: Job, error: Exception, seconds: float = 0.0) -> Outcome:
    """Return the outcome of a job that raised one of `FILE_ERRORS`."""
    return Outcome(job, "failed", complaint(job.source, error), seconds=seconds)


def complaint(source: Path, error: Exception) -> str:
    """Say in one line, with the file's name, what went wrong."""
    message = one_line(error)
    return encodable(message if source.name in message else f"{source}: {message}")


def encodable(text: object) -> str:
    """Return text that UTF-8 can hold: bytes of a file's name that are no text are spelled out."""
    return str(text).encode("utf-8", "backslashreplace").decode()
