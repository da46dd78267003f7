"""`idrestore restore`: photos in, restored photos out."""

from pathlib import Path
from typing import Annotated

import typer

from idrestore.cli.common import (
    DONE,
    SOME_FAILED,
    Bar,
    DeviceOption,
    ModelOption,
    PrecisionOption,
    complain,
    load_model,
    make_folder,
    out_console,
    refuse,
)


def restore_command(
    photos: Annotated[list[Path], typer.Argument(help="Photos, or folders of photos.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; for one photo, or a file's name.")],
    model: ModelOption = "fast",
    strength: Annotated[float, typer.Option(help="How much of the change to apply, 0 to 1.")] = 1.0,
    only: Annotated[str, typer.Option(help="Remove only these, such as rain,haze.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results of an earlier run.")] = False,
    tile: Annotated[int, typer.Option(help="Side of the tiles in which large photos are worked on, px.")] = 1024,
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
) -> None:
    """Restore photos; inputs are never changed, and each result keeps its format, depth and metadata."""
    from idrestore import batch

    if not 0 <= strength <= 1:
        refuse(f"--strength: got {strength}, expected 0 to 1")
    if protect is not None and not protect.is_file():
        refuse(f"--protect: {protect} is no file: expected a picture of the photo's size")
    restorer = load_model(model, device, precision, tile)
    names = {name.strip() for name in only.split(",")} if only else None
    if names is not None and (unknown := names - set(restorer.names)):
        refuse(f"--only: got {', '.join(sorted(unknown))}, expected some of {', '.join(restorer.names)}")
    try:
        jobs, problems = batch.plan(photos, out)
    except (OSError, RuntimeError) as error:  # a name too long, a loop of links
        refuse(str(error))
    for problem in problems:
        complain(problem.message)
    if not jobs:
        raise typer.Exit(SOME_FAILED)
    make_folder(out if len(jobs) > 1 or jobs[0].target != out else out.parent)
    failed = len(problems)
    with Bar(len(jobs)) as bar:
        settings = (strength, names, overwrite, max_pixels, bar.tile, guard, protect, provenance)
        for outcome in batch.restore_files(restorer, jobs, *settings):
            bar.photo()
            if outcome.error:
                failed += 1
                complain(outcome.error)
                continue
            found = ", ".join(f"{name} {share:.0%}" for name, share in outcome.ingredients.items() if share >= 0.05)
            bar.print(f"{outcome.job.source} → {outcome.job.target}  [{found}]  {outcome.seconds:.1f} s")
            for note in outcome.notes:
                bar.print(f"  note: {note}")
    done = len(jobs) + len(problems) - failed
    if failed or len(jobs) > 1:
        out_console.print(f"{done} restored, {failed} failed", markup=False)
    raise typer.Exit(SOME_FAILED if failed else DONE)
