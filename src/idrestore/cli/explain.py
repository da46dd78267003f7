"""`idrestore explain`: what is wrong with photos, and what a model's priors look like."""

from pathlib import Path
from typing import Annotated

import typer

from idrestore.cli.console import (
    DONE,
    SOME_FAILED,
    Bar,
    DeviceOption,
    MaxPixelsOption,
    MemoryOption,
    ModelOption,
    OutFolder,
    PrecisionOption,
    complain,
    load_model,
    make_folder,
    out_console,
    parse_memory,
    plan_into,
    refuse,
)
from idrestore.extras import how_to_install


def explain_command(
    photos: Annotated[list[Path] | None, typer.Argument(readable=False, help="Photos, or folders of photos.")] = None,
    out: OutFolder = Path("explained"),
    latents: Annotated[
        bool, typer.Option("--latents", help="Show what each router says, and latent pictures.")
    ] = False,
    priors: Annotated[bool, typer.Option("--priors", help="Draw the model's priors instead.")] = False,
    model: ModelOption = "fast",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    memory: MemoryOption = "",
    max_pixels: MaxPixelsOption = 300_000_000,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace explanations that are there.")] = False,
) -> None:
    """Say what is wrong with photos, who says so and where: a page, pictures and JSON in a folder for each."""
    if bool(photos) == priors:
        refuse("expected photos to explain, or --priors to draw the model's priors, and not both")
    from idrestore.files.overwriting import check_free

    restorer = load_model(model, device, precision, budget=parse_memory(memory))
    make_folder(out)
    if priors:
        from idrestore.evaluation import embeddings

        try:
            check_free([out / "priors.json", out / "priors.png"], overwrite)
            out_console.print(str(embeddings.write(restorer.model, out)), markup=False)
        except ValueError as error:
            refuse(f"--out: {error}")
        except ImportError as error:
            refuse(f"--priors: {error.name} is not installed: {how_to_install('explain')}")
        raise typer.Exit(DONE)
    from idrestore import batch
    from idrestore.evaluation import explain

    jobs, problems = plan_into(photos or [], out, writes_photos=False)
    failed = len(problems)
    with Bar(len(jobs)) as bar:
        folders: set[Path] = set()
        for job in jobs:
            folder = job.target.with_suffix("")
            folder = job.target if folder in folders else folder  # a.jpg beside a.png
            folders.add(folder)
            try:
                pages = (folder / "explanation.html", folder / "explanation.json")
                check_free((*pages, *folder.glob("*.png")), overwrite, [job.source])
                told = explain.explain_file(restorer, job.source, folder, max_pixels, latents=latents)
                bar.print(f"{job.source}: {told.sentence} → {told.page}")
            except batch.FILE_ERRORS as error:
                failed += 1
                complain(batch.complaint(job.source, error))
            bar.photo()
    raise typer.Exit(SOME_FAILED if failed else DONE)
