"""What all commands share: the one place that prints, exit codes, options, a progress bar, one-line complaints."""

import errno
import os
import sys
import textwrap
import unicodedata
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer
from rich.console import Console

if TYPE_CHECKING:
    from idrestore.batch import Job
    from idrestore.batch.plan import Problem
    from idrestore.device import Precision
    from idrestore.restoration.restorer import Restorer

DONE, SOME_FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130
EXIT_CODES = """\b
Exit codes:
  0    all that was asked for was done
  1    some of it could not be done (each said in a line); the rest was
  2    the command itself was wrong: nothing was done
  130  interrupted by Ctrl-C; what was finished stays
"""
WIDTH, LABEL = 80, 12
"""Columns of a terminal, and of the labels of rows"""
UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Categories of characters that steer a terminal, turn the direction of text, or are no characters (Unicode, 4.5)."""
JOINERS = "\u200c\u200d"
"""Of these, what names in some scripts, and emoji, are spelled with."""


def printable(text: str, kept: str = JOINERS) -> str:
    r"""Spell out what a terminal would obey rather than show, and bytes of a file's name that are no text.

    >>> printable("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return "".join(
        each.encode("unicode_escape").decode() if unicodedata.category(each) in UNSEEN and each not in kept else each
        for each in text
    )


class SafeConsole(Console):
    """A console that cannot stop the work: what cannot be written is left out, and remembered."""

    lost: OSError | ValueError | None = None
    """Why the rest of the output is left out"""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print texts, of which only line feeds may command a terminal."""
        shown = [self._fitting(each) if isinstance(each, str) else each for each in objects]
        try:
            super().print(*shown, **options)
        except (OSError, ValueError) as error:  # a closed pipe, a full disk, a closed file
            self._give_up(error)

    def on_broken_pipe(self) -> None:
        """Leave it to `print`; Rich would end the process."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    def _fitting(self, text: str) -> str:
        """Return a text that this console's encoding has, or can spell out."""
        shown = printable(text, JOINERS + "\n")
        try:
            shown.encode(self.encoding)
        except (UnicodeEncodeError, LookupError):
            shown = shown.replace("→", "->").replace("…", "...").replace("–", "-")
            shown = shown.encode("ascii", "backslashreplace").decode()
        return shown

    def _give_up(self, error: OSError | ValueError) -> None:
        self.lost = error
        self.quiet = True
        with suppress(OSError, ValueError):  # what is still buffered must not fail again when Python ends
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.file.fileno())
            os.close(nowhere)


out_console = SafeConsole(soft_wrap=True, highlight=False, emoji=False)
error_console = SafeConsole(stderr=True, soft_wrap=True, highlight=False, emoji=False)

EXPERT = "For experts"
ModelOption = Annotated[
    str, typer.Option("--model", "-m", rich_help_panel=EXPERT, help="A shipped model's name, or a model file.")
]
DeviceOption = Annotated[str, typer.Option(rich_help_panel=EXPERT, help="auto, cpu, cuda, cuda:1, ...")]
PrecisionOption = Annotated[
    Literal["auto", "fp32", "bf16"],
    typer.Option(rich_help_panel=EXPERT, help="auto: 16-bit (bf16) where the processor has it, else 32-bit."),
]
MemoryOption = Annotated[
    str,
    typer.Option(rich_help_panel=EXPERT, help="Memory to use, such as 1.5G, photos and all; by default what is free."),
]
MaxPixelsOption = Annotated[
    int, typer.Option(rich_help_panel=EXPERT, help="Refuse larger photos, before decoding them.")
]
OutFolder = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")]


class Bar:
    """One progress bar with its estimated end, on a terminal only; lines printed meanwhile stay above it."""

    def __init__(self, total: int, shown: bool = True) -> None:
        from rich import progress

        self._progress = progress.Progress(
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
            console=error_console,
            disable=not (shown and error_console.is_terminal),
            redirect_stdout=False,
            redirect_stderr=False,
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
        self._progress.update(self._task, advance=1)

    def print(self, text: str) -> None:
        """Print a line of results above the bar."""
        say(text, above=not self._progress.disable)


def say_row(label: str, text: str) -> None:
    """Print what there is to say of something beside its name, on a terminal of 80 columns."""
    lines = textwrap.wrap(text, WIDTH - LABEL, break_on_hyphens=False, break_long_words=False)
    for index, line in enumerate(lines):
        say(f"{'' if index else label:<{LABEL}}{line}")


def say(text: str, above: bool = False) -> None:
    """Print a line on standard output; `above` a bar, on the terminal that both share if they do."""
    console = error_console if above and out_console.is_terminal else out_console
    console.print(printable(text), markup=False)


def complain(message: str) -> None:
    """Print one line about something that could not be done."""
    error_console.print(f"idrestore: {printable(message)}", style="red", markup=False)


def refuse(message: str) -> NoReturn:
    """Print one line about a wrong command and leave."""
    complain(message)
    raise typer.Exit(WRONG_USAGE)


def as_options(error: Exception) -> str:
    """Return what the library says of one of its arguments, in one line, as the command's option is called.

    >>> as_options(ValueError("max_pixels: got 0, expected more"))
    '--max-pixels: got 0, expected more'
    """
    name, got, rest = " ".join(str(error).split()).partition(": got ")
    return f"--{name.replace('_', '-')}{got}{rest}" if got and name.isidentifier() else name + got + rest


def leave(code: int) -> NoReturn:
    """Leave with an exit code, or that of something that failed if what was printed was lost, but to a closed pipe."""
    lost = out_console.lost
    if lost is not None and not isinstance(lost, BrokenPipeError):
        complain(f"standard output could not be written ({getattr(lost, 'strerror', None) or lost})")
        code = code or SOME_FAILED
    raise typer.Exit(code)


def use_any_encoding() -> None:
    """Let texts be printed by everything that prints in any encoding: what it does not have is spelled out."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def load_model(
    model: str,
    device: str,
    precision: "Precision",
    tile: int | None = None,
    budget: int | None = None,
) -> "Restorer":
    """Load a model, or refuse."""
    from idrestore.files import vips
    from idrestore.restoration import memory
    from idrestore.restoration import restorer as restoration

    vips.keep_no_results()
    memory.keep_freed()
    try:
        return restoration.load(model, device, precision, tile, budget)
    except ValueError as error:
        refuse(as_options(error))


def parse_memory(text: str) -> int | None:
    """Read --memory; none is no budget."""
    if not text:
        return None
    from idrestore.restoration import memory

    try:
        return memory.parse_bytes(text)
    except ValueError as error:
        refuse(as_options(error))


def plan_into(photos: list[Path], out: Path, writes_photos: bool = True) -> "tuple[list[Job], list[Problem]]":
    """Decide where each photo goes, as `batch.plan` does, and complain of what cannot be done; or refuse."""
    from idrestore import batch

    try:
        jobs, problems = batch.plan(photos, out, writes_photos)
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, a loop of links, ...
        refuse(as_options(error))
    for problem in problems:
        complain(problem.message)
    return jobs, [problem for problem in problems if problem.is_failure]


def make_folder(folder: Path) -> None:
    """Make a folder for results, or refuse, before any work, one that cannot be made or written."""
    from idrestore.atomic import check_writable

    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not folder.is_dir():
            raise NotADirectoryError
    except OSError as error:
        refuse(f"--out: {folder} cannot be made or written ({error.strerror or 'not a folder'})")
    try:
        check_writable(folder / "results")
    except OSError as error:
        refuse(f"--out: the folder {folder} cannot be written ({error.strerror}): check its permissions")
