"""The journal: numbering, spilling, dropping, rolling, sealing. More of its faults in tests/adversity and property."""

import asyncio
import contextlib
import errno
import gc
import os
import shutil
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest

from asynclog import failpoints, records, segments
from asynclog.disk import Disk
from asynclog.errors import JournalError
from asynclog.feed import Feed
from asynclog.intake import Batch, Intake
from asynclog.journal import Journal
from asynclog.ledger import FRAME_MEMORY, Ledger
from asynclog.logger import TaskLogger
from asynclog.model import Sealed
from asynclog.records import EntryRecord, GapRecord, encode
from asynclog.segments import Segment
from asynclog.settings import Dials
from asynclog.shelf import FIRST_BYTES
from asynclog.testing import FaultyDisk

Opener = Callable[..., Journal]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Opens journals in one folder, and closes them after the test."""
    journals: list[Journal] = []

    def begin(**options: object) -> Journal:
        if journals:
            journals[-1].close()
        journals.append(Journal(tmp_path / "journal", **options))  # type: ignore[arg-type]  # as given
        return journals[-1]

    yield begin
    for journal in journals:
        journal.close()


def entry(number: int = 0, size: int = 0) -> bytes:
    return encode(EntryRecord("t", number, 20, "plugin", None, None, None, f"{number}" + "x" * size, None))


def written(path: Path) -> int:
    """Bytes of a segment up to the end of its last record."""
    segment = Segment(path)
    for _ in segment.frames():
        pass
    return segment.offset


def test_numbers_are_dense(opened: Opener) -> None:
    """Each entry takes the next seq of its task and the next id of all; a batch as many of both as it has entries."""
    journal, one, two = opened(), Feed("one"), Feed("two")
    assert [journal.append(one, entry(), 20), journal.append(two, entry(), 20)] == [1, 1]
    assert journal.append(None, b"a state") == 3
    assert journal.append(one, b"a batch", span=10, levels=[0, 0, 9, 1, 0]) == 2
    assert journal.append(one, entry(), 40) == 12
    assert journal.last_id == 14
    frames, feeds, last = journal.take()
    assert [(frame[0], frame[1], frame[2]) for frame in frames] == [
        (1, 1, 1),
        (2, 1, 1),
        (3, 0, 1),
        (4, 2, 10),
        (14, 12, 1),
    ]
    assert feeds == [one, two, None, one, one]
    assert last == 14
    assert one.by_level() == {"DEBUG": 0, "INFO": 10, "WARNING": 1, "ERROR": 1}
    assert list(journal.read(0, last)) == list(frames)


def test_a_reopened_journal_goes_on(opened: Opener) -> None:
    """The identity stays, numbers go on, unstored records are still there, stored ones are not looked for."""
    journal = opened(segment_bytes=200)
    identity = journal.journal_id
    for number in range(20):
        journal.append(None, entry(number))
    again = opened(segment_bytes=200)
    assert (again.journal_id, again.last_id, again.stored_id) == (identity, 20, 0)
    again.mark_stored(15)
    again.remove_stored()
    last = opened(segment_bytes=200)
    assert last.last_id == 20
    assert 10 <= last.stored_id <= 15, "what is below the first segment was stored, or it would be there"
    last.mark_stored(20)
    empty = opened()
    assert (empty.last_id, empty.stored_id, empty.size) == (20, 20, segments.HEAD_BYTES)


def test_numbering_begins_above_the_store(opened: Opener) -> None:
    """Numbers that the store knows are never given again, and the jump is no loss."""
    journal = opened(floor=100)
    assert journal.append(None, entry()) == 101
    assert journal.stored_id == 100
    again = opened(floor=500)
    assert again.append(None, entry()) == 501
    assert again.jump == (101, 500)


@pytest.mark.parametrize("torn", [b"", b"ASYNCLOG and not more"])
def test_a_crash_while_a_segment_is_begun(opened: Opener, tmp_path: Path, torn: bytes) -> None:
    """A newest segment without a whole head does not make numbering go back: what the one before holds counts."""
    journal = opened()
    for number in range(10):
        journal.append(None, entry(number))
    journal.close()
    segments.path_of(tmp_path / "journal", 11).write_bytes(torn)
    again = opened()
    assert again.append(None, entry(10)) == 11
    assert [frame[0] for frame in again.read(0, 100)] == list(range(1, 12))
    assert again.damaged_files == bool(torn)


def test_a_segment_that_cannot_be_begun(opened: Opener, tmp_path: Path) -> None:
    """A roll that fails leaves neither a half segment nor a lost record, and is made up for later."""
    disk = FaultyDisk()
    journal = opened(disk=disk, segment_bytes=300)
    journal.append(None, entry(0))
    before = sorted((tmp_path / "journal").iterdir())
    disk.room = 20
    for number in range(1, 10):
        assert journal.append(None, entry(number)) == number + 1
    assert sorted((tmp_path / "journal").iterdir()) == before
    assert journal.trouble is not None
    frames, _, last = journal.take()
    assert [frame[0] for frame in frames] == list(range(1, last + 1))


def test_memory_is_bounded_by_spilling(opened: Opener) -> None:
    """Beyond the budget records are in the journal only; the inbox shows that by a hole, and nothing is dropped."""
    journal, feed = opened(budget=10 * (FRAME_MEMORY + 20)), Feed("t")
    for number in range(100):
        assert journal.append(feed, entry(number), 20) == number + 1
    frames, _, last = journal.take()
    assert 0 < len(frames) < 20
    assert last == 100
    assert journal.spilled == 100 - len(frames)
    assert journal.pending_bytes <= 10 * (FRAME_MEMORY + 20)
    assert len(list(journal.read(0, last))) == 100
    journal.release(len(frames), sum(len(frame[3]) for frame in frames))
    assert journal.pending_bytes == 0
    assert feed.dropped == 0


async def test_memory_is_what_is_counted(opened: Opener) -> None:
    """A record takes about what is counted for it: in the inbox, once it was taken, and in a batch."""
    journal, count = opened(), 5000
    logger = TaskLogger(journal, Feed("t" * 26), Dials(), time.time_ns)
    logger.info("the first one")
    journal.take()
    gc.collect()
    tracemalloc.start()
    try:
        before, counted = tracemalloc.get_traced_memory()[0], journal.pending_bytes

        def taken() -> float:
            gc.collect()
            return (tracemalloc.get_traced_memory()[0] - before) / (journal.pending_bytes - counted)

        for number in range(count):
            logger.info("fetched %d charts from the dashboard and stored them where they belong, as they were", number)
        assert 0.8 < taken() < 1.1
        intake, batch = Intake(journal), Batch()
        intake.taken = 1
        intake.put(journal.take()[0])
        assert 0.8 < taken() < 1.1
        await intake.fill(batch, journal.last_id)
        assert len(batch.frames) == count
        assert 0.8 < taken() < 1.1
    finally:
        tracemalloc.stop()


def test_dropping_is_one_range(opened: Opener) -> None:
    """With memory and quota used up a task's entries are dropped as one range, named as soon as there is room."""
    journal, feed, other = opened(budget=20_000, quota=20_000), Feed("t"), Feed("other")
    seqs = [journal.append(feed, entry(number, 200), 20) for number in range(400)]
    kept = seqs.index(0)
    assert seqs == [*range(1, kept + 1), *[0] * (400 - kept)]
    assert (feed.dropped, feed.last_seq, feed.head) == (400 - kept, 400, kept)
    assert (feed.gap().from_seq, feed.gap().to_seq) == (kept + 1, 400)
    frames, _, last = journal.take()
    journal.release(len(frames), sum(len(frame[3]) for frame in frames))
    journal.mark_stored(last)
    assert journal.append(other, entry(), 20) == 1
    assert journal.append(feed, entry(), 20) == 401
    records_ = [records.decode(frame[3]) for frame in journal.take()[0]]
    gaps = [record.gap for record in records_ if isinstance(record, GapRecord)]
    assert [(gap.from_seq, gap.to_seq) for gap in gaps] == [(kept + 1, 400)]
    assert feed.head == 401


def test_state_has_a_reserve(opened: Opener) -> None:
    """Where entries have no room any more, what happens to tasks still has."""
    journal, feed = opened(budget=5_000, quota=5_000), Feed("t")
    while not feed.dropped:
        journal.append(feed, entry(0, 100), 20)
    for _ in range(100):
        assert journal.append(None, b"x" * 1_000)
    assert journal.lost == 0


def test_the_reserve_is_bounded(opened: Opener) -> None:
    """What happens to tasks is counted as lost where not even the reserve has room, and the call raises nothing."""
    journal, feed = opened(budget=5_000, quota=5_000), Feed("t")
    while not feed.dropped:
        journal.append(feed, entry(0, 100), 20)
    kept = 0
    while journal.append(None, b"x" * (1 << 20)):
        kept += 1
    assert kept == 7, "of the 8 MiB"
    assert journal.lost == 1
    assert journal.append(None, b"x" * (1 << 20)) == 0
    assert journal.lost == 2


async def test_dropping_ends_where_the_quota_has_room(opened: Opener) -> None:
    """With memory still full a task's entries are taken again as soon as segments are removed."""
    journal, feed = opened(budget=5_000, quota=20_000, segment_bytes=4_000), Feed("t")
    while not feed.dropped:
        journal.append(feed, entry(0, 100), 20)
    journal.mark_stored(journal.last_id)
    journal.remove_stored()
    assert journal.append(feed, entry(), 20) == feed.last_seq > 0
    gap, last = [records.decode(frame[3]) for frame in journal.read(journal.stored_id, journal.last_id)]
    assert isinstance(gap, GapRecord)
    assert (gap.gap.to_seq, isinstance(last, EntryRecord)) == (feed.last_seq - 1, True)


def test_dropping_stays_one_range_while_writes_fail(opened: Opener) -> None:
    """With memory full and a disk that refuses, room in the quota is none: no gap is named before an entry follows."""
    disk = FaultyDisk()
    journal, feed = opened(disk=disk, budget=5_000), Feed("t")
    disk.write_error = errno.ENOSPC
    seqs = [journal.append(feed, entry(number, 100), 20) for number in range(100)]
    kept = seqs.index(0)
    assert seqs[kept:] == [0] * (100 - kept)
    assert (feed.gap().from_seq, feed.gap().to_seq) == (kept + 1, 100)
    assert [frame[1] for frame in journal.take()[0]] == list(range(1, kept + 1))


async def test_trouble_is_told_once(opened: Opener, caplog: pytest.LogCaptureFixture) -> None:
    """The service's own log says once that the journal cannot be written, and once that it can be again."""
    disk = FaultyDisk()
    journal, feed = opened(disk=disk), Feed("t")
    disk.write_error = errno.ENOSPC
    for number in range(10):
        journal.append(feed, entry(number), 20)
    [told] = caplog.records
    assert (told.levelname, told.getMessage()) == (
        "ERROR",
        "the journal cannot be written: [Errno 28] injected",
    )
    disk.write_error = None
    async with asyncio.timeout(30):
        while "new entries" in (journal.trouble or ""):
            journal.append(feed, entry(), 20)
            await asyncio.sleep(0.01)
    assert [(record.levelname, record.getMessage()) for record in caplog.records[1:]] == [
        ("WARNING", "the journal can be written again")
    ]


def test_a_write_that_fails_while_memory_is_full(opened: Opener) -> None:
    """The very record whose write fails is dropped, and named, where there is no memory for it either."""
    disk = FaultyDisk()
    journal, feed = opened(disk=disk, budget=2_000), Feed("t")
    for number in range(20):
        assert journal.append(feed, entry(number), 20) == number + 1
    assert journal.spilled
    disk.write_error = errno.EIO
    assert journal.append(feed, entry(20), 20) == 0
    assert (feed.gap().from_seq, feed.gap().to_seq, journal.dropped) == (21, 21, 1)
    assert [frame[1] for frame in journal.read(0, journal.last_id)] == list(range(1, 21))


async def test_an_entry_is_synced_without_being_asked(opened: Opener) -> None:
    """Whatever is written reaches the disk by itself, also when nothing was written for long."""
    disk = FaultyDisk()
    journal, feed = opened(disk=disk), Feed("t")
    assert await journal.sync()
    for _ in range(3):
        before = disk.syncs
        journal.append(feed, entry(), 20)
        async with asyncio.timeout(10):
            while disk.syncs == before:
                await asyncio.sleep(0.01)


async def test_what_was_only_in_memory_is_certain_once_stored(opened: Opener) -> None:
    """Records that the quota had no room for are told of until the store has the last of them, and no longer."""
    journal, feed = opened(quota=5_000), Feed("t")
    for number in range(60):
        assert journal.append(feed, entry(number, 100), 20) == number + 1
    assert len(list(journal.read(0, 60))) < 50
    assert not await journal.sync()
    journal.mark_stored(journal.last_id - 1)
    assert not await journal.sync()
    journal.mark_stored(journal.last_id)
    assert await journal.sync()


def test_sealing_while_dropping(opened: Opener) -> None:
    """A task that ends while entries are dropped has its gap named first, and its closing record last."""
    journal, feed = opened(budget=5_000, quota=5_000), Feed("t")
    for _ in range(100):
        journal.append(feed, entry(0, 100), 20)
    sealed: list[Sealed] = []

    def close(what: Sealed) -> bytes:
        sealed.append(what)
        return b"closed"

    result = journal.seal(feed, close)
    assert sealed == [result]
    assert (result.count, result.last_seq) == (100 - feed.dropped, 100)
    frames, _, last = journal.take()
    found = list(journal.read(0, last))
    payloads = [frame[3] for frame in (found if found[-1][0] > frames[-1][0] else frames)]
    gap = records.decode(payloads[-2])
    assert isinstance(gap, GapRecord)
    assert gap.gap.to_seq == 100
    assert payloads[-1] == b"closed"
    assert journal.append(feed, entry(), 20) == 0
    assert feed.late == 1
    assert feed.last_seq == 100


async def test_power_safety_is_not_claimed_for_memory(opened: Opener) -> None:
    """While records are in memory only, a sync that succeeds is no promise; once they are stored, it is."""
    disk = FaultyDisk()
    journal = opened(disk=disk)
    journal.append(None, entry(1))
    assert await journal.sync()
    disk.write_error = errno.ENOSPC
    journal.append(None, entry(2))
    disk.write_error = None
    assert not await journal.sync()
    journal.mark_stored(journal.last_id)
    assert not await journal.sync(), "the next write could still fail"
    while journal.trouble is not None and "new entries" in journal.trouble:
        journal.append(None, entry(3))
        await asyncio.sleep(0.01)
    journal.mark_stored(journal.last_id)
    assert await journal.sync()


async def test_a_failed_sync_with_everything_stored(opened: Opener, tmp_path: Path) -> None:
    """When there is nothing to rescue, a failed sync takes no file from under the journal."""
    disk = FaultyDisk()
    journal = opened(disk=disk)
    journal.append(None, entry(1))
    journal.mark_stored(1)
    disk.sync_error = errno.EIO
    assert not await journal.sync()
    disk.sync_error = None
    assert journal.append(None, entry(2)) == 2
    assert [frame[0] for frame in journal.read(1, 100)] == [2]
    journal.mark_stored(2)
    assert await journal.sync()
    assert not list((tmp_path / "journal").glob("*.rescue"))


async def test_a_failed_sync_copies_what_is_not_stored(opened: Opener, tmp_path: Path) -> None:
    """After a failed sync, what is not stored lies in one new synced segment, and the reader notices nothing."""
    disk = FaultyDisk()
    journal = opened(disk=disk, segment_bytes=300)
    for number in range(50):
        journal.append(None, entry(number))
    reading = journal.read(5, 50)
    assert next(reading)[0] == 6
    journal.mark_stored(20)
    disk.sync_error = errno.EIO

    def heal() -> None:
        disk.sync_error = None

    failpoints.arm("journal.rolled", heal)
    try:
        assert not await journal.sync()
    finally:
        failpoints.arm("journal.rolled", None)
    names = sorted(path.name for path in (tmp_path / "journal").iterdir())
    assert names == [segments.path_of(Path(), first).name for first in (21, 51)]
    assert [frame[0] for frame in reading][-30:] == list(range(21, 51))
    assert [frame[0] for frame in journal.read(20, 100)] == list(range(21, 51))
    assert journal.size == sum(written(path) for path in (tmp_path / "journal").iterdir())
    journal.append(None, entry(50))
    again = opened()
    assert [frame[0] for frame in again.read(20, 100)] == list(range(21, 52))


async def test_the_size_is_what_was_written(opened: Opener, tmp_path: Path) -> None:
    """However segments come and go, the size that the quota is held against is what was written to the files.

    That is also what a closed segment takes on disk; the one being written has its room already.
    """
    folder = tmp_path / "journal"
    journal = opened(segment_bytes=400)
    for number in range(60):
        journal.append(None, entry(number))
        if number % 20 == 19:
            journal.mark_stored(number - 5)
            journal.remove_stored()
        assert journal.size == sum(written(path) for path in folder.iterdir())
    assert await journal.sync()
    *closed, active = sorted(folder.iterdir())
    assert [path.stat().st_size for path in closed] == [written(path) for path in closed]
    assert active.stat().st_size == 400 > written(active)
    victim = closed[0]
    journal.close()
    assert active.stat().st_size == written(active)
    with victim.open("ab") as file:
        file.write(b"torn")
    again = opened(segment_bytes=400)
    assert len(list(again.read(again.stored_id, 1 << 60))) == 60 - again.stored_id
    assert again.damaged_files == 1
    assert again.size == sum(written(path) for path in folder.glob("*.journal"))


def test_the_room_of_segments(opened: Opener, tmp_path: Path) -> None:
    """Room is taken little first and twice as much each time, not beyond the quota, and given back at the end."""
    folder = tmp_path / "journal"
    journal, feed = opened(segment_bytes=1 << 20, quota=3 << 20), Feed("t")
    rooms: dict[str, int] = {}
    while journal.trouble is None:
        assert journal.append(feed, entry(size=50_000), 20)
        active = max(folder.iterdir())
        rooms.setdefault(active.name, active.stat().st_size)
    assert [room >> 10 for room in rooms.values()][:4] == [256, 512, 1024, 1024]
    assert journal.size <= 3 << 20 < journal.size + 60_000
    assert sum(path.stat().st_size for path in folder.iterdir()) <= (3 << 20) + FIRST_BYTES
    journal.close()
    assert sum(path.stat().st_size for path in folder.iterdir()) == journal.size
    assert opened().append(None, entry(size=1 << 20)), "a record that is larger than the first room has its own"


def test_a_record_larger_than_a_segment(opened: Opener) -> None:
    """A record that no segment has room for lies in one of its own, filled to the last byte."""
    journal, feed = opened(segment_bytes=4096), Feed("t")
    for size in (10, 5000, 10, 300_000, 10):
        assert journal.append(feed, entry(0, size), 20)
    assert [len(frame[3]) for frame in journal.read(0, 5)] == [len(entry(0, s)) for s in (10, 5000, 10, 300_000, 10)]


def test_what_a_crash_leaves_is_counted_as_written(opened: Opener, tmp_path: Path) -> None:
    """The room that a killed process had taken beyond its records is given back at the start, and is in no quota."""
    journal = opened()
    for number in range(10):
        journal.append(None, entry(number))
    shutil.copytree(tmp_path / "journal", tmp_path / "killed")
    [left] = (tmp_path / "killed").iterdir()
    assert left.stat().st_size == FIRST_BYTES
    again = Journal(tmp_path / "killed")
    try:
        assert left.stat().st_size == written(left)
        assert again.size == written(left) + segments.HEAD_BYTES
    finally:
        again.close()


def test_what_is_stored_leaves_no_record(opened: Opener, tmp_path: Path) -> None:
    """A journal that is closed with everything stored leaves one segment without a record, which tells its number."""
    journal = opened()
    for number in range(5):
        journal.append(None, entry(number))
    journal.mark_stored(5)
    journal.close()
    [left] = (tmp_path / "journal").iterdir()
    assert (left.name, left.stat().st_size) == (segments.path_of(Path(), 6).name, segments.HEAD_BYTES)


def test_a_segment_in_the_way_is_kept(opened: Opener, tmp_path: Path) -> None:
    """Where a file with records has the name of the next segment, it is kept beside, and counted."""
    journal = opened(segment_bytes=4096)
    journal.append(None, entry(0))
    in_the_way = segments.path_of(tmp_path / "journal", 2)
    shutil.copy(segments.path_of(tmp_path / "journal", 1), in_the_way)
    before = in_the_way.read_bytes()
    assert journal.append(None, entry(1, 5000)) == 2
    assert journal.damaged_files == 1
    assert in_the_way.with_name(f"{in_the_way.name}.damaged").read_bytes() == before
    assert [frame[0] for frame in journal.read(0, 9)] == [1, 2]


def test_a_damaged_head_is_set_aside_at_the_start(opened: Opener, tmp_path: Path) -> None:
    """A segment whose head is damaged is set aside before anything is read, and takes nothing from the others."""
    journal = opened(segment_bytes=300)
    for number in range(20):
        journal.append(None, entry(number))
    journal.close()
    _, victim, third, *_ = sorted((tmp_path / "journal").iterdir())
    lost = range(int(victim.stem), int(third.stem))
    with victim.open("r+b") as file:
        file.write(b"?")
    again = opened(segment_bytes=300)
    assert again.damaged_files == 1
    assert not victim.exists()
    assert [frame[0] for frame in again.read(0, 20)] == [number for number in range(1, 21) if number not in lost]


def test_leftovers_of_a_rescue_are_removed(opened: Opener, tmp_path: Path) -> None:
    """A rescue that was killed leaves a draft, which the next start removes: its records are where they came from."""
    opened().append(None, entry(1))
    (tmp_path / "journal" / "00000000000000000001.rescue").write_bytes(b"half")
    again = opened()
    assert [frame[0] for frame in again.read(0, 9)] == [1]
    assert not list((tmp_path / "journal").glob("*.rescue"))


def test_a_segment_of_another_journal(opened: Opener, tmp_path: Path) -> None:
    """A segment of another data directory is set aside and counted, and takes nothing from our own records."""
    journal = opened(segment_bytes=300)
    for number in range(20):
        journal.append(None, entry(number))
    journal.close()
    other = Journal(tmp_path / "other", floor=7)
    other.append(None, entry(99))
    other.close()
    stranger = segments.path_of(tmp_path / "other", 8)
    stranger.replace(tmp_path / "journal" / stranger.name)
    again = opened()
    assert [frame[3] for frame in again.read(0, 100)] == [entry(number) for number in range(20)]
    assert again.damaged_files == 1
    assert len(list((tmp_path / "journal").glob("*.foreign"))) == 1


def test_permissions(opened: Opener, tmp_path: Path) -> None:
    """The folder is private to its owner, and so is every segment."""
    opened()
    folder = tmp_path / "journal"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())


def test_a_journal_that_cannot_be_opened(tmp_path: Path) -> None:
    """The error names the folder and the reason."""
    (tmp_path / "journal").write_bytes(b"")
    with pytest.raises(JournalError, match="journal cannot be opened"):
        Journal(tmp_path / "journal")


def test_calls_after_the_end(opened: Opener) -> None:
    """A closed journal takes nothing and raises nothing; closing twice does nothing."""
    journal = opened()
    journal.close()
    journal.close()
    assert journal.append(Feed("t"), entry(), 20) == 0
    assert journal.append(None, entry()) == 0


def test_wakes_are_coalesced(opened: Opener) -> None:
    """Whoever waits is woken once for however many records come before it looks."""
    woken: list[int] = []
    journal = opened(wake=lambda: woken.append(1))
    for number in range(10):
        journal.append(None, entry(number))
    assert len(woken) == 1
    journal.take()
    journal.append(None, entry(10))
    assert len(woken) == 2


def test_entries_wake_nobody_who_can_wait(opened: Opener) -> None:
    """Who takes the inbox says how many ids may follow before it is woken; any record that is no entry wakes it."""
    woken: list[int] = []
    feed = Feed("t")
    journal: Journal = opened(wake=lambda: woken.append(journal.last_id))
    journal.take(10)
    for _ in range(10):
        journal.append(feed, entry(), 20)
    assert woken == []
    journal.append(feed, entry(), 20)
    journal.append(feed, entry(), 20)
    journal.append(None, b"a state")
    assert woken == [11], "once, until somebody comes"
    assert len(journal.take(10)[0]) == 13
    journal.append(feed, b"a batch", span=11, levels=[0, 0, 11, 0, 0])
    journal.take(10)
    journal.append(None, b"a state")
    assert woken == [11, 24, 25]


def test_descriptors_are_given_back(tmp_path: Path) -> None:
    """Rolling, failing and closing leave no file open."""

    def open_files() -> set[str]:
        return {target for path in Path("/proc/self/fd").iterdir() if (target := _target(path))}

    disk = FaultyDisk()
    journal = Journal(tmp_path / "journal", segment_bytes=200, disk=disk)
    for turn in range(60):
        disk.create_error = errno.ENOSPC if turn % 7 == 3 else None
        disk.room = 10 if turn % 11 == 5 else None
        journal.append(None, entry(turn))
    journal.close()
    assert not [path for path in open_files() if str(tmp_path) in path]


def _target(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:  # that of the listing itself
        return ""


def test_the_default_disk_is_the_systems(tmp_path: Path) -> None:
    """A file made for a segment is not inherited by children, and no link is followed."""
    fd = Disk().create(tmp_path / "file")
    assert not os.get_inheritable(fd)
    os.close(fd)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="link"):
        Disk().create(tmp_path / "link")


class InterruptedDisk(Disk):
    """One on which a signal handler raises right after a file was made, once, when told to."""

    armed = False

    def create(self, path: Path) -> int:
        """An empty file."""
        fd = super().create(path)
        if self.armed:
            self.armed = False
            os.close(fd)
            raise KeyboardInterrupt
        return fd


@pytest.mark.parametrize("sealing", [False, True])
def test_interrupted_rolling(opened: Opener, *, sealing: bool) -> None:
    """Where a signal handler raises while a segment is begun, records that fit into the one before are found there."""
    disk = InterruptedDisk()
    journal, feed, other = opened(disk=disk, segment_bytes=4096), Feed("t"), Feed("other")
    assert journal.append(feed, entry(1, 2000), 20) == 1
    large = entry(0, 3000)
    roll = partial(journal.seal, other, lambda _: large) if sealing else partial(journal.append, feed, large)
    disk.armed = True
    with pytest.raises(KeyboardInterrupt):
        roll()
    for number in range(2, 12):
        assert journal.append(feed, entry(number, 1000), 20) == number
    for after in range(11):
        assert [frame[1] for frame in journal.read(after, journal.last_id)] == list(range(after + 1, 12))


@contextlib.contextmanager
def interrupted(code: CodeType, line: int) -> Iterator[None]:
    """A signal handler raises whenever this line is about to run."""

    def trace(frame: FrameType, _event: str, _: Any) -> Any:
        if frame.f_code is code and frame.f_lineno == line:
            raise KeyboardInterrupt
        return trace

    former = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(former)


def test_interrupted_taking(opened: Opener) -> None:
    """Wherever a signal handler raises while the inbox is looked through, all of it is there the next time."""
    journal, feed = opened(), Feed("t")
    code = Ledger.take.__code__
    lines = sorted({line for _, _, line in code.co_lines() if line is not None})[1:-1]
    assert len(lines) > 1
    for line in lines:
        journal.append(feed, entry(line), 20)
        with pytest.raises(KeyboardInterrupt), interrupted(code, line):
            journal.take()
    frames, feeds, _ = journal.take()
    assert [frame[1] for frame in frames] == list(range(1, len(lines) + 1))
    assert feeds == [feed] * len(lines)
    journal.release(len(frames), frames.size)
    assert journal.pending_bytes == 0


@pytest.mark.parametrize("function", [Ledger.take, Ledger.put])
def test_interrupted_counting(opened: Opener, function: FunctionType) -> None:
    """Wherever a signal handler raises while records are counted as in memory or taken from it, none is counted any
    more once all of them are stored: with a few thousand that stay, everything would go through the disk.
    """
    journal, feed = opened(), Feed("t")
    for line in sorted({line for _, _, line in function.__code__.co_lines() if line is not None})[1:]:
        journal.append(feed, entry(line), 20)
        with contextlib.suppress(KeyboardInterrupt), interrupted(function.__code__, line):
            journal.append(feed, entry(line), 20)
            journal.take()
        journal.take()  # and never released: as if it had raised in whoever takes
        journal.mark_stored(journal.last_id)
        assert journal.pending_bytes == 0
    journal.append(feed, entry(), 20)
    journal.mark_stored(journal.last_id)
    assert journal.pending_bytes > 0, "what was not taken is in memory"


def test_logging_while_sealing(opened: Opener) -> None:
    """An entry that a finaliser logs while a task is sealed is carried out right after that."""
    journal, feed = opened(), Feed("other")

    def make(_: Sealed) -> bytes:
        assert journal.append(feed, entry(1), 20) == 0
        return b"the end"

    journal.seal(Feed("t"), make)
    assert [frame[3] for frame in journal.read(0, journal.last_id)] == [b"the end", entry(1)]
    assert feed.last_seq == 1
