"""An ASGI application asked without a network: one HTTP exchange or one WebSocket at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import urlencode

from asynclog.cli.service import Query

QUEUE: Final = 8
"""Messages the application may be ahead of its reader."""

Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]


async def http(
    application: Application, method: str, path: str, query: Query = (), body: bytes | None = None
) -> AsyncGenerator[Message, None]:
    """The messages of one answer: ``http.response.start``, then ``http.response.body`` up to the last.

    Whatever the application raises is raised.
    """
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            await asyncio.Event().wait()  # the caller stays until it has its answer
        sent = True
        return {"type": "http.request", "body": body or b"", "more_body": False}

    scope = {"type": "http", "method": method, "headers": _headers(body), **_place("http", path, query)}
    async with contextlib.aclosing(_messages(application, scope, receive)) as messages:
        async for message in messages:
            yield message
            if message["type"] == "http.response.body" and not message.get("more_body"):
                return


async def websocket(application: Application, path: str, query: Query = ()) -> AsyncGenerator[Message, None]:
    """The messages of one WebSocket, up to its ``websocket.close``, which comes last."""
    connected = False

    async def receive() -> Message:
        nonlocal connected
        if connected:
            await asyncio.Event().wait()  # the caller says nothing more and stays to the end
        connected = True
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "headers": _headers(None), "subprotocols": [], **_place("ws", path, query)}
    async with contextlib.aclosing(_messages(application, scope, receive)) as messages:
        async for message in messages:
            yield message
            if message["type"] == "websocket.close":
                return


def _place(scheme: str, path: str, query: Query) -> Message:
    return {
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": scheme,
        "path": path,
        "raw_path": path.encode(),
        "query_string": urlencode(query).encode(),
        "root_path": "",
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 80),
        "state": {},
    }


def _headers(body: bytes | None) -> list[tuple[bytes, bytes]]:
    headers = [(b"host", b"127.0.0.1")]
    if body is not None:
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    return headers


async def _messages(
    application: Application, scope: Message, receive: Callable[[], Awaitable[Message]]
) -> AsyncGenerator[Message, None]:
    """What the application sends, as it sends it; it is cancelled when nobody wants more."""
    sent: asyncio.Queue[Message | None] = asyncio.Queue(QUEUE)

    async def run() -> None:
        try:
            await application(scope, receive, sent.put)
        finally:
            await sent.put(None)

    work = asyncio.create_task(run())
    try:
        while (message := await sent.get()) is not None:
            yield message
        await work
    finally:
        work.cancel()
        while not sent.empty():
            sent.get_nowait()
        await asyncio.wait([work])
