"""`idrestore extend`: a model and a few pairs in, a model that knows one degradation more out."""

from pathlib import Path
from typing import Annotated

import typer

from idrestore.cli.console import Bar, ModelOption, make_folder, out_console, refuse


def extend_command(
    pairs: Annotated[Path, typer.Argument(help="Folder of pairs; with --degrade, of clean photos.")],
    name: Annotated[str, typer.Option(help="What to call the new degradation, such as under_display.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the new model and its log.")],
    operation: Annotated[str, typer.Option(help="What undoes it: additive, affine or convolutive.")] = "additive",
    model: ModelOption = "fast",
    degrade: Annotated[
        str, typer.Option(help="FILE.py:FUNCTION(image, rng) that degrades clean photos; it runs with your rights.")
    ] = "",
    steps: Annotated[int, typer.Option(help="Steps of training.")] = 600,
    validation: Annotated[Path | None, typer.Option(help="Other pairs, to measure what was gained and lost.")] = None,
) -> None:
    """Teach a model a degradation that it does not know, from 5 to 50 pairs, and print what the old ones lost."""
    from typing import get_args

    from idrestore.data.layouts import list_photos
    from idrestore.degradations import Operation
    from idrestore.files import vips
    from idrestore.files.overwriting import check_free
    from idrestore.model import checkpoint
    from idrestore.training import extend
    from idrestore.training.run import TrainingError

    if operation not in get_args(Operation):
        refuse(f"--operation: got {operation!r}, expected one of {', '.join(get_args(Operation))}")
    if steps < 2:
        refuse(f"--steps: got {steps}, expected at least 2")
    if not name.isidentifier() or name != name.lower():
        refuse(f"--name: got {name!r}, expected small letters, digits and underscores")
    vips.keep_no_results()
    try:
        made = [out / f"{stem}.safetensors" for stem in (name, "start", "last", "best")]
        check_free(made, advice="choose another folder")
        make_folder(out)
        if degrade:
            extend.make_pairs(extend.load_function(degrade), list_photos(pairs), out / "pairs")
            pairs = out / "pairs"
        with Bar(steps) as bar:
            loaded = checkpoint.load(model)
            extension = extend.extend(loaded, pairs, name, operation, out, steps, validation, bar.step)  # type: ignore[arg-type]
    except (TrainingError, ValueError, OSError, ImportError) as error:
        refuse(str(error))
    out_console.print("| degradation | degraded | before | after | change |\n|---|---|---|---|---|", markup=False)
    for row in extension.changes:
        cells = f"{row.degraded:.2f} | {row.before:.2f} | {row.after:.2f} | {row.after - row.before:+.2f}"
        out_console.print(f"| {row.name} | {cells} |", markup=False)
    where = "the other pairs" if validation else "the pairs learned from; name others with --validation"
    out_console.print(f"PSNR in dB, on {where}\nextended model: {extension.path}", markup=False)
