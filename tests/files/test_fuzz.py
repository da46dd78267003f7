"""The short version of `benchmarks/fuzz.py`: broken files are read or refused, in a process of their own."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited and measured in Linux's way")
SCRIPT = Path(__file__).parents[2] / "benchmarks/fuzz.py"


@pytest.fixture(scope="module")
def fuzz():
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        return importlib.import_module("fuzz")
    finally:
        sys.path.remove(str(SCRIPT.parent))


def test_broken_files_are_read_or_refused():
    command = [sys.executable, SCRIPT, "--cases", "606", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    rows = [[int(cell) for cell in line.split("|")[2:6]] for line in done.stdout.splitlines()[2:]]
    assert sum(row[0] for row in rows) == 606
    assert all(row[0] == sum(row[1:]) > 0 for row in rows)
    assert all(row[2] > 0 for row in rows)


def test_whole_files_are_read(fuzz, tmp_path):
    """Or the test above would refuse everything for a reason of its own; some are there for their containers alone."""
    for kind, files in fuzz.fuzz_seeds.whole_files().items():
        said = [fuzz.outcome(kind, data, tmp_path) for data in files]
        assert said.count("read") == len(files) - said.count("refused")
        assert said.count("refused") == {"tif": 2, "raw": 2}.get(kind, 0)


PROGRAM = """
import os, sys
sys.path.insert(0, sys.argv[1])
import fuzz
from idrestore.files import image

def fails(data, max_pixels):
    match data[0]:
        case 2: os.abort()
    raise image.ImageError("two\\nlines" if data[0] == 5 else "one line")

fuzz.fuzz_seeds.whole_files = lambda: {kind: [bytes(9)] for kind in fuzz.KINDS}
fuzz.case = lambda files, seed, number: ("png", bytes([number]))
image.read = fails
if __name__ == "__main__":
    sys.argv[1:] = ["--cases", "7"]
    fuzz.main()
"""


def test_what_ends_a_worker_is_told_and_the_rest_is_done(tmp_path):
    """Workers run the program anew, so that the reader is replaced in them, too."""
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, tmp_path / "program.py", SCRIPT.parent]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 1, done.stdout + done.stderr[-2000:]
    told = dict(re.findall(r"^case (\d), \w+: (.*)$", done.stdout, re.MULTILINE))
    assert told.keys() == {"2", "5"}
    assert told["2"] == "crashed with exit code -6"
    assert told["5"].startswith("2 lines: two")
    counted = re.findall(r"^\| \w+ \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", done.stdout, re.MULTILINE)
    assert [sum(map(int, column)) for column in zip(*counted, strict=True)] == [7, 0, 5, 2]


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
    png = fuzz.fuzz_seeds.by_vips(np.zeros((4, 4, 3), np.uint8), ".png")
    assert fuzz.checksummed(png) == png
    assert fuzz.checksummed(png[:-4] + b"oops") == png
