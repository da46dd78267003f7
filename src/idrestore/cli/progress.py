"""How far a run of photos is; weighed by megapixels, since photos are of very different sizes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from idrestore.cli.console import error_console, printable, say

if TYPE_CHECKING:
    from idrestore.batch import Job, Outcome

NAME = 28
"""Letters of a photo's name that the bar shows."""
EACH = 0.05
"""What a photo takes whatever its size, in megapixels: 0.06 s beside 2.7 s for a megapixel were measured."""
WINDOW = 120.0
"""Seconds of work from which the end is estimated: several tiles, of whatever size."""


class PhotoBar:
    """A bar on a terminal: the photo at work, photos done of all, time left at the speed of the last minutes."""

    def __init__(self, jobs: "Sequence[Job]", shown: bool = True) -> None:
        """Read the sizes of all photos, if the bar is shown."""
        from rich import progress

        self.shown = shown and error_console.is_terminal
        self._sizes = {job.source: EACH + _megapixels(job.source) for job in jobs} if self.shown else {}
        self._count, self._done = len(jobs), 0
        self._finished, self._total = 0.0, sum(self._sizes.values())
        self._progress = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(bar_width=16),
            progress.TextColumn("{task.fields[count]}"),
            progress.TimeRemainingColumn(compact=True),
            progress.TextColumn("left"),
            console=error_console,
            disable=not self.shown,
            redirect_stdout=False,
            redirect_stderr=False,
            speed_estimate_period=WINDOW,
            transient=True,
        )
        self._task = self._progress.add_task("", total=self._total, count=self._counted())

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def tile(self, job: "Job", done: int, total: int) -> None:
        """Show how far the photo at work is; a second look at a photo never takes the bar back."""
        at = self._finished + self._sizes.get(job.source, 0.0) * done / total
        self._update(max(at, self._progress.tasks[0].completed), job.source.name)

    def photo(self, outcome: "Outcome") -> None:
        """Count a photo as done; one that was skipped or failed took no time, and is no longer part of the whole."""
        size = self._sizes.get(outcome.job.source, 0.0)
        self._done += 1
        if outcome.status in ("done", "unchanged"):
            self._finished += size
        else:
            self._total -= size
        self._update(self._finished)

    def print(self, text: str) -> None:
        """Print a line of results above the bar."""
        say(text, above=self.shown)

    def _update(self, completed: float, name: str = "") -> None:
        short = printable(name if len(name) <= NAME else f"{name[: NAME - 9]}…{name[-8:]}")
        total = max(self._total, completed)
        self._progress.update(self._task, completed=completed, total=total, description=short, count=self._counted())

    def _counted(self) -> str:
        return f"{self._done} of {self._count} photos" if self._count > 1 else ""


def _megapixels(source: Path) -> float:
    """Return a photo's size by its header; 0 if it cannot be read, which its turn will tell."""
    from idrestore.files import image

    try:
        width, height = image.size(source)
    except (OSError, ValueError):
        return 0.0
    return width * height / 1e6
