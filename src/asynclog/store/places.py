"""Places: which entries of a segment have a label that is rare there, one by one.

Blocks (blocks.py) say nothing about a label that is spread evenly: it is in every one of them. So where few entries of
a segment have a level, source or stage, `log_places` has their ids too. As with blocks, what is not known is looked
through, and the filter's own condition decides.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

import orjson

from asynclog.filters import LogFilter
from asynclog.model import Level
from asynclog.store.blocks import FIRST_PLACE, LEVEL, SEGMENT_BITS, SOURCE, STAGE, Span

MAX_LABELS: Final = 20
"""Labels of one condition that are looked up; where there are more, the condition proposes everything."""
FIRST_PIECES: Final = 16
MOST_PIECES: Final = 128
"""Of segments that are looked up at once, at first and at most: a page seldom needs more than the first, and the last
bounds what is in memory."""
MOST_IDS: Final = 65_536
"""Ids that are handed to a statement one by one. Where there are more, spans of whole blocks have to do."""

Terms = tuple[tuple[str, ...], ...]
"""What conditions ask of labels: an entry has one of the terms of each."""
_Piece = tuple[int, int, int]
"""A segment, and the first and the last id of a span in it."""

# A label that is nowhere in a segment has no term there; one that is frequent has no places.
_LOOK_UP: Final = """
SELECT json_group_array(json_array(t.segment, t.term, p.places))
  FROM json_each(?) AS wanted CROSS JOIN log_segments AS s CROSS JOIN json_each(?) AS asked CROSS JOIN log_terms AS t
  LEFT JOIN log_places AS p ON p.segment = t.segment AND p.term = t.term
 WHERE s.id = wanted.value AND t.segment = s.id AND t.term = asked.value"""


def label_terms(log_filter: LogFilter) -> Terms:
    """The terms of each condition on levels, sources and stages that is looked up."""
    levels = log_filter.accepted_levels
    kinds = (
        (LEVEL, tuple(level.name for level in levels) if len(levels) < len(Level) else ()),
        (SOURCE, log_filter.sources),
        (STAGE, log_filter.stages),
    )
    return tuple(tuple(kind + label for label in labels) for kind, labels in kinds if 0 < len(labels) <= MAX_LABELS)


def pinpointed(
    connection: sqlite3.Connection, conditions: Terms, proposed: Sequence[Span], *, descending: bool
) -> Iterator[Span]:
    """The spans, in order, without what the labels' places rule out; looked up bit by bit as they are asked for."""
    if not conditions:
        yield from reversed(proposed) if descending else proposed
        return
    pieces, number = _pieces(proposed, descending=descending), FIRST_PIECES
    while chunk := list(islice(pieces, number)):
        yield from _within(chunk, _look_up(connection, conditions, chunk), descending=descending)
        number = min(2 * number, MOST_PIECES)


def _pieces(proposed: Sequence[Span], *, descending: bool) -> Iterator[_Piece]:
    for low, high in reversed(proposed) if descending else proposed:
        segments = range(low >> SEGMENT_BITS, (high >> SEGMENT_BITS) + 1)
        for segment in reversed(segments) if descending else segments:
            yield segment, max(low, segment << SEGMENT_BITS), min(high, (segment + 1 << SEGMENT_BITS) - 1)


def _look_up(connection: sqlite3.Connection, conditions: Terms, pieces: Iterable[_Piece]) -> dict[int, list[int]]:
    """The ids that have the labels, in order, for each segment where that is known."""
    segments = list(dict.fromkeys(segment for segment, _, _ in pieces))
    terms = [term for condition in conditions for term in condition]
    [rows] = connection.execute(_LOOK_UP, (orjson.dumps(segments).decode(), orjson.dumps(terms).decode())).fetchone()
    found: dict[int, dict[str, str | None]] = {}
    for segment, term, places in orjson.loads(rows):
        found.setdefault(segment, {})[term] = places
    known = {segment: _with_all(conditions, places) for segment, places in found.items()}
    return {
        segment: [(segment << SEGMENT_BITS) + ord(place) - FIRST_PLACE for place in sorted(places)]
        for segment, places in known.items()
        if places is not None
    }


def _with_all(conditions: Terms, places: dict[str, str | None]) -> set[str] | None:
    """The places with a label of each condition whose labels are all rare in the segment; None for no such."""
    found = None
    for condition in conditions:
        texts = [places[term] for term in condition if term in places]
        if texts and None not in texts:
            some = {place for text in texts if text for place in text}
            found = some if found is None else found & some
    return found


def _within(pieces: Iterable[_Piece], places: dict[int, list[int]], *, descending: bool) -> Iterator[Span]:
    """Single ids where places are known, else the pieces, neighbours joined."""
    held: Span | None = None
    for segment, low, high in pieces:
        known = places.get(segment)
        if known is None and held is not None and (held[1] + 1 == low or high + 1 == held[0]):
            held = min(held[0], low), max(held[1], high)
            continue
        if held is not None:
            yield held
        held = (low, high) if known is None else None
        if known is not None:
            inside = known[bisect_left(known, low) : bisect_right(known, high)]
            yield from ((place, place) for place in (reversed(inside) if descending else inside))
    if held is not None:
        yield held


def fewest(conditions: Terms) -> tuple[str, list[str]]:
    """An expression of SQL for how many ids of the segment ``s`` the places leave at most, and its parameters."""
    term = (
        "ifnull((SELECT ifnull((SELECT length(places) FROM log_places WHERE (segment, term) = (t.segment, t.term)),"
        f" {1 << SEGMENT_BITS}) FROM log_terms AS t WHERE segment = s.id AND term = ?), 0)"
    )
    sums = [" + ".join([term] * len(condition)) for condition in conditions]
    return f"min({1 << SEGMENT_BITS}, {', '.join(sums)})", [term for condition in conditions for term in condition]
