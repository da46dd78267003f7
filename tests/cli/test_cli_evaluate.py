"""The command `idrestore evaluate`: its options, its files, its one-line complaints."""

import json

import numpy as np
import pytest
from conftest import write_png
from small import tiny_file
from typer.testing import CliRunner

from idrestore.cli import app


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_file(tmp_path_factory.mktemp("model"))


@pytest.fixture
def pairs(tmp_path):
    """Return a folder of three pairs, laid out as LOL."""
    rng = np.random.default_rng(0)
    for number in range(3):
        clean = rng.integers(0, 256, (40, 48, 3), np.uint8)
        write_png(tmp_path / "pairs" / "high" / f"{number}.png", clean)
        write_png(tmp_path / "pairs" / "low" / f"{number}.png", clean // 4)
    return tmp_path / "pairs"


def run(*arguments):
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_figures_and_other_methods_come_with_the_table(tmp_path, pairs, model):
    versus = ["--versus", f"Perfect={pairs / 'high'}"]
    figures = ["--figures", tmp_path / "figures", "--figures-limit", 2]
    arguments = ["--data", f"lol={pairs}", "-o", tmp_path / "r.json", "-m", model, *versus, *figures]
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    assert "| PSNR Perfect | SSIM Perfect |" in out
    photos = json.loads((tmp_path / "r.json").read_text())["photos"]
    assert [photo["others"]["Perfect"] for photo in photos] == [{"psnr": "inf", "ssim": 1}] * 3
    names = sorted(path.name for path in (tmp_path / "figures").rglob("*.*"))
    assert names == ["index.html", "low_0.png", "low_1.png"]
    page = (tmp_path / "figures" / "index.html").read_bytes()
    code, _, err = run(*arguments)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "holds figures already" in err
    assert (tmp_path / "figures" / "index.html").read_bytes() == page
    (tmp_path / "figures" / "index.html").unlink()  # as where the run was stopped
    assert "holds figures already" in run(*arguments)[2]


def test_a_table_is_printed_and_kept_only_if_asked_for(tmp_path, monkeypatch, pairs, model):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("--data", f"mine={pairs}", "-m", model)
    assert (code, err) == (0, "")
    assert "| mine | 3 |" in out
    assert list(tmp_path.glob("*.json")) == list(tmp_path.glob("*.md")) == []


def test_results_that_are_there_are_replaced_with_overwrite_alone_and_inputs_never(tmp_path, pairs, model):
    arguments = ["--data", f"lol={pairs}:limit=1", "-m", model, "-o", tmp_path / "r.json"]
    for name in ("r.json", "r.md"):
        (tmp_path / name).write_text("precious")
        code, _, err = run(*arguments)
        assert (code, len(err.splitlines())) == (2, 1)
        assert f"{name} exists already: pass --overwrite" in err
        assert (tmp_path / name).read_text() == "precious"
        (tmp_path / name).unlink()
    assert run(*arguments)[0] == run(*arguments, "--overwrite")[0] == 0
    before = (tmp_path / "r.json").read_bytes()
    code, _, err = run("--merge", tmp_path / "r.json", "-o", tmp_path / "r.json", "--overwrite")
    assert (code, "is one of the inputs" in err) == (2, True)
    assert (tmp_path / "r.json").read_bytes() == before


def test_shards_are_joined(tmp_path, pairs, model):
    for part in (1, 2):
        out = ["-o", tmp_path / f"{part}.json", "--shard", f"{part}/2"]
        assert run("--data", f"lol={pairs}", "-m", model, *out)[0] == 0
    code, out, _ = run("--merge", tmp_path / "2.json", "--merge", tmp_path / "1.json", "-o", tmp_path / "all.json")
    assert code == 0
    assert "| lol | 3 |" in out
    whole = json.loads((tmp_path / "all.json").read_text())
    assert [photo["file"] for photo in whole["photos"]] == [f"low/{number}.png" for number in range(3)]
    (tmp_path / "2.json").write_text("{}")
    code, _, err = run("--merge", tmp_path / "2.json", "-o", tmp_path / "again.json")
    assert code == 2
    assert "2.json: not an evaluation's results" in err
    assert not (tmp_path / "again.json").exists()


def test_a_check_restores_nothing_and_says_what_is_wrong(pairs):
    code, out, err = run("--check", "--data", f"lol={pairs}")
    assert (code, out, err) == (0, "lol: 3 photos, nothing wrong\n", "")
    (pairs / "high" / "1.png").unlink()
    write_png(pairs / "high" / "2.png", np.zeros((41, 48, 3), np.uint8))
    code, out, err = run("--check", "--data", f"lol={pairs}", "--data", f"clean={pairs / 'low'}:clean")
    assert code == 1
    assert out == "lol: 2 photos, 2 wrong\nclean: 3 photos, nothing wrong\n"
    assert [line.split("pairs/")[1] for line in err.splitlines()] == [
        "low/1.png has no counterpart",
        "low/2.png is 48x40, but 2.png is 48x41",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "a=PAIRS", "--shard", "1/2"], "--shard: got 1/2 without --out"),
        (["-o", "r.json"], "--data: got no set"),
        (["--check"], "--data: got no set"),
        (["--data", "a=PAIRS", "-o", "r.json", "--protocol", "exact"], "--protocol: got 'exact', expected one of full"),
        (["--data", "a=PAIRS", "-o", "r.json", "--versus", "x"], "--versus: got 'x', expected NAME=FOLDER"),
        (["--data", "a=PAIRS", "-o", "r.json", "--versus", "clean=x"], "--versus: got 'clean=x'"),
        (["--data", "a=PAIRS", "-o", "r.json", "--versus", "x=nowhere"], "nowhere: no such folder"),
        (["--data", "a=PAIRS", "-o", "r.json", "--shard", "1"], "shard: got '1', expected NUMBER/TOTAL"),
        (["--data", "a=PAIRS", "-o", "r.json", "--shard", "3/2"], "shard: got '3/2', expected NUMBER/TOTAL"),
        (["--merge", "nowhere.json", "-o", "r.json"], "nowhere.json"),
    ],
)
def test_wrong_usage_is_said_in_one_line(tmp_path, monkeypatch, pairs, model, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*(argument.replace("PAIRS", str(pairs)) for argument in arguments), "-m", model)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert message in err
    assert not (tmp_path / "r.json").exists()
