"""`idrestore web` as a stranger starts and stops it."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest

for name in ("fastapi", "prometheus_client", "httpx"):
    pytest.importorskip(name, reason=f"{name} is not installed")
from serving import client  # noqa: E402
from small import tiny_file  # noqa: E402

from idrestore.extras import how_to_install  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_file(tmp_path_factory.mktemp("model"), licence="CC0")


@contextmanager
def start(*arguments, folder=None, code="from idrestore.cli import main; main()"):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1", "TMPDIR": str(folder or "/tmp")}
    environment.pop("IDRESTORE_TOKEN", None)
    command = [sys.executable, "-c", code, "web", *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()  # where a test fails, nothing else would end it


@pytest.mark.skipif(os.name == "nt", reason="stops by a signal")
def test_it_serves_with_a_token_until_it_is_told_to_stop(tmp_path, model):
    with start("--port", 0, "--token", "secret", "-m", model, folder=tmp_path) as process:
        url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url), process.stderr.read()
        with client(url) as http:
            assert http.get("/health").status_code == 200
            assert [http.get(path).status_code for path in ("/", "/models", "/docs")] == [401] * 3
            assert http.get("/models", headers={"Authorization": "Bearer secret"}).json()[0]["name"] == "tiny"
            assert http.get("/", auth=("anybody", "secret")).status_code == 200
        assert list(tmp_path.glob("idrestore-*"))
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=180)
    assert (process.returncode, out, err) == (0, "", "")
    assert not list(tmp_path.glob("idrestore-*"))


def test_it_is_not_served_to_others_without_a_token(model):
    refused(["--host", "0.0.0.0", "-m", model], "--host: 0.0.0.0 can be reached by others: pass --token")


def test_what_cannot_be_served_is_refused(model):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused(["--port", taken.getsockname()[1], "-m", model], "cannot be served (Address already in use)")
    refused(["-m", model, "--memory", "1M"], "memory: got 0.00G, expected more than the")
    refused(["-m", model, "-m", model], "--model: there are two models of the name tiny")


def test_a_missing_extra_is_named():
    code = "import sys; sys.modules['fastapi'] = None; from idrestore.cli import main; main()"
    refused([], f"fastapi not installed: {how_to_install('web')}", code=code)


def refused(arguments, words, **options):
    with start(*arguments, **options) as process:
        out, err = process.communicate(timeout=180)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1), err
    assert words in err


SLOW = """
import time
from idrestore.restoration.restorer import Restorer

def restore(self, image, *_, **__):
    time.sleep(600)  # one tile that cannot be stopped

Restorer.restore = restore
from idrestore.cli import main
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="stops by a signal")
def test_one_interrupt_says_what_it_waits_for_and_a_second_stops_at_once(tmp_path, model):
    import httpx

    image = pytest.importorskip("idrestore.files.image")
    pixels = np.zeros((8, 8, 3), np.uint8)
    data = image.encode(pixels, "a.png", image.Photo(pixels))[0]
    with start("--port", 0, "-m", model, "--access-log", folder=tmp_path, code=SLOW) as process:
        url = process.stdout.readline().strip()
        with client(url) as http:
            assert http.post("/jobs", files={"photo": ("a.png", data)}).status_code == 202
            process.send_signal(signal.SIGINT)
            said = {process.stderr.readline(), process.stderr.readline()}  # in either order
            wanted = "idrestore: stopping: waiting for 1 photo, 60 s at most; Ctrl-C again stops at once\n"
            assert wanted in said
            assert any('"POST /jobs" 202' in line for line in said)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=120)
            assert (process.returncode, out, err) == (130, "", "")
            with pytest.raises(httpx.TransportError):
                http.get("/health")
    assert not list(tmp_path.glob("idrestore-*"))
