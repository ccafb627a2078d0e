"""What all requests share: the task manager, the open WebSockets, and a few counters."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

from asynclog.principal import Principal
from asynclog.server.access import Access
from asynclog.server.body import Bodies
from asynclog.server.failures import Failures
from asynclog.server.limits import DEFAULT_LIMITS, EXPORTS, EXPORTS_EACH, Begun, Limits, Places, Requests, Seldom
from asynclog.server.passes import Pass
from asynclog.server.turns import Turns
from asynclog.tasks.manager import TaskManager

CLOSE_SECONDS: Final = 2.0
"""How long the WebSockets together have to be closed."""


class Socket:
    """One open WebSocket."""

    def __init__(self, work: asyncio.Task[object]) -> None:
        self.work = work
        self.caller: Pass | None = None
        """Who speaks, once they were let in."""
        self.talking = True
        self.expelled = False

    def expel(self) -> None:
        """Whoever speaks may do so no more."""
        if self.talking and not self.expelled:
            self.expelled = True
            self.work.cancel()


class Service:
    """State owned here, on the event loop: who is connected, and whether the service is going down.

    Args:
        tasks: what is served.
        everybody: whom every caller is taken for, without being asked.
        limits: how much there may be at a time.
    """

    def __init__(self, tasks: TaskManager, everybody: Principal | None = None, limits: Limits = DEFAULT_LIMITS) -> None:
        self.tasks = tasks
        self.limits = limits
        self.subscriptions = Places("subscriptions", limits.subscriptions, limits.subscriptions_per_key)
        self.asked = Requests(time.monotonic, limits.requests_per_second)
        self.begun = Begun(limits.tasks_per_key, self._is_open)
        self.unanswered = Seldom(time.monotonic)
        self.bodies = Bodies()
        self.exports = Places("exports", EXPORTS, EXPORTS_EACH)
        self.turns = Turns()
        self.captures = Turns(at_once=1, each=1)
        """Of large values, in a thread."""
        self.access = Access(tasks.keys, tasks.engine.clock, everybody)
        self.failures = Failures(tasks.engine.clock, "wrong keys")
        self.hook_failures = Failures(tasks.engine.clock, "wrong secrets of webhooks")
        tasks.keys.on_change(self._expel)
        self.closing = False
        self.description: dict[str, Any] = {}
        """Of the API."""
        self.requests: Counter[str] = Counter()
        """Answered so far, by class of status: 2xx, 4xx, …"""
        self._sockets: dict[str, set[Socket]] = {"logs": set(), "tasks": set()}

    def sockets(self, kind: str) -> int:
        """How many WebSockets of a kind (logs, tasks) are open."""
        return len(self._sockets[kind])

    def _is_open(self, task_id: str) -> bool:
        live = self.tasks.engine.hub.get(task_id)
        return live is not None and live.feed is not None and not live.feed.sealed

    @contextmanager
    def connected(self, kind: str) -> Iterator[Socket]:
        """The current asyncio task serves a WebSocket inside the block.

        It is cancelled when the service closes, and when whoever speaks may do so no more.
        """
        socket = Socket(cast("asyncio.Task[object]", asyncio.current_task()))
        self._sockets[kind].add(socket)
        try:
            yield socket
        finally:
            self._sockets[kind].discard(socket)

    def _expel(self) -> None:
        """Somebody may have lost the right to be here."""
        for sockets in self._sockets.values():
            for socket in sockets:
                if socket.caller is not None and not self.access.counts(socket.caller):
                    socket.expel()

    async def close_sockets(self) -> None:
        """Let every WebSocket be closed as going away; returns when they are, or after two seconds."""
        self.closing = True
        waiting = [socket.work for sockets in self._sockets.values() for socket in sockets]
        for connection in waiting:
            connection.cancel()
        if waiting:
            await asyncio.wait(waiting, timeout=CLOSE_SECONDS)
