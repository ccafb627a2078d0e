"""The least that an entry can cost in this interpreter when what is promised of it is kept, and nothing else is done.

One thread that does all of it: the level is looked at, the message formatted, template and keys looked up among those
that hold no secrets, the entry labelled, encoded, numbered under a lock (any thread may log) and copied with its
checksum where `kill -9` cannot reach it; the disk is asked for it within 250 ms; the plain loop of `bench.plain`
inserts it within two seconds; it is counted, and has a line in a file of its run. No event loop is told of it, nobody
can follow it, nothing bounds what waits, and any other message, key, place or full disk is an error.
"""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Final
from zlib import crc32

import orjson

from asynclog.logger import INFO, place
from asynclog.records import ENTRY, encode
from asynclog.segments import MARK_BYTES, pack_mark, pack_numbers
from bench import plain

SYNC_MICROSECONDS: Final = 250_000
COMMIT_MICROSECONDS: Final = 2_000_000
COMMIT_ENTRIES: Final = 8_000
SEGMENT: Final = 16 << 20
_ROWS: Final = (plain.ROWS, 100, 10, 1)
"""Of a statement: few sizes, so that each is prepared once."""
_TASK: Final = "floor"


class Floor:
    """Keeps the entries of one task. The first turn begins with it, each further one with `begin`.

    Args:
        folder: where its files are made.
        message: the template of every entry, which takes numbers only.
        key: of every entry's metadata, whose value is a number.
    """

    def __init__(self, folder: Path, message: str, key: str) -> None:
        self._fd = os.open(folder / "floor.seg", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.posix_fallocate(self._fd, 0, SEGMENT)
        self._memory = mmap.mmap(self._fd, SEGMENT)
        self._connection = plain.connect(folder / "floor.db", [_TASK])
        self._run_file = (folder / "floor.log").open("w", encoding="utf-8")
        self._lock = threading.RLock()
        self._threshold = INFO
        self._numeric, self._harmless = frozenset([message]), frozenset([key])
        self._labels = place.get(), encode((_TASK, INFO, "plugin", None, None, None))
        self._number = 0
        self.written = 0
        """Bytes of the segment that hold entries not stored yet."""
        self._values: list[object] = []
        self.counts: Counter[tuple[str, str, str]] = Counter()
        """Entries stored, by task, level and source."""
        self.begin()

    def begin(self) -> None:
        """Nothing was logged for a while: what comes waits for its sync and its commit from now on."""
        now = time.time_ns() // 1000
        self._sync_at, self._commit_at = now + SYNC_MICROSECONDS, now + COMMIT_MICROSECONDS

    def info(self, message: str, /, *args: object, **fields: object) -> None:
        """Take an entry; `kill -9` cannot lose it afterwards."""
        if self._threshold > INFO:
            return
        where, labels = self._labels
        if message not in self._numeric or not self._harmless.issuperset(fields) or place.get() is not where:
            raise ValueError("nothing else is logged here")
        text = message % args
        metadata = orjson.dumps(fields).decode()
        now = time.time_ns() // 1000
        payload = encode((ENTRY, labels, now, text, metadata))
        with self._lock:
            self._number = number = self._number + 1
            body = pack_numbers(number, number, 1) + payload
            start = self.written
            self.written = end = start + MARK_BYTES + len(body)
            self._memory[start:end] = pack_mark(len(payload), crc32(body)) + body
            self._values += (number, _TASK, number, now, text, metadata)
        if now >= self._sync_at:
            self._look(now)

    def _look(self, now: int) -> None:
        os.fdatasync(self._fd)
        self._sync_at = now + SYNC_MICROSECONDS
        if now >= self._commit_at or len(self._values) >= plain.WIDTH * COMMIT_ENTRIES:
            self._commit_at = now + COMMIT_MICROSECONDS
            self.commit()

    def commit(self) -> None:
        """Store what there is, in one transaction, and let its lines follow."""
        values, self._values = self._values, []
        self._connection.execute("BEGIN")
        start = 0
        for rows in _ROWS:
            size = plain.WIDTH * rows
            while len(values) - start >= size:
                self._connection.execute(plain.statement(rows), values[start : start + size])
                start += size
        self._connection.execute("COMMIT")
        self.counts[_TASK, "INFO", "plugin"] += len(values) // plain.WIDTH
        times, texts, metadata = (values[column :: plain.WIDTH] for column in (3, 4, 5))
        self._run_file.writelines(map("%d INFO plugin %s %s\n".__mod__, zip(times, texts, metadata, strict=True)))
        self._run_file.flush()
        self.written = 0

    def close(self) -> None:
        """Close its files."""
        self._run_file.close()
        self._connection.close()
        self._memory.close()
        os.close(self._fd)
