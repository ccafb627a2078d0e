"""The intake: records on their way to the store, in the order of their ids, from the queue and from the journal.

Ids are dense. Where the queue has a hole (memory was short, or the process has just started), the missing records are
read from the journal: recovery after a crash is the same with a hole at its beginning.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Final

from asynclog.frames import Frames
from asynclog.handover import Handover
from asynclog.journal import Journal
from asynclog.records import Frame

BATCH_RECORDS: Final = 8_000
"""Record ids of one transaction at most, but for an ingest batch that is larger."""
BATCH_BYTES: Final = 8 << 20
"""Payload bytes of one transaction, about."""
BEYOND: Final = 256
"""Records read beyond the end of a hole, in case that another one begins there: each reading waits for a thread."""
PIECE: Final = 256
"""Records taken off the queue at once; their bytes are counted afterwards."""

_NONE: Final = 1 << 64

_log = logging.getLogger("asynclog.writer")


class Batch:
    """Records of one transaction, in the order of their ids."""

    __slots__ = ("frames", "queued", "queued_size", "size")

    def __init__(self) -> None:
        self.frames = Frames()
        self.size = 0
        """Bytes of their payloads."""
        self.queued = 0
        """How many came from the queue: the journal counts them as in memory until they are released."""
        self.queued_size = 0


class Intake:
    """State owned here: the queue, up to which id records were taken, and the reader of the journal.

    Args:
        journal: where holes are read.
        most: record ids of one batch, but for an ingest batch that is larger.
    """

    def __init__(self, journal: Journal, most: int = BATCH_RECORDS) -> None:
        self._journal = journal
        self._most = most
        self._queue: asyncio.Queue[Frames] = asyncio.Queue()
        self._chunk = Frames()
        """What was taken off the queue last; up to `_next` it is in a batch."""
        self._next = 0
        self._reader: Iterator[Frame] = iter(())
        self._reader_end = 0
        """The last id of the hole that the reader fills."""
        self._reading: asyncio.Future[tuple[Frames, bool]] | None = None
        self._handover = Handover()
        self._sought = -1
        """Behind this id the journal was asked twice."""
        self.taken = journal.stored_id
        """Records up to here are in a batch, or were in one."""
        self.queued_id = self.taken
        """The newest id that was ever in the queue."""
        self.missing = 0
        """Record numbers that were neither in the queue nor in the journal."""

    def put(self, frames: Frames) -> None:
        """Queue records, in order, a batch of them at a time: what is taken together is held together."""
        for start in range(0, len(frames), self._most):
            self._queue.put_nowait(frames[start : start + self._most])
        self.queued_id = frames.last_id

    async def fill(self, batch: Batch, through: int) -> None:
        """Take the next records, up to an id, into a batch, as many as it holds.

        May be cancelled or fail and be called again with the same batch: what is in it stays there.

        Raises:
            OSError: the journal cannot be read now.
        """
        while self.taken < through and (room := self._room(batch)) > 0 and batch.size < BATCH_BYTES:
            hole = self._hole(through)
            if hole:
                await self._take_hole(batch, hole, through, room)
                self._pass_over(batch)
            else:
                self._take(batch, room)

    def read_ahead(self, through: int) -> None:
        """If the next records, up to an id, have to be read from the journal: begin, for the next batch."""
        hole = self._hole(through) if self.taken < through else 0
        if hole and self._reading is None:
            self._reading = self._read(hole, through, self._most)

    async def close(self) -> None:
        """Wait for a reading that was begun, and forget it: what it has read was not handed over."""
        reading, self._reading, self._reader_end = self._reading, None, 0
        if reading is not None:
            await asyncio.wait([reading])
            _ = reading.cancelled() or reading.exception()  # nobody else asks for it

    def _room(self, batch: Batch) -> int:
        """How many ids the batch may take; an ingest batch takes many."""
        return self._most - (self.taken + 1 - batch.frames.ids[0]) if batch.frames else self._most

    def _queued_id(self) -> int:
        """The first id in the queue; above every other when it is empty."""
        if self._next == len(self._chunk):
            if self._queue.empty():
                return _NONE
            self._chunk, self._next = self._queue.get_nowait(), 0
        return self._chunk.ids[self._next]

    def _hole(self, through: int) -> int:
        """The last id, up to a limit, of the records behind the newest taken that the queue lacks; 0 for none."""
        queued_id = self._queued_id()
        return 0 if queued_id <= self.taken + 1 else min(through, queued_id - 1)

    def _take(self, batch: Batch, room: int) -> None:
        """Take records of so many ids off the queue, as far as there is no hole between them."""
        piece = self._chunk[self._next : self._next + PIECE]
        while len(piece) > 1 and not 0 < piece.dense_ids <= room:
            piece = piece[: len(piece) // 2]
        size = piece.size
        self._add(batch, piece, size)
        self._take_off(batch, len(piece), size)

    def _pass_over(self, batch: Batch) -> None:
        """Take off the queue what the journal gave already."""
        while self._queued_id() <= self.taken:
            self._take_off(batch, 1, len(self._chunk.payloads[self._next]))

    def _take_off(self, batch: Batch, count: int, size: int) -> None:
        batch.queued += count
        batch.queued_size += size
        self._next += count
        if self._next == len(self._chunk):
            self._chunk, self._next = Frames(), 0

    def _add(self, batch: Batch, frames: Frames, size: int) -> None:
        batch.frames.extend(frames)
        batch.size += size
        self.taken = frames.last_id

    def _read(self, hole: int, through: int, room: int) -> asyncio.Future[tuple[Frames, bool]]:
        if self._reader_end <= self.taken:
            self._reader, self._reader_end = self._journal.read(self.taken, min(through, hole + BEYOND)), hole
        return asyncio.ensure_future(self._some(self._reader, room))

    async def _some(self, reader: Iterator[Frame], room: int) -> tuple[Frames, bool]:
        with self._handover:
            return await asyncio.to_thread(_some, reader, room)

    async def _take_hole(self, batch: Batch, hole: int, through: int, room: int) -> None:
        """Take records that the queue does not have from the journal, and perhaps some that it has."""
        self._reading = self._reading or self._read(hole, through, room)
        try:
            frames, exhausted = await asyncio.shield(self._reading)
        except OSError:
            self._reading, self._reader_end = None, 0
            raise
        self._reading = None
        for run in _dense(frames):
            if self._reader_end < run.ids[0] != self.taken + 1:
                break  # beyond the hole only what goes on with it: the rest is in the queue
            self._miss(run.ids[0] - 1)
            self._add(batch, run, run.size)
        if exhausted and self.taken < self._reader_end:
            if self._sought != self.taken:  # a sync notices files that somebody removed, and rescues what it can
                self._sought, self._reader_end = self.taken, 0
                await self._journal.sync()
            else:
                self._miss(self._reader_end)

    def _miss(self, through: int) -> None:
        """Go on behind an id; what was not found up to it is lost, but for ids that were never given out."""
        first = self.taken + 1
        if first > through:
            return
        before, behind = self._journal.jump
        lost = through - first + 1 - max(0, min(through, behind) - max(first, before + 1) + 1)
        self.taken = through
        if lost:
            self.missing += lost
            _log.error("%d records from %d to %d are neither in memory nor in the journal", lost, first, through)


def _dense(frames: Frames) -> Iterator[Frames]:
    """These, cut where ids are missing between them."""
    if frames and frames.dense_ids:
        yield frames
    else:
        for frame in frames:
            yield Frames.of([frame])


def _some(reader: Iterator[Frame], room: int) -> tuple[Frames, bool]:
    """Frames that take so many ids, fewer when they are large, and whether there are no more."""
    frames = Frames()
    size = 0
    for frame in reader:
        frames.append(frame)
        size += len(frame[3])
        room -= frame[2]
        if room <= 0 or size >= BATCH_BYTES:
            return frames, False
    return frames, True
