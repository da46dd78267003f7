"""Grids of training runs: what each part of the method is worth, as means and spreads over seeds."""

import dataclasses
import json
import math
import re
import statistics
import tomllib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, get_args

from idrestore import atomic
from idrestore.configuration import check_known, one_line
from idrestore.data.loader import find_photos
from idrestore.data.pairs import SetSpec
from idrestore.evaluation.evaluate import PHOTO_ERRORS, Routing, evaluate, find_sets
from idrestore.evaluation.report import PROTOCOLS, Report, Score, json_ready
from idrestore.metrics import scikit_image
from idrestore.model import checkpoint
from idrestore.model.checkpoint import Model
from idrestore.model.cost import Cost, costs
from idrestore.model.network import RestorationNetwork
from idrestore.restoration.restorer import Restorer
from idrestore.training.loop import train
from idrestore.training.recipe import RecipeError, TrainConfig, plain, with_photos

FORMAT_VERSION = 1
KEYS = ("base", "seeds", "routing", "all", "runs")
"""What a grid's file may hold; docs/method/ablations.md has their meaning."""
ALL_SETS = "all sets"
"""The column that averages a run over all sets."""


@dataclass(frozen=True)
class Grid:
    """Recipes to be compared, each to be trained once for every seed."""

    recipes: Mapping[str, TrainConfig]
    """By the name of their row"""
    seeds: tuple[int, ...] = (0,)
    routings: tuple[Routing, ...] = ("soft",)
    """With each of which every trained model is measured"""

    @classmethod
    def from_toml(cls, path: Path, base: Path | None = None, photos: Sequence[Path] = ()) -> "Grid":
        """Read a grid; `base` takes the place of its base recipe, `photos` of that one's folders of clean photos.

        Raises `RecipeError` naming the file and what is wrong with it.
        """
        try:
            with path.open("rb") as file:
                table = tomllib.load(file)
            if base is None and not isinstance(table.get("base"), str):
                raise ValueError(
                    f"base: got {table.get('base')!r}, expected the path of a recipe; or name one by --base"
                )
            start = TrainConfig.from_toml(base or path.parent / table["base"])
            return _grid(table, with_photos(start, photos) if photos else start)
        except RecipeError:
            raise
        except (OSError, ValueError) as error:
            raise RecipeError(f"{path}: {error}") from error


class Finding(NamedTuple):
    """What became of one run, measured with one routing."""

    name: str
    seed: int
    routing: Routing
    inputs: dict[str, Score]
    """Of each set's photos as they came; empty if the run failed"""
    scores: dict[str, Score]
    """Of the restored ones"""
    fault: str = ""
    """Why the run failed, or which photos could not be measured; one line"""


class Spread(NamedTuple):
    """A mean over seeds."""

    mean: float
    deviation: float
    """Sample standard deviation; NaN of fewer than two values"""


class Row(NamedTuple):
    """What a variant's runs have in common, and how well they did."""

    name: str
    routing: Routing
    parameters: int
    kmac: float
    """Thousands of multiply-accumulates a pixel"""
    psnr: dict[str, Spread]
    """By set, and over all of them; dB"""
    ssim: dict[str, Spread]
    runs: int
    """How many went well"""


@dataclass(frozen=True)
class Table:
    """What an ablation has found so far; a command that prints it exits with 1 if there are faults."""

    grid: Grid
    data: Mapping[str, SetSpec]
    costs: Mapping[str, Cost]
    """Of every variant's network, as it is in the first stage"""
    findings: Sequence[Finding] = ()

    @property
    def faults(self) -> list[str]:
        """What went wrong, a line each."""
        return [f"{f.name}, seed {f.seed}, {f.routing}: {f.fault}" for f in self.findings if f.fault]

    def rows(self) -> list[Row]:
        """Return the means over seeds of every variant and routing; those without a run have none."""
        return [self._row(name, routing) for name, routing in product(self.grid.recipes, self.grid.routings)]

    def to_json(self) -> str:
        """Return everything, unrounded; numbers that JSON lacks are "inf" and "nan"."""
        table = {
            "format_version": FORMAT_VERSION,
            "protocol": PROTOCOLS["full"],
            "sets": {name: dataclasses.asdict(spec) for name, spec in self.data.items()},
            "recipes": {name: plain(recipe) for name, recipe in self.grid.recipes.items()},
            "rows": self.rows(),
            "runs": self.findings,
        }
        return json.dumps(json_ready(table), indent=1, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """Return the PSNR of every row, "mean ± deviation" over its seeds; below it the protocol, and what failed."""
        sets = list(dict.fromkeys(name for finding in self.findings for name in finding.scores))
        columns = [*sets, ALL_SETS] if len(sets) > 1 else sets
        inputs = _spreads([finding.inputs for finding in self.findings if finding.inputs][:1], "psnr")
        lines = [["run", "routing", "parameters", "kMAC/pixel", *columns, "runs"]]
        lines += [["---"] * len(lines[0]), ["input", "–", "–", "–", *_cells(inputs, columns), "–"]]
        for row in self.rows():
            cost = [f"{row.parameters:,}", f"{row.kmac:.2f}"]
            lines.append(
                [row.name, row.routing, *cost, *_cells(row.psnr, columns), f"{row.runs}/{len(self.grid.seeds)}"]
            )
        faults = [f"- {fault}" for fault in self.faults]
        about = f"PSNR in dB, mean ± sample standard deviation over seeds. {PROTOCOLS['full']}"
        text = [f"| {' | '.join(line)} |" for line in lines]
        return "\n".join([*text, "", about, *([""] if faults else []), *faults]) + "\n"

    def _row(self, name: str, routing: Routing) -> Row:
        runs = [f.scores for f in self.findings if (f.name, f.routing) == (name, routing) and f.scores]
        cost = self.costs[name]
        psnr, ssim = (_spreads(runs, measure) for measure in Score._fields)
        return Row(name, routing, cost.parameters, cost.kmac, psnr, ssim, len(runs))


def _spreads(runs: Sequence[Mapping[str, Score]], measure: str) -> dict[str, Spread]:
    """Return the means over runs of one measure, by set, and of each run's mean over all its sets."""
    columns: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        values = {name: float(getattr(score, measure)) for name, score in run.items()}
        for name, value in (values | {ALL_SETS: statistics.fmean(values.values())}).items():
            columns[name].append(value)
    return {name: _spread(values) for name, values in columns.items()}


def _spread(values: Sequence[float]) -> Spread:
    several = len(values) > 1 and all(map(math.isfinite, values))
    return Spread(statistics.fmean(values), statistics.stdev(values) if several else math.nan)


def _cells(spreads: Mapping[str, Spread], columns: Sequence[str]) -> list[str]:
    """Return a row's cells; a dash where nothing was measured."""
    cells = []
    for name in columns:
        mean, deviation = spreads.get(name, Spread(math.nan, math.nan))
        text = "–" if math.isnan(mean) else f"{mean:.2f}"
        cells.append(text if math.isnan(deviation) else f"{text} ± {deviation:.2f}")
    return cells


class _Job(NamedTuple):
    """A run: a recipe, its seed inside, and where it leaves its files."""

    name: str
    config: TrainConfig
    folder: Path


def check(grid: Grid, data: Mapping[str, SetSpec], folder: Path) -> list[_Job]:
    """Return what `ablate` is to do; raise `ValueError` or `OSError` as it does, `ImportError` if nothing measures."""
    scikit_image()
    jobs = [
        _Job(name, dataclasses.replace(recipe, seed=seed), folder / name / f"seed{seed}")
        for seed, (name, recipe) in product(grid.seeds, grid.recipes.items())
    ]
    for routing in grid.routings:
        find_sets(data, routing)
    for job in jobs:
        _check_photos(job.config)
        _check_recipe(job)
    return jobs


def ablate(
    grid: Grid,
    data: Mapping[str, SetSpec],
    folder: Path,
    progress: Callable[[int, int], None] = lambda step, steps: None,
) -> Table:
    """Train every recipe of a grid with every seed, measure each on `data`, and compare them in a table.

    `folder` gets `table.md` and `table.json`, anew after each run, and for each run a folder NAME/seedN with what
    `train` writes and the results of each routing. What is there already is not done again, and a run that was
    interrupted goes on. A run that fails is a fault in the table, and the rest goes on. `progress` is told how many
    optimiser steps of all are done. Raises `ValueError` or `OSError` before anything is trained if photos, sets or the
    folder are not what they should be.
    """
    jobs = check(grid, data, folder)
    table = Table(grid, data, {name: _cost(recipe) for name, recipe in grid.recipes.items()})
    done, total = 0, sum(job.config.steps for job in jobs)
    for job in jobs:
        found = _run(job, grid.routings, data, partial(_tell, progress, done, total))
        done += job.config.steps
        table = dataclasses.replace(table, findings=[*table.findings, *found])
        _write(table, folder)
    return table


def _grid(table: Mapping[str, Any], start: TrainConfig) -> Grid:
    """Return the grid of a file's table; raise `ValueError` naming what is wrong."""
    check_known(table, KEYS)
    runs, seeds, routings = table.get("runs"), table.get("seeds", [0]), table.get("routing", ["soft"])
    if not isinstance(runs, dict) or not runs:
        raise ValueError(f"runs: got {runs!r}, expected a table [runs.NAME] for each")
    if not _all_differ(seeds) or any(type(seed) is not int or seed < 0 for seed in seeds):
        raise ValueError(f"seeds: got {seeds!r}, expected a list of different whole numbers >= 0")
    if not _all_differ(routings) or set(routings) - set(get_args(Routing)):
        raise ValueError(f"routing: got {routings!r}, expected a list of some of {', '.join(get_args(Routing))}")
    for name in runs:
        if not re.fullmatch(r"\w[\w.+-]*", name):
            raise ValueError(f"runs: got the name {name!r}, expected letters, digits, and . + - _ inside")
    common = _varied(start, "all", table.get("all", {}))
    recipes = {name: _varied(common, f"runs.{name}", settings) for name, settings in runs.items()}
    return Grid(recipes, tuple(seeds), tuple(routings))


def _varied(recipe: TrainConfig, where: str, settings: object) -> TrainConfig:
    """Return a recipe with the settings of a grid's table; raise `ValueError` naming the table."""
    if not isinstance(settings, dict):
        raise ValueError(f"{where}: got {settings!r}, expected a table of settings")
    try:
        return recipe.changed(settings)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _all_differ(values: object) -> bool:
    return isinstance(values, list) and 0 < len(values) == len(set(map(str, values)))


def _check_photos(recipe: TrainConfig) -> None:
    """Raise `ValueError` or `OSError` if there is nothing to learn from."""
    paths = find_photos([Path(source) for source in recipe.data.photos])
    missing = next((path for path in paths if not path.exists()), None)
    if missing or not paths:
        where = f"{missing} is not there" if missing else "no photos to learn from"
        raise ValueError(f"{where}: name folders of clean photos (--photos, or data.photos in the recipe)")


def _check_recipe(job: _Job) -> None:
    """Raise `ValueError` if the job's folder holds a run of another recipe."""
    log = job.folder / "log.jsonl"
    first = log.read_text().partition("\n")[0] if log.exists() else ""
    if first and json.loads(first).get("recipe") != json.loads(json.dumps(plain(job.config))):
        raise ValueError(f"{job.folder} holds a run of another recipe; name another folder, or move this one away")


def _cost(recipe: TrainConfig) -> Cost:
    return costs(RestorationNetwork.from_seed(recipe.model))[-1]


def _tell(progress: Callable[[int, int], None], done: int, total: int, step: int, _: int) -> None:
    progress(done + step, total)


def _run(
    job: _Job, routings: Sequence[Routing], data: Mapping[str, SetSpec], progress: Callable[[int, int], None]
) -> list[Finding]:
    """Train a job, if it is not trained yet, and measure it with each routing."""
    try:
        model = _trained(job, progress)
        return [_finding(job, routing, _measure(model, job.folder, routing, data)) for routing in routings]
    except PHOTO_ERRORS as error:
        return [Finding(job.name, job.config.seed, routing, {}, {}, one_line(error)) for routing in routings]


def _trained(job: _Job, progress: Callable[[int, int], None]) -> Model:
    """Return a job's model, trained from where its folder stands."""
    path = job.folder / "last.safetensors"
    if not path.exists() or checkpoint.load(path).card.get("step") != job.config.steps:
        train(job.config, job.folder, (job.folder / "state.pt").exists(), progress)
    return checkpoint.load(path)


def _measure(model: Model, folder: Path, routing: Routing, data: Mapping[str, SetSpec]) -> Report:
    """Return a model's results: those in its folder if they are of the same sets, else measured anew."""
    path = folder / f"{routing}.json"
    about = {"model": model.path.name, "sha256": model.sha256, "routing": routing}
    if path.exists():
        earlier = Report.from_json(path.read_text())
        if (earlier.data, earlier.about) == (data, about) and not earlier.failures:
            return earlier
    report = evaluate(Restorer(model), data, routing=routing, about=about)
    with atomic.replacing(path) as file:
        file.write(report.to_json().encode())
    return report


def _finding(job: _Job, routing: Routing, report: Report) -> Finding:
    summaries = {name: summary for name, summary in report.summaries().items() if summary.num_photos}
    inputs = {name: Score(each.psnr_input.value, each.ssim_input.value) for name, each in summaries.items()}
    scores = {name: Score(each.psnr_restored.value, each.ssim_restored.value) for name, each in summaries.items()}
    fault = ""
    if report.failures:
        first = report.failures[0]
        fault = f"{len(report.failures)} photos not measured, the first: {first.set}: {first.file}: {first.message}"
    return Finding(job.name, job.config.seed, routing, inputs, scores, fault)


def _write(table: Table, folder: Path) -> None:
    """Write both forms of the table into the folder, replacing the earlier ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("table.md", table.to_markdown()), ("table.json", table.to_json())):
        with atomic.replacing(folder / name) as file:
            file.write(text.encode())
