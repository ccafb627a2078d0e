"""The block index: which texts and labels occur in each block of 128 consecutive records. It proposes, never decides.

A segment is 64 blocks. For a whole segment of ids that are all stored there is one row for each term that occurs in
it, with one bit for each block: the trigrams of the messages (A-Z folded) and of the metadata, the runs of the
messages' skeletons (skeleton.py), levels, sources and stages; and how many entries have each stage and unit. SQLite's
FTS5 sorts them by block, in memory and on a reading connection; what is written are the finished rows of a segment,
in a few short transactions.

Entries never change and ids are never used again. Where no segment is, entries are looked through; so nothing depends
on how far the index is.

Plain functions on a connection, as in entries.py.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable
from typing import Final, NamedTuple

import orjson

from asynclog.store.skeleton import indexed_runs
from asynclog.store.transaction import transaction, unsynced

BLOCK_BITS: Final = 7
"""A block has 2 ** 7 ids."""
SEGMENT_BITS: Final = BLOCK_BITS + 6
"""A segment has a block for each bit of an integer."""
MAX_TERMS: Final = 32_768
"""Trigrams of a segment. Where there are more (random text), its texts are looked through: that bounds the index on
disk."""
MAX_RUNS: Final = 16_384
"""Of a segment. Where there are more, it has none: its trigrams alone propose."""
MAX_SKELETON: Final = 4 << 20
"""Bytes of a segment's messages, for the same: of more, runs would be the work of seconds."""
TERMS_AT_ONCE: Final = 8000
"""In one transaction: some 5 ms, between the writer's."""
MAX_CHARACTERS: Final = 4096
"""Of a message, and of its metadata. The block of a longer one is looked through: that bounds the work for a block."""
BLOCKS_AT_ONCE: Final = 16
"""Whose texts are in memory together: each may have half a megabyte."""
MAX_UNITS: Final = 2048
"""Pairs of stage and unit of a segment. Where there are more, they are counted when asked for."""
MAX_PLACES: Final = 512
"""Entries of a segment up to which a label has places (places.py); reading in order finds more of them soon."""
FIRST_PLACE: Final = 256
"""The character that stands for the first id of a segment: the first that no JSON escapes, and two bytes or three."""

Span = tuple[int, int]
"""Ids from the first to the last, both included."""

MESSAGE, METADATA, SKELETON, LEVEL, SOURCE, STAGE = "mdklsg"
"""How terms of each kind begin."""

# Without contents and positions: they only sort terms by block.
_OPTIONS: Final = "content = '', columnsize = 0, detail = none"
_SCRATCH: Final = (
    "ATTACH ':memory:' AS scratch",
    *(
        statement
        for name, tokens in (
            ("messages", "trigram case_sensitive 1"),
            ("metadata", "trigram case_sensitive 1"),
            ("skeletons", "ascii"),
        )
        for statement in (
            f"CREATE VIRTUAL TABLE scratch.{name} USING fts5 (text, {_OPTIONS}, tokenize = '{tokens}')",
            f"CREATE VIRTUAL TABLE scratch.{name}_terms USING fts5vocab({name}, instance)",
        )
    ),
)

# A sub-select for each block spares sorting the texts by block.
_BLOCK: Final = f"id BETWEEN b.value << {BLOCK_BITS} AND (b.value + 1 << {BLOCK_BITS}) - 1"
_TEXTS: Final = tuple(
    f"""INSERT INTO scratch.{name} (rowid, text) SELECT b.value & 63,
     (SELECT {text} FROM task_logs WHERE {_BLOCK} AND length({column}) <= {MAX_CHARACTERS}) FROM json_each(?) AS b"""
    for name, column, text in (
        ("messages", "message", "lower(group_concat(message, char(10)))"),
        ("metadata", "metadata_json", "group_concat(metadata_json, char(10))"),
    )
)

# One row; NUL is in no message.
_MESSAGES: Final = f"""SELECT CAST(group_concat(text, char(0)) AS BLOB) FROM (
  SELECT ifnull((SELECT group_concat(message, '') FROM task_logs
                  WHERE {_BLOCK} AND length(message) <= {MAX_CHARACTERS}), '') AS text FROM json_each(?) AS b)"""
_SKELETONS: Final = "INSERT INTO scratch.skeletons (rowid, text) SELECT ? + key, value FROM json_each(?)"

_TERMS: Final = f"""
SELECT count(*), json_group_object(term, blocks) FROM (
  SELECT '{MESSAGE}' || term AS term, sum(1 << doc) AS blocks FROM scratch.messages_terms GROUP BY messages_terms.term
  UNION ALL
  SELECT '{METADATA}' || term, sum(1 << doc) FROM scratch.metadata_terms GROUP BY metadata_terms.term)"""
_RUNS: Final = f"""
SELECT count(*), json_group_object('{SKELETON}' || term, blocks) FROM (
  SELECT term, sum(1 << doc) AS blocks FROM scratch.skeletons_terms GROUP BY skeletons_terms.term)"""

# A label that few entries of the segment have comes with their places, a character for each.
_KIND: Final = f"""
  SELECT '{{kind}}' || {{label}} AS term, sum(DISTINCT 1 << block) AS blocks,
         CASE WHEN sum(entries) <= {MAX_PLACES} THEN group_concat(places, '') END AS places
    FROM labels WHERE {{label}} IS NOT NULL GROUP BY {{label}}"""
_LABELS: Final = f"""
WITH labels AS MATERIALIZED (
  SELECT id >> {BLOCK_BITS} & 63 AS block, level, source, stage, count(*) AS entries,
         group_concat(char({FIRST_PLACE} + (id & {(1 << SEGMENT_BITS) - 1})), '') AS places
    FROM task_logs WHERE id BETWEEN ? AND ? GROUP BY block, level, source, stage)
SELECT json_group_object(term, json_array(blocks, places)) FROM ({
    " UNION ALL ".join(
        _KIND.format(kind=kind, label=label) for kind, label in ((LEVEL, "level"), (SOURCE, "source"), (STAGE, "stage"))
    )
})"""

_ZONES: Final = f"""
WITH zones AS MATERIALIZED (
  SELECT (SELECT json_array(b.value, iif(min(task_id) = max(task_id), task_id, NULL), min(timestamp), max(timestamp),
                            sum(level = 'DEBUG'), sum(level = 'INFO'), sum(level = 'WARNING'), sum(level = 'ERROR'),
                            count(*), max(length(message)) > {MAX_CHARACTERS}
                                   OR ifnull(max(length(metadata_json)), 0) > {MAX_CHARACTERS})
            FROM task_logs WHERE {_BLOCK}) AS zone FROM json_each(?) AS b)
SELECT json_group_array(json(zone)), sum(zone ->> 8), min(zone ->> 2), max(zone ->> 3),
       ifnull(sum(CASE WHEN zone ->> 9 THEN 1 << (zone ->> 0 & 63) END), 0)
  FROM zones WHERE (zone ->> 8) > 0"""

_UNITS: Final = """
SELECT count(*), json_group_array(json_array(task_id, stage, unit, entries, first_seq)) FROM (
  SELECT task_id, stage, unit, count(*) AS entries, min(seq) AS first_seq FROM task_logs
   WHERE id BETWEEN ? AND ? AND stage IS NOT NULL AND unit IS NOT NULL GROUP BY task_id, stage, unit)"""

_PUT_TERMS: Final = "INSERT INTO log_terms SELECT ?, key, value FROM json_each(?)"
_FINISH: Final = (
    "INSERT INTO log_terms SELECT :segment, key, value ->> 0 FROM json_each(:labels)",
    "INSERT INTO log_places SELECT :segment, key, value ->> 1 FROM json_each(:labels) WHERE value ->> 1 IS NOT NULL",
    """INSERT INTO log_blocks SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
       value ->> 6, value ->> 7 FROM json_each(:zones)""",
    """INSERT INTO log_units SELECT :segment, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
       FROM json_each(:units)""",
    "INSERT INTO log_segments VALUES (:segment, :first_at, :last_at, :open, :counted, :skeletons)",
)
_REMOVE: Final = (
    "DELETE FROM log_segments WHERE id = :segment",
    "DELETE FROM log_terms WHERE segment = :segment",
    "DELETE FROM log_places WHERE segment = :segment",
    "DELETE FROM log_units WHERE segment = :segment",
    "DELETE FROM log_blocks WHERE id BETWEEN :segment << 6 AND (:segment << 6) + 63",
)
_EVERY_BLOCK: Final = -1


class Segment(NamedTuple):
    """What is to be known of a segment's entries; ``open`` has the bits of blocks whose texts have to be read.

    ``terms`` are JSON objects, each as much as one transaction takes.
    """

    segment: int
    entries: int
    terms: list[str]
    labels: str
    zones: str
    units: str
    counted: bool
    skeletons: bool
    first_at: int
    last_at: int
    open: int


def outside(numbers: Iterable[int], bits: int, first: int, last: int) -> list[Span]:
    """The ids from the first to the last that lie in none of the blocks or segments, which come in order."""
    found = []
    for number in numbers:
        if first < number << bits:
            found.append((first, min((number << bits) - 1, last)))
        first = max(first, number + 1 << bits)
    if first <= last:
        found.append((first, last))
    return found


def ids(segment: int) -> tuple[int, int]:
    """The first and the last id of a segment."""
    return segment << SEGMENT_BITS, (segment + 1 << SEGMENT_BITS) - 1


def unindexed(connection: sqlite3.Connection, through: int) -> tuple[int, int | None]:
    """The record up to which, from ``through`` on, everything is indexed, and the segment to be indexed next.

    A segment is ripe when entries behind it are stored: they are stored in the order of their ids.
    """
    [last] = connection.execute("SELECT max(id) FROM task_logs").fetchone()
    end = ids(0 if last is None else last >> SEGMENT_BITS)[0]
    while True:
        [first] = connection.execute("SELECT min(id) FROM task_logs WHERE id > ?", (through,)).fetchone()
        if first is None or first >= end:
            return max(through, end - 1), None
        segment = first >> SEGMENT_BITS
        if connection.execute("SELECT 1 FROM log_segments WHERE id = ?", (segment,)).fetchone() is None:
            return ids(segment)[0] - 1, segment
        through = ids(segment)[1]


def build(connection: sqlite3.Connection, segment: int) -> Segment | None:
    """Read a segment; None when it has no entries. Takes some 60 ms, little of it with the GIL held.

    The connection is used up: it gets an attached database in memory, which is all that is written to.
    """
    for statement in _SCRATCH:
        connection.execute(statement)
    blocks = orjson.dumps(list(range(segment << 6, segment + 1 << 6))).decode()
    connection.execute("BEGIN")  # one snapshot
    zones, entries, first_at, last_at, unread = connection.execute(_ZONES, (blocks,)).fetchone()
    if not entries:
        return None
    for statement in _TEXTS:
        connection.execute(statement, (blocks,))
    number, terms = connection.execute(_TERMS).fetchone()
    if number > MAX_TERMS:
        number, terms, unread = 0, "{}", _EVERY_BLOCK
    runs = _runs(connection, segment)
    [labels] = connection.execute(_LABELS, ids(segment)).fetchone()
    pairs, units = connection.execute(_UNITS, ids(segment)).fetchone()
    counted = pairs <= MAX_UNITS
    connection.execute("COMMIT")
    return Segment(
        segment=segment,
        entries=entries,
        terms=_parts(number, terms) + (runs or []),
        labels=labels,
        zones=zones,
        units=units if counted else "[]",
        counted=counted,
        skeletons=runs is not None,
        first_at=first_at,
        last_at=last_at,
        open=unread,
    )


def _runs(connection: sqlite3.Connection, segment: int) -> list[str] | None:
    """The runs of each block's skeleton; None when they are too many, or would be the work of seconds."""
    size = 0
    for first in range(segment << 6, segment + 1 << 6, BLOCKS_AT_ONCE):
        blocks = orjson.dumps(list(range(first, first + BLOCKS_AT_ONCE))).decode()
        text: bytes = connection.execute(_MESSAGES, (blocks,)).fetchone()[0]
        texts = text.split(b"\0")
        size += len(text)
        if size > MAX_SKELETON or len(texts) != BLOCKS_AT_ONCE:  # the latter: some message has a NUL after all
            return None
        runs = [indexed_runs(text) for text in texts]
        if 4 * len(set(runs[0].split())) > MAX_RUNS:
            return None  # one look spares FTS5 the sorting of random text
        connection.execute(_SKELETONS, (first & 63, orjson.dumps(runs).decode()))
    number, found = connection.execute(_RUNS).fetchone()
    return _parts(number, found) if number <= MAX_RUNS else None


def _parts(number: int, terms: str) -> list[str]:
    """The JSON object, or as many as so many terms take."""
    if number <= TERMS_AT_ONCE:
        return [terms]
    left = iter(orjson.loads(terms).items())
    return [orjson.dumps(dict(itertools.islice(left, TERMS_AT_ONCE))).decode() for _ in range(0, number, TERMS_AT_ONCE)]


def put(connection: sqlite3.Connection, built: Segment, part: int) -> int | None:
    """Write a part of a segment's terms, in a short transaction; gives the next part, None after the last.

    What was begun and not finished is no segment. Nor is one that was read before entries of it were removed, or others
    came: it is read again. It does not wait for the disk: a power cut undoes it at worst.
    """
    last = part + 1 >= len(built.terms)
    with unsynced(connection), transaction(connection):
        if part == 0:
            _remove(connection, built.segment)
        connection.execute(_PUT_TERMS, (built.segment, built.terms[part]))
        if last:
            now = connection.execute("SELECT count(*) FROM task_logs WHERE id BETWEEN ? AND ?", ids(built.segment))
            if now.fetchone()[0] == built.entries:
                for statement in _FINISH:
                    connection.execute(statement, built._asdict())
    return None if last else part + 1


def _remove(connection: sqlite3.Connection, segment: int) -> None:
    for statement in _REMOVE:
        connection.execute(statement, {"segment": segment})


def remove(connection: sqlite3.Connection, segment: int) -> None:
    """Forget a segment; the pages it leaves go back to the file system bit by bit."""
    with transaction(connection):
        _remove(connection, segment)
    connection.execute("PRAGMA incremental_vacuum(256)").fetchall()


# Every segment has terms; a look-up for each segment instead of reading all of them.
_INDEXED: Final = f"""
WITH RECURSIVE found (id) AS (
  SELECT min(segment) FROM log_terms
  UNION ALL SELECT (SELECT min(segment) FROM log_terms WHERE segment > found.id) FROM found WHERE id IS NOT NULL)
SELECT json_group_array(id) FROM found WHERE id IS NOT NULL AND NOT (? AND EXISTS (
  SELECT 1 FROM task_logs WHERE task_logs.id BETWEEN found.id << {SEGMENT_BITS}
                            AND (found.id + 1 << {SEGMENT_BITS}) - 1))"""


def indexed(connection: sqlite3.Connection, *, empty: bool) -> list[int]:
    """The segments of which anything is there; with ``empty`` only those whose entries were all removed."""
    [found] = connection.execute(_INDEXED, (empty,)).fetchone()
    segments: list[int] = orjson.loads(found)
    return segments


def forget_task(connection: sqlite3.Connection, task_id: str, limit: int) -> None:
    """So many entries of a task are about to be removed, the first ones: their segments are not right any more.

    They are indexed again, or go, when the indexer tidies; then nothing of the entries is left here.
    """
    connection.execute(
        f"DELETE FROM log_segments WHERE id IN (SELECT id >> {SEGMENT_BITS} FROM"
        " (SELECT id FROM task_logs WHERE task_id = ? ORDER BY seq LIMIT ?))",
        (task_id, limit),
    )
