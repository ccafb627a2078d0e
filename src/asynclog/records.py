"""The typed records of the journal: what happened to a task, as the writer and the replay apply it.

A record's payload is MessagePack, a tagged array (`encode`, `decode`): short, self-describing enough to survive new
optional fields at the end. Its number in the data directory (``id``) and in its task (``seq``) are known only under
the journal's lock, so they travel beside the payload, in `Frame`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from asynclog.model import Gap, Stage, Step, Task, TraceItem

Frame = tuple[int, int, int, bytes]
"""A record as it travels, numbered and still encoded: ``(id, seq, span, payload)``.

``span`` is how many ids and seqs it takes: 1, or the number of entries of an ingest batch.
``seq`` is that of its (first) entry, 0 for a record that is no entry. A plain tuple: one is made for every log call.
"""


Row = tuple[int, str, int, int, str, str, str | None, str | None, str | None, str, str | None]
"""An entry as it is stored: id, task id, seq, timestamp, level, source, stage, unit, step id, message, metadata."""


ENTRY: Final = "e"
"""A tuple that begins with this and goes on with the fields of an `EntryRecord` is encoded to the same payload."""


class _Record(msgspec.Struct, frozen=True, array_like=True):
    task_id: str


class EntryRecord(_Record, frozen=True, array_like=True, tag=ENTRY):
    """One entry. ``level`` is a `Level` number, ``metadata_json`` JSON text."""

    timestamp: int
    level: int
    source: str
    stage: str | None
    unit: str | None
    step_id: str | None
    message: str
    metadata_json: str | None


class Line(msgspec.Struct, frozen=True, array_like=True):
    """One entry of an ingest batch."""

    timestamp: int
    level: int
    source: str
    stage: str | None
    unit: str | None
    message: str
    metadata_json: str | None


class BatchRecord(_Record, frozen=True, array_like=True, tag="b"):
    """Entries that came together over HTTP, and the answer to give when the batch comes again (JSON text)."""

    lines: list[Line]
    batch_id: str | None
    answer_json: str


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


Record = EntryRecord | BatchRecord | TaskRecord | StageRecord | StepRecord | TraceRecord | GapRecord | DeleteRecord

ENTRY_TAG: Final = "e"
ENTRY_FIELDS: Final = 1 + len(EntryRecord.__struct_fields__)
"""What an entry's payload begins with, and how many values it is an array of, that one included."""

encode: Final = msgspec.msgpack.Encoder().encode
"""The payload of a record."""

decode: Final = msgspec.msgpack.Decoder(Record).decode
"""The record of a payload. Raises msgspec.DecodeError when it is none."""
