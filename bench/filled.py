"""A data directory with millions of entries in one task, written by SQL alone: what the reading side is measured on.

Every hundredth entry is rare in some way, evenly (source ``even``, stage ``cleanup``, level DEBUG) or all at the end
(source ``late``), so that a filter has one per cent to find.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from asynclog.store import blocks
from asynclog.store.schema import prepare
from bench.harness import Bench, SkippedError

TASK: Final = "bench0000000"
START: Final = 1_770_465_600_000_000
"""Of the first entry, microseconds; each other one follows a millisecond after the one before."""
ROW_BYTES: Final = 400
"""Of disk for an entry while it is written, the WAL included."""
COPIED: Final = 1_000_000
"""Entries beyond so many have the texts of earlier ones."""

WORDS: Final = (
    "fetched charts from dashboard copy wrote rows of table finished in seconds retry after error timeout connection "
    "reset by peer cannot open file permission denied uploaded to bucket validating schema of database migrating "
    "dataset exported slice owner changed cache warm miss"
).split()
_WORD: Final = f"(SELECT word FROM words WHERE id = abs(random() % 1000003 + n) % {len(WORDS)})"

_RARE: Final = f"""
{START} + n * 1000,
CASE WHEN n % 100 = 21 THEN 'DEBUG' WHEN n % 100 = 31 THEN 'WARNING' WHEN n % 200 = 41 THEN 'ERROR' ELSE 'INFO' END,
CASE WHEN n % 100 = 7 THEN 'even' WHEN n > :entries * 99 / 100 THEN 'late'
     ELSE json_extract('["plugin","superset_api","git","storage","db"]', '$[' || (n % 5) || ']') END,
CASE WHEN n % 100 = 13 THEN 'cleanup'
     ELSE json_extract('["extract","transform","load"]', '$[' || ((n - 1) * 3 / :entries) || ']') END,
iif(n % 100 = 3, 'dash-7', iif(n % 3 = 0, 'dash-' || (8 + n / 3 % 90), NULL))"""

# Messages of some 98 bytes, and metadata with every third: the rows that the targets speak of.
_FILL: Final = f"""
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < min(:entries, {COPIED}))
INSERT INTO task_logs (id, task_id, seq, timestamp, level, source, stage, unit, message, metadata_json)
SELECT n, '{TASK}', n, {_RARE},
       printf('%s %d {"%s " * 10}item %x of run %d', {_WORD}, n,
              {", ".join([_WORD] * 10)}, n * 2654435761 % 4294967296, n / 1000),
       iif(n % 3 = 1, printf('{{{{"dashboard_id":%d,"n":%d}}}}', n / 3 % 33, n), NULL)
  FROM numbers""".replace("{{", "{").replace("}}", "}")
_COPY: Final = f"""
INSERT INTO task_logs (id, task_id, seq, timestamp, level, source, stage, unit, message, metadata_json)
SELECT n, task_id, n, {_RARE}, message, metadata_json
  FROM (SELECT id + :above AS n, task_id, message, metadata_json FROM task_logs WHERE id <= {COPIED} ORDER BY id)"""
_COUNT: Final = (
    """INSERT INTO entry_counts SELECT task_id, source, level, ifnull(stage, ''), count(*) FROM task_logs
       GROUP BY task_id, source, level, ifnull(stage, '')""",
    """UPDATE tasks SET last_seq = (SELECT max(seq) FROM task_logs),
       (debug_count, info_count, warning_count, error_count) = (SELECT sum(count) FILTER (WHERE level = 'DEBUG'),
        sum(count) FILTER (WHERE level = 'INFO'), sum(count) FILTER (WHERE level = 'WARNING'),
        sum(count) FILTER (WHERE level = 'ERROR') FROM entry_counts)""",
)


@contextmanager
def data_directory(bench: Bench, entries: int, *, index: bool) -> Iterator[Path]:
    """A data directory whose one task has so many entries; removed afterwards.

    Raises:
        SkippedError: the disk has no room for it.
    """
    with tempfile.TemporaryDirectory(prefix="asynclog-bench-") as folder:
        free = shutil.disk_usage(folder).free
        if free < 2 * entries * ROW_BYTES:
            raise SkippedError(f"{entries:,} entries need some {2 * entries * ROW_BYTES / 1e9:.0f} GB in {folder}")
        bench.say(f"filling a database with {entries:,} entries{', indexed' if index else ''} …")
        path = Path(folder) / "data" / "asynclog.db"
        path.parent.mkdir(mode=0o700)
        fill(path, entries)
        if index:
            index_all(path)
        yield path.parent


def fill(path: Path, entries: int) -> None:
    """Make the database; entries beyond a million are to be whole millions."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        prepare(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -200000")
        connection.execute(
            "INSERT INTO tasks (id, name, plugin, status, created_at, started_at, finished_at)"
            " VALUES (?, 'bench', 'bench', 'success', ?, ?, ?)",
            (TASK, START, START, START + entries * 1000),
        )
        # Its times are of long ago; and what is not indexed is not to be indexed while it is measured.
        connection.execute("INSERT INTO settings VALUES ('retention_days', '0'), ('search_index', 'false')")
        connection.execute("CREATE TEMP TABLE words (id INTEGER PRIMARY KEY, word TEXT)")
        connection.executemany("INSERT INTO words VALUES (?, ?)", enumerate(WORDS))
        connection.execute(_FILL, {"entries": entries})
        for above in range(COPIED, entries, COPIED):
            connection.execute(_COPY, {"entries": entries, "above": above})
        for statement in _COUNT:
            connection.execute(statement)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("rb") as file:
        os.fsync(file.fileno())  # else whoever syncs first while it is measured writes all of it


class Indexing(NamedTuple):
    """What indexing took: milliseconds of each transaction, CPU seconds in all."""

    writing: list[float]
    cpu_seconds: float


def index_all(path: Path) -> Indexing:
    """Index what there is, as the indexer does."""
    writing, through, began = list[float](), 0, time.thread_time()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("DELETE FROM settings WHERE name = 'search_index'")
        while True:
            with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)) as one:
                through, segment = blocks.unindexed(one, through)
                built = None if segment is None else blocks.build(one, segment)
            if built is None:
                break
            part: int | None = 0
            while part is not None:
                start = time.perf_counter()
                part = blocks.put(connection, built, part)
                writing.append((time.perf_counter() - start) * 1000)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Indexing(writing, time.thread_time() - began)
