"""Runs that were stopped, repeated, or met by others: nothing twice, nothing lost, nothing replaced unasked."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from test_batch import Brightener, write

from idrestore import batch
from idrestore.batch import Job, Manifest, ManifestError, Records, Settings, Shard, cluster, manifest, plan
from idrestore.files import image
from idrestore.restoration.results import Result


@pytest.fixture
def folder(tmp_path):
    """Return a folder of four photos, of which c.png fails."""
    for name, height in (("a.png", 8), ("b/b.png", 8), ("c.png", 13), ("d.jpg", 8)):
        write(tmp_path / "in" / name, height)
    return tmp_path


def run(root, restorer=None, shard=None, **settings):
    """Run over the folder; return what became of each photo, and how many the network saw."""
    restorer = restorer or Brightener()
    jobs, _ = plan([root / "in"], root / "out")
    with Manifest(root / "out", shard) as manifest:
        outcomes = list(batch.restore_files(restorer, jobs, Settings(**settings), manifest))
    return {outcome.job.source.name: outcome for outcome in outcomes}, restorer.count


def statuses(outcomes):
    return "".join(outcome.status[0] for outcome in outcomes.values())


def test_a_second_run_does_nothing_again(folder):
    first, count = run(folder)
    assert (statuses(first), count) == ("ddfd", 4)
    before = {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*.*g")}
    second, count = run(folder)
    assert (statuses(second), count) == ("ssfs", 0)
    assert second["a.png"].ingredients == {"noise": 1.0}
    assert "in an earlier run: --retry-failed" in second["c.png"].error
    assert {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*.*g")} == before


def test_failed_photos_are_tried_again_on_request_or_when_they_changed(folder):
    run(folder)
    again, count = run(folder, retry_failed=True)
    assert (statuses(again), count) == ("ssfs", 1)
    (folder / "in/c.png").unlink()
    write(folder / "in/c.png", 8)
    mended, count = run(folder)
    assert (statuses(mended), count) == ("ssds", 1)


def test_what_a_limit_refused_is_tried_again_with_another(folder):
    assert "expected at most 71" in run(folder, max_pixels=71)[0]["a.png"].error
    assert "in an earlier run" in run(folder, max_pixels=71)[0]["a.png"].error
    outcomes, count = run(folder, max_pixels=1000)
    assert (statuses(outcomes), count) == ("ddfd", 4)
    assert (statuses(run(folder, max_pixels=71)[0]), run(folder, max_pixels=1000)[1]) == ("ssfs", 1)


class Short(Brightener):
    """A restorer that memory never suffices for."""

    def restore(self, *arguments):
        raise MemoryError

    def fitting(self, image):
        return self


def test_what_memory_did_not_suffice_for_on_a_cluster_is_tried_again(folder, monkeypatch):
    """What an actor does and what this process makes of it, without Ray."""
    monkeypatch.setattr(cluster, "Restorer", lambda *_: Short())
    jobs, _ = plan([folder / "in"], folder / "out")
    worker = cluster.Worker(None, cluster.Placement(), Settings(), jobs)
    with Manifest(folder / "out") as manifest:
        outcome = cluster._outcome(Records(Settings(), "0" * 64, manifest), jobs[0], worker({"number": 0}))
        assert (outcome.status, manifest.known(jobs[0].target)) == ("failed", None)


def test_what_memory_did_not_suffice_for_is_tried_again(folder):
    assert statuses(run(folder, Short())[0]) == "ffff"
    assert (statuses(run(folder)[0]), run(folder)[1]) == ("ddfd", 0)


def test_what_changed_is_done_again(folder):
    run(folder)
    (folder / "in/a.png").unlink()
    write(folder / "in/a.png", 8, 7)
    (folder / "out/b/b.png").unlink()
    changed, count = run(folder)
    assert (statuses(changed), count) == ("ddfs", 2)
    assert (image.read(folder / "out/a.png").pixels == 8).all()
    assert (statuses(run(folder, strength=0.5)[0]), run(folder, only=frozenset({"rain"}))[1]) == ("ddfd", 4)
    assert run(folder, Brightener("another model"), only=frozenset({"rain"}))[1] == 4
    assert run(folder, Brightener("another model"), only=frozenset({"rain"}), overwrite=True, workers=2)[1] == 0


def test_a_result_that_somebody_changed_is_kept(folder):
    run(folder)
    (folder / "out/a.png").write_bytes(b"hours of retouching")
    for settings in ({}, {"strength": 0.5}):
        outcomes, _ = run(folder, **settings)
        assert "was changed since it was made: pass --overwrite" in outcomes["a.png"].error
    assert (folder / "out/a.png").read_bytes() == b"hours of retouching"
    assert run(folder, strength=0.5, overwrite=True)[0]["a.png"].status == "done"


def test_the_result_of_another_photo_is_kept(folder):
    run(folder)
    write(folder / "other/a.png", 8, 50)
    jobs, _ = plan([folder / "other"], folder / "out")
    with Manifest(folder / "out") as manifest:
        (outcome,) = batch.restore_files(Brightener(), jobs, manifest=manifest)
    assert "in/a.png: pass --overwrite" in outcome.error
    assert (image.read(folder / "out/a.png").pixels == 101).all()


def test_a_file_of_somebody_else_is_kept(folder):
    write(folder / "out/a.png", 8, 1)
    outcomes, count = run(folder)
    assert (statuses(outcomes), count) == ("fdfd", 3)
    assert "exists already: pass --overwrite" in outcomes["a.png"].error
    assert run(folder, overwrite=True)[0]["a.png"].status == "done"


def test_a_file_that_appears_during_the_work_is_kept(folder):
    class Meddler(Brightener):
        def restore(self, *arguments):
            (folder / "out/a.png").write_bytes(b"precious")
            return super().restore(*arguments)

    outcomes, _ = run(folder, Meddler())
    assert "exists already" in outcomes["a.png"].error
    assert (folder / "out/a.png").read_bytes() == b"precious"


def test_a_full_disk_is_told_and_tried_again_later(folder, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        outcomes, _ = run(folder)
    assert statuses(outcomes) == "ffff"
    assert "No space left" in outcomes["a.png"].error
    assert sorted(path.suffix for path in (folder / "out").rglob("*.*")) == ["", ".sqlite"]
    assert statuses(run(folder)[0]) == "ddfd"


def test_an_output_folder_that_disappears_stops_the_work(folder):
    class Vandal(Brightener):
        def restore(self, *arguments):
            shutil.rmtree(folder / "out", ignore_errors=True)
            return super().restore(*arguments)

    outcomes, _ = run(folder, Vandal())
    assert all(outcome.status == "failed" for outcome in outcomes.values())
    assert statuses(run(folder)[0]) == "ddfd"


PROGRAM = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_batch_resume import Brightener, run
from idrestore.batch import Records

record, left = Records._record, int(sys.argv[3])

def dying(self, job, input_sha256, status, *rest):
    global left
    before = status == sys.argv[4] and sys.argv[5] == "before"
    left -= status == sys.argv[4]
    if before and left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    record(self, job, input_sha256, status, *rest)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

Records._record = dying
run(Path(sys.argv[1]), strength=float(sys.argv[6]))
"""


def run_and_die(folder, count, status, moment, strength=1.0):
    """Run in a process that kills itself around recording a status for the given time."""
    arguments = [folder, Path(__file__).parent, count, status, moment, strength]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *map(str, arguments)], check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("status", ["writing", "done"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_killed_around_the_writing_loses_and_repeats_nothing(folder, status, moment):
    run_and_die(folder, 2, status, moment)
    there = {path.name for path in (folder / "out").rglob("*.*g")}
    for path in (folder / "out").rglob("*.*g"):
        assert (image.read(path).pixels == 101).all()
    outcomes, _ = run(folder)
    assert {name for name, outcome in outcomes.items() if outcome.status == "skipped"} == there
    assert [name for name, outcome in outcomes.items() if outcome.error] == ["c.png"]
    assert not list((folder / "out").rglob("*.part"))


def test_a_run_killed_twice_while_it_replaced_a_result_still_knows_it(folder):
    run(folder)
    for _ in range(2):
        run_and_die(folder, 1, "writing", "after", strength=0.5)
    outcomes, _ = run(folder, strength=0.5)
    assert sorted(statuses(outcomes)) == ["d", "d", "d", "f"]
    assert "out of memory" in outcomes["c.png"].error


DEADLY = """
import os, resource, signal, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_batch_resume import Brightener, run

class Deadly(Brightener):
    def restore(self, pixels, *rest):
        if pixels[0, 0, 0] == 66:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().restore(pixels, *rest)

outcomes, _ = run(Path(sys.argv[1]), Deadly())
print(*(f"{name} {outcome.status} {outcome.error}" for name, outcome in outcomes.items()), sep="\\n")
"""


def run_deadly(folder):
    """Run in a process that b.png kills; return its exit code and a line for each photo."""
    command = [sys.executable, "-c", DEADLY, folder, Path(__file__).parent]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, dict(line.split(" ", 1) for line in done.stdout.splitlines())


def test_a_photo_that_kills_the_process_is_done_last_and_then_named_and_the_others_are_done(folder):
    (folder / "in/b/b.png").unlink()
    write(folder / "in/b/b.png", 8, 66)
    assert run_deadly(folder)[0] == -signal.SIGKILL
    assert run_deadly(folder)[0] == -signal.SIGKILL
    assert {path.name for path in (folder / "out").rglob("*.*g")} == {"a.png", "d.jpg"}
    for earlier in ("", "in an earlier run"):
        code, lines = run_deadly(folder)
        assert code == 0
        assert lines["b.png"].startswith("failed")
        assert "the process died twice while it was at work on this photo" in lines["b.png"]
        assert earlier in lines["b.png"]
        assert sorted(lines) == ["a.png", "b.png", "c.png", "d.jpg"]
    mended, count = run(folder, strength=0.5)  # other settings: it is tried again
    assert (statuses(mended), count) == ("ddfd", 4)


def test_an_interrupted_run_leaves_no_suspects(folder):
    class Impatient(Brightener):
        def restore(self, *arguments):
            if self.count == 1:
                raise KeyboardInterrupt
            return super().restore(*arguments)

    run(folder, strength=0.5)
    with pytest.raises(KeyboardInterrupt):
        run(folder, Impatient(), workers=2)
    with Manifest(folder / "out") as manifest:
        records = Records(Settings(), "0" * 64, manifest)
        assert not any(map(records.is_suspect, plan([folder / "in"], folder / "out")[0]))
    outcomes, count = run(folder)  # what was replaced, and what was left, is still known as ours
    assert (statuses(outcomes), count) == ("sdfd", 3)


def test_what_the_disk_refused_does_not_count_as_a_death(folder, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for _ in range(3):
            assert "No space left" in run(folder)[0]["a.png"].error
    assert statuses(run(folder)[0]) == "ddfd"


def test_a_result_is_seen_by_nobody_who_may_not_see_the_photo(folder, monkeypatch):
    (folder / "in/a.png").chmod(0o600)
    modes = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: modes.append(os.fstat(number).st_mode & 0o777) or real(number))
    run(folder)
    assert (folder / "out/a.png").stat().st_mode & 0o777 == 0o600
    assert (folder / "out/b/b.png").stat().st_mode & 0o777 == 0o644 & ~umask()
    assert sorted(modes) == sorted([0o600] + 2 * [0o644 & ~umask()])  # while it was written, too


def umask():
    now = os.umask(0o077)
    os.umask(now)
    return now


def test_a_photo_in_which_nothing_changes_is_copied_byte_for_byte(folder):
    class Idle(Brightener):
        def restore(self, pixels, *arguments):
            return Result(pixels.copy(), {"clean": 1.0}, changed=False)

    jobs, _ = plan([folder / "in"], folder / "out")
    with Manifest(folder / "out") as manifest:
        outcomes = list(batch.restore_files(Idle(), jobs, Settings(), manifest))
        again = list(batch.restore_files(Idle(), jobs, Settings(), manifest))
    assert [outcome.status for outcome in outcomes] == ["unchanged"] * 4
    assert [outcome.status for outcome in again] == ["skipped"] * 4
    assert all(job.target.read_bytes() == job.source.read_bytes() for job in jobs)
    other = [Job(folder / "in/d.jpg", folder / "d.png"), Job(folder / "in/d.jpg", folder / "d.jpg")]
    assert [o.status for o in batch.restore_files(Idle(), other, Settings(quality=50))] == ["unchanged"] * 2
    assert all(job.target.read_bytes() != job.source.read_bytes() for job in other)


def test_two_runs_never_work_in_one_folder(folder):
    with Manifest(folder / "out"), pytest.raises(ManifestError, match="another run is at work in"):
        Manifest(folder / "out")
    Manifest(folder / "out").close()


def test_shards_of_one_division_work_side_by_side_and_nobody_else(folder):
    with Manifest(folder / "out", Shard(1, 2)):
        Manifest(folder / "out", Shard(2, 2)).close()
        for other in (None, Shard(1, 2), Shard(1, 3)):
            with pytest.raises(ManifestError, match="another run is at work in"):
                Manifest(folder / "out", other)


def test_what_shards_did_is_known_to_all(folder):
    run(folder, shard=Shard(1, 2))
    assert run(folder, shard=Shard(2, 2))[1] == run(folder)[1] == run(folder, shard=Shard(1, 5))[1] == 0


def spoil(path, statement):
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize("part", [None, Shard(1, 2)])
def test_unknown_and_damaged_manifests_are_refused_in_one_line(folder, part):
    run(folder)
    path = folder / "out/.idrestore/manifest.sqlite"
    good = path.read_bytes()
    damages = {
        "ingredients = '[1'": "cannot be used as a manifest",
        "ingredients = '[1]'": "cannot be used as a manifest",
        "ingredients = '{\"rain\": NaN}'": "numbers that are none",
        "status = 'eaten'": "a record makes no sense",
        "seconds = 'long'": "cannot be used as a manifest",
        "finished = 'yesterday'": "cannot be used as a manifest",
        "finished = '2026-01-01T00:00:00'": "cannot be used as a manifest",
        "notes = NULL": "cannot be used as a manifest",
    }
    for change, words in damages.items():
        path.write_bytes(good)
        spoil(path, f"UPDATE photos SET {change}")
        assert words in refusal(folder, part)
    path.write_bytes(good)
    spoil(path, "PRAGMA user_version = 9")
    spoil(path, "DROP TABLE planned")
    later = path.read_bytes()
    assert "has format version 9, expected 2" in refusal(folder, part)
    assert path.read_bytes() == later
    path.write_bytes(b"no database at all, but long enough to be looked at" * 50)
    assert "cannot be used as a manifest" in refusal(folder, part)
    page = 4096
    path.write_bytes(good[:page] + b"\xff" * (len(good) - page))  # the header alone is sound
    assert "cannot be used as a manifest" in refusal(folder, part)
    path.unlink()
    path.mkdir()
    assert "cannot be used as a manifest" in refusal(folder, part)


def refusal(folder, part):
    """Return the one line with which a manifest is refused."""
    with pytest.raises(ManifestError) as caught:
        Manifest(folder / "out", part)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_manifest_of_the_first_version_is_read_and_raised(folder):
    run(folder)
    spoil(folder / "out/.idrestore/manifest.sqlite", "PRAGMA user_version = 1")
    assert statuses(run(folder)[0]) == "ssfs"
    connection = sqlite3.connect(folder / "out/.idrestore/manifest.sqlite")
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    connection.close()


@pytest.mark.parametrize("years", [-30, 30])
def test_a_clock_that_is_wrong_hides_no_later_record(folder, monkeypatch, years):
    """Shards have a manifest each: of two records of one result the later counts, whatever the clock said."""
    run(folder, shard=Shard(1, 1))

    class Clock(datetime):
        @classmethod
        def now(cls, zone=None):
            return datetime.now(zone) + timedelta(days=365 * years)

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "datetime", Clock)
        assert statuses(run(folder, strength=0.5)[0]) == "ddfd"
        assert statuses(run(folder, strength=0.5, shard=Shard(1, 1))[0]) == "ssfs"
    assert statuses(run(folder, shard=Shard(1, 1))[0]) == "ddfd"
    assert statuses(run(folder)[0]) == "ssfs"


def test_settings_count_unless_they_only_say_how():
    base = Settings()
    assert base.sha256 == Settings(max_pixels=1, overwrite=True, retry_failed=True, workers=4).sha256
    assert len({Settings(strength={"rain": 0.5}).sha256, Settings(ingredients={"rain": 0.5}).sha256, base.sha256}) == 3
    others = [Settings(0.5), Settings(only=frozenset({"rain"})), Settings(only=frozenset({"rain", "haze"}))]
    assert len({settings.sha256 for settings in (base, *others)}) == 4
    assert others[2].sha256 == Settings(only=frozenset(["haze", "rain"])).sha256


def test_records_without_manifest_only_write(tmp_path):
    records = Records(Settings(), "model")
    job = Job(write(tmp_path / "a.png"), tmp_path / "out.png")
    assert records.skip_or_fail(job, "hash") is None
    assert records.fail(job, ValueError("no"), "hash").status == "failed"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
