"""Entries as the columns of `task_logs`. What is done here for every entry is done by loops in C: it holds the GIL."""

from __future__ import annotations

import struct
from collections import Counter
from typing import Any, Final

import msgspec

from asynclog.frames import Frames
from asynclog.model import Level
from asynclog.records import Lines, LoggedRecord, Row, labels_of

NAMES: Final = (
    "id", "task_id", "seq", "timestamp", "level", "source", "stage", "unit", "step_id", "message", "metadata_json",
)  # fmt: skip
NULLABLE: Final = (6, 7, 8, 10)
"""Which of them may hold NULL, by place."""
LABELS: Final = frozenset({6, 7, 8})
NOTHING: Final = frozenset[int]()

_array_head: Final = struct.Struct(">BI").pack
_ARRAY: Final = 0xDD
"""MessagePack: an array whose length follows as 32 bits."""
_decode_all: Final = msgspec.msgpack.Decoder(list[LoggedRecord]).decode


class _LevelNames(dict[int, str]):
    """The name of a level number; a number that is none is taken for the worst."""

    def __missing__(self, number: object) -> str:
        return Level.ERROR.name


LEVEL_NAMES: Final = _LevelNames((level.value, level.name) for level in Level)


class _KnownLabels(dict[bytes, tuple[str, str, str, str | None, str | None, str | None]]):
    """Labels by their bytes, as the columns take them."""

    def __missing__(self, encoded: bytes) -> tuple[str, str, str, str | None, str | None, str | None]:
        found = labels_of(encoded)
        level = LEVEL_NAMES[found.level]
        row = self[encoded] = (found.task_id, level, found.source, found.stage, found.unit, found.step_id)
        return row


class Columns:
    """Entries, a list for each column of `task_logs`, grown at the end only."""

    __slots__ = ("_labels", "counts", "lists")

    def __init__(self) -> None:
        self._labels = _KnownLabels()
        self.lists: tuple[list[Any], ...] = tuple([] for _ in NAMES)
        self.counts: Counter[tuple[str, str, str, str | None]] = Counter()
        """How many entries each (task, source, level, stage) has."""

    def __len__(self) -> int:
        return len(self.lists[0])

    @property
    def ids(self) -> list[int]:
        """The record number of each."""
        return self.lists[0]

    @property
    def task_ids(self) -> list[str]:
        """The task of each."""
        return self.lists[1]

    @property
    def seqs(self) -> list[int]:
        """The number of each in its task."""
        return self.lists[2]

    @property
    def timestamps(self) -> list[int]:
        """The time of each."""
        return self.lists[3]

    def rows(self, start: int = 0, end: int | None = None) -> list[Row]:
        """Some of the entries, one by one."""
        return list(zip(*(column[start:end] for column in self.lists), strict=True))

    def add(self, row: Row) -> None:
        """One entry more."""
        for column, value in zip(self.lists, row, strict=True):
            column.append(value)
        self.counts[row[1], row[5], row[4], row[6]] += 1

    def add_entries(self, frames: Frames) -> bool:
        """All these records, each an entry by its tag; False, and nothing is added, when one of them cannot be read.

        The payloads are decoded in one go; labels, which are the same bytes in many of them, once each.
        """
        payloads = frames.payloads
        try:
            entries = _decode_all(_array_head(_ARRAY, len(payloads)) + b"".join(payloads))
            labels = [entry.labels for entry in entries]
            task_ids, levels, *others = zip(*map(self._labels.__getitem__, labels), strict=True)
        except (msgspec.DecodeError, UnicodeError):
            return False
        timestamps = [entry.timestamp for entry in entries]
        messages = [entry.message for entry in entries]
        metadata = [entry.metadata_json for entry in entries]
        self._extend(frames.ids, task_ids, frames.seqs, timestamps, levels, *others, messages, metadata)
        for each, number in Counter(labels).items():
            task_id, level, source, stage, *_ = self._labels[each]
            self.counts[task_id, source, level, stage] += number
        return True

    def add_lines(self, record_id: int, task_id: str, seq: int, lines: Lines) -> None:
        """Entries of an ingest batch, the first of which has this record number and seq."""
        count = lines.count
        timestamps, levels, source, stage, unit, message, metadata = lines.columns()
        names = list(map(LEVEL_NAMES.__getitem__, levels))
        ids, seqs = range(record_id, record_id + count), range(seq, seq + count)
        steps = [None] * count
        self._extend(ids, [task_id] * count, seqs, timestamps, names, source, stage, unit, steps, message, metadata)
        if list in map(type, (lines.sources, lines.levels, lines.stages)):
            self.counts.update(zip([task_id] * count, source, names, stage, strict=True))
        else:
            self.counts[task_id, source[0], names[0], stage[0]] += count

    def _extend(self, *values: Any) -> None:
        for column, more in zip(self.lists, values, strict=True):
            column.extend(more)

    def absent(self) -> frozenset[int]:
        """Columns, by place, that hold nothing but NULL: all labels, or none. Each choice keeps statements prepared."""
        count = len(self)
        return LABELS if all(self.lists[place].count(None) == count for place in LABELS) else NOTHING

    def flat(self, start: int, end: int, absent: frozenset[int]) -> list[Any]:
        """Some entries as the parameters of one statement, row after row; without absent columns, with 0 for NULL.

        Binding a None costs five times what any other value does: the module looks for an adapter each time.
        """
        places = [place for place in range(len(NAMES)) if place not in absent]
        width = len(places)
        values: list[Any] = [0] * (width * (end - start))
        for index, place in enumerate(places):
            column = self.lists[place][start:end]
            if place in NULLABLE and None in column:
                column = [0 if value is None else value for value in column]
            values[index::width] = column
        return values

    def renumber(self, by: int) -> None:
        """Let the record number of each be so much higher."""
        self.ids[:] = [number + by for number in self.ids]

    def last_seqs(self) -> dict[str, int]:
        """The last seq of each task; they rise with the record number."""
        return dict(zip(self.lists[1], self.lists[2], strict=True))
