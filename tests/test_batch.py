"""Many files: plans that never overwrite an input, and runs that one broken file does not stop."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from idrestore import batch, image
from idrestore.batch import Job, degrade_file, plan, restore_files
from idrestore.restore import Result


class Brightener:
    """A restorer that adds one to every sample, and can be told to fail."""

    model = SimpleNamespace(path=Path("bright.safetensors"), sha256="0" * 64)

    def restore(self, pixels, strength=1.0, only=None, progress=lambda done, total: None, protect=None):
        if pixels.shape[0] == 13:
            raise RuntimeError("out of\nmemory")
        progress(1, 1)
        changed = pixels + 1
        return Result(changed if protect is None else np.where(protect[..., None], pixels, changed), {"noise": 1.0})


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
    jobs, problems = plan([source], tmp_path / out)
    assert jobs == []
    assert "stays as it is" in problems[0].message


def test_an_input_is_not_overwritten_through_a_link(tmp_path):
    source = write(tmp_path / "in/a.png")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    assert plan([source], tmp_path / "link")[0] == []


def test_two_photos_never_meet_in_one_file(tmp_path):
    first, second = write(tmp_path / "a/x.png"), write(tmp_path / "b/x.png", value=3)
    jobs, problems = plan([first, second], tmp_path / "out")
    assert [job.source for job in jobs] == [first]
    assert str(first) in problems[0].message
    assert problems[0].source == second


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
    (replaced,) = restore_files(Brightener(), [job], overwrite=True)
    assert replaced.error == ""
    assert (image.read(target).pixels == 101).all()


def test_too_large_a_photo_is_refused(tmp_path):
    job = Job(write(tmp_path / "a.png"), tmp_path / "out.png")
    (outcome,) = restore_files(Brightener(), [job], max_pixels=71)
    assert "72" in outcome.error or "9" in outcome.error
    assert not job.target.exists()


def test_notes_of_reading_and_writing_are_passed_on(tmp_path):
    pixels = np.full((4, 4, 3), 1000, np.uint16)
    image.write(pixels, tmp_path / "a.png", image.Photo(pixels))
    (outcome,) = restore_files(Brightener(), [Job(tmp_path / "a.png", tmp_path / "a.jpg")])
    assert any("16" in note for note in outcome.notes)


def test_a_pair_is_a_photo_and_what_became_of_it(tmp_path):
    source = write(tmp_path / "a.jpg")
    degrade_file(source, tmp_path / "d/a.png", tmp_path / "c/a.png", {"noise": 0.5}, seed=1)
    clean, degraded = (image.read(tmp_path / name).pixels for name in ("c/a.png", "d/a.png"))
    np.testing.assert_array_equal(clean, image.read(source).pixels)
    assert (degraded != clean).mean() > 0.5


def test_every_substitute_can_be_written():
    assert all(Path("a" + ending).suffix in image.SUFFIXES for ending in batch.SUBSTITUTES.values())


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
    assert "1 regions that look redacted (bar) were left alone; --no-guard restores them" in outcome.notes
    restored = image.read(tmp_path / "out.png").pixels
    assert (restored[bar] == 0).all()
    assert (restored != image.read(tmp_path / "a.png").pixels).any(axis=2).mean() > 0.85
    (outcome,) = restore_files(Brightener(), [Job(tmp_path / "a.png", tmp_path / "all.png")], guard=False)
    assert outcome.notes == ()
    assert (image.read(tmp_path / "all.png").pixels[bar] == 1).all()


def test_a_painted_mask_is_left_alone(tmp_path):
    source = write(tmp_path / "a.png")
    painted = np.zeros((8, 9, 3), np.uint8)
    painted[2:5] = 255
    image.write(painted, tmp_path / "mask.png", image.Photo(painted))
    options = {"protect": tmp_path / "mask.png"}
    (outcome,) = restore_files(Brightener(), [Job(source, tmp_path / "out.png")], **options)
    assert outcome.notes == ("37.5% of the photo was left alone, as mask.png says",)
    assert (
        image.read(tmp_path / "out.png").pixels[..., 0] == [[100 if 2 <= row < 5 else 101] * 9 for row in range(8)]
    ).all()
    (outcome,) = restore_files(Brightener(), [Job(write(tmp_path / "b.png", 7), tmp_path / "out2.png")], **options)
    assert "mask.png has 9 x 8 pixels: expected the photo's 9 x 7" in outcome.error
    assert not (tmp_path / "out2.png").exists()


def test_results_say_how_they_were_made_unless_told_otherwise(tmp_path):
    source = write(tmp_path / "a.png")
    list(restore_files(Brightener(), [Job(source, tmp_path / "b.png")]))
    said = image.read(tmp_path / "b.png")
    assert image.software(said).startswith("idrestore ")
    for word in (b'model="bright"', b"0" * 64, b"noise 1.000"):
        assert word in said.metadata["xmp-data"]
    list(restore_files(Brightener(), [Job(source, tmp_path / "c.png")], provenance=False))
    silent = image.read(tmp_path / "c.png")
    assert "xmp-data" not in silent.metadata
    assert image.software(silent) == ""
