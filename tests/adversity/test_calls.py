"""The log call itself under attack: hostile values, finalisers, signal handlers, many threads at once."""

import asyncio
import contextlib
import gc
import itertools
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from asynclog.engine import Limits
from asynclog.feed import Feed
from asynclog.journal import Journal
from asynclog.records import EntryRecord, encode
from tests.adversity.witness import accounted, finished, numbering, numbers, until


class Hostile:
    """Fails whenever it is looked at."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def fail(self, *_: object) -> NoReturn:
        raise self.error

    __str__ = __repr__ = __format__ = __len__ = __iter__ = __bool__ = __hash__ = __eq__ = __int__ = __float__ = fail

    @property
    def __class__(self) -> Any:
        raise self.error

    @__class__.setter
    def __class__(self, value: type) -> None:
        raise self.error


class Lying(dict[str, Any]):
    """A mapping that is none."""

    def keys(self) -> Any:
        raise RuntimeError("no keys")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no iteration")


class Endless(str):
    """Text whose text is itself for ever."""

    __slots__ = ()

    def __str__(self) -> str:
        return str(self)


def hostile_values() -> list[object]:
    cycle: list[object] = []
    cycle.append(cycle)
    deep: list[object] = []
    for _ in range(5_000):
        deep = [deep]
    errors = [ValueError("no"), RecursionError("deep"), MemoryError(), GeneratorExit(), asyncio.CancelledError()]
    return [
        *(Hostile(error) for error in errors),
        Lying(a=1),
        Endless("x"),
        cycle,
        deep,
        "\ud800 lone surrogate \udfff and NUL \0",
        b"\xff\xfe\0",
        float("nan"),
        -float("inf"),
        10**5000,
        {1: 2, None: 3, (1, 2): {4}},
        type("Odd", (), {"__module__": None, "__qualname__": "x"})(),
        "x" * 3_000_000,
        Exception(Hostile(ValueError("inside"))),
        object(),
        memoryview(b"abc"),
        lambda: None,
        sys,
    ]


async def test_hostile_values(tmp_path: Path) -> None:
    """Whatever is passed as message, argument or metadata, the call returns and leaves one entry that can be read."""
    async with numbering(tmp_path) as (tasks, plugin, task_id):
        assert plugin.context is not None
        log = plugin.context.logger
        calls = 0
        for value in hostile_values():
            log.info(value)
            log.info("%s %d", value, value)
            log.warning("a mapping %(x)s", value)
            log.info("metadata", metadata=value, extra=value, x=value, nested={"deep": [value]})
            log.error("odd", exc_info=value, stack_info=value, stacklevel=value)
            log.bind(bound=value).with_source(value).info("bound")  # type: ignore[arg-type]  # no text
            log.log(value, "level")
            log.progress(value, value, value)  # type: ignore[arg-type]  # no numbers
            calls += 8
        await finished(tasks, plugin, task_id)
        page = await tasks.logs(task_id, limit=5000, after=1)
        assert tasks.engine.troubles() == []
    stored, dropped, _ = accounted(tmp_path, task_id)
    assert (stored, dropped) == (calls + 2, 0)
    with contextlib.closing(sqlite3.connect(tmp_path / "asynclog.db")) as connection:
        bad = connection.execute("SELECT count(*) FROM task_logs WHERE NOT json_valid(coalesce(metadata_json, '{}'))")
        assert bad.fetchone()[0] == 0
        told = connection.execute("SELECT count(*) FROM task_logs WHERE message LIKE '%unstorable%'").fetchone()[0]
        assert told == 0
    assert page.entries


class Noisy:
    """Part of a reference cycle; logs when it is collected."""

    def __init__(self, journal: Journal, feed: Feed) -> None:
        self.journal = journal
        self.feed = feed
        self.me = self

    def __del__(self) -> None:
        self.journal.append(self.feed, entry("finaliser"), 40)


counter = itertools.count()


def entry(kind: str, size: int = 20) -> bytes:
    return encode(EntryRecord("t", next(counter), 20, kind, None, None, None, "x" * size, None))


def check_order(journal: Journal, feeds: list[Feed]) -> None:
    """Ids are dense in the inbox, the same in the journal, and the seqs of every task are dense in that order."""
    frames, owners, last = journal.take()
    assert [frame[0] for frame in frames] == list(range(1, last + 1))
    assert list(journal.read(0, last)) == list(frames)
    for feed in feeds:
        seqs = [frame[1] for frame, owner in zip(frames, owners, strict=True) if owner is feed]
        assert seqs == list(range(1, feed.last_seq + 1))


def test_many_threads_at_once(tmp_path: Path) -> None:
    """Whatever threads log at once, journal order is queue order is id order, and every task's seqs are dense."""
    journal = Journal(tmp_path, segment_bytes=50_000, budget=1 << 30)
    feeds = [Feed("t") for _ in range(4)]
    start = threading.Barrier(8)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    def work(number: int) -> None:
        start.wait()
        for index in range(600):
            journal.append(feeds[(number + index) % 4], entry(f"{number}"), 20)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert sum(feed.last_seq for feed in feeds) == 4800
    check_order(journal, feeds)
    journal.close()


def test_finalisers_that_log(tmp_path: Path) -> None:
    """Objects that log when the garbage collector runs inside log calls, rolls and syncs: no deadlock, nothing lost."""
    journal = Journal(tmp_path, segment_bytes=2_000, budget=1 << 30)
    feeds = [Feed("t"), Feed("t")]
    before = gc.get_threshold()
    gc.set_threshold(3, 2, 2)
    try:

        def work() -> None:
            for _ in range(800):
                Noisy(journal, feeds[1])
                journal.append(feeds[0], entry("call"), 20)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        gc.set_threshold(*before)
    end = time.monotonic() + 30
    while feeds[1].last_seq < 2400:  # the syncer's thread may be collecting: then this call does nothing
        gc.collect()
        assert time.monotonic() < end
    assert journal.append(feeds[0], entry("call"), 20) == 2401
    assert [feed.last_seq for feed in feeds] == [2401, 2400]
    check_order(journal, feeds)
    journal.close()


@pytest.fixture
def quiet() -> Iterator[None]:
    """Whatever a handler raised where: no alarm rings after the test."""
    yield
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


@contextlib.contextmanager
def alarms(seconds: float, handler: Any) -> Iterator[None]:
    """A signal handler runs at random moments of the main thread."""
    dice = random.Random(7)

    def ring(*_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, dice.uniform(seconds / 10, seconds))
        handler()

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("quiet")
def test_signal_handlers_that_log(tmp_path: Path) -> None:
    """A signal handler that logs, whatever it interrupts, gets its entry in without a deadlock and without disorder."""
    journal = Journal(tmp_path, segment_bytes=3_000, budget=1 << 30)
    feeds = [Feed("t"), Feed("t")]
    rung = itertools.count()

    def handler() -> None:
        next(rung)
        journal.append(feeds[1], entry("handler"), 40)

    with alarms(0.0004, handler):
        for _ in range(12_000):
            journal.append(feeds[0], entry("call"), 20)
    journal.append(feeds[0], entry("last"), 20)
    assert feeds[0].last_seq == 12_001
    assert feeds[1].last_seq == next(rung) > 20
    check_order(journal, feeds)
    journal.close()


def test_signal_handlers_that_raise(tmp_path: Path) -> None:
    """An exception that a signal handler raises comes out of the log call; the entry is there wholly or not at all.

    After a thousand of them, every acknowledged entry is there once, in order, and seqs and ids are dense.
    """
    program = Path(__file__).with_name("alarms.py")
    done = subprocess.run([sys.executable, program, tmp_path], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    raised, acknowledged = map(int, done.stdout.split())
    assert raised > 50
    assert acknowledged > 1_000


async def test_threads_and_the_loop_through_the_real_logger(tmp_path: Path) -> None:
    """Threads, the loop and a signal handler log into one task, with tight memory: each thread's entries in order."""
    async with numbering(tmp_path, limits=Limits(segment=20_000, memory=100_000)) as (tasks, plugin, task_id):
        assert plugin.context is not None
        log = plugin.context.logger
        done = []

        def work(name: str) -> None:
            mine = log.with_source(name)
            for number in range(800):
                mine.info("%d", number)
            done.append(name)

        threads = [threading.Thread(target=work, args=(f"thread-{index}",)) for index in range(5)]
        for thread in threads:
            thread.start()
        for _ in range(400):
            plugin.log(2)
            await asyncio.sleep(0)
        await until(lambda: len(done) == 5, "the threads")
        for thread in threads:
            thread.join()
        await finished(tasks, plugin, task_id)
        assert tasks.engine.journal.dropped == 0
    assert numbers(tmp_path, task_id) == list(range(1, 801))
    assert accounted(tmp_path, task_id) == (4_802, 0, 4_802)
    with contextlib.closing(sqlite3.connect(tmp_path / "asynclog.db")) as connection:
        for index in range(5):
            rows = connection.execute(
                "SELECT message FROM task_logs WHERE source = ? ORDER BY seq", (f"thread-{index}",)
            ).fetchall()
            assert [int(row[0]) for row in rows] == list(range(800))


async def test_a_handler_of_the_service_log_that_logs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A logging handler that itself logs into a task, under its own lock, cannot bring the journal to a standstill."""
    import logging
    from errno import ENOSPC

    from asynclog.testing import FaultyDisk

    disk = FaultyDisk()
    async with numbering(tmp_path, disk=disk) as (tasks, plugin, task_id):

        class Bridge(logging.Handler):
            def emit(self, _record: logging.LogRecord) -> None:
                plugin.log(1)
                raise RuntimeError("and it fails, too")

        service, bridge = logging.getLogger("asynclog"), Bridge()
        service.addHandler(bridge)
        try:
            stop = threading.Event()

            def shout() -> None:
                while not stop.is_set():
                    with contextlib.suppress(RuntimeError):
                        service.warning("something")

            thread = threading.Thread(target=shout)
            thread.start()
            for turn in range(40):
                disk.write_error = ENOSPC if turn % 2 else None
                plugin.log(5)
                await asyncio.sleep(0.01)
            stop.set()
            await asyncio.to_thread(thread.join)
        finally:
            service.removeHandler(bridge)
        disk.write_error = None
        await finished(tasks, plugin, task_id)
    assert numbers(tmp_path, task_id)
    caplog.clear()
