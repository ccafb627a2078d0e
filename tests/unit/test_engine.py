"""The engine: what it opens, closes and says, and that it begins where the one before ended."""

import asyncio
import contextlib
import errno
import gc
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from asynclog.disk import Disk
from asynclog.engine import Engine, Limits, open_engine
from asynclog.errors import ConflictError, InvalidError, LockedError, StoreError
from asynclog.feed import Feed
from asynclog.intake import BATCH_RECORDS
from asynclog.model import MAX_TIMESTAMP, Task
from asynclog.queries import EntryQuery
from asynclog.records import TaskRecord
from asynclog.settings import Settings
from asynclog.testing import FaultyDisk, ManualClock
from asynclog.wire import parse_entry

DEADLINE_SECONDS = 40.0


def begin(engine: Engine, name: str = "t") -> Feed:
    """A running task."""
    feed = Feed(name)
    task = Task(id=name, name=name, plugin="p", status="running", created_at=1)
    engine.hub.add(task, feed)
    engine.record(TaskRecord(name, task))
    return feed


async def test_everything_is_stored_on_the_way_out(tmp_path: Path) -> None:
    """Leaving the engine stores what was logged, and gives back the lock, the files and the threads."""
    async with open_engine(tmp_path, clock=ManualClock()) as engine:
        feed = begin(engine)
        for number in range(100):
            engine.logger(feed).info("%d", number)
    with contextlib.closing(sqlite3.connect(tmp_path / "asynclog.db")) as connection:
        assert connection.execute("SELECT count(*) FROM task_logs").fetchone() == (100,)
    assert not (tmp_path / "asynclog.db-wal").exists()
    assert (tmp_path / "lock").read_bytes() == b""
    assert [path.stat().st_size < 100 for path in (tmp_path / "journal").iterdir()] == [True]
    async with open_engine(tmp_path) as engine:
        assert engine.journal.last_id == 101


async def test_leaving_with_the_database_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be stored on the way out is in the journal, and stored at the next start."""
    monkeypatch.setattr("asynclog.engine.CLOSE_SECONDS", 0.2)
    other = None
    async with open_engine(tmp_path) as engine:
        feed = begin(engine)
        assert await engine.settle(DEADLINE_SECONDS)
        await engine._database.write(lambda connection: connection.execute("PRAGMA busy_timeout = 5"))
        other = sqlite3.connect(tmp_path / "asynclog.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        engine.logger(feed).info("late")
    other.close()
    async with open_engine(tmp_path) as engine:
        assert await engine.settle(DEADLINE_SECONDS)
        assert engine.troubles() == []
    with contextlib.closing(sqlite3.connect(tmp_path / "asynclog.db")) as connection:
        assert connection.execute("SELECT seq, message FROM task_logs").fetchall() == [(1, "late")]


async def test_leaving_with_nothing_to_write_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What neither database nor journal takes on the way out is not said to be safe."""
    monkeypatch.setattr("asynclog.engine.CLOSE_SECONDS", 0.2)
    disk = FaultyDisk()
    async with open_engine(tmp_path, disk=disk) as engine:
        feed = begin(engine)
        assert await engine.settle(DEADLINE_SECONDS)
        await engine._database.write(lambda connection: connection.execute("PRAGMA busy_timeout = 5"))
        other = sqlite3.connect(tmp_path / "asynclog.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        disk.write_error = errno.ENOSPC
        engine.logger(feed).info("late")
    other.close()
    (said,) = [record.getMessage() for record in caplog.records if "not everything is stored" in record.getMessage()]
    assert "the rest may be lost: the journal cannot be written" in said


async def test_leaving_in_a_hurry(tmp_path: Path) -> None:
    """Who is cancelled while the engine is left, however often, leaves nothing behind that goes on writing: the data
    directory may be another's by then.
    """

    async def use() -> None:
        async with open_engine(tmp_path) as engine:
            feed = begin(engine)
            assert await engine.settle(DEADLINE_SECONDS)
            await engine._database.write(lambda connection: connection.execute("PRAGMA busy_timeout = 5"))
            other.execute("BEGIN IMMEDIATE")
            engine.logger(feed).info("late")
            leaving.set()

    async with open_engine(tmp_path):
        pass
    other, leaving = sqlite3.connect(tmp_path / "asynclog.db", isolation_level=None), asyncio.Event()
    before, said = asyncio.all_tasks(), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    using = asyncio.ensure_future(use())
    await leaving.wait()
    while not using.done():
        using.cancel()
        await asyncio.sleep(0)
    assert using.cancelled()
    assert asyncio.all_tasks() == before
    del using
    gc.collect()
    assert not said, "an error was left that nobody asks for"
    other.close()
    async with open_engine(tmp_path) as engine:
        assert await engine.settle(DEADLINE_SECONDS)
        rows = await engine._database.write(lambda c: c.execute("SELECT seq, message FROM task_logs").fetchall())
        assert rows == [(1, "late")]


class SlowDisk(Disk):
    """One on which making a file takes until it is let go."""

    def __init__(self) -> None:
        self.inside = threading.Event()
        self.go_on = threading.Event()

    def create(self, path: Path) -> int:
        """An empty file."""
        self.inside.set()
        assert self.go_on.wait(DEADLINE_SECONDS)
        return super().create(path)


async def test_leaving_before_it_is_open(tmp_path: Path) -> None:
    """Who is cancelled while the journal is opened leaves neither its thread nor its files open."""

    async def use() -> None:
        async with open_engine(tmp_path, disk=disk):
            raise AssertionError("it was cancelled")

    disk = SlowDisk()
    using = asyncio.ensure_future(use())
    assert await asyncio.to_thread(disk.inside.wait, DEADLINE_SECONDS)
    for _ in range(5):
        using.cancel()
        await asyncio.sleep(0)
    disk.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert not [thread for thread in threading.enumerate() if thread.name == "asynclog-sync"]
    async with open_engine(tmp_path) as engine:
        assert engine.troubles() == []


async def test_a_failed_start_lets_go(tmp_path: Path) -> None:
    """An engine that cannot be opened leaves no lock behind, also when it is the journal that fails."""
    (tmp_path / "journal").write_bytes(b"no folder")
    for _ in range(2):
        with pytest.raises(Exception, match="journal"):
            async with open_engine(tmp_path):
                pass
    (tmp_path / "journal").unlink()
    async with open_engine(tmp_path):
        with pytest.raises(LockedError):
            async with open_engine(tmp_path):
                pass


async def test_settings_are_kept(tmp_path: Path) -> None:
    """A changed setting counts from the next call on and after a restart; what is wrong or pinned changes nothing."""
    async with open_engine(tmp_path, settings=Settings(pinned={"log_level": "ERROR"})) as engine:
        feed = begin(engine)
        log = engine.logger(feed)
        log.debug("not kept")
        await engine.change_settings({"task_log_level": "debug", "flush_interval": 0.5})
        log.debug("kept")
        for error, values in ((ConflictError, {"log_level": "DEBUG"}), (InvalidError, {"flush_interval": 0})):
            with pytest.raises(error):
                await engine.change_settings({"task_log_level": "ERROR", **values})
        assert feed.last_seq == 1
    async with open_engine(tmp_path) as engine:
        assert (engine.settings["task_log_level"], engine.settings["flush_interval"]) == ("DEBUG", 0.5)


async def test_a_shorter_interval_counts_at_once(tmp_path: Path) -> None:
    """What is logged after the interval was made shorter waits no longer than that, whatever the one before was."""
    clock = ManualClock()
    async with open_engine(tmp_path, clock=clock, settings=Settings(file={"flush_interval": 60})) as engine:
        feed = begin(engine)
        assert await engine.settle(DEADLINE_SECONDS)
        await asyncio.sleep(0.05)  # the writer begins its minute
        await engine.change_settings({"flush_interval": 0.05})
        engine.logger(feed).info("now")
        end = asyncio.get_running_loop().time() + DEADLINE_SECONDS
        moved = 0.0
        while engine.journal.stored_id < engine.journal.last_id:
            assert asyncio.get_running_loop().time() < end
            await clock.advance(0.05)
            moved += 0.05
            await asyncio.sleep(0.01)
            assert moved < 50


async def test_a_clock_that_jumps(tmp_path: Path) -> None:
    """An entry's time is what the machine's clock says, however it is set; its place, the sync and when it is stored
    do not depend on that.
    """
    clock = ManualClock()
    times = [0, 5_000_000, 4_294_967_296_000_000, 1_000_000, clock.now(), MAX_TIMESTAMP, 3]
    async with open_engine(tmp_path, clock=clock) as engine:
        feed = begin(engine)
        assert await engine.settle(DEADLINE_SECONDS)
        for number, time in enumerate(times, 1):
            clock.set_wall(time)
            engine.logger(feed).info("%d", number)
            assert await engine.journal.sync()
        end = asyncio.get_running_loop().time() + DEADLINE_SECONDS
        while engine.journal.stored_id < engine.journal.last_id:  # after an interval as it is felt
            assert asyncio.get_running_loop().time() < end
            await clock.advance(0.1)
            await asyncio.sleep(0.001)
        page = await engine.store.entries(EntryQuery(task_id="t"))
        found = list(map(parse_entry, page.lines))
        assert [entry.timestamp for entry in found] == times
        assert [int(entry.message) for entry in found] == [entry.seq for entry in found] == list(range(1, 8))


async def test_settings_that_cannot_be_kept(tmp_path: Path) -> None:
    """When the store cannot keep a setting, it is not changed either."""
    async with open_engine(tmp_path) as engine:
        await engine._database.write(lambda connection: connection.execute("PRAGMA busy_timeout = 5"))
        other = sqlite3.connect(tmp_path / "asynclog.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError):
            await engine.change_settings({"task_log_level": "ERROR"})
        assert engine.settings["task_log_level"] == "INFO"
        other.close()


async def test_a_reader_that_fails_harms_nobody(tmp_path: Path) -> None:
    """Records that the live side cannot read are stored none the less, and readers are told to look there."""
    async with open_engine(tmp_path) as engine:
        feed = begin(engine)
        engine.journal.append(None, b"\xc1 no record")
        engine.logger(feed).info("after it")
        assert await engine.settle(DEADLINE_SECONDS)
        rows = await engine._database.read(lambda c: c.execute("SELECT seq, message FROM task_logs").fetchall())
        assert rows == [(1, "after it")]


async def test_nobody_is_woken_for_entries_that_nobody_watches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries wait for the writer without a turn of the loop, until somebody watches: then they come by themselves.

    What is no entry, and a whole batch for the writer, wake the loop in any case.
    """
    loop = asyncio.get_running_loop()
    calls, call_soon = 0, loop.call_soon_threadsafe

    def counted(*args: Any, **keywords: Any) -> asyncio.Handle:
        nonlocal calls
        calls += 1
        return call_soon(*args, **keywords)

    async with open_engine(tmp_path, clock=ManualClock()) as engine:
        feed = begin(engine)
        assert await engine.settle(DEADLINE_SECONDS)
        await engine.journal.sync()
        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        logger = engine.logger(feed)
        for number in range(BATCH_RECORDS - 1):
            logger.info("%d", number)
        assert calls == 0
        logger.info("a batch")
        logger.info("one more than a batch")
        assert calls == 1
        async with asyncio.timeout(DEADLINE_SECONDS):
            while engine.journal.stored_id < engine.journal.last_id - 1:  # the clock stands still
                await asyncio.sleep(0.001)
        live = engine.hub.get("t")
        assert live is not None
        with engine.hub.watching(live.task):
            for number in range(3):
                logger.info("%d", number)
                async with asyncio.timeout(DEADLINE_SECONDS):
                    while live.tail.last < feed.last_seq:
                        await live.changed()
        assert engine.journal.stored_id < engine.journal.last_id, "the writer was not due"
        engine.collect()
        before = calls
        logger.info("nobody watches any more")
        assert calls == before
        begin(engine, "another")
        assert calls == before + 1


async def test_a_batch_is_written_as_soon_as_it_is_there(tmp_path: Path) -> None:
    """What the writer was given already counts: a batch is whole with it, and then nobody waits for anything."""
    async with open_engine(tmp_path, clock=ManualClock()) as engine:
        feed = begin(engine)
        assert await engine.settle(DEADLINE_SECONDS)
        logger, loop = engine.logger(feed), asyncio.get_running_loop()
        for number in range(BATCH_RECORDS - 10):
            logger.info("%d", number)
        engine.collect()
        for number in range(11):
            assert engine._mover is None
            logger.info("%d", number)
        await asyncio.sleep(0)
        assert engine._mover is not None
        assert engine._mover.when() <= loop.time()
        async with asyncio.timeout(DEADLINE_SECONDS):
            while engine.journal.stored_id < engine.journal.last_id - 1:  # the clock stands still
                await asyncio.sleep(0.001)


async def test_two_engines_in_one_process(tmp_path: Path) -> None:
    """Engines on different directories do not know of each other."""
    async with open_engine(tmp_path / "a") as one, open_engine(tmp_path / "b", limits=Limits(segment=500)) as two:
        feeds = begin(one), begin(two)
        for number in range(50):
            one.logger(feeds[0]).info("a %d", number)
            two.logger(feeds[1]).info("b %d", number)
        assert all(await asyncio.gather(one.settle(DEADLINE_SECONDS), two.settle(DEADLINE_SECONDS)))
    for name in "ab":
        with contextlib.closing(sqlite3.connect(tmp_path / name / "asynclog.db")) as connection:
            rows = connection.execute("SELECT message FROM task_logs ORDER BY seq").fetchall()
        assert [row[0] for row in rows] == [f"{name} {number}" for number in range(50)]
