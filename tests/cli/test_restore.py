"""`idrestore restore` in the ways a stranger types it, and on consoles that fail."""

import ctypes
import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small import tiny_file
from typer.testing import CliRunner

from idrestore.batch import Job, Outcome, Settings
from idrestore.cli import app
from idrestore.cli.options import Options
from idrestore.cli.restoring import Plan, Teller
from idrestore.cli.restoring import run as run_plan
from idrestore.files import image

SIZE = (36, 40, 3)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_file(tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def photo(path, value=90):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full(SIZE, value, np.uint8)
    pixels[:9] += 20  # not of one colour, which would be left as it is
    image.write(pixels, path, image.Photo(pixels))
    return path


def run(model, *arguments, **options):
    return CliRunner().invoke(app, [*map(str, arguments), "-m", str(model)], **options)


def test_a_photo_alone_is_enough_and_is_never_done_twice(model):
    photo("a.png")
    first = run(model, "a.png")
    assert first.exit_code == 0
    assert first.stdout.startswith("a.png → a-restored.png\n  ")
    before = Path("a-restored.png").stat().st_mtime_ns
    again = run(model, "restore", "a.png", "a-restored.png")
    assert again.exit_code == 0
    assert "done already" in again.stdout
    assert Path("a-restored.png").stat().st_mtime_ns == before
    assert sorted(path.name for path in Path().glob("*.png")) == ["a-restored.png", "a.png"]


def test_insisting_replaces_the_result_of_the_models_own_judgement(model):
    photo("a.png")
    assert run(model, "a.png").exit_code == 0
    done = run(model, "a.png", "--fog", "50%")
    line = "a.png → a-restored.png  (replaces the earlier result)\n  haze, as you say: 50% removed\n"
    assert (done.exit_code, done.stdout) == (0, line)
    refused = run(model, "a.png", "--haze", "2")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "--haze: got '2', expected an amount of 0 to 1" in refused.stderr


def test_a_folder_that_may_not_be_written_is_said_in_plain_words(model, monkeypatch):
    """Root may write all, so the system is made to refuse."""
    photo("a.png")
    mkdir = Path.mkdir

    def refusing(self, *arguments, **options):
        if self.name == ".idrestore":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        mkdir(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", refusing)
    words = "the folder {} cannot be written (Permission denied): check its permissions, or choose another by -o\n"
    for arguments, folder in ((["a.png"], "."), (["a.png", "-o", "out"], "out")):
        refused = run(model, *arguments)
        assert (refused.exit_code, refused.stderr) == (2, "idrestore: " + words.format(folder))


def test_a_photo_that_may_not_be_read_stops_no_other(model, monkeypatch):
    """Root may read all, so the system is made to refuse."""
    for name in ("a.png", "b.png"):
        photo(name)
    access, read = os.access, Path.read_bytes

    def reading(self):
        if self.name == "a.png":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", reading)
    monkeypatch.setattr(os, "access", lambda path, *mode: Path(path).name != "a.png" and access(path, *mode))
    done = run(model, "a.png", "b.png")
    assert (done.exit_code, Path("b-restored.png").exists()) == (1, True)
    assert "a.png cannot be read (Permission denied)" in done.stderr


def test_what_is_replaced_is_said(model):
    photo("a.png")
    photo("a-restored.png")
    assert "exists already" in run(model, "a.png").stderr
    assert "(replaces the file that was there)\n" in run(model, "a.png", "--overwrite").stdout
    record = json.loads(run(model, "a.png", "--haze", "--json").stdout)
    assert (record["status"], record["replaces"]) == ("done", "the earlier result")
    photo("b.png")
    assert "replaces" not in run(model, "b.png").stdout


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(model):
    photo("in/a.png")
    Path("in/b.jpg").write_text("hello")
    done = run(model, "in", "--dry-run")
    assert done.exit_code == 1
    assert "in/a.png → in-restored/a.png\n  " in done.stdout
    assert "would be" in done.stdout
    assert "b.jpg" in done.stderr
    refused = run(model, "in", "--dry-run", "--report", "r.csv")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "--report: got --dry-run too" in refused.stderr
    assert sorted(path.name for path in Path().iterdir()) == ["in"]


def test_a_dry_run_tells_what_is_done_already_from_what_is_in_the_way(model):
    photo("a.png")
    run(model, "a.png")
    photo("b.png")
    photo("b-restored.png")
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    done = run(model, "a.png", "b.png", "--dry-run")
    assert done.stdout == "a.png → a-restored.png\n  done already, the same photo with the same wishes\n"
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "b-restored.png exists already: pass --overwrite" in done.stderr
    records = [json.loads(line) for line in run(model, "a.png", "b.png", "--dry-run", "--json").stdout.splitlines()]
    assert [record["status"] for record in records] == ["skipped", "failed"]
    again = run(model, "a.png", "b.png", "--dry-run", "--json", "--haze", "--overwrite").stdout.splitlines()
    assert [json.loads(line)["replaces"] for line in again] == ["the earlier result", "the file that was there"]
    assert "a-restored.png  (replaces the earlier result)\n" in run(model, "a.png", "--dry-run", "--haze").stdout
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before


def test_a_dry_run_tells_programs_of_all_photos_and_is_quiet_if_asked_to(model):
    photo("in/a.png")
    Path("in/b.jpg").write_text("hello")
    done = run(model, "in", "none.jpg", "--dry-run", "--json")
    assert [json.loads(line)["status"] for line in done.stdout.splitlines()] == ["failed", "planned", "failed"]
    quiet = run(model, "in", "--dry-run", "-q")
    assert quiet.stdout == ""
    assert "b.jpg" in quiet.stderr


def test_a_name_of_another_format_than_asked_for_is_refused(model):
    photo("a.png")
    refused = run(model, "a.png", "-o", "b.png", "--format", "jpg")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "--format: got jpg, and b.png for the result: expected one format" in refused.stderr
    assert run(model, "a.png", "-o", "b.jpeg", "--format", "jpg").exit_code == 0


def test_lines_of_json_are_all_that_is_on_standard_output(model):
    photo("in/a.png")
    Path("in/b.jpg").write_text("hello")
    done = run(model, "in", "none.jpg", "--json", "-o", "out")
    missing, *records = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 1
    assert (missing["photo"], missing["status"]) == ("none.jpg", "failed")
    assert [record["status"] for record in records] == ["done", "failed"]
    assert records[0]["result"] == str(Path("out/a.png"))
    assert sum(records[0]["ingredients"].values()) == pytest.approx(1)
    assert records[1]["result"] is None
    assert "b.jpg" in records[1]["error"]


@pytest.mark.parametrize("name", ["ü\u00ad\x7f.png", "\U000e0067.png"])
def test_lines_of_json_are_json_whatever_a_photo_is_called(model, name):
    photo(name)
    assert json.loads(run(model, name, "--json").stdout)["photo"] == name
    assert json.loads(run(model, name, "--json", "--dry-run").stdout)["photo"] == name


def test_quiet_prints_only_what_went_wrong_and_verbose_more(model):
    photo("a.png")
    assert run(model, "a.png", "-q").stdout == ""
    photo("b.png")
    said = run(model, "a.png", "b.png", "-v").stdout
    assert "done already" in said
    assert "%" in said


def test_the_first_failure_ends_the_run_only_if_asked_to(model):
    Path("in").mkdir()
    Path("in/a.jpg").write_text("hello")
    photo("in/b.png")
    assert run(model, "in", "--no-keep-going").exit_code == 1
    assert not Path("in-restored/b.png").exists()
    assert run(model, "in").exit_code == 1
    assert Path("in-restored/b.png").exists()


def test_a_photo_goes_through_a_pipe_and_keeps_its_format(model):
    data = photo("a.webp").read_bytes()
    done = run(model, "-", input=data)
    assert done.exit_code == 0
    made = image.read(done.stdout_bytes)
    assert (made.format, made.pixels.shape) == ("WebP", SIZE)
    assert done.stderr.count("\n") >= 1
    assert image.read(run(model, "a.webp", "-o", "-", "--format", "png").stdout_bytes).format == "PNG"
    assert run(model, "-", "-o", "b.png", input=data).exit_code == 0
    assert image.size("b.png") == SIZE[1::-1]
    Path("bad.jpg").write_text("hello")
    for arguments, text in ((("-",), b"hello"), (("bad.jpg", "-o", "-"), b""), (("-", "-o", "b.png"), data)):
        failed = run(model, *arguments, input=text)
        assert (failed.exit_code, failed.stdout_bytes, failed.stderr.count("\n")) == (1, b"", 1)
        assert ("bad.jpg is not a picture" in failed.stderr) == ("bad.jpg" in arguments)


def test_a_pipe_into_a_file_that_is_there_is_refused_before_the_work(model, monkeypatch):
    data, linked = photo("a.png").read_bytes(), Path("b.png")
    linked.symlink_to("nowhere.png")
    monkeypatch.setattr("idrestore.batch.process", lambda *_: pytest.fail("it was restored first"))
    refused = run(model, "-", "-o", "b.png", input=data)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "b.png exists already: pass --overwrite" in refused.stderr
    assert linked.is_symlink()


def test_json_of_a_pipe_is_on_standard_error(model):
    data = photo("a.png").read_bytes()
    done = run(model, "-", "--json", input=data)
    assert image.read(done.stdout_bytes).pixels.shape == SIZE
    record = json.loads(done.stderr)
    assert (record["photo"], record["result"], record["status"]) == ("-", "-", "done")
    record = json.loads(run(model, "-", "-o", "b.png", "--json", input=data).stderr)
    assert (record["result"], record["error"]) == ("b.png", None)
    failed = run(model, "-", "--json", input=b"hello")
    record = json.loads(failed.stderr)
    assert (failed.exit_code, record["status"], record["result"]) == (1, "failed", None)
    assert "is not a picture" in record["error"]


def test_defaults_come_from_a_file(model, tmp_path):
    photo("a.png")
    (tmp_path / "config/idrestore").mkdir(parents=True)
    (tmp_path / "config/idrestore/config.toml").write_text('suffix = "_x"\n[presets.night]\ndark = "80%"\n')
    done = run(model, "a.png", "--preset", "night")
    assert (done.exit_code, done.stdout.splitlines()[:2]) == (
        0,
        ["a.png → a_x.png", "  low light, as you say: 80% removed"],
    )
    assert run(model, "a.png", "--preset", "night", "--suffix", "-y").exit_code == 0
    assert Path("a-y.png").exists()


def folder_of(number):
    for index in range(number):
        photo(f"in/{index}.png")
    photo("in/ü→\x1b[31m\n:smile:.png")


def start(model, *arguments, **options):
    """Start the command as a process of its own."""
    command = [sys.executable, "-m", "idrestore", "restore", *arguments, "-m", str(model)]
    return subprocess.Popen(command, **options)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_an_encoding_that_lacks_letters_does_not_stop_the_work(model, encoding):
    folder_of(1)
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    process = start(model, "in", stdout=subprocess.PIPE, env=environment)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 0
    assert len(list(Path("in-restored").glob("*.png"))) == 2
    assert b"2 restored, 0 failed" in said
    assert not set(said) & {*range(9), 11, 12, *range(14, 32)}  # nothing commands the terminal
    assert b"0.png -> in-restored" in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_log_disk_does_not_stop_the_work_and_is_said(model):
    folder_of(1)
    with Path("/dev/full").open("wb") as full:
        process = start(model, "in", stdout=full, stderr=subprocess.PIPE)
        complaints = process.communicate(timeout=120)[1].decode()
    assert process.returncode == 1
    assert complaints.splitlines() == ["idrestore: standard output could not be written (No space left on device)"]
    assert len(list(Path("in-restored").glob("*.png"))) == 2


def test_a_closed_pipe_does_not_stop_the_work(model):
    folder_of(1)
    reading, writing = os.pipe()
    os.close(reading)
    process = start(model, "in", stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert process.communicate(timeout=120)[1] == b""
    assert process.returncode == 0
    assert len(list(Path("in-restored").glob("*.png"))) == 2


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_an_interrupted_run_says_how_far_it_came_and_goes_on(model):
    folder_of(40)
    process = start(model, "in", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    complaints = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert complaints.count("\n") == 1
    done = int(complaints.split("interrupted; ")[1].split()[0])
    assert f"{done} of 41 photos" in complaints
    assert "the same command goes on" in complaints
    assert 1 <= done < 41


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_an_interrupt_that_a_c_library_swallows_ends_the_run_all_the_same(capsys):
    jobs = [Job(Path(f"{number}.png"), Path("x.png")) for number in range(3)]

    def engine(*_):
        for job in jobs:
            callback = ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(signal.SIGINT))
            callback()
            yield Outcome(job, "done", ingredients={"noise": 1.0})

    teller = Teller(Options(quiet=True), Settings())
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run_plan(Plan({None: jobs}, []), teller, engine)
    assert len(teller.outcomes) == 1
    assert signal.getsignal(signal.SIGINT) is before
    assert capsys.readouterr().err == ""
