"""The database is locked, full, gone, replaced or damaged: entries wait in the journal, and the service says so."""

import asyncio
import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import asynclog
from asynclog import StoreError, TaskQuery
from asynclog.engine import FAR_BEHIND, Limits
from asynclog.filters import NO_FILTER, LogFilter
from asynclog.settings import Settings
from asynclog.store.schema import VERSION
from asynclog.tasks import reader
from tests.adversity.witness import SETTINGS, accounted, finished, held, numbering, numbers, until


async def test_locked_by_another_process(tmp_path: Path) -> None:
    """While another process holds the database, log calls go on and nothing is lost.

    Kept: every entry, in the journal. Said: the database is locked (degraded), a page says it is incomplete.
    """
    async with numbering(tmp_path) as (tasks, plugin, task_id):
        plugin.log(10)
        assert await tasks.engine.settle(10)
        with held(tmp_path / "asynclog.db") as release:
            plugin.log(3000)
            await until(lambda: tasks.engine.degraded, "it is noticed")
            assert any("locked" in trouble for trouble in tasks.engine.troubles())
            page = await tasks.logs(task_id, limit=5000)
            assert not page.complete
            assert len(page.lines) == 11
            plugin.log(10)
            release()
        await finished(tasks, plugin, task_id)
        assert not tasks.engine.degraded
        assert tasks.engine.troubles() == []
    assert numbers(tmp_path, task_id) == list(range(1, 3021))
    accounted(tmp_path, task_id)


async def test_what_is_stored_is_read_while_the_database_is_locked(tmp_path: Path) -> None:
    """A page that has no place for what waits is complete, and so is what a task that ended before has logged.

    The end of a log that goes on is not, and a total of it is not told as complete.
    """
    async with numbering(tmp_path) as (tasks, plugin, task_id):
        ended = tasks.external.start("ended before")
        await tasks.external.finish(ended.id, "success")
        plugin.log(50)
        assert await tasks.engine.settle(10)
        with held(tmp_path / "asynclog.db") as release:
            plugin.log(FAR_BEHIND + 100)
            past: list[tuple[dict[str, Any], int]] = [
                ({}, 20),
                ({"after": 10}, 30),
                ({"before": 52}, 20),
                ({"before": 22, "order": "desc"}, 2),
            ]
            for asked, last in past:
                page = await tasks.logs(task_id, limit=20, total=False, **asked)
                assert page.complete, asked
                assert page.entries[-1].seq == last
            growing: list[dict[str, Any]] = [{"order": "desc"}, {"after": 50}, {"before": 60, "order": "desc"}]
            for asked in [*growing, {"total": True}]:
                page = await tasks.logs(task_id, **{"limit": 20, "total": False, **asked})
                assert not page.complete, asked
            page = await tasks.logs(ended.id)
            assert page.complete
            assert (await tasks.reader.stats(ended.id, NO_FILTER)).total == page.total == len(page.lines)
            assert (await tasks.task(ended.id)).status == "success"
            release()
        await finished(tasks, plugin, task_id)


async def test_tasks_are_listed_as_they_are_while_entries_wait(tmp_path: Path) -> None:
    """While more entries wait than are soon stored, a list of tasks waits only for what says how they are now."""
    async with numbering(tmp_path) as (tasks, plugin, task_id):
        plugin.log(50)
        assert await tasks.engine.settle(10)
        with held(tmp_path / "asynclog.db") as release:
            plugin.log(10)
            assert not await tasks.engine.settle_tasks(0)
            plugin.log(FAR_BEHIND)
            assert await tasks.engine.settle_tasks(0)
            assert [task.id for task in (await tasks.reader.tasks(TaskQuery())).tasks] == [task_id]
            tasks.external.start("begun meanwhile")
            assert not await tasks.engine.settle_tasks(0)
            release()
        assert len((await tasks.reader.tasks(TaskQuery())).tasks) == 2
        await finished(tasks, plugin, task_id)


async def test_an_export_is_whole_or_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export of what is not stored yet waits for it, and fails when that takes too long: it never ends early."""

    async def seqs(pages: AsyncIterator[list[bytes]]) -> list[int]:
        return [json.loads(line)["seq"] async for lines in pages for line in lines]

    async with numbering(tmp_path) as (tasks, plugin, task_id):
        plugin.log(50)
        assert await tasks.engine.settle(10)
        with held(tmp_path / "asynclog.db") as release:
            plugin.log(3000)
            monkeypatch.setattr(reader, "EXPORT_SECONDS", 0.01)
            with pytest.raises(StoreError, match="in time"):
                await seqs(tasks.reader.export(task_id, NO_FILTER))
            monkeypatch.undo()
            pages = tasks.reader.export(task_id, NO_FILTER)
            begun = [json.loads(line)["seq"] for line in await anext(pages)]
            assert begun == list(range(1, 52))
            release()
            assert await seqs(pages) == list(range(52, 3052))
        await finished(tasks, plugin, task_id)


async def test_a_task_ends_while_the_database_is_locked(tmp_path: Path) -> None:
    """A task can end, and is known to have ended, while the database is locked; a restart finds that too."""
    with contextlib.ExitStack() as stack:
        async with numbering(tmp_path) as (tasks, plugin, task_id):
            assert await tasks.engine.settle(10)
            release = stack.enter_context(held(tmp_path / "asynclog.db"))
            plugin.log(50)
            plugin.enough()
            await until(lambda: tasks.engine.hub.ended(task_id) is not None, "the end is power-safe")
            assert (await tasks.task(task_id)).status == "success"
            release()
    assert numbers(tmp_path, task_id) == list(range(1, 51))
    async with asynclog.open(tmp_path, settings=Settings(pinned=SETTINGS)) as tasks:
        assert (await tasks.task(task_id)).status == "success"


async def test_locked_at_the_start(tmp_path: Path) -> None:
    """A service that is started while another process holds the database waits for it, and then works."""
    async with numbering(tmp_path) as (tasks, plugin, task_id):
        plugin.log(5)
        await finished(tasks, plugin, task_id)
    with held(tmp_path / "asynclog.db") as release:
        opening = asyncio.create_task(_count(tmp_path, task_id))
        await asyncio.sleep(0)
        release()
        assert await opening == 7


async def _count(folder: Path, task_id: str) -> int:
    async with asynclog.open(folder, settings=Settings(pinned=SETTINGS)) as tasks:
        return (await tasks.logs(task_id)).total or 0


async def test_locked_for_too_long_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that stays locked at the start is a sentence with its path, and the directory is free again."""
    monkeypatch.setattr("asynclog.store.sqlite.OPEN_ATTEMPTS", 1)
    async with asynclog.open(tmp_path):
        pass
    with held(tmp_path / "asynclog.db"), pytest.raises(StoreError, match=r"asynclog.db cannot be opened: .*locked"):
        async with asynclog.open(tmp_path):
            pass
    async with asynclog.open(tmp_path):
        pass


async def test_full(tmp_path: Path) -> None:
    """A full database takes nothing more: entries stay in the journal and are stored when there is room again.

    Kept: every entry. Said: the database or disk is full.
    """
    async with numbering(tmp_path) as (tasks, plugin, task_id):
        plugin.log(100)
        assert await tasks.engine.settle(10)
        database = tasks.engine._database
        pages = await database.write(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0])
        await database.write(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages + 4}").fetchone())
        plugin.log(5000, 200)
        await until(lambda: any("full" in trouble for trouble in tasks.engine.troubles()), "it is said")
        plugin.log(100)
        await database.write(lambda connection: connection.execute("PRAGMA max_page_count = 1000000").fetchone())
        await finished(tasks, plugin, task_id)
        assert tasks.engine.troubles() == []
    assert numbers(tmp_path, task_id) == list(range(1, 5201))
    accounted(tmp_path, task_id)


def remove(path: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink()


def replace_by_garbage(path: Path) -> None:
    """Another file, no database, under the name."""
    remove(path)
    path.write_bytes(os.urandom(100_000))


def overwrite_with_garbage(path: Path) -> None:
    """The same file, with other bytes."""
    with path.open("r+b") as file:
        file.write(b"garbage! " * 12_000)


def write_garbage(path: Path) -> None:
    """The same file, shorter and with other bytes."""
    path.write_bytes(b"garbage! " * 100)


def empty(path: Path) -> None:
    """The same file, without bytes."""
    os.truncate(path, 0)


LOSSES = [remove, replace_by_garbage, overwrite_with_garbage, write_garbage, empty]


@pytest.mark.parametrize("harm", LOSSES)
async def test_lost_while_running(tmp_path: Path, harm: object) -> None:
    """A database that is removed, replaced or overwritten under a running service is begun anew.

    Kept: what was not stored when it happened and everything after, and the running task itself. Lost: what was only in
    the database. Said: a damaged file was set aside, or it was removed, and which entries are lost. The task runs on
    and sees nothing. Settings that were changed before are there at the next start.
    """
    assert callable(harm)
    async with numbering(tmp_path) as (tasks, plugin, task_id):
        await tasks.engine.change_settings({"retention_max_tasks": 7, "search_index": False})
        plugin.log(100)
        assert await tasks.engine.settle(10)
        harm(tmp_path / "asynclog.db")
        plugin.log(200)
        await until(lambda: tasks.engine.journal.stored_id >= tasks.engine.journal.last_id, "the new ones are stored")
        plugin.log(300)
        await until(lambda: tasks.engine._database.begun == 2, "the database is begun anew")
        plugin.log(5)
        ended = await finished(tasks, plugin, task_id)
        assert not tasks.engine.degraded
        stored = await tasks.engine.store.task(task_id, asynclog.AccessScope())
        assert stored is not None
        assert (stored.status, stored.name, stored.plugin) == ("success", ended.name, ended.plugin)
    said = " ".join(tasks.engine.troubles())
    async with asynclog.open(tmp_path) as tasks:
        settings = tasks.engine.settings
        assert (settings["retention_max_tasks"], settings["search_index"]) == (7, False)
    found = numbers(tmp_path, task_id)
    assert found == list(range(606 - len(found), 606))
    assert len(found) >= 505
    assert accounted(tmp_path, task_id)[1] == 605 - len(found) + 1  # and that the task began
    aside = list(tmp_path.glob("asynclog.db.damaged-*"))
    assert bool(aside) == (harm in (replace_by_garbage, overwrite_with_garbage, write_garbage, empty))
    assert ("set aside" in said) == bool(aside)
    assert aside or "removed or replaced" in said


async def test_replaced_by_an_older_copy(tmp_path: Path) -> None:
    """A backup put in the place of the running database is taken up: its entries are there, and all new ones.

    Those in between, which were in neither, are named.
    """
    async with numbering(tmp_path / "data") as (tasks, plugin, task_id):
        plugin.log(50)
        assert await tasks.engine.settle(10)
        copying = [contextlib.closing(sqlite3.connect(tmp_path / name)) for name in ("data/asynclog.db", "backup.db")]
        with copying[0] as source, copying[1] as backup:
            source.backup(backup)
        plugin.log(50)
        assert await tasks.engine.settle(10)
        remove(tmp_path / "data" / "asynclog.db")
        shutil.move(tmp_path / "backup.db", tmp_path / "data" / "asynclog.db")
        plugin.log(50)
        await finished(tasks, plugin, task_id)
    found = numbers(tmp_path / "data", task_id)
    assert found == [*range(1, 51), *range(151 - (len(found) - 50), 151)]
    assert len(found) >= 100
    assert accounted(tmp_path / "data", task_id)[1] == 150 - len(found)


@pytest.mark.parametrize("content", [b"", b"short", os.urandom(50_000), b"SQLite format 3\0" + os.urandom(9_000)])
async def test_garbage_at_the_start(tmp_path: Path, content: bytes) -> None:
    """A file that is no database is set aside, said, and a new one is begun; what the journal holds is stored."""
    (tmp_path / "asynclog.db").write_bytes(content)
    async with numbering(tmp_path) as (tasks, plugin, task_id):
        plugin.log(10)
        await finished(tasks, plugin, task_id)
        said = any("set aside" in trouble for trouble in tasks.engine.troubles())
        assert said == bool(content)
        assert not tasks.engine.degraded
    assert numbers(tmp_path, task_id) == list(range(1, 11))
    assert [path.read_bytes() for path in tmp_path.glob("asynclog.db.damaged-*")] == [content] * said


async def test_a_foreign_database_at_the_start(tmp_path: Path) -> None:
    """A database of another program is refused with a sentence, and not touched."""
    with contextlib.closing(sqlite3.connect(tmp_path / "asynclog.db")) as connection:
        connection.execute("CREATE TABLE theirs (x)")
        connection.commit()
    before = (tmp_path / "asynclog.db").read_bytes()
    with pytest.raises(StoreError, match="another program"):
        async with asynclog.open(tmp_path):
            pass
    with contextlib.closing(sqlite3.connect(tmp_path / "asynclog.db")) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]
    assert len((tmp_path / "asynclog.db").read_bytes()) == len(before)


async def test_a_newer_database_at_the_start(tmp_path: Path) -> None:
    """A database of a newer asynclog is refused with a sentence that says what to do."""
    async with asynclog.open(tmp_path):
        pass
    with contextlib.closing(sqlite3.connect(tmp_path / "asynclog.db")) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(StoreError, match=r"newer asynclog.*upgrade"):
        async with asynclog.open(tmp_path):
            pass


@pytest.mark.parametrize("reason", ["refused", "poison, refused", "refused whatever it says"])
async def test_an_unstorable_row(tmp_path: Path, reason: str) -> None:
    """One row the database refuses keeps its seq as an entry, or a gap, that says so, and its batch goes on."""
    async with numbering(tmp_path) as (tasks, plugin, task_id):
        condition = "NEW.seq = 4" if "whatever" in reason else "NEW.message LIKE '%poison%'"
        trigger = (
            f"CREATE TRIGGER t BEFORE INSERT ON task_logs WHEN {condition} BEGIN SELECT RAISE(ABORT, '{reason}'); END"
        )
        await tasks.engine._database.write(lambda connection: connection.execute(trigger))
        plugin.log(2)
        assert plugin.context is not None
        plugin.context.logger.info("poison")
        plugin.log(1200)
        await finished(tasks, plugin, task_id)
        assert tasks.engine.troubles() == []
        page = await tasks.logs(task_id, after=3, limit=1)
        gaps = page.gaps
    if "whatever" in reason:
        assert [(gap.from_seq, gap.to_seq) for gap in gaps] == [(4, 4)]
        assert gaps[0].reason.startswith("unstorable: ")
    else:
        assert page.entries[0].seq == 4
        assert page.entries[0].message.startswith("[unstorable: ")
        assert not gaps
    accounted(tmp_path, task_id)


async def test_ids_that_another_history_has_used(tmp_path: Path) -> None:
    """A database that knows higher and the same record numbers takes everything: entries get numbers that are free."""
    limits = Limits(segment=2000)
    async with numbering(tmp_path / "one", limits=limits) as (tasks, plugin, task_one):
        plugin.log(300)
        await finished(tasks, plugin, task_one)
    async with numbering(tmp_path / "two", limits=limits) as (tasks, plugin, task_two):
        plugin.log(50)
        assert await tasks.engine.settle(10)
        with held(tmp_path / "two" / "asynclog.db"):
            plugin.log(100)
            copy = tmp_path / "mixed"
            copy.mkdir()
            shutil.copytree(tmp_path / "two" / "journal", copy / "journal")
        await finished(tasks, plugin, task_two)
    for path in (tmp_path / "one").glob("asynclog.db*"):
        shutil.copy(path, copy)
    # Without run files: runs of two directories that began in one second have one name.
    async with numbering(copy, limits=limits, run_log_dir="") as (tasks, plugin, task_three):
        plugin.log(10)
        await finished(tasks, plugin, task_three)
        assert tasks.engine.troubles() == []
    assert numbers(copy, task_one) == list(range(1, 301))
    assert numbers(copy, task_two)[-100:] == list(range(51, 151))
    accounted(copy, task_two)
    assert numbers(copy, task_three) == list(range(1, 11))


async def test_damaged_labels(tmp_path: Path) -> None:
    """Bytes that are no text, in place of labels: all else is told, searched and indexed as before."""
    async with numbering(tmp_path) as (tasks, plugin, task_id):
        plugin.log(300)
        assert await tasks.engine.settle(10)
        with contextlib.closing(sqlite3.connect(tmp_path / "asynclog.db", isolation_level=None)) as connection:
            connection.execute("UPDATE task_logs SET stage = CAST(x'61ff' AS TEXT), unit = stage WHERE seq = 100")
            connection.execute("UPDATE task_logs SET source = CAST(x'62ff' AS TEXT) WHERE seq = 101")
        store, reader = tasks.engine.store, tasks.reader
        some = LogFilter.parse([("search", "x"), ("search", "0"), ("search", "1")])
        found = await reader.stats(task_id, some)
        assert (found.by_stage["a\ufffd"], found.by_source["b\ufffd"]) == (1, 1)
        assert [view.name for view in await reader.stages(task_id)] == []  # as the writer has counted
        await store.index(0)
        assert await store.indexed(empty=False) == [0]
        assert await reader.stats(task_id, some) == found
        await finished(tasks, plugin, task_id)


async def test_gone_at_the_start(tmp_path: Path) -> None:
    """A database that vanished between two lives is begun anew, which is said; what the journal holds still is stored.

    The entries that are in neither are named. A directory that was empty before has nothing to say.
    """
    limits = Limits(segment=2_000)
    async with numbering(tmp_path / "a", limits=limits) as (tasks, plugin, task_id):
        assert tasks.engine.troubles() == []
        plugin.log(100)
        assert await tasks.engine.settle(10)
        journal = tmp_path / "a" / "journal"
        await until(lambda: min(int(path.stem) for path in journal.iterdir()) > 50, "what is stored is removed")
        with held(tmp_path / "a" / "asynclog.db"):
            plugin.log(50)
            (tmp_path / "b").mkdir()
            _ = shutil.copytree(tmp_path / "a" / "journal", tmp_path / "b" / "journal")
        await finished(tasks, plugin, task_id)
    async with asynclog.open(tmp_path / "b", limits=limits, settings=Settings(pinned=SETTINGS)) as tasks:
        [said, *_] = tasks.engine.troubles()
        assert "no database beside the journal" in said
        assert not tasks.engine.degraded
    found = numbers(tmp_path / "b", task_id)
    assert 50 <= len(found) < 150
    assert found == list(range(151 - len(found), 151))
    accounted(tmp_path / "b", task_id)
    async with asynclog.open(tmp_path / "b", limits=limits, settings=Settings(pinned=SETTINGS)) as tasks:
        assert tasks.engine.troubles() == []
