"""What the service keeps: results that are the command's, bounded, told apart, and forgotten."""

import io
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from idrestore import batch
from idrestore.files import image
from idrestore.model import checkpoint
from idrestore.restoration.restorer import Restorer

for name in ("fastapi", "python_multipart", "uvicorn", "httpx"):
    pytest.importorskip(name, reason=f"{name} is not installed")
from serving import client, expected, serving  # noqa: E402
from small import tiny_file  # noqa: E402

from idrestore.server import jobs  # noqa: E402
from idrestore.server.queue import JobQueue  # noqa: E402


@pytest.fixture(autouse=True)
def _same_date(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")  # results hold the date of their making


@pytest.fixture(scope="module")
def restorer(tmp_path_factory):
    return Restorer(checkpoint.load(tiny_file(tmp_path_factory.mktemp("model"))), "cpu", "fp32")


@pytest.fixture(scope="module")
def served(restorer):
    with serving({"tiny": restorer}) as (url, server), client(url) as http:
        yield http, server.service


@pytest.fixture
def http(served):
    return served[0]


def png(seed=0, size=(36, 48), alpha=False):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    photo = image.Photo(pixels, pixels[..., 0].copy() if alpha else None)
    return image.encode(pixels, "a.png", photo)[0]


def begin(http, data=None, name="a.png", **form):
    """Begin a job and return its answer."""
    return http.post("/jobs", files={"photo": (name, png() if data is None else data)}, data=form)


def finished(http, data=None, name="a.png", **form):
    """Begin a job, wait for its end, and return its state."""
    job = begin(http, data, name, **form).json()
    return until_done(http, job["id"])


def until_done(http, name):
    end = time.monotonic() + 30
    while (job := http.get(f"/jobs/{name}").json())["state"] in ("waiting", "working"):
        assert time.monotonic() < end
        time.sleep(0.02)
    return job


def test_a_job_answers_at_once_and_has_the_commands_result_then(http, restorer):
    answer = begin(http, png(1))
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    done = until_done(http, job["id"])
    assert (done["state"], done["progress"], done["version"], done["error"]) == ("done", 1.0, 1, "")
    assert (done["name"], done["result"], done["width"], done["height"]) == ("a.png", "a-restored.png", 48, 36)
    result = http.get(f"/jobs/{job['id']}/result")
    made = expected(restorer, png(1))
    assert result.content == made.data
    assert done["ingredients"] == dict(made.ingredients)
    assert 'filename="a-restored.png"' in result.headers["content-disposition"]


def test_a_job_is_restored_again_in_another_way(http, restorer):
    job = finished(http, png(2))
    url = f"/jobs/{job['id']}"
    assert http.post(f"{url}/restore", data={"controls": "noise=off"}).status_code == 202
    again = until_done(http, job["id"])
    assert again["version"] == 2
    settings = batch.Settings(strength={"noise": 0.0})
    assert http.get(f"{url}/result").content == expected(restorer, png(2), settings=settings).data
    assert "controls: got scratches" in http.post(f"{url}/restore", data={"controls": "scratches=1"}).json()["error"]


def test_who_insists_on_one_thing_keeps_what_was_found_of_the_rest(http, restorer):
    job = finished(http, png(3))
    http.post(f"/jobs/{job['id']}/restore", data={"controls": "haze=1,rain=off"})
    until_done(http, job["id"])
    shares = {name: share for name, share in job["ingredients"].items() if name not in ("clean", "rain")} | {"haze": 1}
    total = sum(shares.values())
    said = http.get(f"/jobs/{job['id']}").json()["sentence"]
    assert said.startswith("haze, as you say, ")
    assert said.count("as you say") == 1
    settings = batch.Settings(ingredients={name: share / total for name, share in shares.items()})
    assert http.get(f"/jobs/{job['id']}/result").content == expected(restorer, png(3), settings=settings).data


def test_pictures_to_look_at_are_those_of_the_newest_result(http):
    job = finished(http, png(4))
    url = f"/jobs/{job['id']}"
    before, after = (http.get(f"{url}/{which}.webp") for which in ("before", "after"))
    assert (before.headers["content-type"], before.content[8:12]) == ("image/webp", b"WEBP")
    assert image.size(after.content) == (48, 36)
    http.post(f"{url}/restore", data={"strength": "0"})
    until_done(http, job["id"])
    assert http.get(f"{url}/after.webp?version=2").content != after.content
    assert http.get(f"{url}/other.webp").status_code == 422


@pytest.mark.parametrize(
    ("place", "top", "left"),
    [((0, 0), 0, 0), ((1, 1), 600 - jobs.PART_SIDE, 700 - jobs.PART_SIDE), ((0.5, 0.5), 44, 94)],
)
def test_a_part_lies_where_it_was_asked_for(served, restorer, place, top, left):
    http, service = served
    job = service.jobs.get(finished(http, png(5, (600, 700), alpha=True))["id"])
    part = jobs.restore_part(restorer, job, batch.Settings(), place, lambda *_: None)
    assert part.box == (left, top, jobs.PART_SIDE, jobs.PART_SIDE)
    whole = image.read(job.source).pixels[top : top + jobs.PART_SIDE, left : left + jobs.PART_SIDE]
    np.testing.assert_array_equal(image.read(part.before).pixels, whole)
    assert image.read(part.after).pixels.shape == whole.shape


def test_a_part_of_a_small_photo_is_all_of_it(http):
    job = finished(http, png(6))
    part = http.post(f"/jobs/{job['id']}/preview", data={"across": "1", "down": "0", "controls": "haze=off"}).json()
    assert (part["left"], part["top"], part["width"], part["height"]) == (0, 0, 48, 36)
    assert part["before"].startswith("data:image/png;base64,")
    refused = http.post(f"/jobs/{job['id']}/preview", data={"across": "2"})
    assert refused.status_code == 422


def test_results_of_one_name_are_two_in_the_archive(http, restorer):
    data = [png(7), png(8)]
    ids = [finished(http, each)["id"] for each in data]
    answer = http.get("/archive", params={"job": [*ids, ids[0]]})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["a-restored.png", "a-restored-2.png"]
        for each, name in zip(data, archive.namelist(), strict=True):
            assert archive.read(name) == expected(restorer, each).data
    assert http.get("/archive").status_code == 422
    assert http.get("/archive", params={"job": ["x"]}).status_code == 404


def test_a_session_has_its_own_jobs_and_takes_them_with_it(served):
    http, service = served
    job, other = finished(http, session="mine"), finished(http, session="yours")
    assert [each["id"] for each in http.get("/sessions/mine").json()] == [job["id"]]
    folder = service.jobs.get(job["id"]).folder
    before = service.jobs.storage.used
    assert http.delete("/sessions/mine").status_code == 204
    assert not folder.exists()
    assert service.jobs.storage.used < before
    assert http.get(f"/jobs/{job['id']}").status_code == 404
    assert http.get(f"/jobs/{other['id']}").status_code == 200
    assert http.get("/sessions/").status_code == 404
    assert begin(http, session="../x").status_code == 422


def test_what_nobody_asks_for_is_forgotten(served, monkeypatch):
    http, service = served
    job = finished(http)
    service.jobs.remove_forgotten()
    assert http.get(f"/jobs/{job['id']}").status_code == 200
    monkeypatch.setattr(jobs, "KEPT_FOR", 0.0)
    service.jobs.remove_forgotten()
    assert http.get(f"/jobs/{job['id']}").status_code == 404
    assert (service.jobs.storage.used, list(service.jobs.storage.folder.glob("job-*"))) == (0, [])


def test_what_is_kept_is_bounded_in_number_and_in_bytes(restorer):
    noise = png(9, (100, 100))  # 30 kB
    with serving({"tiny": restorer}, max_jobs=4) as (url, server), client(url) as http:
        kept = [finished(http, session="a")["id"] for _ in range(2)]
        refused = begin(http, session="a")
        assert refused.status_code == 507
        assert "2 photos of yours, 2 in all are kept already" in refused.json()["error"]
        [finished(http, session="b") for _ in range(2)]
        assert begin(http, session="c").status_code == 507
        http.delete(f"/jobs/{kept[0]}")
        assert begin(http, session="c").status_code == 202
    with serving({"tiny": restorer}, max_storage=150_000) as (url, server), client(url) as http:
        assert finished(http, noise, session="a")["state"] == "done"
        refused = begin(http, noise, session="a")
        assert (refused.status_code, "a session may keep 75,000 bytes" in refused.json()["error"]) == (507, True)
        assert server.service.jobs.storage.used < 75_000


def test_a_result_for_which_there_is_no_room_is_a_failure_and_nothing_more(restorer):
    ramp = np.tile(np.arange(256, dtype=np.uint8)[:, None], (256, 1, 3))  # as a PNG next to nothing, and restored much
    small = image.encode(ramp, "a.png", image.Photo(ramp))[0]
    with serving({"tiny": restorer}, max_storage=5 * len(small)) as (url, _), client(url) as http:
        job = finished(http, small, "a.png")
        assert job["state"] == "failed"
        assert "bytes are taken" in job["error"]
        assert http.get(f"/jobs/{job['id']}/result").status_code == 409
        assert http.get("/health").status_code == 200


def test_a_job_that_fails_says_why(http):
    broken = png(10, (200, 200))
    job = finished(http, broken[: len(broken) // 2])
    assert job["state"] == "failed"
    assert "damaged or cut short" in job["error"]
    answer = http.get(f"/jobs/{job['id']}/result")
    assert (answer.status_code, "has no result" in answer.json()["error"]) == (409, True)


def test_work_can_be_cancelled_and_what_waits_is_counted(restorer):
    queue, release = JobQueue(queue=1), threading.Event()
    with serving({"tiny": restorer}, queue) as (url, _), client(url) as http:
        blocker = queue.submit(lambda _: release.wait(20))
        job = begin(http).json()
        assert job["state"] == "waiting"
        assert begin(http).status_code == 429
        cancelled = http.post(f"/jobs/{job['id']}/cancel").json()
        assert (cancelled["state"], cancelled["error"]) == ("cancelled", "the work was cancelled")
        release.set()
        blocker.result()
        http.post(f"/jobs/{job['id']}/restore")
        assert until_done(http, job["id"])["state"] == "done"


def test_a_job_that_is_removed_at_work_leaves_nothing(restorer):
    started, release = threading.Event(), threading.Event()

    class Held(Restorer):
        def restore(self, image, *wish, **named):
            started.set()
            release.wait(20)
            return replace(super().restore(image, *wish, **named))

    with serving({"held": Held(restorer.model, "cpu", "fp32")}) as (url, server), client(url) as http:
        kept = server.service.jobs
        job = begin(http).json()
        started.wait(20)
        folder = kept.get(job["id"]).folder
        http.delete(f"/jobs/{job['id']}")
        release.set()
        end = time.monotonic() + 20
        while kept.queue.load and time.monotonic() < end:
            time.sleep(0.02)
        assert not Path(folder).exists()
        assert kept.storage.used == 0


def test_the_sentence_is_the_commands_in_the_language_that_the_client_accepts(http):
    job = finished(http, png(6), controls="haze=0.5")
    assert job["sentence"] == "haze, as you say: 50% removed"
    german = http.get(f"/jobs/{job['id']}", headers={"accept-language": "de-AT, en;q=0.5"}).json()
    assert german["sentence"] == "Dunst, wie Sie sagen: zu 50 % entfernt"
    assert http.get(f"/jobs/{job['id']}", headers={"accept-language": "fr"}).json() == job
