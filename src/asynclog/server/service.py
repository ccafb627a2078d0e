"""What all requests share: the task manager, the open WebSockets, and a few counters."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

from asynclog.tasks.manager import TaskManager

CLOSE_SECONDS: Final = 2.0
"""How long the WebSockets together have to be closed."""


class Service:
    """State owned here, on the event loop: who is connected, and whether the service is going down."""

    def __init__(self, tasks: TaskManager) -> None:
        self.tasks = tasks
        self.closing = False
        self.description: dict[str, Any] = {}
        """Of the API."""
        self.requests: Counter[str] = Counter()
        """Answered so far, by class of status: 2xx, 4xx, …"""
        self._sockets: dict[str, set[asyncio.Task[object]]] = {"logs": set(), "tasks": set()}

    def sockets(self, kind: str) -> int:
        """How many WebSockets of a kind (logs, tasks) are open."""
        return len(self._sockets[kind])

    @contextmanager
    def connected(self, kind: str) -> Iterator[None]:
        """The current asyncio task serves a WebSocket inside the block; it is cancelled when the service closes."""
        current = cast("asyncio.Task[object]", asyncio.current_task())
        self._sockets[kind].add(current)
        try:
            yield
        finally:
            self._sockets[kind].discard(current)

    async def close_sockets(self) -> None:
        """Let every WebSocket be closed as going away; returns when they are, or after two seconds."""
        self.closing = True
        waiting = set[asyncio.Task[object]]().union(*self._sockets.values())
        for connection in waiting:
            connection.cancel()
        if waiting:
            await asyncio.wait(waiting, timeout=CLOSE_SECONDS)
