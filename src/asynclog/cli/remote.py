"""A running service, asked over HTTP and WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from asynclog.cli.backoff import Backoff
from asynclog.cli.credentials import VARIABLE
from asynclog.cli.service import LostError, Object, Query, RefusedError, refusal
from asynclog.errors import AsynclogError, InvalidError, NotFoundError

TIMEOUT_SECONDS: Final = 30.0
"""How long the service may be silent."""
PIECE_BYTES: Final = 256 * 1024
LONGEST_DELAY_SECONDS: Final = 5.0
FRAME_BYTES: Final = 256 * 1024 * 1024
"""A frame larger than this is not ours."""
UNAUTHENTICATED: Final = 4401
FORBIDDEN: Final = 4403
GONE: Final = 4404
BAD_QUERY: Final = 4422


class RemoteService:
    """`Service` over the network.

    Args:
        locate: where the service is now; asked before each connection, for a restart may move it.
        key: the API key that is sent with everything, if there is one.
    """

    remote = True

    def __init__(self, locate: Callable[[], str | None], key: str | None = None) -> None:
        self._locate = locate
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._url = locate() or ""

    async def call(self, method: str, path: str, query: Query = (), body: object = None) -> Any:
        """See `Service.call`."""
        exchange = _Exchange(self._current(), self._headers, method, path, query, body)
        async with _abortable(exchange):
            data = await asyncio.to_thread(exchange.whole)
        try:
            return msgspec.json.decode(data) if data else None
        except msgspec.DecodeError:  # another program, or a proxy that says it is being worked on
            raise LostError(f"what answers at {self._url} is no asynclog") from None

    async def stream(self, path: str, query: Query = ()) -> AsyncGenerator[bytes, None]:
        """See `Service.stream`."""
        exchange = _Exchange(self._current(), self._headers, "GET", path, query)
        async with _abortable(exchange):
            while piece := await asyncio.to_thread(exchange.piece):
                yield piece

    async def follow(self, task_id: str, query: Query = (), after: int = 0) -> AsyncGenerator[Object, None]:
        """See `Service.follow`.

        A lost connection is made again from the cursor on, with backoff and jitter; a frame of the type ``lost``,
        which no service sends, says so once.
        """
        backoff = Backoff(LONGEST_DELAY_SECONDS)
        while True:
            try:
                async for frame in self._frames(task_id, query, after):
                    after = max(after, frame.get("through", 0), frame.get("to_seq", 0))
                    backoff.over()
                    yield frame
                    if frame["type"] == "end":
                        return
            except LostError as error:
                if backoff.is_news():
                    yield {"type": "lost", "detail": str(error)}
            await backoff.pause()

    async def _frames(self, task_id: str, query: Query, after: int) -> AsyncGenerator[Object, None]:
        """The frames of one connection."""
        from websockets.asyncio.client import connect  # noqa: PLC0415 - takes a while, and only this needs it
        from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException  # noqa: PLC0415 - as above

        address = "ws" + self._current().removeprefix("http").rstrip("/")
        address += f"/ws/tasks/{quote(task_id, safe='')}/logs?{urlencode([*query, ('after', str(after))])}"
        try:
            async with connect(
                address, additional_headers=self._headers, compression=None, proxy=None, max_size=FRAME_BYTES
            ) as connection:
                try:
                    while True:
                        yield msgspec.json.decode(await connection.recv())
                except ConnectionClosed:
                    if connection.close_code == GONE:
                        raise NotFoundError("task", task_id) from None
                    reason = connection.close_reason or ""
                    if connection.close_code == UNAUTHENTICATED:
                        raise _unknown(reason, shown=bool(self._headers)) from None
                    if connection.close_code == FORBIDDEN:
                        raise RefusedError(403, reason) from None
                    if connection.close_code == BAD_QUERY:
                        raise RefusedError(422, connection.close_reason or "the filter is bad") from None
                    raise LostError(f"the service at {self._url} closed the connection") from None
        except InvalidStatus as error:
            if 400 <= error.response.status_code < 500:
                body = bytes(error.response.body or b"")
                raise _refusal(error.response.status_code, body, shown=bool(self._headers)) from None
            raise LostError(f"the service at {self._url} refuses: {error}") from None
        except (OSError, TimeoutError, WebSocketException) as error:
            raise LostError(f"the service at {self._url} does not answer: {error or type(error).__name__}") from None

    def _current(self) -> str:
        self._url = self._locate() or self._url
        if not _is_address(self._url):
            raise InvalidError("url", f"{self._url!r} is not the address of a service, such as http://127.0.0.1:8700")
        return self._url


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and url.isascii()
            and url.isprintable()
            and " " not in url
        )
    except ValueError:  # a port, or an address of IPv6, that is none
        return False


class _Exchange:
    """One request and its answer. Blocking, for a thread; `abort` may be called from another one."""

    def __init__(
        self, url: str, headers: Mapping[str, str], method: str, path: str, query: Query, body: object = None
    ) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._url = url
        self._connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
        self._request = (method, parts.path.rstrip("/") + path + ("?" + urlencode(query) if query else ""))
        self._body = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        self._kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
        self._key = headers
        self._answer: http.client.HTTPResponse | None = None

    def whole(self) -> bytes:
        """The body of the answer."""
        try:
            return self._open().read()
        except (OSError, http.client.HTTPException) as error:
            raise self._lost(error) from None
        finally:
            self.close()

    def piece(self) -> bytes:
        """What comes next of the body, empty at its end."""
        try:
            answer = self._answer or self._open()
            piece = answer.read1(PIECE_BYTES)
            if not piece and answer.length:
                raise ConnectionError("the answer breaks off")
            return piece
        except (OSError, http.client.HTTPException) as error:
            raise self._lost(error) from None

    def _open(self) -> http.client.HTTPResponse:
        headers = {**self._key, **({} if self._body is None else {"Content-Type": self._kind})}
        self._connection.request(*self._request, self._body, headers)
        self._answer = answer = self._connection.getresponse()
        if answer.status >= 400:
            raise _refusal(answer.status, answer.read(), shown=bool(self._key))
        if answer.status >= 300:
            place = answer.headers.get("Location") or "another address"
            raise RefusedError(answer.status, f"{self._url} sends to {place}; name the address of the service itself")
        return answer

    def _lost(self, error: Exception) -> LostError:
        return LostError(f"the service at {self._url} does not answer: {error or type(error).__name__}")

    def close(self) -> None:
        """Give the connection up."""
        if self._answer is not None:
            self._answer.close()
        self._connection.close()

    def abort(self) -> None:
        """Wake a thread that waits for the service."""
        connected: socket.socket | None = self._connection.sock
        if connected is not None:
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)


def _refusal(status: int, body: bytes, *, shown: bool) -> AsynclogError:
    return _unknown(str(refusal(status, body)), shown=shown) if status == 401 else refusal(status, body)


def _unknown(said: str, *, shown: bool) -> RefusedError:
    """The service does not know who asks: how that is mended from here. ``shown`` says whether a key was sent."""
    how = f"an API key: put one into {VARIABLE}, or into a file that you name with --api-key-file"
    return RefusedError(
        401, f"the service does not take this API key: {said}" if shown else f"the service asks for {how}"
    )


@contextlib.asynccontextmanager
async def _abortable(exchange: _Exchange) -> AsyncIterator[None]:
    try:
        yield
    except (asyncio.CancelledError, GeneratorExit):
        exchange.abort()
        raise
    finally:
        exchange.close()
