"""A live reader sees what the task logged: in order, once, history and live without a seam, gaps by exact range."""

import asyncio
import contextlib
import random
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import msgspec
import pytest

from asynclog.engine import Engine, Limits, open_engine
from asynclog.errors import StoreError
from asynclog.feed import Feed
from asynclog.filters import NO_FILTER, LogFilter
from asynclog.live import Live, TaskChanged
from asynclog.model import Gap, Task
from asynclog.protocols import Archive
from asynclog.records import TaskRecord
from asynclog.settings import Settings
from asynclog.subscription import Changed, End, Event, Refiltered, Subscription
from asynclog.tail import Entries, TailBudget
from asynclog.tasks.ending import finish
from asynclog.tasks.reader import Reader

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
DEADLINE_SECONDS = 60.0
FILTERS = [
    NO_FILTER,
    LogFilter.parse([("min_level", "WARNING")]),
    LogFilter.parse([("source", "even")]),
    LogFilter.parse([("search", "7")]),
]


CHOSEN: list[Callable[[str, str, str], bool]] = [
    lambda _level, _source, _message: True,
    lambda level, _source, _message: level in ("WARNING", "ERROR"),
    lambda _level, source, _message: source == "even",
    lambda _level, _source, message: "7" in message,
]
"""The filters once more, in Python: level, source, message."""


class Scene:
    """A task on a small engine, what it logged and what became of each call."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.reader = Reader(engine)
        self.task = Task(id="t", name="t", plugin="p", status="running", created_at=1, started_at=1)
        self.feed = Feed("t")
        self.kept: dict[int, tuple[str, str, str]] = {}
        """Level, source and message by seq."""
        engine.hub.add(self.task, self.feed)
        engine.record(TaskRecord("t", self.task))

    def log(self, level: str, source: str, message: str) -> None:
        seq, dropped = self.feed.next_seq, self.feed.dropped
        self.engine.logger(self.feed, source).log(level, message)
        if self.feed.dropped == dropped:
            self.kept[seq] = level, source, message

    async def end(self) -> None:
        await finish(self.engine, self.feed, msgspec.structs.replace(self.task, status="success", finished_at=2))

    def expected(self, entry_filter: LogFilter, after: int, through: int) -> list[tuple[int, str]]:
        chosen = CHOSEN[FILTERS.index(entry_filter)]
        return [(seq, kept[2]) for seq, kept in sorted(self.kept.items()) if after < seq <= through and chosen(*kept)]


@contextlib.asynccontextmanager
async def scene(**limits: int) -> AsyncIterator[Scene]:
    """A task on an engine whose bounds are small."""
    settings = Settings(pinned={"flush_interval": 0.05, "task_log_level": "DEBUG"})
    with TemporaryDirectory(dir=MEMORY) as folder:
        async with open_engine(folder, settings=settings, limits=Limits(**limits)) as engine:
            await engine._database.write(lambda connection: connection.execute("PRAGMA busy_timeout = 5"))
            yield Scene(engine)


class Judge:
    """Follows events and compares each with the truth at once: its own cursor must never be contradicted."""

    def __init__(self, scene: Scene, entry_filter: LogFilter, after: int) -> None:
        self.scene = scene
        self.filter = entry_filter
        self.cursor = after
        self.asked: dict[str, tuple[LogFilter, int]] = {}
        self.gaps: list[Gap] = []
        self.lines = 0
        self.end: End | None = None

    def see(self, event: Event) -> None:
        match event:
            case Refiltered(ref=ref):
                self.filter, self.cursor = self.asked.pop(ref)
                self.gaps.clear()
            case Gap():
                assert event.from_seq <= self.cursor + 1 <= event.to_seq, "a gap comes where it is, and once"
                assert not [seq for seq in range(event.from_seq, event.to_seq + 1) if seq in self.scene.kept]
                self.cursor = event.to_seq
                self.gaps.append(event)
            case End():
                assert self.cursor >= self.scene.feed.last_seq == event.last_seq
                self.end = event
            case TaskChanged() | Changed():
                pass
            case _:
                self.take(event)

    def take(self, entries: Entries) -> None:
        found = [msgspec.json.decode(line) for line in entries.lines]
        assert entries.through > self.cursor
        given = [(entry["seq"], entry["message"]) for entry in found]
        assert given == self.scene.expected(self.filter, self.cursor, entries.through)
        if self.filter == NO_FILTER:
            span = range(self.cursor + 1, entries.through + 1)
            assert [seq for seq, _ in given] == list(span), "what is passed over without a word is no gap"
        self.cursor = entries.through
        self.lines += len(given)

    async def follow(self, subscription: Subscription, pause: float = 0.0) -> None:
        async for event in subscription.events():
            self.see(event)
            if pause:
                await asyncio.sleep(pause)


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition, with a deadline."""
    end = asyncio.get_running_loop().time() + DEADLINE_SECONDS
    while not condition():
        assert asyncio.get_running_loop().time() < end, what
        await asyncio.sleep(0.005)


async def trouble(scene: Scene, dice: random.Random, stop: asyncio.Event) -> None:
    """Another process holds the database now and then."""
    while not stop.is_set():
        other = sqlite3.connect(scene.engine.folder / "asynclog.db", timeout=0, isolation_level=None)
        with contextlib.suppress(sqlite3.OperationalError):
            other.execute("BEGIN IMMEDIATE")
        await asyncio.sleep(dice.uniform(0, 0.15))
        other.close()
        await asyncio.sleep(dice.uniform(0, 0.1))


def locked(scene: Scene) -> sqlite3.Connection:
    """Somebody else's connection that holds the database until it is closed."""
    other = sqlite3.connect(scene.engine.folder / "asynclog.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


async def produce(scene: Scene, dice: random.Random, entries: int) -> None:
    """Log in bursts, between which others have their turn."""
    for number in range(entries):
        size = dice.choice([0, 50, 400])
        level, source = dice.choice(["DEBUG", "INFO", "WARNING"]), dice.choice(["odd", "even"])
        scene.log(level, source, f"{number} " + "x" * size)
        if dice.random() < 0.02:
            await asyncio.sleep(dice.choice([0, 0, 0.03]))


async def one_story(seed: int) -> tuple[int, int]:
    """A task, its readers and whatever happens; how many entries were dropped, and spilled."""
    dice = random.Random(seed)
    tight = dice.random() < 0.4
    limits = {"tails": dice.choice([1_000, 30_000, 1 << 20]), "segment": 3_000}
    limits |= {"memory": 15_000, "journal_quota": dice.choice([20_000, 1 << 20])} if tight else {"memory": 1 << 20}
    async with scene(**limits) as stage, contextlib.AsyncExitStack() as stack:
        stop = asyncio.Event()
        judges, readers = [], []

        async def join() -> None:
            judge = Judge(stage, dice.choice(FILTERS), dice.choice([0, stage.feed.head // 2, stage.feed.head]))
            subscription = await stack.enter_async_context(stage.reader.follow("t", judge.filter, judge.cursor))
            judges.append((judge, subscription))
            readers.append(asyncio.create_task(judge.follow(subscription, dice.choice([0, 0, 0.01]))))

        async def meddle() -> None:
            while not stop.is_set():
                judge, subscription = dice.choice(judges)
                ref, entry_filter = f"{dice.random()}", dice.choice(FILTERS)
                after = dice.choice([0, judge.cursor])
                judge.asked[ref] = entry_filter, after
                subscription.refilter(entry_filter, after, ref)
                await asyncio.sleep(dice.uniform(0.02, 0.2))

        await join()
        helpers = [asyncio.create_task(trouble(stage, dice, stop)), asyncio.create_task(meddle())]
        for _ in range(3):
            await produce(stage, dice, 250)
            await join()
        stop.set()
        await asyncio.gather(*helpers)
        await stage.end()
        await asyncio.wait_for(asyncio.gather(*readers), DEADLINE_SECONDS)
        assert all(judge.end is not None and not judge.asked for judge, _ in judges)
        return stage.feed.dropped, stage.engine.journal.spilled


async def test_the_delivered_sequence_is_the_truth() -> None:
    """However small the tail, slow the store, full the memory and often the filter changes, readers see the truth.

    Each of 24 stories has four readers that join at different times and cursors; every frame is compared with what
    was logged between two cursors, every gap with what was dropped, and each reader comes to the end.
    """
    stories = []
    for start in range(0, 24, 8):
        stories += await asyncio.gather(*(one_story(seed) for seed in range(start, start + 8)))
    assert sum(1 for dropped, _ in stories if dropped) >= 2, "some stories had to be about loss"
    assert sum(1 for _, spilled in stories if spilled) >= 4


async def test_a_reader_of_what_was_spilled_is_woken() -> None:
    """A reader that has seen everything is woken by entries that did not fit into memory, once the store has them."""
    async with scene(memory=3_000) as stage, stage.reader.follow("t", NO_FILTER) as subscription:
        judge = Judge(stage, NO_FILTER, 0)
        following = asyncio.create_task(judge.follow(subscription))
        await stage.engine.settle(DEADLINE_SECONDS)
        other = locked(stage)
        while stage.engine.journal.pending_bytes < 2_500:
            stage.log("INFO", "odd", "fits")
        await until(lambda: judge.cursor == stage.feed.head, "what is in memory")
        spilled = stage.engine.journal.spilled
        for number in range(5):
            stage.log("INFO", "odd", f"{number}" * 500)
        assert (spilled, stage.engine.journal.spilled) == (0, 5)
        other.close()
        await until(lambda: judge.cursor == stage.feed.head, "the spilled entries")
        await stage.end()
        await asyncio.wait_for(following, DEADLINE_SECONDS)


async def test_what_is_stored_waits_for_nothing() -> None:
    """Who comes while nothing can be stored, or others log more than can be, is given at once what the store has; the
    rest once it is there.
    """
    async with scene() as stage:
        for number in range(1_500):
            stage.log("INFO", "odd", f"{number}")
        assert await stage.engine.settle(DEADLINE_SECONDS)
        other = locked(stage)
        for number in range(20):
            stage.log("INFO", "odd", f"later {number}")
        async with stage.reader.follow("t", NO_FILTER) as subscription:
            judge = Judge(stage, NO_FILTER, 0)
            following = asyncio.create_task(judge.follow(subscription))
            await until(lambda: judge.lines == 1_500, "what is stored is not given")
            other.close()
            await until(lambda: judge.lines == 1_520, "the rest does not come")
            await stage.end()
            await following


class Broken:
    """An archive that cannot be read until it is mended, and how often that was tried."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.mended = False
        self.asked = 0

    def __getattr__(self, name: str) -> object:
        self.asked += 1
        if not self.mended:
            raise StoreError("it cannot be read")
        return getattr(self.archive, name)


async def test_a_store_that_cannot_be_read_is_not_asked_for_every_entry() -> None:
    """While history cannot be read, its readers ask for it once a second, however much is logged; then they get it."""
    async with scene() as stage:
        stage.log("INFO", "odd", "before")
        assert await stage.engine.settle(DEADLINE_SECONDS)
        archive, judge = Broken(stage.engine.store), Judge(stage, NO_FILTER, 0)
        async with stage.reader.follow("t", NO_FILTER, archive=cast("Archive", archive)) as subscription:
            following = asyncio.create_task(judge.follow(subscription))
            await until(lambda: archive.asked > 0, "the store is not asked")
            for number in range(200):
                stage.log("INFO", "odd", f"{number}")
                stage.engine.collect()
                await asyncio.sleep(0)
            assert archive.asked < 20
            archive.mended = True
            await until(lambda: judge.lines == 201, "what can be read again is not given")
            await stage.end()
            await following


async def test_what_the_tail_missed_is_found_in_the_store() -> None:
    """Beside a record that the live side cannot read come entries: who follows is given them all the same."""
    async with scene() as stage:
        stage.log("INFO", "odd", "1")
        async with stage.reader.follow("t", NO_FILTER) as subscription:
            judge = Judge(stage, NO_FILTER, 0)
            following = asyncio.create_task(judge.follow(subscription))
            await until(lambda: judge.lines == 1, "the first entry does not come")
            stage.engine.journal.append(None, b"\xc1 no record")
            stage.log("INFO", "odd", "2")
            await until(lambda: judge.lines == 2, "the second entry does not come")
            await stage.end()
            await following


async def test_gaps_of_a_task_that_nobody_watched() -> None:
    """Gaps are shown once, by their exact range, also to who comes after the end or after a restart."""
    async with scene(memory=8_000, journal_quota=8_000) as stage:
        await stage.engine.settle(DEADLINE_SECONDS)
        other = locked(stage)
        for number in range(200):
            stage.log("INFO", "odd", f"{number}")
        other.close()
        await stage.engine.settle(DEADLINE_SECONDS)
        stage.log("INFO", "odd", "room again")
        assert 0 < stage.feed.dropped < 200
        resumed = Live(stage.task, stage.feed, TailBudget())  # as after a restart: no gap has come by yet
        judge = Judge(stage, NO_FILTER, 0)
        following = asyncio.create_task(
            judge.follow(Subscription(resumed, stage.engine.store, stage.engine.settle, NO_FILTER))
        )
        await until(lambda: judge.cursor == stage.feed.head, "all there is")
        following.cancel()
        await stage.end()
        await until(lambda: stage.engine.hub.ended("t") is None, "the end is stored")
        late = Judge(stage, NO_FILTER, 0)
        async with stage.reader.follow("t", NO_FILTER) as subscription:
            await asyncio.wait_for(late.follow(subscription), DEADLINE_SECONDS)
        for one in (judge, late):
            assert len(one.gaps) == 1
            assert one.gaps[0].to_seq - one.gaps[0].from_seq + 1 == stage.feed.dropped


async def test_gaps_that_the_store_has_named() -> None:
    """Readers of a running task are told, too, of entries that were lost with a database or a damaged segment: nobody
    else knows of them.
    """

    def lose(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM task_logs WHERE seq BETWEEN 5 AND 7")
        connection.execute("INSERT INTO gaps VALUES ('t', 5, 7, 'lost')")

    async with scene() as stage:
        for number in range(1, 11):
            stage.log("INFO", "odd", f"{number}")
        assert await stage.engine.settle(DEADLINE_SECONDS)
        await stage.engine._database.write(lose)
        for seq in (5, 6, 7):
            del stage.kept[seq]
        async with stage.reader.follow("t", NO_FILTER) as subscription:
            judge = Judge(stage, NO_FILTER, 0)
            following = asyncio.create_task(judge.follow(subscription))
            await until(lambda: judge.cursor == 10, "what is stored")
            await stage.end()
            await following
        assert judge.gaps == [Gap("t", 5, 7, "lost")]


async def test_a_task_that_ends_while_somebody_comes() -> None:
    """A reader that comes while the task ends, with the database locked, sees the end once the store has it."""
    async with scene() as stage:
        stage.log("INFO", "odd", "only")
        await stage.engine.settle(5)
        other = locked(stage)
        stage.log("INFO", "odd", "last")
        await stage.end()
        task = await stage.reader.task("t")
        assert task.status == "success", "the store still says it runs"
        judge = Judge(stage, NO_FILTER, 0)
        async with stage.reader.follow("t", NO_FILTER) as subscription:
            following = asyncio.create_task(judge.follow(subscription))
            await asyncio.sleep(0)
            other.close()
            await asyncio.wait_for(following, DEADLINE_SECONDS)
        assert judge.lines == 2
        await until(lambda: stage.engine.hub.ended("t") is None, "it is forgotten once the store has it")
        assert (await stage.reader.task("t")).status == "success"


@pytest.mark.parametrize("after", [0, 3, 7, 100])
async def test_reconnecting_anywhere(after: int) -> None:
    """A reader of an ended task gets what is above its cursor, and the end, also when the cursor is beyond it."""
    async with scene() as stage:
        for number in range(7):
            stage.log("INFO", "odd", f"{number}")
        await stage.end()
        judge = Judge(stage, NO_FILTER, after)
        async with stage.reader.follow("t", NO_FILTER, after) as subscription:
            await asyncio.wait_for(judge.follow(subscription), DEADLINE_SECONDS)
        assert judge.lines == max(0, 7 - after)


async def test_a_removed_task_ends_its_readers() -> None:
    """Readers of a task that is deleted are told so, wherever they are."""
    async with scene() as stage:
        stage.log("INFO", "odd", "x")
        judge = Judge(stage, NO_FILTER, 0)
        async with stage.reader.follow("t", NO_FILTER) as subscription:
            following = asyncio.create_task(_last(subscription))
            await asyncio.sleep(0)
            stage.engine.hub.remove("t")
            last = await asyncio.wait_for(following, DEADLINE_SECONDS)
        assert isinstance(last, End)
        assert last.reason == "removed"
        assert judge.end is None


async def _last(subscription: Subscription) -> Event | None:
    found = None
    async for event in subscription.events():
        found = event
    return found
