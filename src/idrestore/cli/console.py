"""What all commands share: exit codes, options, consoles, the progress bar, one-line complaints."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from idrestore.batch import Job
    from idrestore.batch.plan import Problem
    from idrestore.restoration.restorer import Restorer

DONE, SOME_FAILED, WRONG_USAGE = 0, 1, 2
EXIT_CODES = """\b
Exit codes:
  0    all that was asked for was done
  1    some of it could not be done (each said in a line); the rest was
  2    the command itself was wrong: nothing was done
  130  interrupted by Ctrl-C; what was finished stays
"""
out_console = Console(soft_wrap=True, highlight=False)
error_console = Console(stderr=True, soft_wrap=True, highlight=False)

ModelOption = Annotated[str, typer.Option("--model", "-m", help="A shipped model's name, or a model file.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
PrecisionOption = Annotated[str, typer.Option(help="auto, fp32 or bf16; auto: bf16 where there are units for it.")]
MemoryOption = Annotated[
    str, typer.Option(help="Memory to use, such as 1.5G, photos and all; by default what is free.")
]
OutFolder = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")]


class Bar:
    """One progress bar with its estimated end, on a terminal only; lines printed meanwhile stay above it."""

    def __init__(self, total: int, shown: bool = True) -> None:
        from rich import progress

        self._progress = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
            console=error_console,
            disable=not (shown and error_console.is_terminal),
            transient=True,
        )
        self._task = self._progress.add_task("", total=total)

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def step(self, done: int, total: int) -> None:
        """Show absolute progress."""
        self._progress.update(self._task, completed=done, total=total)

    def photo(self) -> None:
        """Count one more photo."""
        self._progress.update(self._task, advance=1, description="")

    def tile(self, job: object, done: int, total: int) -> None:
        """Show how far the photo at work is."""
        source = getattr(job, "source", "")
        self._progress.update(self._task, description=escape(f"{Path(source).name} {done}/{total}"))

    def print(self, text: str) -> None:
        """Print a line of results; bytes of a file's name that are no text are spelled out."""
        out_console.print(text.encode("utf-8", "backslashreplace").decode(), markup=False)


def load_model(
    model: str, device: str, precision: str, tile: int | None = None, budget: int | None = None
) -> "Restorer":
    """Load a model, or refuse."""
    from idrestore.restoration import restorer as restoration

    try:
        return restoration.load(model, device, precision, tile, budget)  # type: ignore[arg-type]
    except ValueError as error:
        refuse(str(error))


def parse_steering(strength: str, only: str, ingredients: str) -> dict[str, Any]:
    """Read --strength, --only and --ingredients as `Restorer.restore` takes them, or refuse."""
    from idrestore import batch

    try:
        return batch.parse_steering(strength, only, ingredients)
    except ValueError as error:
        refuse(f"--{error}")


def parse_memory(text: str) -> int | None:
    """Read --memory; none is no budget."""
    from idrestore.restoration import memory

    try:
        return memory.parse_bytes(text) if text else None
    except ValueError as error:
        refuse(f"--{error}")


def plan(photos: list[Path], out: Path, writes_photos: bool = True) -> "tuple[list[Job], list[Problem]]":
    """Decide where each photo goes, as `batch.plan` does, and complain of what cannot be done; or refuse."""
    from idrestore import batch

    try:
        jobs, problems = batch.plan(photos, out, writes_photos)
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, a loop of links, ...
        refuse(" ".join(str(error).split()))
    for problem in problems:
        complain(problem.message)
    return jobs, problems


def make_folder(folder: Path) -> None:
    """Make a folder for results, or refuse."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not folder.is_dir():
            raise NotADirectoryError
    except OSError as error:
        refuse(f"--out: {folder} cannot be made or written ({error.strerror or 'not a folder'})")


def complain(message: str) -> None:
    """Print one line about something that could not be done."""
    error_console.print(f"idrestore: {message}", style="red", markup=False)


def refuse(message: str) -> NoReturn:
    """Print one line about a wrong command and leave."""
    complain(message)
    raise typer.Exit(WRONG_USAGE)
