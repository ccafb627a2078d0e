"""Run files against the database: line by line, whatever happens to the process, the disk and the directory."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import asynclog
from asynclog import Settings, TaskManager
from asynclog.errors import StoreError
from asynclog.queries import RunEntries, RunState
from asynclog.records import DeleteRecord
from asynclog.tasks import rundir
from asynclog.tasks.follower import Follower
from asynclog.tasks.patience import Patience
from asynclog.tasks.runpage import Page
from asynclog.testing import FaultyDisk
from asynclog.writer import Writer
from tests.runfiles.comparing import DEADLINE, actual, compare, expected, settled
from tests.runfiles.plugins import staged

DEBUG = {"task_log_level": "DEBUG"}
HOSTILE = [
    "..",
    ".",
    "/etc",
    "a/../../b",
    "~root",
    "-rf",
    "a\0b",
    "x" * 500,
    "con\n",
    "%2e%2e",
    "_",
    "Ünïcode",
    "..\\..",
]


def debug() -> Settings:
    """Everything is kept."""
    return Settings(file=DEBUG)


def runs(tasks: TaskManager) -> Path:
    """Where the run files are."""
    return tasks.run_files.followers[0].root


async def ran(tasks: TaskManager, count: int, **options: object) -> list[asynclog.Task]:
    """So many tasks at once."""
    return list(await asyncio.gather(*(tasks.run(staged, {"number": n}, **options) for n in range(count))))


async def test_files_and_mirror_equal_the_database(tmp_path: Path) -> None:
    """Three hundred tasks at once: every line of every run file is the database's, in order, once; so is the mirror."""
    folder, mirror = tmp_path / "data", tmp_path / "mirror"
    async with asynclog.open(folder, settings=debug(), shared_log_dir=mirror) as tasks:
        sites = [None, "north", "süd"]
        work = [
            tasks.run(staged, {"number": n, "entries": 3000 if n == 9 else 0}, account=f"a{n % 3}", site=sites[n % 3])
            for n in range(300)
        ]
        ended = await asyncio.gather(*work)
        await settled(tasks)
        assert {task.status for task in ended} == {"success", "failed"}
        assert len({task.run_id for task in ended}) == 300
        assert compare(folder, runs(tasks)) > 10_000
        assert compare(folder, mirror) > 10_000
        assert tasks.run_files.failures == 0


async def test_right_behind_the_writer_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries go from the commit into the files without being read; one who comes later reads them; the same lines."""
    folder, mirror = tmp_path / "data", tmp_path / "mirror"
    read: list[str] = []

    async def plugin(params: dict[str, object], context: asynclog.TaskContext) -> None:
        for number in range(5000):
            context.logger.info("entry %d\n%s", number, "\x85" * (number % 3), n=number, at=number / 7)

    async with asynclog.open(folder, settings=debug(), shared_log_dir=mirror) as tasks:
        follower, late = tasks.run_files.followers
        entries = tasks.engine.store.run_entries

        async def counted(task_id: str, after: int, through: int, stages: Sequence[str] | None = None) -> RunEntries:
            read.append(task_id)
            return await entries(task_id, after, through, stages)

        async with late._round:  # held up
            async with follower._round:
                task = await tasks.run(plugin)
                await tasks.engine.settle(DEADLINE)
            monkeypatch.setattr(tasks.engine.store, "run_entries", counted)
            while follower.behind:
                follower.wake()
                await asyncio.sleep(0.02)
            assert read == []
            late._offers.drop(late._offers.number)
        await settled(tasks)
        assert set(read) == {task.id}
        compare(folder, runs(tasks))
        compare(folder, mirror)


async def test_what_cannot_be_read_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one task's entries cannot be read, another's go into its file once, and no further than they are known."""
    folder, over = tmp_path / "data", asyncio.Event()

    async def plugin(params: dict[str, object], context: asynclog.TaskContext) -> None:
        context.logger.info("begun")
        await over.wait()

    async def refused(*asked: object) -> RunEntries:
        raise StoreError("not now")

    async with asynclog.open(folder, settings=debug()) as tasks:
        [follower] = tasks.run_files.followers
        work = [asyncio.ensure_future(tasks.run(plugin)) for _ in range(2)]
        end = time.monotonic() + DEADLINE
        while len(lives := [live for live in tasks.engine.hub if live.task.status == "running"]) < 2:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        await follower.settle()
        late, soon = (tasks.engine.logger(live.feed) for live in lives if live.feed is not None)
        async with follower._round:
            late.info("to be read")
            await tasks.engine.settle(DEADLINE)
            follower._offers.drop(follower._offers.number)
            soon.info("known")
            await tasks.engine.settle(DEADLINE)
        with monkeypatch.context() as patch:
            patch.setattr(tasks.engine.store, "run_entries", refused)
            with pytest.raises(StoreError):
                await follower.catch_up()
        before = {task_id: cursor.seq for task_id, cursor in follower._state.tasks.items()}
        assert before == {late.task_id: before[soon.task_id] - 1, soon.task_id: before[soon.task_id]}
        over.set()
        await asyncio.gather(*work)
        await settled(tasks)
        compare(folder, runs(tasks))


async def test_what_is_stored_meanwhile_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks that have to be read are left again and again for what was stored just now; each time one goes on."""
    folder, looks = tmp_path / "data", list[int]()
    async with asynclog.open(folder, settings=debug()) as tasks:
        [follower] = tasks.run_files.followers
        write, states = follower._write, follower._states

        def stored_meanwhile(pages: Sequence[Page]) -> None:
            write(pages)
            if len(looks) < 8:
                follower._offers.number += 1

        async def looked() -> tuple[list[RunState], bool]:
            found = await states()
            looks.append(len(found[0]))
            return found

        async with follower._round:
            await ran(tasks, 5)
            await tasks.engine.settle(DEADLINE)
            follower._offers.drop(follower._offers.number)
            monkeypatch.setattr(follower, "_write", stored_meanwhile)
            monkeypatch.setattr(follower, "_states", looked)
        await follower.catch_up()
        assert follower.behind == 0
        assert looks == sorted(looks, reverse=True)
        assert {5, 4, 3, 2, 1} <= set(looks)
        compare(folder, runs(tasks))


async def test_a_writer_that_is_behind_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the writer is behind nothing is written to run files, not even what it has just stored."""
    folder = tmp_path / "data"
    async with asynclog.open(folder, settings=debug()) as tasks:
        [follower] = tasks.run_files.followers
        with monkeypatch.context() as patch:
            patch.setattr(Writer, "behind", True)
            await ran(tasks, 3)
            await tasks.engine.settle(DEADLINE)
            for _ in range(3):
                await follower.catch_up()
            assert not actual(runs(tasks))
        await settled(tasks)
        assert follower.behind == 0
        assert compare(folder, runs(tasks)) > 10


async def test_a_writer_that_falls_behind_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the writer falls behind in the middle of a round nothing is read, and no ended task is forgotten."""
    folder, falls = tmp_path / "data", list[bool]()
    async with asynclog.open(folder, settings=debug()) as tasks:
        [follower] = tasks.run_files.followers
        states = follower._states

        async def looked() -> tuple[list[RunState], bool]:
            falls.append(True)
            return await states()

        with monkeypatch.context() as patch:
            async with follower._round:
                await ran(tasks, 3)
                await tasks.engine.settle(DEADLINE)
                follower._offers.drop(follower._offers.number)
                patch.setattr(follower, "_states", looked)
                patch.setattr(follower, "_patience", Patience(lambda: bool(falls), tasks.engine.clock.monotonic))
            await follower.catch_up()
            assert falls == [True]
            assert follower.behind == 3
            assert not list(runs(tasks).rglob("automation_run.log"))
        await settled(tasks)
        assert follower.behind == 0
        assert compare(folder, runs(tasks)) > 10


async def test_a_trace_tells_a_run(tmp_path: Path) -> None:
    """The trace has the run's start and end, each stage's start, progress and end with its numbers, and the errors."""
    async with asynclog.open(tmp_path / "data", settings=Settings(file={"task_log_level": "ERROR"})) as tasks:
        task = await tasks.run(staged, {"number": 4}, account="acme", trigger_type="internal_event")
        await settled(tasks)
        assert task.run_id is not None
        assert task.run_id.endswith("_internal_event")
        folder = runs(tasks) / "acme" / "_" / task.run_id
        items = [json.loads(line) for line in (folder / "run_trace.jsonl").read_text().splitlines()]
        events = [item["event"] for item in items]
        assert events[:4] == ["run_start", "stage_start", "item_done", "stage_progress"]
        assert events[-4:] == ["error", "stage_complete", "error", "run_end"]
        assert items[0]["data"]["run_id"] == task.run_id
        assert items[1]["data"] == {"stage": "extract", "number": 1, "pending": 4}
        [first] = [item["data"] for item in items if item["event"] == "stage_complete"][:1]
        assert first["processed"] == 4
        assert first["credits_used"] == 1.5
        assert first["elapsed"] >= 0
        assert items[-1]["data"]["status"] == "failed"
        assert (folder / "stage_7.log").read_text() == ""  # nothing reached the threshold; the stage has its log


async def test_labels_that_become_stages_later(tmp_path: Path) -> None:
    """An external task's entries that carry a label before its stage is declared are in that stage's log."""
    folder = tmp_path / "data"
    async with asynclog.open(folder) as tasks:
        task = tasks.external.start("elsewhere", account="x")
        line = b'{"message": "%d", "stage": "late"}\n{"message": "o", "stage": "never"}\n'
        await tasks.external.ingest(task.id, b"".join(line % n for n in range(50)))
        await tasks.engine.settle()
        await tasks.run_files.followers[0].catch_up()
        stage = await tasks.external.put_stage(task.id, {"name": "late", "number": 3})
        await tasks.external.ingest(task.id, line % 50)
        await tasks.external.put_stage(task.id, {"id": stage.id, "status": "success", "processed": 51})
        await tasks.engine.settle()
        await tasks.run_files.followers[0].catch_up()
        await tasks.external.put_stage(task.id, {"name": "never", "number": 4})
        await tasks.external.put_stage(task.id, {"name": "early", "number": 3})
        await tasks.external.ingest(task.id, b'{"message": "e", "stage": "early"}')
        await tasks.external.finish(task.id, "success")
        await settled(tasks)
        compare(folder, runs(tasks))
        [log] = runs(tasks).rglob("stage_3.log")
        assert len(log.read_text().splitlines()) == 52
        [log] = runs(tasks).rglob("stage_4.log")
        assert len(log.read_text().splitlines()) == 51


async def test_stages_that_share_a_number(tmp_path: Path) -> None:
    """Two stages of one number share a log, in order, also when one is declared after its entries were written."""
    folder = tmp_path / "data"
    async with asynclog.open(folder) as tasks:
        task = tasks.external.start("elsewhere")
        await tasks.external.put_stage(task.id, {"name": "a", "number": 1})
        for number in range(20):
            await tasks.external.ingest(task.id, b'{"message": "%d", "stage": "%c"}' % (number, b"ab"[number % 2]))
        await tasks.engine.settle()
        await tasks.run_files.followers[0].catch_up()
        await tasks.external.put_stage(task.id, {"name": "b", "number": 1})
        await tasks.external.ingest(task.id, b'{"message": "last", "stage": "a"}')
        await tasks.external.finish(task.id, "success")
        await settled(tasks)
        compare(folder, runs(tasks))
        [log] = runs(tasks).rglob("stage_1.log")
        assert len(log.read_text().splitlines()) == 21


async def test_kill_minus_nine(tmp_path: Path) -> None:
    """Killed in the middle of writing, again and again, the files are the database's once the next one caught up."""
    folder = tmp_path / "data"
    program = Path(__file__).with_name("program.py")
    for round_ in range(3):
        child = subprocess.Popen([sys.executable, str(program), str(folder), str(round_)], stdout=subprocess.PIPE)
        try:
            end = time.monotonic() + DEADLINE
            while len(list(folder.glob("runs/*/*/*/run_trace.jsonl"))) < 25 * (round_ + 1):
                assert child.poll() is None
                assert time.monotonic() < end
                await asyncio.sleep(0.05)
        finally:
            child.send_signal(signal.SIGKILL)
            child.communicate()
    async with asynclog.open(folder, settings=debug()) as tasks:
        await settled(tasks)
        assert len({path.rsplit("/", 1)[0] for path in expected(folder)}) >= 75
        compare(folder, runs(tasks))


async def test_a_full_disk_never_reaches_a_task(tmp_path: Path) -> None:
    """While the disk is full tasks succeed and it is shown; when there is room, the files are the database's."""
    folder, disk = tmp_path / "data", FaultyDisk()
    disk.room = 20_000
    async with asynclog.open(folder, settings=debug(), run_disk=disk) as tasks:
        ended = await ran(tasks, 100)
        assert all(task.status == ("failed" if n % 5 == 4 else "success") for n, task in enumerate(ended))
        end = time.monotonic() + DEADLINE
        while not any("run files" in trouble for trouble in tasks.engine.troubles()):
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        assert not tasks.engine.degraded
        assert tasks.run_files.failures > 0
        disk.room = 100_000
        await ran(tasks, 50)
        await asyncio.sleep(0)
        disk.room = None
        await settled(tasks)
        compare(folder, runs(tasks))
        assert tasks.engine.troubles() == []


async def test_what_a_full_disk_left_is_found_after_a_restart(tmp_path: Path) -> None:
    """Tasks that ended while nothing could be written, not even the cursors, have their files after a restart."""
    folder, disk = tmp_path / "data", FaultyDisk()
    disk.write_error = errno.ENOSPC
    (folder / "runfiles.json.new").mkdir(parents=True)
    async with asynclog.open(folder, run_disk=disk) as tasks:
        await ran(tasks, 20)
        await tasks.run_files.followers[0].catch_up()
        assert len(tasks.engine.troubles()) == 1
        assert actual(runs(tasks)).keys() <= expected(folder).keys()
        assert not any(actual(runs(tasks)).values())
    (folder / "runfiles.json.new").rmdir()
    async with asynclog.open(folder) as tasks:
        await settled(tasks)
        compare(folder, runs(tasks))


async def test_a_mirror_that_is_away_for_a_while(tmp_path: Path) -> None:
    """A shared directory that is not mounted is not made elsewhere; the run files do without; it catches up later."""
    folder, shared = tmp_path / "data", tmp_path / "mount" / "share"
    async with asynclog.open(folder, shared_log_dir=shared) as tasks:
        await ran(tasks, 10)
        await tasks.run_files.followers[0].settle()
        end = time.monotonic() + DEADLINE
        while tasks.run_files.followers[0].behind or tasks.run_files.followers[1].trouble() is None:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        compare(folder, runs(tasks))
        assert not shared.parent.exists()
        shared.parent.mkdir()
        await settled(tasks)
        compare(folder, shared)


async def test_names_never_leave_the_directory(tmp_path: Path) -> None:
    """Whatever accounts, sites and stages are called, files are three levels below the root and nowhere else."""
    folder, root = tmp_path / "deep" / "data", tmp_path / "deep" / "runs"
    root.parent.mkdir()

    async def stages(_params: object, context: asynclog.TaskContext) -> None:
        for name in HOSTILE:
            async with context.stage(name):
                context.logger.info("inside")

    async with asynclog.open(folder, run_log_dir=root) as tasks:
        names = [(name, HOSTILE[-place]) for place, name in enumerate(HOSTILE)]
        await asyncio.gather(*(tasks.run(stages, account=account, site=site) for account, site in names))
        await settled(tasks)
        compare(folder, root)
        assert all(len(Path(path).parts) == 4 for path in actual(root))
        assert len({path.parent.parent.name for path in root.glob("*/*/*")}) > 1
        assert len(list(root.iterdir())) == len(HOSTILE)
        assert {path.name for path in (tmp_path / "deep").iterdir()} == {"data", "runs"}
        assert {path.stat().st_mode & 0o777 for path in root.rglob("*")} == {0o700, 0o600}


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
async def test_links_are_not_followed(tmp_path: Path, depth: int) -> None:
    """A link where a directory or file of a run should be is not written through, and what it points to stays."""
    folder, outside = tmp_path / "data", tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("kept")
    async with asynclog.open(folder) as tasks:
        task = await tasks.run(staged, account="acme", site="north")
        await settled(tasks)
        path = runs(tasks).joinpath(*["acme", "north", str(task.run_id), "automation_run.log"][:depth])
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        path.symlink_to(outside if depth < 4 else outside / "precious", target_is_directory=depth < 4)
        follower = tasks.run_files.followers[0]
        follower._state.rank = 0  # as if nothing had been written
        follower._seen = -1
        await follower.catch_up()
        assert follower.trouble() is not None
        assert await follower.tail(task, 10) is None
        await tasks.delete(task.id)
        end = time.monotonic() + DEADLINE
        while await tasks.engine.store.deleted() and not tasks.sweeper._kept:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
    assert [path.name for path in outside.iterdir()] == ["precious"]
    assert (outside / "precious").read_text() == "kept"


async def test_a_directory_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """Where a run's directory is another's, as two services may share a mirror, nothing is overwritten or removed."""
    folder, shared = tmp_path / "data", tmp_path / "share"
    async with asynclog.open(folder, shared_log_dir=shared) as tasks:
        now = tasks.engine.clock.now()
        names = [str(tasks.run_files.name(now + second * 1_000_000, "manual")) for second in range(60)]
        later = [f"{name}{ending}" for name in names for ending in ("", "_2", "_3")]  # whatever second it starts in
        for other in later:
            (shared / "_" / "_" / other).mkdir(parents=True)
            (shared / "_" / "_" / other / "automation_run.log").write_text(f"# run {other}, task somebodyelse\n")
        task = await tasks.run(staged)
        assert task.run_id in later
        mirror = tasks.run_files.followers[1]
        end = time.monotonic() + DEADLINE
        while mirror.trouble() is None:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        await tasks.delete(task.id)
        await tasks.sweeper.drained()
        assert set(actual(shared).values()) == {f"# run {other}, task somebodyelse\n" for other in later}


async def test_files_that_were_cut_or_removed_are_written_anew(tmp_path: Path) -> None:
    """A file that somebody cut or removed while its task runs is whole again; so is everything without the cursors."""
    folder, more = tmp_path / "data", asyncio.Event()

    async def waiting(_params: object, context: asynclog.TaskContext) -> None:
        context.logger.info("before")
        await more.wait()
        context.logger.info("after")

    async with asynclog.open(folder) as tasks:
        started = [await tasks.start(waiting, account=f"a{n}") for n in range(3)]
        await tasks.engine.settle()
        await tasks.run_files.followers[0].catch_up()
        logs = sorted(runs(tasks).rglob("automation_run.log"))
        assert len(logs) == 3
        logs[0].write_text("#")
        logs[1].unlink()
        shutil.rmtree(logs[2].parent)
        more.set()
        for task in started:
            await tasks.wait(task.id)
        await settled(tasks)
        compare(folder, runs(tasks))
    (folder / "runfiles.json").write_bytes(b"\xff")
    async with asynclog.open(folder) as tasks:
        await settled(tasks)
        compare(folder, runs(tasks))


async def test_deleting_removes_directory_and_mirror(tmp_path: Path) -> None:
    """A deleted task's directory and mirror go, empty parents too; what a process left, the next removes."""
    folder, mirror = tmp_path / "data", tmp_path / "mirror"
    async with asynclog.open(folder, shared_log_dir=mirror) as tasks:
        first, second, third = await ran(tasks, 3, account="acme", site="north")
        await settled(tasks)
        await tasks.delete(first.id)
        await tasks.sweeper.drained()
        compare(folder, runs(tasks))
        compare(folder, mirror)
        assert len(list(mirror.glob("acme/north/*"))) == 2
        tasks.engine.record(DeleteRecord(second.id, tasks.engine.clock.now()))  # and then the process is gone
        await tasks.engine.settle()
    assert len(list(mirror.glob("acme/north/*"))) == 2
    async with asynclog.open(folder, shared_log_dir=mirror) as tasks:
        end = time.monotonic() + DEADLINE
        while await tasks.engine.store.deleted():
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        assert len(list(mirror.glob("acme/north/*"))) == 1
        await tasks.delete(third.id)
        await tasks.sweeper.drained()
        assert list(mirror.iterdir()) == list(runs(tasks).iterdir()) == []


async def test_a_deleted_task_is_known_until_its_mirror_is_gone(tmp_path: Path) -> None:
    """When the mirror is away, a deleted task's rows go but its own, which stays hidden until the mirror is removed."""
    folder, mirror, away = tmp_path / "data", tmp_path / "mirror", tmp_path / "away"
    async with asynclog.open(folder, shared_log_dir=mirror) as tasks:
        [task] = await ran(tasks, 1)
        await settled(tasks)
        inside = next(mirror.glob("*/*/*"))
        shutil.copytree(inside, away)
        shutil.rmtree(inside)
        inside.symlink_to(away)
        (mirror / "_").rename(tmp_path / "moved")
        (mirror / "_").write_text("no directory")
        await tasks.delete(task.id)
        end = time.monotonic() + DEADLINE
        while not tasks.sweeper._kept:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        assert [doomed.task_id for doomed in await tasks.engine.store.deleted()] == [task.id]
        with pytest.raises(asynclog.NotFoundError):
            await tasks.task(task.id)
        (mirror / "_").unlink()
    async with asynclog.open(folder, shared_log_dir=mirror) as tasks:
        end = time.monotonic() + DEADLINE
        while await tasks.engine.store.deleted():
            assert time.monotonic() < end
            await asyncio.sleep(0.01)


async def test_retention_removes_run_files(tmp_path: Path) -> None:
    """What the retention removes goes with its directory and its mirror."""
    folder, mirror = tmp_path / "data", tmp_path / "mirror"
    async with asynclog.open(folder, shared_log_dir=mirror) as tasks:
        await ran(tasks, 4)
        await settled(tasks)
        await tasks.engine.change_settings({"retention_max_tasks": 1})  # now: it is applied at the start, too
        report = await tasks.sweeper.retain()
        assert report.tasks == 3
        await tasks.sweeper.drained()
        assert len(list(mirror.glob("*/*/*"))) == 1
        compare(folder, runs(tasks))
        compare(folder, mirror)


async def test_a_deleted_task_waits_for_a_mirror_that_is_away(tmp_path: Path) -> None:
    """When the share is not mounted, what is deleted meanwhile is removed from it once it is back."""
    folder, mount, away = tmp_path / "data", tmp_path / "mount", tmp_path / "away"
    mount.mkdir()
    async with asynclog.open(folder, shared_log_dir=mount / "share") as tasks:
        [task] = await ran(tasks, 1)
        await settled(tasks)
        mount.rename(away)
        await tasks.delete(task.id)
        end = time.monotonic() + DEADLINE
        while not tasks.sweeper._kept:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        assert list(runs(tasks).iterdir()) == []
        assert len(list(away.glob("share/*/*/*"))) == 1
    away.rename(mount)
    async with asynclog.open(folder, shared_log_dir=mount / "share") as tasks:
        end = time.monotonic() + DEADLINE
        while await tasks.engine.store.deleted():
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        assert list((mount / "share").iterdir()) == []


async def test_the_last_lines_are_written_before_the_end(tmp_path: Path) -> None:
    """A task that the closing service interrupts has its whole files when it has closed."""
    folder = tmp_path / "data"

    async def endless(_params: object, context: asynclog.TaskContext) -> None:
        context.logger.info("begun")
        await asyncio.Event().wait()

    async with asynclog.open(folder) as tasks:
        task = await tasks.start(endless)
        await asyncio.sleep(0)
    assert compare(folder, folder / "runs") > 8
    log = folder / "runs" / "_" / "_" / str(task.run_id) / "automation_run.log"
    assert "task interrupted" in log.read_text()


async def test_without_a_directory_there_are_no_run_files(tmp_path: Path) -> None:
    """An empty run_log_dir turns them off: no run id, no directory, no mirror."""
    async with asynclog.open(tmp_path / "data", run_log_dir="", shared_log_dir=tmp_path / "mirror") as tasks:
        task = await tasks.run(staged)
        assert task.run_id is None
        assert tasks.run_files.followers == ()
    assert not (tmp_path / "data" / "runs").exists()
    assert not (tmp_path / "mirror").exists()


async def test_names_go_on_after_a_restart(tmp_path: Path) -> None:
    """Runs of one second get distinct names, whichever process starts them."""
    names = []
    for _ in range(6):
        async with asynclog.open(tmp_path / "data") as tasks:
            names += [(await tasks.start(staged)).run_id for _ in range(5)]
    assert len(set(names)) == 30


def test_a_named_pipe_does_not_stop_the_writer(tmp_path: Path) -> None:
    """Something that is no regular file where a file should be is refused instead of waited for."""
    place = rundir.RunPlace(tmp_path / "runs", None, None, "run_1", b"# mine\n")
    rundir.write(place, {}, FaultyDisk(), fresh=True)
    folder = tmp_path / "runs" / "_" / "_" / "run_1"
    os.mkfifo(folder / "stage_1.log")
    with pytest.raises(OSError, match=r".+"):
        rundir.write(place, {"stage_1.log": rundir.Piece(0, b"x")}, FaultyDisk(), fresh=False)


async def test_a_disk_that_hangs(tmp_path: Path) -> None:
    """A mirror that hangs keeps nobody waiting: tasks run, run files are written, the service closes."""
    folder, mirror, free = tmp_path / "data", tmp_path / "mirror", threading.Event()

    class Hanging(FaultyDisk):
        def write(self, fd: int, data: bytes) -> int:  # type: ignore[override]  # as its parent
            free.wait(DEADLINE)
            return super().write(fd, data)

    async with asynclog.open(folder, shared_log_dir=mirror) as tasks:
        hanging = tasks.run_files.followers[1]
        hanging._disk = Hanging()
        ended = await ran(tasks, 5)
        assert all(task.ended for task in ended)
        await tasks.run_files.followers[0].settle()
        compare(folder, runs(tasks))
    assert not any(actual(mirror).values())
    free.set()
    await asyncio.to_thread(hanging._disk_lock.acquire)  # what was left behind is over, as with its process
    try:
        async with asynclog.open(folder, shared_log_dir=mirror) as tasks:
            await settled(tasks)
            compare(folder, mirror)
    finally:
        hanging._disk_lock.release()  # perhaps a second thread was left behind: it must be able to end


async def test_cancelling_in_the_middle_writes_nothing_behind(tmp_path: Path) -> None:
    """A follower that is cancelled while a thread writes waits for it, so nobody writes to a file at the same time."""
    folder = tmp_path / "data"
    async with asynclog.open(folder, settings=debug()) as tasks:
        await ran(tasks, 30)
        follower = tasks.run_files.followers[0]
        for _ in range(20):
            follower._state.rank, follower._seen = 0, -1
            work = asyncio.create_task(follower.catch_up())
            for _ in range(30):
                await asyncio.sleep(0)
            work.cancel()
            await asyncio.wait([work])
        await settled(tasks)
        compare(folder, runs(tasks))
        assert isinstance(follower, Follower)
