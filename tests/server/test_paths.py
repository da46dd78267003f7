"""No handler takes a path or an address: whatever is sent in place of a photo or a name, nothing is opened for it."""

import re
import sys
import threading

import numpy as np
import pytest

from idrestore.files import image
from idrestore.model import checkpoint
from idrestore.restoration.restorer import Restorer

for name in ("fastapi", "python_multipart", "uvicorn", "httpx"):
    pytest.importorskip(name, reason=f"{name} is not installed")
from serving import client, serving  # noqa: E402
from small import tiny_file  # noqa: E402

SECRET = b"the secret"


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    """Return a folder with a picture that nobody may see, a link to it, and a pipe's like: a link to a device."""
    folder = tmp_path_factory.mktemp("private")
    pixels = np.full((20, 30, 3), 77, np.uint8)
    image.write(pixels, folder / "private.png", image.Photo(pixels))
    (folder / "link.png").symlink_to(folder / "private.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "secret.txt").write_bytes(SECRET)
    return folder


@pytest.fixture(scope="module")
def opened():
    """Collect what this process, the server's, opens, looks up or connects to."""
    found, watching = [], True

    def hook(event, arguments):
        if watching and event in ("open", "os.listdir", "socket.connect", "socket.getaddrinfo"):
            found.append((threading.current_thread().name, event, str(arguments[0])))

    sys.addaudithook(hook)
    yield found
    watching = False


@pytest.fixture(scope="module")
def http(tmp_path_factory):
    restorer = Restorer(checkpoint.load(tiny_file(tmp_path_factory.mktemp("model"))), "cpu", "fp32")
    with serving({"tiny": restorer}) as (url, _), client(url) as http:
        yield http


def hostile(private):
    """Return paths and addresses that somebody may try."""
    files = [private / name for name in ("private.png", "link.png", "zero.png", "secret.txt")]
    escaped = [str(file).replace("/", "%2f") for file in files]
    others = ["/dev/zero", "/dev/stdin", "/etc/passwd", "/proc/self/environ", "..", ".", "../../../../etc/passwd", ""]
    others += ["file:///etc/passwd", "http://127.0.0.1:1/a.png", "//evil.example/a.png", "data:image/png;base64,AAAA"]
    others += [
        "..\\..\\boot.ini",
        "C:\\Windows\\win.ini",
        "\\\\server\\share\\a.png",
        "CON",
        "a\x00.png",
        "%00",
        "~root",
    ]
    return [str(private), *map(str, files), *escaped, *others]


GETS = (
    "/jobs/{}",
    "/jobs/{}/result",
    "/jobs/{}/before.webp",
    "/jobs/{}/after.webp",
    "/sessions/{}",
    "/static/{}",
    "/examples/{}/photo",
    "/examples/{}/small",
    "/archive?job={}",
    "/?lang={}",
    "/{}",
    "/gradio_api/file={}",
)


@pytest.mark.parametrize("address", GETS)
def test_a_name_in_an_address_is_a_name_of_ours_or_nothing(http, private, opened, address):
    del opened[:]
    for sent in hostile(private):
        for each in {sent, sent.replace("/", "%2f")}:
            url = address.format(each)
            try:
                answer = http.get(url)
            except Exception as error:  # noqa: BLE001 (httpx refuses some of them itself)
                assert type(error).__name__ in ("InvalidURL", "UnsupportedProtocol"), url
                continue
            is_page = answer.status_code == 200 and answer.headers["content-type"] in (
                "text/html; charset=utf-8",
                "application/json",
            )
            assert is_page or answer.status_code in (404, 405, 422), (url, answer.status_code)
            assert SECRET not in answer.content
            assert b"root:x:" not in answer.content
    assert not [each for each in opened if names_private(each, private)]


@pytest.mark.parametrize("address", ["/restore", "/explain", "/jobs"])
def test_a_path_in_the_place_of_a_photo_is_refused(http, private, opened, address):
    del opened[:]
    for sent in hostile(private):
        gradio = {"path": sent, "meta": {"_type": "gradio.FileData"}}
        for request in (
            {"data": {"photo": sent}},
            {"json": {"photo": sent}},
            {"json": {"photo": gradio, "data": [gradio]}},
            {"json": gradio},
            {"files": {"photo": (None, sent)}},
            {"files": {"photo": (sent, b"")}},
        ):
            answer = http.post(address, **request)
            assert answer.status_code in (415, 422), (request, answer.text)
            assert answer.json().keys() == {"error"}
    assert not [each for each in opened if names_private(each, private)]


@pytest.mark.parametrize(
    "field", ["model", "strength", "only", "ingredients", "controls", "session", "form", "quality"]
)
def test_a_path_in_any_other_field_is_refused_or_means_nothing(http, private, opened, field):
    photo = image.encode(np.zeros((20, 30, 3), np.uint8), "a.png", image.Photo(np.zeros((20, 30, 3), np.uint8)))[0]
    address = "/explain" if field == "form" else "/jobs"
    del opened[:]
    for sent in filter(None, hostile(private)):
        answer = http.post(address, files={"photo": ("a.png", photo)}, data={field: sent})
        is_harmless = field == "session" and re.fullmatch(r"[\w-]+", sent)
        assert answer.status_code == (202 if is_harmless else 422), (sent, answer.text)
    assert not [each for each in opened if names_private(each, private)]


def test_a_path_as_the_name_of_a_photo_is_its_last_part_at_most(http, private, opened):
    pixels = np.full((20, 30, 3), 9, np.uint8)
    photo = image.encode(pixels, "a.png", image.Photo(pixels))[0]
    del opened[:]
    for sent in hostile(private):
        answer = http.post("/restore", files={"photo": (f"{sent}/a.png", photo)})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-disposition"].startswith('attachment; filename="a-restored.png"')
    assert not [each for each in opened if names_private(each, private)]


def test_nothing_is_shared_with_pages_of_other_origins(http):
    for origin in ("http://127.0.0.1:8080", "http://localhost:3000", "null", "https://evil.example"):
        headers = {"origin": origin, "access-control-request-method": "POST"}
        for method, address in (("GET", "/models"), ("OPTIONS", "/restore"), ("OPTIONS", "/jobs"), ("GET", "/")):
            answer = http.request(method, address, headers=headers)
            assert not [name for name in answer.headers if name.startswith("access-control-")]
        for method, address in (
            ("POST", "/restore"),
            ("POST", "/jobs"),
            ("DELETE", "/sessions/a"),
            ("POST", "/nothing"),
        ):
            assert http.request(method, address, headers=headers).status_code == 403


def names_private(event, private):
    """Tell whether the server opened one of the files that it was asked for."""
    name = event[2]
    return any(part in name for part in (str(private), "/dev/zero", "/etc/passwd", "/proc/self", "evil.example"))
