"""What every request passes, the page's too: who may come in, with how much and how slowly; and who is told of it."""

import asyncio
import base64
import binascii
import hmac
import ipaddress
import logging
import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from idrestore.server.errors import problem
from idrestore.server.storage import Storage, StorageFull

OPEN = {"/health"}
"""Paths that ask for no token."""
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""What a browser may load for the page: nothing from elsewhere, and no script or style that is not a file of ours."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
ACCESS = logging.getLogger("idrestore.access")
Count = Callable[[str, int, float], None]
"""Is told the route, the status and the seconds of every answer."""


class Limits(NamedTuple):
    """What is demanded of a request."""

    host: str = "127.0.0.1"
    """The address that is served"""
    token: str = ""
    """What a request has to show; empty = nothing"""
    max_bytes: int = 100_000_000
    """Largest request, in bytes"""
    upload_seconds: float = 300.0
    """Longest time in which a request may arrive"""
    first_seconds: float = 20.0
    """Time in which it has to begin to"""
    min_rate: float = 1000.0
    """Bytes in a second, on average after that, below which it is given up"""


class Middleware:
    """ASGI middleware that turns requests away in one clear sentence of JSON, and counts those that it lets in."""

    def __init__(self, app: ASGIApp, limits: Limits, storage: Storage, count: Count = lambda *_: None) -> None:
        self.app = app
        self.limits = limits
        self.storage = storage
        self.count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, counted, or answer it here."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = _Answer(scope, send)
        body = _Body(receive, self.limits, self.storage)
        refusal = self._refusal(scope["path"], scope["method"], Headers(scope=scope))
        try:
            await (refusal or self.app)(scope, body.receive, answer.send)
        finally:
            self.storage.give_back(body.taken)
            self.count(*answer.summary())

    def _refusal(self, path: str, method: str, headers: Headers) -> JSONResponse | None:
        """Return the answer to a request that may not come in, None to one that may."""
        limits = self.limits
        if limits.token and path not in OPEN and not _shows(headers.get("authorization", ""), limits.token):
            challenge = {"WWW-Authenticate": 'Basic realm="idrestore, the token is the password", charset="UTF-8"'}
            return problem(401, "a token is needed: send 'Authorization: Bearer TOKEN'", challenge)
        host = headers.get("host", "")
        # A name that points here is no permission: somebody else's page may have one made (DNS rebinding).
        if not limits.token and _split(f"//{host}")[0] not in {"localhost", "127.0.0.1", "::1", limits.host}:
            return problem(403, f"this is not {host[:100]}: use the address that idrestore printed")
        if method not in SAFE_METHODS and (other := _other_page(headers, host)):
            return problem(403, f"a page of {other[:100]} may not send anything here")
        if "content-length" in headers and "transfer-encoding" in headers:
            # Whoever stands in between may read another request out of it (RFC 9112, section 6.1).
            return problem(400, "got a length and a Transfer-Encoding, expected one of them", {"Connection": "close"})
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > limits.max_bytes:
            return problem(413, f"the request is too large: expected at most {limits.max_bytes:,} bytes")
        return None


class _Body:
    """What arrives of a request: counted, and stopped when it is too much or too slow."""

    def __init__(self, receive: Receive, limits: Limits, storage: Storage) -> None:
        self.taken = 0
        self._receive = receive
        self._limits = limits
        self._storage = storage
        self._is_whole = False
        self._start = asyncio.get_running_loop().time()

    async def receive(self) -> Message:
        """Receive the next message; raise `HTTPException`."""
        try:
            async with asyncio.timeout_at(None if self._is_whole else self._end()):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, f"the request arrived too slowly: {self.taken:,} bytes until now") from None
        count = len(message.get("body", b""))
        self._is_whole = self._is_whole or not message.get("more_body", False)
        if self.taken + count > self._limits.max_bytes:
            expected = f"expected at most {self._limits.max_bytes:,} bytes"
            raise HTTPException(413, f"the request is too large: {expected}")
        try:
            self._storage.take(count)
        except StorageFull as full:
            raise HTTPException(507, str(full)) from None
        self.taken += count
        return message

    def _end(self) -> float:
        """Return the time by which something more has to arrive."""
        limits = self._limits
        return self._start + min(limits.upload_seconds, limits.first_seconds + self.taken / limits.min_rate)


class _Answer:
    """What is sent: with the headers that keep a browser from loading, or being told, anything from elsewhere."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._status = 500
        self._bytes = 0
        self._start = asyncio.get_running_loop().time()

    async def send(self, message: Message) -> None:
        """Send a message."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        self._bytes += len(message.get("body", b""))
        await self._send(message)

    def summary(self) -> tuple[str, int, float]:
        """Log the answer; return its route, its status and the seconds that it took."""
        scope, seconds = self._scope, asyncio.get_running_loop().time() - self._start
        # Who reads the log shall not be able to fetch the photos: of secret names the beginning is enough.
        path = re.sub(r"[\w-]{20,}", lambda match: f"{match[0][:6]}...", scope.get("raw_path", b"").decode("latin-1"))
        client = (scope.get("client") or ("-",))[0]
        ACCESS.info('%s "%s %s" %d %d bytes %.3f s', client, scope["method"], path, self._status, self._bytes, seconds)
        return getattr(scope.get("route"), "path", "other"), self._status, seconds


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached from this machine alone.

    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _other_page(headers: Headers, host: str) -> str:
    """Return the origin of the page that a browser sends for, if it is not ours; other local ports are not."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
    if origin is not None and _split(origin)[1] != host:
        return origin
    return "another origin" if site not in ("same-origin", "none") else ""


def _split(url: str) -> tuple[str | None, str]:
    """Return a URL's host, and its host with the port; nothing for what is no URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None, ""
    return parts.hostname, parts.netloc


def _shows(authorization: str, token: str) -> bool:
    """Tell whether a header holds the token: as `Bearer`, or as the password of `Basic`, which browsers ask for."""
    scheme, _, text = authorization.partition(" ")
    shown = text.encode("latin-1")  # as it was sent
    if scheme.lower() == "basic":
        try:
            shown = base64.b64decode(shown, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(shown, token.encode())
