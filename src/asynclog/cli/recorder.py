"""Lines of a process here, recorded as an external task of a service elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import time
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from asynclog.cli import terminal
from asynclog.cli.backoff import Backoff
from asynclog.cli.finding import path
from asynclog.cli.service import LostError, Object, Query, RefusedError, Service
from asynclog.cli.spool import Spool
from asynclog.identity import new_id
from asynclog.model import timestamp_text

GATHER_SECONDS: Final = 0.1
"""How long lines gather before they are sent, unless they fill a batch."""
BATCH_BYTES: Final = 1 << 20
ALIVE_SECONDS: Final = 2.0
"""A task that says nothing shows so often that it is alive, and learns whether it was cancelled."""
LONGEST_DELAY_SECONDS: Final = 3.0
PATIENCE_SECONDS: Final = 30.0
"""How long the end of a task waits for a service that takes nothing."""


class Recorder:
    """Sends lines in batches, each of them until it has arrived, once. Lives on the event loop; close it by `with`.

    Args:
        service: where they go.
        task_id: the external task.
    """

    def __init__(self, service: Service, task_id: str) -> None:
        self._service = service
        self._task_id = task_id
        self._spool = Spool()
        self._due = asyncio.Event()
        self._closing = False
        self._taken_at = 0.0
        self.dropped = 0
        """Lines that did not, and will not, arrive."""
        self.ended = asyncio.Event()
        """The task was cancelled or deleted in the service, or has ended otherwise there."""
        self._refused = False
        """The service takes no more, although the task goes on."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spool.close()

    def add(self, source: str, message: str, level: str = "INFO", metadata: Any = None) -> None:
        """Take a line; never waits for the service."""
        line: dict[str, Any] = {
            "message": message,
            "level": level,
            "source": source,
            "timestamp": timestamp_text(time.time_ns() // 1000),
        }
        if metadata is not None:
            line["metadata"] = metadata
        if self._over or not self._spool.put(msgspec.json.encode(line) + b"\n"):
            self.dropped += 1
        else:
            self._due.set()

    @property
    def _over(self) -> bool:
        return self._refused or self.ended.is_set()

    async def run(self) -> None:
        """Send what comes, until `close`, the end of the task, or a refusal."""
        while not self._over:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ALIVE_SECONDS):
                    await self._due.wait()
            if not self._closing and self._spool.size < BATCH_BYTES:
                await asyncio.sleep(GATHER_SECONDS)
            await self._deliver(self._spool.take(BATCH_BYTES))
            if not self._spool.size:
                if self._closing:
                    return
                self._due.clear()

    async def _deliver(self, batch: bytes) -> None:
        """Send a batch until it has arrived; an empty one says that the task is alive."""
        query = [("batch_id", new_id())] if batch else []
        try:
            await self._insist("logs", query, batch, "the lines are kept and sent later")
        except asyncio.CancelledError:
            self.dropped += batch.count(b"\n")
            raise
        except RefusedError as error:
            self.dropped += batch.count(b"\n") + self._spool.lines
            if error.status in (404, 409):
                self.ended.set()
            else:
                self._refused = True
                terminal.say(f"{error}; the command goes on, and is not recorded any more", "WARNING")

    async def _insist(self, what: str, query: Query, body: object, then: str) -> Any:
        """Post something until it is answered; ``then`` says what becomes of it as long as nobody answers."""
        backoff = Backoff(LONGEST_DELAY_SECONDS)
        while True:
            try:
                answer = await self._service.call("POST", path(self._task_id, what), query, body)
            except LostError as error:
                if backoff.is_news():
                    terminal.say(f"{error}; {then}", "WARNING")
            else:
                self._taken_at = time.monotonic()
                return answer
            await backoff.pause()

    async def finish(self, verdict: Object) -> Object:
        """End the task; it as it has ended.

        Raises:
            RefusedError: the service knows of another end, or of no such task.
            LostError: nobody has answered for too long.
        """
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                ended: Object = await self._insist("finish", [], verdict, "trying again")
        except TimeoutError:
            raise LostError(f"the service has not answered for {PATIENCE_SECONDS:.0f} s") from None
        except RefusedError as error:
            if error.status != 409:
                raise
            ended = await self._service.call("GET", path(self._task_id))
            if ended["status"] != verdict["status"]:
                raise  # else it had arrived, and only the answer was lost
        return ended

    async def close(self, work: asyncio.Task[None]) -> None:
        """Let `run`, which ``work`` runs, send what is left; give up on a service that takes nothing for too long."""
        self._closing = True
        self._due.set()
        self._taken_at = time.monotonic()
        while not work.done() and time.monotonic() - self._taken_at < PATIENCE_SECONDS:
            await asyncio.wait([work], timeout=1.0)
        if work.done() and not work.cancelled():
            work.result()
            return
        work.cancel()
        await asyncio.wait([work])
        self.dropped += self._spool.lines
        self.ended.set()
