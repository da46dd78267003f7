"""`idrestore pack`: photos to learn from, made small enough to travel."""

from pathlib import Path
from typing import Annotated

import typer

from idrestore.cli.console import make_folder, out_console, refuse


def pack_command(
    photos: Annotated[list[Path], typer.Argument(help="Folders of clean photos.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder for them.")],
    megabytes: Annotated[float, typer.Option(min=0.001, help="What all may take together.")] = 60.0,
) -> None:
    """Make copies of photos, each as large as a limit on all lets it be, to train on another machine."""
    from idrestore.data.loader import find_photos
    from idrestore.files import vips
    from idrestore.training.packing import pack

    vips.keep_no_results()
    try:
        found = find_photos(photos)
        if not found:
            refuse("photos: got none, expected folders of photos")
        make_folder(out)
        side = pack(found, out, megabytes)
    except (ValueError, OSError) as error:
        refuse(str(error))
    out_console.print(f"{out}: {len(found)} photos, at most {side} px wide or high", markup=False)
