"""What every request passes, the page's too: who may come in, with how much, and what a browser may load."""

import asyncio
import base64
import binascii
import hmac
import ipaddress
from typing import NamedTuple
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN = {"/health"}
"""Paths that ask for no token."""
# Gradio's page needs inline scripts and styles and evaluates its templates; nothing may come from, or go, elsewhere.
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; form-action 'self'; frame-ancestors 'self'"


class Rules(NamedTuple):
    """What the gate demands."""

    host: str = "127.0.0.1"
    """The address that is served"""
    token: str = ""
    """What a request has to show; empty = nothing"""
    max_bytes: int = 100_000_000
    """Largest request, in bytes"""
    upload_seconds: float = 300.0
    """Longest time in which a request may arrive"""


class Gate:
    """ASGI middleware that turns requests away in one clear sentence of JSON."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self.app = app
        self.rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, counted, or answer it here."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope["path"], scope["method"], Headers(scope=scope))
        if refusal:
            await refusal(scope, receive, send)
        else:
            await self.app(scope, self._counted(receive), _guarded(send))

    def _refusal(self, path: str, method: str, headers: Headers) -> JSONResponse | None:
        """Return the answer to a request that may not come in, None to one that may."""
        rules = self.rules
        if rules.token and path not in OPEN and not _shows(headers.get("authorization", ""), rules.token):
            challenge = {"WWW-Authenticate": 'Basic realm="idrestore, the token is the password", charset="UTF-8"'}
            return problem(401, "a token is needed: send 'Authorization: Bearer TOKEN'", challenge)
        host = headers.get("host", "")
        # A name that points here is no permission: somebody else's page may have one made (DNS rebinding).
        if not rules.token and _split(f"//{host}")[0] not in {"localhost", "127.0.0.1", "::1", rules.host}:
            return problem(403, f"this is not {host}: use the address that idrestore printed")
        origin = headers.get("origin")
        if method not in ("GET", "HEAD", "OPTIONS") and origin is not None and _split(origin)[1] != host:
            return problem(403, f"a page of {origin} may not send photos here")
        length = headers.get("content-length", "0")
        return self._too_large() if length.isdigit() and int(length) > rules.max_bytes else None

    def _too_large(self) -> JSONResponse:
        return problem(413, f"the request is too large: expected at most {self.rules.max_bytes:,} bytes")

    def _counted(self, receive: Receive) -> Receive:
        """Count what arrives, and stop it when it is too much or too slow."""
        taken, is_whole = 0, False
        end = asyncio.get_running_loop().time() + self.rules.upload_seconds

        async def counted() -> Message:
            nonlocal taken, is_whole
            try:
                async with asyncio.timeout_at(None if is_whole else end):
                    message = await receive()
            except TimeoutError:
                seconds = f"{self.rules.upload_seconds:g} s"
                raise HTTPException(408, f"the request did not arrive within {seconds}") from None
            taken += len(message.get("body", b""))
            is_whole = is_whole or not message.get("more_body", False)
            if taken > self.rules.max_bytes:
                expected = f"expected at most {self.rules.max_bytes:,} bytes"
                raise HTTPException(413, f"the request is too large: {expected}")
            return message

        return counted


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached from this machine alone.

    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def problem(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the answer that says what went wrong."""
    return JSONResponse({"error": message}, status, headers)


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


def _guarded(send: Send) -> Send:
    """Add the headers that keep a browser from loading, or being told, anything from elsewhere."""

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = POLICY
            headers["X-Content-Type-Options"] = "nosniff"
        await send(message)

    return guarded
