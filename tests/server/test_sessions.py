"""What a page has at work, without the page."""

import threading
import zipfile

import numpy as np
import pytest

from idrestore.files import image
from idrestore.model import checkpoint
from idrestore.restoration.restorer import Restorer
from idrestore.server.queue import Workshop

for name in ("fastapi", "python_multipart", "uvicorn"):
    pytest.importorskip(name, reason=f"{name} is not installed")
from serving import expected  # noqa: E402
from small import tiny_file  # noqa: E402

from idrestore.server.app import Service  # noqa: E402
from idrestore.server.sessions import PART, Visits, Wishes, comparison, to_download  # noqa: E402


def quiet(name, tiles):
    """Hear how far the work is, and say nothing."""


@pytest.fixture(autouse=True)
def _same_date(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")  # results hold the date of their making


@pytest.fixture(scope="module")
def restorer(tmp_path_factory):
    return Restorer(checkpoint.load(tiny_file(tmp_path_factory.mktemp("model"))), "cpu", "fp32")


@pytest.fixture
def visits(restorer, tmp_path):
    workshop = Workshop(queue=1)
    (tmp_path / "results").mkdir()
    yield Visits(Service({"tiny": restorer}, workshop, 10**6), tmp_path / "results")
    workshop.close(5)


def noise(path, size=(24, 36), alpha=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(str(path))).integers(0, 256, (*size, 3), np.uint8)
    image.write(pixels, path, image.Photo(pixels, pixels[..., 0].copy() if alpha else None))
    return path


def test_photos_of_one_name_get_two_in_the_archive_and_none_is_lost(visits, restorer, tmp_path):
    photos = [noise(tmp_path / "x/a.png"), noise(tmp_path / "longer/a.png"), tmp_path / "none.png"]
    finished, failures = visits.restore("me", Wishes(photos, "tiny"), quiet)
    assert [line.count("none.png") for line in failures] == [1]
    with zipfile.ZipFile(to_download(finished)) as archive:
        assert archive.namelist() == ["a.png", "a-2.png"]
        for photo, name in zip(photos, archive.namelist(), strict=False):
            assert archive.read(name) == expected(restorer, photo.read_bytes()).data
    assert to_download(finished[:1]) == finished[0].target
    assert to_download([]) is None
    visits.end("me")
    assert not list((tmp_path / "results").iterdir())


@pytest.mark.parametrize(
    ("place", "top", "left"), [((0, 0), 0, 0), ((1, 1), 600 - PART, 700 - PART), ((0.5, 0.5), 300 - PART // 2, 94)]
)
def test_a_part_lies_where_it_was_asked_for(visits, tmp_path, place, top, left):
    photo = noise(tmp_path / "a.png", (600, 700), alpha=True)
    part = visits.part("me", Wishes([photo], "tiny"), place, quiet)
    expected = image.read(photo).pixels[top : top + PART, left : left + PART]
    np.testing.assert_array_equal(image.read(part.before).pixels, expected)
    assert image.read(part.after).pixels.shape == expected.shape
    assert sum(part.ingredients.values()) == pytest.approx(1)


def test_a_part_of_a_small_photo_is_all_of_it(visits, tmp_path):
    photo = noise(tmp_path / "a.png")
    part = visits.part("me", Wishes([photo], "tiny"), (1, 0), quiet)
    np.testing.assert_array_equal(image.read(part.before).pixels, image.read(photo).pixels)


def test_cancelling_keeps_what_is_finished_and_counts_the_rest(visits, tmp_path):
    photos = [noise(tmp_path / f"{name}.png") for name in "abc"]
    release = threading.Event()
    blocker = visits.service.workshop.submit(lambda _: release.wait(10))
    timer = threading.Timer(0.5, release.set)  # until then the first photo waits, and is told of
    timer.start()
    finished, failures = visits.restore("me", Wishes(photos, "tiny"), lambda name, _: visits.cancel("me"))
    timer.join()
    blocker.result()
    assert (finished, failures) == ([], ["the work was cancelled; photos not restored: 3"])
    finished, failures = visits.restore("me", Wishes(photos, "tiny"), quiet)
    assert (len(finished), failures) == (3, [])
    visits.cancel("nobody")


def test_a_comparison_names_its_pictures(tmp_path):
    photo = noise(tmp_path / "a.png")
    text = comparison(photo, photo, '<a> & "b"')
    assert 'alt="&lt;a&gt; &amp; &quot;b&quot;, restored"' in text
    assert text.count("data:image/webp;base64,") == 2
