"""How the service listens, and how it stops: photos at work are finished, unless it is told twice."""

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from idrestore.server.connection import Connection
from idrestore.server.queue import JobQueue

POLL_INTERVAL = 0.2
"""Seconds between two looks at whether a service that is stopping has finished."""
GRACE_PERIOD = 60.0
"""Seconds in which a service that is stopping finishes the photos that it has."""
SHUTDOWN_TIMEOUT = 5
"""Seconds in which results are then sent."""
INTERRUPTED = 130
"""The exit code of a service that was told to stop at once."""


class Server(uvicorn.Server):
    """A server that finishes its photos before it stops; told a second time, it stops at once."""

    def __init__(self, app: ASGIApp, queue: JobQueue, folder: Path, say: Callable[[str], None] = print) -> None:
        """Prepare to serve; `folder` is removed where it stops at once, and `say` is told what it waits for."""
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                log_level="error",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=SHUTDOWN_TIMEOUT,
            )
        )
        self.queue = queue
        self.folder = folder
        self.say = say

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop when all is finished, and say what that is; the second time at once."""
        if self.should_exit:
            shutil.rmtree(self.folder, ignore_errors=True)
            sys.stdout.flush()
            os._exit(INTERRUPTED)  # a thread at work on a tile could not be stopped in another way
        super().handle_exit(sig, frame)
        if waiting := self._waiting():
            again = "Ctrl-C again stops at once" if sig == signal.SIGINT else "a second signal stops at once"
            self.say(f"stopping: {waiting}; {again}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more photos, finish those that are here, then stop."""
        closing = asyncio.create_task(asyncio.to_thread(self.queue.close, GRACE_PERIOD))
        while not (await asyncio.wait([closing], timeout=POLL_INTERVAL))[0]:
            pass
        await super().shutdown(sockets)

    def _waiting(self) -> str:
        """Say what is to be waited for, or nothing."""
        if number := self.queue.load:
            return f"waiting for {number} photo{'s' if number > 1 else ''}, {GRACE_PERIOD:g} s at most"
        if number := len(self.server_state.tasks):
            return f"waiting for {number} request{'s' if number > 1 else ''}, {SHUTDOWN_TIMEOUT} s at most"
        return ""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there, at a free port for 0; raise `OSError`."""
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
