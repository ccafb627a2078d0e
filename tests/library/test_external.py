"""External tasks: they live by their lease, their batches are taken once, also over a restart."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

import asynclog
from asynclog import (
    AccessScope,
    ConflictError,
    InvalidError,
    NotFoundError,
    StoreError,
    TaskManager,
    TooLargeError,
)
from asynclog.disk import Disk
from asynclog.engine import FAR_BEHIND, Limits
from asynclog.filters import LogFilter
from asynclog.live import SHOWN
from asynclog.model import Stage
from asynclog.tail import Entries
from asynclog.tasks import changes
from asynclog.tasks.external import EXPIRY_SECONDS
from asynclog.testing import FaultyDisk, ManualClock
from tests.library.reading import entries, messages, steps, until

LEASE = 600.0
"""Seconds, as the documentation promises."""


def body(*lines: object) -> bytes:
    return b"\n".join(msgspec.json.encode(line) for line in lines)


async def ingest(tasks: TaskManager, task_id: str, *lines: object, batch: str | None = None) -> dict[str, Any]:
    """Send lines; the answer."""
    answer: dict[str, Any] = msgspec.json.decode(await tasks.external.ingest(task_id, body(*lines), batch))
    return answer


async def test_an_external_task_is_fed_and_finished(tasks: TaskManager) -> None:
    """Lines become entries with the defaults of the contract, in order; the end is as told."""
    task = tasks.external.start("scrape", params={"a": 1}, account="acme")
    assert (task.external, task.status, task.plugin, task.params) == (True, "running", "external", {"a": 1})
    answer = await ingest(
        tasks,
        task.id,
        {"message": "one"},
        {"message": "two", "level": "warn", "source": "api", "stage": "s", "unit": "u", "metadata": {"n": 1}},
        {"message": "three", "source": "system", "timestamp": "2020-01-01T00:00:00Z"},
    )
    assert answer == {"accepted": 3, "rejected": 0, "filtered": 0, "errors": [], "last_seq": 4}
    shown = [(e.message, e.level.name, e.source, e.stage, e.unit, e.metadata) for e in await entries(tasks, task.id)]
    assert shown[1:] == [
        ("one", "INFO", "plugin", None, None, None),
        ("two", "WARNING", "api", "s", "u", {"n": 1}),
        ("three", "INFO", "plugin", None, None, {"claimed_source": "system"}),
    ]
    ended = await tasks.external.finish(task.id, "failed", result={"rows": 3}, error_message="half of it")
    assert (ended.status, ended.result, ended.error_message) == ("failed", {"rows": 3}, "half of it")
    assert await tasks.wait(task.id) == await tasks.task(task.id)
    with pytest.raises(ConflictError, match="ended"):
        await ingest(tasks, task.id, {"message": "late"})
    with pytest.raises(ConflictError, match="ended"):
        await tasks.external.finish(task.id, "success")


async def test_bad_lines_are_told_one_by_one(tasks: TaskManager) -> None:
    """Only what is no object with a string message, or has a bad level or time, is rejected, by its line number."""
    task = tasks.external.start("scrape")
    lines = [
        b'{"message": "good"}',
        b"",
        b'{"message": 5}',
        b"[1]",
        b'{"message": "x", "level": "loud"}',
        b'{"message": "x", "timestamp": "yesterday"}',
        b"{not json",
        b'{"message": "odd \\ud800", "metadata": {"n": NaN}}',
        b'{"message": "odd names", "source": 5, "stage": ["x"], "unit": {"a": 1}, "metadata": [1], "more": 1}',
        b"\xff\xfe",
    ]
    answer = msgspec.json.decode(await tasks.external.ingest(task.id, b"\n".join(lines)))
    assert (answer["accepted"], answer["rejected"]) == (3, 6)
    assert [error["line"] for error in answer["errors"]] == [3, 4, 5, 6, 7, 10]
    assert await messages(tasks, task.id, source="plugin") == ["good", "odd \\ud800"]
    assert await messages(tasks, task.id, source="5") == ["odd names"]
    many = msgspec.json.decode(await tasks.external.ingest(task.id, b"[]\n" * 250))
    assert (many["rejected"], len(many["errors"])) == (250, 100)


async def test_lines_below_the_threshold_are_counted(tasks: TaskManager) -> None:
    """What is below `task_log_level` is filtered, counted, and takes no seq."""
    await tasks.engine.change_settings({"task_log_level": "WARNING"})
    task = tasks.external.start("scrape")
    answer = await ingest(tasks, task.id, {"message": "a"}, {"message": "b", "level": "ERROR"})
    assert (answer["accepted"], answer["filtered"], answer["last_seq"]) == (1, 1, 1)


async def test_a_batch_is_taken_once(folder: Path) -> None:
    """A repeated batch gets its first answer, at once, twice at a time, after the end and after a restart."""
    async with asynclog.open(folder) as tasks:
        task = tasks.external.start("scrape")
        both = await asyncio.gather(*(ingest(tasks, task.id, {"message": "one"}, batch="b1") for _ in range(5)))
        first = both[0]
        assert all(answer == first for answer in both)
        assert (await ingest(tasks, task.id, {"message": "two"}, batch="b2"))["last_seq"] == 3
        empty = await ingest(tasks, task.id, [], batch="b3")
        assert await ingest(tasks, task.id, {"message": "other"}, batch="b3") == empty
    async with asynclog.open(folder) as tasks:
        assert (await tasks.task(task.id)).status == "running"
        assert await ingest(tasks, task.id, {"message": "one"}, batch="b1") == first
        assert await ingest(tasks, task.id, {"message": "x"}, batch="b3") == empty
        assert (await ingest(tasks, task.id, {"message": "three"}))["last_seq"] == 4
        await tasks.external.finish(task.id, "success")
        assert await ingest(tasks, task.id, {"message": "one"}, batch="b1") == first
    async with asynclog.open(folder) as tasks:
        assert await ingest(tasks, task.id, {"message": "one"}, batch="b1") == first
        assert await messages(tasks, task.id, source="plugin") == ["one", "two", "three"]
        with pytest.raises(ConflictError):
            await ingest(tasks, task.id, {"message": "four"}, batch="b4")


async def test_a_batch_that_comes_again_is_not_refused_for_want_of_a_database(folder: Path) -> None:
    """While the database does not say whether a batch came before the end of its task, nobody says it came too late."""
    async with asynclog.open(folder) as tasks:
        task = tasks.external.start("scrape")
        assert await tasks.engine.settle()
        other = sqlite3.connect(folder / "asynclog.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            first = await ingest(tasks, task.id, {"message": "one"}, batch="b1")
            await tasks.external.finish(task.id, "success")
            with pytest.raises(StoreError, match="later"):
                await ingest(tasks, task.id, {"message": "one"}, batch="b1")
            with pytest.raises(ConflictError, match=r"ended \(success\)"):
                await ingest(tasks, task.id, {"message": "one"})
            with pytest.raises(NotFoundError):
                await ingest(tasks, "nobody", {"message": "one"}, batch="b1")
        finally:
            other.execute("ROLLBACK")
            other.close()
        assert await tasks.engine.settle(30)
        assert await ingest(tasks, task.id, {"message": "one"}, batch="b1") == first


async def test_a_batch_is_acknowledged_once_it_is_safe(folder: Path) -> None:
    """A batch that the journal cannot take is acknowledged when the database has it; with neither it is refused, and
    taken once all the same when it comes again.
    """
    disk = FaultyDisk()
    async with asynclog.open(folder, disk=disk) as tasks:
        task = tasks.external.start("scrape")
        disk.write_error = disk.create_error = errno.EIO
        await ingest(tasks, task.id, {"message": "one"}, batch="b1")
        with closing(sqlite3.connect(folder / "asynclog.db", isolation_level=None)) as other:
            found = "SELECT message FROM task_logs WHERE source = 'plugin' ORDER BY seq"
            assert other.execute(found).fetchall() == [("one",)]
            other.execute("BEGIN IMMEDIATE")
            for _ in range(2):
                with pytest.raises(StoreError):
                    await ingest(tasks, task.id, {"message": "two"}, batch="b2")
            other.execute("ROLLBACK")
            disk.write_error = disk.create_error = None
            assert (await ingest(tasks, task.id, {"message": "two"}, batch="b2"))["accepted"] == 1
            assert other.execute(found).fetchall() == [("one",), ("two",)]


async def test_a_batch_that_nothing_has_room_for_is_refused(folder: Path) -> None:
    """Where journal and memory are full a batch is not said to be taken; it is, once, when it comes again later."""
    disk = FaultyDisk()
    async with asynclog.open(folder, disk=disk, limits=Limits(memory=30_000)) as tasks:
        task = tasks.external.start("scrape")
        assert await tasks.engine.settle()
        disk.write_error = disk.create_error = errno.ENOSPC
        with closing(sqlite3.connect(folder / "asynclog.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="has room"):
                await ingest(tasks, task.id, {"message": "x" * 40_000}, batch="b1")
            other.execute("ROLLBACK")
        disk.write_error = disk.create_error = None
        answer = None
        async with asyncio.timeout(20):
            while answer is None:
                with suppress(StoreError):  # as long as nobody has tried whether the journal can be written again
                    answer = await ingest(tasks, task.id, {"message": "x" * 40_000}, batch="b1")
                await asyncio.sleep(0.05)
        assert answer["accepted"] == 1
        assert await messages(tasks, task.id, search="xxx") == ["x" * 40_000]


async def test_what_is_refused(tasks: TaskManager) -> None:
    """Bodies over 8 MiB, bad batch ids, foreign or unknown tasks, tasks that run here, names that are none."""
    task = tasks.external.start("scrape", account="acme")
    with pytest.raises(TooLargeError):
        await tasks.external.ingest(task.id, b"x" * ((8 << 20) + 1))
    for batch in ("", "b" * 201):
        with pytest.raises(InvalidError, match="batch_id"):
            await tasks.external.ingest(task.id, b"", batch)
    await ingest(tasks, task.id, {"message": "one"}, batch="b1")
    with pytest.raises(NotFoundError):
        await tasks.external.ingest(task.id, b"", "b1", AccessScope(account="other"))
    for task_id, access in ((task.id, AccessScope(account="other")), ("nobody", AccessScope())):
        with pytest.raises(NotFoundError):
            await tasks.external.ingest(task_id, b"{}", None, access)
        with pytest.raises(NotFoundError):
            await tasks.external.finish(task_id, "success", access=access)
    with pytest.raises(InvalidError, match="status"):
        await tasks.external.finish(task.id, "interrupted")
    for name in ("", None):
        with pytest.raises(InvalidError, match="name"):
            tasks.external.start(name)
    own = await tasks.run(lambda: None)
    with pytest.raises(ConflictError, match="external"):
        await ingest(tasks, own.id, {"message": "x"})


async def test_the_lease_is_renewed_and_expires(folder: Path) -> None:
    """Ten minutes of silence interrupt an external task; every post, also of a stage, begins them anew."""
    clock = ManualClock()
    async with asynclog.open(folder, clock=clock) as tasks:
        task = tasks.external.start("scrape")
        for number in range(3):
            await clock.advance(LEASE - 60)
            assert (await tasks.task(task.id)).status == "running"
            await (
                tasks.external.put_stage(task.id, {"name": "s"})
                if number == 1
                else ingest(tasks, task.id, {"message": "here"})
            )
        step = await tasks.external.put_step(task.id, {"node_id": "n"})
        await clock.advance(LEASE + 60)
        live = tasks.engine.hub.get(task.id)
        await until(lambda: live is None or live.ended)
        ended = await tasks.task(task.id)
        assert (ended.status, ended.error_message) == ("interrupted", "it was silent for longer than its lease")
        assert [view.stage and view.stage.status for view in await tasks.reader.stages(task.id)] == ["interrupted"]
        assert (await tasks.reader.step(task.id, step.id)).status == "interrupted"
        with pytest.raises(ConflictError):
            await ingest(tasks, task.id, {"message": "too late"})


async def test_entries_that_wait_keep_no_stage_from_beginning(folder: Path) -> None:
    """While thousands of entries are not stored yet a step begins all the same: it does not depend on them."""
    async with asynclog.open(folder) as tasks:
        task = tasks.external.start("flooded")
        assert await tasks.engine.settle()
        other = sqlite3.connect(folder / "asynclog.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            await ingest(tasks, task.id, *({"message": str(number)} for number in range(2 * FAR_BEHIND)))
            step = await tasks.external.put_step(task.id, {"node_id": "n"})
        finally:
            other.execute("ROLLBACK")
            other.close()
        assert (await tasks.reader.step(task.id, step.id)).node_id == "n"


async def test_parts_are_changed_and_ended_while_the_database_is_locked(folder: Path) -> None:
    """In one backlog a stage and a step begin, change and end; the end of the task ends those that are left."""
    async with asynclog.open(folder) as tasks:
        task = tasks.external.start("flooded")
        assert await tasks.engine.settle()
        external = tasks.external
        other = sqlite3.connect(folder / "asynclog.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            await ingest(tasks, task.id, *({"message": str(number)} for number in range(2 * FAR_BEHIND)))
            stage = await external.put_stage(task.id, {"name": "s"})
            await external.put_stage(task.id, {"id": stage.id, "processed": 5})
            await external.put_stage(task.id, {"id": stage.id, "status": "success"})
            second = await external.put_stage(task.id, {"name": "t"})
            step = await external.put_step(task.id, {"node_id": "n", "input_data": [1]})
            await external.put_step(task.id, {"id": step.id, "status": "success", "output_data": [2]})
            left = await external.put_step(task.id, {"node_id": "m"})
            with pytest.raises(NotFoundError):
                await external.put_step(task.id, {"id": stage.id, "status": "success"})
            await external.finish(task.id, "success")
        finally:
            other.execute("ROLLBACK")
            other.close()
        shown = [(view.stage.number, view.stage) for view in await tasks.reader.stages(task.id) if view.stage]
        assert [(number, stage.status, stage.processed) for number, stage in shown] == [
            (1, "success", 5),
            (2, "interrupted", None),
        ]
        assert shown[1][1].id == second.id
        kept = [await tasks.reader.step(task.id, step.id), await tasks.reader.step(task.id, left.id)]
        assert [(one.step_index, one.status) for one in kept] == [(0, "success"), (1, "interrupted")]
        assert (kept[0].input_json, kept[0].output_json) == ("[1]", "[2]")


async def test_parts_that_wait_for_the_store_are_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When too many changes wait for the database the next one is refused, and taken once it answers again."""
    monkeypatch.setattr(changes, "KEPT", 3)
    async with asynclog.open(folder) as tasks:
        task = tasks.external.start("busy")
        assert await tasks.engine.settle()
        other = sqlite3.connect(folder / "asynclog.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            begun = [await tasks.external.put_step(task.id, {"node_id": str(number)}) for number in range(3)]
            with pytest.raises(StoreError, match="later"):
                await tasks.external.put_step(task.id, {"node_id": "one more"})
        finally:
            other.execute("ROLLBACK")
            other.close()
        assert await tasks.engine.settle(30)
        begun.append(await tasks.external.put_step(task.id, {"node_id": "one more"}))
        assert [step.step_index for step in begun] == [0, 1, 2, 3]


class SetClock(ManualClock):
    """A wall clock that somebody sets."""

    def set(self, seconds: float) -> None:
        """Set it forward, or back."""
        self._now += round(seconds * 1_000_000)


@pytest.mark.parametrize("hours", [1, -24])
async def test_a_clock_that_is_set_ends_no_task_and_keeps_none(folder: Path, hours: int) -> None:
    """When the wall clock jumps, or the machine slept, external tasks have ten minutes from then on."""
    clock = SetClock()
    async with asynclog.open(folder, clock=clock) as tasks:
        task = tasks.external.start("scrape")
        await clock.advance(60)
        clock.set(hours * 3600)
        await clock.advance(LEASE - 60)
        assert (await tasks.task(task.id)).status == "running"
        await ingest(tasks, task.id, {"message": "here"})
        await clock.advance(LEASE - 60)
        assert (await tasks.task(task.id)).status == "running"
        live = tasks.engine.hub.get(task.id)
        assert live is not None
        await clock.advance(120)
        await until(lambda: live.ended)
        assert (await tasks.task(task.id)).status == "interrupted"


async def test_a_restart_leaves_it_running_and_its_lease_too(folder: Path) -> None:
    """A restart does not end an external task; a lease that ran out meanwhile does."""
    clock = ManualClock()
    async with asynclog.open(folder, clock=clock) as tasks:
        task = tasks.external.start("scrape")
        await ingest(tasks, task.id, {"message": "one"})
        begun = [await tasks.external.put_step(task.id, {"node_id": "n"}) for _ in range(2)]
    clock = ManualClock(clock.now() + 60_000_000)
    async with asynclog.open(folder, clock=clock) as tasks:
        assert (await tasks.task(task.id)).status == "running"
        await ingest(tasks, task.id, {"message": "two"})
        assert [entry.seq for entry in await entries(tasks, task.id)] == [1, 2, 3]
        await tasks.external.put_step(task.id, {"id": begun[0].id, "status": "success"})
        begun.append(await tasks.external.put_step(task.id, {"node_id": "n"}))
        found = [(step.step_index, step.status) for step in await steps(tasks, task.id)]
        assert found == [(0, "success"), (1, "running"), (2, "running")]
    clock = ManualClock(clock.now() + 3600_000_000)
    async with asynclog.open(folder, clock=clock) as tasks:
        assert (await tasks.task(task.id)).status == "running"
        live = tasks.engine.hub.get(task.id)
        assert live is not None
        async with asyncio.timeout(30):
            while not live.ended:  # the keeper of the leases looks every five seconds
                await clock.advance(6)
                await asyncio.sleep(0.005)
        assert (await tasks.task(task.id)).status == "interrupted"


async def test_cancelling_ends_it_at_once(tasks: TaskManager) -> None:
    """Cancelling an external task ends it; what it had begun is interrupted."""
    task = tasks.external.start("scrape")
    stage = await tasks.external.put_stage(task.id, {"name": "s", "pending": 5})
    assert (await tasks.cancel(task.id)).status == "cancelled"
    (view,) = await tasks.reader.stages(task.id)
    assert view.stage is not None
    assert (view.stage.id, view.stage.status) == (stage.id, "interrupted")


async def test_two_ends_at_once_are_one(tasks: TaskManager) -> None:
    """Of two who finish a task at once one succeeds; the log has one end."""
    task = tasks.external.start("scrape")
    both = await asyncio.gather(
        tasks.external.finish(task.id, "success"), tasks.external.finish(task.id, "failed"), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in both) == ["ConflictError", "Task"]
    assert len(await entries(tasks, task.id)) == 2


async def test_the_lease_and_the_client_end_it_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that ends a task while the keeper of the leases is about to is told how it has ended, for good."""
    clock = KeepersClock()
    async with asynclog.open(folder, clock=clock) as tasks:
        task = tasks.external.start("scrape")
        store = tasks.engine.store
        stages = store.stages
        ending: list[asyncio.Task[asynclog.Task]] = []

        async def stages_late(task_id: str, access: AccessScope) -> list[Stage]:
            """While the keeper reads the store the client comes, and has time enough to come first."""
            monkeypatch.setattr(store, "stages", stages)
            ending.append(asyncio.create_task(tasks.external.finish(task.id, "success")))
            await asyncio.wait(ending, timeout=0.5)
            return await stages(task_id, access)

        await clock.advance(LEASE - 3)
        assert await tasks.engine.settle()
        monkeypatch.setattr(store, "stages", stages_late)
        rounds = clock.rounds
        await clock.advance(6)
        await until(lambda: clock.rounds > rounds)  # the keeper has done its work
        [told] = await asyncio.gather(*ending, return_exceptions=True)
        assert await tasks.engine.settle()
        status = (await tasks.task(task.id)).status
        assert status == (told.status if isinstance(told, asynclog.Task) else "interrupted")
        assert len(await entries(tasks, task.id)) == 2


class KeepersClock(ManualClock):
    """Knows how often the keeper of the leases has slept."""

    rounds = 0

    async def sleep(self, seconds: float) -> None:
        """Return once the clock was advanced that far."""
        self.rounds += seconds == EXPIRY_SECONDS
        await super().sleep(seconds)


async def test_an_end_that_nobody_waits_for_is_an_end(folder: Path) -> None:
    """A call that ends a task and is cancelled while the disk confirms it leaves a task that has ended."""
    disk = HeldDisk()
    async with asynclog.open(folder, disk=disk) as tasks:
        task = tasks.external.start("scrape")
        disk.free.clear()
        cancelling = asyncio.create_task(tasks.cancel(task.id))
        await until(lambda: disk.waiting)
        cancelling.cancel()
        await asyncio.sleep(0)
        disk.free.set()
        with pytest.raises(asyncio.CancelledError):
            await cancelling
        assert (await tasks.wait(task.id)).status == "cancelled"
        assert tasks.engine.hub.get(task.id) is None


async def test_nothing_is_kept_of_batches_for_what_takes_none(tasks: TaskManager) -> None:
    """Batches that are sent to tasks that run here, or have ended and are watched, leave nothing behind."""
    gate = asyncio.Event()

    async def plugin(_params: object) -> None:
        await gate.wait()

    here = await tasks.start(plugin)
    ended = tasks.external.start("scrape")
    async with tasks.reader.follow(ended.id, LogFilter()):
        await tasks.external.finish(ended.id, "success")
        for task in (here, ended):
            with pytest.raises(ConflictError):
                await ingest(tasks, task.id, {"message": "no"}, batch="b")
        assert not tasks.external._answers  # nobody else knows what is kept
    gate.set()


class HeldDisk(Disk):
    """Confirms nothing while it is held."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()
        self.waiting = False

    def sync(self, fd: int) -> None:
        """Sync a file, later."""
        self.waiting = not self.free.is_set()
        self.free.wait(30)
        super().sync(fd)


async def test_stages_and_steps_come_by_id(tasks: TaskManager) -> None:
    """A stage or step is begun without an id, and changed and ended with it; an unknown id is none."""
    task = tasks.external.start("scrape")
    stage = await tasks.external.put_stage(task.id, {"name": "extract", "pending": 10})
    await tasks.external.put_stage(task.id, {"id": stage.id, "processed": 4})
    await tasks.external.put_stage(
        task.id, {"id": stage.id, "status": "success", "result": {"ok": 1}, "credits_used": 2}
    )
    other = await tasks.external.put_stage(task.id, {"name": "load"})
    step = await tasks.external.put_step(task.id, {"node_id": "fetch", "input_data": {"u": 1}, "stage": "extract"})
    inner = await tasks.external.put_step(task.id, {"node_name": "Inner", "parent_id": step.id})
    await tasks.external.put_step(
        task.id, {"id": step.id, "status": "error", "error_message": "boom", "output_data": [1]}
    )
    for call in (tasks.external.put_stage, tasks.external.put_step):
        with pytest.raises(NotFoundError):
            await call(task.id, {"id": "nobody"})
        with pytest.raises(InvalidError):
            await call(task.id, {})
    await tasks.external.finish(task.id, "success")
    views = [view.stage for view in await tasks.reader.stages(task.id) if view.stage]
    assert [(s.number, s.name, s.status, s.processed, s.credits_used) for s in views] == [
        (1, "extract", "success", 4, 2),
        (2, "load", "interrupted", None, None),
    ]
    assert views[1].id == other.id
    fetch, nested = await steps(tasks, task.id)
    assert (fetch.status, fetch.error_message, fetch.input_json, fetch.output_json) == (
        "error",
        "boom",
        '{"u":1}',
        "[1]",
    )
    assert (nested.id, nested.parent_id, nested.status, nested.step_index) == (inner.id, step.id, "interrupted", 1)


async def test_a_stage_may_have_any_number(tasks: TaskManager) -> None:
    """A new stage has the number that is given, 0 too, and without one the next."""
    task = tasks.external.start("scrape")
    numbers = [
        (await tasks.external.put_stage(task.id, {"name": "s", **given})).number
        for given in ({"number": 0}, {}, {"number": 7}, {})
    ]
    assert numbers == [0, 1, 7, 8]


async def test_stages_and_steps_sent_at_once_keep_every_change(tasks: TaskManager) -> None:
    """Each new one gets a number of its own, and of several changes none undoes another."""
    task = tasks.external.start("scrape")
    put_stage, put_step = tasks.external.put_stage, tasks.external.put_step
    stages = await asyncio.gather(*(put_stage(task.id, {"name": f"stage {n}"}) for n in range(5)))
    begun = await asyncio.gather(*(put_step(task.id, {"node_id": f"step {n}"}) for n in range(5)))
    assert [stage.number for stage in stages] == [1, 2, 3, 4, 5]
    assert [step.step_index for step in begun] == [0, 1, 2, 3, 4]
    await asyncio.gather(
        put_stage(task.id, {"id": stages[0].id, "processed": 4}),
        put_stage(task.id, {"id": stages[0].id, "status": "success"}),
        put_step(task.id, {"id": begun[0].id, "output_data": {"rows": 1}}),
        put_step(task.id, {"id": begun[0].id, "status": "success"}),
        tasks.external.finish(task.id, "success"),
    )
    stage = next(view.stage for view in await tasks.reader.stages(task.id) if view.stage and view.stage.number == 1)
    assert (stage.status, stage.processed) == ("success", 4)
    found = await steps(tasks, task.id)
    assert (found[0].status, found[0].output_json) == ("success", '{"rows":1}')
    assert {step.status for step in found[1:]} == {"interrupted"}


async def test_a_stage_or_step_may_run_again(tasks: TaskManager) -> None:
    """What runs again has no end, until it ends again."""
    task = tasks.external.start("scrape")
    stage = await tasks.external.put_stage(task.id, {"name": "extract", "status": "success"})
    step = await tasks.external.put_step(task.id, {"node_id": "fetch", "status": "error"})
    assert stage.finished_at
    assert step.finished_at
    await tasks.external.put_stage(task.id, {"id": stage.id, "status": "running"})
    await tasks.external.put_step(task.id, {"id": step.id, "status": "running"})
    view, (again,) = (await tasks.reader.stages(task.id))[0].stage, await steps(tasks, task.id)
    assert view is not None
    assert (view.status, view.finished_at, again.status, again.finished_at) == ("running", None, "running", None)


async def test_a_reader_follows_a_large_batch(tasks: TaskManager) -> None:
    """Whoever follows a task gets each line of a batch that is larger than what its tail takes, in order."""
    task = tasks.external.start("scrape")
    before = (await tasks.task(task.id)).last_seq
    count = 2 * SHOWN
    seqs: list[int] = []
    async with tasks.reader.follow(task.id, LogFilter(), after=before) as subscription:

        async def follow() -> None:
            async for event in subscription.events():
                if isinstance(event, Entries):
                    seqs.extend(msgspec.json.decode(line)["seq"] for line in event.lines)
                if len(seqs) == count + 3:
                    return

        following = asyncio.create_task(follow())
        await ingest(tasks, task.id, {"message": "a small one"})
        answer = msgspec.json.decode(await tasks.external.ingest(task.id, b'{"message":"m"}\n' * count))
        assert answer["accepted"] == count
        await ingest(tasks, task.id, {"message": "one"}, {"message": "two"})
        async with asyncio.timeout(60):
            await following
    assert seqs == list(range(before + 1, before + count + 4))
