"""`idrestore restore`: photos in, restored photos out."""

from pathlib import Path
from typing import Annotated

import typer

from idrestore.cli.console import (
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
    parse_steering,
    refuse,
)


def restore_command(
    photos: Annotated[list[Path], typer.Argument(help="Photos, or folders of photos.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; for one photo, or a file's name.")],
    model: ModelOption = "fast",
    strength: Annotated[str, typer.Option(help="How much to do, 0 to 1; or haze=0.5,noise=0.8.")] = "1",
    only: Annotated[str, typer.Option(help="Remove only these, such as rain,haze.")] = "",
    ingredients: Annotated[str, typer.Option(help="What is wrong, such as rain=0.7,noise=0.3.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results of an earlier run.")] = False,
    tile: Annotated[int, typer.Option(help="Side of the tiles in which large photos are worked on, px.")] = 1024,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    max_pixels: Annotated[int, typer.Option(help="Refuse larger photos, before decoding them.")] = 300_000_000,
) -> None:
    """Restore photos; inputs are never changed, and each result keeps its format, depth and metadata."""
    from idrestore import batch

    restorer = load_model(model, device, precision, tile)
    wish = parse_steering(strength, only, ingredients)
    try:
        restorer.steer(**wish)
    except ValueError as error:
        refuse(f"--{error}")
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
        for outcome in batch.restore_files(
            restorer, jobs, **wish, overwrite=overwrite, max_pixels=max_pixels, progress=bar.tile
        ):
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
