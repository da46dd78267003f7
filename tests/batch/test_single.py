"""One photo, from a file to a file, from Python."""

from pathlib import Path

import numpy as np
import pytest
from small import tiny_file

import idrestore
from idrestore.files import image
from idrestore.restoration.restorer import load


@pytest.fixture(scope="module")
def restorer(tmp_path_factory):
    return load(tiny_file(tmp_path_factory.mktemp("model")))


@pytest.fixture
def photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = np.full((36, 40, 3), 90, np.uint8)
    pixels[:9] += 20  # not of one colour, which would be left as it is
    image.write(pixels, "a.png", image.Photo(pixels, grey=True))
    return Path("a.png")


def test_a_file_is_restored_as_the_command_does(photo, restorer):
    outcome = idrestore.restore_file(photo, "b.png", restorer, only="rain", strength=0.5)
    made = image.read("b.png")
    assert (outcome.status, made.pixels.shape, made.grey) == ("done", (36, 40, 3), True)
    assert image.software(made).startswith("idrestore")
    assert sum(outcome.ingredients.values()) == pytest.approx(1)
    assert outcome.seconds > 0


def test_a_result_lies_beside_its_photo_and_is_not_replaced_unasked(photo, restorer):
    assert idrestore.restore_file(photo, restorer=restorer).job.target == Path("a-restored.png")
    with pytest.raises(image.ImageError, match="exists already: pass overwrite=True to replace it"):
        idrestore.restore_file(photo, restorer=restorer)
    assert idrestore.restore_file(photo, restorer=restorer, overwrite=True).status == "done"


def test_what_cannot_be_done_is_raised_in_one_line(photo, restorer):
    before = photo.read_bytes()
    Path("bad.jpg").write_text("hello")
    for source, target in (("none.jpg", "b.jpg"), ("bad.jpg", "b.jpg"), ("a.png", "a.png"), ("a.png", "b.gif")):
        with pytest.raises(ValueError) as caught:
            idrestore.restore_file(source, target, restorer, overwrite=True)
        assert "\n" not in str(caught.value)
        assert " -" not in str(caught.value), "flags are the command's"
    with pytest.raises(ValueError, match="unknown setting 'strenght'; the nearest one is 'strength'"):
        idrestore.restore_file(photo, "b.jpg", restorer, strenght=0.5)
    assert photo.read_bytes() == before
    assert not Path("b.jpg").exists()


def test_paths_photos_and_arrays_are_restored_alike(photo, restorer):
    read = idrestore.read(photo)
    results = [restorer.restore(each, ingredients={"haze": 1.0}) for each in (photo, str(photo), read, read.pixels)]
    for result in results:
        np.testing.assert_array_equal(result.image, results[0].image)
    assert restorer.find(photo) == pytest.approx(restorer.find(read.pixels))
    clear = image.Photo(read.pixels, np.full((36, 40), 7, np.uint8))
    assert (restorer.restore(clear).image[..., 3] == 7).all()


def test_what_restoring_returns_is_written_with_its_transparency(restorer, tmp_path):
    pixels, alpha = np.full((36, 40, 3), 90, np.uint8), np.full((36, 40), 7, np.uint8)
    read = image.Photo(pixels, alpha)
    result = restorer.restore(read).image
    idrestore.write(result, tmp_path / "a.png", read)
    again = idrestore.read(tmp_path / "a.png")
    assert (again.pixels == result[..., :3]).all() and (again.alpha == 7).all()


def test_notes_name_arguments_not_flags(restorer, tmp_path):
    pixels = np.random.default_rng(0).integers(60, 200, (200, 300, 3), np.uint8)
    pixels[60:120, 80:220] = 0
    image.write(pixels, tmp_path / "a.png", image.Photo(pixels))
    notes = idrestore.restore_file(tmp_path / "a.png", tmp_path / "b.png", restorer).notes
    assert any("guard=False restores all" in note for note in notes), notes
    assert "--" not in " ".join(notes)
