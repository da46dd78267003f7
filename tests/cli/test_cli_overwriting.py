"""The one rule of all commands: no file is replaced without --overwrite, and an input never."""

import numpy as np
import pytest
from conftest import write_png
from small import tiny_file
from typer.testing import CliRunner

from idrestore.cli import app


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_file(tmp_path_factory.mktemp("model"))


def run(*arguments):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    return result.exit_code, result.stdout, result.stderr


def test_explanations_that_are_there_are_replaced_with_overwrite_alone(tmp_path, model):
    write_png(photo := tmp_path / "a.png", np.full((20, 30, 3), 90, np.uint8))
    command = ["explain", photo, "-o", tmp_path / "out", "-m", model]
    page = tmp_path / "out/a/explanation.html"
    assert run(*command)[0] == 0
    page.write_text("precious")
    code, _, errors = run(*command)
    assert (code, errors.count("\n")) == (1, 1)
    assert "explanation.html exists already: pass --overwrite" in errors
    assert page.read_text() == "precious"
    assert run(*command, "--overwrite")[0] == 0
    assert page.read_text() != "precious"


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("best.safetensors", ["train", "{recipe}", "--photos", "{photos}", "-o", "."]),
        ("spots.safetensors", ["extend", "{photos}", "--name", "spots", "-o", "."]),
        ("table.md", ["ablate", "{recipe}", "--data", "a={photos}:clean", "-o", "."]),
        ("priors.png", ["explain", "--priors", "-m", "{model}", "-o", "."]),
        ("{model}", ["export", "{model}", "-o", "{model}", "--overwrite"]),
    ],
)
def test_files_that_are_there_are_kept_by_every_command(tmp_path, model, photo_folder, monkeypatch, name, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.toml").write_text("collect = { steps = 2 }")
    words = {"recipe": "recipe.toml", "photos": photo_folder, "model": model}
    path = tmp_path / name.format(**words)
    if not path.exists():
        path.write_bytes(b"precious")
    before = path.read_bytes()
    code, _, errors = run(*(word.format(**words) for word in command))
    assert (code, errors.count("\n")) == (2, 1)
    assert path.name in errors
    assert path.read_bytes() == before
