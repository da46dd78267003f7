"""The command: parse, one call, print. No image logic, and nothing heavy is imported before it is needed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from idrestore.restore import Restorer

DONE, SOME_FAILED, WRONG_USAGE = 0, 1, 2
EXIT_CODES = """\b
Exit codes:
  0    all that was asked for was done
  1    some of it could not be done (each said in a line); the rest was
  2    the command itself was wrong: nothing was done
  130  interrupted by Ctrl-C; what was finished stays
"""

app = typer.Typer(
    help=f"Restore photos that are noisy, rainy, hazy, blurred or dark.\n\n{EXIT_CODES}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
)
out_console = Console(soft_wrap=True, highlight=False)
error_console = Console(stderr=True, soft_wrap=True, highlight=False)

ModelOption = Annotated[str, typer.Option("--model", "-m", help="A shipped model's name, or a model file.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
PrecisionOption = Annotated[str, typer.Option(help="auto, fp32 or bf16; auto: bf16 where there are units for it.")]
OutFolder = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")]


@app.command()
def restore(
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
) -> None:
    """Restore photos; inputs are never changed, and each result keeps its format, depth and metadata."""
    from idrestore import batch

    if not 0 <= strength <= 1:
        _refuse(f"--strength: got {strength}, expected 0 to 1")
    restorer = _load(model, device, precision, tile)
    names = {name.strip() for name in only.split(",")} if only else None
    if names is not None and (unknown := names - set(restorer.names)):
        _refuse(f"--only: got {', '.join(sorted(unknown))}, expected some of {', '.join(restorer.names)}")
    try:
        jobs, problems = batch.plan(photos, out)
    except (OSError, RuntimeError) as error:  # a name too long, a loop of links
        _refuse(str(error))
    for problem in problems:
        _complain(problem.message)
    if not jobs:
        raise typer.Exit(SOME_FAILED)
    _make_folder(out if len(jobs) > 1 or jobs[0].target != out else out.parent)
    failed = len(problems)
    with _Bar(len(jobs)) as bar:
        for outcome in batch.restore_files(restorer, jobs, strength, names, overwrite, max_pixels, bar.tile):
            bar.photo()
            if outcome.error:
                failed += 1
                _complain(outcome.error)
                continue
            found = ", ".join(f"{name} {share:.0%}" for name, share in outcome.ingredients.items() if share >= 0.05)
            bar.print(f"{outcome.job.source} → {outcome.job.target}  [{found}]  {outcome.seconds:.1f} s")
            for note in outcome.notes:
                bar.print(f"  note: {note}")
    done = len(jobs) + len(problems) - failed
    if failed or len(jobs) > 1:
        out_console.print(f"{done} restored, {failed} failed", markup=False)
    raise typer.Exit(SOME_FAILED if failed else DONE)


@app.command()
def degrade(
    clean: Annotated[list[Path], typer.Argument(help="Clean photos, or folders of them.")],
    out: OutFolder,
    kind: Annotated[str, typer.Option(help="noise, rain, haze, blur, low_light, under_display; or haze+noise@0.3")],
    strength: Annotated[float, typer.Option(help="0, barely visible, to 1, strongest; for kinds without an @.")] = 0.5,
    seed: Annotated[int, typer.Option(help="The same seed gives the same picture.")] = 0,
) -> None:
    """Make pairs: out/degraded/NAME.png and out/clean/NAME.png."""
    from idrestore import batch
    from idrestore.data import degrade as physics

    strengths = {}
    for part in kind.split("+"):
        name, _, own = part.partition("@")
        try:
            strengths[name] = float(own) if own else strength
        except ValueError:
            _refuse(f"--kind: got {part!r}, expected KIND or KIND@STRENGTH")
        if name not in physics.KINDS or not 0 <= strengths[name] <= 1:
            _refuse(f"--kind: got {part!r}, expected some of {', '.join(physics.KINDS)}, at a strength of 0 to 1")
    jobs, problems = batch.plan(clean, out / "degraded")
    failed = len(problems)
    for problem in problems:
        _complain(problem.message)
    for index, job in enumerate(jobs):
        try:
            degraded = job.target.with_suffix(".png")
            pair = degraded, out / "clean" / degraded.relative_to(out / "degraded")
            batch.degrade_file(job.source, *pair, strengths, seed + index)
            out_console.print(f"{job.source} → {degraded}", markup=False)
        except batch.FILE_ERRORS as error:
            failed += 1
            _complain(batch.one_line(job.source, error))
    raise typer.Exit(SOME_FAILED if failed else DONE)


@app.command()
def train(
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
        with _Bar(config.steps) as bar:
            best = training.train(config, out, resume, bar.step)
    except (training.TrainingError, ValueError, OSError) as error:
        _refuse(str(error))
    out_console.print(f"best model: {best}", markup=False)


@app.command()
def evaluate(
    data: Annotated[list[str], typer.Option(help="NAME=FOLDER[:OPTION]...; see docs/evaluation.md. May be repeated.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Results as JSON; the table goes beside it as Markdown.")],
    model: ModelOption = "fast",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Measure a model on folders of pairs, or of clean photos degraded here."""
    from idrestore import evaluate as evaluation
    from idrestore.data.pairs import parse_data

    if out.suffix == ".md":
        _refuse(f"--out: got {out}, expected a name for the JSON file; the table is written beside it, as .md")
    _make_folder(out.parent)
    try:
        sets = parse_data(data)
        restorer = _load(model, device, precision)
        with _Bar(1) as bar:
            report = evaluation.evaluate(restorer, sets, bar.step)
        out.write_text(report.to_json({"model": str(restorer.model.path.name), "sha256": restorer.model.sha256}) + "\n")
        out.with_suffix(".md").write_text(report.to_markdown())
    except (ValueError, OSError, ImportError) as error:
        _refuse(str(error))
    out_console.print(report.to_markdown(), markup=False)
    for failure in report.failures:
        _complain(f"{failure.set}: {failure.file}: {failure.message}")
    raise typer.Exit(SOME_FAILED if report.failures else DONE)


@app.command()
def info(
    model: Annotated[str, typer.Argument(help="A shipped model's name, a model file, or with --cost a preset.")] = "",
    cost: Annotated[bool, typer.Option("--cost", help="Parameters and kMAC a pixel, part by part.")] = False,
) -> None:
    """Show the shipped models, or one model's card, or what a network costs."""
    import json

    import idrestore
    from idrestore import checkpoint
    from idrestore.model import cost as costs
    from idrestore.model.config import PRESETS
    from idrestore.model.network import RestorationNetwork

    if not model:
        shipped = ", ".join(checkpoint.SHIPPED) or "none"
        out_console.print(f"idrestore {idrestore.__version__}; models: {shipped}; presets: {', '.join(PRESETS)}")
        return
    if cost and model in PRESETS:
        network = RestorationNetwork(PRESETS[model])
    else:
        try:
            loaded = checkpoint.load(model)
        except checkpoint.CheckpointError as error:
            _refuse(str(error))
        network = loaded.network
        if not cost:
            header = {"file": str(loaded.path), "sha256": loaded.sha256, **loaded.card}
            out_console.print(json.dumps(header, indent=2, ensure_ascii=False), markup=False)
            return
    out_console.print("| part | parameters | kMAC/pixel |\n|---|---|---|", markup=False)
    for row in costs.costs(network):
        out_console.print(f"| {row.name} | {row.parameters:,} | {row.kmac:.2f} |", markup=False)


class _Bar:
    """One progress bar with its estimated end, on a terminal only; lines printed meanwhile stay above it."""

    def __init__(self, total: int) -> None:
        from rich import progress

        self._progress = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
            console=error_console,
            disable=not error_console.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task("", total=total)

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def step(self, done: int, total: int) -> None:
        """Show absolute progress."""
        self._progress.update(self._task, completed=done, total=total)

    def photo(self) -> None:
        """Count one more photo."""
        self._progress.update(self._task, advance=1, description="")

    def tile(self, job: object, done: int, total: int) -> None:
        """Show how far the photo at work is."""
        source = getattr(job, "source", "")
        self._progress.update(self._task, description=escape(f"{Path(source).name} {done}/{total}"))

    def print(self, text: str) -> None:
        """Print a line of results."""
        out_console.print(text, markup=False)


def _load(model: str, device: str, precision: str, tile: int = 1024) -> "Restorer":
    from idrestore import restore as restoration

    try:
        return restoration.load(model, device, precision, tile)  # type: ignore[arg-type]
    except ValueError as error:
        _refuse(str(error))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not folder.is_dir():
            raise NotADirectoryError
    except OSError as error:
        _refuse(f"--out: {folder} cannot be made or written ({error.strerror or 'not a folder'})")


def _complain(message: str) -> None:
    """Print one line about something that could not be done."""
    error_console.print(f"idrestore: {message}", style="red", markup=False)


def _refuse(message: str) -> NoReturn:
    """Print one line about a wrong command and leave."""
    _complain(message)
    raise typer.Exit(WRONG_USAGE)


def main() -> None:
    """Run the command."""
    app()
