"""Where results lie if nobody says."""

from pathlib import Path

import numpy as np
import pytest

from idrestore.batch import Manifest, Naming, plan_beside
from idrestore.files import image
from idrestore.files.provenance import add_provenance


def files(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def restored(*paths):
    """Write results of which no manifest knows: their metadata alone say what they are."""
    for path in paths:
        photo, _ = add_provenance(image.Photo(np.full((8, 9, 3), 90, np.uint8)), "fast", "ab" * 32, {})
        image.write(photo.pixels, path, photo)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def targets(*inputs, **naming):
    groups, problems = plan_beside([Path(each) for each in inputs], Naming("-restored", **naming))
    jobs = {str(job.source): str(job.target) for jobs in groups.values() for job in jobs}
    return jobs, {str(folder) for folder in groups}, [problem.message for problem in problems]


def test_results_lie_beside_photos_and_folders(tmp_path):
    files(tmp_path, "a.jpg", "deep/b.heic", "photos/c.png", "photos/d/e.tif")
    jobs, folders, problems = targets("a.jpg", "deep/b.heic", "photos")
    assert jobs == {
        "a.jpg": "a-restored.jpg",
        "deep/b.heic": "deep/b-restored.jpg",
        "photos/c.png": "photos-restored/c.png",
        "photos/d/e.tif": "photos-restored/d/e.tif",
    }
    assert (folders, problems) == ({".", "deep", "photos-restored"}, [])


def test_the_folder_one_is_in_has_a_name_too(tmp_path, monkeypatch):
    files(tmp_path, "photos/a.jpg")
    monkeypatch.chdir(tmp_path / "photos")
    files(tmp_path, "photos/deep/b.txt")
    for here in (".", "../photos", "../photos/.", "deep/.."):
        jobs, _, _ = targets(here)
        assert {Path(target).resolve() for target in jobs.values()} == {tmp_path / "photos-restored/a.jpg"}


def test_results_are_not_restored_again(tmp_path):
    files(tmp_path, "a.jpg", "b.heic", "photos/c.jpg", "photos-restored/c.jpg", "own-restored.jpg")
    restored("a-restored.jpg", "b-restored.jpg", "photos/c-restored.jpg")
    Manifest(tmp_path / "photos-restored").close()
    jobs, _, problems = targets(*sorted(str(path) for path in Path().iterdir()))
    assert set(jobs) == {"a.jpg", "b.heic", "own-restored.jpg", "photos/c.jpg"}
    assert [problem.partition(":")[0] for problem in problems] == [
        "left out 1 result of earlier runs (photos/c-restored.jpg)",
        "left out 3 results of earlier runs (a-restored.jpg, ...)",
    ]
    for result in ("a-restored.jpg", "photos-restored"):
        jobs, _, problems = targets(result)
        assert (jobs, len(problems)) == ({}, 1)
        assert "is a result already" in problems[0]


def test_a_name_alone_makes_no_result(tmp_path):
    """Photos of the user's own that are called as results used to be left out."""
    files(tmp_path, "a.jpg", "trip/b.jpg", "trip/b-restored.jpg", "trip-restored/b.jpg")
    image.write(np.full((8, 9, 3), 90, np.uint8), "a-restored.jpg", image.Photo(np.full((8, 9, 3), 90, np.uint8)))
    jobs, _, problems = targets("a.jpg", "a-restored.jpg", "trip", "trip-restored")
    assert set(jobs) == {"a-restored.jpg", "trip/b.jpg", "trip/b-restored.jpg", "trip-restored/b.jpg"}
    assert jobs["a-restored.jpg"] == "a-restored-restored.jpg"
    assert ["a-restored.jpg is one of the photos to restore" in problem for problem in problems] == [True]


def test_names_and_depth_are_what_was_asked_for(tmp_path):
    files(tmp_path, "photos/a.jpg", "photos/b/c.jpg")
    assert targets("photos", recursive=False)[0] == {"photos/a.jpg": "photos-restored/a.jpg"}
    assert targets("photos/a.jpg", format="png")[0] == {"photos/a.jpg": "photos/a-restored.png"}


def test_two_photos_never_meet_in_one_result(tmp_path):
    files(tmp_path, "a.heic", "a.jpg", "b.jpg", "b.png")
    jobs, _, problems = targets("a.heic", "a.jpg")
    assert (jobs, problems) == ({"a.heic": "a.heic-restored.jpg", "a.jpg": "a-restored.jpg"}, [])
    jobs, _, problems = targets("b.jpg", "b.png", format="png")
    assert (jobs, problems) == ({"b.jpg": "b.jpg-restored.png", "b.png": "b-restored.png"}, [])


@pytest.mark.parametrize("naming", [{"suffix": "a/b"}, {"format": "gif"}])
def test_names_that_cannot_be_are_refused(naming):
    with pytest.raises(ValueError, match="expected"):
        Naming(**naming)
