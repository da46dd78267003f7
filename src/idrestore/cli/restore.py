"""`idrestore restore`: photos in, restored photos out."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from idrestore.cli.console import (
    DONE,
    INTERRUPTED,
    SOME_FAILED,
    as_options,
    complain,
    leave,
    load_model,
    make_folder,
    refuse,
)
from idrestore.cli.options import FILES, MANY, OUTPUT, Options, with_options
from idrestore.cli.pipe import PIPE, restore_pipe
from idrestore.cli.preview import preview
from idrestore.cli.progress import PhotoBar
from idrestore.cli.restoring import Plan, Teller, interrupted, plan, run

if TYPE_CHECKING:
    from idrestore.batch import Job, Manifest, Outcome, Settings, Shard


@with_options
def restore_command(
    photos: Annotated[
        list[Path], typer.Argument(readable=False, help="Photos, or folders of photos; - reads one from a pipe.")
    ],
    options: Options,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for the results; for one photo, or a file's name. By default they lie beside the photos, as "
            "photo-restored.jpg, and those of a folder in photos-restored.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", rich_help_panel=OUTPUT, help="Say what would be done, and write nothing.")
    ] = False,
    show: Annotated[bool, typer.Option("--open", rich_help_panel=OUTPUT, help="Open the results.")] = False,
    keep_going: Annotated[
        bool, typer.Option(rich_help_panel=MANY, help="Restore the others if one photo fails.")
    ] = True,
    shard: Annotated[str, typer.Option(rich_help_panel=MANY, help="Do only this part, such as 2/8.")] = "",
    report: Annotated[
        list[Path] | None,
        typer.Option(rich_help_panel=FILES, help="Write what was done: .csv, .json or .html. May be repeated."),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(rich_help_panel=MANY, help="Where to work; ray: docs/guide/batch.md.")
    ] = "local",
    ray_address: Annotated[
        str, typer.Option(rich_help_panel=MANY, help="A running Ray cluster; without it, one is started here.")
    ] = "",
) -> None:
    """Restore photos: idrestore photo.jpg writes photo-restored.jpg beside it.

    The model finds what is wrong. Inputs are never changed; results keep format, depth and metadata.

    If you know better what is wrong, say so: --haze removes haze whatever the model finds, --haze 0.5 (or 50%) goes
    half of the way to a photo without haze, --no-haze leaves haze as it is. Of several that are named, each gets its
    share.
    """
    from idrestore import batch

    options.check()
    if dry_run and report:
        refuse("--report: got --dry-run too, which writes nothing: expected one of the two")
    if PIPE in (out, *photos):
        restore_pipe(photos, out, options)
    try:
        part = batch.Shard.parse(shard) if shard else None
        for each in report or ():
            batch.check_report(each, options.overwrite)
    except (OSError, ValueError) as error:
        refuse(as_options(error))
    work = _part_of(plan(photos, out, options), part)
    teller = Teller(options, batch.Settings())
    if work.jobs:
        place = Place(engine, ray_address, options)
        teller.settings = options.settings(place.restorer)
        if dry_run:
            preview(work, place.restorer, teller, part)
        for folder, jobs in work.groups.items():
            make_folder(folder or jobs[0].target.parent)
        try:
            run(work, teller, lambda *what: place.restore(teller.settings, *what), part, keep_going)
        except KeyboardInterrupt:
            interrupted(work, teller.outcomes)
            raise typer.Exit(INTERRUPTED) from None
    else:  # nothing that a model would have to be waited for
        teller.take(work.problems)
    teller.summarise()
    code = SOME_FAILED if any(outcome.error for outcome in teller.outcomes) else DONE
    for each in report or ():
        code = _write_report(each, teller.outcomes) or code
    if show and (results := [job.target for job in work.jobs if job.target.exists()]):
        typer.launch(str(results[0] if len(results) == 1 else results[0].parent))
    leave(code)


class Place:
    """Where photos are restored, here or on a cluster, and by what."""

    def __init__(self, engine: str, address: str, options: Options) -> None:
        """Load the model, and connect to the cluster if there is to be one, or refuse."""
        self.placement = None
        budget, device, precision = options.budget(), options.device, options.precision
        if engine == "ray":  # what its machines can, this one may not
            budget, device, precision = budget and budget // options.workers, "cpu", "auto"
        self.restorer = load_model(options.model, device, precision, options.tile, budget)
        if engine == "ray":
            from idrestore.batch import cluster

            try:
                cluster.connect(address or None)
            except (OSError, RuntimeError, ValueError, ImportError) as error:
                refuse(as_options(error))
            self.placement = cluster.Placement(options.device, options.precision, options.tile, budget)

    def restore(
        self, settings: "Settings", jobs: "Sequence[Job]", manifest: "Manifest | None", bar: PhotoBar
    ) -> "Iterable[Outcome]":
        """Restore photos, and say of each how it went."""
        if self.placement:
            from idrestore.batch import cluster

            return cluster.restore_on_cluster(self.restorer.model, jobs, settings, manifest, self.placement)
        from idrestore import batch

        return batch.restore_files(self.restorer, jobs, settings, manifest, bar.tile)


def _part_of(work: Plan, part: "Shard | None") -> Plan:
    """Return what a shard has to do."""
    if part is None:
        return work
    groups = {
        out: [job for job in jobs if part.holds(job, out or job.target.parent)] for out, jobs in work.groups.items()
    }
    return Plan(groups, work.problems)


def _write_report(report: Path, outcomes: "list[Outcome]") -> int:
    """Write a report; return the exit code of that."""
    from idrestore import batch

    try:
        batch.write_report(report, outcomes)
    except OSError as error:
        complain(f"--report: {report} cannot be written ({error.strerror})")
        return SOME_FAILED
    return DONE
