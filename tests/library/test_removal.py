"""Deleting tasks and the retention: everything of them goes, others go on, and a dry run tells what would go."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

import asynclog
from asynclog import ConflictError, NotFoundError, Settings, TaskContext, TaskManager, TaskQuery
from asynclog.errors import StoreError
from asynclog.filters import NO_FILTER
from asynclog.store import removal
from asynclog.subscription import End
from asynclog.tasks import sweeper
from asynclog.tasks.reader import EXPORT_PAGE
from asynclog.tasks.sweeper import CHUNK
from asynclog.testing import ManualClock
from tests.library.reading import messages, until

DAY = 86_400_000_000
"""Microseconds."""
HOUR_SECONDS = 3600.0
TABLES = ("task_logs", "stages", "steps", "trace_items", "gaps", "batches", "entry_counts")


def rows(folder: Path, task_id: str) -> dict[str, int]:
    """How many rows of a task each table holds."""
    connection = sqlite3.connect(f"{(folder / 'asynclog.db').absolute().as_uri()}?mode=ro", uri=True)
    try:
        found = {
            table: connection.execute(f"SELECT count(*) FROM {table} WHERE task_id = ?", (task_id,)).fetchone()[0]
            for table in TABLES
        }
        found["tasks"] = connection.execute("SELECT count(*) FROM tasks WHERE id = ?", (task_id,)).fetchone()[0]
        return {table: count for table, count in found.items() if count}
    finally:
        connection.close()


async def busy(params: object, context: TaskContext) -> None:
    """Leaves something in every table."""
    context.append_trace("begun")
    async with context.stage("s"), context.step("n", input=1):
        context.logger.info("inside")


async def test_an_export_of_what_goes_is_no_whole(tasks: TaskManager) -> None:
    """An export whose task is deleted in its middle fails: nobody takes the part that came for the whole."""

    async def talks(params: object, context: TaskContext) -> None:
        for number in range(2 * EXPORT_PAGE):
            context.logger.info("entry %d", number)

    task = await tasks.run(talks)
    pages = tasks.reader.export(task.id, NO_FILTER)
    assert len(await anext(pages)) == EXPORT_PAGE
    await tasks.delete(task.id)
    with pytest.raises(NotFoundError):
        _ = [page async for page in pages]


async def test_a_deleted_task_is_gone_everywhere(tasks: TaskManager, folder: Path) -> None:
    """After a delete there is no task, no entry, no list that names it, and soon no row in any table."""
    kept, gone = await tasks.run(busy), await tasks.run(busy)
    external = tasks.external.start("ext")
    await tasks.external.ingest(external.id, b'{"message": "x"}', "batch")
    await tasks.external.finish(external.id, "success")
    assert rows(folder, kept.id).keys() >= {"task_logs", "stages", "steps", "trace_items", "entry_counts", "tasks"}
    before = rows(folder, kept.id)
    for task_id in (gone.id, external.id):
        await tasks.delete(task_id)
        for call in (tasks.task, tasks.logs, tasks.delete, tasks.reader.steps, tasks.cancel):
            with pytest.raises(NotFoundError):
                await call(task_id)
    assert [task.id for task in (await tasks.reader.tasks(TaskQuery())).tasks] == [kept.id]
    page = await tasks.reader.search(asynclog.EntryQuery(limit=100))
    assert len(page.lines) == kept.last_seq
    await tasks.sweeper.drained()
    assert rows(folder, gone.id) == rows(folder, external.id) == {}
    assert rows(folder, kept.id) == before


async def test_a_task_is_deleted_once(tasks: TaskManager) -> None:
    """Of several who delete a task at once one has done it, as the audit says; for all of them it is gone."""
    task = await tasks.run(busy)
    told: list[asynclog.Task] = []
    deletions = (tasks.delete(task.id, told=told.append) for _ in range(3))
    found = await asyncio.gather(*deletions, return_exceptions=True)
    assert all(one is None or isinstance(one, NotFoundError) for one in found), found  # gone before it was looked for
    assert [one.id for one in told] == [task.id]
    with pytest.raises(NotFoundError):
        await tasks.delete(task.id, told=told.append)


async def test_a_running_task_is_not_deleted(tasks: TaskManager) -> None:
    """A task that runs is refused with what to do; an unknown one is none."""
    go = asyncio.Event()

    async def plugin(params: object) -> None:
        await go.wait()

    task = await tasks.start(plugin)
    with pytest.raises(ConflictError, match="cancel it first"):
        await tasks.delete(task.id)
    go.set()
    await tasks.wait(task.id)
    await tasks.delete(task.id)
    with pytest.raises(NotFoundError):
        await tasks.delete("nobody")


async def test_many_entries_go_in_chunks_while_others_log(tasks: TaskManager, folder: Path) -> None:
    """A task of many chunks disappears while another logs; the other keeps every entry and is never held up by it."""

    async def large(params: object, context: TaskContext) -> None:
        for number in range(CHUNK * 5):
            context.logger.info("line %d", number)

    stop = asyncio.Event()

    async def other(params: object, context: TaskContext) -> int:
        number = 0
        while not stop.is_set():
            context.logger.info("other %d", number)
            number += 1
            await asyncio.sleep(0)
        return number

    gone = await tasks.run(large)
    running = await tasks.start(other)
    await tasks.delete(gone.id)
    await tasks.sweeper.drained()
    stop.set()
    ended = await tasks.wait(running.id)
    assert rows(folder, gone.id) == {}
    assert ended.counts["INFO"] == ended.result + 2
    assert (await messages(tasks, ended.id, source="plugin"))[-1] == f"other {ended.result - 1}"


async def test_a_removal_costs_others_no_guarantee(tasks: TaskManager) -> None:
    """What is erased does not wait for the disk; what is committed afterwards survives a power cut as before."""

    async def small(params: object, context: TaskContext) -> None:
        context.logger.info("one line")

    synchronous = "PRAGMA synchronous"
    task = await tasks.run(small)
    calls: list[str] = []
    database = tasks.engine._database
    await database.write(lambda connection: connection.set_trace_callback(calls.append))
    await tasks.delete(task.id)
    await tasks.sweeper.drained()
    await database.write(lambda connection: connection.set_trace_callback(None))
    told = [call for call in calls if call.startswith((synchronous, "BEGIN", "DELETE"))]
    first, last = told.index(f"{synchronous} = NORMAL"), told.index(f"{synchronous} = FULL")
    assert [call for call in told if call.startswith("DELETE")] == [
        call for call in told[first:last] if call.startswith("DELETE")
    ], "all of a small task goes at once"
    assert await database.write(lambda connection: connection.execute(synchronous).fetchone()) == (2,)
    with pytest.raises(StoreError):
        await database.write(lambda connection: removal.erase(connection, task.id, "none"))  # type: ignore[arg-type]  # fails
    assert await database.write(lambda connection: connection.execute(synchronous).fetchone()) == (2,)


async def test_a_removal_goes_on_after_a_restart(folder: Path) -> None:
    """A deletion that was not carried out yet is carried out by the next process, and nothing of it shows before."""
    async with asynclog.open(folder) as tasks:
        task = await tasks.run(busy)
    connection = sqlite3.connect(folder / "asynclog.db")
    connection.execute("UPDATE tasks SET deleted_at = 1 WHERE id = ?", (task.id,))
    connection.commit()
    connection.close()
    async with asynclog.open(folder) as tasks:
        with pytest.raises(NotFoundError):
            await tasks.task(task.id)
        async with asyncio.timeout(30):
            while rows(folder, task.id):
                await asyncio.sleep(0.005)


async def test_who_follows_a_deleted_task_is_told(tasks: TaskManager) -> None:
    """A live reader of a task that is deleted gets an end with the reason."""
    task = await tasks.run(busy)
    async with tasks.reader.follow(task.id, NO_FILTER, after=task.last_seq) as subscription:
        await tasks.delete(task.id)
        events = [event async for event in subscription.events()]
    assert isinstance(events[-1], End)
    assert events[-1].reason == "removed"


async def test_who_follows_is_told_of_a_removal_that_comes_late(
    tasks: TaskManager, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deletion that the database takes only later is an error at once, and told, once, when it is carried out."""
    monkeypatch.setattr(sweeper, "STORE_SECONDS", 0.2)
    monkeypatch.setattr(sweeper, "RETRY_SECONDS", 0.2)
    task = await tasks.run(busy)
    gone: list[str] = []
    other = sqlite3.connect(folder / "asynclog.db", isolation_level=None)
    with tasks.engine.hub.listening(lambda _: None, gone.append):
        async with tasks.reader.follow(task.id, NO_FILTER) as subscription:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="as soon as it can"):
                await tasks.delete(task.id)
            assert not gone
            other.execute("ROLLBACK")
            other.close()
            events = [event async for event in subscription.events()]
            assert isinstance(events[-1], End)
        monkeypatch.undo()
        async with asyncio.timeout(30):
            await tasks.sweeper.drained()
    assert gone == [task.id]
    with pytest.raises(NotFoundError):
        await tasks.task(task.id)


async def test_retention_by_age_and_count(folder: Path) -> None:
    """Ended tasks go when too old or beyond the newest of their plugin, running ones never; a dry run only tells."""
    clock = HourClock()
    settings = Settings(file={"retention_days": 10})
    async with asynclog.open(folder, clock=clock, settings=settings, plugins={"a": busy, "b": busy}) as tasks:
        await until(lambda: clock.looked > 0)
        go = asyncio.Event()

        async def waiting(params: object) -> None:
            await go.wait()

        running = await tasks.start(waiting)
        old = await tasks.run("a")
        clock.set_wall(clock.now() + 11 * DAY)
        recent = [await tasks.run("a") for _ in range(3)]
        other = await tasks.run("b")
        await tasks.engine.change_settings({"retention_max_tasks": 2})
        told = await tasks.sweeper.retain(dry_run=True)
        expected = {recent[0].id, old.id}
        assert set(told.task_ids) == expected
        assert (told.dry_run, told.tasks, told.by_plugin) == (True, 2, {"a": 2})
        assert told.entries == old.last_seq + recent[0].last_seq
        done = await tasks.sweeper.retain()
        assert (done.dry_run, set(done.task_ids)) == (False, expected)
        left = {task.id for task in (await tasks.reader.tasks(TaskQuery())).tasks}
        assert left == {running.id, recent[1].id, recent[2].id, other.id}
        again = await tasks.sweeper.retain()
        assert (again.tasks, again.entries) == (0, 0)
        go.set()
        await tasks.wait(running.id)


async def exists(tasks: TaskManager, task_id: str) -> bool:
    try:
        await tasks.task(task_id)
    except NotFoundError:
        return False
    return True


async def test_retention_for_one_plugin(folder: Path) -> None:
    """The retention may be asked for one plugin only; without limits it removes nothing."""
    async with asynclog.open(folder, plugins={"a": busy, "b": busy}) as tasks:
        await tasks.engine.change_settings({"retention_days": 0})
        for name in ("a", "a", "b", "b"):
            await tasks.run(name)
        assert (await tasks.sweeper.retain()).tasks == 0
        await tasks.engine.change_settings({"retention_max_tasks": 1})
        assert (await tasks.sweeper.retain(plugin="b")).by_plugin == {"b": 1}
        assert (await tasks.sweeper.retain(dry_run=True)).by_plugin == {"a": 1}


class HourClock(ManualClock):
    """Goes on by hours, in which nobody wakes."""

    looked = 0
    """How often the retention has been applied."""

    async def hour(self, tasks: TaskManager) -> None:
        """Let an hour pass, and the retention be applied by itself."""
        self._now += 3_600_000_000
        self._monotonic += HOUR_SECONDS
        looked = self.looked
        async with asyncio.timeout(30):
            while self.looked == looked:
                await self.advance(0.1)
                await asyncio.sleep(0.005)
        await tasks.sweeper.drained()

    async def sleep(self, seconds: float) -> None:
        """Return once the clock was advanced that far."""
        self.looked += seconds > HOUR_SECONDS * 0.9
        await super().sleep(seconds)


async def test_retention_happens_by_itself(folder: Path) -> None:
    """Every hour the retention is applied without being asked."""
    clock = HourClock()
    async with asynclog.open(folder, clock=clock) as tasks:
        task = await tasks.run(busy)
        for days in (14, 14, 1):
            clock.set_wall(clock.now() + days * DAY)
            await clock.hour(tasks)
            assert await exists(tasks, task.id)
        clock.set_wall(clock.now() + DAY)
        await clock.hour(tasks)
        assert not await exists(tasks, task.id)


async def test_the_hour_of_the_retention_is_not_put_off(folder: Path) -> None:
    """A deletion shortly before the hour is over does not put the retention off by another hour."""
    clock = ManualClock()
    async with asynclog.open(folder, clock=clock, settings=Settings(file={"retention_days": 1 / 12})) as tasks:
        old, other = await tasks.run(busy), await tasks.run(busy)
        await clock.advance(HOUR_SECONDS * 0.9)
        await tasks.delete(other.id)
        deleted = asyncio.create_task(tasks.sweeper.drained())
        async with asyncio.timeout(30):
            while not deleted.done():
                await clock.advance(1)
                await asyncio.sleep(0.005)
            clock.set_wall(clock.now() + DAY // 12)
            await clock.advance(HOUR_SECONDS * 0.1)
            while await exists(tasks, old.id):
                await clock.advance(0.1)
                await asyncio.sleep(0.005)


async def test_a_clock_that_is_years_ahead_removes_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Retention by age waits for a day when the clock has jumped, over restarts too, and says so; none is lost when
    the clock is set right meanwhile. What is beyond the number of tasks to be kept goes all the same.
    """
    clock = HourClock()
    async with asynclog.open(folder, clock=clock, plugins={"a": busy}) as tasks:
        old = await tasks.run("a")
        await clock.hour(tasks)
        clock.set_wall(clock.now() + 1000 * DAY)
        await clock.hour(tasks)
        assert await exists(tasks, old.id)
        assert ["ahead by 1,000 days" in trouble for trouble in tasks.engine.troubles()] == [True]
        await tasks.run("a")
    clock = HourClock(clock.now())
    async with asynclog.open(folder, clock=clock, plugins={"a": busy}) as tasks:
        await clock.hour(tasks)
        assert await exists(tasks, old.id)
        await tasks.engine.change_settings({"retention_max_tasks": 1})
        await clock.hour(tasks)
        assert not await exists(tasks, old.id)
        clock.set_wall(clock.now() - 1000 * DAY)
        await clock.hour(tasks)
        assert tasks.engine.troubles() == []
    assert sum("ahead by 1,000 days" in record.getMessage() for record in caplog.records) == 2, "once by each process"


async def test_a_clock_that_goes_on_being_ahead_is_believed(folder: Path) -> None:
    """After a day, in which somebody could have set it right, the retention goes by it; by hand it does at once."""
    clock = HourClock()
    async with asynclog.open(folder, clock=clock) as tasks:
        old = await tasks.run(busy)
        await clock.hour(tasks)
    clock = HourClock(clock.now() + 40 * DAY)  # nobody ran it for so long
    async with asynclog.open(folder, clock=clock) as tasks:
        await clock.hour(tasks)
        assert await exists(tasks, old.id)
        assert (await tasks.sweeper.retain(dry_run=True)).task_ids == [old.id]
    clock = HourClock(clock.now() + DAY)
    async with asynclog.open(folder, clock=clock) as tasks:
        await clock.hour(tasks)
        await clock.hour(tasks)
        assert not await exists(tasks, old.id)
        assert tasks.engine.troubles() == []
