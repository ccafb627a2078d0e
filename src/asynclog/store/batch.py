"""What a batch of journal records changes in the database, sorted; decided without it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

import msgspec

from asynclog import records
from asynclog.model import Gap, Level, Stage, Step, Task, TraceItem
from asynclog.records import (
    BatchRecord,
    DeleteRecord,
    EntryRecord,
    Frame,
    GapRecord,
    Record,
    StageRecord,
    StepRecord,
    TaskRecord,
    TraceRecord,
)

Row = tuple[int, str, int, int, str, str, str | None, str | None, str | None, str, str | None]
"""The columns of task_logs, in order."""

_LEVEL_NAMES: Final = {level.value: level.name for level in Level}

_log = logging.getLogger("asynclog.store")


class Batch:
    """Records sorted by what they change; of a task, stage or step only the newest counts."""

    def __init__(self, frames: Sequence[Frame], watermark: int) -> None:
        self.rows: list[Row] = []
        self.tasks: dict[str, Task] = {}
        self.stages: dict[str, Stage] = {}
        self.steps: dict[str, Step] = {}
        self.traces: list[tuple[int, TraceItem]] = []
        self.gaps: list[Gap] = []
        self.answers: list[tuple[str, str, str]] = []
        self.deleted: dict[str, int] = {}
        for record_id, seq, span, payload in frames:
            if record_id > watermark:
                record = _decode(payload, seq)
                if record is not None:
                    self._add(record_id, seq, span, record)

    def _add(self, record_id: int, seq: int, span: int, record: Record) -> None:
        match record:
            case EntryRecord():
                self.rows.append(_row(record_id, seq, record))
            case BatchRecord():
                self._add_lines(record_id, seq, span, record)
            case TaskRecord():
                self.tasks[record.task_id] = record.task
            case StageRecord():
                self.stages[record.stage.id] = record.stage
            case StepRecord():
                self.steps[record.step.id] = record.step
            case TraceRecord():
                self.traces.append((record_id, record.item))
            case GapRecord():
                self.gaps.append(record.gap)
            case DeleteRecord():
                self.deleted[record.task_id] = record.deleted_at

    def _add_lines(self, record_id: int, seq: int, span: int, record: BatchRecord) -> None:
        task_id = record.task_id
        for offset, line in enumerate(record.lines):
            level = _LEVEL_NAMES.get(line.level, "ERROR")
            self.rows.append(
                (
                    record_id + offset,
                    task_id,
                    seq + offset,
                    line.timestamp,
                    level,
                    line.source,
                    line.stage,
                    line.unit,
                    None,
                    line.message,
                    line.metadata_json,
                )
            )
        if record.batch_id is not None:
            answer = msgspec.json.decode(record.answer_json)
            if record.lines:
                answer["last_seq"] = seq + span - 1
            self.answers.append((task_id, record.batch_id, msgspec.json.encode(answer).decode()))

    def task_ids(self) -> set[str]:
        """Every task that something here belongs to."""
        found = {row[1] for row in self.rows}
        found.update(stage.task_id for stage in self.stages.values())
        found.update(step.task_id for step in self.steps.values())
        found.update(item.task_id for _, item in self.traces)
        found.update(gap.task_id for gap in self.gaps)
        found.update(answer[0] for answer in self.answers)
        return found


def _row(record_id: int, seq: int, record: EntryRecord) -> Row:
    return (
        record_id,
        record.task_id,
        seq,
        record.timestamp,
        _LEVEL_NAMES.get(record.level, "ERROR"),
        record.source,
        record.stage,
        record.unit,
        record.step_id,
        record.message,
        record.metadata_json,
    )


def _decode(payload: bytes, seq: int) -> Record | None:
    """The record; an entry this version cannot read is kept as one that says so, under its task and seq."""
    try:
        record: Record = records.decode(payload)
    except (msgspec.DecodeError, UnicodeError) as error:
        _log.error("a record of the journal cannot be read: %s", error)
        if not seq:
            return None
        task_id = "unknown"
        try:
            fields = msgspec.msgpack.decode(payload)
        except (msgspec.DecodeError, UnicodeError):
            fields = []
        if isinstance(fields, list) and len(fields) > 1 and isinstance(fields[1], str):
            task_id = fields[1]
        message = f"[unstorable: its record cannot be read: {error}]"
        return EntryRecord(task_id, 0, int(Level.ERROR), "system", None, None, None, message, None)
    return record
