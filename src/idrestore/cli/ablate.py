"""`idrestore ablate`: a grid of recipes in, a table of what each is worth out."""

from pathlib import Path
from typing import Annotated

import typer

from idrestore.cli.console import INTERRUPTED, SOME_FAILED, Bar, complain, make_folder, out_console, refuse


def ablate_command(
    grid: Annotated[Path, typer.Argument(help="A TOML grid of recipes; see recipes/ablations/.")],
    data: Annotated[list[str], typer.Option(help="NAME=FOLDER[:OPTION]... to measure on, as for evaluate; repeated.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the runs and of the table.")],
    photos: Annotated[list[Path] | None, typer.Option(help="Folder of clean photos, instead of the recipe's.")] = None,
    base: Annotated[Path | None, typer.Option(help="Recipe that is varied, instead of the grid's base.")] = None,
) -> None:
    """Train variants of a recipe with several seeds and compare them; the same command goes on where it was stopped."""
    from idrestore.data.pairs import parse_data
    from idrestore.files import vips
    from idrestore.files.overwriting import check_free
    from idrestore.training import ablate

    vips.keep_no_results()
    try:
        if not any(out.glob("*/*/log.jsonl")):  # else it is the same command going on
            check_free([out / "table.md", out / "table.json"], advice="choose another folder")
        plan = ablate.Grid.from_toml(grid, base, photos or [])
        sets = parse_data(data)
        ablate.check(plan, sets, out)
        make_folder(out)
        with Bar(1) as bar:
            table = ablate.ablate(plan, sets, out, bar.step)
    except (ValueError, OSError, ImportError) as error:
        refuse(str(error))
    except KeyboardInterrupt:
        complain(f"interrupted; the same command goes on with the runs in {out}")
        raise typer.Exit(INTERRUPTED) from None
    out_console.print(table.to_markdown(), markup=False)
    for fault in table.faults:
        complain(fault)
    if table.faults:
        raise typer.Exit(SOME_FAILED)
