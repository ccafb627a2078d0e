"""The writer: the one coroutine that moves records from the queue into the store, in batches.

State owned here: the batch being written (kept until it is committed, whatever is cancelled in between), and who waits
for a barrier. What a batch is made of is the `Intake`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from asynclog import failpoints
from asynclog.errors import StoreError
from asynclog.intake import BATCH_RECORDS, Batch, Intake
from asynclog.journal import Journal
from asynclog.protocols import Clock, Store, StoredEntries
from asynclog.records import Frame

BACKOFF_SECONDS: Final = (0.1, 0.2, 0.5, 1.0)
"""How long to wait after the first, second, … failure in a row; the last one from then on."""

BEHIND_RECORDS: Final = 2 * BATCH_RECORDS
"""More than one batch beside the one that is being written."""

_log = logging.getLogger("asynclog.writer")


class Writer:
    """Drains the queue into the store.

    Args:
        journal: where holes are read, and which segments may go.
        store: where the batches go.
        clock: for the interval and the backoff.
        collect: moves the journal's inbox to `put` now; returns the newest id that can be written.
        interval: seconds a record waits at most, read anew each time.
    """

    def __init__(
        self,
        journal: Journal,
        store: Store,
        clock: Clock,
        collect: Callable[[], int],
        interval: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._store = store
        self._clock = clock
        self._collect = collect
        self._interval = interval
        self._intake = Intake(journal)
        self._batch = Batch()
        self._removal: asyncio.Future[None] | None = None
        """Of segments that hold stored records only."""
        self._due = asyncio.Event()
        self._barriers: list[tuple[int, asyncio.Future[None]]] = []
        self.error: str | None = None
        """Why the store cannot be written now; None when it can."""
        self.failures = 0
        self.listeners: list[Callable[[StoredEntries], None]] = []
        """Told of entries once they are stored; must not block or fail."""
        self.commits = 0
        self.written = 0

    def put(self, frames: list[Frame]) -> None:
        """Queue records, in order; a full batch is written without waiting for the interval."""
        self._intake.put(frames)
        if self._intake.queued_id - self._intake.taken >= BATCH_RECORDS:
            self._due.set()

    @property
    def missing(self) -> int:
        """Record numbers that were neither in the queue nor in the journal."""
        return self._intake.missing

    @property
    def behind(self) -> bool:
        """Whether more waits than is being written, and is being written: who reads for later had better wait too."""
        return self.error is None and self._journal.last_id - self._journal.stored_id > BEHIND_RECORDS

    def flush(self) -> None:
        """Write what there is without waiting for the interval."""
        self._due.set()

    async def barrier(self, seconds: float | None = None) -> bool:
        """Wait until everything appended before the call is stored; False when that takes longer than ``seconds``."""
        through = self._journal.last_id
        if self._journal.stored_id >= through:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = through, future
        self._barriers.append(waiter)
        self._due.set()
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            return False
        finally:
            if waiter in self._barriers:
                self._barriers.remove(waiter)
        return True

    async def run(self) -> None:
        """Write for ever. May be cancelled or fail anywhere and be called again: nothing is lost or written twice."""
        try:
            await self._run()
        finally:
            await self._intake.close()
            if self._removal is not None:
                await asyncio.wait([self._removal])

    async def _run(self) -> None:
        if not self._batch.frames:
            self._settled(self._intake.taken)
        while True:
            through = self._collect()
            while self._intake.taken < through or self._batch.frames:
                if not self._batch.frames:
                    await self._fill(through)
                await self._write(through)
            await self._wait()

    async def _wait(self) -> None:
        if not self._due.is_set():
            await self._wait_for_more()
        self._due.clear()

    async def _wait_for_more(self) -> None:
        due = asyncio.ensure_future(self._due.wait())
        tick = asyncio.ensure_future(self._clock.sleep(self._interval()))
        try:
            await asyncio.wait((due, tick), return_when=asyncio.FIRST_COMPLETED)
        finally:
            due.cancel()
            tick.cancel()

    async def _fill(self, through: int) -> None:
        """Take the next records into the batch, however often it takes."""
        while True:
            try:
                await self._intake.fill(self._batch, through)
            except OSError as error:
                await self._failed(StoreError(f"the journal cannot be read: {error}"))
            else:
                return

    async def _write(self, through: int) -> None:
        """Commit the batch, however often it takes, and let go of what it held; ``through`` is what comes behind it."""
        failpoints.hit("writer.batched")
        batch, last = self._batch, self._intake.taken
        self._intake.read_ahead(through)
        stored = await self._commit(batch.frames, last)
        if self.error is not None:
            _log.warning("the database can be written again")
        self.error = None
        self.failures = 0
        self.commits += 1
        self.written += len(batch.frames)
        self._batch = Batch()
        self._journal.release(batch.queued, batch.queued_size)
        failpoints.hit("writer.committed")
        if stored:
            for tell in self.listeners:
                tell(stored)
        if self._settled(last) and (self._removal is None or self._removal.done()):
            # Beside the next batch: nobody waits for it.
            self._removal = asyncio.ensure_future(self._remove())

    async def _remove(self) -> None:
        try:
            await asyncio.to_thread(self._journal.remove_stored)
        except Exception:  # noqa: BLE001  # whatever it is, it is tried again after the next commit
            _log.exception("stored segments could not be removed")

    async def _commit(self, frames: list[Frame], through: int) -> StoredEntries | None:
        while True:
            try:
                return await self._store.commit(self._journal.journal_id, frames, through)
            except Exception as error:  # noqa: BLE001  # whatever it is, the batch must wait for better times
                await self._failed(error)

    async def _failed(self, error: Exception) -> None:
        """Say it once, and wait longer the more often it was."""
        sentence = str(error) if isinstance(error, StoreError) else f"a batch cannot be stored: {error!r}"
        if self.error is None:
            _log.error("%s; entries stay in the journal and it is tried again", sentence)
        self.error = sentence
        delay = BACKOFF_SECONDS[min(self.failures, len(BACKOFF_SECONDS) - 1)]
        self.failures += 1
        await self._clock.sleep(delay)

    def _settled(self, through: int) -> bool:
        """Everything up to an id is stored: tell who waits for it; True when segments may be removed."""
        removable = self._journal.mark_stored(through)
        self._resolve()
        return removable

    def _resolve(self) -> None:
        stored = self._journal.stored_id
        for through, future in self._barriers:
            if through <= stored and not future.done():
                future.set_result(None)
        self._barriers = [(through, future) for through, future in self._barriers if not future.done()]


async def supervise(run: Callable[[], object], name: str) -> None:
    """Keep a coroutine running: start it again when it fails or is cancelled, until this call is cancelled."""
    while True:
        work = asyncio.ensure_future(run())  # type: ignore[call-overload]  # a coroutine function
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await work
            raise
        error = None if work.cancelled() else work.exception()
        _log.error("the %s ended unexpectedly (%r) and is started again", name, error or "cancelled")
        await asyncio.sleep(0.01)
