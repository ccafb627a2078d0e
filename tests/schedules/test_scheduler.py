"""Schedules that fire: on time, once, after restarts, missed hours, overlaps and jumps of the clock."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import asynclog
from asynclog import (
    AccessScope,
    ConflictError,
    InvalidError,
    NotFoundError,
    Schedule,
    Task,
    TaskContext,
    TaskManager,
    TaskQuery,
)
from asynclog.testing import ManualClock

DEADLINE = 20.0
HOUR = 3600.0
NOON = 1_770_465_600_000_000


class World:
    """A plugin whose end can be held back, and the data directory it is scheduled in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock(NOON)
        self.gate = asyncio.Event()
        self.gate.set()

    async def plugin(self, params: dict[str, Any], context: TaskContext) -> Any:
        """Logs what started it and waits for the gate."""
        context.logger.info("fired for %s", context.trigger_data["scheduled_at"])
        await self.gate.wait()
        return params

    @asynccontextmanager
    async def open(self) -> AsyncIterator[TaskManager]:
        """The data directory, as a new process would have it."""
        async with asynclog.open(self.folder, plugins={"job": self.plugin}, clock=self.clock) as tasks:
            yield tasks

    async def pass_by(self, tasks: TaskManager, seconds: float, step: float = 60.0) -> None:
        """Let time pass, and what is due in it happen."""
        while seconds > 0:
            # The second before the end of a step is lived through; the rest is no time for the machine to wait.
            passing = min(step, seconds)
            self.clock.set_wall(self.clock.now() + round((passing - 1) * 1_000_000))
            await self.clock.advance(1)
            seconds -= step
            await self.quiet(tasks)

    async def quiet(self, tasks: TaskManager) -> None:
        """Let what is due begin, and end if the gate is open."""
        now = self.clock.now()

        def begun() -> bool:
            return all(schedule.next_at is None or schedule.next_at > now for schedule in tasks.scheduler.all())

        for _ in range(int(DEADLINE)):
            if await within(begun, 1):
                break
            await self.clock.advance(1)  # the scheduler was at work when the second passed, and looks at the next one
        assert begun()
        if self.gate.is_set():
            await until(lambda: not tasks._runs)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    assert await within(condition, DEADLINE)


async def within(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition comes true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.002)
    return True


async def fired(tasks: TaskManager, schedule: Schedule) -> list[Task]:
    """The schedule's tasks, oldest first."""
    query = TaskQuery(schedule=schedule.id, limit=500, descending=False)
    return (await tasks.reader.tasks(query)).tasks


async def times(tasks: TaskManager, schedule: Schedule) -> list[str]:
    """The due times its tasks were started for."""
    return [task.trigger_data["scheduled_at"][:16] for task in await fired(tasks, schedule)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """At noon."""
    return World(tmp_path / "data")


async def test_each_firing_is_a_task(world: World) -> None:
    """A schedule starts its plugin at each due time, as a task with its trigger, account, parameters and entries."""
    async with world.open() as tasks:
        given = {
            "plugin": "job",
            "interval": 600,
            "params": {"password": "p4ss", "n": 1},
            "account": "acme",
            "name": "x",
        }
        schedule = await tasks.scheduler.create(given)
        await world.pass_by(tasks, 1850)
        found = await fired(tasks, schedule)
        assert await times(tasks, schedule) == ["2026-02-07T12:10", "2026-02-07T12:20", "2026-02-07T12:30"]
        assert {(task.trigger_type, task.account, task.name, task.status) for task in found} == {
            ("schedule", "acme", "x", "success")
        }
        assert found[0].run_id == "run_20260207_121000_schedule"
        page = await tasks.logs(found[0].id, source=["plugin"])
        assert [entry.message for entry in page.entries] == ["fired for 2026-02-07T12:10:00.000000Z"]
        assert schedule.params["password"] == "p4ss"
        assert tasks.scheduler.fired == 3
        now = tasks.scheduler.get(schedule.id)
        assert (now.last_task_id, now.skipped, now.last_error) == (found[-1].id, 0, None)


async def test_a_schedule_survives_a_restart(world: World) -> None:
    """A schedule goes on after a restart where it was, its due times counted from its creation as before."""
    async with world.open() as tasks:
        schedule = await tasks.scheduler.create({"plugin": "job", "interval": 600})
        await world.pass_by(tasks, 700)
    async with world.open() as tasks:
        assert tasks.scheduler.get(schedule.id).next_at == NOON + 1200 * 1_000_000
        await world.pass_by(tasks, 700)
        assert await times(tasks, schedule) == ["2026-02-07T12:10", "2026-02-07T12:20"]


async def test_missed_hours_make_one_run(world: World) -> None:
    """Due times that passed while nothing ran are made up for by one run, which says how many there were."""
    async with world.open() as tasks:
        schedule = await tasks.scheduler.create({"plugin": "job", "cron": "0 * * * *"})
        await world.pass_by(tasks, HOUR + 60)
    await world.clock.advance(5.5 * HOUR)
    async with world.open() as tasks:
        await until(lambda: tasks.scheduler.fired == 1)
        await world.pass_by(tasks, HOUR)
        assert await times(tasks, schedule) == ["2026-02-07T13:00", "2026-02-07T18:00", "2026-02-07T19:00"]
        assert [task.trigger_data["missed"] for task in await fired(tasks, schedule)] == [0, 5, 0]


async def test_missed_hours_can_be_let_go(world: World) -> None:
    """With missed: skip, nothing makes up for them; they are counted."""
    async with world.open() as tasks:
        schedule = await tasks.scheduler.create({"plugin": "job", "cron": "0 * * * *", "missed": "skip"})
    await world.clock.advance(5.5 * HOUR)
    async with world.open() as tasks:
        await world.pass_by(tasks, HOUR)
        assert await times(tasks, schedule) == ["2026-02-07T18:00"]
        assert tasks.scheduler.get(schedule.id).skipped == 5


async def test_no_two_at_once(world: World) -> None:
    """While the last task runs, due times are skipped and counted; a run by hand is refused."""
    async with world.open() as tasks:
        schedule = await tasks.scheduler.create({"plugin": "job", "interval": 60})
        world.gate.clear()
        await world.pass_by(tasks, 200)
        assert len(await fired(tasks, schedule)) == 1
        assert tasks.scheduler.get(schedule.id).skipped == 2
        assert schedule.id in tasks.scheduler.running()
        with pytest.raises(ConflictError, match="still runs"):
            await tasks.scheduler.run_now(schedule.id)
        world.gate.set()
        await world.quiet(tasks)
        await world.pass_by(tasks, 60)
        assert await times(tasks, schedule) == ["2026-02-07T12:01", "2026-02-07T12:04"]


async def test_a_clock_that_goes_back_a_little(world: World) -> None:
    """When the clock is set back by less than an hour, no due time comes twice."""
    async with world.open() as tasks:
        schedule = await tasks.scheduler.create({"plugin": "job", "cron": "*/10 * * * *"})
        await world.pass_by(tasks, 1210)
        world.clock.set_wall(NOON + 300 * 1_000_000)
        await world.pass_by(tasks, 1600)
        assert [text[-5:] for text in await times(tasks, schedule)] == ["12:10", "12:20", "12:30"]


async def test_a_clock_that_was_wrong_by_years(world: World) -> None:
    """A schedule that fired at a time years ahead is planned anew when the clock is right again."""
    async with world.open() as tasks:
        schedule = await tasks.scheduler.create({"plugin": "job", "cron": "0 * * * *"})
        world.clock.set_wall(NOON + 10**15)
        await world.pass_by(tasks, 60)
        world.clock.set_wall(NOON + 60 * 1_000_000)
        await world.pass_by(tasks, 2 * HOUR)
        assert [text[:13] for text in await times(tasks, schedule)][1:] == ["2026-02-07T13", "2026-02-07T14"]


async def test_what_was_changed_while_the_clock_was_wrong(world: World) -> None:
    """A schedule that was changed at a time years ahead, having fired before, does not wait for that time to come."""
    async with world.open() as tasks:
        schedule = await tasks.scheduler.create({"plugin": "job", "cron": "0 * * * *"})
        await world.pass_by(tasks, HOUR)
        world.clock.set_wall(NOON + 10**15)
        await tasks.scheduler.change(schedule.id, {"cron": "30 * * * *"})
        world.clock.set_wall(NOON + round(HOUR + 60) * 1_000_000)
        await world.pass_by(tasks, HOUR)
        assert await times(tasks, schedule) == ["2026-02-07T13:00", "2026-02-07T13:30"]


async def test_a_clock_that_jumps_ahead(world: World) -> None:
    """What a jump of the clock passes over counts as missed."""
    async with world.open() as tasks:
        schedule = await tasks.scheduler.create({"plugin": "job", "cron": "0 * * * *"})
        world.clock.set_wall(NOON + round(3.5 * HOUR) * 1_000_000)
        await world.pass_by(tasks, HOUR)
        assert await times(tasks, schedule) == ["2026-02-07T15:00", "2026-02-07T16:00"]


@pytest.mark.parametrize(
    ("night", "wanted"),
    [
        ("2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T00:30"]),
        ("2026-10-24T12:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),
    ],
)
async def test_the_nights_when_clocks_change(world: World, night: str, wanted: list[str]) -> None:
    """Daily at half past two fires once in the night without it and once in the night with two of it."""
    start = datetime.fromisoformat(night).replace(tzinfo=UTC)
    world.clock.set_wall((start - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))
    async with world.open() as tasks:
        given = {"plugin": "job", "cron": "30 2 * * *", "time_zone": "Europe/Berlin"}
        schedule = await tasks.scheduler.create(given)
        await world.pass_by(tasks, 39 * HOUR, step=900)
        assert await times(tasks, schedule) == wanted


async def test_pause_resume_change_remove(world: World) -> None:
    """A paused schedule fires nothing and misses nothing; changes count from now; a removed one leaves its tasks."""
    async with world.open() as tasks:
        scheduler = tasks.scheduler
        schedule = await scheduler.create({"plugin": "job", "interval": 60, "account": "acme"})
        assert (await scheduler.change(schedule.id, {"paused": True})).next_at is None
        await world.pass_by(tasks, HOUR, step=HOUR)
        task = await scheduler.run_now(schedule.id)
        assert (task.trigger_type, task.schedule_id) == ("schedule", schedule.id)
        await world.quiet(tasks)
        resumed = await scheduler.change(schedule.id, {"paused": False, "cron": "30 * * * *", "params": {"a": 1}})
        assert (resumed.interval, resumed.cron) == (None, "30 * * * *")
        assert resumed.next_at == NOON + round(1.5 * HOUR) * 1_000_000
        await world.pass_by(tasks, HOUR, step=600)
        assert (await fired(tasks, schedule))[-1].result == {"a": 1}
        other = AccessScope(account="other")
        assert scheduler.all(other) == []
        for refused in (scheduler.remove(schedule.id, other), scheduler.change(schedule.id, {}, other)):
            with pytest.raises(NotFoundError):
                await refused
        await scheduler.remove(schedule.id)
        await world.pass_by(tasks, HOUR, step=600)
        assert len(await fired(tasks, schedule)) == 2
    async with world.open() as tasks:
        assert tasks.scheduler.all() == []


@pytest.mark.parametrize(
    ("given", "parameter"),
    [
        ({"plugin": "nobody", "interval": 60}, "plugin"),
        ({"plugin": "job"}, "cron"),
        ({"plugin": "job", "interval": 60, "cron": "* * * * *"}, "cron"),
        ({"plugin": "job", "cron": "* * * * *", "time_zone": "Mars"}, "time_zone"),
        ({"plugin": "job", "interval": float("inf")}, "interval"),
        ({"plugin": "job", "interval": float("nan")}, "interval"),
        ({"plugin": "job", "interval": 60, "params": {"a": "\ud800"}}, "params"),
        ({"plugin": "job", "interval": 60, "params": {"a": object()}}, "params"),
    ],
)
async def test_what_cannot_be_scheduled(world: World, given: dict[str, Any], parameter: str) -> None:
    """A schedule that could not fire is refused, naming the field, and not kept."""
    async with world.open() as tasks:
        with pytest.raises(InvalidError) as refused:
            await tasks.scheduler.create(given)
        assert refused.value.parameter == parameter
        assert tasks.scheduler.all() == []


async def test_a_time_zone_that_is_gone(world: World) -> None:
    """A schedule whose time zone the machine has lost says so and waits; the others fire, and a change mends it."""
    async with world.open() as tasks:
        lost = await tasks.scheduler.create({"plugin": "job", "cron": "0 * * * *", "time_zone": "Europe/Berlin"})
        other = await tasks.scheduler.create({"plugin": "job", "cron": "0 * * * *"})
    with closing(sqlite3.connect(world.folder / "asynclog.db", isolation_level=None)) as database:
        database.execute("UPDATE schedules SET time_zone = 'US/Gone' WHERE id = ?", (lost.id,))
    async with world.open() as tasks:
        world.clock.set_wall(NOON + round(HOUR) * 1_000_000)
        await world.clock.advance(1)
        await until(lambda: tasks.scheduler.get(other.id).last_task_id is not None)
        await until(lambda: "no time zone 'US/Gone'" in (tasks.scheduler.get(lost.id).last_error or ""))
        assert await times(tasks, lost) == []
        await tasks.scheduler.change(lost.id, {"time_zone": "UTC"})
        await world.pass_by(tasks, HOUR)
        assert await times(tasks, lost) == ["2026-02-07T14:00"]
        assert tasks.scheduler.get(lost.id).last_error is None


async def test_a_plugin_that_is_gone(world: World) -> None:
    """When the plugin is not there any more, the schedule says so at its due time and goes on."""
    async with world.open() as tasks:
        schedule = await tasks.scheduler.create({"plugin": "job", "interval": 600})
    async with asynclog.open(world.folder, clock=world.clock) as tasks:
        await world.pass_by(tasks, 700)
        now = tasks.scheduler.get(schedule.id)
        assert now.last_error is not None
        assert "job" in now.last_error
        assert now.next_at == NOON + 1200 * 1_000_000
    async with world.open() as tasks:
        await world.pass_by(tasks, 600)
        assert tasks.scheduler.get(schedule.id).last_error is None
        assert await times(tasks, schedule) == ["2026-02-07T12:20"]


async def test_a_database_that_cannot_be_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the database is locked a schedule fires all the same, and what it came to is kept when that is possible."""
    async with world.open() as tasks:
        schedule = await tasks.scheduler.create({"plugin": "job", "interval": 600})

        async def refuse(_schedule: Schedule) -> None:
            raise asynclog.StoreError("injected")

        monkeypatch.setattr(tasks.engine.store, "put_schedule", refuse)
        await world.pass_by(tasks, 1300)
        assert len(await fired(tasks, schedule)) == 2
        assert any("schedule" in trouble for trouble in tasks.engine.troubles())
        monkeypatch.undo()
        await world.clock.advance(6)
        await until(lambda: not tasks.engine.troubles())
    async with world.open() as tasks:
        assert tasks.scheduler.get(schedule.id).last_at == NOON + 1200 * 1_000_000


async def test_what_is_still_to_be_written_down_is_no_trouble(world: World) -> None:
    """That a schedule has just fired, or was run by hand, is no sign of a database that cannot be written."""
    async with world.open() as tasks:
        schedule = await tasks.scheduler.create({"plugin": "job", "interval": 600})
        await tasks.scheduler.run_now(schedule.id)
        assert tasks.engine.troubles() == []


async def test_a_run_by_hand_is_not_forgotten_by_a_change(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A schedule that is run while a change of it is being written down keeps both."""
    async with world.open() as tasks:
        schedule = await tasks.scheduler.create({"plugin": "job", "interval": 600})
        put = tasks.engine.store.put_schedule
        running: list[asyncio.Task[Task]] = []

        async def put_slowly(changed: Schedule) -> None:
            monkeypatch.undo()
            running.append(asyncio.create_task(tasks.scheduler.run_now(schedule.id)))
            await asyncio.wait(running, timeout=0.2)
            await put(changed)

        monkeypatch.setattr(tasks.engine.store, "put_schedule", put_slowly)
        await tasks.scheduler.change(schedule.id, {"name": "other"})
        task = await running[0]
        now = tasks.scheduler.get(schedule.id)
        assert (now.name, now.last_task_id) == ("other", task.id)


async def test_who_may_run_a_schedule_is_asked_of_it_as_it_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run by hand that waits for a change is permitted, or not, by what the schedule has become."""
    async with world.open() as tasks:
        schedule = await tasks.scheduler.create({"plugin": "job", "interval": 600})
        put = tasks.engine.store.put_schedule
        running: list[asyncio.Task[Task]] = []

        def permit(now: Schedule) -> None:
            if now.name == "other":
                raise asynclog.ForbiddenError("not this one")

        async def put_slowly(changed: Schedule) -> None:
            monkeypatch.undo()
            running.append(asyncio.create_task(tasks.scheduler.run_now(schedule.id, permit=permit)))
            await asyncio.wait(running, timeout=0.2)
            await put(changed)

        monkeypatch.setattr(tasks.engine.store, "put_schedule", put_slowly)
        await tasks.scheduler.change(schedule.id, {"name": "other"})
        with pytest.raises(asynclog.ForbiddenError):
            await running[0]


async def test_a_database_that_is_lost(world: World) -> None:
    """Schedules outlive the database: when it is removed while they count, the new one has them."""
    async with world.open() as tasks:
        schedule = await tasks.scheduler.create({"plugin": "job", "interval": 600})
        for ending in ("", "-wal", "-shm"):
            (world.folder / f"asynclog.db{ending}").unlink(missing_ok=True)
        tasks.external.start("something to be stored")
        assert await tasks.engine.settle()
        async with asyncio.timeout(DEADLINE):
            while not await tasks.engine.store.schedules():
                await world.clock.advance(1)
                await asyncio.sleep(0.005)
    async with world.open() as tasks:
        assert tasks.scheduler.get(schedule.id) == schedule


async def test_what_was_started_but_not_written_down(world: World) -> None:
    """A process that dies between starting a task and writing that down: the due time does not come again."""
    async with world.open() as tasks:
        schedule = await tasks.scheduler.create({"plugin": "job", "interval": 600})
        await world.pass_by(tasks, 700)
        await tasks.engine.store.put_schedule(schedule)  # as it was before
        tasks.scheduler._dirty.clear()
    async with world.open() as tasks:
        await world.pass_by(tasks, 60)
        assert await times(tasks, schedule) == ["2026-02-07T12:10"]
        assert tasks.scheduler.get(schedule.id).next_at == NOON + 1200 * 1_000_000


async def test_kill_minus_nine(tmp_path: Path) -> None:
    """Real processes that are killed again and again start no due time twice."""
    folder = tmp_path / "data"
    for _ in range(2):
        program = [sys.executable, str(Path(__file__).with_name("program.py")), str(folder)]
        child = subprocess.Popen(program, stdout=subprocess.PIPE)
        try:
            assert child.stdout is not None
            for _ in range(2):
                assert await asyncio.to_thread(child.stdout.readline)
        finally:
            child.send_signal(signal.SIGKILL)
            child.communicate()
    async with asynclog.open(folder, run_schedules=False) as tasks:
        [schedule] = tasks.scheduler.all()
        found = [task.trigger_data["scheduled_at"] for task in await fired(tasks, schedule)]
        assert len(found) >= 4
        assert len(set(found)) == len(found)


async def test_a_process_that_soon_ends_fires_nothing(world: World) -> None:
    """Without run_schedules a due time is left to the next process."""
    async with world.open() as tasks:
        schedule = await tasks.scheduler.create({"plugin": "job", "interval": 600})
    await world.clock.advance(700)
    async with asynclog.open(
        world.folder, plugins={"job": world.plugin}, clock=world.clock, run_schedules=False
    ) as tasks:
        await world.clock.advance(10)
        assert await fired(tasks, schedule) == []
    async with world.open() as tasks:
        await until(lambda: tasks.scheduler.fired == 1)
