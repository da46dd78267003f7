"""One photo through a pipe: `idrestore - < photo.jpg > restored.jpg`."""

import sys
from pathlib import Path
from time import perf_counter
from typing import Literal, NoReturn

import typer

from idrestore.cli.console import (
    DONE,
    INTERRUPTED,
    SOME_FAILED,
    complain,
    error_console,
    load_model,
    printable,
    refuse,
)
from idrestore.cli.options import Options
from idrestore.cli.restoring import Teller, naming, sentence

PIPE = Path("-")


def restore_pipe(photos: list[Path], out: Path | None, options: Options) -> NoReturn:
    """Restore one photo from standard input, or to standard output, or both, and leave; its format is kept.

    What there is to say, JSON too, goes to standard error: the photo may be on standard output.
    """
    from idrestore import batch
    from idrestore.files import image

    if len(photos) != 1:
        refuse(f"-: got {len(photos)} inputs, expected one: a pipe holds one photo")
    naming(out, options)  # refuses formats that cannot be written
    if out in (None, PIPE) and sys.stdout.isatty():
        refuse("-: standard output is the terminal: expected a pipe, a file as in > restored.jpg, or -o")
    restorer = load_model(options.model, options.device, options.precision, options.tile, options.budget())
    settings = options.settings(restorer)
    source = Path("standard input") if photos[0] == PIPE else photos[0]
    job, teller, start = batch.Job(photos[0], out or PIPE), Teller(options, settings), perf_counter()
    try:
        data = sys.stdin.buffer.read() if photos[0] == PIPE else batch.read_file(source, settings)
        target = out if out and out != PIPE else Path(f"restored{_ending(data, source, options)}")
        image.check_target(target)
        made = batch.process(restorer, batch.Job(source, target), data, settings)
        if target == out:
            _write_file(target, made.data, options.overwrite)
        else:
            sys.stdout.buffer.write(made.data)
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        complain("standard output was closed before the photo was written")
        sys.stdout = None  # what is buffered cannot be written when Python ends, either
        raise typer.Exit(SOME_FAILED) from None
    except KeyboardInterrupt:
        complain("interrupted; nothing was written")
        raise typer.Exit(INTERRUPTED) from None
    except batch.FILE_ERRORS as error:
        complaint = batch.complaint(source, error)
        if options.json:
            _tell(teller.record(batch.Outcome(job, "failed", complaint)))
        else:
            complain(complaint)
        raise typer.Exit(SOME_FAILED) from None
    if options.json:
        status: Literal["done", "unchanged"] = "unchanged" if made.unchanged else "done"
        what = made.ingredients, made.notes, perf_counter() - start
        _tell(teller.record(batch.Outcome(job, status, "", *what)))
    elif not options.quiet:
        said = sentence(made.ingredients, settings, changed=not made.unchanged)
        for text in (said, *(f"note: {note}" for note in made.notes)):
            _tell(text)
    raise typer.Exit(DONE)


def _tell(text: str) -> None:
    error_console.print(printable(text), markup=False)


def _ending(data: bytes, source: Path, options: Options) -> str:
    """Return the ending of a name that stands for the format asked for, or that of a photo's bytes."""
    from idrestore.batch import writable
    from idrestore.files import image
    from idrestore.files.formats import FORMATS

    if options.format:
        return f".{options.format.lower().lstrip('.')}"
    found = image.inspect(data, str(source)).format
    suffixes = next(row.suffixes for row in FORMATS if row.name == found)
    return writable(Path(f"photo{suffixes[0]}")).suffix


def _write_file(target: Path, data: bytes, overwrite: bool) -> None:
    """Write a result; raise `ImageError` if the file is there already."""
    from idrestore import atomic
    from idrestore.files.image import ImageError

    if target.exists() and not overwrite:
        raise ImageError(f"{target} exists already: pass --overwrite to replace it")
    with atomic.replacing(target) as file:
        file.write(data)
