"""Proposal: the ids where entries that match a filter may be, as the block index (blocks.py) tells.

It is never too small: where the index says nothing, because it is behind, was turned off or a text is too short for
it, every id is proposed. What matches is decided by the filter's own condition, for each entry.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final, NamedTuple

import orjson

from asynclog.filters import LogFilter
from asynclog.model import Level
from asynclog.search_condition import CONFUSED
from asynclog.store.blocks import BLOCK_BITS, MESSAGE, METADATA, SEGMENT_BITS, SKELETON, Span
from asynclog.store.places import MOST_IDS, fewest, label_terms
from asynclog.store.scope import Param
from asynclog.store.skeleton import searched_runs

MAX_TERMS: Final = 12
"""Trigrams and runs of one text that are looked up, the rarest: more hardly leave fewer blocks."""
MAX_CONDITIONS: Final = 5
"""Conditions of texts that are looked up, the first: more hardly leave fewer blocks, and hundreds take seconds."""
MAX_TEXTS: Final = 20
"""Texts of one condition that are looked up; where there are more, the condition proposes everything."""
WORTH: Final = 0.6
"""The share of ids up to which a proposal of many spans is worth reading them one by one."""
FEW_SPANS: Final = 16
"""So few are worth it whatever they spare, such as a long time."""

_BLOCK: Final = 1 << BLOCK_BITS
_ALL: Final = (1 << 64) - 1

_TIME: Final = (
    "CASE WHEN s.first_at < ? AND s.last_at >= ? THEN ifnull((SELECT sum(1 << (id & 63)) FROM log_blocks"
    " WHERE id BETWEEN s.id << 6 AND (s.id << 6) + 63 AND first_at < ? AND last_at >= ?), 0) ELSE 0 END"
)


class _Term(NamedTuple):
    """An expression of SQL for the blocks of the segment ``s``, and its parameters."""

    sql: str
    params: tuple[Param, ...]


class _Text(NamedTuple):
    """Chains of terms: a block where the text may be has all terms of one of them.

    ``runs`` are for segments that have skeletons, ``trigrams`` for those that have none.
    """

    trigrams: list[list[str]]
    runs: list[list[str]]


def proposes(log_filter: LogFilter) -> bool:
    """Whether the filter has a condition that the index may know of."""
    return bool(
        log_filter.searches
        or log_filter.metadata
        or log_filter.sources
        or log_filter.stages
        or log_filter.since is not None
        or log_filter.until is not None
        or len(log_filter.accepted_levels) < len(Level)
    )


def spans(
    connection: sqlite3.Connection, log_filter: LogFilter, first: int, last: int, ids: int, *, places: bool = False
) -> list[Span] | None:
    """Where matching entries from the id ``first`` to ``last`` may be, in order.

    None when that leaves no fewer than a good part of the ``ids`` that are there to be looked through; with ``places``,
    when what the places of rare labels (places.py) leave of it is still no fewer.
    """
    conditions = _conditions(connection, log_filter)
    if not conditions:
        return None
    expression = " & ".join(condition.sql for condition in conditions)
    params = [param for condition in conditions for param in condition.params]
    labels = label_terms(log_filter) if places else ()
    rare, terms = fewest(labels) if labels else ("NULL", [])
    [found] = connection.execute(
        f"SELECT json_group_array(json_array(id, blocks, rare)) FROM (SELECT s.id AS id, {expression} AS blocks,"
        f" {rare} AS rare FROM log_segments AS s WHERE s.id BETWEEN ? AND ? ORDER BY s.id LIMIT -1)",
        (*params, *terms, first >> SEGMENT_BITS, last >> SEGMENT_BITS),
    ).fetchone()
    segments: list[tuple[int, int, int | None]] = orjson.loads(found)
    proposed = _spans(((segment, blocks) for segment, blocks, _ in segments), first, last)
    size = sum(high - low + 1 for low, high in proposed)
    worth = ids - 1 if len(proposed) <= FEW_SPANS else WORTH * ids
    if size <= worth:
        return proposed
    spared = sum(_spared(blocks & _ALL, rare) for _, blocks, rare in segments if rare is not None)
    return proposed if size - spared <= min(WORTH * ids, MOST_IDS) else None


def _spared(blocks: int, rare: int) -> int:
    """Ids of a segment's blocks that need not be read where so few have the labels."""
    return max(0, blocks.bit_count() * _BLOCK - rare)


def _spans(segments: Iterable[tuple[int, int]], first: int, last: int) -> list[Span]:
    """The blocks whose bits are set, and whatever lies outside the segments, neighbours joined."""
    found: list[Span] = []

    def add(low: int, high: int) -> None:
        low, high = max(low, first), min(high, last)
        if low > high:
            return
        if found and found[-1][1] + 1 == low:
            found[-1] = found[-1][0], high
        else:
            found.append((low, high))

    reached = first
    for segment, bits in segments:
        begin, rest = segment << SEGMENT_BITS, bits & _ALL
        if rest == _ALL:  # neither more nor less than what lies outside
            continue
        add(reached, begin - 1)
        while rest:
            block = (rest & -rest).bit_length() - 1
            rest &= rest - 1
            add(begin + block * _BLOCK, begin + (block + 1) * _BLOCK - 1)
        reached = begin + (1 << SEGMENT_BITS)
    add(reached, last)
    return found


def _conditions(connection: sqlite3.Connection, log_filter: LogFilter) -> list[_Term]:
    """What each condition of the filter says about a segment's blocks; nothing where it cannot tell."""
    found = []
    texts = [_searches(log_filter)] if 0 < len(log_filter.searches) <= MAX_TEXTS else []
    for condition in log_filter.metadata_conditions:
        chains = [_trigrams(METADATA, needle) for needle in condition.needles]
        texts += [_Text(chains, chains)] if len(chains) <= MAX_TEXTS else []
    texts = [text for text in texts if text.trigrams and all(text.trigrams)][:MAX_CONDITIONS]
    if texts:
        rarity = _rarity(connection, {term for text in texts for chain in text.runs for term in chain})
        found += [_any_text(text, rarity) for text in texts]
    found += [_any_label(terms) for terms in label_terms(log_filter)]
    if log_filter.since is not None or log_filter.until is not None:
        found.append(_time(log_filter))
    return found


def _fold(text: str) -> str:
    """A-Z alone, as a search does."""
    return text.encode().lower().decode()


def _trigrams(kind: str, text: str) -> list[str]:
    """The terms that a block has where an entry contains the text."""
    windows = (text[start : start + 3] for start in range(len(text) - 2))
    return [kind + window for window in dict.fromkeys(windows) if CONFUSED.isdisjoint(window)]


def _searches(log_filter: LogFilter) -> _Text:
    """What there is in a block where some message contains one of the searches."""
    text = _Text([], [])
    for search in map(_fold, log_filter.searches):
        trigrams = _trigrams(MESSAGE, search)
        text.trigrams.append(trigrams)
        text.runs.extend(trigrams + [SKELETON + run for run in runs] for runs in searched_runs(search) or ([],))
    return text


def _rarity(connection: sqlite3.Connection, terms: set[str]) -> dict[str, int]:
    """In how many blocks of the newest segment each term occurs: a guess at the rest."""
    [found] = connection.execute(
        "SELECT json_group_array(json_array(term, blocks)) FROM log_terms WHERE segment = (SELECT max(id) FROM"
        " log_segments) AND term IN (SELECT value FROM json_each(?))",
        (orjson.dumps(list(terms)).decode(),),
    ).fetchone()
    return dict.fromkeys(terms, 0) | {term: (blocks & _ALL).bit_count() for term, blocks in orjson.loads(found)}


def _any_text(text: _Text, rarity: dict[str, int]) -> _Term:
    """Blocks with all terms of some chain, and those whose texts are not indexed."""
    one = _any_chain(text.trigrams, rarity)
    if text.runs == text.trigrams:
        return _Term(f"({one.sql} | s.open)", one.params)
    two = _any_chain(text.runs, rarity)
    return _Term(f"(iif(s.skeletons, {two.sql}, {one.sql}) | s.open)", two.params + one.params)


def _any_chain(chains: list[list[str]], rarity: dict[str, int]) -> _Term:
    rarest = [sorted(chain, key=rarity.__getitem__)[:MAX_TERMS] for chain in chains]
    return _Term(
        " | ".join(f"ifnull(({_chain(len(chain))}), 0)" for chain in rarest),
        tuple(term for chain in rarest for term in chain),
    )


def _chain(length: int) -> str:
    """A join, so that the look-ups end at the first term that the segment does not have."""
    names = [f"t{number}" for number in range(length)]
    return (
        f"SELECT {' & '.join(f'{name}.blocks' for name in names)}"
        f" FROM {' CROSS JOIN '.join(f'log_terms AS {name}' for name in names)}"
        f" WHERE {' AND '.join(f'{name}.segment = s.id AND {name}.term = ?' for name in names)}"
    )


def _any_label(terms: tuple[str, ...]) -> _Term:
    one = "ifnull((SELECT blocks FROM log_terms WHERE segment = s.id AND term = ?), 0)"
    return _Term(f"({' | '.join([one] * len(terms))})", terms)


def _time(log_filter: LogFilter) -> _Term:
    since = -(2**63) if log_filter.since is None else log_filter.since
    until = 2**63 - 1 if log_filter.until is None else log_filter.until
    return _Term(_TIME, (until, since, until, since))
