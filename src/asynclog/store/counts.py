"""How many entries there are: in all, by label, over time.

Plain functions on a connection, as in entries.py. What the writer counts anyway (entry_counts) is not counted again:
a filter made of level, source and stage alone reads those few rows instead of a million entries.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Final

import msgspec
import orjson

from asynclog.filters import NO_FILTER, LogFilter
from asynclog.model import AccessScope, Level
from asynclog.queries import Bucket, EntryQuery, EntryView, LogStats, StageCount
from asynclog.store.blocks import SEGMENT_BITS, outside
from asynclog.store.entries import extent_if_seen, page
from asynclog.store.selection import Selection, confined, large_extent, select, the_task, visible_tasks
from asynclog.store.timeline import Timeline, timeline
from asynclog.store.transaction import snapshot

_Group = tuple[str, str, str, int]
"""Source, level, stage ('' for none) and the number of entries that have them."""

_STAGES: Final = """
SELECT json_group_object(stage, entries) FROM
 (SELECT stage, sum(count) AS entries FROM entry_counts WHERE task_id = {task} AND stage <> '' GROUP BY stage)"""
_UNITS: Final = """
SELECT json_group_array(json_array(stage, unit, entries)) FROM
 (SELECT stage, unit, count(*) AS entries FROM task_logs
   WHERE task_id = {task} AND stage IS NOT NULL AND unit IS NOT NULL
   GROUP BY stage, unit ORDER BY min(seq) LIMIT -1)"""

# Of a large task, what the index has counted and what lies outside its segments.
_COUNTED: Final = "SELECT json_group_array(id) FROM log_segments WHERE counted AND id BETWEEN ? AND ?"
_INDEXED_UNITS: Final = """
SELECT json_group_array(json_array(stage, unit, entries)) FROM
 (SELECT stage, unit, sum(entries) AS entries FROM
   (SELECT stage, unit, entries, first_seq FROM json_each(?) CROSS JOIN log_units
     WHERE segment = json_each.value AND task_id = {task}
    UNION ALL
    SELECT stage, unit, count(*), min(seq) {source} AND stage IS NOT NULL AND unit IS NOT NULL GROUP BY stage, unit)
   GROUP BY stage, unit ORDER BY min(first_seq) LIMIT -1)"""


_HISTOGRAM: Final = """
WITH found AS MATERIALIZED (SELECT timestamp, level {source}),
     bounds AS MATERIALIZED (SELECT min(timestamp) AS first, max(timestamp) AS last FROM found)
SELECT first, last, (SELECT json_group_array(json_array(span, level, entries)) FROM (
  SELECT (timestamp - first) / ((last - first) / ? + 1) AS span, level, count(*) AS entries FROM found
   GROUP BY span, level)) FROM bounds"""


def count(connection: sqlite3.Connection, query: EntryQuery) -> int:
    """How many entries match, paging ignored."""
    groups = _kept_groups(connection, query)
    if groups is not None:
        return sum(group[3] for group in groups)
    selection = _select_all(connection, query)
    if selection is None:
        return 0
    [number] = connection.execute(f"SELECT count(*) {selection.sql}", selection.params).fetchone()
    return int(number)


def view(connection: sqlite3.Connection, query: EntryQuery, *, total: bool) -> EntryView | None:
    """A page of a task's entries, its gaps, and the number of matches if the writer knows it; None for no task."""
    with snapshot(connection):
        extent = extent_if_seen(connection, query.task_id or "", query.scope)
        if extent is None:
            return None
        found = page(connection, query)
        groups = _kept_groups(connection, query) if total else None
    last_seq, gaps = extent
    number = None if groups is None else sum(group[3] for group in groups)
    return EntryView(page=found, gaps=gaps, last_seq=last_seq, total=number)


def stats(connection: sqlite3.Connection, query: EntryQuery) -> LogStats:
    """Matching entries by level, source and stage, paging ignored."""
    groups = _kept_groups(connection, query)
    if groups is None:
        groups = _scanned_groups(connection, query)
    by_source, by_level, by_stage = Counter[str](), Counter[str](), Counter[str]()
    for source, level, stage, number in groups:
        by_source[source] += number
        by_level[level] += number
        by_stage[stage] += number
    return LogStats(
        total=by_level.total(),
        by_level={level.name: by_level[level.name] for level in Level},
        by_source=dict(sorted(by_source.items())),
        by_stage=dict(sorted(by_stage.items())),
    )


def histogram(connection: sqlite3.Connection, query: EntryQuery, buckets: int) -> list[Bucket]:
    """Matching entries over time by level: at most so many equal spans, from the first entry to the last; [] for none.

    Paging is ignored. A span is a whole number of microseconds, so there are fewer where time is short.
    """
    found = _whole_task(connection, query, buckets)
    if found is None:
        selection = _select_all(connection, query)
        if selection is None:
            return []
        # One statement, so that no entry comes in between the bounds and the counts.
        first, last, groups = connection.execute(
            _HISTOGRAM.format(source=selection.sql), (*selection.params, buckets)
        ).fetchone()
        if first is None:
            return []
        found = Timeline(first, last, orjson.loads(groups))
    width = (found.last - found.first) // buckets + 1
    spans = [dict.fromkeys((level.name for level in Level), 0) for _ in range((found.last - found.first) // width + 1)]
    for span, level, number in found.groups:
        spans[span][level] += number
    starts = range(found.first, found.last + 1, width)
    return [Bucket(start=start, end=start + width, counts=span) for start, span in zip(starts, spans, strict=True)]


def _whole_task(connection: sqlite3.Connection, query: EntryQuery, buckets: int) -> Timeline | None:
    """All of a large task by its blocks; None for another question, or where that is no less than reading."""
    if query.task_id is None or query.filter != NO_FILTER or query.through is not None:
        return None
    extent = large_extent(connection, msgspec.structs.replace(query, after=None, before=None))
    return None if extent is None else timeline(connection, query, extent, buckets)


def stage_counts(connection: sqlite3.Connection, task_id: str, access: AccessScope) -> list[StageCount]:
    """Entries by stage label, in order of the labels, and within it by unit, in order of appearance."""
    query = EntryQuery(task_id=task_id, access=access)
    task, params = the_task(query)
    with snapshot(connection):
        [stages] = connection.execute(_STAGES.format(task=task), params).fetchone()
        pairs = _indexed_units(connection, query)
        if pairs is None:
            [pairs] = connection.execute(_UNITS.format(task=task), params).fetchone()
    units: dict[str, dict[str, int]] = {}
    for stage, unit, number in orjson.loads(pairs):
        units.setdefault(stage, {})[unit] = number
    counts: dict[str, int] = orjson.loads(stages)
    return [StageCount(stage=name, log_count=counts[name], units=units.get(name, {})) for name in sorted(counts)]


def _indexed_units(connection: sqlite3.Connection, query: EntryQuery) -> str | None:
    """Of a large task, from segments that were counted; None where that is no less than reading its entries."""
    extent = large_extent(connection, query)
    if extent is None:
        return None
    place = extent.first >> SEGMENT_BITS, extent.last >> SEGMENT_BITS
    [segments] = connection.execute(_COUNTED, place).fetchone()
    uncounted = outside(orjson.loads(segments), SEGMENT_BITS, extent.first, extent.last)
    if not extent.is_more_than(uncounted):
        return None
    rest = confined(query, uncounted)
    task, params = the_task(query)
    statement = _INDEXED_UNITS.format(task=task, source=rest.sql)
    [pairs] = connection.execute(statement, (segments, *params, *rest.params)).fetchone()
    return str(pairs)


def _select_all(connection: sqlite3.Connection, query: EntryQuery) -> Selection | None:
    selection = select(connection, msgspec.structs.replace(query, after=None, before=None))
    return None if selection is None else selection.whole(connection)


def _scanned_groups(connection: sqlite3.Connection, query: EntryQuery) -> list[_Group]:
    selection = _select_all(connection, query)
    if selection is None:
        return []
    [groups] = connection.execute(
        f"""
        SELECT json_group_array(json_array(source, level, ifnull(stage, ''), entries)) FROM (
          SELECT source, level, stage, count(*) AS entries {selection.sql} GROUP BY source, level, stage)""",
        selection.params,
    ).fetchone()
    return [tuple(group) for group in orjson.loads(groups)]


def _kept_groups(connection: sqlite3.Connection, query: EntryQuery) -> list[_Group] | None:
    """The groups as the writer counted them; None when they cannot answer the query."""
    if not _is_counted(query.filter) or (query.task_id is None and query.through is not None):
        return None
    if query.task_id is None:
        condition, seen_params = visible_tasks(query)
        seen = f"SELECT id FROM tasks WHERE {condition}"
    else:
        seen, seen_params = the_task(query)
    labels, params = query.filter.where()
    last_seq, groups = connection.execute(
        f"""
        SELECT (SELECT last_seq FROM tasks WHERE id IN ({seen}) LIMIT 1),
               json_group_array(json_array(source, level, stage, entries))
          FROM (SELECT source, level, stage, sum(count) AS entries FROM entry_counts
                 WHERE task_id IN ({seen}) AND {labels} GROUP BY source, level, stage)""",
        (*seen_params, *seen_params, *params),
    ).fetchone()
    if query.through is not None and (last_seq or 0) > query.through:
        return None
    return [tuple(group) for group in orjson.loads(groups)]


def _is_counted(log_filter: LogFilter) -> bool:
    """Whether it asks for level, source and stage alone, and not for stage '', which stands for none there."""
    rest = msgspec.structs.replace(log_filter, levels=(), min_level=None, sources=(), exclude_sources=(), stages=())
    return rest == LogFilter() and "" not in log_filter.stages
