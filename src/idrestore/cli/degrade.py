"""`idrestore degrade`: clean photos in, pairs out."""

from pathlib import Path
from typing import Annotated

import typer

from idrestore.cli.console import DONE, SOME_FAILED, OutFolder, complain, make_folder, out_console, plan_into, refuse


def degrade_command(
    clean: Annotated[list[Path], typer.Argument(readable=False, help="Clean photos, or folders of them.")],
    out: OutFolder,
    kind: Annotated[str, typer.Option(help="noise, rain, haze, blur, low_light, under_display; or haze+noise@0.3")],
    strength: Annotated[
        str, typer.Option(help="0, barely visible, to 1 or 100%, strongest; for kinds without an @.")
    ] = "0.5",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same picture.")] = 0,
) -> None:
    """Make pairs: out/degraded/NAME.png and out/clean/NAME.png."""
    from idrestore import batch
    from idrestore.data.degrade import parse_kinds
    from idrestore.data.layouts import Pair
    from idrestore.data.pairs import degrade_file
    from idrestore.files import vips
    from idrestore.files.overwriting import check_free

    vips.keep_no_results()
    try:
        amount = batch.parse_amount(strength)
    except ValueError:
        refuse(f"--strength: got {strength!r}, expected 0 to 1, or 0% to 100%")
    try:
        strengths = parse_kinds(kind, amount)
    except ValueError as error:
        refuse(f"--kind: {error}")
    jobs, problems = plan_into(clean, out / "degraded")
    failed = len(problems)
    make_folder(out)
    for index, job in enumerate(jobs):
        try:
            degraded = job.target.with_suffix(".png")
            pair = Pair(degraded, out / "clean" / degraded.relative_to(out / "degraded"))
            check_free(pair, inputs=[job.source], advice="choose another folder")
            degrade_file(job.source, pair, strengths, seed + index)
            out_console.print(f"{job.source} → {degraded}", markup=False)
        except batch.FILE_ERRORS as error:
            failed += 1
            complain(batch.complaint(job.source, error))
    raise typer.Exit(SOME_FAILED if failed else DONE)
