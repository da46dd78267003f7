"""`idrestore train`: a recipe in, a model out."""

from pathlib import Path
from typing import Annotated

import typer

from idrestore.cli.common import Bar, out_console, refuse


def train_command(
    recipe: Annotated[Path, typer.Argument(help="A TOML recipe; see recipes/.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run: log, checkpoints, models.")],
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in this folder.")] = False,
    photos: Annotated[list[Path] | None, typer.Option(help="Folder of clean photos, instead of the recipe's.")] = None,
) -> None:
    """Train a model by a recipe, both stages; a run that was stopped continues exactly with --resume."""
    from idrestore import train as training
    from idrestore.recipe import TrainConfig, with_photos

    try:
        config = TrainConfig.from_toml(recipe)
        if photos:
            config = with_photos(config, photos)
        with Bar(config.steps) as bar:
            best = training.train(config, out, resume, bar.step)
    except (training.TrainingError, ValueError, OSError) as error:
        refuse(str(error))
    out_console.print(f"best model: {best}", markup=False)
