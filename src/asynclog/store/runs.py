"""What run files are made from, beside the entries: which tasks have them, how much of each is stored, trace items."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from asynclog.model import TraceItem
from asynclog.queries import Runs, RunState

_AFTER: Final = """
SELECT json_group_array(id) FILTER (WHERE run_id IS NOT NULL AND deleted_at IS NULL), ifnull(max(rank), ?1),
       ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'tasks'), 0)
  FROM (SELECT rank, id, run_id, deleted_at FROM tasks WHERE rank > ?1 ORDER BY rank LIMIT ?2)"""

_STATES: Final = """
SELECT json_group_array(json_object('task_id', id, 'last_seq', last_seq, 'last_trace',
       ifnull((SELECT max(trace_items.id) FROM trace_items WHERE task_id = tasks.id), 0),
       'ended', json(iif(status IN ('pending', 'running'), 'false', 'true'))))
  FROM tasks WHERE id IN (SELECT value FROM json_each(?)) AND deleted_at IS NULL"""

_TRACES: Final = """
SELECT json_group_array(json_array(id, json_object('task_id', task_id, 'timestamp', timestamp, 'event', event,
       'data_json', data)))
  FROM (SELECT * FROM trace_items WHERE task_id = ? AND id > ? ORDER BY id LIMIT ?)"""

_NEWEST: Final = """
SELECT json_group_array(run_id)
  FROM (SELECT run_id FROM tasks WHERE run_id IS NOT NULL ORDER BY rank DESC LIMIT ?)"""

_decode_ids = msgspec.json.Decoder(list[str]).decode
_decode_states = msgspec.json.Decoder(list[RunState]).decode
_decode_traces = msgspec.json.Decoder(list[tuple[int, TraceItem]]).decode


def after(connection: sqlite3.Connection, rank: int, limit: int, task_ids: Sequence[str]) -> Runs:
    """Tasks with a run directory after a rank, at most ``limit`` tasks being looked at.

    How much is stored of these and of others is told, but for those that are gone, or being deleted.
    """
    found, last, newest = connection.execute(_AFTER, (rank, limit)).fetchone()
    new = _decode_ids(found)
    asked = msgspec.json.encode([*task_ids, *new]).decode()
    states = _decode_states(connection.execute(_STATES, (asked,)).fetchone()[0])
    return Runs(task_ids=new, rank=last, newest=newest, states=states)


def traces(connection: sqlite3.Connection, task_id: str, after_id: int, limit: int) -> list[tuple[int, TraceItem]]:
    """A task's trace items after a record number, with their numbers, in order."""
    return _decode_traces(connection.execute(_TRACES, (task_id, after_id, limit)).fetchone()[0])


def newest_names(connection: sqlite3.Connection, limit: int) -> list[str]:
    """The run ids given out last."""
    return _decode_ids(connection.execute(_NEWEST, (limit,)).fetchone()[0])
