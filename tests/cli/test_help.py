"""What the command understands, and what it says of itself."""

import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from idrestore.cli import app
from idrestore.cli.help import insisting
from idrestore.degradations import DEGRADATIONS, FIVE

EVERYDAY = ["restore", "watch", "explain", "web", "info", "doctor"]
RESEARCH = ["degrade", "train", "extend", "ablate", "evaluate", "export"]


def helped(*command):
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "80"}, terminal_width=80)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("command", [[], *([name] for name in EVERYDAY + RESEARCH)])
def test_help_fits_eighty_columns_with_nothing_cut_off(command):
    text = helped(*command)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert not re.search(r"\w\.\.\.$", text, re.MULTILINE)


def test_research_stands_apart_from_what_photographers_need():
    everyday, research = helped().split("Research:")
    assert all(f"\n  {name} " in everyday for name in EVERYDAY)
    assert all(f"\n  {name} " in research for name in RESEARCH)


def test_every_degradation_has_its_flag_with_an_example():
    text = helped("restore")
    for degradation in DEGRADATIONS:
        flag = f"--{degradation.name.replace('_', '-')}"
        assert (f"\n  {flag} [AMOUNT]" in text) == (degradation.name in FIVE)
        assert degradation.name not in FIVE or f"a.jpg {flag}" in " ".join(text.split())


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("--haze a.jpg", "--haze=1 a.jpg"),
        ("--haze 0.5 a.jpg", "--haze=0.5 a.jpg"),
        ("--haze=.5 --noise 60%", "--haze=.5 --noise=60%"),
        ("--no-haze 0.5", "--haze=0 0.5"),
        ("--night --low_light 1", "--low-light=1 --low-light=1"),
        ("--haze 0.5.jpg", "--haze=1 0.5.jpg"),
        ("--haze -- --fog", "--haze=1 -- --fog"),
        ("--no-guard -o x haze", "--no-guard -o x haze"),
    ],
)
def test_flags_take_an_amount_only_if_one_follows(typed, read):
    assert insisting(typed.split()) == read.split()


@pytest.mark.parametrize("typed", [["--haze", "--no-haze"], ["--no-fog", "a.jpg", "--haze", "50%"]])
def test_a_wish_and_its_contrary_are_refused(typed, capsys):
    with pytest.raises(typer.Exit) as refused:
        insisting(typed)
    assert refused.value.exit_code == 2
    assert "--haze and --no-haze contradict each other" in capsys.readouterr().err
    assert insisting(["--haze", "--haze", "50%"])  # said twice is no contradiction


@pytest.mark.parametrize("command", [[], ["restore"], ["degrade", "-o", "out"]])
@pytest.mark.parametrize("name", ["-dash.jpg", "--dash.jpg"])
def test_a_file_that_looks_like_an_option_is_said_how_to_name(tmp_path, monkeypatch, command, name):
    monkeypatch.chdir(tmp_path)
    assert "./" not in CliRunner().invoke(app, [*command, name]).stderr
    Path(f"./{name}").touch()
    refused = CliRunner().invoke(app, [*command, name])
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert f"(for the file of this name: ./{name})" in refused.stderr


def test_a_command_misspelt_is_no_photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["restor", "a.jpg"])
    assert result.exit_code == 2
    assert "'restore'" in result.output
