"""Results that were lost, changed or spoilt since they were written are said, and no others."""

import json
import os
import sqlite3
from pathlib import Path

import pytest
from test_batch import Brightener, write
from typer.testing import CliRunner

from idrestore import batch
from idrestore.batch import Job, Manifest, ManifestError, Records, Settings, plan, verify
from idrestore.batch.job import Encoded
from idrestore.cli import app


@pytest.fixture
def folder(tmp_path):
    """Return a folder in which five photos were restored, and c.png failed."""
    for name in ("a.png", "b/b.png", "d.jpg", "e.png", "f.png"):
        write(tmp_path / "in" / name)
    write(tmp_path / "in/c.png", 13)
    jobs, _ = plan([tmp_path / "in"], tmp_path / "out")
    with Manifest(tmp_path / "out") as manifest:
        list(batch.restore_files(Brightener(), jobs, manifest=manifest))
    return tmp_path


def statuses(folder):
    return {verdict.path.name: verdict.status for verdict in verify(folder / "out")}


def test_what_happened_to_results_is_said(folder):
    good = dict.fromkeys(("a.png", "b.png", "d.jpg", "e.png", "f.png"), "good")
    assert statuses(folder) == {**good, "c.png": "failed"}
    (folder / "out/a.png").unlink()
    write(folder / "out/b/x.png", value=3).replace(folder / "out/b/b.png")
    (folder / "out/e.png").unlink()
    (folder / "out/e.png").mkdir()
    verdicts = {verdict.path.name: verdict for verdict in verify(folder / "out")}
    found = {"a.png": "missing", "b.png": "changed", "c.png": "failed", "e.png": "missing"}
    assert {name: verdict.status for name, verdict in verdicts.items()} == good | found
    assert "out of memory" in verdicts["c.png"].message
    assert all(verdict.message.count("\n") == 0 for verdict in verdicts.values())


def test_a_result_that_was_written_unreadable_is_said(tmp_path):
    """The hash is right, and the pixels are not there: each file is decoded to the end."""
    pixels = write(tmp_path / "a.png", 200).read_bytes()
    with Manifest(tmp_path / "out") as manifest:
        records = Records(Settings(), "model", manifest)
        job = Job(tmp_path / "a.png", tmp_path / "out/a.png")
        assert records.commit(job, Encoded(pixels[:-40], "hash", {}, ()), 1.0).status == "done"
    (verdict,) = verify(tmp_path / "out")
    assert (verdict.status, "a.png" in verdict.message) == ("unreadable", True)


def test_what_no_run_came_to_is_said(folder):
    """A run that was interrupted used to leave a folder that was called good."""
    jobs, _ = plan([folder / "in"], folder / "later")
    with Manifest(folder / "later") as manifest:
        outcomes = batch.restore_files(Brightener(), jobs, manifest=manifest)
        next(outcomes)
        outcomes.close()
    done = CliRunner().invoke(app, ["verify", str(folder / "later")])
    good = len(list((folder / "later").rglob("*.*g")))  # one or two: the second may be on its way to the disk
    assert good <= 2
    assert (done.exit_code, done.stdout) == (1, f"{good} good, {6 - good} never made\n")
    assert "d.jpg was never made: the same command goes on" in done.stderr
    (folder / "in/d.jpg").unlink()  # nobody waits for its result any more
    with Manifest(folder / "later") as manifest:
        list(batch.restore_files(Brightener(), plan([folder / "in"], folder / "later")[0], manifest=manifest))
    found = [verdict.status for verdict in verify(folder / "later")]
    assert sorted(found) == ["failed", *4 * ["good"]]


def test_a_manifest_from_before_there_were_plans_is_read(folder):
    with sqlite3.connect(folder / "out/.idrestore/manifest.sqlite") as connection:
        connection.execute("DROP TABLE planned")
    connection.close()
    assert statuses(folder)["a.png"] == "good"
    Manifest(folder / "out").close()
    assert statuses(folder)["a.png"] == "good"


def test_names_that_are_no_text_are_found_again(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    try:
        source = write(tmp_path / "in" / name)
    except OSError:
        pytest.skip("this file system takes text alone")
    with Manifest(tmp_path / "out") as manifest:
        list(batch.restore_files(Brightener(), [Job(source, tmp_path / "out" / name)], manifest=manifest))
    assert [verdict.status for verdict in verify(tmp_path / "out")] == ["good"]


def test_a_folder_without_manifest_or_in_use_is_refused(folder, tmp_path):
    with pytest.raises(ManifestError, match="no such folder"):
        verify(tmp_path / "none")
    with pytest.raises(ManifestError, match="has no manifest"):
        verify(folder)
    assert not (tmp_path / "none").exists()
    with Manifest(folder / "out"), pytest.raises(ManifestError, match="another run is at work"):
        verify(folder / "out")


def test_the_command_says_what_is_wrong_and_counts(folder):
    def run(path: Path):
        done = CliRunner().invoke(app, ["verify", str(path)])
        return done.exit_code, done.stdout, done.stderr

    (folder / "out/a.png").unlink()
    code, out, errors = run(folder / "out")
    assert (code, out) == (1, "4 good, 1 missing, 1 failed\n")
    assert "a.png is missing" in errors
    assert "c.png was not made" in errors
    assert run(folder / "in")[0] == 2
    (folder / "out/a.png").write_bytes(b"")
    assert run(folder / "out")[1] == "4 good, 1 changed, 1 failed\n"


def test_programs_are_told_of_every_result(folder):
    (folder / "out/a.png").unlink()
    done = CliRunner().invoke(app, ["verify", str(folder / "out"), "--json"])
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.exit_code, [record["status"] for record in records]) == (
        1,
        ["missing", "good", "failed", "good", "good", "good"],
    )
    assert records[0]["result"] == str(folder / "out/a.png")
    assert "is missing" in records[0]["error"]
    assert records[1]["error"] is None
