"""The short version of `benchmarks/fuzz.py`: broken files are read or refused, in a process of their own."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited and measured in Linux's way")
SCRIPT = Path(__file__).parents[2] / "benchmarks/fuzz.py"


@pytest.fixture(scope="module")
def fuzz():
    spec = importlib.util.spec_from_file_location("fuzz", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_broken_files_are_read_or_refused():
    command = [sys.executable, SCRIPT, "--cases", "600", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    rows = [[int(cell) for cell in line.split("|")[2:6]] for line in done.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == [100] * 6
    assert all(row[2] > 0 for row in rows)


def test_whole_files_are_read(fuzz, tmp_path):
    """Or the test above would refuse everything for a reason of its own."""
    for kind, files in fuzz.whole_files().items():
        assert [fuzz.outcome(kind, data, tmp_path) for data in files] == ["read"] * len(files)


def test_what_must_not_happen_is_told(fuzz, tmp_path, monkeypatch):
    monkeypatch.setattr("idrestore.files.image.read", lambda data, max_pixels: [][0])
    assert fuzz.outcome("png", b"", tmp_path) == "IndexError: list index out of range"


def test_a_case_is_drawn_from_its_number_alone(fuzz):
    files = {kind: [bytes(range(256)) * 4] for kind in fuzz.KINDS}
    assert [fuzz.case(files, 0, number) for number in range(60)] == [
        fuzz.case(files, 0, number) for number in range(60)
    ]
    assert len({fuzz.case(files, 0, number)[1] for number in range(60)}) > 50


def test_mended_checksums_are_right(fuzz):
    png = fuzz.encoded(np.zeros((4, 4, 3), np.uint8), "png")
    assert fuzz.checksummed(png) == png
    assert fuzz.checksummed(png[:-4] + b"oops") == png
