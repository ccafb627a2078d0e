"""The writer: when it writes, what it does with holes, and that it can be cancelled or fail anywhere."""

import asyncio
import contextlib
import errno
import random
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from asynclog import failpoints
from asynclog.errors import StoreError
from asynclog.feed import Feed
from asynclog.frames import Frames
from asynclog.intake import BATCH_RECORDS
from asynclog.journal import Journal
from asynclog.model import Task
from asynclog.records import BatchRecord, EntryRecord, Lines, TaskRecord, encode
from asynclog.store.adapter import SqliteStore
from asynclog.store.sqlite import Database
from asynclog.testing import ManualClock
from asynclog.writer import AHEAD, BEHIND_RECORDS, Writer, supervise

DEADLINE_SECONDS = 40.0


class Desk:
    """A journal, a store and a writer on a clock that stands still."""

    def __init__(self, folder: Path, database: Database, most: int = BATCH_RECORDS, **limits: int) -> None:
        self.folder = folder
        self.database = database
        self.store = SqliteStore(database)
        self.clock = ManualClock()
        self.journal = Journal(folder / "journal", **limits)  # type: ignore[arg-type]  # numbers all
        self.writer = Writer(self.journal, self.store, self.clock, self.collect, lambda: 2.0, most)
        self.feed = Feed("t")
        self.work: asyncio.Task[None] | None = None
        self.journal.append(None, encode(TaskRecord("t", Task(id="t", name="t", plugin="p", created_at=1))))

    def collect(self) -> int:
        frames, _, last = self.journal.take()
        if frames:
            self.writer.put(frames)
        return last

    def log(self, count: int, size: int = 0) -> None:
        for _ in range(count):
            message = f"{self.feed.next_seq}" + "x" * size
            record = EntryRecord("t", 1, 20, "plugin", None, None, None, message, None)
            assert self.journal.append(self.feed, encode(record), 20)

    def start(self) -> None:
        self.work = asyncio.create_task(supervise(self.writer.run, "writer"))

    async def stop(self) -> None:
        if self.work is not None:
            self.work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.work

    async def seqs(self) -> list[int]:
        def read(connection: sqlite3.Connection) -> list[int]:
            rows = connection.execute("SELECT seq FROM task_logs WHERE task_id = 't' ORDER BY seq").fetchall()
            return [row[0] for row in rows]

        return await self.database.read(read)

    async def until(self, condition: Callable[[], bool], step: float = 0.0) -> None:
        end = asyncio.get_running_loop().time() + DEADLINE_SECONDS
        while not condition():
            assert asyncio.get_running_loop().time() < end
            await self.clock.advance(step)
            await asyncio.sleep(0.001)


@asynccontextmanager
async def desk(folder: Path, **limits: int) -> AsyncIterator[Desk]:
    async with Database(folder / "asynclog.db") as database:
        one = Desk(folder, database, **limits)
        try:
            yield one
        finally:
            await one.stop()
            await asyncio.to_thread(one.journal.close)


async def test_when_it_writes(tmp_path: Path) -> None:
    """After the interval, on a full batch, when told to, and for a barrier; not before."""
    async with desk(tmp_path) as one:
        one.start()
        await one.until(lambda: one.writer.commits == 1)
        one.log(10)
        await one.clock.advance(1.9)
        assert await one.seqs() == []
        await one.until(lambda: one.writer.commits == 2, step=0.1)
        assert await one.seqs() == list(range(1, 11))
        one.log(BATCH_RECORDS)
        one.collect()
        await one.until(lambda: not one.writer._commits and one.writer.commits == 3)
        one.log(1)
        one.writer.flush()
        await one.until(lambda: one.writer.commits == 4)
        one.log(1)
        assert await one.writer.barrier(DEADLINE_SECONDS)
        assert len(await one.seqs()) == BATCH_RECORDS + 12


async def test_when_it_is_behind(tmp_path: Path) -> None:
    """It is behind when more than a batch waits beside the one being written; not when it cannot write at all."""
    async with desk(tmp_path) as one:
        told = [one.writer.behind]
        one.log(BEHIND_RECORDS + 1)
        told.append(one.writer.behind)
        one.writer.error = "the disk is full"
        told.append(one.writer.behind)
        one.writer.error = None
        one.start()
        assert await one.writer.barrier(DEADLINE_SECONDS)
        told.append(one.writer.behind)
        assert told == [False, True, False, False]


async def test_one_commit_serves_all_who_wait(tmp_path: Path) -> None:
    """However many wait for a barrier, one commit answers them; one that waits for nothing is answered at once."""
    async with desk(tmp_path) as one:
        one.log(100)
        waiting = [asyncio.create_task(one.writer.barrier(DEADLINE_SECONDS)) for _ in range(50)]
        await asyncio.sleep(0)
        one.start()
        assert all(await asyncio.gather(*waiting))
        assert one.writer.commits == 1
        assert await one.writer.barrier(0)
        assert one.writer._barriers == []


async def test_a_barrier_that_cannot_be_met(tmp_path: Path) -> None:
    """A barrier gives up after its time, and leaves nothing behind."""
    async with desk(tmp_path) as one:
        one.log(1)
        for _ in range(3):
            assert not await one.writer.barrier(0.001)
        assert one.writer._barriers == []


@pytest.mark.parametrize("size", [BATCH_RECORDS - 1, BATCH_RECORDS, BATCH_RECORDS + 1, 2 * BATCH_RECORDS])
async def test_holes_of_every_size(tmp_path: Path, size: int) -> None:
    """Holes are filled from the journal, whatever their size is beside that of a batch, one after another too."""
    async with desk(tmp_path, budget=40_000) as one:
        one.log(size)
        assert one.journal.spilled
        one.collect()
        frames = list(one.writer._intake._queue._queue[0])  # type: ignore[attr-defined]  # the queue has no look into it
        one.journal.release(len(frames), sum(len(frame[3]) for frame in frames))  # as if they were stored
        one.log(size)
        one.collect()
        one.start()
        assert await one.writer.barrier(DEADLINE_SECONDS)
        one.log(size)
        assert await one.writer.barrier(DEADLINE_SECONDS)
        assert await one.seqs() == list(range(1, 3 * size + 1))
        assert one.writer.missing == 0


async def test_what_is_missing_is_counted(tmp_path: Path) -> None:
    """Records that are neither in memory nor in the journal are counted, and the rest is stored."""
    async with desk(tmp_path, segment_bytes=2_000, budget=1) as one:
        one.log(100)
        segments = sorted((tmp_path / "journal").iterdir())
        segments[1].unlink()
        gone = int(segments[2].stem) - int(segments[1].stem)
        one.start()
        assert await one.writer.barrier(DEADLINE_SECONDS)
        assert one.writer.missing == gone
        assert len(await one.seqs()) == 100 - gone


@pytest.mark.parametrize("most", [20, BATCH_RECORDS])
async def test_cancelled_anywhere(tmp_path: Path, most: int) -> None:
    """Cancelled some hundred times, at whatever it was awaiting, the writer loses nothing and stores nothing twice."""
    dice = random.Random(1)
    async with desk(tmp_path, most=most, segment_bytes=5_000, budget=30_000) as one:
        for _ in range(150):
            one.log(dice.randrange(60), dice.choice([0, 200]))
            run = asyncio.create_task(one.writer.run())
            one.writer.flush()
            for _ in range(dice.randrange(30)):
                await asyncio.sleep(0 if dice.random() < 0.9 else 0.001)
            for _ in range(dice.choice([1, 1, 2])):  # some callers are impatient
                run.cancel()
                await asyncio.sleep(0)
            with contextlib.suppress(asyncio.CancelledError):
                await run
        one.start()
        assert await one.writer.barrier(DEADLINE_SECONDS)
        assert await one.seqs() == list(range(1, one.feed.last_seq + 1))
        assert one.writer.missing == 0
        assert one.journal.pending_bytes == 0


@pytest.mark.parametrize("point", ["writer.batched", "store.applied", "store.committed", "writer.committed"])
@pytest.mark.parametrize("error", [StoreError("no"), RuntimeError("no"), sqlite3.OperationalError("no"), MemoryError()])
@pytest.mark.parametrize("most", [100, BATCH_RECORDS])
async def test_failing_anywhere(tmp_path: Path, point: str, error: Exception, most: int) -> None:
    """Whatever is raised wherever, the batch is tried again; nothing is lost, twice, or left waiting."""
    async with desk(tmp_path, most=most) as one:
        left = [3]

        def fail() -> None:
            left[0] -= 1
            if left[0] >= 0:
                raise error

        failpoints.arm(point, fail)
        try:
            one.log(500)
            one.start()
            barrier = asyncio.create_task(one.writer.barrier(DEADLINE_SECONDS))
            await one.until(barrier.done, step=1.0)
            assert barrier.result()
            one.log(500)
            barrier = asyncio.create_task(one.writer.barrier(DEADLINE_SECONDS))
            await one.until(barrier.done, step=1.0)
        finally:
            failpoints.arm(point, None)
        assert await one.seqs() == list(range(1, 1001))
        assert one.writer.error is None


async def test_batches_follow_each_other_at_once(tmp_path: Path) -> None:
    """While whole batches wait, the next ones are begun before the one under way is over, and few of them."""
    async with desk(tmp_path, most=100) as one:
        begun: list[int] = []
        go_on = threading.Event()

        def wait() -> None:
            begun.append(len(one.writer._commits))
            assert go_on.wait(DEADLINE_SECONDS)

        one.log(1000)
        failpoints.arm("store.applied", wait)
        try:
            one.start()
            await one.until(lambda: bool(begun) and len(one.writer._commits) == 1 + AHEAD)
            one.log(1000)
            one.collect()
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(one.writer._commits) == 1 + AHEAD
        finally:
            go_on.set()
            failpoints.arm("store.applied", None)
        assert await one.writer.barrier(DEADLINE_SECONDS)
        assert one.writer.commits == 21
        assert await one.seqs() == list(range(1, 2001))


async def test_a_trickle_makes_no_commits_of_its_own(tmp_path: Path) -> None:
    """What comes while a commit is under way waits for the interval, unless somebody asks for it or fills a batch."""
    async with desk(tmp_path, most=100) as one:
        go_on = threading.Event()

        def wait() -> None:
            assert go_on.wait(DEADLINE_SECONDS)

        failpoints.arm("store.applied", wait)
        try:
            one.log(10)
            one.start()
            await one.until(lambda: len(one.writer._commits) == 1)
            one.log(10)
            one.collect()
            go_on.set()
            await one.until(lambda: one.writer.commits == 1)
        finally:
            go_on.set()
            failpoints.arm("store.applied", None)
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert one.writer.commits == 1
        await one.until(lambda: one.writer.commits == 2, step=0.5)
        assert await one.seqs() == list(range(1, 21))


async def test_none_overtakes_one_that_failed(tmp_path: Path) -> None:
    """A batch handed over behind another one is refused when that one is not stored: the watermark never skips."""
    async with desk(tmp_path, most=100) as one:
        stored: list[int] = []
        one.writer.listeners.append(lambda entries: stored.extend(entries.lists[0]))
        left = [1]

        def fail() -> None:
            left[0] -= 1
            if left[0] == 0:
                raise sqlite3.OperationalError("this once")

        failpoints.arm("store.applied", fail)
        try:
            one.log(450)
            one.start()
            barrier = asyncio.create_task(one.writer.barrier(DEADLINE_SECONDS))
            await one.until(barrier.done, step=0.1)
        finally:
            failpoints.arm("store.applied", None)
        assert barrier.result()
        assert stored == list(range(2, 452))
        assert await one.seqs() == list(range(1, 451))
        with pytest.raises(StoreError, match="not stored yet"):
            await one.store.commit(one.journal.journal_id, Frames(), 1000, 999)
        assert await one.store.watermark(one.journal.journal_id) == one.journal.last_id


async def test_large_batches_are_not_under_way_together(tmp_path: Path) -> None:
    """Records that are batches by themselves are committed one after the other: each takes as much memory as many."""
    async with desk(tmp_path, most=100) as one:
        go_on = threading.Event()

        def wait() -> None:
            assert go_on.wait(DEADLINE_SECONDS)

        lines = Lines(500, 1, 20, "plugin", None, None, "x", None)
        payload = encode(BatchRecord("t", [msgspec.Raw(encode(lines))], None, "{}"))
        for _ in range(4):
            assert one.journal.append(one.feed, payload, span=500)
        failpoints.arm("store.applied", wait)
        try:
            one.start()
            await one.until(lambda: len(one.writer._commits) == 1)
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(one.writer._commits) == 1
        finally:
            go_on.set()
            failpoints.arm("store.applied", None)
        assert await one.writer.barrier(DEADLINE_SECONDS)
        assert await one.seqs() == list(range(1, 2001))


async def test_what_is_stored_is_told_while_the_journal_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Barriers are answered by commits that are over, also while records behind them cannot be read."""

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "injected")

    async with desk(tmp_path, most=100, budget=45_000) as one:
        go_on = threading.Event()

        def wait() -> None:
            assert go_on.wait(DEADLINE_SECONDS)

        failpoints.arm("store.applied", wait)
        try:
            one.log(99)
            one.start()
            await one.until(lambda: len(one.writer._commits) == 1)
            waiting = asyncio.create_task(one.writer.barrier(DEADLINE_SECONDS))
            await asyncio.sleep(0)
            monkeypatch.setattr(one.journal, "read", lambda *_: map(fail, [0]))
            one.log(1000)
            assert one.journal.spilled
            one.writer.flush()
            await one.until(lambda: one.writer.failures > 0)
            go_on.set()
            await one.until(waiting.done, step=1.0)
            assert waiting.result()
            await one.until(lambda: "cannot be read" in str(one.writer.error), step=1.0)  # what lies behind it still
        finally:
            go_on.set()
            failpoints.arm("store.applied", None)
            monkeypatch.undo()
        behind = asyncio.create_task(one.writer.barrier(DEADLINE_SECONDS))
        await one.until(behind.done, step=1.0)
        assert await one.seqs() == list(range(1, 1100))
        assert one.writer.missing == 0


async def test_none_waits_for_a_lock_behind_one_that_did_in_vain(tmp_path: Path) -> None:
    """Where another process holds the database, one commit waits for it, and not each that was handed over behind."""
    async with desk(tmp_path, most=100) as one:
        one.start()
        assert await one.writer.barrier(DEADLINE_SECONDS)
        seen: list[str] = []
        await one.database.write(lambda connection: connection.set_trace_callback(seen.append))
        with contextlib.closing(sqlite3.connect(tmp_path / "asynclog.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            one.log(1000)
            one.writer.flush()
            await one.until(lambda: one.writer.failures == 1)
            assert len(one.writer._commits) == 1 + AHEAD
            assert seen.count("BEGIN IMMEDIATE") == 1
            assert "locked" in str(one.writer.error)
            other.execute("ROLLBACK")
        barrier = asyncio.create_task(one.writer.barrier(DEADLINE_SECONDS))
        await one.until(barrier.done, step=0.1)
        assert await one.seqs() == list(range(1, 1001))


async def test_segments_go_that_are_stored_while_others_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a commit ends while stored segments are being removed, those it has stored go too, without another one."""
    async with desk(tmp_path, most=100, segment_bytes=2_000) as one:
        removed: list[int] = []
        go_on = threading.Event()
        remove = one.journal.remove_stored

        def wait() -> None:
            removed.append(one.journal.stored_id)
            remove()
            assert go_on.wait(DEADLINE_SECONDS)

        monkeypatch.setattr(one.journal, "remove_stored", wait)
        try:
            one.start()
            for _ in range(3):
                one.log(100)
                assert await one.writer.barrier(DEADLINE_SECONDS)
            await one.until(lambda: len(removed) == 1)
            assert len(list((tmp_path / "journal").iterdir())) > 3
        finally:
            go_on.set()
        await one.until(lambda: len(list((tmp_path / "journal").iterdir())) == 1)
        assert removed[-1] == one.journal.last_id


async def test_backing_off(tmp_path: Path) -> None:
    """A store that cannot be written is tried again, ever more slowly, and the reason is there to be read."""
    async with desk(tmp_path) as one:

        def fail() -> None:
            raise StoreError("the database is away")

        failpoints.arm("store.applied", fail)
        try:
            one.log(1)
            one.start()
            await one.until(lambda: one.writer.failures == 1)
            assert one.writer.error == "the database is away"
            for seconds in (0.1, 0.2, 0.5, 1.0, 1.0):
                tries = one.writer.failures
                await one.clock.advance(seconds * 0.9)
                await asyncio.sleep(0.01)
                assert one.writer.failures == tries
                await one.until(lambda tries=tries: one.writer.failures == tries + 1, step=seconds * 0.2)  # type: ignore[misc]  # a default argument
        finally:
            failpoints.arm("store.applied", None)
        await one.until(lambda: one.writer.error is None, step=1.0)
        assert await one.seqs() == [1]
        assert one.writer.failures >= 6  # since the start, as a counter counts


async def test_supervision() -> None:
    """What is supervised is started again when it fails or is cancelled, until the supervisor is cancelled."""
    starts: list[asyncio.Task[None]] = []

    async def run() -> None:
        starts.append(asyncio.current_task())  # type: ignore[arg-type]  # there is one
        if len(starts) == 1:
            raise ValueError("dies")
        await asyncio.Event().wait()

    supervisor = asyncio.create_task(supervise(run, "worker"))
    while len(starts) < 2:
        await asyncio.sleep(0.001)
    starts[1].cancel()
    while len(starts) < 3:
        await asyncio.sleep(0.001)
    supervisor.cancel()
    with pytest.raises(asyncio.CancelledError):
        await supervisor
    assert starts[2].cancelled()
