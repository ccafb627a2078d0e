"""The least that an entry can cost in this interpreter: crash-safe, power-safe and stored as promised, and no more.

One thread that does all of it. In the call the level is looked at, template, keys and values are looked at for what
might hold a secret, and a record of them with labels, time and number is copied with its checksum where `kill -9`
cannot reach it, under a lock (any thread might log). Message and metadata are made of it when it is stored: in a loop,
which is cheaper than in a call that finds cold caches, and nobody follows the task. While calls go on the disk is asked
within 250 ms, and the plain loop of `bench.plain` inserts within two seconds and a sync's time; entries are counted and
have a line in a file of their run. No event loop is told of them, nothing bounds what waits, no call is safe from
errors, and a copy cut short looks like damage.
"""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import orjson

from asynclog.identity import new_id
from asynclog.logger import INFO, place
from asynclog.records import ENTRY, encode
from asynclog.segments import MARK_BYTES, pack_mark, pack_numbers
from bench import plain

SYNC_MICROSECONDS: Final = 250_000
COMMIT_MICROSECONDS: Final = 2_000_000
COMMIT_ENTRIES: Final = 8_000
SEGMENT: Final = 16 << 20
_STATEMENTS: Final = {rows: plain.statement(rows) for rows in (plain.ROWS, 100, 10, 1)}
"""By their rows: few sizes, so that each is prepared once."""
_WIDTH: Final = 4
"""Values of an entry that waits: number, time, arguments, metadata."""


class Floor:
    """Keeps the entries of one task, logged by one thread. `begin` comes before each turn.

    Args:
        folder: where its files are made.
        message: the template of every entry, which takes numbers only.
        key: of every entry's metadata, whose value is a number.
    """

    def __init__(self, folder: Path, message: str, key: str) -> None:
        self._fd = os.open(folder / "floor.seg", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.posix_fallocate(self._fd, 0, SEGMENT)
        self._memory = mmap.mmap(self._fd, SEGMENT)
        self._task = new_id()
        self._connection = plain.connect(folder / "floor.db", [self._task])
        self._run_file = (folder / "floor.log").open("w", encoding="utf-8")
        self._lock = threading.RLock()
        self._threshold = INFO
        self._message = message
        self._numeric, self._harmless = frozenset([message]), frozenset([key])
        self._labels = (place.get(), encode((self._task, INFO, "plugin", None, None, None)))
        self._number = 0
        self.written = 0
        """Bytes of the segment that hold entries not stored yet."""
        self._waiting: list[Any] = []
        self.counts: Counter[tuple[str, str, str]] = Counter()
        """Entries stored, by task, level and source."""
        self.begin()

    def begin(self) -> None:
        """Nothing was logged for a while: what comes waits for its sync and its commit from now on."""
        now = time.time_ns() // 1000
        self._sync_at, self._commit_at = (now + SYNC_MICROSECONDS, now + COMMIT_MICROSECONDS)

    def info(self, message: str, /, *args: object, **fields: object) -> None:
        """Take an entry; `kill -9` cannot lose it afterwards."""
        if self._threshold > INFO:
            return
        where, labels = self._labels
        if message not in self._numeric or place.get() is not where:
            raise ValueError("nothing else is logged here")
        for key, value in fields.items():
            if key not in self._harmless or type(value) is not int:
                raise ValueError("nothing else is logged here")
        now = time.time_ns() // 1000
        payload = encode((ENTRY, labels, now, message, args, fields))
        with self._lock:
            self._number = number = self._number + 1
            body = pack_numbers(number, number, 1) + payload
            start = self.written
            self.written = end = start + MARK_BYTES + len(body)
            self._memory[start:end] = pack_mark(len(payload), crc32(body)) + body
            self._waiting += (number, now, args, fields)
        if now >= self._sync_at:
            self._look(now)

    def _look(self, now: int) -> None:
        self._sync_at = now + SYNC_MICROSECONDS
        if now >= self._commit_at or len(self._waiting) >= _WIDTH * COMMIT_ENTRIES:
            self._commit_at = now + COMMIT_MICROSECONDS
            self.commit()  # which is synced itself
        else:
            os.fdatasync(self._fd)

    def commit(self) -> None:
        """Store what there is, in one transaction, and let its lines follow."""
        waiting, self._waiting = self._waiting, []
        numbers, times, args, fields = (waiting[column::_WIDTH] for column in range(_WIDTH))
        count = len(numbers)
        texts = list(map(self._message.__mod__, args))
        metadata = [data.decode() for data in map(orjson.dumps, fields)]
        values: list[object] = [self._task] * (plain.WIDTH * count)
        for column, found in ((0, numbers), (2, numbers), (3, times), (4, texts), (5, metadata)):
            values[column :: plain.WIDTH] = found
        self._connection.execute("BEGIN")
        start = 0
        for rows, statement in _STATEMENTS.items():
            size = plain.WIDTH * rows
            while len(values) - start >= size:
                self._connection.execute(statement, values[start : start + size])
                start += size
        self._connection.execute("COMMIT")
        self.counts[self._task, "INFO", "plugin"] += count
        self._run_file.writelines(map("%d INFO plugin %s %s\n".__mod__, zip(times, texts, metadata, strict=True)))
        self._run_file.flush()
        self.written = 0

    def close(self) -> None:
        """Close its files."""
        self._run_file.close()
        self._connection.close()
        self._memory.close()
        os.close(self._fd)
