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

from idrestore.cli import app
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


def test_only_a_folder_can_be_watched(tmp_path):
    result = CliRunner().invoke(app, ["watch", str(photo(tmp_path / "a.png"))])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "no such folder" in result.stderr
