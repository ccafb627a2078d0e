"""Uvicorn's HTTP, with the limits it leaves to a proxy in front: how long and how large a request's head may be, how
many requests may wait, and how long a client may take to read an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, cast

import uvicorn
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from asynclog.server.guard import HEADERS
from asynclog.server.limits import DEFAULT_LIMITS
from asynclog.server.names import Network, is_of
from asynclog.server.problems import problem

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

HEAD_SECONDS: Final = 10.0
"""From the connection, or from the last answer, to the end of the next request's head."""
STALL_SECONDS: Final = 60.0
"""How long a client may take nothing of what is sent to it."""
UNTAKEN_BYTES: Final = 256 << 20
"""Of all answers that clients have not taken yet."""
HEAD_BYTES: Final = 64 << 10
"""Of a request's head; and of what frames the chunks of its body, besides `FRAMING` bytes for each byte of it."""
FRAMING: Final = 16
HEAD_LINES: Final = 100
URL_BYTES: Final = 32 << 10
WAITING: Final = 32
"""Requests of one connection that wait for the answers to the former ones."""

_NO_HTTP: Final = (400, "This is no request that HTTP/1.1 knows; send one, its address percent-encoded.")
_TOO_SLOW: Final = (408, "The head of the request came too slowly; send it again.")
_FULL: Final = (503, "The service holds as many connections as it may; try again later.")


def refused(status: int, sentence: str) -> Response:
    """The last answer of a connection."""
    return problem(status, sentence, headers={**HEADERS, "Connection": "close"})


def wire(response: Response) -> bytes:
    """A whole response as it is sent."""
    lines = [name + b": " + value + b"\r\n" for name, value in response.raw_headers]
    return b"".join((STATUS_LINE[response.status_code], *lines, b"\r\n", bytes(response.body)))


class Sender:
    """A connection, as to what its client has not taken of what was sent to it."""

    transport: asyncio.Transport
    untaken = 0
    """How many bytes that is,"""
    stuck_since = 0.0
    """and since when it is so many; as of the last `is_stuck`."""

    def is_stuck(self, now: float) -> bool:
        """Whether the client has taken nothing for too long; ``now`` is the loop's time."""
        former, self.untaken = self.untaken, self.transport.get_write_buffer_size()
        if not self.untaken or self.untaken != former:
            self.stuck_since = now
        return now - self.stuck_since > STALL_SECONDS


def relieve(connections: Iterable[Sender]) -> int:
    """Cut off who takes no answer for the longest, while the answers not taken are too much for us; how many."""
    waiting = sorted((found for found in connections if found.untaken), key=lambda found: found.stuck_since)
    total, cut = sum(found.untaken for found in waiting), 0
    for connection in waiting:
        if total <= UNTAKEN_BYTES:
            break
        total -= connection.untaken
        connection.transport.abort()
        cut += 1
    return cut


class Config(uvicorn.Config):
    """Uvicorn's, and how many connections there may be: in all, and half of them from one address."""

    connections: int = DEFAULT_LIMITS.connections
    proxies: tuple[Network, ...] = ()
    """Whoever comes through them is many."""


class _RefusedError(Exception):
    """Raised in the parser's callbacks."""


class HttpProtocol(HttpToolsProtocol, Sender):
    """One connection. On the event loop; `look` is to be called about once a second."""

    _refusal: tuple[int, str] = _NO_HTTP
    _over = False
    """Nothing more is read."""
    _open = False
    """A request has begun and is not complete."""
    _head = False
    """Its head is not complete."""
    _message = 0
    _framing = 0
    _body = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its base
        """Take a connection, or say that there are too many."""
        super().connection_made(transport)
        self._waiting_since: float | None = self.loop.time()
        if self._too_many():
            self._refuse(*_FULL)

    def _too_many(self) -> bool:
        config = self.config if isinstance(self.config, Config) else Config
        limit, count = config.connections, len(self.connections)
        if count <= limit // 2 or self.client is None or is_of(self.client[0], config.proxies):
            return count > limit
        clients = (getattr(other, "client", None) for other in self.connections)
        here = sum(client is not None and client[0] == self.client[0] for client in clients)
        return count > limit or here > limit // 2

    def data_received(self, data: bytes) -> None:
        """Parse what came; endless heads, trailers and chunk extensions end here."""
        if self._over:
            return
        message, body = self._message, self._body
        goes_on = self._open
        super().data_received(data)
        if goes_on and self._open and message == self._message and not self._over:
            self._framing += len(data) - (self._body - body)
            if self._framing > HEAD_BYTES + FRAMING * self._body:
                self._refuse(*_too_long("head"))

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._message += 1
        self._open = True
        self._head = True
        self._framing = self._body = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """One line of the head; trailers are passed over, for the request has been judged by its head."""
        if self._head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._head = False
        refusal = self._fault()
        if refusal is not None:
            self._refusal = refusal
            raise _RefusedError
        super().on_headers_complete()
        self._waiting_since = None
        if self.parser.should_upgrade() and not self._should_upgrade():
            self.cycle.keep_alive = False  # the parser takes nothing after it

    def _fault(self) -> tuple[int, str] | None:
        if len(self.url) > URL_BYTES:
            return 414, f"The address is longer than {URL_BYTES:,} bytes; ask for less at once."
        if not self.url.isascii():
            return _NO_HTTP
        if len(self.headers) > HEAD_LINES or sum(len(n) + len(v) for n, v in self.headers) > HEAD_BYTES:
            return _too_long("head")
        if len(self.pipeline) >= WAITING:
            return 429, f"More than {WAITING} requests wait on this connection; send the next ones after the answers."
        return None

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is complete."""
        self._open = False
        super().on_message_complete()

    def eof_received(self) -> bool | None:  # type: ignore[override]  # as asyncio has it
        """The client says nothing more. What it has asked for to the end is answered before the connection ends."""
        if self._open or self._over or not self._owing():
            return None
        self._over = True
        self.cycle.keep_alive = False
        return True

    def handle_websocket_upgrade(self) -> None:
        """Become a WebSocket, unless answers are still to be given here."""
        if self._owing():
            self._refuse(*_NO_HTTP)
        else:
            super().handle_websocket_upgrade()

    def on_response_complete(self) -> None:
        """An answer was given. The requests that came meanwhile are answered before more of them is read."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self.pipeline:
            self.flow.pause_reading()
        elif self.cycle.response_complete:
            self._waiting_since = self.loop.time()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - we have sentences of our own
        """What came is no HTTP, or one of the callbacks raised."""
        self._refuse(*self._refusal)

    def _refuse(self, status: int, sentence: str) -> None:
        """Answer in the request's turn, and end the connection after that."""
        self._over = True
        refusal = refused(status, sentence)
        cycle = self.cycle
        if not self._owing():
            self._tell(refusal)
        elif not cycle.more_body:  # the former requests are complete: their answers come first
            self.pipeline.appendleft((self._closing_cycle(), cast("ASGI3Application", refusal)))
        elif self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline[0] = (self._closing_cycle(), cast("ASGI3Application", refusal))
        elif cycle.response_started:
            cycle.keep_alive = False
        else:
            cycle.disconnected = True
            cycle.message_event.set()
            self._tell(refusal)

    def _owing(self) -> bool:
        """Whether a request came that was not answered to the end."""
        return cast("RequestResponseCycle | None", self.cycle) is not None and not self.cycle.response_complete

    def _tell(self, refusal: Response) -> None:
        self.transport.write(wire(refusal))
        self.transport.close()

    def _closing_cycle(self) -> RequestResponseCycle:
        self.cycle = RequestResponseCycle(
            scope={**self.scope, "method": "GET"},
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )
        self.cycle.more_body = False
        return self.cycle

    def look(self, now: float) -> None:
        """End what takes too long; ``now`` is the loop's time."""
        if self.is_stuck(now):
            self.transport.abort()
        if self._over or self._waiting_since is None or now - self._waiting_since <= HEAD_SECONDS:
            return
        if self._open and self._head:
            self._refuse(*_TOO_SLOW)
        else:  # nothing was said, or a body goes on that nobody asked for
            self._over = True
            self.transport.close()


def _too_long(what: str) -> tuple[int, str]:
    return 431, f"The {what} of the request is longer than {HEAD_BYTES:,} bytes or {HEAD_LINES} lines; send less."
