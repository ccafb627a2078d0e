"""Losses: entries that are neither in the journal nor in the database any more, as gaps that name them.

A damaged segment, or a database that vanished beside its journal, takes records along. Record numbers are dense, and so
are the numbers of a task's entries: where records are missing before those of a commit, a task may have fewer entries,
stored and dropped, than its last number says. Until then nobody looks, and nothing is spent on it.
"""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec
import orjson

from asynclog.frames import Frames
from asynclog.model import Gap
from asynclog.store.batch import Batch
from asynclog.store.columns import Columns

REASON: Final = "lost: in neither the journal nor the database"

# What is damaged in the database must not keep others from being stored.
_LAST: Final = "max(last_seq, ifnull(CASE WHEN json_valid(sealed) THEN sealed ->> 'last_seq' END, 0))"

# By what the writer counts anyway: no entry is read.
_SHORT: Final = f"""
SELECT json_group_array(id) FROM tasks WHERE id IN (SELECT value FROM json_each(?)) AND deleted_at IS NULL
   AND {_LAST} > debug_count + info_count + warning_count + error_count + dropped"""

# What is there, in order, and one behind the end; a hole lies before what begins behind all that ended before it.
_HOLES: Final = f"""
WITH known (first, last) AS (
  SELECT seq, seq FROM task_logs WHERE task_id = :task
  UNION ALL SELECT from_seq, to_seq FROM gaps WHERE task_id = :task
  UNION ALL SELECT {_LAST} + 1, NULL FROM tasks WHERE id = :task),
placed AS (
  SELECT first, ifnull(max(last) OVER (ORDER BY first ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
    FROM known)
SELECT json_group_array(json_array(before + 1, first - 1)) FROM
 (SELECT before, first FROM placed WHERE first > before + 1 ORDER BY first LIMIT -1)"""


# An entry that could not be stored as it was keeps its time, unless that was what could not be.
_DISPLACED: Final = """
SELECT count(*) FROM json_each(?) AS mine CROSS JOIN task_logs
 WHERE task_id = mine.value ->> 0 AND seq = mine.value ->> 1 AND timestamp NOT IN (0, mine.value ->> 2)"""


def count_displaced(connection: sqlite3.Connection, entries: Columns) -> int:
    """How many of these are not there because another entry is in their place: that of another history of the task."""
    numbers = list(zip(entries.task_ids, entries.seqs, entries.timestamps, strict=True))
    return int(connection.execute(_DISPLACED, (msgspec.json.encode(numbers).decode(),)).fetchone()[0])


class Losses:
    """State owned here: whether records were found missing since the database was opened.

    Everything on the thread of the writing connection.
    """

    def __init__(self) -> None:
        self._suspected = False

    def look(self, watermark: int, frames: Frames, through: int) -> None:
        """Records up to ``watermark`` are stored, these and all that there is up to ``through`` are about to be."""
        if not frames:
            self._suspected |= through > watermark
            return
        whole = frames.last_id == frames.ids[0] + len(frames) - 1 or frames.dense_ids
        self._suspected |= not (whole and frames.ids[0] <= watermark + 1 and frames.last_id == through)

    def gaps(self, connection: sqlite3.Connection, batch: Batch) -> list[Gap]:
        """What the tasks of a batch that was put lack; [] as long as no record was missing."""
        if not self._suspected:
            return []
        asked = msgspec.json.encode(sorted(batch.owners() | batch.tasks.keys() | set(batch.entries.task_ids))).decode()
        short: list[str] = orjson.loads(connection.execute(_SHORT, (asked,)).fetchone()[0])
        return [
            Gap(task_id=task_id, from_seq=first, to_seq=last, reason=REASON)
            for task_id in short
            for first, last in orjson.loads(connection.execute(_HOLES, {"task": task_id}).fetchone()[0])
        ]
