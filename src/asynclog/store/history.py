"""Tasks, stages and steps as stored. Plain functions on a connection, many rows in one step: see entries.py."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import accumulate, islice
from typing import Annotated, Final

import msgspec

from asynclog.errors import InvalidError
from asynclog.metadata_condition import any_of
from asynclog.model import AccessScope, Stage, Step, Task
from asynclog.queries import PAGE_BYTES, TaskPage, TaskQuery
from asynclog.search_condition import contains
from asynclog.store.scope import Param, seen_task, visible

_LONGEST: Final = 1e12
"""Seconds that count as for ever: longer ones would not fit SQLite's integers as microseconds."""

_TEXTS: Final = ("name", "plugin", "error_message", "id")
"""Where a list's ``text`` is looked for."""

# The fields of `Task`. Free-form data stays text in it, progress and seal are structs.
_TASK: Final = """json_object('id', id, 'name', name, 'plugin', plugin, 'created_at', created_at, 'account', account,
 'site', site, 'parent_id', parent_id, 'schedule_id', schedule_id, 'run_id', run_id,
 'external', json(iif(external, 'true', 'false')), 'trigger_type', trigger_type, 'trigger_data_json', trigger_data,
 'params_json', params, 'status', status, 'cancelling', json(iif(cancelling, 'true', 'false')),
 'progress', json(progress), 'result_json', result, 'error_message', error_message, 'error_stack', error_stack,
 'started_at', started_at, 'finished_at', finished_at, 'sealed', json(sealed), 'lease_until', lease_until,
 'metadata_json', metadata, 'last_seq', last_seq, 'dropped', dropped, 'counts',
 json_object('DEBUG', debug_count, 'INFO', info_count, 'WARNING', warning_count, 'ERROR', error_count))"""

_WEIGHT: Final = """coalesce(length(params), 0) + coalesce(length(result), 0) + coalesce(length(trigger_data), 0)
 + coalesce(length(metadata), 0) + coalesce(length(error_stack), 0)"""
"""What makes a task large."""

_STAGES: Final = """
SELECT CAST(json_group_array(json_object('id', id, 'task_id', task_id, 'number', number, 'name', name,
 'status', status, 'pending', pending, 'processed', processed, 'credits_used', credits_used, 'started_at', started_at,
 'finished_at', finished_at, 'result_json', result, 'error_message', error_message,
 'error_stack', error_stack)) AS BLOB)
  FROM (SELECT * FROM stages WHERE task_id = {task} ORDER BY number, started_at, id LIMIT -1)"""

_STEP: Final = """json_object('id', id, 'task_id', task_id, 'parent_id', parent_id, 'step_index', step_index,
 'stage', stage, 'unit', unit, 'node_id', node_id, 'node_type', node_type, 'node_name', node_name, 'status', status,
 'started_at', started_at, 'finished_at', finished_at, 'error_message', error_message, 'error_stack', error_stack"""

_STEPS: Final = f"""
SELECT CAST(json_group_array({_STEP})) AS BLOB)
  FROM (SELECT *, rowid AS appearance FROM steps WHERE task_id = {{task}} AND {{beyond}}
         ORDER BY step_index, appearance LIMIT ?)"""

_BEYOND: Final = "(step_index, rowid) > (SELECT step_index, rowid FROM steps WHERE task_id = {task} AND id = ?)"

_ONE_STEP: Final = f"""
SELECT CAST({_STEP}, 'input_json', input_data, 'output_json', output_data) AS BLOB)
  FROM steps WHERE task_id = {{task}} AND id = ?"""

_OPEN_STEPS: Final = """
SELECT count(*), json_group_array(id) FILTER (WHERE status = 'running') FROM steps WHERE task_id = {task}"""

_ENDED: Final = "deleted_at IS NULL AND status IN ('success', 'failed', 'cancelled', 'interrupted')"

_TOO_OLD: Final = f"""
SELECT json_group_array(id) FROM tasks
 WHERE finished_at < ?1 AND {_ENDED} AND (?2 IS NULL OR plugin = ?2) AND {{visible}}"""

# By account and site as well: with many tasks one would otherwise remove those of another.
_TOO_MANY: Final = f"""
SELECT json_group_array(id) FROM
  (SELECT id, plugin, account, site, status, deleted_at,
          row_number() OVER (PARTITION BY plugin, account, site ORDER BY rank DESC) AS place
     FROM tasks WHERE deleted_at IS NULL AND (?2 IS NULL OR plugin = ?2))
 WHERE place > ?1 AND {_ENDED} AND {{visible}}"""

_ORDERS: Final = {"created_at": "rank", "started_at": "started_at", "duration": "duration"}
"""What a list is ordered by, the rank deciding among equals. The rank is the order of creation, whatever the clock."""
_ORDER_INDEXES: Final = {"started_at": "tasks_started", "duration": "tasks_duration"}

_ACTIVE: Final = frozenset({"pending", "running"})
"""Statuses that few tasks have at a time."""

_decode_task = msgspec.json.Decoder(Task).decode
_decode_tasks = msgspec.json.Decoder(list[Task]).decode
_decode_stages = msgspec.json.Decoder(list[Stage]).decode
_decode_step = msgspec.json.Decoder(Step).decode
_decode_steps = msgspec.json.Decoder(list[Step]).decode
_decode_ids = msgspec.json.Decoder(list[str]).decode


_Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The place of a task in a list: what it is ordered by (None: not yet known), and its rank."""

    order_by: str
    descending: bool
    value: _Integer | None
    rank: _Integer


def tasks(connection: sqlite3.Connection, query: TaskQuery) -> TaskPage:
    """A page of tasks, as many as ``limit`` and 8 MiB of what they hold allow, but at least one.

    Its cursor names a place, so tasks that come or go meanwhile shift nothing.

    Raises:
        InvalidError: the cursor is none, or one of a list in another order.
    """
    column, direction = _ORDERS[query.order_by], "DESC" if query.descending else "ASC"
    condition, params = _condition(query)
    page = f"FROM tasks {_index(query)} WHERE {condition} ORDER BY {column} {direction}, rank {direction} LIMIT ?"
    limit = _fitting(connection, f"SELECT {_WEIGHT} AS weight {page}", (*params, query.limit), query.limit)
    rows, values, ranks = connection.execute(
        f"""
        SELECT CAST(json_group_array({_TASK}) AS BLOB), json_group_array({column}), json_group_array(rank)
          FROM (SELECT * {page})""",
        (*params, limit + 1),
    ).fetchone()
    found = _decode_tasks(rows)
    if len(found) <= limit:
        return TaskPage(tasks=found, next=None)
    last = limit - 1
    value, rank = msgspec.json.decode(values)[last], msgspec.json.decode(ranks)[last]
    cursor = _Cursor(query.order_by, query.descending, value, rank)
    return TaskPage(tasks=found[:limit], next=_write_cursor(cursor))


def _fitting(connection: sqlite3.Connection, weights: str, params: Sequence[Param], limit: int) -> int:
    """How many tasks of a page begin within its bytes; at least one."""
    [size] = connection.execute(f"SELECT total(weight) FROM ({weights})", params).fetchone()
    if size <= PAGE_BYTES:
        return limit
    before: Iterable[int] = accumulate((weight for (weight,) in connection.execute(weights, params)), initial=0)
    return max(1, sum(size < PAGE_BYTES for size in islice(before, limit)))


def task(connection: sqlite3.Connection, task_id: str, access: AccessScope) -> Task | None:
    """One task, or None."""
    condition, params = visible(access)
    found = connection.execute(
        f"SELECT CAST({_TASK} AS BLOB) FROM tasks WHERE id = ? AND {condition}", (task_id, *params)
    ).fetchone()
    return None if found is None else _decode_task(found[0])


def known(connection: sqlite3.Connection, task_ids: Sequence[str]) -> list[Task]:
    """Those of these tasks that are there, in one step."""
    asked = msgspec.json.encode(list(task_ids)).decode()
    found = connection.execute(
        f"SELECT CAST(json_group_array({_TASK}) AS BLOB) FROM tasks WHERE id IN (SELECT value FROM json_each(?))",
        (asked,),
    ).fetchone()
    return _decode_tasks(found[0])


def stages(connection: sqlite3.Connection, task_id: str, access: AccessScope) -> list[Stage]:
    """A task's stages by number."""
    task, params = seen_task(task_id, access)
    return _decode_stages(connection.execute(_STAGES.format(task=task), params).fetchone()[0])


def steps(
    connection: sqlite3.Connection, task_id: str, access: AccessScope, after: str | None = None, limit: int = -1
) -> list[Step]:
    """A task's steps in order, without input and output: those after one of them, so many at most (-1: all)."""
    task, params = seen_task(task_id, access)
    beyond, place = ("TRUE", []) if after is None else (_BEYOND.format(task=task), [*params, after])
    found = connection.execute(_STEPS.format(task=task, beyond=beyond), (*params, *place, limit)).fetchone()
    return _decode_steps(found[0])


def step(connection: sqlite3.Connection, task_id: str, step_id: str, access: AccessScope) -> Step | None:
    """One step, with input and output."""
    task, params = seen_task(task_id, access)
    found = connection.execute(_ONE_STEP.format(task=task), (*params, step_id)).fetchone()
    return None if found is None else _decode_step(found[0])


def open_steps(connection: sqlite3.Connection, task_id: str, access: AccessScope) -> tuple[int, list[str]]:
    """How many steps a task has, and the ids of those that run."""
    task, params = seen_task(task_id, access)
    number, running = connection.execute(_OPEN_STEPS.format(task=task), params).fetchone()
    return number, _decode_ids(running)


def expired(
    connection: sqlite3.Connection, before: int | None, keep: int | None, plugin: str | None, access: AccessScope
) -> list[str]:
    """Ended tasks that finished before a time (microseconds), or are not among the newest ``keep`` of their plugin in
    their account and site.

    None for a bound means there is none, None for the plugin all of them. What the scope does not see is not given.
    Tasks that still run are among the newest but never expired.
    """
    condition, params = visible(access.of_list(names_audit=False))  # the audit is kept for good
    found: dict[str, None] = {}
    for sql, bound in ((_TOO_OLD, before), (_TOO_MANY, keep)):
        if bound is not None:
            row = connection.execute(sql.format(visible=condition), (bound, plugin, *params)).fetchone()
            found |= dict.fromkeys(_decode_ids(row[0]))
    return list(found)


def _index(query: TaskQuery) -> str:
    """How to read: in the order asked for where that is known to end soon, else by the rarest condition."""
    if query.order_by != "created_at" and not (query.text or query.parent or query.schedule):
        return f"INDEXED BY {_ORDER_INDEXES[query.order_by]}"
    for index, asked in (
        ("tasks_parent", query.parent is not None),
        ("tasks_schedule", query.schedule is not None),
        ("tasks_plugin", len(query.plugin) == 1),
        ("tasks_status", bool(query.status) and _ACTIVE.issuperset(query.status)),
        ("tasks_account", query.account is not None or query.scope.account is not None),
        ("tasks_status", len(query.status) == 1),
    ):
        if asked:
            return f"INDEXED BY {index}"
    return "NOT INDEXED"


def _condition(query: TaskQuery) -> tuple[str, list[Param]]:
    """What the query asks of a task, its cursor included."""
    condition, params = visible(query.scope)
    terms = [condition]
    for term, value in _comparisons(query):
        if value is not None:
            terms.append(term)
            params.append(value)
    for column, values in (("status", query.status), ("plugin", query.plugin), ("trigger_type", query.trigger_type)):
        if values:
            terms.append(f"{column} IN ({', '.join('?' * len(values))})")
            params.extend(values)
    if query.text:
        term, texts = any_of(contains(column, query.text) for column in _TEXTS)
        terms.append(term)
        params.extend(texts)
    if query.cursor is not None:
        term, place = _beyond(query, _read_cursor(query))
        terms.append(term)
        params.extend(place)
    return " AND ".join(terms), params


def _comparisons(query: TaskQuery) -> Iterable[tuple[str, Param | None]]:
    """Times and durations: from the lower bound on, up to but without the upper time, the upper duration included."""
    yield "account = ?", query.account
    yield "site = ?", query.site
    yield "parent_id = ?", query.parent
    yield "schedule_id = ?", query.schedule
    yield "started_at >= ?", query.started_after
    yield "started_at < ?", query.started_before
    yield "finished_at >= ?", query.finished_after
    yield "duration >= ?", _microseconds(query.min_duration)
    yield "duration <= ?", _microseconds(query.max_duration)


def _microseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(min(max(seconds, -_LONGEST), _LONGEST) * 1_000_000)


def _beyond(query: TaskQuery, cursor: _Cursor) -> tuple[str, list[Param]]:
    """The condition for what comes after the cursor's place. NULL, not started or not ended, is below every value."""
    column, value, rank = _ORDERS[query.order_by], cursor.value, cursor.rank
    operator = "<" if query.descending else ">"
    if column == "rank":
        return f"rank {operator} ?", [rank]
    if value is None:
        return f"({column} IS NULL AND rank < ?)" if query.descending else f"({column} IS NOT NULL OR rank > ?)", [rank]
    either = f" OR {column} IS NULL" if query.descending else ""
    return f"(({column}, rank) {operator} (?, ?){either})", [value, rank]


def _write_cursor(cursor: _Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def _read_cursor(query: TaskQuery) -> _Cursor:
    text = query.cursor or ""
    try:
        cursor = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=_Cursor)
    except (ValueError, msgspec.DecodeError) as error:
        raise InvalidError("cursor", "the cursor is not one that a list of tasks gave; begin without one") from error
    if (cursor.order_by, cursor.descending) != (query.order_by, query.descending):
        raise InvalidError("cursor", "the cursor belongs to a list in another order; begin without one")
    return cursor
