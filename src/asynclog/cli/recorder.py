"""Lines of a process here, recorded as an external task of a service elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from typing import Any, Final

import msgspec

from asynclog.cli import terminal
from asynclog.cli.finding import path
from asynclog.cli.service import LostError, RefusedError, Service
from asynclog.identity import new_id
from asynclog.model import timestamp_text

GATHER_SECONDS: Final = 0.1
"""How long lines gather before they are sent."""
BATCH_BYTES: Final = 1 << 20
BUFFER_BYTES: Final = 64 << 20
"""Lines kept for a service that is away; beyond that new ones are dropped, counted and told."""
ALIVE_SECONDS: Final = 2.0
"""A task that says nothing shows so often that it is alive, and learns whether it was cancelled."""
FIRST_DELAY_SECONDS: Final = 0.1
LONGEST_DELAY_SECONDS: Final = 3.0
PATIENCE_SECONDS: Final = 30.0
"""How long the end of a task waits for a service that is away."""


class Recorder:
    """Sends lines in batches, each of them until it has arrived, once. Lives on the event loop.

    Args:
        service: where they go.
        task_id: the external task.
    """

    def __init__(self, service: Service, task_id: str) -> None:
        self._service = service
        self._task_id = task_id
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._due = asyncio.Event()
        self._closing = False
        self.dropped = 0
        self.ended = asyncio.Event()
        """The service takes no more: the task was cancelled or deleted there, or has ended otherwise."""

    def add(self, source: str, message: str, level: str = "INFO", metadata: Any = None) -> None:
        """Take a line; never blocks."""
        line: dict[str, Any] = {
            "message": message,
            "level": level,
            "source": source,
            "timestamp": timestamp_text(time.time_ns() // 1000),
        }
        if metadata is not None:
            line["metadata"] = metadata
        data = msgspec.json.encode(line) + b"\n"
        if self._size + len(data) > BUFFER_BYTES or self.ended.is_set():
            self.dropped += 1
            return
        self._size += len(data)
        self._lines.append(data)
        self._due.set()

    async def run(self) -> None:
        """Send what comes, until `close` or the end of the task."""
        while not self.ended.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ALIVE_SECONDS):
                    await self._due.wait()
            if not self._closing:
                await asyncio.sleep(GATHER_SECONDS)
            await self._deliver(self._take())
            if self._closing and not self._lines:
                return

    def _take(self) -> bytes:
        batch = bytearray()
        while self._lines and (not batch or len(batch) + len(self._lines[0]) <= BATCH_BYTES):
            batch += self._lines.popleft()
        self._size -= len(batch)
        if not self._lines and not self._closing:
            self._due.clear()
        return bytes(batch)

    async def _deliver(self, batch: bytes) -> None:
        query = [("batch_id", new_id())] if batch else []
        delay, told = FIRST_DELAY_SECONDS, False
        while True:
            try:
                await self._service.call("POST", path(self._task_id, "logs"), query, batch)
            except LostError as error:
                if delay > 4 * FIRST_DELAY_SECONDS and not told:
                    told = True
                    terminal.say(f"{error}; the lines are kept and sent later", "WARNING")
            except asyncio.CancelledError:
                self.dropped += batch.count(b"\n")
                raise
            except RefusedError as error:
                self.ended.set()
                self.dropped += batch.count(b"\n") + len(self._lines)
                if error.status not in (404, 409):
                    terminal.say(f"the service takes no more lines: {error}", "WARNING")
                return
            else:
                return
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter keeps no secret
            delay = min(2 * delay, LONGEST_DELAY_SECONDS)

    async def close(self, work: asyncio.Task[None]) -> None:
        """Let `run`, which ``work`` runs, send what is left; give up on a service that stays away."""
        self._closing = True
        self._due.set()
        await asyncio.wait([work], timeout=PATIENCE_SECONDS)
        if not work.done():
            work.cancel()
            await asyncio.wait([work])
        else:
            work.result()
        if self._lines:
            self.dropped += len(self._lines)
            self.ended.set()
