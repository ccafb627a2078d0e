"""The writer: the one coroutine that moves records from the queue into the store, in batches.

State owned here: the batches being committed, in order (kept until they are, whatever is cancelled in between), the one
being filled, and who waits for a barrier. What a batch is made of is the `Intake`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from asynclog import failpoints
from asynclog.errors import StoreError
from asynclog.frames import Frames
from asynclog.intake import BATCH_RECORDS, Batch, Intake
from asynclog.journal import Journal
from asynclog.protocols import Clock, Store, StoredEntries

BACKOFF_SECONDS: Final = (0.1, 0.2, 0.5, 1.0)
"""How long to wait after the first, second, … failure in a row; the last one from then on."""

AHEAD: Final = 2
"""Commits that are begun before the one under way is over, as long as there are whole batches for them."""

BEHIND_RECORDS: Final = (1 + AHEAD) * BATCH_RECORDS
"""More than can be under way at once."""

_log = logging.getLogger("asynclog.writer")


class _Commit(NamedTuple):
    batch: Batch
    last: int
    """The newest id that is in it, or was lost behind it."""
    work: asyncio.Future[StoredEntries | None]


class Writer:
    """Drains the queue into the store.

    Args:
        journal: where holes are read, and which segments may go.
        store: where the batches go.
        clock: for the interval and the backoff.
        collect: moves the journal's inbox to `put` now; returns the newest id that can be written.
        interval: seconds a record waits at most, read anew each time.
        most: record ids of one transaction, but for an ingest batch that is larger.
    """

    def __init__(
        self,
        journal: Journal,
        store: Store,
        clock: Clock,
        collect: Callable[[], int],
        interval: Callable[[], float],
        most: int = BATCH_RECORDS,
    ) -> None:
        self._journal = journal
        self._store = store
        self._clock = clock
        self._collect = collect
        self._interval = interval
        self._most = most
        self._intake = Intake(journal, most)
        self._batch = Batch()
        """What is taken next."""
        self._commits: deque[_Commit] = deque()
        """Under way, in order."""
        self._removal: asyncio.Future[None] | None = None
        """Of segments that hold stored records only."""
        self._asked = False
        """To write what there is without waiting for the interval."""
        self._news = asyncio.Event()
        """It is asked for something, or a commit is over."""
        self._barriers: list[tuple[int, asyncio.Future[None]]] = []
        self.error: str | None = None
        """Why the store cannot be written now; None when it can."""
        self.failures = 0
        """Since the start."""
        self._in_a_row = 0
        self.listeners: list[Callable[[StoredEntries], None]] = []
        """Told of entries once they are stored; must not block or fail."""
        self.commits = 0
        self.written = 0

    def put(self, frames: Frames) -> None:
        """Queue records, in order; a whole batch is written without waiting for the interval."""
        self._intake.put(frames)
        if self._intake.queued_id - self._intake.taken >= self._most:
            self._news.set()

    @property
    def patience(self) -> int:
        """How many record ids may follow without being put: until there is another whole batch."""
        return self._most - (self._journal.last_id - self._intake.taken) % self._most

    @property
    def is_lacking(self) -> bool:
        """Whether there is a whole batch, but not all of it was put yet."""
        taken = self._intake.taken
        return self._intake.queued_id - taken < self._most <= self._journal.last_id - taken

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
        self._asked = True
        self._news.set()

    async def barrier(self, seconds: float | None = None, through: int | None = None) -> bool:
        """Wait until everything appended before the call, or up to a record, is stored; False when it takes longer."""
        through = self._journal.last_id if through is None else through
        if self._journal.stored_id >= through:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = through, future
        self._barriers.append(waiter)
        self.flush()
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
            await _over(self._commits)
            if self._removal is not None:
                await asyncio.wait([self._removal])

    async def _run(self) -> None:
        if not self._batch.frames and not self._commits:
            self._settled(self._intake.taken)
        through, self._asked = 0, True
        while True:
            if self._commits and self._commits[0].work.done():
                await self._land()
            elif self._asked:
                self._asked = False
                through = self._collect()
            elif self._has_turn(through):
                known = self._collect()
                if await self._fill(known):
                    self._begin(known)
            else:
                await self._rest()

    def _has_turn(self, through: int) -> bool:
        """Whether there is something to commit now: a whole batch, or what was asked for if no commit is under way.

        Beside a large ingest batch there are fewer: it takes as much memory as many of the others.
        """
        whole = self._journal.last_id - self._intake.taken >= self._most
        if not self._commits:
            return whole or self._intake.taken < through or bool(self._batch.frames)
        under_way = self._intake.taken - self._journal.stored_id
        return whole and len(self._commits) <= AHEAD and under_way < (1 + AHEAD) * self._most

    async def _rest(self) -> None:
        """Wait until a commit is over or the writer is asked for one; when none is under way, at most an interval."""
        if self._commits:
            await self._news.wait()
        elif not self._news.is_set():
            tick = asyncio.ensure_future(self._clock.sleep(self._interval()))
            tick.add_done_callback(lambda done: None if done.cancelled() else self.flush())
            try:
                await self._news.wait()
            finally:
                tick.cancel()
        self._news.clear()

    async def _fill(self, through: int) -> bool:
        """Take the next records into the batch; False, a while later, when the journal cannot be read now."""
        try:
            await self._intake.fill(self._batch, through)
        except OSError as error:
            await self._failed(StoreError(f"the journal cannot be read: {error}"))
            return False
        return True

    def _begin(self, through: int) -> None:
        """Begin to commit the batch; ``through`` is what comes behind it."""
        failpoints.hit("writer.batched")
        batch, self._batch = self._batch, Batch()
        self._submit(batch, self._intake.taken)
        self._intake.read_ahead(through)

    def _submit(self, batch: Batch, last: int) -> None:
        after = self._commits[-1].last if self._commits else 0
        work = asyncio.ensure_future(self._store.commit(self._journal.journal_id, batch.frames, last, after))
        work.add_done_callback(lambda _: self._news.set())
        self._commits.append(_Commit(batch, last, work))

    async def _land(self) -> None:
        """Let go of what the first commit held, or begin all of them again when it has failed."""
        batch, last, work = self._commits[0]
        try:
            stored = work.result()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # whatever it is, they wait for better times
            await self._again(error)
            return
        if self.error is not None:
            _log.warning("the database can be written again")
        self.error = None
        self._in_a_row = 0
        self.commits += 1
        self.written += len(batch.frames)
        self._commits.popleft()
        self._journal.release(batch.queued, batch.queued_size)
        failpoints.hit("writer.committed")
        if stored:
            for tell in self.listeners:
                tell(stored)
        if self._settled(last) and (self._removal is None or self._removal.done()):
            # Beside the next batch: nobody waits for it.
            self._removal = asyncio.ensure_future(self._remove())

    async def _again(self, error: BaseException) -> None:
        """Commit anew, in order, a while after the first of the commits has failed."""
        await _over(self._commits)
        await self._failed(error)
        failed, self._commits = self._commits, deque()
        for batch, last, _ in failed:
            self._submit(batch, last)

    async def _remove(self) -> None:
        """Remove what may go, and then what was stored meanwhile: perhaps no commit comes for long."""
        seen = -1
        while seen != self._journal.stored_id:
            seen = self._journal.stored_id
            try:
                await asyncio.to_thread(self._journal.remove_stored)
            except Exception:  # noqa: BLE001  # whatever it is, it is tried again after the next commit
                _log.exception("stored segments could not be removed")

    async def _failed(self, error: BaseException) -> None:
        """Say it once, and wait longer the more often it was."""
        sentence = str(error) if isinstance(error, StoreError) else f"a batch cannot be stored: {error!r}"
        if self.error is None:
            _log.error("%s; entries stay in the journal and it is tried again", sentence)
        self.error = sentence
        delay = BACKOFF_SECONDS[min(self._in_a_row, len(BACKOFF_SECONDS) - 1)]
        self._in_a_row += 1
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


async def _over(commits: Iterable[_Commit]) -> None:
    """Wait until all of them are over, however they end."""
    if works := [commit.work for commit in commits]:
        await asyncio.wait(works)
    for work in works:
        _ = work.cancelled() or work.exception()  # perhaps nobody else asks for it


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
