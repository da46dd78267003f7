"""`idrestore restore`: photos in, restored photos out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from idrestore.cli.console import (
    DONE,
    SOME_FAILED,
    Bar,
    DeviceOption,
    MemoryOption,
    ModelOption,
    PrecisionOption,
    complain,
    load_model,
    make_folder,
    out_console,
    parse_memory,
    parse_steering,
    plan,
    refuse,
)

if TYPE_CHECKING:
    from idrestore.batch import Manifest, Outcome, Shard

REASONS = 20
"""Failures that the summary repeats at most; all of them are on standard error and in a report."""
MANY = "Many photos"


def restore_command(
    photos: Annotated[list[Path], typer.Argument(help="Photos, or folders of photos.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; for one photo, or a file's name.")],
    model: ModelOption = "fast",
    strength: Annotated[str, typer.Option(help="How much to do, 0 to 1; or haze=0.5,noise=0.8.")] = "1",
    only: Annotated[str, typer.Option(help="Remove only these, such as rain,haze.")] = "",
    ingredients: Annotated[str, typer.Option(help="What is wrong, such as rain=0.7,noise=0.3.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are no results of ours.")] = False,
    memory: MemoryOption = "",
    tile: Annotated[
        int | None,
        typer.Option(help="Side of the tiles in which large photos are worked on, px, whatever --memory says."),
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    max_pixels: Annotated[int, typer.Option(help="Refuse larger photos, before decoding them.")] = 300_000_000,
    protect: Annotated[Path | None, typer.Option(help="A picture of the photo's size; white is left alone.")] = None,
    guard: Annotated[
        bool, typer.Option(help="Leave alone what looks pixelated, blurred or covered on purpose.")
    ] = True,
    provenance: Annotated[
        bool, typer.Option(help="Write into the metadata that, and how, a photo was restored.")
    ] = True,
    quality: Annotated[
        int | None, typer.Option(min=1, max=100, help="Quality of JPEG and WebP (by default 95) and AVIF (90).")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, rich_help_panel=MANY, help="Threads to read and write in; with Ray, processes.")
    ] = 1,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", rich_help_panel=MANY, help="Try again what failed in an earlier run.")
    ] = False,
    shard: Annotated[str, typer.Option(rich_help_panel=MANY, help="Do only this part, such as 2/8.")] = "",
    report: Annotated[
        Path | None, typer.Option(rich_help_panel=MANY, help="Write what was done: .csv, .json or .html.")
    ] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(rich_help_panel=MANY, help="Where to work; ray: docs/guide/batch.md.")
    ] = "local",
    ray_address: Annotated[
        str, typer.Option(rich_help_panel=MANY, help="A running Ray cluster; without it, one is started here.")
    ] = "",
) -> None:
    """Restore photos; inputs are never changed, and each result keeps its format, depth and metadata."""
    from idrestore import batch
    from idrestore.batch import cluster

    if protect is not None and not protect.is_file():
        refuse(f"--protect: {protect} is no file: expected a picture of the photo's size")
    budget = parse_memory(memory)
    if budget and engine == "ray":
        budget //= workers
    restorer = load_model(model, "cpu" if engine == "ray" else device, precision, tile, budget)
    wish = parse_steering(strength, only, ingredients)
    try:
        restorer.steer(**wish)
    except ValueError as error:
        refuse(f"--{error}")
    settings = batch.Settings(
        **wish,
        guard=guard,
        protect=protect,
        provenance=provenance,
        quality=quality,
        max_pixels=max_pixels,
        overwrite=overwrite,
        retry_failed=retry_failed,
        workers=workers,
    )
    try:
        part = batch.Shard.parse(shard) if shard else None
        if report:
            batch.check_report(report, overwrite)
        if engine == "ray":
            cluster.connect(ray_address or None)
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        refuse(" ".join(str(error).split()))
    jobs, problems = plan(photos, out)
    is_named = len(jobs) == 1 and jobs[0].target == out
    folder = None if is_named or not jobs else out
    if jobs:
        make_folder(folder or out.parent)
    jobs = [job for job in jobs if not part or part.holds(job, out)]
    outcomes = [batch.Outcome(batch.Job(problem.source, out), "failed", problem.message) for problem in problems]
    with _manifest(folder, part) as manifest, Bar(len(jobs)) as bar:
        if engine == "ray":
            placement = cluster.Placement(device, precision, tile, budget)  # type: ignore[arg-type]
            run = cluster.restore_on_cluster(restorer.model, jobs, settings, manifest, placement)
        else:
            run = batch.restore_files(restorer, jobs, settings, manifest, bar.tile)
        for outcome in run:
            _tell(bar, outcome)
            outcomes.append(outcome)
    _summarise(outcomes)
    if report:
        try:
            batch.write_report(report, outcomes)
        except OSError as error:
            complain(f"--report: {report} cannot be written ({error.strerror})")
            raise typer.Exit(SOME_FAILED) from None
    raise typer.Exit(SOME_FAILED if any(outcome.error for outcome in outcomes) else DONE)


@contextmanager
def _manifest(out: Path | None, part: "Shard | None") -> "Iterator[Manifest | None]":
    """Open the manifest of a folder of results; none for a single file, or for nothing."""
    from idrestore import batch

    if out is None:
        yield None
        return
    try:
        manifest = batch.Manifest(out, part)
    except (OSError, batch.ManifestError) as error:
        refuse(f"--out: {error}")
    with manifest:
        yield manifest


def _tell(bar: Bar, outcome: "Outcome") -> None:
    """Print what became of a photo."""
    bar.photo()
    if outcome.status == "failed":
        complain(outcome.error)
    if outcome.status in ("done", "unchanged"):
        found = "unchanged" if outcome.status == "unchanged" else f"[{outcome.found}]"
        bar.print(f"{outcome.job.source} → {outcome.job.target}  {found}  {outcome.seconds:.1f} s")
        for note in outcome.notes:
            bar.print(f"  note: {note}")


def _summarise(outcomes: "list[Outcome]") -> None:
    """Print how many photos were restored, had been before, or failed and why; nothing for one that went well."""
    from idrestore.batch import summary

    failed = [outcome.error for outcome in outcomes if outcome.status == "failed"]
    if len(outcomes) == 1 and outcomes[0].status in ("done", "unchanged"):
        return
    out_console.print(summary(outcomes), markup=False)
    for error in failed[:REASONS] if len(outcomes) > 1 else ():
        out_console.print(f"  {error}", markup=False)
    if len(failed) > REASONS:
        out_console.print(f"  and {len(failed) - REASONS} more", markup=False)
