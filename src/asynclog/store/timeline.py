"""A whole task's entries over time: of blocks that lie within one span of time the index knows the numbers.

Plain functions on a connection, as in entries.py. Only blocks on a border between spans are read, those that several
tasks share, and what is not indexed; where those are too many, reading the task's entries is less.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final, NamedTuple

import orjson

from asynclog.model import Level
from asynclog.queries import EntryQuery
from asynclog.store.blocks import BLOCK_BITS, Span, outside
from asynclog.store.selection import Extent, confined, the_task
from asynclog.store.transaction import snapshot


class Timeline(NamedTuple):
    """The first and the last timestamp, and (number of a span, level, entries) for each span and level that occurs."""

    first: int
    last: int
    groups: list[tuple[int, str, int]]


# Segments that are not right any more still have blocks.
_WHOLE: Final = (
    "FROM log_blocks WHERE task_id = {task} AND id BETWEEN ? AND ? AND id >> 6 IN (SELECT id FROM log_segments)"
)
_SPAN: Final = "(first_at - {first}) / {width}"
_BLOCKS: Final = f"SELECT json_group_array(id), min(first_at), max(last_at) {_WHOLE}"
_INSIDE: Final = f"""
SELECT json_group_array(json_array({_SPAN}, debug, info, warning, error)) {_WHOLE}
   AND {_SPAN} = (last_at - {{first}}) / {{width}}"""
_BORDER: Final = f"SELECT json_group_array(id) {_WHOLE} AND {_SPAN} <> (last_at - {{first}}) / {{width}}"
_BOUNDS: Final = "SELECT min(timestamp), max(timestamp) {source}"
_READ: Final = """
SELECT json_group_array(json_array(span, level, entries)) FROM (
  SELECT (timestamp - {first}) / {width} AS span, level, count(*) AS entries {source} GROUP BY span, level)"""


def timeline(connection: sqlite3.Connection, query: EntryQuery, extent: Extent, buckets: int) -> Timeline | None:
    """The task's entries in at most so many equal spans of time; None when that is no less than reading them."""
    with snapshot(connection):
        return _Reading(connection, query, extent).spans(buckets)


class _Reading:
    """The statements about one task's blocks and rows."""

    def __init__(self, connection: sqlite3.Connection, query: EntryQuery, extent: Extent) -> None:
        self._connection = connection
        self._query = query
        self._extent = extent
        self._task, params = the_task(query)
        self._place = (*params, extent.first >> BLOCK_BITS, extent.last >> BLOCK_BITS)

    def spans(self, buckets: int) -> Timeline | None:
        """What `timeline` promises."""
        blocks, *bounds = self._of_blocks(_BLOCKS)
        rest = outside(orjson.loads(blocks), BLOCK_BITS, self._extent.first, self._extent.last)
        if not self._extent.is_more_than(rest):
            return None
        bounds += self._of_rows(_BOUNDS, rest)
        times = [time for time in bounds if time is not None]
        if not times:
            return None
        first, last = min(times), max(times)
        scale = {"first": first, "width": (last - first) // buckets + 1}
        [border] = self._of_blocks(_BORDER, **scale)
        read = [(block << BLOCK_BITS, (block + 1 << BLOCK_BITS) - 1) for block in orjson.loads(border)]
        [groups] = self._of_rows(_READ, [*rest, *read], **scale)
        [inside] = self._of_blocks(_INSIDE, **scale)
        found = [tuple(group) for group in orjson.loads(groups)]
        for span, *numbers in orjson.loads(inside):
            found += [(span, level.name, number) for level, number in zip(Level, numbers, strict=True)]
        return Timeline(first, last, found)

    def _of_blocks(self, statement: str, **scale: int) -> tuple[Any, ...]:
        found = self._connection.execute(statement.format(task=self._task, **scale), self._place)
        return tuple(found.fetchone())

    def _of_rows(self, statement: str, ids: list[Span], **scale: int) -> tuple[Any, ...]:
        selection = confined(self._query, ids)
        found = self._connection.execute(statement.format(source=selection.sql, **scale), selection.params)
        return tuple(found.fetchone())
