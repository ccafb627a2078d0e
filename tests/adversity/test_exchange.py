"""The database's file is taken away, exchanged, emptied or locked while several commits are under way."""

import asyncio
import contextlib
import random
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from asynclog import failpoints
from tests.unit.test_writer import DEADLINE_SECONDS, desk

POINTS = ("store.applied", "store.committed", "writer.batched", "writer.committed")
SIDES = ("-wal", "-shm", "")


class Burglar:
    """Does something to the database of a folder, now and then, from whatever thread it is called."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.path = folder / "asynclog.db"
        self.taken: list[Path] = []
        """What each file that was there held when it was taken away."""
        self._copies: list[Path] = []
        self._chance = chance
        self.lock = threading.Lock()
        self._ways = (self.take, self.put_back, self.copy, self.empty, self.fail, self.fail, self.fail)

    def come(self, share: float = 0.1) -> None:
        """Perhaps do something."""
        with self.lock:
            if self._chance.random() < share:
                self._chance.choice(self._ways)()

    def take(self) -> None:
        """Remove the file; what is written by those who have it open goes nowhere."""
        if self._save(state := self.path.with_name(f"taken-{len(self.taken)}.db")):
            self.taken.append(state)
        for side in SIDES:
            self.path.with_name(self.path.name + side).unlink(missing_ok=True)

    def copy(self) -> None:
        """Remember how it is now."""
        if self._save(state := self.path.with_name(f"copy-{len(self._copies)}.db")):
            self._copies.append(state)

    def _save(self, path: Path) -> bool:
        """Keep what is committed now; False where there are not even tables."""
        if not self.path.exists():
            return False
        with (
            contextlib.closing(sqlite3.connect(self.path)) as connection,
            contextlib.closing(sqlite3.connect(path)) as state,
        ):
            connection.backup(state)
            return state.execute("SELECT 1 FROM sqlite_schema WHERE name = 'watermark'").fetchone() is not None

    def put_back(self) -> None:
        """Put an earlier state in its place."""
        if self._copies:
            self.take()
            shutil.copy(self._chance.choice(self._copies), self.path)

    def empty(self) -> None:
        """Put an empty file in its place."""
        self.take()
        self.path.touch()

    def fail(self) -> None:
        """Let whoever comes by fail."""
        raise self._chance.choice([sqlite3.OperationalError("injected"), MemoryError(), OSError("injected")])


def stored(path: Path) -> list[int]:
    """The seqs of a database, by record number."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT seq FROM task_logs WHERE task_id = 't' ORDER BY id")]


@pytest.mark.parametrize("seed", range(4))
async def test_each_entry_is_in_a_database_that_was_there(tmp_path: Path, seed: int) -> None:
    """Whatever becomes of the file, wherever a commit is: each entry is in one that was there, or in today's, in order;
    none is taken for stored that went nowhere, and the writer is done in the end.
    """
    chance = random.Random(seed)
    burglar = Burglar(tmp_path, chance)
    async with desk(tmp_path, most=chance.choice([20, 50]), segment_bytes=5_000, budget=20_000) as one:
        for point in POINTS:
            failpoints.arm(point, burglar.come)
        try:
            one.start()
            for turn in range(20):
                if turn == 10:
                    with burglar.lock:
                        burglar.take()
                one.log(chance.randrange(300))
                one.writer.flush()
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(chance.choice([0, 0, 0.002]))
                await one.clock.advance(0.3)
                with contextlib.suppress(Exception):
                    burglar.come()
        finally:
            for point in POINTS:
                failpoints.arm(point, None)
        barrier = asyncio.create_task(one.writer.barrier(DEADLINE_SECONDS))
        await one.until(barrier.done, step=1.0)
        assert one.writer.missing == one.journal.pending_bytes == 0
        assert await one.store.watermark(one.journal.journal_id) == one.journal.last_id
    found = [stored(path) for path in (burglar.path, *burglar.taken)]
    assert all(seqs == sorted(set(seqs)) for seqs in found)
    assert {seq for seqs in found for seq in seqs} == set(range(1, one.feed.last_seq + 1))
    assert burglar.taken
