"""`idrestore watch`: what is dropped into a folder is restored."""

from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from idrestore.cli.console import DONE, INTERRUPTED, SOME_FAILED, complain, leave, make_folder, refuse, say
from idrestore.cli.options import Options, with_options
from idrestore.cli.restore import Place
from idrestore.cli.restoring import Plan, Teller, interrupted, naming, plan, run
from idrestore.extras import how_to_install

if TYPE_CHECKING:
    from collections.abc import Iterator

QUIET = 1.0
"""Seconds without a change after which a file counts as complete."""
TICK = 500
"""Milliseconds between looks at what is not complete yet."""


@with_options
def watch_command(
    folder: Annotated[Path, typer.Argument(help="Folder whose photos are restored, now and whenever one is added.")],
    options: Options,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the results; by default FOLDER-restored.")
    ] = None,
) -> None:
    """Restore the photos of a folder, and go on with every photo that is dropped into it, until Ctrl-C.

    Example: idrestore watch inbox/ -o done/. A photo is taken once it has not grown for a second. All else is as for
    idrestore restore.
    """
    try:
        import watchfiles  # noqa: F401
    except ImportError:
        refuse(f"watchfiles is not installed: {how_to_install('watch')}")
    if not folder.is_dir():
        refuse(f"{folder}: no such folder: expected one to watch")
    options.check()
    naming(out, options)
    place, work, before = Place("local", "", options), Plan({}, []), 0
    teller = Teller(options, options.settings(place.restorer))
    try:
        for arrived in _arrivals(folder):
            work, before = _those(plan([folder], out, options, complains=False), arrived), len(teller.outcomes)
            for target in work.groups:
                make_folder(target or folder)
            run(work, teller, lambda *what: place.restore(teller.settings, *what))
            if arrived is None and not options.quiet and not options.json:
                say(f"watching {folder}: drop photos there, Ctrl-C ends it")
    except KeyboardInterrupt:
        outcomes = teller.outcomes[before:]
        if {job.source for job in work.jobs} - {outcome.job.source for outcome in outcomes}:
            interrupted(work, outcomes)
            raise typer.Exit(INTERRUPTED) from None
    teller.summarise()
    leave(SOME_FAILED if any(outcome.error for outcome in teller.outcomes) else DONE)


def _arrivals(folder: Path) -> "Iterator[set[Path] | None]":
    """Give None for all that is there, then sets of files that have come since, each once it is complete."""
    import watchfiles

    growing: dict[Path, float] = {}
    is_first = True
    # What comes while photos are restored is kept until the next round.
    for changes in watchfiles.watch(folder, yield_on_timeout=True, rust_timeout=TICK, debounce=TICK):
        if is_first:
            is_first = False
            yield None
        for _, name in changes:
            growing[Path(name).resolve()] = monotonic()
        complete = {path for path, changed in growing.items() if monotonic() - changed >= QUIET}
        for path in complete:
            del growing[path]
        if complete := {path for path in complete if path.is_file()}:
            yield complete


def _those(whole: Plan, arrived: set[Path] | None) -> Plan:
    """Return the part of a plan that has to do with some files, and complain of what cannot be done with them."""

    def is_meant(source: Path) -> bool:
        return source.is_file() and (arrived is None or source.resolve() in arrived)

    groups = {out: [job for job in jobs if is_meant(job.source)] for out, jobs in whole.groups.items()}
    problems = [problem for problem in whole.problems if is_meant(problem.source)]
    for problem in problems:
        complain(problem.message)
    return Plan({out: jobs for out, jobs in groups.items() if jobs}, problems)
