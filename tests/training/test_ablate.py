"""Grids of runs: what they vary, what their table says, that nothing is done twice, and that a failure is a row."""

import json
import math
import statistics
from pathlib import Path

import pytest
from typer.testing import CliRunner

from idrestore.cli import app
from idrestore.data.pairs import parse_data
from idrestore.evaluation.report import Report
from idrestore.model.cost import costs
from idrestore.model.network import RestorationNetwork
from idrestore.training import ablate as ablation
from idrestore.training.ablate import Grid, ablate
from idrestore.training.recipe import RecipeError, TrainConfig

RECIPES = Path(__file__).parents[2] / "recipes"
GRIDS = sorted((RECIPES / "ablations").glob("*.toml"))
BASE = """
log_every = 2
model = { preset = "tiny", degradations = ["noise", "low_light", "clean"] }
data = { workers = 0, held_out = 1, scales = [1.0], ratios = { noise = 1.0, low_light = 1.0, clean = 1.0 } }
collect = { steps = 2, batch = 2, patch = 16, told = 1.0 }
integrate = { steps = 1, batch = 2, patch = 16 }
"""
SEEDS = "base = 'base.toml'\nseeds = [3, 4]\n"


def grid_file(folder, text, base=BASE):
    (folder / "base.toml").write_text(base)
    (folder / "grid.toml").write_text(text)
    return folder / "grid.toml"


def sets(folder):
    options = ("noise={}:sigma=25:limit=2", "dark={}:degrade=low_light:limit=2")
    return parse_data(option.format(folder) for option in options)


# ---- what a grid says


@pytest.mark.parametrize("base", ["paper", "fast", "quick"])
@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.name)
def test_every_grid_is_understood_on_every_base(path, base):
    grid = Grid.from_toml(path, RECIPES / f"{base}.toml")
    recipes = list(grid.recipes.values())
    assert all(recipes.count(recipe) == 1 for recipe in recipes)
    start = TrainConfig.from_toml(RECIPES / f"{base}.toml")
    assert all(recipe.steps == start.steps and recipe.optimizer == start.optimizer for recipe in recipes)


def test_the_grids_are_the_ablations_of_the_paper_and_more():
    values = {path.stem: Grid.from_toml(path) for path in GRIDS}
    assert [r.model.placement for r in values["placement"].recipes.values()] == ["3E", "2E+1D", "3D"]
    assert [r.model.num_priors for r in values["capacity"].recipes.values()] == [12, 24, 36, 48]
    assert [len(r.model.degradations) for r in values["clean"].recipes.values()] == [5, 6]
    integrations = [r.model.integration for r in values["integration"].recipes.values()]
    assert integrations == ["exact", "pca", "random", "frozen", "none"]
    assert len({(r.model.attention, r.model.stop_gradient) for r in values["attention"].recipes.values()}) == 5
    assert values["routing"].routings == ("soft", "hard", "oracle")
    assert len(values["quick"].seeds) > 1  # of one alone, differences of 1.3 dB were chance


def test_the_sizes_that_the_page_prints_are_those_of_the_recipes():
    """A part that the preset was given, and that none of the runs had, used to go unnoticed."""
    page = (RECIPES.parent / "docs" / "method" / "ablations.md").read_text()
    for name, recipe in Grid.from_toml(RECIPES / "ablations" / "quick.toml").recipes.items():
        cost = costs(RestorationNetwork(recipe.model))[-1]
        assert f"\n| {name} | {cost.parameters:,} | {cost.kmac:.2f} |" in page


def test_all_then_a_run_change_what_they_name(tmp_path, photo_folder):
    text = """
    base = "base.toml"
    all = { seed = 9, collect = { steps = 7 }, data = { ratios = { noise = 2.0 } } }
    runs.more.model.num_priors = 7
    runs.plain = {}
    """
    grid = Grid.from_toml(grid_file(tmp_path, text), photos=[photo_folder])
    base = TrainConfig.from_toml(tmp_path / "base.toml")
    more, plain = grid.recipes["more"], grid.recipes["plain"]
    assert (more.model.num_priors, plain.model.num_priors) == (7, base.model.num_priors)
    assert more.model.degradations == base.model.degradations
    assert (more.collect.steps, more.collect.batch, more.seed) == (7, base.collect.batch, 9)
    assert more.data.ratios == {"noise": 2.0}  # as a whole
    assert more.data.photos == (str(photo_folder),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seds = [1]\nruns.a = {}", "unknown setting 'seds'; the nearest one is 'seeds'"),
        ("", "runs: got None"),
        ("runs = 3", "runs: got 3"),
        ("runs.a = {}\nseeds = [1, 1]", "seeds: got"),
        ("runs.a = {}\nseeds = []", "seeds: got"),
        ("runs.a = {}\nseeds = [-1]", "seeds: got"),
        ("runs.a = {}\nrouting = ['hart']", "routing: got ['hart'], expected a list of some of soft, hard, oracle"),
        ("runs.a.model.placment = '3E'", "runs.a: unknown model setting 'placment'; the nearest one is 'placement'"),
        ("runs.a.model.placement = '3F'", "runs.a: placement: got '3F'"),
        ("runs.a = 3", "runs.a: got 3, expected a table"),
        ("runs.'../a' = {}", "runs: got the name '../a'"),
        ("runs.a = {}\nall = 3", "all: got 3, expected a table"),
        ("runs.a = {", "grid.toml"),
    ],
)
def test_a_wrong_grid_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(RecipeError) as caught:
        Grid.from_toml(grid_file(tmp_path, f"base = 'base.toml'\n{text}"))
    assert message in str(caught.value)
    assert "grid.toml" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(("text", "message"), [("runs.a = {}", "base: got None"), ("base = 'no.toml'", "no.toml")])
def test_a_grid_without_base_is_refused(tmp_path, text, message):
    with pytest.raises(RecipeError, match=message):
        Grid.from_toml(grid_file(tmp_path, text))


# ---- what it finds


@pytest.fixture(scope="module")
def finished(tmp_path_factory, photo_folder):
    """Return the grid, the folder, the table and the progress of an ablation of which one variant cannot be trained."""
    folder = tmp_path_factory.mktemp("ablation")
    text = (
        SEEDS
        + """
    routing = ["soft", "oracle"]
    runs.default = {}
    runs.fog.data.ratios = { fog = 1.0 }
    runs.3E.model.placement = "3E"
    """
    )
    grid, seen = Grid.from_toml(grid_file(folder, text), photos=[photo_folder]), []
    table = ablate(grid, sets(photo_folder), folder / "out", lambda *at: seen.append(at))
    return grid, folder / "out", table, seen


def test_the_table_has_means_spreads_and_costs(finished, photo_folder):
    grid, folder, table, seen = finished
    rows = {(row.name, row.routing): row for row in table.rows()}
    assert list(rows) == [(name, routing) for name in grid.recipes for routing in ("soft", "oracle")]
    for name in ("default", "3E"):
        summaries = [
            Report.from_json((folder / name / f"seed{seed}" / "oracle.json").read_text()).summaries() for seed in (3, 4)
        ]
        row = rows[name, "oracle"]
        for key in ("noise", "dark"):
            first, second = (each[key].psnr_restored.value for each in summaries)
            assert first != second
            assert row.psnr[key].mean == pytest.approx((first + second) / 2)
            assert row.psnr[key].deviation == pytest.approx(abs(first - second) / math.sqrt(2))
        whole = [statistics.fmean(each[key].ssim_restored.value for key in ("noise", "dark")) for each in summaries]
        assert row.ssim["all sets"] == pytest.approx((statistics.fmean(whole), statistics.stdev(whole)))
        cost = costs(RestorationNetwork(grid.recipes[name].model))[-1]
        assert (row.parameters, row.kmac, row.runs) == (cost.parameters, cost.kmac, 2)
    assert rows["default", "soft"].psnr != rows["default", "oracle"].psnr
    assert rows["default", "soft"].parameters != rows["3E", "soft"].parameters
    assert seen[-1] == (18, 18)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_failure_is_a_row_that_says_why(finished):
    _, folder, table, _ = finished
    fog = "data.ratios: got ['fog'], expected names among ['clean', 'low_light', 'noise'] or mixture"
    runs = [("soft", 3), ("oracle", 3), ("soft", 4), ("oracle", 4)]
    assert table.faults == [f"fog, seed {seed}, {routing}: {fog}" for routing, seed in runs]
    text = (folder / "table.md").read_text()
    assert text == table.to_markdown()
    lines = {tuple(line.split(" | ")[:2]): line for line in text.splitlines()}
    assert lines["| fog", "soft"].endswith("| – | – | – | 0/2 |")
    assert lines["| 3E", "soft"].endswith("| 2/2 |")
    assert lines["| 3E", "soft"].count("±") == 3
    assert lines["| input", "–"].count("±") == 0
    assert f"- {table.faults[0]}" in text
    found = json.loads((folder / "table.json").read_text())
    assert found["format_version"] == 1
    assert [row["runs"] for row in found["rows"]] == [2, 2, 0, 0, 2, 2]
    assert found["recipes"]["3E"]["model"]["placement"] == "3E"


def test_finished_runs_are_not_repeated(finished, photo_folder, monkeypatch):
    grid, folder, table, _ = finished
    good = Grid({name: grid.recipes[name] for name in ("default", "3E")}, grid.seeds, grid.routings)

    def refuse(*_, **__):
        raise AssertionError("done already")

    monkeypatch.setattr(ablation, "train", refuse)
    other = {"grey": sets(photo_folder)["noise"]}
    with monkeypatch.context() as patch:
        patch.setattr(ablation, "evaluate", refuse)
        again = ablate(good, sets(photo_folder), folder)
        with pytest.raises(AssertionError, match="done already"):
            ablate(good, other, folder)
    assert [row.psnr for row in again.rows()] == [row.psnr for row in table.rows() if row.name != "fog"]
    assert again.faults == []


def test_a_run_goes_on_where_it_was_stopped(tmp_path, photo_folder):
    grid = Grid.from_toml(grid_file(tmp_path, SEEDS + "runs.a = {}"), photos=[photo_folder])
    whole = ablate(grid, sets(photo_folder), tmp_path / "whole")

    def interrupt(step, _):
        if step == 5:  # of 3 + 3
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ablate(grid, sets(photo_folder), tmp_path / "out", interrupt)
    assert "| 1/2 |" in (tmp_path / "out" / "table.md").read_text()
    assert ablate(grid, sets(photo_folder), tmp_path / "out").findings == whole.findings


def test_a_folder_of_another_grid_is_refused_before_anything_is_trained(finished, photo_folder, monkeypatch):
    grid, folder, _, _ = finished
    before = (folder / "table.json").read_bytes()
    changed = {"new": grid.recipes["3E"], "default": grid.recipes["3E"]}
    with pytest.raises(ValueError, match=r"default/seed3 holds a run of another recipe; name another folder"):
        ablate(Grid(changed, grid.seeds), sets(photo_folder), folder)
    with pytest.raises(ValueError, match="the oracle has to be told"):
        ablate(grid, parse_data([f"photos={tmp_pairs(folder, photo_folder)}"]), folder / "other")
    assert not (folder / "new").exists()
    assert not (folder / "other").exists()
    assert (folder / "table.json").read_bytes() == before


def tmp_pairs(folder, photo_folder):
    """Return a folder of pairs of which nobody says what is wrong with them."""
    for side in ("degraded", "clean"):
        (folder / "pairs" / side).mkdir(parents=True)
        for path in photo_folder.iterdir():
            (folder / "pairs" / side / path.name).write_bytes(path.read_bytes())
    return folder / "pairs"


# ---- the command


def run(*arguments):
    result = CliRunner().invoke(app, ["ablate", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_prints_the_table_and_what_failed(tmp_path, photo_folder):
    text = "base = 'no.toml'\nruns.a = {}\nruns.fog.data.ratios = { fog = 1.0 }"
    arguments = [grid_file(tmp_path, text), "-o", tmp_path / "out", "--photos", photo_folder]
    data = ["--data", f"noise={photo_folder}:sigma=25:limit=1"]
    code, out, err = run(*arguments, *data, "--base", tmp_path / "base.toml")
    assert code == 1
    assert out.strip() == (tmp_path / "out" / "table.md").read_text().strip()
    assert len(err.splitlines()) == 1
    assert "fog, seed 0, soft: data.ratios: got ['fog']" in err


def test_the_command_refuses_in_one_line_before_anything_is_trained(tmp_path, photo_folder):
    grid = grid_file(tmp_path, "base = 'base.toml'\nruns.a = {}")
    photos, data = ["--photos", photo_folder], ["--data", f"noise={photo_folder}:sigma=25"]
    for wrong, message in (
        ([*photos, *data, "--base", tmp_path / "no.toml"], "no.toml"),
        ([*photos, "--data", "noise=nowhere"], "nowhere"),
        (data, "no photos to learn from: name folders of clean photos (--photos"),
        (["--photos", tmp_path / "nowhere", *data], "nowhere is not there"),
    ):
        code, _, err = run(grid, "-o", tmp_path / "out", *wrong)
        assert (code, len(err.splitlines())) == (2, 1), err
        assert message in err
    assert not (tmp_path / "out").exists()
