"""The typed records of the journal: what happened to a task, as the writer and the replay apply it.

A record's payload is MessagePack, a tagged array (`encode`, `decode`): short, self-describing enough to survive new
optional fields at the end. Its number in the data directory (``id``) and in its task (``seq``) are known only under
the journal's lock, so they travel beside the payload, in `Frame`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import msgspec

from asynclog.model import Gap, Stage, Step, Task, TraceItem

Frame = tuple[int, int, int, bytes]
"""A record as it travels, numbered and still encoded: ``(id, seq, span, payload)``.

``span`` is how many ids and seqs it takes: 1, or the number of entries of an ingest batch.
``seq`` is that of its (first) entry, 0 for a record that is no entry. A plain tuple: one is made for every log call.
"""


Row = tuple[int, str, int, int, str, str, str | None, str | None, str | None, str, str | None]
"""An entry as it is stored: id, task id, seq, timestamp, level, source, stage, unit, step id, message, metadata."""


class _Record(msgspec.Struct, frozen=True, array_like=True):
    task_id: str


class EntryRecord(_Record, frozen=True, array_like=True, tag="e"):
    """One entry. ``level`` is a `Level` number, ``metadata_json`` JSON text.

    In a journal of before it is written like this; a log call writes a `LoggedRecord`, which `decode` makes one.
    """

    timestamp: int
    level: int
    source: str
    stage: str | None
    unit: str | None
    step_id: str | None
    message: str
    metadata_json: str | None


class Labels(msgspec.Struct, frozen=True, array_like=True):
    """What hardly changes from one log call to the next: whose an entry is, how severe, from where."""

    task_id: str
    level: int
    source: str
    stage: str | None
    unit: str | None
    step_id: str | None


ENTRY: Final = "n"
"""A tuple that begins with this and goes on with the fields of a `LoggedRecord` is encoded to the same payload."""


class LoggedRecord(msgspec.Struct, frozen=True, array_like=True, tag=ENTRY, gc=False):
    """One entry as it lies in the journal. ``labels`` are `Labels`, encoded: once for many entries."""

    labels: bytes
    timestamp: int
    message: str
    metadata_json: str | None


class Line(msgspec.Struct, frozen=True, array_like=True):
    """One entry of an ingest batch, its time and level as in `EntryRecord`."""

    timestamp: int
    level: int
    source: str
    stage: str | None
    unit: str | None
    message: str
    metadata_json: str | None


class Lines(msgspec.Struct, frozen=True, array_like=True):
    """So many entries of an ingest batch by column, each as in `Line`; what all of them have stands there once."""

    count: int
    timestamps: int | list[int]
    levels: int | list[int]
    sources: str | list[str]
    stages: str | list[str | None] | None
    units: str | list[str | None] | None
    messages: str | list[str]
    metadata: str | list[str | None] | None

    def columns(self) -> list[list[Any]]:
        """The columns in the order of `Line`, each with a value for every entry."""
        count, *columns = msgspec.structs.astuple(self)
        return [column if type(column) is list else [column] * count for column in columns]

    @property
    def is_even(self) -> bool:
        """Whether no column has more or fewer values than there are entries."""
        count, *columns = msgspec.structs.astuple(self)
        return all(type(column) is not list or len(column) == count for column in columns)

    def each(self) -> Iterator[Line]:
        """The entries one by one."""
        return map(Line, *self.columns())


class BatchRecord(_Record, frozen=True, array_like=True, tag="l"):
    """Entries that came together over HTTP, and the answer to give when the batch comes again (JSON text).

    The parts, in order, are `Lines`, still encoded: a few thousand entries at most are encoded or decoded in one go,
    which holds the GIL.
    """

    parts: list[msgspec.Raw]
    batch_id: str | None
    answer_json: str

    def lines(self) -> list[Lines]:
        """The parts. Raises msgspec.DecodeError when one is none."""
        return list(map(_decode_lines, self.parts))

    def newest(self, limit: int) -> list[Lines]:
        """The last parts, as many as together have so many entries."""
        found: list[Lines] = []
        for part in reversed(self.parts):
            if limit <= 0:
                break
            found.append(_decode_lines(part))
            limit -= found[-1].count
        return found[::-1]


class ListedBatchRecord(_Record, frozen=True, array_like=True, tag="b"):
    """A `BatchRecord` as it was once written: line by line. Only read."""

    listed: list[Line]
    batch_id: str | None
    answer_json: str

    def lines(self) -> list[Lines]:
        """All of it as one part, none when there is no line."""
        columns = map(list, zip(*map(msgspec.structs.astuple, self.listed), strict=True))
        return [Lines(len(self.listed), *columns)] if self.listed else []


class TaskRecord(_Record, frozen=True, array_like=True, tag="t"):
    """The task as declared from now on; its counts are the store's."""

    task: Task


class StageRecord(_Record, frozen=True, array_like=True, tag="g"):
    """A stage as it is from now on."""

    stage: Stage


class StepRecord(_Record, frozen=True, array_like=True, tag="p"):
    """A step as it is from now on."""

    step: Step


class TraceRecord(_Record, frozen=True, array_like=True, tag="x"):
    """A trace item."""

    item: TraceItem


class GapRecord(_Record, frozen=True, array_like=True, tag="m"):
    """Entries that were declared dropped."""

    gap: Gap


class DeleteRecord(_Record, frozen=True, array_like=True, tag="d"):
    """The task is invisible from now on; its rows go in chunks."""

    deleted_at: int


Record = (
    EntryRecord
    | BatchRecord
    | ListedBatchRecord
    | TaskRecord
    | StageRecord
    | StepRecord
    | TraceRecord
    | GapRecord
    | DeleteRecord
)

encode: Final = msgspec.msgpack.Encoder().encode
"""The payload of a record, a part of a batch, or labels."""

labels_of: Final = lru_cache(maxsize=1024)(msgspec.msgpack.Decoder(Labels).decode)
"""The labels of their bytes. Raises msgspec.DecodeError when they are none."""

_decode: Final = msgspec.msgpack.Decoder(Record | LoggedRecord).decode


def decode(payload: bytes) -> Record:
    """The record of a payload. Raises msgspec.DecodeError when it is none."""
    record: Record | LoggedRecord = _decode(payload)
    if not isinstance(record, LoggedRecord):
        return record
    of = labels_of(record.labels)
    return EntryRecord(
        task_id=of.task_id,
        timestamp=record.timestamp,
        level=of.level,
        source=of.source,
        stage=of.stage,
        unit=of.unit,
        step_id=of.step_id,
        message=record.message,
        metadata_json=record.metadata_json,
    )


_decode_lines: Final = msgspec.msgpack.Decoder(Lines).decode
