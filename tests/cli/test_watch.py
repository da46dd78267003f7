"""`idrestore watch`: what is dropped into a folder is restored."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small import tiny_file
from typer.testing import CliRunner

from idrestore.cli import app, watch
from idrestore.cli.restore import Place
from idrestore.files import image

pytest.importorskip("watchfiles")


def photo(path):
    pixels = np.full((20, 30, 3), 90, np.uint8)
    image.write(pixels, path, image.Photo(pixels))
    return path


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_what_is_there_and_what_is_dropped_later_is_restored_until_it_is_stopped(tmp_path):
    model = tiny_file(tmp_path)
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    whole = photo(inbox / "a.png").read_bytes()
    command = [sys.executable, "-m", "idrestore", "watch", str(inbox), "-m", str(model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        lines = iter(process.stdout.readline, "")
        assert any(line.startswith("watching") for line in lines)
        assert image.size(tmp_path / "inbox-restored/a.png") == (30, 20)
        with (inbox / "b.png").open("wb") as file:  # in two parts, as over a network
            file.write(whole[:50])
            file.flush()
            file.write(whole[50:])
        assert any(f"{Path('inbox-restored/b.png')}" in line for line in lines)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=120)[1] == ""
    assert process.returncode == 0
    assert image.size(tmp_path / "inbox-restored/b.png") == (30, 20)


def test_an_interrupted_round_is_told_by_its_own_photos(tmp_path, monkeypatch):
    """One that was restored before, and is dropped again, counts as not done."""
    model, inbox = tiny_file(tmp_path), tmp_path / "inbox"
    inbox.mkdir()
    for name in ("a.png", "b.png"):
        photo(inbox / name)
    real, rounds = Place.restore, []

    def restore(self, *what):
        rounds.append(what)
        if len(rounds) > 1:
            raise KeyboardInterrupt
        return real(self, *what)

    monkeypatch.setattr(Place, "restore", restore)
    monkeypatch.setattr(watch, "_arrivals", lambda _: iter([None, {(inbox / "a.png").resolve()}]))
    stopped = CliRunner().invoke(app, ["watch", str(inbox), "-m", str(model)])
    assert stopped.exit_code == 130
    assert "interrupted; 0 of 1 photos are done" in stopped.stderr


def test_defaults_of_restore_that_watch_does_not_have_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "idrestore").mkdir()
    (tmp_path / "idrestore/config.toml").write_text("keep-going = false\nquality = 300\n")
    refused = CliRunner().invoke(app, ["watch", str(tmp_path)])
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "quality: got 300" in refused.stderr


def test_only_a_folder_can_be_watched(tmp_path):
    result = CliRunner().invoke(app, ["watch", str(photo(tmp_path / "a.png"))])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "no such folder" in result.stderr
