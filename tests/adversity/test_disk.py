"""The journal's disk is full, broken or gone: entries go on in memory, loss is a named range, and all of it is said."""

import asyncio
import contextlib
import errno
import resource
import shutil
import struct
from pathlib import Path
from zlib import crc32

import pytest

import asynclog
from asynclog import JournalError, segments
from asynclog.engine import Limits
from asynclog.queries import EntryQuery, EntryView
from asynclog.segments import Segment
from asynclog.settings import Settings
from asynclog.testing import FaultyDisk
from tests.adversity.witness import SETTINGS, accounted, finished, held, numbering, numbers, until

TIGHT = Limits(segment=4_000, memory=40_000, journal_quota=60_000)


def full(disk: FaultyDisk) -> None:
    disk.write_error = errno.ENOSPC


def broken(disk: FaultyDisk) -> None:
    disk.write_error = errno.EIO


def short(disk: FaultyDisk) -> None:
    disk.room = 250


def without_new_files(disk: FaultyDisk) -> None:
    disk.create_error = errno.EROFS


def mend(disk: FaultyDisk) -> None:
    disk.write_error = disk.create_error = disk.sync_error = disk.room = None


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("harm", [full, broken, short, without_new_files])
async def test_the_journal_cannot_be_written(tmp_path: Path, harm: object, *, mapped: bool) -> None:
    """With the journal's disk failing and the database working, nothing is lost and nothing raises.

    Kept: every entry, by way of memory. Said: entries are only in memory until they are stored; then no more.
    """
    assert callable(harm)
    disk = FaultyDisk(mapped=mapped)
    async with numbering(tmp_path, disk=disk, limits=Limits(segment=4_000)) as (tasks, plugin, task_id):
        plugin.log(20)
        assert await tasks.engine.settle(10)
        harm(disk)
        plugin.log(200)
        assert tasks.engine.degraded
        assert any("only in memory" in trouble for trouble in tasks.engine.troubles())
        ended = await finished(tasks, plugin, task_id)
        assert ended.status == "success"
        mend(disk)
        await until(lambda: _can_write(tasks), "the journal is written again")
        assert tasks.engine.troubles() == []
    assert numbers(tmp_path, task_id) == list(range(1, 221))
    assert accounted(tmp_path, task_id)[1] == 0


def _can_write(tasks: asynclog.TaskManager) -> bool:
    """Something that is logged now reaches the disk."""
    tasks.external.start("anything")
    return not tasks.engine.degraded


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("harm", [full, broken, short])
async def test_a_crash_after_the_disk_was_mended(tmp_path: Path, harm: object, *, mapped: bool) -> None:
    """What was logged after the disk was mended, while the database was locked, is found by the next process."""
    assert callable(harm)
    disk = FaultyDisk(mapped=mapped)
    async with numbering(tmp_path / "a", disk=disk, limits=Limits(segment=4_000)) as (tasks, plugin, task_id):
        assert await tasks.engine.settle(10)
        harm(disk)
        plugin.log(30)
        assert await tasks.engine.settle(10)
        mend(disk)
        await until(lambda: _can_write(tasks), "the journal is written again")
        assert await tasks.engine.settle(10)
        with held(tmp_path / "a" / "asynclog.db"):
            plugin.log(100)
            assert tasks.engine.journal.trouble is None
            (tmp_path / "b").mkdir()
            _ = shutil.copytree(tmp_path / "a" / "journal", tmp_path / "b" / "journal")
        for path in (tmp_path / "a").glob("asynclog.db*"):
            shutil.copy(path, tmp_path / "b")
        await finished(tasks, plugin, task_id)
    async with asynclog.open(tmp_path / "b", settings=Settings(pinned=SETTINGS)) as tasks:
        assert (await tasks.task(task_id)).status in ("interrupted", "success")
        assert tasks.engine.writer.missing == 0
    assert numbers(tmp_path / "b", task_id) == list(range(1, 131))


async def test_the_disk_is_full_when_a_segment_is_begun(tmp_path: Path) -> None:
    """When the system has no room for another segment, as on a full disk, the process lives and nothing is lost.

    Kept: every entry, in the room that was there before and then by way of memory. Said: while there is no room.
    """
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with numbering(tmp_path) as (tasks, plugin, task_id):
        with held(tmp_path / "asynclog.db") as release:
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limit[1]))
            try:
                plugin.log(400, 200)
                assert tasks.engine.troubles() == [], "what is allocated can be filled"
                plugin.log(2_000, 200)
                assert any("File too large" in trouble for trouble in tasks.engine.troubles())
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limit)
            release()
        await until(lambda: _can_write(tasks), "the journal is written again")
        await finished(tasks, plugin, task_id)
        assert tasks.engine.troubles() == []
    assert numbers(tmp_path, task_id) == list(range(1, 2_401))


def as_version_1(path: Path) -> bytes:
    """A segment as the first version would have written it: as long as its records, whose payloads are summed first."""
    segment, data = Segment(path), b""
    for record_id, seq, span, payload in segment.frames():
        packed = struct.pack("<QQI", record_id, seq, span)
        data += struct.pack("<II", len(payload), crc32(packed, crc32(payload))) + packed + payload
    assert data
    assert not segment.damaged
    assert segment.journal_id is not None
    return segments.encode_head(segment.journal_id, segment.first_id, version=1) + data


async def test_segments_of_an_older_version(tmp_path: Path) -> None:
    """Segments that the version before has left, the newest of them torn, are stored like any."""
    async with numbering(tmp_path / "a", limits=Limits(segment=3_000)) as (tasks, plugin, task_id):
        assert await tasks.engine.settle(10)
        with held(tmp_path / "a" / "asynclog.db"):
            plugin.log(200)
            (tmp_path / "b").mkdir()
            _ = shutil.copytree(tmp_path / "a" / "journal", tmp_path / "b" / "journal")
        for path in (tmp_path / "a").glob("asynclog.db*"):
            shutil.copy(path, tmp_path / "b")
        await finished(tasks, plugin, task_id)
    paths = sorted((tmp_path / "b" / "journal").iterdir())
    for path in paths:
        path.write_bytes(as_version_1(path))
    with paths[-1].open("ab") as newest:
        newest.write(b"\x20\0\0\0torn")
    async with asynclog.open(tmp_path / "b", settings=Settings(pinned=SETTINGS)) as tasks:
        assert tasks.engine.troubles() == ["1 damaged parts of the journal were set aside"]
        assert tasks.engine.writer.missing == 0
    assert numbers(tmp_path / "b", task_id) == list(range(1, 201))


async def test_quota_and_memory_are_used_up(tmp_path: Path) -> None:
    """With the database locked, the journal's quota and the memory bound what is kept; the rest is one named range.

    Kept: what was logged before both were full, and everything once there is room again. Lost: one contiguous range,
    shown as a gap with its reason while it still grows and after. Said: the quota, and how many were dropped.
    """
    async with numbering(tmp_path, limits=TIGHT) as (tasks, plugin, task_id):
        assert await tasks.engine.settle(10)
        with held(tmp_path / "asynclog.db") as release:
            plugin.log(2_000)
            engine = tasks.engine
            assert engine.journal.size <= TIGHT.journal_quota + 4_000
            assert engine.journal.pending_bytes <= TIGHT.memory
            dropped = engine.journal.dropped
            assert 0 < dropped < 2_000
            page = await tasks.logs(task_id)
            assert page.gaps[-1].to_seq == 2_001
            assert "quota is used up" in page.gaps[-1].reason
            assert not page.complete
            said = " ".join(engine.troubles())
            assert f"{dropped:,} entries were dropped" in said
            assert "the journal's quota is used up" in said
            release()
        assert await tasks.engine.settle(20)
        plugin.log(10)
        await finished(tasks, plugin, task_id)
        await until(lambda: not tasks.engine.degraded, "the journal has room again")
        page = await tasks.logs(task_id, after=1, limit=5000)
        assert len(page.gaps) == 1
        assert page.gaps[0].to_seq - page.gaps[0].from_seq + 1 == dropped
    assert numbers(tmp_path, task_id) == [*range(1, 2_001 - dropped), *range(2_001, 2_011)]
    assert accounted(tmp_path, task_id) == (2_012 - dropped, dropped, 2_012)


async def test_a_gap_is_named_while_a_page_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that is complete tells of every range that was dropped, also of one that is named while it is read."""
    async with numbering(tmp_path, limits=TIGHT) as (tasks, plugin, task_id):
        assert await tasks.engine.settle(10)
        with held(tmp_path / "asynclog.db") as release:
            plugin.log(2_000)
            release()
        assert await tasks.engine.settle(20)
        store = tasks.engine.store
        view = store.view

        async def named_after_the_page(query: EntryQuery, *, total: bool) -> EntryView | None:
            found = await view(query, total=total)
            plugin.log(1)
            return found

        monkeypatch.setattr(store, "view", named_after_the_page)
        page = await tasks.logs(task_id, limit=5000)
        [gap] = page.gaps
        assert page.complete
        assert page.entries[-1].seq + 1 == gap.from_seq < gap.to_seq == 2_001
        monkeypatch.undo()
        assert await tasks.reader.gaps(task_id) == [gap]
        await finished(tasks, plugin, task_id)


@pytest.mark.parametrize("size", [20, 3_000, 50_000])
async def test_drops_are_accounted_for_each_task(tmp_path: Path, size: int) -> None:
    """Several tasks that are dropped from in turn: for each, stored + dropped = emitted, also when it ends dropping."""
    disk = FaultyDisk()
    async with contextlib.AsyncExitStack() as stack:
        tasks, plugin, task_id = await stack.enter_async_context(numbering(tmp_path, disk=disk, limits=TIGHT))
        others = [type(plugin)() for _ in range(3)]
        started = [await tasks.start(other) for other in others]
        await until(lambda: all(other.context for other in others), "they start")
        assert await tasks.engine.settle(10)
        with held(tmp_path / "asynclog.db"):
            for turn in range(12):
                (full if turn % 3 else mend)(disk)
                for other in (plugin, *others):
                    other.log(40, size)
        mend(disk)
        assert tasks.engine.journal.dropped
        for other in others:
            other.enough()
        for task in started:
            await tasks.wait(task.id)
        await finished(tasks, plugin, task_id)
        names = [task_id, *(task.id for task in started)]
        for name, other in zip(names, (plugin, *others), strict=True):
            task = await tasks.task(name)
            found, missing, last = accounted(tmp_path, name)
            assert last == 480 + 2
            assert (missing, found) == (task.dropped, sum(task.counts.values()))
            assert numbers(tmp_path, name) == sorted(set(numbers(tmp_path, name)))
            assert other.number == 480
            assert len(await tasks.reader.gaps(name)) <= 12


async def test_the_folder_is_removed(tmp_path: Path) -> None:
    """Somebody removes the journal's folder: within a sync it is made again, and nothing is lost.

    Kept: every entry, also those that did not fit into memory, for they are still in the open file. Said: the disk did
    not confirm a write, until they are stored.
    """
    limits = Limits(memory=30_000)
    async with numbering(tmp_path, limits=limits) as (tasks, plugin, task_id):
        assert await tasks.engine.settle(10)
        with held(tmp_path / "asynclog.db") as release:
            plugin.log(1_000)
            assert tasks.engine.journal.spilled
            shutil.rmtree(tmp_path / "journal")
            plugin.log(500)
            await until((tmp_path / "journal").is_dir, "the folder is made again")
            assert not await tasks.engine.journal.sync()
            assert any("did not confirm" in trouble for trouble in tasks.engine.troubles())
            plugin.log(500)
            release()
        await finished(tasks, plugin, task_id)
        assert tasks.engine.troubles() == []
    assert numbers(tmp_path, task_id) == list(range(1, 2_001))


async def test_a_failed_sync(tmp_path: Path) -> None:
    """After a failed fdatasync the guarantee is reported broken until the entries are stored; nothing is lost.

    A task that ends meanwhile is reported finished only once the store has it. New entries go to a new segment, and
    those not stored yet are copied to another.
    """
    disk = FaultyDisk()
    async with numbering(tmp_path, disk=disk, limits=Limits(memory=30_000)) as (tasks, plugin, task_id):
        assert await tasks.engine.settle(10)
        with held(tmp_path / "asynclog.db") as release:
            plugin.log(500)
            before = {path.name for path in (tmp_path / "journal").iterdir()}
            disk.sync_error = errno.EIO
            assert not await tasks.engine.journal.sync()
            disk.sync_error = None
            assert not await tasks.engine.journal.sync(), "not certain before it is stored"
            after = {path.name for path in (tmp_path / "journal").iterdir()}
            assert len(after - before) >= 1
            assert any("did not confirm" in trouble for trouble in tasks.engine.troubles())
            plugin.log(500)
            plugin.enough()
            ending = asyncio.create_task(tasks.wait(task_id))
            _, waiting = await asyncio.wait([ending], timeout=0.3)
            assert waiting, "neither the disk nor the store has confirmed its end"
            release()
            assert (await ending).status == "success"
        await finished(tasks, plugin, task_id)
        assert tasks.engine.troubles() == []
        assert await tasks.engine.journal.sync()
    assert numbers(tmp_path, task_id) == list(range(1, 1_001))
    assert not list((tmp_path / "journal").glob("*.rescue"))


async def test_a_disk_that_never_syncs(tmp_path: Path) -> None:
    """A disk that refuses every sync makes neither a file for each attempt nor a task that never ends."""
    disk = FaultyDisk()
    async with numbering(tmp_path, disk=disk) as (tasks, plugin, task_id):
        disk.sync_error = errno.EIO
        for _ in range(50):
            plugin.log(10)
            assert not await tasks.engine.journal.sync()
        assert len(list((tmp_path / "journal").iterdir())) < 10
        assert (await finished(tasks, plugin, task_id)).status == "success"
    assert numbers(tmp_path, task_id) == list(range(1, 501))


async def test_no_journal_at_the_start(tmp_path: Path) -> None:
    """A journal that cannot be written at the start is a sentence with its path, and the directory is free again."""
    disk = FaultyDisk()
    disk.create_error = errno.EROFS
    with pytest.raises(JournalError, match=f"{tmp_path}/journal cannot be opened"):
        async with asynclog.open(tmp_path, disk=disk):
            pass
    (tmp_path / "journal").rmdir()
    (tmp_path / "journal").write_text("a file")
    with pytest.raises(JournalError):
        async with asynclog.open(tmp_path):
            pass
    (tmp_path / "journal").unlink()
    async with asynclog.open(tmp_path):
        pass


async def test_damage_between_two_lives(tmp_path: Path) -> None:
    """A torn tail, a flipped bit, files that are not ours: the service starts, keeps the valid rest, and says what.

    The entries that went with the damaged part are named by their range.
    """
    limits = Limits(segment=3_000)
    async with numbering(tmp_path / "a", limits=limits) as (tasks, plugin, task_id):
        assert await tasks.engine.settle(10)
        with held(tmp_path / "a" / "asynclog.db"):
            plugin.log(200)
            (tmp_path / "b").mkdir()
            _ = shutil.copytree(tmp_path / "a" / "journal", tmp_path / "b" / "journal")
        for path in (tmp_path / "a").glob("asynclog.db*"):
            shutil.copy(path, tmp_path / "b")
        await finished(tasks, plugin, task_id)
    segments = sorted((tmp_path / "b" / "journal").iterdir())
    flipped = bytearray(segments[2].read_bytes())
    flipped[1_500] ^= 4
    segments[2].write_bytes(flipped)
    with segments[-1].open("ab") as file:
        file.write(b"\x20\0\0\0torn")
    (tmp_path / "b" / "journal" / "99999999999999999999.journal").write_bytes(b"")
    (tmp_path / "b" / "journal" / "readme.journal").write_bytes(b"not ours")
    async with asynclog.open(tmp_path / "b", limits=limits, settings=Settings(pinned=SETTINGS)) as tasks:
        said = " ".join(tasks.engine.troubles())
        lost = tasks.engine.writer.missing
        assert "2 damaged parts of the journal were set aside" in said
        assert f"{lost} records are missing in the journal and are lost" in said
        assert not tasks.engine.degraded
        assert 0 < lost < 40
    found = numbers(tmp_path / "b", task_id)
    assert len(found) == 200 - lost
    assert found == sorted(set(found))
    assert found[-1] == 200
    assert accounted(tmp_path / "b", task_id)[1] == lost
