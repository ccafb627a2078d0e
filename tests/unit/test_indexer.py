"""The block index behind the writer: built, tidied, removed; never needed, never in the way."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import orjson
import pytest

from asynclog.errors import StoreError
from asynclog.filters import LogFilter
from asynclog.frames import Frames
from asynclog.indexer import IDLE_SECONDS, PATIENCE, RETRY_SECONDS, TIDY_SECONDS, Indexer
from asynclog.queries import EntryQuery
from asynclog.records import encode
from asynclog.store import blocks
from asynclog.store.adapter import SqliteStore
from asynclog.store.sqlite import Database
from asynclog.testing import ManualClock
from tests.unit.store.rows import add_entries, add_task, entry

SEGMENT = 1 << blocks.SEGMENT_BITS
STEP = 512
"""Between two ids: few entries, several segments."""


class Indexing:
    """An indexer over a database with entries, its clock, and what is told to it."""

    def __init__(self, store: SqliteStore, path: Path) -> None:
        self.store = store
        self.path = path
        self.clock = ManualClock()
        self.on = True
        self.stored = 0
        self.behind = False
        self.indexer = Indexer(store, self.clock, lambda: self.on, lambda: self.stored, lambda: self.behind)

    def add(self, count: int, message: Callable[[int], str] = "entry {}".format, task: str = "t") -> None:
        """Store entries of a task, past all others."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            add_entries(connection, [entry(task, message(number)) for number in range(count)], STEP)
            self.stored = connection.execute("SELECT max(id) FROM task_logs").fetchone()[0]

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """By a connection of its own."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            return connection.execute(statement).fetchall()

    @property
    def segments(self) -> list[object]:
        """That are indexed."""
        return [row[0] for row in self.execute("SELECT id FROM log_segments ORDER BY id")]

    async def until(self, reached: Callable[[], bool], step: float = IDLE_SECONDS) -> None:
        """Let time pass until something is so."""
        async with asyncio.timeout(60):
            while not reached():
                await self.clock.advance(step)
                await asyncio.sleep(0.002)


@asynccontextmanager
async def indexing(folder: Path) -> AsyncIterator[Indexing]:
    """A running indexer; the database has a task ``t``."""
    async with Database(folder / "db") as database:
        found = Indexing(SqliteStore(database), folder / "db")
        with closing(sqlite3.connect(found.path, isolation_level=None)) as connection:
            add_task(connection, "t")
        running = asyncio.create_task(found.indexer.run())
        try:
            yield found
        finally:
            running.cancel()
            await asyncio.wait([running])


async def test_whole_segments_are_indexed_and_the_newest_is_not(tmp_path: Path) -> None:
    """Every segment behind which entries are stored is indexed; the lag is what lies above it."""
    async with indexing(tmp_path) as found:
        found.add(3 * SEGMENT // STEP + 2)
        assert found.indexer.lag == found.stored
        await found.until(lambda: found.indexer.segments == 3)
        await found.until(lambda: found.indexer.lag < SEGMENT)
        assert found.segments == [0, 1, 2]
        found.add(SEGMENT // STEP)
        await found.until(lambda: found.indexer.segments == 4)
        assert found.segments == [0, 1, 2, 3]


async def test_a_writer_that_is_behind_comes_first(tmp_path: Path) -> None:
    """Nothing is built while the writer is behind; what waited is built afterwards."""
    async with indexing(tmp_path) as found:
        found.behind = True
        found.add(2 * SEGMENT // STEP + 1)
        for _ in range(9):
            await found.clock.advance(IDLE_SECONDS)
            await found.store.index(99)  # takes as long as what must not happen
        assert found.indexer.segments == 0
        found.behind = False
        await found.until(lambda: found.indexer.segments == 2)


async def test_while_records_come_in_it_waits(tmp_path: Path) -> None:
    """As long as more is stored every second nothing is indexed, until that is more than the patience."""
    async with indexing(tmp_path) as found:
        found.add(2 * SEGMENT // STEP + 1)
        last = found.stored
        for number in range(20):
            found.stored = last + number + 1
            await found.clock.advance(IDLE_SECONDS)
        assert found.segments == []
        found.stored = last + PATIENCE
        await found.until(lambda: found.segments == [0, 1])


async def test_it_goes_on_where_a_former_process_was(tmp_path: Path) -> None:
    """What is indexed is not indexed again, and a hole is filled."""
    async with indexing(tmp_path) as found:
        found.add(4 * SEGMENT // STEP + 1)
        await found.until(lambda: found.indexer.segments == 4)
        found.execute("DELETE FROM log_segments WHERE id = 1")
    async with indexing_again(tmp_path) as again:
        again.stored = found.stored
        await again.until(lambda: again.indexer.lag < SEGMENT)
        assert again.indexer.segments == 1
        assert again.segments == [0, 1, 2, 3]


@asynccontextmanager
async def indexing_again(folder: Path) -> AsyncIterator[Indexing]:
    """Another process on the same database."""
    async with Database(folder / "db") as database:
        found = Indexing(SqliteStore(database), folder / "db")
        running = asyncio.create_task(found.indexer.run())
        try:
            yield found
        finally:
            running.cancel()
            await asyncio.wait([running])


async def test_turned_off_it_leaves_nothing(tmp_path: Path) -> None:
    """Off, every row of the index goes, and answers stay; on again, it is built again."""
    async with indexing(tmp_path) as found:
        found.add(2 * SEGMENT // STEP + 1)
        await found.until(lambda: found.indexer.segments == 2)
        assert found.execute("SELECT count(*) FROM log_places") != [(0,)]
        found.on = False
        await found.until(lambda: not found.segments)
        tables = ("log_terms", "log_places", "log_blocks")
        left = " UNION ALL ".join(f"SELECT 1 FROM {table}" for table in tables)
        await found.until(lambda: found.execute(left) == [])
        assert found.indexer.lag == found.stored
        query = EntryQuery(task_id="t", filter=LogFilter.parse([("search", "entry 7")]))
        assert len((await found.store.entries(query)).lines) == 1
        found.on = True
        await found.until(lambda: found.segments == [0, 1])


async def test_nothing_of_a_deleted_task_stays(tmp_path: Path) -> None:
    """Segments of a deleted task are read from then on, and soon indexed anew without it; empty ones go."""
    async with indexing(tmp_path) as found:
        with closing(sqlite3.connect(found.path, isolation_level=None)) as connection:
            add_task(connection, "gone", deleted_at=1)
        found.add(SEGMENT // STEP + 3, "secret {}".format, "gone")
        found.add(2 * SEGMENT // STEP, "entry {}".format)
        await found.until(lambda: found.indexer.segments == 3)
        secret = "SELECT count(*) FROM log_terms WHERE term = 'msec'"
        assert found.execute(secret) == [(2,)]
        while not await found.store.erase("gone", 7):
            assert 0 not in found.segments
        assert found.segments == [2]
        query = EntryQuery(task_id="t", filter=LogFilter.parse([("search", "entry 7")]))
        assert len((await found.store.entries(query)).lines) == 1
        await found.until(lambda: found.segments == [1, 2], TIDY_SECONDS)
        assert found.execute(secret) == [(0,)]
        for table in ("log_terms", "log_places"):
            assert found.execute(f"SELECT DISTINCT segment FROM {table}") == [(1,), (2,)]
        assert found.execute("SELECT count(*) FROM log_blocks WHERE id < 64") == [(0,)]


async def test_entries_with_old_numbers_are_found(tmp_path: Path) -> None:
    """An entry whose number belongs into an indexed segment (a foreign journal) comes behind all of them."""
    async with indexing(tmp_path) as found:
        found.add(2 * SEGMENT // STEP + 1)
        await found.until(lambda: found.indexer.segments == 2)
        await found.store.commit("foreign", Frames.of([(3, 900, 1, encode(entry("t", "needle in the hay")))]), 3)
        assert found.segments == [0, 1]
        query = EntryQuery(task_id="t", filter=LogFilter.parse([("search", "needle")]))
        assert len((await found.store.entries(query)).lines) == 1
        assert found.execute("SELECT max(id) = (SELECT id FROM task_logs WHERE seq = 900) FROM task_logs") == [(1,)]


async def test_a_store_that_cannot_be_read_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While the store fails, the indexer says so once and tries again; then it goes on."""

    class Failing(SqliteStore):
        fails = True

        async def unindexed(self, through: int) -> tuple[int, int | None]:
            if self.fails:
                raise StoreError("the database cannot be read: it is away")
            return await super().unindexed(through)

    async with Database(tmp_path / "db") as database:
        store = Failing(database)
        found = Indexing(store, tmp_path / "db")
        with closing(sqlite3.connect(found.path, isolation_level=None)) as connection:
            add_task(connection, "t")
        found.add(SEGMENT // STEP + 1)
        running = asyncio.create_task(found.indexer.run())
        await found.until(lambda: found.indexer.error is not None)
        for _ in range(5):
            await found.clock.advance(RETRY_SECONDS)
        store.fails = False
        await found.until(lambda: found.segments == [0], RETRY_SECONDS)
        await found.until(lambda: found.indexer.error is None)
        running.cancel()
        await asyncio.wait([running])
    assert [record.message for record in caplog.records] == [
        "the search index waits: the database cannot be read: it is away"
    ]


async def test_random_text_is_not_indexed_but_found(tmp_path: Path) -> None:
    """A segment with more different trigrams than the bound has no rows for them; searches read its entries."""
    async with indexing(tmp_path) as found:
        found.add(SEGMENT // STEP + 1, lambda number: "".join(chr(0x20000 + number * 2500 + n) for n in range(2500)))
        await found.until(lambda: found.indexer.segments == 1)
        assert found.execute("SELECT count(*) FROM log_terms WHERE term LIKE 'm%'") == [(0,)]
        assert found.execute("SELECT open FROM log_segments") == [(-1,)]
        query = EntryQuery(task_id="t", filter=LogFilter.parse([("search", chr(0x20000 + 2501) + chr(0x20000 + 2502))]))
        assert len((await found.store.entries(query)).lines) >= 1


@pytest.mark.parametrize("bound", [40, 80])
async def test_more_runs_than_the_bound_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: int
) -> None:
    """A segment of too many runs of consonants, seen in one block or in all, is searched by its trigrams alone."""
    monkeypatch.setattr(blocks, "MAX_RUNS", bound)
    async with indexing(tmp_path) as found:
        found.add(SEGMENT // STEP, lambda number: f"{''.join(chr(98 + number * n % 25) for n in range(40))} end")
        found.add(SEGMENT // STEP + 1, "the latest deploy of {}".format)
        await found.until(lambda: found.indexer.segments == 2)
        assert found.execute("SELECT id, skeletons FROM log_segments ORDER BY id") == [(0, 0), (1, 1)]
        runs = found.execute("SELECT DISTINCT segment FROM log_terms WHERE term GLOB 'k*'")
        assert runs == [(1,)]
        for text, number in (("latest deploy of 7", 1), ("bbbbbbbbb", 1), ("latest deployment", 0)):
            query = EntryQuery(task_id="t", filter=LogFilter.parse([("search", text)]))
            assert len((await found.store.entries(query)).lines) == number


async def test_long_messages_have_no_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment of much text, of which runs would take seconds to make, is searched by its trigrams alone."""
    monkeypatch.setattr(blocks, "MAX_SKELETON", 1000)
    async with indexing(tmp_path) as found:
        found.add(SEGMENT // STEP, lambda number: f"the latest deploy of {number} {'went well ' * 9}")
        found.add(SEGMENT // STEP + 1, "the latest deploy of {}".format)
        await found.until(lambda: found.indexer.segments == 2)
        assert found.execute("SELECT id, skeletons FROM log_segments ORDER BY id") == [(0, 0), (1, 1)]
        query = EntryQuery(task_id="t", filter=LogFilter.parse([("search", "Deploy of 7")]))
        assert len((await found.store.entries(query)).lines) == 2


async def test_a_segment_that_was_begun_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process killed between a segment's transactions leaves rows that nobody asks; the next one begins it anew."""
    monkeypatch.setattr(blocks, "TERMS_AT_ONCE", 5)
    async with indexing(tmp_path) as found:
        found.add(SEGMENT // STEP + 1)
        built = await database_of(found).build(lambda connection: blocks.build(connection, 0))
        assert built is not None
        assert len(built.terms) > 2
        assert await database_of(found).write(lambda connection: blocks.put(connection, built, 0)) == 1
        assert found.execute("SELECT count(*) FROM log_terms") == [(5,)]
        query = EntryQuery(task_id="t", filter=LogFilter.parse([("search", "entry 7")]))
        assert len((await found.store.entries(query)).lines) == 1
        await found.until(lambda: found.segments == [0])
        assert len((await found.store.entries(query)).lines) == 1
        terms = sum(len(orjson.loads(part)) for part in (*built.terms, built.labels))
        assert found.execute("SELECT count(*) FROM log_terms") == [(terms,)]


def database_of(found: Indexing) -> Database:
    """Where its store is."""
    return found.store._database
