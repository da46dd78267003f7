"""`idrestore train`: a recipe in, a model out."""

from pathlib import Path
from typing import Annotated

import typer

from idrestore.cli.console import INTERRUPTED, SOME_FAILED, Bar, complain, make_folder, out_console, refuse


def train_command(
    recipe: Annotated[Path, typer.Argument(help="A TOML recipe; see recipes/ (in the installed package, too).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run: log, checkpoints, models.")],
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in this folder.")] = False,
    finish: Annotated[
        int | None,
        typer.Option(min=1, help="End in so many steps, the learning rate falling to nothing; the last of --minutes."),
    ] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop after so long; --resume goes on.")] = None,
    photos: Annotated[list[Path] | None, typer.Option(help="Folder of clean photos, instead of the recipe's.")] = None,
) -> None:
    """Train a model by a recipe, both stages; a run that was stopped continues exactly with --resume."""
    from idrestore.files import vips
    from idrestore.files.overwriting import check_free
    from idrestore.training import distributed
    from idrestore.training import loop as training
    from idrestore.training.recipe import TrainConfig, with_photos
    from idrestore.training.run import TrainingError, TrainingStoppedError

    vips.keep_no_results()
    speaks = distributed.rank() == 0
    try:
        config = TrainConfig.from_toml(recipe)
        if not resume and not (out / "state.pt").exists():  # a run that is there is refused, and said, by `train`
            check_free([out / "best.safetensors", out / "last.safetensors"], advice="choose another folder")
        if photos:
            config = with_photos(config, photos)
        make_folder(out)
        with Bar(config.steps, speaks) as bar:
            best = training.train(config, out, resume, bar.step, finish, minutes)
    except TrainingStoppedError as error:
        complain(str(error))
        raise typer.Exit(SOME_FAILED) from None
    except (TrainingError, ValueError, OSError) as error:
        refuse(str(error))
    except KeyboardInterrupt:
        if speaks and (out / "state.pt").exists():
            complain(f"interrupted; the same command with --resume goes on with the run in {out}")
            raise typer.Exit(INTERRUPTED) from None
        raise
    if speaks:
        out_console.print(f"best model: {best}", markup=False)
