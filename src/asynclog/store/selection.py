"""Selection: which rows of ``task_logs`` a query is about, as SQL, and through which index they are read.

Little is left to the query planner: it does not know how rare a level or a unit is, and its choice would change with
the statistics of the day. Whatever the index, the rows come in the order of the query's cursor, because within a task
the record number (id) and the entry's own number (seq) grow together: both are given out under one lock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

import orjson

from asynclog.filters import LogFilter
from asynclog.model import MAX_TIMESTAMP, Level
from asynclog.queries import EntryQuery
from asynclog.store.blocks import Span
from asynclog.store.places import MOST_IDS, Terms, label_terms, pinpointed
from asynclog.store.proposal import proposes, spans
from asynclog.store.scope import Param, hidden, seen_task, visible

_LARGEST: Final = 2**63 - 1

_TROUBLE: Final = frozenset({Level.WARNING, Level.ERROR})
_TROUBLE_TERM: Final = "level IN ('WARNING', 'ERROR')"
"""Word for word the condition of two partial indexes: SQLite uses one only where the query says the same."""

_FEW_TASKS: Final = 1000
_FEW_ENTRIES: Final = 20_000
"""Up to so many tasks and entries, reading all of them and sorting beats looking for them among everybody's."""

_DENSE: Final = 2
"""Up to so many ids for an entry of a task, its entries are read as rows of the table, not by its index."""

_MAX_WINDOW: Final = 300_000
"""Entries between ``since`` and ``until`` that are looked through for the first and the last one (about 30 ms)."""


_SPANS: Final = (
    "FROM (SELECT value ->> 0 AS low, value ->> 1 AS high FROM json_each(?)) CROSS JOIN task_logs NOT INDEXED"
    " WHERE id BETWEEN low AND high"
)
_SPAN: Final = "FROM task_logs NOT INDEXED WHERE id BETWEEN ? AND ?"

FIRST_IDS: Final = 4096
"""Spans are read in parts, of so many ids first, each of which is sorted as a whole."""
_JUMP: Final = 16
"""As many ids read in order take as long as finding the first of a span."""


class Selection(NamedTuple):
    """Rows as ``FROM … WHERE …`` text, to be added to, and the column (id or seq) that orders them.

    ``proposed`` are the spans of ids that it is confined to, when it is; ``labels`` what the places of rare labels can
    still take from them.
    """

    sql: str
    params: tuple[Param, ...]
    key: str
    proposed: Sequence[Span] | None = None
    labels: Terms = ()

    def parts(
        self, connection: sqlite3.Connection, *, descending: bool, wanted: Callable[[int], int]
    ) -> Iterator[Selection]:
        """The same rows by parts, in order, each of which is read in order without much ado.

        ``wanted`` is told how many ids all parts until then had, and tells how many the next one should have.
        """
        if self.proposed is None:
            yield self
            return
        limit, part, ids, before = FIRST_IDS, list[Span](), 0, 0
        for span in pinpointed(connection, self.labels, self.proposed, descending=descending):
            size = max(span[1] - span[0] + 1, _JUMP)
            if part and ids + size > limit:
                yield self._within(part)
                before += ids
                part, ids, limit = [], 0, wanted(before)
            part.append(span)
            ids += size
        if part:
            yield self._within(part)

    def whole(self, connection: sqlite3.Connection) -> Selection:
        """The same rows as one part."""
        if self.proposed is None or not self.labels:
            return self
        spans = list(islice(pinpointed(connection, self.labels, self.proposed, descending=False), MOST_IDS + 1))
        return self if len(spans) > MOST_IDS else self._within(spans)

    def _within(self, part: list[Span]) -> Selection:
        rest = self.params[1:]
        if len(part) == 1:  # in the order of the table, so that nothing is sorted
            return Selection(self.sql.replace(_SPANS, _SPAN, 1), (*part[0], *rest), self.key)
        return Selection(self.sql, (_json(part), *rest), self.key)

    def narrowed(self, operator: str, position: int | None) -> Selection:
        """Those whose key compares so with a position; all of them with None."""
        if position is None:
            return self
        return self._replace(sql=f"{self.sql} AND {self.key} {operator} ?", params=(*self.params, fitting(position)))


def fitting(number: int) -> int:
    """The number, or the nearest one that SQLite's integers can hold: a cursor may be any that somebody typed."""
    return max(-_LARGEST, min(number, _LARGEST))


def select(connection: sqlite3.Connection, query: EntryQuery) -> Selection | None:
    """The rows that match between the query's cursors, paging left aside; None when there are none to look for."""
    if not query.filter.accepted_levels:
        return None  # contradicting levels
    found = _across_tasks(connection, query) if query.task_id is None else _in_task(connection, query)
    if found is None:
        return None
    if found.proposed is not None:
        return found  # the cursors bound the proposal
    if found.key == "seq" or query.task_id is None:
        after, before, through = query.after, query.before, query.through
    else:
        after = _id_at(connection, query, query.after, "<=", "DESC")
        before = _id_at(connection, query, query.before, ">=", "ASC")
        through = _id_at(connection, query, query.through, "<=", "DESC")
        if query.through is not None and through is None:
            return None
    return found.narrowed(">", after).narrowed("<", before).narrowed("<=", through)


def the_task(query: EntryQuery) -> tuple[str, list[Param]]:
    """The query's task as an expression (`seen_task`): NULL where it is of another plugin than the query names, too."""
    found, params = seen_task(query.task_id, query.scope)
    if query.plugin is None:
        return found, params
    return f"(SELECT id FROM tasks WHERE id = {found} AND plugin = ?)", [*params, query.plugin]


def visible_tasks(query: EntryQuery) -> tuple[str, list[Param]]:
    """The condition on ``tasks`` that the query means."""
    condition, params = visible(query.scope)
    return (condition, params) if query.plugin is None else (f"{condition} AND plugin = ?", [*params, query.plugin])


def _in_task(connection: sqlite3.Connection, query: EntryQuery) -> Selection:
    task, task_params = the_task(query)
    condition, params = query.filter.where()
    index, key = _rare(query.filter), "id"
    if index is None:
        extent = None if _only_trouble(query.filter) or not proposes(query.filter) else large_extent(connection, query)
        found = None if extent is None else _proposed_in_task(connection, query, extent)
        if extent is not None and found is not None:
            return confined(query, found, mixed=not extent.dense)
        key = "seq"
        index = "task_logs_task_trouble" if _only_trouble(query.filter) else "sqlite_autoindex_task_logs_1"
    trouble = f"{_TROUBLE_TERM} AND " if index == "task_logs_task_trouble" else ""
    sql = f"FROM task_logs INDEXED BY {index} WHERE {trouble}task_id = {task} AND {condition}"
    return Selection(sql, (*task_params, *params), key)


def confined(query: EntryQuery, found: Sequence[Span], *, mixed: bool = False) -> Selection:
    """The task's matching rows within spans of ids, which are ``mixed`` with many of other tasks."""
    task, task_params = the_task(query)
    condition, params = query.filter.where()
    if mixed and (query.filter.searches or query.filter.metadata):
        sql, values = f"{_SPANS} AND task_id = {task} AND {condition}", (*task_params, *params)
    else:  # what does not fit spares looking whose entry it is
        sql, values = f"{_SPANS} AND {condition} AND task_id = {task}", (*params, *task_params)
    return Selection(sql, (_json(found), *values), "id", found, label_terms(query.filter))


def _proposed_in_task(connection: sqlite3.Connection, query: EntryQuery, extent: Extent) -> list[Span] | None:
    """Where the task's entries between the query's cursors may match, if looking there is less than all of it."""
    ids = min(extent.entries, extent.ids)
    found = spans(connection, query.filter, extent.first, extent.last, ids, places=not extent.dense)
    if found is None and extent.dense:
        return [(extent.first, extent.last)]  # reading the table in its order beats looking up each entry
    return found


class Extent(NamedTuple):
    """The first and the last id of a task's entries between a query's cursors, and how many the whole task has."""

    first: int
    last: int
    entries: int

    @property
    def ids(self) -> int:
        """How many there are from the first to the last."""
        return self.last - self.first + 1

    @property
    def dense(self) -> bool:
        """Whether hardly more than its own entries lie there."""
        return self.is_more_than([(self.first, self.last)])

    def is_more_than(self, spans: Iterable[Span]) -> bool:
        """Whether finding all entries of the task takes longer than reading these ids, whosever they are."""
        return sum(high - low + 1 for low, high in spans) <= _DENSE * self.entries


def large_extent(connection: sqlite3.Connection, query: EntryQuery) -> Extent | None:
    """Where the query's task has its entries; None when there are none, or so few that it does not matter."""
    task, params = the_task(query)
    after = -_LARGEST if query.after is None else fitting(query.after)
    before = _LARGEST if query.before is None else fitting(query.before)
    through = _LARGEST if query.through is None else fitting(query.through)
    entry = "SELECT id FROM task_logs WHERE task_id = tasks.id AND seq > ? AND seq < ? AND seq <= ? ORDER BY seq"
    found = connection.execute(
        f"SELECT last_seq, ({entry} LIMIT 1), ({entry} DESC LIMIT 1) FROM tasks WHERE id = {task}",
        (*(after, before, through) * 2, *params),
    ).fetchone()
    if found is None or found[0] <= _FEW_ENTRIES or found[1] is None:
        return None
    return Extent(first=found[1], last=found[2], entries=found[0])


def _across_tasks(connection: sqlite3.Connection, query: EntryQuery) -> Selection | None:
    condition, params = query.filter.where()
    index = _rare(query.filter)
    scope, scope_params, few = _scope(connection, query)
    if index is not None:
        source = f"INDEXED BY {index} WHERE"
    elif few:
        source = "INDEXED BY sqlite_autoindex_task_logs_1 WHERE"
    elif _only_trouble(query.filter):
        source = f"INDEXED BY task_logs_trouble WHERE {_TROUBLE_TERM} AND"
    else:
        proposed = _proposed_across(connection, query)
        if proposed is not None:
            sql = f"{_SPANS} AND {condition} AND {scope}"
            return Selection(sql, (_json(proposed), *params, *scope_params), "id", proposed, label_terms(query.filter))
        source = "NOT INDEXED WHERE"  # by id
    found = Selection(f"FROM task_logs {source} {condition} AND {scope}", (*params, *scope_params), "id")
    return _in_window(connection, query.filter, found)


def _proposed_across(connection: sqlite3.Connection, query: EntryQuery) -> list[Span] | None:
    """Where entries of any task between the query's cursors may match, if looking there is less than everywhere."""
    if not proposes(query.filter):
        return None
    # Two statements in one: SQLite looks up the least or the greatest, and for both together reads all.
    bounds = "SELECT (SELECT min(id) FROM task_logs), (SELECT max(id) FROM task_logs)"
    low, high = connection.execute(bounds).fetchone()
    if low is None:
        return None
    first = low if query.after is None else max(low, query.after + 1)
    last = high if query.before is None else min(high, query.before - 1)
    last = last if query.through is None else min(last, query.through)
    ids = last - first + 1
    if ids <= _FEW_ENTRIES:
        return None
    found = spans(connection, query.filter, first, last, ids)
    untimed = query.filter.since is None and query.filter.until is None
    if found is None and untimed and label_terms(query.filter):
        return [(first, last)]  # reading in order beats nothing, and where labels are rare there are places
    return found


def _json(found: Sequence[Span]) -> str:
    return orjson.dumps(found).decode()


def _rare(log_filter: LogFilter) -> str | None:
    """The index of the rarest thing the filter names, whose rows come by id."""
    if log_filter.step_ids:
        return "task_logs_step"
    return "task_logs_unit" if log_filter.units else None


def _only_trouble(log_filter: LogFilter) -> bool:
    return _TROUBLE.issuperset(log_filter.accepted_levels)


def _scope(connection: sqlite3.Connection, query: EntryQuery) -> tuple[str, list[Param], bool]:
    """The condition on ``task_id`` for the visible tasks, and whether they are so few that they should lead."""
    condition, params = visible_tasks(query)
    unseen = hidden(query.scope)
    if unseen is not None and query.plugin is None:
        return f"task_id NOT IN ({unseen})", [], False
    tasks, entries = connection.execute(
        f"SELECT count(*), total(last_seq) FROM (SELECT last_seq FROM tasks WHERE {condition} LIMIT ?)",
        (*params, _FEW_TASKS + 1),
    ).fetchone()
    if tasks <= _FEW_TASKS and entries <= _FEW_ENTRIES and _rare(query.filter) is None:
        return f"task_id IN (SELECT id FROM tasks WHERE {condition})", params, True
    # One look-up for each entry that passes the filter, instead of a list of perhaps a hundred thousand tasks.
    return f"EXISTS (SELECT 1 FROM tasks WHERE tasks.id = task_logs.task_id AND {condition})", params, False


def _in_window(connection: sqlite3.Connection, log_filter: LogFilter, found: Selection) -> Selection | None:
    """The same rows with their ids bounded by ``since`` and ``until``, so that not the whole history is looked at."""
    if log_filter.since is None and log_filter.until is None:
        return found
    since = 0 if log_filter.since is None else log_filter.since
    until = MAX_TIMESTAMP + 1 if log_filter.until is None else log_filter.until
    entries, first, last = connection.execute(
        "SELECT count(*), min(id), max(id) FROM (SELECT id FROM task_logs INDEXED BY task_logs_time"
        " WHERE timestamp >= ? AND timestamp < ? LIMIT ?)",
        (since, until, _MAX_WINDOW + 1),
    ).fetchone()
    if not entries:
        return None
    return found if entries > _MAX_WINDOW else found.narrowed(">=", first).narrowed("<=", last)


def _id_at(connection: sqlite3.Connection, query: EntryQuery, seq: int | None, operator: str, order: str) -> int | None:
    """The id of the entry at a seq, or where there is none, of the next one in that direction."""
    if seq is None:
        return None
    task, params = the_task(query)
    found = connection.execute(
        f"SELECT id FROM task_logs WHERE task_id = {task} AND seq {operator} ? ORDER BY seq {order} LIMIT 1",
        (*params, fitting(seq)),
    ).fetchone()
    return None if found is None else int(found[0])
