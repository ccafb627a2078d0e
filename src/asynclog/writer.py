"""The writer: the one coroutine that moves records from the queue into the store, in batches.

State owned here: the queue, the batch being written (kept until it is committed, whatever is cancelled in between),
the id up to which records were taken, and who waits for a barrier.

Ids are dense. Where the queue has a hole (memory was short, or the process has just started), the missing records are
read from the journal: recovery after a crash is the same loop with a hole at its beginning.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Final

from asynclog import failpoints
from asynclog.errors import StoreError
from asynclog.journal import Journal
from asynclog.protocols import Clock, Store, StoredEntries
from asynclog.records import Frame

BATCH_RECORDS: Final = 12_000
"""Record ids of one transaction at most, but for an ingest batch that is larger."""
BATCH_BYTES: Final = 8 << 20
"""Payload bytes of one transaction, about."""
BACKOFF_SECONDS: Final = (0.1, 0.2, 0.5, 1.0)
"""How long to wait after the first, second, … failure in a row; the last one from then on."""

BEHIND_RECORDS: Final = 2 * BATCH_RECORDS
"""More than one batch beside the one that is being written."""
PIECE: Final = 256
"""Records taken off the queue at once; their bytes are counted afterwards."""

_span_of: Final = itemgetter(2)
_payload_of: Final = itemgetter(3)

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
        self._queue: asyncio.Queue[list[Frame]] = asyncio.Queue()
        self._chunk: list[Frame] = []
        """What was taken off the queue last; up to `_next` it is in the batch."""
        self._next = 0
        self._batch: list[Frame] = []
        self._queued: list[Frame] = []
        self._taken = journal.stored_id
        self._reader: Iterator[Frame] = iter(())
        self._reader_end = 0
        """The last id of the hole that the reader fills."""
        self._sought = -1
        """Behind this id the journal was asked twice."""
        self._waiting = 0
        self._removal: asyncio.Future[None] | None = None
        """Of segments that hold stored records only."""
        self._due = asyncio.Event()
        self._barriers: list[tuple[int, asyncio.Future[None]]] = []
        self.error: str | None = None
        """Why the store cannot be written now; None when it can."""
        self.failures = 0
        self.missing = 0
        """Record numbers that were neither in the queue nor in the journal."""
        self.listeners: list[Callable[[StoredEntries], None]] = []
        """Told of entries once they are stored; must not block or fail."""
        self.commits = 0
        self.written = 0

    def put(self, frames: list[Frame]) -> None:
        """Queue records, in order; a full batch is written without waiting for the interval."""
        self._queue.put_nowait(frames)
        self._waiting += frames[-1][0] + frames[-1][2] - frames[0][0]
        if self._waiting >= BATCH_RECORDS:
            self._due.set()

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
            if self._removal is not None:
                await asyncio.wait([self._removal])

    async def _run(self) -> None:
        self._reader_end = 0  # the reader of a call before may have read what it could not hand over
        if not self._batch:
            self._settled(self._taken)
        while True:
            through = self._collect()
            while self._taken < through or self._batch:
                if not self._batch:
                    await self._fill(through)
                await self._write()
            self._waiting = 0
            await self._wait()

    async def _wait(self) -> None:
        due = asyncio.ensure_future(self._due.wait())
        tick = asyncio.ensure_future(self._clock.sleep(self._interval()))
        try:
            await asyncio.wait((due, tick), return_when=asyncio.FIRST_COMPLETED)
        finally:
            due.cancel()
            tick.cancel()
        self._due.clear()

    async def _fill(self, through: int) -> None:
        """Take the next records, in the order of their ids, into the batch."""
        size = 0
        while self._taken < through and (room := self._room()) > 0 and size < BATCH_BYTES:
            if self._next == len(self._chunk) and not self._queue.empty():
                self._chunk, self._next = self._queue.get_nowait(), 0
            queued_id = self._chunk[self._next][0] if self._next < len(self._chunk) else through + 1
            if queued_id <= self._taken + 1:
                size += self._take(room)
            else:
                size += await self._fill_hole(min(through, queued_id - 1), room)

    def _room(self) -> int:
        """How many ids the batch may take; an ingest batch takes many."""
        return BATCH_RECORDS - (self._taken + 1 - self._batch[0][0]) if self._batch else BATCH_RECORDS

    def _take(self, room: int) -> int:
        """Take records of so many ids off the queue, as far as there is no hole between them; return their bytes."""
        piece = self._chunk[self._next : self._next + PIECE]
        while len(piece) > 1 and not 0 < _ids(piece) <= room:
            piece = piece[: len(piece) // 2]
        self._next += len(piece)
        self._queued += piece
        if piece[0][0] <= self._taken:  # a reader of the journal was faster
            piece = [frame for frame in piece if frame[0] > self._taken]
        self._batch += piece
        if piece:
            self._taken = piece[-1][0] + piece[-1][2] - 1
        return sum(map(len, map(_payload_of, piece)))

    def _add(self, frame: Frame) -> int:
        self._batch.append(frame)
        self._taken = frame[0] + frame[2] - 1
        return len(frame[3])

    async def _fill_hole(self, through: int, room: int) -> int:
        """Take records that the queue does not have from the journal; return their bytes."""
        if self._reader_end <= self._taken:
            self._reader, self._reader_end = self._journal.read(self._taken, through), through
        try:
            frames, exhausted = await asyncio.to_thread(_some, self._reader, room)
        except OSError as error:
            self._reader_end = 0
            await self._failed(StoreError(f"the journal cannot be read: {error}"))
            return 0
        size = 0
        for frame in frames:
            self._miss(frame[0] - 1)
            size += self._add(frame)
        if exhausted and self._taken < self._reader_end:
            if self._sought != self._taken:  # a sync notices files that somebody removed, and rescues what it can
                self._sought, self._reader_end = self._taken, 0
                await self._journal.sync()
            else:
                self._miss(self._reader_end)
        return size

    def _miss(self, through: int) -> None:
        """Go on behind an id; what was not found up to it is lost, but for ids that were never given out."""
        first = self._taken + 1
        if first > through:
            return
        before, behind = self._journal.jump
        lost = through - first + 1 - max(0, min(through, behind) - max(first, before + 1) + 1)
        self._taken = through
        if lost:
            self.missing += lost
            _log.error("%d records from %d to %d are neither in memory nor in the journal", lost, first, through)

    async def _write(self) -> None:
        """Commit the batch, however often it takes, and let go of what it held."""
        failpoints.hit("writer.batched")
        through = self._taken
        stored = await self._commit(through)
        if self.error is not None:
            _log.warning("the database can be written again")
        self.error = None
        self.failures = 0
        self.commits += 1
        self.written += len(self._batch)
        self._batch = []
        self._journal.release(self._queued)
        self._queued = []
        del self._chunk[: self._next]
        self._next = 0
        failpoints.hit("writer.committed")
        if stored:
            for tell in self.listeners:
                tell(stored)
        if self._settled(through) and (self._removal is None or self._removal.done()):
            # Beside the next batch: nobody waits for it.
            self._removal = asyncio.ensure_future(self._remove())

    async def _remove(self) -> None:
        try:
            await asyncio.to_thread(self._journal.remove_stored)
        except Exception:  # noqa: BLE001  # whatever it is, it is tried again after the next commit
            _log.exception("stored segments could not be removed")

    async def _commit(self, through: int) -> StoredEntries | None:
        while True:
            try:
                return await self._store.commit(self._journal.journal_id, self._batch, through)
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


def _ids(frames: list[Frame]) -> int:
    """How many ids these take; 0 when one is missing between them."""
    first, (last, _, span, _) = frames[0][0], frames[-1]
    taken: int = sum(map(_span_of, frames))
    return taken if first + taken == last + span else 0


def _some(reader: Iterator[Frame], room: int) -> tuple[list[Frame], bool]:
    """Frames that take so many ids, fewer when they are large, and whether there are no more."""
    frames: list[Frame] = []
    size = 0
    for frame in reader:
        frames.append(frame)
        size += len(frame[3])
        room -= frame[2]
        if room <= 0 or size >= BATCH_BYTES:
            return frames, False
    return frames, True


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
