"""What happens to a run whose process is killed: it goes on without the photo that killed it, and says so."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import write_png
from small import tiny_file

from idrestore.batch import SUFFIX, Naming, plan_beside
from idrestore.cli import supervise

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are split on Linux alone")
PROGRAM = """
import os, signal, sys, time
from idrestore import cli
from idrestore.batch import photo

real = photo.decode

def deadly(source, *rest):
    if source.name == "b.png":
        os.kill(os.getpid(), signal.SIGKILL)
    if source.name == "slow.png":
        print("at work", flush=True)
        time.sleep(4)
        print("survived", flush=True)
    return real(source, *rest)

photo.decode = deadly
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup ignores
cli.main()
"""


def command(root, model):
    """Return a command that restores a folder, and of which b.png kills the process and slow.png takes a while."""
    program = root / "program.py"
    program.write_text(PROGRAM)
    return [sys.executable, program, "restore", root / "in", "-o", root / "out", "-m", model]


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        write_png(tmp_path / "in" / name, np.random.default_rng(0).integers(0, 255, (24, 24, 3), np.uint8))
    return tmp_path


@pytest.mark.parametrize("more", [[], ["--retry-failed"]])
def test_a_folder_is_finished_by_one_command_though_a_photo_kills_the_process(folder, more):
    called = [*command(folder, tiny_file(folder)), *more]
    done = subprocess.run(called, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line.partition("(")[2].partition(")")[0] for line in lines[:2]] == ["SIGKILL", "SIGKILL"]
    assert "b.png: the process died twice while it was at work on this photo" in lines[2]
    assert len(lines) == 3
    assert sorted(path.name for path in (folder / "out").glob("*.png")) == ["a.png", "c.png"]


def test_a_command_that_is_killed_ends_the_process_that_works(folder):
    (folder / "in/b.png").rename(folder / "in/slow.png")
    with subprocess.Popen(command(folder, tiny_file(folder)), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert next(line for line in run.stdout if b"at work" in line)
        run.kill()
        assert b"survived" not in run.stdout.read()  # to the end, when nobody has it open any more


def test_a_photo_at_work_when_the_run_is_told_to_end_has_not_failed(folder):
    """As by a shutdown, a time limit, or a terminal that is closed, however often."""
    (folder / "in/b.png").rename(folder / "in/slow.png")
    called = command(folder, tiny_file(folder))
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGTERM):
        with subprocess.Popen(called, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
            assert next(line for line in run.stdout if "at work" in line)
            run.send_signal(number)
            said = run.communicate()[1]
        assert run.returncode == 130
        assert "interrupted; " in said
        assert "the same command goes on from there" in said
    done = subprocess.run(called, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "out/slow.png").exists()


def test_a_run_that_dies_before_it_records_anything_is_not_repeated(tmp_path):
    """In a process of its own, as this one has threads."""
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom idrestore.cli.supervise import supervise\n"
        "code = supervise([Path(sys.argv[1])])\nprint('begun', flush=True) if code is None else sys.exit(code)\n"
        "os.abort()\n"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "begun\n")
    assert done.stderr.splitlines()[-1] == "idrestore: the process was killed (SIGABRT): is there too little memory?"


@pytest.mark.parametrize("suffix", [None, "-better"])
@pytest.mark.parametrize("source", [".", "a.png", "../in", "sub", "sub/..", "sub/b.png"])
def test_the_folders_are_watched_whose_manifests_are_written(folder, monkeypatch, source, suffix):
    write_png(folder / "in/sub/b.png", np.zeros((8, 8, 3), np.uint8))
    monkeypatch.chdir(folder / "in")
    groups, _ = plan_beside([Path(source)], Naming(suffix or SUFFIX))
    watched = supervise._folders({"out": None, "suffix": suffix, "photos": [Path(source)]})
    assert [each.resolve() for each in watched] == [each.resolve() for each in groups]


def test_what_a_run_recorded_is_seen(tmp_path):
    assert supervise._manifests([tmp_path]) == []
    (tmp_path / ".idrestore").mkdir()
    (tmp_path / ".idrestore/manifest.sqlite").write_bytes(b"1")
    first = supervise._manifests([tmp_path])
    os.utime(tmp_path / ".idrestore/manifest.sqlite", ns=(1, 1))
    assert first != supervise._manifests([tmp_path]) != []
