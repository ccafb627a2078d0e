"""What run files are made from: which tasks have them, how much of each is stored, trace items, entries by column.

Entries come as one row with an array for each column: made in SQLite without the GIL, decoded in a few calls, and no
object for an entry. As lines of JSON, each decoded by itself, they take four times as much.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from asynclog.model import TraceItem
from asynclog.queries import RunEntries, Runs, RunState

PAGE: Final = 5000
"""Entries of a page, at most."""
PAGE_BYTES: Final = 1 << 20
"""Characters of messages and metadata of a page, about: it has as many entries as fit if its first ones are typical."""
LARGE: Final = 2048
"""Characters above which an entry is read by itself, if there is still room: a page takes `PAGE` times that at most."""

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

# What comes before the message and the metadata of what `rendering.lines_of` takes.
_SHORT: Final = ("timestamp", "level", "source", "stage", "unit")

_ROWS: Final = """FROM task_logs INDEXED BY sqlite_autoindex_task_logs_1
   WHERE task_id = :task AND seq > :after AND seq <= :through{labelled} ORDER BY seq LIMIT"""
_LABELLED: Final = " AND stage IN (SELECT value FROM json_each(:stages))"
_SIZE: Final = "length(message) + ifnull(length(metadata_json), 0)"

# All arrays are in the subquery's order: SQLite neither merges an ordered subquery into an aggregate nor drops the
# ORDER BY of one with a LIMIT. Blobs spare a decoding to str.
_ENTRIES: Final = f"""
SELECT max(seq), json_group_array(seq) FILTER (WHERE large),
       {", ".join(f"CAST(json_group_array({name}) AS BLOB)" for name in _SHORT)},
       CAST(json_group_array(iif(large, NULL, message)) AS BLOB),
       CAST(json_group_array(iif(large, NULL, metadata_json)) AS BLOB)
  FROM (SELECT *, {_SIZE} > :large AS large {_ROWS}
        ifnull((SELECT min(:limit, 1 + :bytes / (1 + sum({_SIZE}) / count(*))) FROM (SELECT * {_ROWS} 16)), 0))"""

_ENTRY: Final = "SELECT CAST(message AS BLOB), CAST(metadata_json AS BLOB) FROM task_logs WHERE task_id = ? AND seq = ?"

_NEWEST: Final = """
SELECT json_group_array(run_id)
  FROM (SELECT run_id FROM tasks WHERE run_id IS NOT NULL ORDER BY rank DESC LIMIT ?)"""

_decode_ids = msgspec.json.Decoder(list[str]).decode
_decode_states = msgspec.json.Decoder(list[RunState]).decode
_decode_numbers = msgspec.json.Decoder(list[int]).decode
_decode_texts = msgspec.json.Decoder(list[str]).decode
_decode_labels = msgspec.json.Decoder(list[str | None]).decode
_COLUMNS: Final[Sequence[Callable[[bytes], list[Any]]]] = (
    _decode_numbers, _decode_texts, _decode_texts, _decode_labels, _decode_labels, _decode_labels, _decode_labels
)  # fmt: skip
"""How each column is decoded; a large message is missing at first."""
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


def entries(
    connection: sqlite3.Connection, task_id: str, after: int, through: int, stages: Sequence[str] | None
) -> RunEntries:
    """A page of a task's entries from above one seq up to another, or of those that carry one of these labels."""
    sql = _ENTRIES.format(labelled="" if stages is None else _LABELLED)
    labels = msgspec.json.encode(stages).decode()
    asked = {"task": task_id, "after": after, "through": through, "stages": labels}
    bounds = {"limit": PAGE, "bytes": PAGE_BYTES, "large": LARGE}
    last, large, *arrays = connection.execute(sql, asked | bounds).fetchone()
    columns = [_decoded(decode, array) for decode, array in zip(_COLUMNS, arrays, strict=True)]
    if last is None:
        return RunEntries(columns=columns, last=through)
    seqs, room = _decode_numbers(large), PAGE_BYTES - len(arrays[-2]) - len(arrays[-1])
    return _with_large(connection, task_id, RunEntries(columns=columns, last=last), seqs, room)


def _decoded(decode: Callable[[bytes], list[Any]], array: bytes) -> list[Any]:
    """A column; with marks in place of what is no text, but lies damaged in the database: the rest goes on."""
    try:
        return decode(array)
    except UnicodeDecodeError:
        return decode(array.decode(errors="replace").encode())


def _with_large(
    connection: sqlite3.Connection, task_id: str, page: RunEntries, seqs: Sequence[int], room: int
) -> RunEntries:
    """The page with what it lacks of these entries, as far as there is room but with one entry at least."""
    *_, messages, metadata = page.columns
    place = -1
    for seq in seqs:
        place = messages.index(None, place + 1)
        found: tuple[bytes, bytes | None] | None = connection.execute(_ENTRY, (task_id, seq)).fetchone()
        if found is None:  # deleted meanwhile, with its task
            return _cut(page, place, seq)
        message, data = found
        messages[place] = message.decode(errors="replace")
        metadata[place] = None if data is None else data.decode(errors="replace")
        room -= len(message) + len(data or b"")
        if room < 0 and place:
            return _cut(page, place, seq - 1)
    return page


def _cut(page: RunEntries, place: int, last: int) -> RunEntries:
    return RunEntries(columns=[column[:place] for column in page.columns], last=last)


def newest_names(connection: sqlite3.Connection, limit: int) -> list[str]:
    """The run ids given out last."""
    return _decode_ids(connection.execute(_NEWEST, (limit,)).fetchone()[0])
