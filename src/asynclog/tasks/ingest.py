"""Entries that come over HTTP: NDJSON lines into the parts of a batch record. No I/O, any thread.

Each piece of a body is read column by column: what is done for every line is done by loops in C. Only where something
cannot be kept as it is, it is looked at line by line.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any, Final, TypeVar

import msgspec

from asynclog import bulk, records, values
from asynclog.logger import SOURCE_CHARACTERS, label, poses_as_system
from asynclog.model import Level, parse_timestamp, parse_timestamps
from asynclog.records import Lines
from asynclog.redaction import REDACTOR, Redactor
from asynclog.tasks.ndjson import PIECE_BYTES, Given, Piece, pieces, read

MAX_ERRORS: Final = 100
"""Errors named in an answer."""
ERROR_CHARACTERS: Final = 200
"""Of each of them: it may repeat a value of any size."""
LONG_BYTES: Final = 2 * PIECE_BYTES
"""A larger piece of a body, one with such a long line, is read in a thread, so that the loop goes on."""
LONG_SECONDS: Final = 50e-9
"""For each byte: when a piece has taken longer (much in it must not be kept as it is), a thread reads the next ones."""

T = TypeVar("T")


class Parsed:
    """What a body holds: the lines to keep, and what is told of the others."""

    def __init__(self) -> None:
        self.parts: list[msgspec.Raw] = []
        """The lines kept, as `BatchRecord` has them."""
        self.accepted = 0
        """How many those are."""
        self.levels = [0, 0, 0, 0, 0]
        """Lines kept, at ``level // 10``."""
        self.rejected = 0
        self.filtered = 0
        self.errors: list[dict[str, object]] = []

    def keep(self, lines: Lines) -> None:
        """These lines are taken."""
        self.parts.append(msgspec.Raw(records.encode(lines)))
        self.accepted += lines.count
        levels = lines.levels if isinstance(lines.levels, list) else [lines.levels]
        for level in set(levels):
            self.levels[level // 10] += lines.count * levels.count(level) // len(levels)

    def reject(self, wrong: dict[int, str]) -> None:
        """Lines are not taken: by number (from 1) and why."""
        self.rejected += len(wrong)
        for number in sorted(wrong)[: MAX_ERRORS - len(self.errors)]:
            reason = wrong[number]
            shown = reason if len(reason) <= ERROR_CHARACTERS else f"{reason[:ERROR_CHARACTERS]}…"
            self.errors.append({"line": number, "error": shown})

    def answer(self, last_seq: int | None) -> dict[str, object]:
        """The answer of the ingest route; without ``last_seq`` when that is not known yet."""
        told: dict[str, object] = {
            "accepted": self.accepted,
            "rejected": self.rejected,
            "filtered": self.filtered,
            "errors": self.errors,
        }
        return told if last_seq is None else {**told, "last_seq": last_seq}


def parse(body: bytes, now: int, threshold: int, message_limit: int, redactor: Redactor = REDACTOR) -> Parsed:
    """Read NDJSON lines ``{message, level?, source?, timestamp?, stage?, unit?, metadata?}``.

    Args:
        body: UTF-8; empty lines are passed over.
        now: the time of lines that give none, in microseconds.
        threshold: lines below this level are counted as filtered.
        message_limit: bytes above which a message keeps head and tail; 0 for 64 MiB.
        redactor: what counts as a secret.

    A line is rejected only when it is no object with a string ``message``, or has a bad level or time.
    """
    reader = Reader(now, threshold, message_limit, redactor)
    for piece in pieces(body):
        reader.take(piece)
    return reader.parsed


async def parse_in_turns(body: bytes, now: int, threshold: int, message_limit: int, redactor: Redactor) -> Parsed:
    """`parse` in turns with everything else on the loop, and in a thread what takes long.

    Not in a thread what does not: a commit waits for the GIL several times, each time until every such thread has had
    its turn.
    """
    reader = Reader(now, threshold, message_limit, redactor)
    slow = False
    for piece in pieces(body):
        if slow or len(piece.text) > LONG_BYTES:
            await asyncio.to_thread(reader.take, piece)
            continue
        if piece.first > 1:
            await asyncio.sleep(0)
        began = time.thread_time()
        reader.take(piece)
        slow = time.thread_time() - began > LONG_SECONDS * len(piece.text)
    return reader.parsed


class _Known(dict[Any, T]):
    """What becomes of a value that comes again and again: texts are remembered, and nothing that is equal to one."""

    def __init__(self, default: T, convert: Callable[[Any], T]) -> None:
        super().__init__({None: default})
        self._convert = convert

    def __missing__(self, value: object) -> T:
        made = self._convert(value)
        if type(value) is str:
            self[value] = made
        return made

    def one(self, value: object) -> T:
        """What becomes of this one."""
        return self[value] if value is None or type(value) is str else self._convert(value)

    def column(self, column: list[Any]) -> T | list[T]:
        """What becomes of all of them; one value if that is the same. Raises as the conversion does."""
        if column.count(None) == len(column):
            return self[None]
        try:
            made = list(map(self.__getitem__, column))
        except TypeError:  # a list or an object is no key
            made = list(map(self.one, column))
        return made[0] if made.count(made[0]) == len(made) else made


class Reader:
    """Makes entries of the pieces of a body; arguments as for `parse`.

    It remembers what lines have in common: levels, sources, stages and units. One thread at a time.
    """

    def __init__(self, now: int, threshold: int, message_limit: int, redactor: Redactor) -> None:
        self.parsed = Parsed()
        self._now = now
        self._threshold = threshold
        self._limit = message_limit or 1 << 26
        self._redactor = redactor
        self._levels = _Known[int](int(Level.INFO), _level)
        self._sources = _Known[str]("plugin", lambda value: label(value, SOURCE_CHARACTERS, redactor) or "plugin")
        self._labels = _Known[str | None](None, lambda value: label(value, redactor=redactor))

    def take(self, piece: Piece) -> None:
        """Read the next piece."""
        wrong: dict[int, str] = {}
        numbers, given = read(piece, wrong)
        levels, numbers, given = _sound(self._levels_of, numbers, given, wrong)
        if _least(levels) < self._threshold:
            loud = [level >= self._threshold for level in _listed(levels, len(given))]
            self.parsed.filtered += loud.count(False)
            numbers, given = list(compress(numbers, loud)), list(compress(given, loud))
            levels = self._levels_of(given)
        times, numbers, timed = _sound(self._times_of, numbers, given, wrong)
        if timed:
            self.parsed.keep(self._entries(timed, levels if timed is given else self._levels_of(timed), times))
        if wrong:
            self.parsed.reject(wrong)

    def _levels_of(self, given: list[Given]) -> int | list[int]:
        """The levels. Raises ValueError when one of them is none."""
        return self._levels.column([one.level for one in given])

    def _times_of(self, given: list[Given]) -> int | list[int]:
        """The times. Raises ValueError when one of them is none."""
        column = [one.timestamp for one in given]
        if column.count(None) == len(column):
            return self._now
        if set(map(type, column)) == {str}:
            return parse_timestamps(column)
        return list(map(self._time, column))

    def _time(self, value: object) -> int:
        if value is None:
            return self._now
        if not isinstance(value, str):
            raise ValueError("timestamp is no ISO-8601 text")  # noqa: TRY004  # a bad line, as a bad level is
        return parse_timestamp(value)

    def _entries(self, given: list[Given], levels: int | list[int], times: int | list[int]) -> Lines:
        """The entries of lines whose levels and times are fine."""
        metadata = [one.metadata for one in given]
        sources = self._sources.column([one.source for one in given])
        posing = {source for source in set(_listed(sources, 1)) if poses_as_system(source)}
        if posing:
            claimed = _listed(sources, len(given))
            metadata = _noted(metadata, "claimed_source", [source if source in posing else None for source in claimed])
            sources = ["plugin" if source in posing else source for source in claimed]
        messages = bulk.texts([one.message for one in given], self._redactor)
        if max(map(len, messages)) * 4 > self._limit:
            cuts = [values.cut(message, self._limit) for message in messages]
            messages = [message for message, _ in cuts]
            metadata = _noted(metadata, "original_size", [size for _, size in cuts])
        return Lines(
            len(given),
            times,
            levels,
            sources,
            self._labels.column([one.stage for one in given]),
            self._labels.column([one.unit for one in given]),
            messages,
            self._metadata(metadata),
        )

    def _metadata(self, column: list[Any]) -> list[str | None] | None:
        """The JSON texts of the metadata."""
        if column.count(None) == len(column):
            return None
        found = [_mapping(value) for value in column if value is not None]
        made = iter(bulk.metadata_texts(found, self._redactor))
        return [None if value is None else next(made) for value in column]


def _sound(
    column_of: Callable[[list[Given]], T], numbers: Sequence[int], given: list[Given], wrong: dict[int, str]
) -> tuple[T, Sequence[int], list[Given]]:
    """A column of the lines of which there is one, by number; of the others it is noted why not."""
    try:
        return column_of(given), numbers, given
    except ValueError:
        pass
    kept: list[tuple[int, Given]] = []
    for number, one in zip(numbers, given, strict=True):
        try:
            column_of([one])
        except ValueError as error:
            wrong[number] = str(error)
        else:
            kept.append((number, one))
    sound = [one for _, one in kept]
    return column_of(sound), [number for number, _ in kept], sound


def _level(value: object) -> int:
    """The level that a line names. Raises ValueError; a list or an object, however deep, is looked at no closer."""
    if isinstance(value, list | dict):
        raise ValueError("level is a list or an object; use DEBUG, INFO, WARNING or ERROR")  # noqa: TRY004  # a bad line, as any other value is
    return int(Level.parse(value))


def _least(levels: int | list[int]) -> int:
    return min(levels) if isinstance(levels, list) else levels


def _listed(column: T | list[T], count: int) -> list[T]:
    return column if isinstance(column, list) else [column] * count


def _mapping(value: Any) -> dict[str, Any]:
    """Metadata: what is no mapping stands under the key ``value``."""
    return value if type(value) is dict else {"value": value}


def _noted(metadata: list[Any], key: str, column: Sequence[object]) -> list[Any]:
    """The metadata with what is to be said of some entries."""
    return [
        given if value is None else {**(_mapping(given) if given is not None else {}), key: value}
        for given, value in zip(metadata, column, strict=True)
    ]
