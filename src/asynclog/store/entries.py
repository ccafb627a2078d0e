"""Entries as stored: pages of them, as the JSON lines they are shown as.

Plain functions on a connection, to be run on its thread. They raise what sqlite3 raises, and are ended early by
`Connection.interrupt`. A page is made by SQLite whole, as one row: fetching row by row, each row waits for the GIL
(a thousand rows took seconds beside a busy loop, and take milliseconds as one).
"""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

import orjson

from asynclog.model import AccessScope, Gap
from asynclog.queries import EntryPage, EntryQuery
from asynclog.store.scope import Param, seen_task
from asynclog.store.selection import FIRST_IDS, Selection, fitting, select, visible_tasks

_FIRST_SLICE: Final = 16
"""Rows read before anything is known about their size."""
_GROWTH: Final = 64
"""How much larger the next slice may be: few slices, since each statement waits for the GIL beside a busy loop."""
_MORE_IDS: Final = 8
"""How many times as many ids as before are looked through next, as long as little is found."""
_LARGE: Final = 16_384
"""Characters of message and metadata up to which an entry is always read with its slice. A larger one is read by
itself from about twice its share of the bytes on: that bounds the memory of a slice."""

# A third of what strftime and printf take.
_TIME: Final = (
    "replace(datetime(timestamp / 1000000, 'unixepoch'), ' ', 'T')"
    " || '.' || substr(timestamp % 1000000 + 1000000, 2) || 'Z'"
)

# The bytes of `wire.entry_line`: json() leaves the metadata as it was written, number tokens included.
_LINE: Final = f"""json_object('id', id, 'task_id', task_id, 'seq', seq, 'timestamp', {_TIME},
 'level', level, 'source', source, 'stage', stage, 'unit', unit, 'step_id', step_id,
 'message', message, 'metadata', json(metadata_json))"""

# JSON escapes newlines, so they can separate the lines. The lines come in the subquery's order: SQLite neither merges
# an ordered subquery into an aggregate nor drops the ORDER BY of one with a LIMIT. Blobs spare a decoding to str.
_SLICE: Final = f"""
SELECT CAST(group_concat(CASE WHEN length(message) + ifnull(length(metadata_json), 0) > ? THEN id
                              ELSE {_LINE} END, char(10)) AS BLOB),
       group_concat({{cursor}}), {{last}}({{key}})
  FROM (SELECT * {{source}} ORDER BY {{key}} {{order}} LIMIT ? OFFSET ?)"""

_ONE: Final = f"""
SELECT CAST({_LINE} AS BLOB) FROM task_logs WHERE id = ?
   AND EXISTS (SELECT 1 FROM tasks WHERE tasks.id = task_logs.task_id AND {{visible}})"""

_GAPS: Final = """
SELECT (SELECT last_seq FROM tasks WHERE id = {task}), json_group_array(json_array(from_seq, to_seq, reason))
  FROM (SELECT from_seq, to_seq, reason FROM gaps WHERE task_id = {task} ORDER BY from_seq LIMIT -1)"""

_BATCH_ANSWER: Final = "SELECT answer FROM batches WHERE task_id = {task} AND batch_id = ?"


class _Slice(NamedTuple):
    """Consecutive entries; in the place of the line of a large one is its id."""

    lines: list[bytes]
    cursors: list[int]
    last: int
    """Where the next slice goes on, by the key of the selection."""
    size: int
    """Bytes of the lines, each with a newline."""


def page(connection: sqlite3.Connection, query: EntryQuery) -> EntryPage:
    """The entries that match, in order, as many as ``limit`` and ``max_bytes`` allow but at least one."""
    gathered = _Gathered(query)
    matching = select(connection, query)
    if matching is not None:
        # To pass over matches, all of them are one part.
        parts = matching.parts(connection, descending=query.descending, wanted=gathered.next_ids)
        for part in [matching.whole(connection)] if query.offset else parts:
            _read_part(connection, part, query, gathered)
            if gathered.more:
                break
    return EntryPage(lines=gathered.lines, cursors=gathered.cursors, more=gathered.more)


def _read_part(connection: sqlite3.Connection, part: Selection, query: EntryQuery, gathered: _Gathered) -> None:
    """Add what there is, or as much as has a place."""
    rest, offset = part, fitting(query.offset)
    while not gathered.more:
        rows = gathered.next_rows()
        large = max(_LARGE, 2 * gathered.room // (rows + 1))
        found = _read_slice(connection, rest, query, (large, *rest.params, rows, offset))
        gathered.take(connection, found)
        if len(found.lines) < rows:
            return
        rest, offset = part.narrowed("<" if query.descending else ">", found.last), 0


class _Gathered:
    """A page as it grows by slices, small ones first, so that one of huge entries costs no more than it shows.

    ``more`` turns true when an entry was found that has no place in it; ``room`` is how many bytes are left.
    """

    def __init__(self, query: EntryQuery) -> None:
        self.lines: list[bytes] = []
        self.cursors: list[int] = []
        self.more = False
        self._query = query
        self._limit = query.limit
        self.room = query.max_bytes
        self._bytes = 0
        self._rows = _FIRST_SLICE

    def next_rows(self) -> int:
        """How many rows to read next: one more than there is place for, as far as sizes seen so far advise."""
        rows = min(self._limit - len(self.lines) + 1, self._rows)
        self._rows = rows * _GROWTH
        if not self.lines:
            return rows
        average = self._bytes // len(self.lines) + 1
        return min(rows, max(self.room, 0) // average + 1)

    def next_ids(self, looked_through: int) -> int:
        """How many ids to look through next: as many as will fill the page if matches go on as they were so far."""
        most = looked_through * _MORE_IDS
        if not self.lines:
            return most
        missing = self._limit + 1 - len(self.lines)
        return max(FIRST_IDS, min(most, missing * looked_through * 5 // (len(self.lines) * 4)))

    def take(self, connection: sqlite3.Connection, found: _Slice) -> None:
        """Add the entries of a slice that have a place."""
        place = self._limit - len(self.lines)
        if found.size > self.room or not found.lines or min(found.lines)[:1] != b"{":
            self._take_each(connection, found)
            return
        self.more = len(found.lines) > place
        self.lines += found.lines[:place]
        self.cursors += found.cursors[:place]
        self._add(found.size - sum(len(line) + 1 for line in found.lines[place:]))

    def _take_each(self, connection: sqlite3.Connection, found: _Slice) -> None:
        """The same where some are large, or may have no place."""
        for cursor, small in zip(found.cursors, found.lines, strict=True):
            line = small if small.startswith(b"{") else _read_one(connection, self._query, int(small))
            if not line:
                continue  # it was deleted meanwhile, with its task
            self.more = len(self.lines) == self._limit or (bool(self.lines) and len(line) > self.room)
            if self.more:
                break
            self._add(len(line) + 1)
            self.lines.append(line)
            self.cursors.append(cursor)

    def _add(self, size: int) -> None:
        self._bytes += size
        self.room -= size


def _read_slice(
    connection: sqlite3.Connection, selection: Selection, query: EntryQuery, params: tuple[Param, ...]
) -> _Slice:
    sql = _SLICE.format(
        source=selection.sql,
        key=selection.key,
        cursor="id" if query.task_id is None else "seq",
        order="DESC" if query.descending else "ASC",
        last="min" if query.descending else "max",
    )
    lines, cursors, last = connection.execute(sql, params).fetchone()
    if lines is None:
        return _Slice([], [], 0, 0)
    return _Slice(lines.split(b"\n"), orjson.loads(f"[{cursors}]"), last, len(lines) + 1)


def _read_one(connection: sqlite3.Connection, query: EntryQuery, record_id: int) -> bytes:
    condition, params = visible_tasks(query)
    found = connection.execute(_ONE.format(visible=condition), (record_id, *params)).fetchone()
    return b"" if found is None else bytes(found[0])


def gaps(connection: sqlite3.Connection, task_id: str, access: AccessScope) -> list[Gap]:
    """What was declared dropped, in order."""
    found = extent_if_seen(connection, task_id, access)
    return [] if found is None else found[1]


def extent_if_seen(connection: sqlite3.Connection, task_id: str, access: AccessScope) -> tuple[int, list[Gap]] | None:
    """The last seq that is stored, and the gaps; None when the task is not there."""
    task, params = seen_task(task_id, access)
    last_seq, found = connection.execute(_GAPS.format(task=task), (*params, *params)).fetchone()
    if last_seq is None:
        return None
    gaps = [Gap(task_id=task_id, from_seq=first, to_seq=last, reason=why) for first, last, why in orjson.loads(found)]
    return last_seq, gaps


def batch_answer(connection: sqlite3.Connection, task_id: str, batch_id: str, access: AccessScope) -> str | None:
    """The first answer to this ingest batch (JSON text), None when it has not been seen."""
    task, params = seen_task(task_id, access)
    found = connection.execute(_BATCH_ANSWER.format(task=task), (*params, batch_id)).fetchone()
    return None if found is None else str(found[0])
