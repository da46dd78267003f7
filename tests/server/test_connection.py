"""Clients that hold connections for nothing: each wait has an end, and others are served meanwhile."""

import socket
import time

import pytest

for name in ("fastapi", "uvicorn", "python_multipart", "httpx"):
    pytest.importorskip(name, reason=f"{name} is not installed")
from serving import client, serving  # noqa: E402
from small import tiny_file  # noqa: E402

from idrestore.model import checkpoint  # noqa: E402
from idrestore.restoration.restorer import Restorer  # noqa: E402
from idrestore.server import connection  # noqa: E402

HALF = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "


@pytest.fixture(scope="module")
def restorers(tmp_path_factory):
    return {"tiny": Restorer(checkpoint.load(tiny_file(tmp_path_factory.mktemp("model"))), "cpu", "fp32")}


def address(url):
    host, _, port = url.rpartition("/")[2].partition(":")
    return host, int(port)


def opened(url, sent=b""):
    one = socket.create_connection(address(url), timeout=20)
    one.sendall(sent)
    return one


def is_closed(one, seconds=20):
    """Tell whether the other side closes within so many seconds."""
    one.settimeout(seconds)
    try:
        while one.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


HALF_BODY = b"POST /restore HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
HALF_BODY += b"Content-Length: 90000000\r\n\r\n--b"


@pytest.mark.parametrize("sent", [b"", HALF, HALF_BODY])
def test_three_hundred_idle_connections_lock_nobody_out(restorers, sent):
    with serving(restorers) as (url, server):
        held = [opened(url, sent) for _ in range(300)]
        try:
            for _ in range(5):
                with client(url) as http:
                    assert http.get("/health").json()["status"] == "ok"
            assert len(server.server_state.connections) <= connection.MAX_CONNECTIONS
            assert is_closed(held[0], 5)  # the oldest made room
        finally:
            for each in held:
                each.close()


def test_a_head_that_does_not_end_is_given_up(restorers, monkeypatch):
    monkeypatch.setattr(connection, "HEAD_TIMEOUT", 0.3)
    monkeypatch.setattr(connection, "POLL_INTERVAL", 0.1)
    with serving(restorers) as (url, _), opened(url, HALF) as one:
        for _ in range(10):  # what drips in does not help
            try:
                one.sendall(b"x")
            except ConnectionError:
                break
            time.sleep(0.1)
        assert is_closed(one)


def test_an_answered_client_that_goes_on_sending_is_given_up(restorers, monkeypatch):
    monkeypatch.setattr(connection, "LINGER_TIMEOUT", 0.3)
    monkeypatch.setattr(connection, "POLL_INTERVAL", 0.1)
    head = b"POST /restore HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1000000\r\n\r\n"
    with serving(restorers) as (url, _), opened(url, head) as one:
        assert one.recv(12) == b"HTTP/1.1 403"
        for _ in range(50):
            try:
                one.sendall(b"x" * 100)
            except ConnectionError:
                break
            time.sleep(0.1)
        else:
            pytest.fail("it was listened to for 5 s")


def test_a_client_that_does_not_take_its_answer_is_given_up(restorers, monkeypatch):
    monkeypatch.setattr(connection, "STALL_TIMEOUT", 0.5)
    monkeypatch.setattr(connection, "POLL_INTERVAL", 0.1)
    with serving(restorers) as (url, server), socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect(address(url))
        one.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 400)
        end = time.monotonic() + 20
        while not server.server_state.connections and time.monotonic() < end:
            time.sleep(0.05)
        while server.server_state.connections and time.monotonic() < end:
            time.sleep(0.05)
        assert not server.server_state.connections


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x00\xa5", b"GET\r\n\r\n", b"\x00" * 100])
def test_what_is_no_http_is_refused_in_the_form_of_all_refusals(restorers, sent):
    with serving(restorers) as (url, _), opened(url, sent + b"\r\n\r\n") as one:
        answer = b""
        while part := one.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/json" in answer
    assert answer.endswith(b'{"error":"Invalid HTTP request received."}')


def test_garbage_after_a_request_ends_its_connection_alone(restorers):
    head = b"POST /restore HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
    head += b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    with serving(restorers) as (url, _), opened(url, head) as one, client(url) as http:
        time.sleep(0.2)
        one.sendall(b"this is no chunk\r\n")
        assert is_closed(one)
        assert http.get("/health").status_code == 200
