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
    from idrestore import atomic, batch
    from idrestore.files import image
    from idrestore.files.overwriting import check_free

    if len(photos) != 1:
        refuse(f"-: got {len(photos)} inputs, expected one: a pipe holds one photo")
    named = naming(out, options)  # refuses formats that cannot be written
    if out in (None, PIPE) and sys.stdout.isatty():
        refuse("-: standard output is the terminal: expected a pipe, a file as in > restored.jpg, or -o")
    restorer = load_model(options.model, options.device, options.precision, options.tile, options.budget())
    settings = options.settings(restorer)
    source = Path("standard input") if photos[0] == PIPE else photos[0]
    job, teller, start = batch.Job(photos[0], out or PIPE), Teller(options, settings), perf_counter()
    try:
        data = sys.stdin.buffer.read() if photos[0] == PIPE else batch.read_file(source, settings)
        target = out if out and out != PIPE else Path(f"restored{named.ending or _ending(data, source)}")
        image.check_target(target)
        check_free([out] if target == out else [], options.overwrite)
        made = batch.process(restorer, batch.Job(source, target), data, settings)
        if target == out:
            with atomic.replacing(target) as file:
                file.write(made.data)
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


def _ending(data: bytes, source: Path) -> str:
    """Return the ending of a name that stands for the format of a photo's bytes."""
    from idrestore.batch import writable
    from idrestore.files import image
    from idrestore.files.formats import FORMATS

    found = image.inspect(data, str(source)).format
    suffixes = next(row.suffixes for row in FORMATS if row.name == found)
    return writable(Path(f"photo{suffixes[0]}")).suffix
