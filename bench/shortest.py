"""The shortest way of entries from the log calls to their rows in one interpreter: three threads, and nothing else.

One thread makes the log calls, as many as it can, and sleeps for a moment now and then as `asynclog.handover` does, or
the others would hardly get the interpreter. One takes the records apart, as the store does beside the commit before,
and one inserts them by statements of thousands of rows. No event loop, no tasks to begin or end, no counts, no
watermark, no run files, nobody who could watch or wait: what a store in threads of this interpreter could reach with
these log calls. (Two threads, of which one takes apart and inserts, reach a sixth less.)
"""

from __future__ import annotations

import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from asynclog.feed import Feed
from asynclog.frames import Frames
from asynclog.handover import MOMENT_SECONDS, SWITCH_SECONDS
from asynclog.identity import new_id
from asynclog.intake import BATCH_RECORDS
from asynclog.journal import Journal
from asynclog.logger import TaskLogger
from asynclog.settings import Dials
from asynclog.store.apply import ROWS
from asynclog.store.batch import Batch
from asynclog.store.columns import LABELS, Columns
from bench import plain

_STATEMENT: Final = (
    "INSERT INTO task_logs (id, task_id, seq, timestamp, level, source, message, metadata_json) VALUES "
    + ", ".join(["(?, ?, ?, ?, ?, ?, ?, nullif(?, 0))"] * ROWS)
)


def log(loggers: Sequence[TaskLogger], first: int, last: int) -> None:
    """Let each of them log these numbers, one third of the entries with metadata."""
    message = plain.MESSAGE
    for logger in loggers:
        for number in range(first, last):
            if number % 3 == 0:
                logger.info(message, number, n=1)
            else:
                logger.info(message, number)


def rate(folder: Path, tasks: int, entries: int, turn: int) -> float:
    """Entries a second from the first call to the last commit.

    Args:
        folder: where the journal and the database are made.
        tasks: how many log in turn.
        entries: of each task; together a multiple of a batch.
        turn: entries of a task before those of the next.
    """
    names = [new_id() for _ in range(tasks)]
    connection = plain.connect(folder / "shortest.db", names)
    batches, apart = SimpleQueue[Frames](), SimpleQueue[Columns | None]()
    work = (  # no interrupt waits for them
        threading.Thread(target=_take_apart, args=(batches.get, apart.put, tasks * entries), daemon=True),
        threading.Thread(target=_store, args=(connection, apart.get), daemon=True),
    )
    journal = Journal(folder / "journal", quota=1 << 40)
    loggers = [TaskLogger(journal, Feed(name), Dials(), time.time_ns) for name in names]
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    for thread in work:
        thread.start()
    start = time.perf_counter()
    for first in range(0, entries, turn):
        log(loggers, first, first + turn)
        time.sleep(MOMENT_SECONDS)
        if journal.last_id % BATCH_RECORDS == 0:
            frames, _, _ = journal.take()
            journal.release(len(frames), frames.size)
            batches.put(frames)
    for thread in work:
        thread.join()
    seconds = time.perf_counter() - start
    sys.setswitchinterval(usual)
    [(stored,)] = connection.execute("SELECT count(*) FROM task_logs")
    assert stored == journal.last_id == tasks * entries
    journal.close()
    connection.close()
    return float(stored / seconds)


def _take_apart(take: Callable[[], Frames], give: Callable[[Columns | None], None], count: int) -> None:
    try:
        while count:
            entries = Batch(take()).entries
            give(entries)
            count -= len(entries)
    finally:
        give(None)


def _store(connection: sqlite3.Connection, take: Callable[[], Columns | None]) -> None:
    while (entries := take()) is not None:
        connection.execute("BEGIN")
        for start in range(0, len(entries), ROWS):
            connection.execute(_STATEMENT, entries.flat(start, start + ROWS, LABELS))
        connection.execute("COMMIT")
