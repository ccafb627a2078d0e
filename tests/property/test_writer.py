"""Journal, writer and store under whatever faults in whatever order: nothing is lost, twice or out of order."""

import asyncio
import contextlib
import errno
import shutil
import sqlite3
from collections.abc import Awaitable
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from asynclog import failpoints
from asynclog.feed import Feed
from asynclog.journal import Journal
from asynclog.model import Gap, Level, Stage, Task
from asynclog.records import (
    BatchRecord,
    EntryRecord,
    Line,
    Lines,
    ListedBatchRecord,
    StageRecord,
    TaskRecord,
    encode,
)
from asynclog.store.adapter import SqliteStore
from asynclog.store.sqlite import Database
from asynclog.testing import FaultyDisk, ManualClock
from asynclog.writer import Writer, supervise

T = TypeVar("T")

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where syncing costs nothing."""
TASKS = ("a", "b", "c")
DEADLINE_SECONDS = 30.0
POINTS = ("writer.batched", "store.applied", "store.committed", "writer.committed")


def part_of(messages: list[str]) -> msgspec.Raw:
    return msgspec.Raw(encode(Lines(len(messages), 1, 20, "plugin", None, None, messages, None)))


def started(task_id: str) -> bytes:
    return encode(TaskRecord(task_id, Task(id=task_id, name=task_id, plugin="p", status="running", created_at=1)))


class WriterMachine(RuleBasedStateMachine):
    """Logs into three tasks while things break. ``given`` is what the log calls were told: seq to message."""

    @initialize(
        segment=st.integers(200, 4000),
        budget=st.sampled_from([3_000, 20_000, 1_000_000]),
        quota=st.sampled_from([8_000, 60_000, 10_000_000]),
        most=st.sampled_from([2, 15, 12_000]),
        mapped=st.booleans(),
    )
    def begin(self, segment: int, budget: int, quota: int, most: int, *, mapped: bool) -> None:
        """Open a directory with small bounds."""
        self.mapped = mapped
        self.most = most
        self.loop = asyncio.new_event_loop()
        self.limits: dict[str, int] = {"segment_bytes": segment, "budget": budget, "quota": quota}
        self.folder = Path(mkdtemp(dir=MEMORY))
        self.given: dict[str, dict[int, str]] = {task: {} for task in TASKS}
        self.stages: dict[str, int] = {}
        self.number = 0
        self.locker: sqlite3.Connection | None = None
        self.run(self.open())
        self.feeds = {task: Feed(task) for task in TASKS}
        for task in TASKS:
            assert self.journal.append(None, started(task))

    def run(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(asyncio.ensure_future(work, loop=self.loop))

    async def open(self) -> None:
        self.disk = FaultyDisk(mapped=self.mapped)
        self.clock = ManualClock()
        self.database = await Database(self.folder / "asynclog.db").__aenter__()
        await self.database.write(lambda connection: connection.execute("PRAGMA busy_timeout = 1"))
        self.store = SqliteStore(self.database)
        floor = await self.store.last_id()
        limits: dict[str, Any] = self.limits
        self.journal = Journal(self.folder / "journal", floor=floor, disk=self.disk, **limits)
        self.journal.mark_stored(await self.store.watermark(self.journal.journal_id))
        self.writer = Writer(self.journal, self.store, self.clock, self.collect, lambda: 2.0, self.most)
        self.work = asyncio.create_task(supervise(self.writer.run, "writer"))

    def collect(self) -> int:
        frames, _, last = self.journal.take()
        if frames:
            self.writer.put(frames)
        return last

    async def close(self) -> None:
        await self.stop_writing()
        await asyncio.to_thread(self.journal.close)
        await self.database.__aexit__(None, None, None)

    async def stop_writing(self) -> None:
        self.work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.work

    @rule(
        task=st.sampled_from(TASKS),
        count=st.integers(1, 40),
        size=st.sampled_from([0, 10, 300, 3000]),
        level=st.sampled_from(list(Level)),
    )
    def log(self, task: str, count: int, size: int, level: Level) -> None:
        """Log some entries; each is numbered or dropped, and no call raises."""
        feed = self.feeds[task]
        for _ in range(count):
            self.number += 1
            message = f"{self.number} " + "x" * size
            entry = EntryRecord(task, self.number, int(level), "plugin", None, None, None, message, None)
            before, dropped = feed.next_seq, feed.dropped
            seq = self.journal.append(feed, encode(entry), int(level))
            assert (seq == 0) == (feed.dropped == dropped + 1)
            assert feed.next_seq == before + 1
            if seq:
                assert seq == before
                self.given[task][seq] = message

    @rule(task=st.sampled_from(TASKS), count=st.integers(1, 30), listed=st.booleans())
    def ingest(self, task: str, count: int, *, listed: bool) -> None:
        """Log a batch, in the old form or in parts, which takes as many seqs as it has lines, or none."""
        messages = [f"{self.number + index} in a batch" for index in range(count)]
        self.number += count
        if listed:
            lines = [Line(1, 20, "plugin", None, None, message, None) for message in messages]
            payload = encode(ListedBatchRecord(task, lines, None, "{}"))
        else:
            parts = [messages[start : start + 7] for start in range(0, count, 7)]
            payload = encode(BatchRecord(task, [part_of(part) for part in parts], None, "{}"))
        seq = self.journal.append(self.feeds[task], payload, span=count, levels=[0, 0, count, 0, 0])
        if seq:
            self.given[task].update(enumerate(messages, seq))

    @rule(task=st.sampled_from(TASKS), name=st.sampled_from("xyz"))
    def stage(self, task: str, name: str) -> None:
        """Record a stage."""
        self.number += 1
        key = f"{task}-{name}"
        stage = Stage(id=key, task_id=task, number=self.number, name=name, started_at=self.number)
        if self.journal.append(None, encode(StageRecord(task, stage))):
            self.stages[key] = self.number

    @rule(seconds=st.sampled_from([0.1, 2.0, 5.0]), turns=st.integers(0, 30))
    def go_on(self, seconds: float, turns: int) -> None:
        """Let the writer work for a while."""

        async def wait() -> None:
            await self.clock.advance(seconds)
            for _ in range(turns):
                await asyncio.sleep(0)

        self.run(wait())

    @rule(turns=st.integers(0, 40))
    def cancel_the_writer(self, turns: int) -> None:
        """Cancel it wherever it happens to be; its supervisor is told to begin again."""

        async def cancel() -> None:
            self.writer.flush()
            for _ in range(turns):
                await asyncio.sleep(0)
            await self.stop_writing()
            self.work = asyncio.create_task(supervise(self.writer.run, "writer"))

        self.run(cancel())

    @rule(point=st.sampled_from(POINTS))
    def fail_at(self, point: str) -> None:
        """The next time the writer passes this point it fails in a way nobody foresaw."""

        def fail() -> None:
            failpoints.arm(point, None)
            raise RuntimeError(f"failed at {point}")

        failpoints.arm(point, fail)

    @rule()
    def lock(self) -> None:
        """Another connection holds the database."""
        if self.locker is None:
            self.locker = sqlite3.connect(self.folder / "asynclog.db", timeout=0, isolation_level=None)
            with contextlib.suppress(sqlite3.OperationalError):  # the writer is faster
                self.locker.execute("BEGIN IMMEDIATE")

    @rule()
    def unlock(self) -> None:
        """It lets go."""
        if self.locker is not None:
            self.locker.close()
            self.locker = None

    @rule(fault=st.sampled_from(["write", "create", "sync", "room"]), code=st.sampled_from([errno.ENOSPC, errno.EIO]))
    def break_the_disk(self, fault: str, code: int) -> None:
        """The journal's disk refuses something from now on."""
        if fault == "room":
            self.disk.room = 100
        else:
            setattr(self.disk, f"{fault}_error", code)

    @rule()
    def mend_the_disk(self) -> None:
        """The disk works again."""
        self.disk.write_error = self.disk.create_error = self.disk.sync_error = self.disk.room = None

    @rule()
    def sync(self) -> None:
        """Ask for power-safety, whatever the answer."""
        self.run(asyncio.wait_for(self.journal.sync(), DEADLINE_SECONDS))

    @rule()
    def crash(self) -> None:
        """While no trouble is reported, kill -9: what lies on disk at this moment is all that is left."""
        if self.journal.trouble is not None or any(feed.dropping for feed in self.feeds.values()):
            return  # no precondition: how far the writer's threads are is not hypothesis' to decide
        self.unlock()
        self.run(self.stop_writing())
        left = Path(mkdtemp(dir=MEMORY))
        (left / "journal").mkdir()
        for path in (*self.folder.glob("journal/*"), *self.folder.glob("asynclog.db*")):
            with contextlib.suppress(FileNotFoundError):  # a stored segment that is just being removed
                shutil.copy(path, left / path.relative_to(self.folder))
        self.mend_the_disk()
        self.run(self.close())
        shutil.rmtree(self.folder)
        self.folder = left
        self.run(self.open())
        self.heal()
        self.feeds = {task: Feed(task, next_seq=self.last_seq(task) + 1) for task in TASKS}

    def last_seq(self, task: str) -> int:
        find = "SELECT coalesce(max(last_seq), 0) FROM tasks WHERE id = ?"
        return int(self.run(self.database.read(lambda connection: connection.execute(find, (task,)).fetchone()[0])))

    @rule()
    def restart(self) -> None:
        """Close in good order, and open again."""
        self.heal()
        self.run(self.close())
        self.run(self.open())

    def heal(self) -> None:
        """Everything works again, and the writer catches up."""
        self.unlock()
        self.mend_the_disk()
        for point in POINTS:
            failpoints.arm(point, None)

        async def catch_up() -> None:
            end = self.loop.time() + DEADLINE_SECONDS
            while self.journal.stored_id < self.journal.last_id:
                assert self.loop.time() < end, f"the writer is stuck: {self.writer.error}"
                self.writer.flush()
                await self.clock.advance(5)
                await asyncio.sleep(0.001)

        self.run(catch_up())

    @rule()
    def compare(self) -> None:
        """Healed, the store holds what was given: each entry once, under its seq; the rest is in gaps by range."""
        self.heal()
        assert self.writer.missing == 0
        assert self.journal.pending_bytes == 0
        for task in TASKS:
            feed, given = self.feeds[task], self.given[task]
            rows, gaps, counts = self.run(self.database.read(partial(_stored, task=task)))
            assert rows == given
            growing = [feed.gap()] if feed.dropping else []
            missing = {seq for gap in (*gaps, *growing) for seq in range(gap.from_seq, gap.to_seq + 1)}
            assert missing.isdisjoint(given)
            assert missing | given.keys() == set(range(1, feed.last_seq + 1))
            assert sum(counts.values()) == len(given)
        stages = self.run(self.database.read(lambda c: c.execute("SELECT id, number FROM stages").fetchall()))
        assert dict(stages) == self.stages

    def teardown(self) -> None:
        if hasattr(self, "writer"):
            self.compare()
            self.run(self.close())
            self.run(self.loop.shutdown_default_executor())
            self.loop.close()
            shutil.rmtree(self.folder)


def _stored(connection: sqlite3.Connection, task: str) -> tuple[dict[int, str], list[Gap], dict[str, int]]:
    rows = connection.execute("SELECT seq, message FROM task_logs WHERE task_id = ?", (task,)).fetchall()
    found = connection.execute("SELECT from_seq, to_seq, reason FROM gaps WHERE task_id = ?", (task,)).fetchall()
    gaps = [Gap(task_id=task, from_seq=first, to_seq=last, reason=reason) for first, last, reason in found]
    columns = "debug_count, info_count, warning_count, error_count"
    counts = connection.execute(f"SELECT {columns} FROM tasks WHERE id = ?", (task,)).fetchone()
    grouped = "SELECT level, sum(count) FROM entry_counts WHERE task_id = ? GROUP BY 1"
    by_level = dict(connection.execute(grouped, (task,)).fetchall())
    names = [level.name for level in Level]
    assert {name: by_level.get(name, 0) for name in names} == dict(zip(names, counts or (0, 0, 0, 0), strict=True))
    assert len(rows) == len(dict(rows))
    return dict(rows), gaps, by_level


TestWriter = WriterMachine.TestCase
TestWriter.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
