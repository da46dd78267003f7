"""Who may come in, and with how much; counted while it arrives."""

import asyncio
import base64
import json
import re

import pytest

middleware = pytest.importorskip("idrestore.server.middleware", reason="the extra `web` is not installed")
from idrestore.server.storage import Storage  # noqa: E402


def ask(limits, headers=(), body=(b"",), path="/restore", method="POST", delay=0.0, storage=None):
    """Send a request through the middleware to an application that reads it; return status, body, headers and size."""
    sent, parts, read = [], list(body), []

    async def application(scope, receive, send):
        more = True
        while more:
            message = await receive()
            read.append(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def receive():
        await asyncio.sleep(delay)
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message):
        sent.append(message)

    headers = {"host": "127.0.0.1:7860", **dict(headers)}
    scope = {
        "type": "http",
        "path": path,
        "raw_path": path.encode(),
        "client": ("192.0.2.1", 1),
        "method": method,
        "headers": [(key.encode(), value.encode()) for key, value in headers.items()],
    }
    asyncio.run(middleware.Middleware(application, limits, storage or Storage(None, 10**9))(scope, receive, send))
    said = {key.decode(): value.decode() for key, value in sent[0]["headers"]}
    return sent[0]["status"], json.loads(sent[1]["body"]), said, sum(map(len, read))


def basic(text):
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Bearer sécret"}, 200),
        ({"authorization": "bearer sécret"}, 200),
        ({"authorization": "Digest sécret"}, 401),
        (basic("anybody:sécret"), 200),
        (basic("sécret"), 401),
        (basic("sécret:"), 401),
        ({"authorization": "Basic ???"}, 401),
        ({"authorization": "Basic"}, 401),
    ],
)
def test_a_token_is_asked_for(headers, status):
    limits = middleware.Limits("0.0.0.0", "sécret")
    # A browser sends UTF-8, which arrives as latin-1.
    answer = ask(limits, headers)
    assert answer[0] == status
    if status == 401:
        assert answer[1].keys() == {"error"}
        assert answer[2]["www-authenticate"].startswith("Basic realm=")
        assert answer[3] == 0


def test_health_asks_for_no_token():
    assert ask(middleware.Limits(token="t"), path="/health", method="GET")[0] == 200
    assert ask(middleware.Limits(token="t"), path="/healthy", method="GET")[0] == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("[::1]:7860", 200), ("127.0.0.1", 200), ("evil.example:7860", 403), ("", 403), ("[", 403)],
)
def test_without_a_token_only_the_machines_own_names_are_served(host, status):
    assert ask(middleware.Limits(), {"host": host})[0] == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:7860", 200),
        ("http://127.0.0.1:7861", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("http://[", 403),
    ],
)
def test_pages_of_other_origins_may_not_send(origin, status):
    for headers in ({"origin": origin}, {"origin": origin, "authorization": "Bearer t"}):
        limits = middleware.Limits(token="t" if "authorization" in headers else "")
        assert ask(limits, headers)[0] == status
    assert ask(middleware.Limits(), {"origin": origin}, method="GET")[0] == 200


def test_what_says_that_it_is_too_large_is_not_read():
    status, answer, _, read = ask(middleware.Limits(max_bytes=10), {"content-length": "11"}, [b"x" * 11])
    assert (status, read) == (413, 0)
    assert "at most 10 bytes" in answer["error"]


def test_a_request_with_two_lengths_is_refused():
    headers = {"content-length": "5", "transfer-encoding": "chunked"}
    status, answer, said, read = ask(middleware.Limits(), headers, [b"12345"])
    assert (status, said["connection"], read) == (400, "close", 0)
    assert "expected one of them" in answer["error"]


def test_what_does_not_say_so_is_stopped_while_it_arrives():
    with pytest.raises(middleware.HTTPException) as refused:
        ask(middleware.Limits(max_bytes=10), {}, [b"x" * 6] * 100)
    assert refused.value.status_code == 413
    assert ask(middleware.Limits(max_bytes=10), {}, [b"x" * 5] * 2)[3] == 10


@pytest.mark.parametrize("limits", [{"upload_seconds": 0.05}, {"first_seconds": 0.05, "min_rate": 1000}])
def test_what_arrives_too_slowly_is_stopped(limits):
    with pytest.raises(middleware.HTTPException) as refused:
        ask(middleware.Limits(**limits), {}, [b"x"] * 100, delay=0.03)
    assert refused.value.status_code == 408


def test_who_sends_fast_enough_may_send_for_longer():
    limits = middleware.Limits(first_seconds=0.05, min_rate=10)
    assert ask(limits, {}, [b"x"] * 10, delay=0.03)[0] == 200


def test_what_arrives_at_once_is_bounded_over_all_requests_and_given_back():
    storage = Storage(None, 10)
    storage.take(4)
    with pytest.raises(middleware.HTTPException) as refused:
        ask(middleware.Limits(), {}, [b"x" * 5, b"x" * 5], storage=storage)
    assert refused.value.status_code == 507
    assert storage.used == 4
    assert ask(middleware.Limits(), {}, [b"x" * 6], storage=storage)[0] == 200
    assert storage.used == 4


@pytest.mark.parametrize(
    ("site", "status"), [("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403)]
)
def test_a_browser_that_says_that_another_page_sends_is_refused(site, status):
    """Another port of this machine is the same site, and another origin."""
    for method in ("POST", "DELETE"):
        assert ask(middleware.Limits(), {"sec-fetch-site": site}, method=method)[0] == status
    assert ask(middleware.Limits(), {"sec-fetch-site": site}, method="GET")[0] == 200


def test_a_browser_may_load_nothing_from_elsewhere_and_gives_nothing_to_others():
    headers = ask(middleware.Limits())[2]
    assert headers["content-security-policy"].startswith("default-src 'self'; ")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert not [name for name in headers if name.startswith("access-control-")]


def test_a_line_of_the_log_has_no_secret(caplog):
    secret = "x" * 22
    with caplog.at_level("INFO", "idrestore.access"):
        ask(middleware.Limits(), path=f"/jobs/{secret}/result", method="GET")
    assert re.fullmatch(r'192\.0\.2\.1 "GET /jobs/xxxxxx\.\.\./result" 200 2 bytes 0\.\d+ s', caplog.messages[0])


@pytest.mark.parametrize(
    ("host", "answer"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("::", False), ("nas.local", False)],
)
def test_loopback_is_known(host, answer):
    assert middleware.is_loopback(host) is answer
