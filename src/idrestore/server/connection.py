"""A connection that cannot be held for nothing: every wait for the client has an end, and the newest finds a place."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from idrestore.server.errors import problem

MAX_CONNECTIONS = 256
"""Beyond them, the one that has waited longest for its client makes room for a new one."""
HEAD_TIMEOUT = 10.0
"""Seconds in which the head of a request has to arrive, from the connection or the answer before."""
LINGER_TIMEOUT = 5.0
"""Seconds in which a client that was answered early may go on sending."""
NEW_FOR = 0.5
"""Seconds in which a connection that has sent nothing yet is not taken for idle."""
STALL_TIMEOUT = 30.0
"""Seconds in which a client has to take at least something of its answer."""
POLL_INTERVAL = 1.0
"""Seconds between two looks at a connection."""


class Connection(H11Protocol):
    """uvicorn's connection, with an end to each wait for the client."""

    _watch: asyncio.TimerHandle | None = None
    _unsent = 0
    _waits_since = 0.0
    _stalls_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request; where there are too many connections, end the one that waits longest."""
        super().connection_made(transport)
        self._waits_since = self._stalls_since = self.loop.time()
        self._look()
        if len(self.connections) > MAX_CONNECTIONS:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more."""
        super().connection_lost(exc)
        if self._watch:
            self._watch.cancel()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        self._waits_since = self.loop.time()
        super().on_response_complete()

    @property
    def is_answered(self) -> bool:
        """Whether nothing is owed to the client but bytes that are on their way."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def awaits_head(self) -> bool:
        """Whether the client has to send a request, or the rest of its head."""
        return self.is_answered and self.conn.their_state is h11.IDLE

    @property
    def awaits_client(self) -> bool:
        """Whether the client has to send something, or has been answered already."""
        return self.is_answered or self.conn.their_state is h11.SEND_BODY

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP in the form of all refusals; whatever is at work for it is told that it is gone."""
        if self.cycle and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        elif self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            answer = problem(400, msg)
            head: list[tuple[bytes, bytes]] = [*answer.raw_headers, (b"connection", b"close")]
            for event in (
                h11.Response(status_code=400, headers=head, reason=b"Bad Request"),
                h11.Data(data=bytes(answer.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _make_room(self) -> None:
        """End the connection that waits longest: rather one that is idle than one that uploads, and no new one."""
        settled = self.loop.time() - NEW_FOR
        waiting = [each for each in self.connections if isinstance(each, Connection) and each.awaits_client]
        longest = max(
            (each for each in waiting if each is not self),
            key=lambda each: (each.awaits_head and each._waits_since < settled, -each._waits_since),
            default=self,
        )
        self.connections.discard(longest)  # it is lost only later, and not to be chosen again
        longest.transport.abort()

    def _look(self) -> None:
        """End the connection if the client lets it wait for too long."""
        now = self.loop.time()
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent != self._unsent:
            self._unsent, self._stalls_since = unsent, now
        patience = HEAD_TIMEOUT if self.conn.their_state is h11.IDLE else LINGER_TIMEOUT
        waits_too_long = self.is_answered and not unsent and now - self._waits_since > patience
        if waits_too_long or now - self._stalls_since > STALL_TIMEOUT:
            self.transport.abort()
        else:
            self._watch = self.loop.call_later(POLL_INTERVAL, self._look)
