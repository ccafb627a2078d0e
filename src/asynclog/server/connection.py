"""One WebSocket: accepted, spoken to in whole frames, closed once, whatever either side does.

Sending waits until the client's socket takes it, so a client that stops reading holds one frame and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from asynclog.errors import (
    AsynclogError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    TooManyError,
    UnauthenticatedError,
    UnavailableError,
)
from asynclog.model import AccessScope
from asynclog.server.limits import caller_of
from asynclog.server.passes import Pass
from asynclog.server.service import Service, Socket

FRAME_BYTES: Final = 256 * 1024
"""Of a frame that holds more than one item."""
CLOSE_SECONDS: Final = 1.0
"""How long a client may take to make room for the close frame."""
REASON_BYTES: Final = 123
"""Of a close frame's reason (RFC 6455, 5.5)."""

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
POLICY: Final = 1008
FAILED: Final = 1011
TRY_LATER: Final = 1013
UNAUTHENTICATED: Final = 4401
FORBIDDEN: Final = 4403
NOT_FOUND: Final = 4404
BAD_QUERY: Final = 4422
TOO_MANY: Final = 4429

_CODES: Final = (
    (UnauthenticatedError, UNAUTHENTICATED),
    (ForbiddenError, FORBIDDEN),
    (NotFoundError, NOT_FOUND),
    (InvalidError, BAD_QUERY),
    (TooManyError, TOO_MANY),
    (UnavailableError, TRY_LATER),
)
_EXPELLED: Final = (UNAUTHENTICATED, "the key was revoked or has expired, or the session is over")
_WE_GO: Final = (GOING_AWAY, "the service is going down")
_THEY_WENT: Final = (0, "")

_log: Final = logging.getLogger("asynclog.server")


class GoneError(Exception):
    """The client is no longer there."""


class ClosedError(Exception):
    """The conversation is over; the client is told so."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Connection:
    """What a conversation needs of a WebSocket. ``send`` may be used by several coroutines."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self.query_string, self.ticket = _without_ticket(websocket.scope["query_string"])
        self.path: dict[str, str] = websocket.path_params
        self.caller: Pass | None = None
        """Who speaks, once they were let in."""

    @property
    def access(self) -> AccessScope:
        """The account and site that the other side sees."""
        if self.caller is None:
            raise RuntimeError("nobody was let in yet")
        return self.caller.principal.access

    @property
    def who(self) -> str:
        """Who shares its limits."""
        return caller_of(self.caller, self._websocket)

    async def send(self, frame: str) -> None:
        """Send a text frame once the client has taken enough of the former ones.

        Raises:
            GoneError: it never will.
        """
        try:
            await self._websocket.send_text(frame)
        except (WebSocketDisconnect, RuntimeError) as error:  # the latter when the server has closed it by itself
            raise GoneError from error

    async def receive(self) -> str | None:
        """The next text frame; None for a binary one. Raises GoneError."""
        try:
            message = await self._websocket.receive()
        except RuntimeError as error:
            raise GoneError from error
        if message["type"] == "websocket.disconnect":
            raise GoneError
        text: str | None = message.get("text")
        return text

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye, if the client still listens."""
        short = reason.encode()[:REASON_BYTES].decode(errors="ignore")
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._websocket.close(code, short)
        except (TimeoutError, WebSocketDisconnect, RuntimeError):
            _log.debug("a client was gone before it could be told (%d %s)", code, short)


def _without_ticket(query_string: bytes) -> tuple[bytes, str | None]:
    """The query without its ticket, and that: the ticket is nobody's business but the door's."""
    pairs = query_string.split(b"&")
    tickets = [pair for pair in pairs if pair.partition(b"=")[0] == b"ticket"]
    if not tickets:
        return query_string, None
    rest = b"&".join(pair for pair in pairs if pair not in tickets)
    return rest, tickets[0].partition(b"=")[2].decode("latin-1") if len(tickets) == 1 else ""


Talk = Callable[[Connection], Awaitable[None]]


async def converse(service: Service, kind: str, websocket: WebSocket, talk: Talk) -> None:
    """Accept a WebSocket, talk, and close it in the way the end of the talk asks for; never raises.

    Args:
        service: knows the connection while it lasts, and cancels it when it goes down.
        kind: for counting.
        websocket: not yet accepted.
        talk: returns, or raises ClosedError, when there is nothing more to say.
    """
    connection = Connection(websocket)
    with service.connected(kind) as socket:
        code, reason = await _talk(service, websocket, connection, socket, talk)
        socket.talking = False
        if code:
            await connection.close(code, reason)


async def _talk(
    service: Service, websocket: WebSocket, connection: Connection, socket: Socket, talk: Talk
) -> tuple[int, str]:
    """How to close; the code is 0 when nobody is there."""
    try:
        await websocket.accept()
        if service.closing:
            return _WE_GO
        connection.caller = socket.caller = service.access.connect(websocket, connection.ticket)
        service.asked.take(connection.who)
        with service.subscriptions.taken(connection.who):
            await talk(connection)
    except ClosedError as error:
        return error.code, error.reason
    except AsynclogError as error:
        return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED), str(error)
    except (GoneError, OSError, WebSocketDisconnect):
        return _THEY_WENT
    except asyncio.CancelledError:
        return _EXPELLED if socket.expelled else _WE_GO
    except Exception:  # noqa: BLE001 - the edge: logged, and the client is told
        _log.exception("a WebSocket conversation failed")
        return FAILED, "the service failed; its own log says how"
    return NORMAL, ""


async def together(*works: Coroutine[Any, Any, None]) -> None:
    """Run coroutines until the first one returns or raises; the others are cancelled, and awaited."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def frames_of(head: str, items: list[bytes], tail: Callable[[int], str]) -> list[str]:
    """Frames of at most 256 KiB each, unless one item is larger; ``tail`` ends a frame after so many items in all."""
    frames: list[str] = []
    begin = size = 0
    for number, item in enumerate(items):
        if size and size + len(item) > FRAME_BYTES - len(head) - 100:
            frames.append(f"{head}{b','.join(items[begin:number]).decode()}{tail(number)}")
            begin, size = number, 0
        size += len(item) + 1
    frames.append(f"{head}{b','.join(items[begin:]).decode()}{tail(len(items))}")
    return frames
