"""Uvicorn's WebSocket, with bounds on what a peer can make us keep: frames not yet read, pieces of a frame, pongs it
does not take, and a goodbye it does not wait for.
"""

from __future__ import annotations

from typing import Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from asynclog.server.connection import POLICY
from asynclog.server.protocol import Sender, refused, wire

ABORT_SECONDS: Final = 1.0
QUEUE: Final = 1000
"""Frames that came at once and were not yet read; reading stops at the first one, what is in the buffer still comes."""
PIECES: Final = 1000
"""Of one message."""
UNTAKEN_BYTES: Final = 64 << 10
"""Beyond this a ping is not answered: the peer does not read anyway."""

_NO_REQUEST: Final = (
    "The request for a WebSocket has no body, and no line longer than 8,192 bytes; a long filter can be sent as a frame"
    " once it is open."
)


class WebSocketProtocol(WebSocketsSansIOProtocol, Sender):
    """One connection."""

    def data_received(self, data: bytes) -> None:
        """What came: first of all the request, which is there in one piece or not at all."""
        super().data_received(data)
        if not self.handshake_initiated:
            self.handshake_complete = self.close_sent = True  # whatever comes now
            self.transport.write(wire(refused(431, _NO_REQUEST)))
            self.transport.close()

    def send_receive_event_to_app(self) -> None:
        """A whole message is there."""
        if self.queue.qsize() >= QUEUE:
            self._fail("too many frames at once")
        else:
            super().send_receive_event_to_app()

    def handle_cont(self, event: Frame) -> None:
        """The next piece of a message."""
        if len(self.frames) >= PIECES:
            self._fail("too many pieces")
        else:
            super().handle_cont(event)

    def handle_ping(self) -> None:
        """Answer, if the peer takes answers."""
        if self.transport.get_write_buffer_size() > UNTAKEN_BYTES:
            _ = self.conn.data_to_send()
        else:
            super().handle_ping()

    def _fail(self, reason: str) -> None:
        self.frames = []
        if not self.close_sent:
            self.conn.fail(POLICY, reason)
            self.handle_parser_exception()

    # A peer that takes nothing more is let go: closing would wait for it for ever.

    def keepalive_timeout(self) -> None:
        """A ping was not answered."""
        super().keepalive_timeout()
        self._let_go()

    def shutdown(self) -> None:
        """The service goes down."""
        super().shutdown()
        self._let_go()

    def look(self, now: float) -> None:
        """The conversation is over, and what is left of it is not taken; while it lasts, pings find that out."""
        if self.is_stuck(now) and self.transport.is_closing():
            self.transport.abort()

    def _let_go(self) -> None:
        if self.transport.get_write_buffer_size():
            self.loop.call_later(ABORT_SECONDS, self.transport.abort)
