"""`idrestore restore`: photos in, restored photos out."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from idrestore.cli.console import (
    DONE,
    INTERRUPTED,
    SOME_FAILED,
    complain,
    leave,
    load_model,
    make_folder,
    refuse,
)
from idrestore.cli.options import FILES, MANY, OUTPUT, Options, with_options
from idrestore.cli.progress import PhotoBar
from idrestore.cli.restoring import Plan, Teller, interrupted, plan, run

if TYPE_CHECKING:
    from idrestore.batch import Job, Manifest, Outcome, Settings, Shard
    from idrestore.restoration.restorer import Restorer

PIPE = Path("-")


@with_options
def restore_command(
    photos: Annotated[list[Path], typer.Argument(help="Photos, or folders of photos; - reads one from a pipe.")],
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
        Path | None, typer.Option(rich_help_panel=FILES, help="Write what was done: .csv, .json or .html.")
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

    if PIPE in (out, *photos):
        from idrestore.cli.pipe import restore_pipe

        restore_pipe(photos, out, options)
    budget = options.budget()
    if budget and engine == "ray":
        budget //= options.workers
    restorer = load_model(
        options.model, "cpu" if engine == "ray" else options.device, options.precision, options.tile, budget
    )
    settings = options.settings(restorer)
    try:
        part = batch.Shard.parse(shard) if shard else None
        if report:
            batch.check_report(report, options.overwrite)
    except (OSError, ValueError) as error:
        refuse(" ".join(str(error).split()))
    work = _part_of(plan(photos, out, options), part)
    teller = Teller(options, settings)
    if dry_run:
        from idrestore.cli.preview import preview

        preview(work, restorer, settings, options)
    for folder, jobs in work.groups.items():
        make_folder(folder or jobs[0].target.parent)
    place = Place(engine, ray_address, options, budget)
    try:
        run(work, teller, lambda *what: place.restore(restorer, settings, *what), part, keep_going)
    except KeyboardInterrupt:
        interrupted(work, teller)
        raise typer.Exit(INTERRUPTED) from None
    teller.summarise()
    code = SOME_FAILED if any(outcome.error for outcome in teller.outcomes) else DONE
    if report:
        code = _write_report(report, teller.outcomes) or code
    if show and (results := [job.target for job in work.jobs if job.target.exists()]):
        typer.launch(str(results[0] if len(results) == 1 else results[0].parent))
    leave(code)


class Place:
    """Where photos are restored: here, or on a cluster."""

    def __init__(self, engine: str, address: str, options: Options, budget: int | None) -> None:
        """Connect to the cluster if there is to be one, or refuse."""
        from idrestore.batch import cluster

        self.placement = None
        if engine == "ray":
            try:
                cluster.connect(address or None)
            except (OSError, RuntimeError, ValueError, ImportError) as error:
                refuse(" ".join(str(error).split()))
            self.placement = cluster.Placement(options.device, options.precision, options.tile, budget)  # type: ignore[arg-type]

    def restore(
        self,
        restorer: "Restorer",
        settings: "Settings",
        jobs: "Sequence[Job]",
        manifest: "Manifest | None",
        bar: PhotoBar,
    ) -> "Iterable[Outcome]":
        """Restore photos, and say of each how it went."""
        from idrestore import batch
        from idrestore.batch import cluster

        if self.placement:
            return cluster.restore_on_cluster(restorer.model, jobs, settings, manifest, self.placement)
        return batch.restore_files(restorer, jobs, settings, manifest, bar.tile)


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
