"""`idrestore export`: a model for other engines."""

from pathlib import Path
from typing import Annotated

import typer

from idrestore.cli.console import SOME_FAILED, complain, out_console, refuse
from idrestore.configuration import one_line
from idrestore.extras import how_to_install


def export_command(
    model: Annotated[str, typer.Argument(help="A shipped model's name, or a model file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The ONNX file to write.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Write a model as ONNX, for photos of any size, and compare what it does with torch."""
    from idrestore import export
    from idrestore.files.overwriting import check_free
    from idrestore.model import checkpoint
    from idrestore.model.shipped import CheckpointError

    try:
        check_free([out], overwrite, [Path(model)])
    except ValueError as error:
        refuse(f"--out: {error}")
    if not out.parent.is_dir():
        refuse(f"--out: no folder {out.parent}: expected one that is there")
    try:
        comparisons = export.export(checkpoint.load(model), out)
    except CheckpointError as error:
        refuse(str(error))
    except ImportError as error:
        refuse(f"{error.name} is not installed: {how_to_install('export')}")
    except RuntimeError as error:  # an `ExportError`, or the exporter's own
        complain(f"{out}: {one_line(error)}")
        raise typer.Exit(SOME_FAILED) from error
    except OSError as error:
        complain(f"{out}: cannot be written ({error.strerror})")
        raise typer.Exit(SOME_FAILED) from error
    for each in comparisons:
        what = "routed" if each.routed else "ingredients given"
        out_console.print(f"{each.height}x{each.width}, {what}: differs from torch by {each.difference:.1e}")
    out_console.print(f"{model} → {out}  {out.stat().st_size / 1e6:.1f} MB", markup=False)
