"""Many files: plans that never overwrite an input, and runs that one broken file does not stop."""

import errno
import itertools
import os
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from idrestore import batch
from idrestore.batch import Job, Manifest, Naming, Records, Settings, Shard, photo, plan, plan_beside, restore_files
from idrestore.batch.job import Encoded
from idrestore.files import image
from idrestore.model.checkpoint import Model
from idrestore.restoration.results import Result


class Brightener:
    """A restorer that adds one to every sample (two at half the strength), counts photos, and can be told to fail."""

    def __init__(self, sha256="0" * 64):
        self.model = Model(None, {}, Path("bright.safetensors"), sha256)
        self.count = 0

    def restore(
        self, pixels, strength=1.0, only=None, ingredients=None, progress=lambda done, total: None, protect=None
    ):
        self.count += 1
        if pixels.shape[0] == 13:
            raise RuntimeError("out of\nmemory")
        progress(1, 1)
        changed = pixels + round(2 - strength)
        return Result(changed if protect is None else np.where(protect[..., None], pixels, changed), {"noise": 1.0})

    def smaller(self):
        return None


def write(path, height=8, value=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((height, 9, 3), value, np.uint8)
    image.write(pixels, path, image.Photo(pixels))
    return path


def names(jobs, root):
    return [(str(job.source.relative_to(root)), str(job.target.relative_to(root))) for job in jobs]


def test_a_folder_is_mirrored(tmp_path):
    for name in ("in/b.png", "in/a/b.jpg", "in/.hidden/c.png"):
        write(tmp_path / name)
    (tmp_path / "in/notes.txt").write_text("not a photo")
    jobs, problems = plan([tmp_path / "in"], tmp_path / "out")
    assert names(jobs, tmp_path) == [("in/a/b.jpg", "out/a/b.jpg"), ("in/b.png", "out/b.png")]
    assert problems == []


def test_results_of_an_earlier_run_are_not_photos_to_restore(tmp_path):
    write(tmp_path / "in/a.png")
    write(tmp_path / "in/out/a.png")
    jobs, _ = plan([tmp_path / "in"], tmp_path / "in/out")
    assert names(jobs, tmp_path) == [("in/a.png", "in/out/a.png")]


def test_one_photo_may_name_its_result(tmp_path):
    source = write(tmp_path / "a.jpg")
    assert plan([source], tmp_path / "b.png")[0] == [Job(source, tmp_path / "b.png")]
    assert plan([source], tmp_path / "out")[0] == [Job(source, tmp_path / "out/a.jpg")]


def test_what_cannot_be_written_gets_an_ending_that_can(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"")
    assert plan([tmp_path / "a.heic"], tmp_path / "out")[0][0].target.name == "a.jpg"


@pytest.mark.parametrize("out", ["in", "in/../in", "in/a.png"])
def test_an_input_is_never_overwritten(tmp_path, out):
    source = write(tmp_path / "in/a.png")
    with pytest.raises(ValueError, match="results there would replace their photos"):
        plan([source], tmp_path / out)


def test_a_photo_that_would_be_overwritten_does_not_stop_the_others(tmp_path):
    sources = [write(tmp_path / "in/a.png"), write(tmp_path / "other/b.png")]
    jobs, problems = plan(sources, tmp_path / "in")
    assert names(jobs, tmp_path) == [("other/b.png", "in/b.png")]
    assert "stays as it is" in problems[0].message


def test_an_input_is_not_overwritten_through_a_link(tmp_path):
    source = write(tmp_path / "in/a.png")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(ValueError, match="results there would replace their photos"):
        plan([source], tmp_path / "link")


def test_an_input_is_not_overwritten_by_any_other_path_even_with_overwrite(tmp_path):
    """At the time of the plan, and again at that of the writing, when the path may have come to lead elsewhere."""
    sources = [write(tmp_path / "in/a.png"), write(tmp_path / "in/b.png")]
    before = [source.read_bytes() for source in sources]
    jobs, _ = plan(sources, tmp_path / "out")
    (tmp_path / "out").mkdir()
    os.link(sources[0], tmp_path / "out/a.png")
    os.link(sources[0], tmp_path / "out/b.png")  # of another photo than its own
    with pytest.raises(ValueError, match="results there would replace their photos"):
        plan(sources, tmp_path / "out")
    for kind in ("hard links", "a linked folder"):
        outcomes = list(restore_files(Brightener(), jobs, Settings(overwrite=True)))
        assert all("stays as it is" in outcome.error for outcome in outcomes)
        assert [source.read_bytes() for source in sources] == before
        (tmp_path / "out").rename(tmp_path / kind)
        (tmp_path / "out").symlink_to(tmp_path / "in")


def test_an_input_that_appears_at_the_result_during_the_work_is_kept(tmp_path):
    source = write(tmp_path / "in/a.png")
    (tmp_path / "out").mkdir()

    class Meddler(Brightener):
        def restore(self, *arguments):
            (tmp_path / "out").rename(tmp_path / "away")
            (tmp_path / "out").symlink_to(tmp_path / "in")
            return super().restore(*arguments)

    (outcome,) = restore_files(Meddler(), [Job(source, tmp_path / "out/a.png")], Settings(overwrite=True))
    assert "stays as it is" in outcome.error
    assert (image.read(source).pixels == 100).all()


def test_results_that_meet_on_a_disk_without_large_letters_are_told(tmp_path):
    """A link stands for such a disk: two names, one file."""
    jobs = [Job(write(tmp_path / f"in/{name}"), tmp_path / name) for name in ("A.png", "a.png")]
    records = Records(Settings(overwrite=True), "model", inputs=[job.source for job in jobs])
    assert records.commit(jobs[0], Encoded(b"first", "hash", {}, ()), 1.0).status == "done"
    os.link(jobs[0].target, jobs[1].target)
    assert (
        f"is the result of {jobs[0].source} already"
        in records.commit(jobs[1], Encoded(b"second", "hash", {}, ()), 1.0).error
    )
    assert jobs[0].target.read_bytes() == b"first"


def test_nothing_that_may_be_a_photo_is_left_out_in_silence(tmp_path):
    """All but d.mpo and e.apng, which are restored, is named, once each, and nothing is waited for."""
    root = tmp_path / "in"
    jpeg, png = write(tmp_path / "a.jpg").read_bytes(), write(tmp_path / "a.png").read_bytes()
    for name, data in {
        "d.mpo": jpeg,
        "e.apng": png,
        "f": jpeg,
        "g.old": png,
        "h.psd": b"8BPS",
        "i.txt": b"hi",
    }.items():
        write(root / "z.png").with_name(name).write_bytes(data)
        (root / "z.png").unlink()
    os.mkfifo(root / "pipe.jpg")
    os.mkfifo(root / "pipe")
    (root / "nowhere.png").symlink_to(root / "none.png")
    (root / "nowhere").symlink_to(root / "none")
    (root / "round.jpg").symlink_to(root / "round.jpg")
    (root / "elsewhere").symlink_to(write(tmp_path / "other/x.png").parent)
    (root / "itself").symlink_to(root)
    jobs, problems = plan([root], tmp_path / "out")
    assert [job.target.name for job in jobs] == ["d.mpo", "e.apng"]
    assert {problem.source.name: problem.message.partition(f"{problem.source} ")[2][:22] for problem in problems} == {
        "f": "holds a picture (as JP",
        "g.old": "holds a picture (as PN",
        "h.psd": "is a picture of a kind",
        "pipe.jpg": "is a pipe: expected a ",
        "nowhere.png": "is a link that leads n",
        "round.jpg": "is a link that leads n",
        "elsewhere": "is a link to a folder,",
    }
    assert len(plan([root, tmp_path / "other"], tmp_path / "out")[1]) == len(problems) - 1  # the folder is named, too
    assert "is a pipe: expected a picture file or a folder" in plan([root / "pipe"], tmp_path / "out")[1][0].message
    assert [outcome.error for outcome in restore_files(Brightener(), jobs)] == ["", ""]


def test_results_of_earlier_runs_are_left_out_wherever_they_lie(tmp_path):
    """They used to be restored again, from all folders but the very one of this run."""
    source = write(tmp_path / "in/a.png")
    for out, suffix in ((tmp_path / "in/deep/out", ""), (tmp_path / "in", "_v2")):
        with Manifest(out) as manifest:
            jobs, _ = plan([source], out, naming=Naming(suffix))
            (outcome,) = restore_files(Brightener(), jobs, manifest=manifest)
            assert not outcome.error
    jobs, (note,) = plan([tmp_path / "in"], tmp_path / "out")
    assert jobs == [Job(source, tmp_path / "out/a.png")]
    assert note.message.startswith(f"left out 2 results of earlier runs ({tmp_path / 'in/a_v2.png'}, ...): to restore")
    assert not note.is_failure
    groups, (note,) = plan_beside([source, tmp_path / "in/a_v2.png"], Naming("-restored"))
    assert [job.source for jobs in groups.values() for job in jobs] == [source]
    assert "(" + str(tmp_path / "in/a_v2.png") + ")" in note.message


def test_results_are_known_by_the_manifest_of_a_folder_above(tmp_path):
    source = write(tmp_path / "in/deep/a.png")
    jobs, _ = plan([tmp_path / "in"], tmp_path / "in", naming=Naming("_v2"))
    with Manifest(tmp_path / "in") as manifest:
        list(restore_files(Brightener(), jobs, manifest=manifest))
    made = tmp_path / "in/deep/a_v2.png"
    jobs, (note,) = plan([tmp_path / "in/deep"], tmp_path / "out")
    assert ([job.source for job in jobs], note.is_failure) == ([source], False)
    groups, (note,) = plan_beside([source, made], Naming("-restored"))
    assert ([job.source for jobs in groups.values() for job in jobs], note.is_failure) == ([source], False)
    source.unlink()
    assert [job.source for job in plan([tmp_path / "in/deep"], tmp_path / "out")[0]] == [made]
    with Manifest(tmp_path / "in"):  # a run that is at work above is in nobody's way
        assert len(plan([tmp_path / "in/deep"], tmp_path / "out")[0]) == 1


def test_who_names_a_folder_of_results_wants_them_restored_again(tmp_path):
    source, out = write(tmp_path / "in/a.png"), tmp_path / "out"
    with Manifest(out) as manifest:
        jobs, _ = plan([source], out)
        list(restore_files(Brightener(), jobs, manifest=manifest))
    assert plan([out], tmp_path / "again") == ([Job(out / "a.png", tmp_path / "again/a.png")], [])
    assert plan([out / "a.png"], tmp_path / "again") == ([Job(out / "a.png", tmp_path / "again/a.png")], [])


def test_a_folder_whose_results_cannot_be_told_is_left_out(tmp_path):
    source = write(tmp_path / "in/a.png")
    write(tmp_path / "in/out/a.png")
    with Manifest(tmp_path / "in/out"):
        jobs, (problem,) = plan([tmp_path / "in"], tmp_path / "out")
    assert [job.source for job in jobs] == [source]
    assert "is left out, as its results cannot be told: another run is at work in" in problem.message
    with Manifest(tmp_path / "in/out", Shard(1, 2)):
        assert plan([tmp_path / "in/out"], tmp_path / "in/out", naming=Naming("_v2"))[1] == []


def test_folders_and_files_that_cannot_be_read_are_named(tmp_path, monkeypatch):
    """Root may read all, so the system is made to refuse."""
    for name in ("in/a.png", "in/secret/b.png", "in/c.png"):
        write(tmp_path / name)
    scandir, is_file = os.scandir, Path.is_file

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", lambda path: (refuse if str(path).endswith("secret") else scandir)(path))
    monkeypatch.setattr(Path, "is_file", lambda path: (refuse if path.name == "c.png" else is_file)(path))
    jobs, problems = plan([tmp_path / "in"], tmp_path / "out")
    assert [job.source.name for job in jobs] == ["a.png"]
    assert sorted(problem.source.name for problem in problems) == ["c.png", "secret"]
    assert all("cannot be read (Permission denied)" in problem.message for problem in problems)


def test_what_is_named_and_is_no_photo_is_said_as_in_a_folder(tmp_path):
    """The message used to be about the name of the result."""
    (tmp_path / "notes.txt").write_text("hello")
    write(tmp_path / "a.png").rename(tmp_path / "nameless")
    (tmp_path / "layers").write_bytes(b"8BPS")
    sources = [tmp_path / name for name in ("notes.txt", "nameless", "layers")]
    jobs, problems = plan(sources, tmp_path / "out")
    assert jobs == []
    said = [problem.message.removeprefix(f"{problem.source} ") for problem in problems]
    assert said[0].startswith("is not a picture (it starts with 'hello'): expected one of raw, JPEG, PNG")
    assert said[1:] == [
        "holds a picture (as PNG), which its name does not say: end it in .png",
        "is a picture of a kind that is not read: convert it",
    ]
    # What it is shows in what it is to be called.
    assert (
        len(plan(sources[1:2], tmp_path / "b.png")[0])
        == len(plan(sources[1:2], tmp_path, naming=Naming(format="png"))[0])
        == 1
    )


def test_a_photo_that_may_not_be_read_is_said_in_plain_words(tmp_path, monkeypatch):
    """Root may read all, so the system is made to refuse."""
    source = write(tmp_path / "a.png")

    def refusing(self):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "read_bytes", refusing)
    (outcome,) = restore_files(Brightener(), [Job(source, tmp_path / "b.png")])
    assert outcome.error == f"{source} cannot be read (Permission denied): check the name and the permissions"


def test_a_pipe_that_takes_the_place_of_a_photo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    (outcome,) = restore_files(Brightener(), [Job(tmp_path / "a.png", tmp_path / "out.png")])
    assert "is a pipe: expected a picture file" in outcome.error


def test_a_photo_whose_ending_is_replaced_takes_no_name_of_another(tmp_path):
    for name in ("1.heic", "1.jpg", "2.heic", "2.heif", "3.HEIC", "3.JPG"):
        write(tmp_path / "a.jpg").replace((tmp_path / "in").mkdir(exist_ok=True) or tmp_path / "in" / name)
    jobs, problems = plan([tmp_path / "in"], tmp_path / "out")
    assert problems == []
    assert {job.source.name: job.target.name for job in jobs} == {
        "1.heic": "1.heic.jpg",
        "1.jpg": "1.jpg",
        "2.heic": "2.jpg",
        "2.heif": "2.heif.jpg",
        "3.HEIC": "3.HEIC.jpg",
        "3.JPG": "3.JPG",
    }


def test_two_photos_never_meet_in_one_file(tmp_path):
    first, second = write(tmp_path / "a/x.png"), write(tmp_path / "b/x.png", value=3)
    jobs, problems = plan([first, second], tmp_path / "out")
    assert [job.source for job in jobs] == [first]
    assert str(first) in problems[0].message
    assert problems[0].source == second


def test_a_photo_that_is_named_and_found_is_restored_once(tmp_path):
    source = write(tmp_path / "in/sub/a.png")
    jobs, problems = plan([tmp_path / "in", source, tmp_path / "in/../in/sub/a.png"], tmp_path / "out")
    assert (jobs, problems) == ([Job(source, tmp_path / "out/sub/a.png")], [])


def test_missing_and_empty_inputs_are_problems_and_the_rest_goes_on(tmp_path):
    source = write(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    jobs, problems = plan([tmp_path / "none.jpg", tmp_path / "empty", source], tmp_path / "out")
    assert [job.source for job in jobs] == [source]
    assert "no such file or folder" in problems[0].message
    assert "no photos in this folder" in problems[1].message


def test_one_broken_file_does_not_stop_the_rest(tmp_path):
    for name, height in (("a.png", 8), ("c.png", 13), ("d.png", 8)):
        write(tmp_path / "in" / name, height)
    (tmp_path / "in/b.jpg").write_text("hello")
    jobs, _ = plan([tmp_path / "in"], tmp_path / "out")
    outcomes = list(restore_files(Brightener(), jobs))
    assert [bool(outcome.error) for outcome in outcomes] == [False, True, True, False]
    assert "b.jpg" in outcomes[1].error
    assert outcomes[2].error.endswith("out of memory")  # in one line
    assert "c.png" in outcomes[2].error
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "d.png"]
    assert (image.read(tmp_path / "out/a.png").pixels == 101).all()
    assert (image.read(tmp_path / "in/a.png").pixels == 100).all()


def test_an_earlier_result_is_kept_unless_told_otherwise(tmp_path):
    source, target = write(tmp_path / "a.png"), write(tmp_path / "out/a.png", value=7)
    job = Job(source, target)
    (kept,) = restore_files(Brightener(), [job])
    assert "--overwrite" in kept.error
    assert (image.read(target).pixels == 7).all()
    (replaced,) = restore_files(Brightener(), [job], Settings(overwrite=True))
    assert replaced.error == ""
    assert (image.read(target).pixels == 101).all()


def test_a_link_that_leads_nowhere_and_a_folder_are_kept(tmp_path):
    source, link, folder = write(tmp_path / "a.png"), tmp_path / "link.png", tmp_path / "folder.png"
    link.symlink_to(tmp_path / "elsewhere.png")
    folder.mkdir()
    (kept,) = restore_files(Brightener(), [Job(source, link)])
    assert link.is_symlink() and kept.error.endswith(f"{link} exists already: pass --overwrite to replace it")
    (refused,) = restore_files(Brightener(), [Job(source, folder)], Settings(overwrite=True))
    assert refused.error.endswith(f"{folder} is a folder: expected another place for the result")


def test_an_earlier_result_that_may_not_be_read_stops_no_other(tmp_path, monkeypatch):
    """Root may read all, so the system is made to refuse."""
    sources = [write(tmp_path / name) for name in ("a.png", "b.png")]
    jobs = [Job(source, tmp_path / "out" / source.name) for source in sources]
    with Manifest(tmp_path / "out") as manifest:
        list(restore_files(Brightener(), jobs, manifest=manifest))
        refused = jobs[0].target, jobs[1].target.read_bytes()
        before = Path.open

        def opening(self, *arguments, **options):
            if self == refused[0]:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
            return before(self, *arguments, **options)

        monkeypatch.setattr(Path, "open", opening)
        settings = Settings(overwrite=True, strength=0.5)
        outcomes = list(restore_files(Brightener(), jobs, settings, manifest=manifest))
    assert [outcome.status for outcome in outcomes] == ["failed", "done"]


def test_too_large_a_photo_is_refused(tmp_path):
    job = Job(write(tmp_path / "a.png"), tmp_path / "out.png")
    (outcome,) = restore_files(Brightener(), [job], Settings(max_pixels=71))
    assert "72" in outcome.error or "9" in outcome.error
    assert not job.target.exists()


def test_notes_of_reading_and_writing_are_passed_on(tmp_path):
    pixels = np.full((4, 4, 3), 1000, np.uint16)
    image.write(pixels, tmp_path / "a.png", image.Photo(pixels))
    (outcome,) = restore_files(Brightener(), [Job(tmp_path / "a.png", tmp_path / "a.jpg")])
    assert any("16" in note for note in outcome.notes)


def test_every_substitute_can_be_written():
    assert all(Path("a" + ending).suffix in image.SUFFIXES for ending in batch.SUBSTITUTES.values())


@pytest.mark.parametrize("name", ["x.gif", "x.heic", "x.bmp", "x.txt", "x.mp4", "x.jpgg", "x.pdf", "x.xyz"])
def test_a_name_that_cannot_be_written_is_refused_at_once_and_makes_no_folder(tmp_path, name):
    with pytest.raises(image.ImageError, match="cannot be written: expected a name that ends in"):
        plan([write(tmp_path / "a.png")], tmp_path / name)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["there.xyz", "2024.12", "out"])
def test_a_name_may_be_a_folders_all_the_same(tmp_path, name):
    (tmp_path / "there.xyz").mkdir()
    (job,), _ = plan([write(tmp_path / "a.png")], tmp_path / name)
    assert job.target == tmp_path / name / "a.png"


@pytest.mark.parametrize("name", ["x.gif", "x.png"])
def test_several_photos_need_a_folder(tmp_path, name):
    sources = [write(tmp_path / "a.png"), write(tmp_path / "b.png")]
    with pytest.raises(ValueError, match="expected a folder for the results of 2 photos"):
        plan(sources, tmp_path / name)
    (tmp_path / name).mkdir()
    assert len(plan(sources, tmp_path / name)[0]) == 2
    assert len(plan(sources, tmp_path / "summer.2024")[0]) == 2


def test_shards_are_disjoint_together_complete_and_independent_of_the_rest(tmp_path):
    jobs = [Job(tmp_path / f"{n}.png", tmp_path / "out" / f"{n}.png") for n in range(200)]
    shards = [Shard(number, 3) for number in (1, 2, 3)]
    parts = [[job for job in jobs if shard.holds(job, tmp_path / "out")] for shard in shards]
    assert sorted(itertools.chain(*parts)) == sorted(jobs)
    assert min(map(len, parts)) > 40
    elsewhere = [Job(job.source, Path("/mnt") / job.target.name) for job in jobs]
    assert [j.target.name for j in elsewhere if shards[0].holds(j, Path("/mnt"))] == [j.target.name for j in parts[0]]


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3"])
def test_impossible_shards_are_refused(text):
    with pytest.raises(ValueError, match="expected NUMBER/TOTAL"):
        Shard.parse(text)


def test_a_name_that_lies_about_the_format_is_noted(tmp_path):
    write(tmp_path / "a.png").rename(tmp_path / "a.jpg")
    (lied,) = restore_files(Brightener(), [Job(tmp_path / "a.jpg", tmp_path / "out/a.jpg")])
    assert lied.notes == ("the file is PNG in spite of its name; the result is JPEG",)
    (kept,) = restore_files(Brightener(), [Job(tmp_path / "a.jpg", tmp_path / "out/a.png")])
    (asked,) = restore_files(Brightener(), [Job(write(tmp_path / "b.png"), tmp_path / "out/b.jpg")])
    assert kept.notes == asked.notes == ()


def test_what_cannot_be_written_does_not_trouble_the_network(tmp_path):
    (tmp_path / "file").write_text("")
    restorer, source = Brightener(), write(tmp_path / "a.png")
    targets = [tmp_path / "a.gif", tmp_path / "file/a.png", write(tmp_path / "b.png")]
    outcomes = list(restore_files(restorer, [Job(source, target) for target in targets]))
    assert [outcome.status for outcome in outcomes] == ["failed"] * 3
    assert restorer.count == 0


@pytest.mark.parametrize("workers", [1, 3])
def test_outcomes_come_in_order_and_few_photos_are_in_memory(tmp_path, monkeypatch, workers):
    for number in range(12):
        write(tmp_path / f"in/{number:02}.png", 13 if number == 5 else 8, number)
    read, restorer = [], Brightener()
    jobs, _ = plan([tmp_path / "in"], tmp_path / "out")
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path) or read_bytes(path))
    for index, outcome in enumerate(restore_files(restorer, jobs, Settings(workers=workers))):
        assert outcome.job is jobs[index]
        assert len(read) <= index + 2 * workers + 3
        assert outcome.error or (image.read(jobs[index].target).pixels == index + 1).all()
    assert len(read) == restorer.count == 12


class Forgetful(Brightener):
    """A restorer whose memory suffices for tiles of at most 256, and seems to suffice for 512."""

    def __init__(self, tile, error):
        super().__init__()
        self.tile, self.error, self.tried = tile, error, []

    def restore(self, *arguments):
        self.tried.append(self.tile)
        if self.tile > 256:
            raise self.error
        return super().restore(*arguments)

    def fitting(self, image):
        return self.of(min(self.tile, 512))

    def smaller(self):
        return self.of(self.tile // 2) if self.tile > 64 else None

    def of(self, tile):
        other = Forgetful(tile, self.error)
        other.tried = self.tried
        return other


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes."),
    ],
)
def test_a_photo_that_needs_too_much_memory_is_done_in_smaller_tiles(tmp_path, error):
    job = Job(write(tmp_path / "a.png"), tmp_path / "out/a.png")
    (outcome,) = restore_files(restorer := Forgetful(1024, error), [job])
    assert restorer.tried == [1024, 256]
    assert outcome.notes == ("memory was short: worked on in tiles of 256 px",)
    assert (image.read(job.target).pixels == 101).all()


@pytest.mark.parametrize("step", ["restore", "encode"])
def test_the_time_that_failing_took_counts(tmp_path, monkeypatch, step):
    def fail(*_):
        time.sleep(0.2)
        raise ValueError("no")

    write(tmp_path / "a.png")
    monkeypatch.setattr(photo, step, fail)
    (outcome,) = restore_files(Brightener(), [Job(tmp_path / "a.png", tmp_path / "b.png")])
    assert (outcome.status, outcome.seconds > 0.2) == ("failed", True)


def test_memory_that_never_suffices_is_a_failure_and_no_endless_loop(tmp_path):
    job = Job(write(tmp_path / "a.png", 13), tmp_path / "out/a.png")
    (outcome,) = restore_files(Forgetful(1024, MemoryError()), [job])
    assert outcome.error.endswith("out of memory")


def test_a_degraded_photo_is_let_go_before_its_result_is_written(tmp_path, monkeypatch):
    photos, alive = [], []

    class Witness(Brightener):
        def restore(self, pixels, *arguments):
            photos.append(weakref.ref(pixels))
            return super().restore(pixels, *arguments)

    def encode(*arguments):
        deadline = time.monotonic() + 5  # the thread that let it go may be a little behind
        while photos[0]() is not None and time.monotonic() < deadline:
            time.sleep(0.01)
        alive.append(photos[0]() is not None)
        return b"", ()

    source = write(tmp_path / "a.png")
    monkeypatch.setattr(image, "encode", encode)
    list(restore_files(Witness(), [Job(source, tmp_path / "out.png")]))
    assert alive == [False]


def test_names_that_are_no_text_are_restored_like_others(tmp_path):
    source = tmp_path / "in" / os.fsdecode(b"caf\xe9.png")
    try:
        write(source)
    except OSError:
        pytest.skip("this file system takes text alone")
    jobs, _ = plan([tmp_path / "in"], tmp_path / "out")
    with Manifest(tmp_path / "out") as manifest:
        assert [o.status for o in restore_files(Brightener(), jobs, manifest=manifest)] == ["done"]
        assert [o.status for o in restore_files(Brightener(), jobs, manifest=manifest)] == ["skipped"]


def redacted(path):
    """Write a photo 128x160 of noise with a black bar, and return the bar's mask."""
    pixels = np.random.default_rng(0).integers(60, 200, (128, 160, 3), np.uint8)
    pixels[40:64, 30:90] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    image.write(pixels, path, image.Photo(pixels))
    return (pixels == 0).all(axis=2)


def test_redactions_are_left_alone_and_counted_unless_told_otherwise(tmp_path):
    bar = redacted(tmp_path / "a.png")
    (outcome,) = restore_files(Brightener(), [Job(tmp_path / "a.png", tmp_path / "out.png")])
    assert "left alone: 1 region that may be redacted on purpose (bar); --no-guard restores all" in outcome.notes
    restored = image.read(tmp_path / "out.png").pixels
    assert (restored[bar] == 0).all()
    assert (restored != image.read(tmp_path / "a.png").pixels).any(axis=2).mean() > 0.85
    (outcome,) = restore_files(Brightener(), [Job(tmp_path / "a.png", tmp_path / "all.png")], Settings(guard=False))
    assert outcome.notes == ()
    assert (image.read(tmp_path / "all.png").pixels[bar] == 1).all()


def test_of_redactions_nothing_is_said_where_nothing_was_to_be_done(tmp_path):
    redacted(tmp_path / "a.png")
    restorer = Brightener()
    restorer.restore = lambda pixels, *_: Result(pixels.copy(), {"clean": 1.0}, changed=False)
    (outcome,) = restore_files(restorer, [Job(tmp_path / "a.png", tmp_path / "out.png")])
    assert (outcome.status, outcome.notes) == ("unchanged", ())


@pytest.mark.parametrize("name", ["out.png", "out.webp"])
def test_a_photo_that_restoring_leaves_is_called_unchanged_in_another_format_too(tmp_path, name):
    source = write(tmp_path / "a.png")
    restorer = Brightener()
    restorer.restore = lambda pixels, *_: Result(pixels.copy(), {"noise": 1.0}, changed=False)
    (outcome,) = restore_files(restorer, [Job(source, tmp_path / name)])
    assert outcome.status == "unchanged"
    assert ((tmp_path / name).read_bytes() == source.read_bytes()) == (name == "out.png")


def test_a_painted_mask_is_left_alone(tmp_path):
    source = write(tmp_path / "a.png")
    painted = np.zeros((8, 9, 3), np.uint8)
    painted[2:5] = 255
    image.write(painted, tmp_path / "mask.png", image.Photo(painted))
    settings = Settings(protect=tmp_path / "mask.png")
    (outcome,) = restore_files(Brightener(), [Job(source, tmp_path / "out.png")], settings)
    assert outcome.notes == ("37.5% of the photo was left alone, as mask.png says",)
    assert (
        image.read(tmp_path / "out.png").pixels[..., 0] == [[100 if 2 <= row < 5 else 101] * 9 for row in range(8)]
    ).all()
    (outcome,) = restore_files(Brightener(), [Job(write(tmp_path / "b.png", 7), tmp_path / "out2.png")], settings)
    assert "mask.png has 9 x 8 pixels: expected the photo's 9 x 7" in outcome.error
    assert not (tmp_path / "out2.png").exists()


def test_a_wished_quality_makes_smaller_files_of_lossy_formats_alone(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    image.write(pixels, source := tmp_path / "a.png", image.Photo(pixels))
    sizes = {}
    for quality in (None, 95, 30):
        jobs = [Job(source, tmp_path / f"{quality}.{ending}") for ending in ("jpg", "png")]
        settings = Settings(quality=quality, provenance=False)  # which has the time in it, now longer, now shorter
        assert [outcome.error for outcome in restore_files(Brightener(), jobs, settings)] == ["", ""]
        sizes[quality] = [job.target.stat().st_size for job in jobs]
    assert sizes[None] == sizes[95]
    assert sizes[30][0] < sizes[95][0] / 2
    assert sizes[30][1] == sizes[95][1]
    with pytest.raises(ValueError, match="quality: got 0, expected 1 to 100"):
        Settings(quality=0)


def test_results_say_how_they_were_made_unless_told_otherwise(tmp_path):
    source = write(tmp_path / "a.png")
    list(restore_files(Brightener(), [Job(source, tmp_path / "b.png")]))
    said = image.read(tmp_path / "b.png")
    assert image.software(said).startswith("idrestore ")
    for word in (b'model="bright"', b"0" * 64, b"noise 1.000"):
        assert word in said.metadata["xmp-data"]
    list(restore_files(Brightener(), [Job(source, tmp_path / "c.png")], Settings(provenance=False)))
    silent = image.read(tmp_path / "c.png")
    assert "xmp-data" not in silent.metadata
    assert image.software(silent) == ""
