"""The service as a program meets it: the command's results, limits, and one sentence for what went wrong."""

import json
import select
import socket
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from idrestore import batch
from idrestore.files import image
from idrestore.model import checkpoint
from idrestore.restoration.restorer import Restorer
from idrestore.restoration.sentence import sentence
from idrestore.server.queue import JobQueue

for name in ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "httpx"):
    pytest.importorskip(name, reason=f"{name} is not installed")
from serving import client, expected, serving  # noqa: E402
from small import tiny_file  # noqa: E402

from idrestore.server.service import job_named  # noqa: E402


@pytest.fixture(autouse=True)
def _same_date(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")  # results hold the date of their making


@pytest.fixture(scope="module")
def restorer(tmp_path_factory):
    return Restorer(
        checkpoint.load(tiny_file(tmp_path_factory.mktemp("model"), licence="CC0", description="Tiny.")), "cpu", "fp32"
    )


@pytest.fixture(scope="module")
def url(restorer):
    with serving({"tiny": restorer, "again": restorer}, JobQueue(queue=64), max_bytes=2_000_000) as (url, _):
        yield url


class Slow(Restorer):
    """Works for `seconds` on every photo, in many tiles."""

    seconds = 60.0

    def restore(self, image, *wish, **_):
        progress = wish[3]
        for tile in range(int(100 * self.seconds)):
            progress(tile, int(100 * self.seconds))
            time.sleep(0.01)
        return super().restore(image, *wish)


@pytest.fixture
def slow(restorer):
    return Slow(restorer.model, "cpu", "fp32")


def png(value=90, size=(20, 30)):
    pixels = np.full((*size, 3), value, np.uint8)
    pixels[: size[0] // 2, :, 0] += 40
    return image.encode(pixels, "a.png", image.Photo(pixels))[0]


def photo(data=None, name="a.png"):
    return {"photo": (name, png() if data is None else data)}


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def error(response):
    """Return the one sentence of a refusal."""
    assert response.headers["content-type"] == "application/json"
    assert response.json().keys() == {"error"}
    assert "\n" not in response.json()["error"]
    return response.json()["error"]


@pytest.mark.parametrize(
    ("form", "settings"),
    [
        ({}, batch.Settings()),
        ({"strength": "0.5"}, batch.Settings(strength=0.5)),
        ({"strength": "haze=0.5", "model": "again"}, batch.Settings(strength={"haze": 0.5})),
        ({"only": "rain,haze"}, batch.Settings(only={"rain", "haze"})),
        ({"ingredients": "rain=0.6"}, batch.Settings(ingredients={"rain": 0.6})),
        ({"provenance": "false", "guard": "no"}, batch.Settings(provenance=False, guard=False)),
        ({"quality": "30"}, batch.Settings(quality=30)),
        ({"controls": "haze=off,rain=auto"}, batch.Settings(strength={"haze": 0.0})),
        ({"controls": "haze=0.6"}, batch.Settings(strength=0.6, ingredients={"haze": 1.0})),
        ({"controls": "haze=0"}, batch.Settings(strength={"haze": 0.0})),
    ],
)
@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_a_result_is_the_commands_byte_for_byte(url, restorer, form, settings, ending):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    data = image.encode(pixels, f"a.{ending}", image.Photo(pixels))[0]
    name = f"a.{ending}"
    made = expected(restorer, data, name, settings)
    with client(url) as http:
        answer = http.post("/restore", files=photo(data, name), data=form)
    assert (answer.status_code, answer.content) == (200, made.data)
    assert answer.headers["content-type"] == {"png": "image/png", "jpg": "image/jpeg"}[ending]
    about = json.loads(answer.headers["idrestore-result"])
    assert about["ingredients"] == dict(made.ingredients)
    assert about["notes"] == list(made.notes)
    assert about["model"] == "tiny"
    assert about["sentence"] == sentence(made.ingredients, **settings.steering, changed=not made.unchanged)


def test_fifty_requests_at_once_get_each_its_own_picture(url, restorer):
    photos = [png(value) for value in range(100, 150)]
    results = [expected(restorer, data).data for data in photos]
    assert len(set(results)) == 50
    ready = threading.Barrier(50)

    def send(data):
        with client(url) as http:
            ready.wait(20)
            return http.post("/restore", files=photo(data)).content

    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(send, photos)) == results


def test_a_full_queue_is_said_at_once_and_a_client_who_goes_frees_it(slow):
    queue = JobQueue(queue=0)
    with serving({"slow": slow}, queue) as (url, _), client(url) as http:
        going = threading.Thread(target=leave, args=(url,))
        going.start()
        until(lambda: queue.load)
        answer = http.post("/restore", files=photo())
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "10")
        assert "waiting already" in error(answer)
        assert http.get("/health").json()["load"] == 1
        going.join()
        until(lambda: not queue.load)


def leave(url):
    """Send a photo, and go after half a second."""
    import httpx

    with client(url) as http, pytest.raises(httpx.ReadTimeout):
        http.post("/restore", files=photo(), timeout=0.5)


def test_a_photo_that_takes_too_long_is_given_up(slow):
    with serving({"slow": slow}, JobQueue(time_limit=0.1)) as (url, _), client(url) as http:
        answer = http.post("/restore", files=photo())
        assert answer.status_code == 504
        assert "not finished within 0.1 s" in error(answer)


def test_stopping_finishes_what_is_at_work_and_refuses_the_rest(slow):
    slow.seconds = 1.0
    queue = JobQueue()
    with serving({"slow": slow}, queue) as (url, server), ThreadPoolExecutor(1) as pool, client(url) as http:
        working = pool.submit(http.post, "/restore", files=photo())
        until(lambda: queue.load)
        server.should_exit = True
        until(lambda: queue.is_closing)
        late = http.post("/restore", files=photo())
        assert (late.status_code, error(late)) == (503, "the service is stopping: try again later")
        assert (http.get("/health").status_code, http.get("/health").json()["status"]) == (503, "stopping")
        assert image.read(working.result().content).pixels.shape == (20, 30, 3)


def bomb():
    """Return a PNG whose header claims 30,000 x 30,000 pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))


@pytest.mark.parametrize(
    ("files", "form", "status", "words"),
    [
        (photo(bomb()), {}, 413, "30000 x 30000 pixels: expected at most 1,000,000"),
        (photo(b"\x89PNG" + bytes(3_000_000)), {}, 413, "at most 2,000,000 bytes"),
        (photo(b"hello"), {}, 415, "a.png is not a picture (it starts with 'hello')"),
        (photo(b""), {}, 415, "a.png is not a picture (it is empty)"),
        (photo(png()[:60]), {}, 415, "damaged or cut short"),
        (photo(name="a.txt"), {}, 415, "expected a name that ends in"),
        (photo(name="a"), {}, 415, "expected a name that ends in"),
        ({}, {}, 422, "photo: this field is missing"),
        ({"photo": (None, "text")}, {}, 422, "photo: expected a file's content"),
        ({}, {"photo": "text"}, 422, "got a body of application/x-www-form-urlencoded: expected multipart/form-data"),
        ([*photo().items(), *photo().items()], {}, 422, "photo: sent 2 times, expected once"),
        (photo(), {"strenght": "1"}, 422, "strenght: no field of this name; did you mean strength?"),
        (photo(), {"path": "/etc/passwd"}, 422, "path: no field of this name; expected model, "),
        (photo(), {"controls": "haze=much"}, 422, "controls: got 'haze=much'"),
        (photo(), {"controls": "scratches=1"}, 422, "controls: got scratches, expected some of noise, rain"),
        (photo(), {"controls": "haze=2"}, 422, "controls: got 'haze=2', expected NAME=auto"),
        (photo(), {"controls": "haze=1", "only": "rain"}, 422, "controls: expected no strength"),
        (photo(), {"model": "none"}, 422, "model: got 'none', expected one of tiny, again"),
        (photo(), {"strength": "2"}, 422, "strength: got '2', expected 0 to 1"),
        (photo(), {"strength": "nan"}, 422, "strength: got 'nan'"),
        (photo(), {"strength": "haze=much"}, 422, "strength: got 'haze=much'"),
        (photo(), {"only": "snow"}, 422, "only: got snow"),
        (photo(), {"ingredients": "rain=0.7,noise=0.5"}, 422, "ingredients: got a sum of 1.2"),
        (photo(), {"guard": "perhaps"}, 422, "guard: "),
        (photo(), {"quality": "0"}, 422, "quality: got 0, expected 1 to 100"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(url, files, form, status, words):
    with client(url) as http:
        answer = http.post("/restore", files=files, data=form)
        assert (answer.status_code, http.get("/health").json()["load"]) == (status, 0)
    assert words in error(answer)


@pytest.mark.parametrize("kind", ["image/png", "application/octet-stream", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("path", ["/restore", "/explain", "/jobs"])
def test_a_photo_that_is_the_body_itself_is_refused_without_its_bytes(url, path, kind):
    with client(url) as http:
        answer = http.post(path, content=png(), headers={"content-type": kind})
    expected = "expected multipart/form-data with the field photo, as curl -F photo=@photo.jpg sends it"
    assert (answer.status_code, error(answer)) == (422, f"got a body of {kind}: {expected}")


def test_what_does_not_say_how_long_it_is_is_counted(url):
    head = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n\r\n'
    parts = [head, *[bytes(100_000)] * 30]
    with client(url) as http:
        answer = http.post("/restore", content=iter(parts), headers={"content-type": "multipart/form-data; boundary=b"})
    assert answer.status_code == 413
    assert "too large" in error(answer)


def test_headers_without_end_are_refused(url):
    host, _, port = url.rpartition("/")[2].partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        answer = b""
        for _ in range(1000):
            try:
                connection.sendall(b"x: " + b"x" * 100_000)
                answer = answer or connection.recv(100) if select.select([connection], [], [], 0.01)[0] else answer
            except ConnectionError:
                break
        else:
            pytest.fail("100 MB of headers were taken")
    assert answer.startswith(b"HTTP/1.1 400")
    with client(url) as http:
        assert http.get("/health").status_code == 200


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("../../../etc/passwd.png", "passwd.png"),
        ("..\\..\\boot.jpg", "boot.jpg"),
        ("/a.png", "a.png"),
        ("a\r\nSet-Cookie: b.png", "aSet-Cookie: b.png"),
        ("\u202egnp.png", "gnp.png"),
        ("x" * 300 + ".png", "x" * 56 + ".png"),
        ("a.heic", "a.jpg"),
        ("..", "photo"),
        ("", "photo"),
        ("ünï 雨.png", "ünï 雨.png"),
    ],
)
def test_names_are_names_of_files_and_nothing_else(sent, name):
    job = job_named(sent)
    assert job.target == Path(name)
    assert job.target.parent == Path()


def test_a_name_of_any_script_comes_back(url):
    with client(url) as http:
        answer = http.post("/restore", files=photo(name="../雨 1.png"))
    expected = "attachment; filename=\"_ 1-restored.png\"; filename*=utf-8''%E9%9B%A8%201-restored.png"
    assert answer.headers["content-disposition"] == expected


def test_explain_tells_why_as_numbers_or_as_a_page(url):
    with client(url) as http:
        told = http.post("/explain", files=photo(name="../a.png")).json()
        assert (told["photo"], told["model"], sum(told["ingredients"].values())) == ("a.png", "tiny", pytest.approx(1))
        page = http.post("/explain", files=photo(), data={"form": "html"})
        assert page.headers["content-type"].startswith("text/html")
        assert "<h1>" in page.text
        assert http.post("/explain", files=photo(b"hello")).status_code == 415
        assert "model: got 'x'" in error(http.post("/explain", files=photo(), data={"model": "x"}))


def test_a_photo_that_is_too_large_to_explain_is_refused_before_it_waits(url, monkeypatch):
    monkeypatch.setattr("idrestore.server.app.MAX_EXPLAINED", 500)
    with client(url) as http:
        answer = http.post("/explain", files=photo())
    assert answer.status_code == 413
    assert "30 x 20 pixels: expected at most 500" in error(answer)


def test_models_are_listed_with_their_licences(url, restorer):
    with client(url) as http:
        cards = http.get("/models").json()
    assert [(card["name"], card["default"], card["licence"]) for card in cards] == [
        ("tiny", True, "CC0"),
        ("again", False, "CC0"),
    ]
    assert cards[0]["sha256"] == restorer.model.sha256
    assert "rain" in cards[0]["degradations"]


def test_what_is_not_there_is_said_in_json_too(url):
    with client(url) as http:
        assert error(http.get("/restored")) == "there is nothing at /restored: see /docs"
        assert error(http.get("/restore")) == "GET is not for /restore: see /docs"
        assert error(http.get("/health?verbose=1")) == "verbose: no query field of this name; expected none"
        assert error(http.get("/jobs/x")) == "there is no such job, or not any more: send the photo again"


def test_figures_count_what_was_answered(url):
    with client(url) as http:
        for _ in range(2):
            http.get("/jobs/any")
        figures = http.get("/metrics")
    assert figures.headers["content-type"].startswith("text/plain")
    assert 'idrestore_requests_total{route="/jobs/{job}",status="404"}' in figures.text
    assert "idrestore_queue_jobs 0.0" in figures.text


def test_the_document_for_people_names_every_address_and_field(url):
    with client(url) as http:
        page, document = http.get("/docs").text, http.get("/openapi.json").json()
    for path in document["paths"]:
        assert f" {path}</code>" in page
    assert "controls" in page


def test_the_document_describes_what_is_answered(url):
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    import schemathesis
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert {operation.path for operation in operations} >= {"/restore", "/explain", "/jobs", "/models", "/health"}
    wanted = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]
    for operation in operations:

        @settings(max_examples=20, derandomize=True, database=None)
        @given(operation.as_strategy())
        def answers_conform(case):
            case.call_and_validate(checks=wanted, headers={"connection": "close"})

        answers_conform()
