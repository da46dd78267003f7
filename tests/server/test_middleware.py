"""Who may come in, and with how much; counted while it arrives."""

import asyncio
import base64
import json

import pytest

gate = pytest.importorskip("idrestore.server.middleware", reason="the extra `web` is not installed")


def ask(rules, headers=(), body=(b"",), path="/restore", method="POST", delay=0.0):
    """Send a request through the gate to an application that reads it; return status, body, headers and bytes read."""
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
        "method": method,
        "headers": [(key.encode(), value.encode()) for key, value in headers.items()],
    }
    asyncio.run(gate.Gate(application, rules)(scope, receive, send))
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
    rules = gate.Rules("0.0.0.0", "sécret")
    # A browser sends UTF-8, which arrives as latin-1.
    answer = ask(rules, headers)
    assert answer[0] == status
    if status == 401:
        assert answer[1].keys() == {"error"}
        assert answer[2]["www-authenticate"].startswith("Basic realm=")
        assert answer[3] == 0


def test_health_asks_for_no_token():
    assert ask(gate.Rules(token="t"), path="/health", method="GET")[0] == 200
    assert ask(gate.Rules(token="t"), path="/healthy", method="GET")[0] == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("[::1]:7860", 200), ("127.0.0.1", 200), ("evil.example:7860", 403), ("", 403), ("[", 403)],
)
def test_without_a_token_only_the_machines_own_names_are_served(host, status):
    assert ask(gate.Rules(), {"host": host})[0] == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://127.0.0.1:7860", 200), ("http://evil.example", 403), ("null", 403), ("http://[", 403)],
)
def test_pages_of_other_origins_may_not_send(origin, status):
    for headers in ({"origin": origin}, {"origin": origin, "authorization": "Bearer t"}):
        rules = gate.Rules(token="t" if "authorization" in headers else "")
        assert ask(rules, headers)[0] == status
    assert ask(gate.Rules(), {"origin": origin}, method="GET")[0] == 200


def test_what_says_that_it_is_too_large_is_not_read():
    status, answer, _, read = ask(gate.Rules(max_bytes=10), {"content-length": "11"}, [b"x" * 11])
    assert (status, read) == (413, 0)
    assert "at most 10 bytes" in answer["error"]


def test_what_does_not_say_so_is_stopped_while_it_arrives():
    with pytest.raises(gate.HTTPException) as refused:
        ask(gate.Rules(max_bytes=10), {}, [b"x" * 6] * 100)
    assert refused.value.status_code == 413
    assert ask(gate.Rules(max_bytes=10), {}, [b"x" * 5] * 2)[3] == 10


def test_what_arrives_too_slowly_is_stopped():
    with pytest.raises(gate.HTTPException) as refused:
        ask(gate.Rules(upload_seconds=0.05), {}, [b"x"] * 100, delay=0.03)
    assert refused.value.status_code == 408


def test_a_browser_may_load_nothing_from_elsewhere():
    headers = ask(gate.Rules())[2]
    assert headers["content-security-policy"].startswith("default-src 'self' ")
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("host", "answer"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("::", False), ("nas.local", False)],
)
def test_loopback_is_known(host, answer):
    assert gate.is_loopback(host) is answer
