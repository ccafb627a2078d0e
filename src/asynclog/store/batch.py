"""What a batch of journal records changes in the database, sorted; decided without it."""

from __future__ import annotations

import contextlib
import logging
import re
from operator import itemgetter
from typing import Final

import msgspec

from asynclog import records
from asynclog.frames import Frames
from asynclog.model import Gap, Level, Stage, Step, Task, TraceItem
from asynclog.records import (
    BatchRecord,
    DeleteRecord,
    EntryRecord,
    GapRecord,
    ListedBatchRecord,
    Record,
    Row,
    StageRecord,
    StepRecord,
    TaskRecord,
    TraceRecord,
)
from asynclog.store.columns import LEVEL_NAMES, Columns

_RUNS: Final = re.compile(rb"%b{1,500}|[^%b]+" % (2 * (records.ENTRY.encode(),)), re.DOTALL)
"""Records one after the other that are entries, or that are not, by their tags. A few hundred at once stay in the
processor's cache."""
_tag_of: Final = itemgetter(2)
"""Of a payload: after the heads of the array and of the text, one byte each."""

_log = logging.getLogger("asynclog.store")


class Batch:
    """Records sorted by what they change; of a task, stage or step only the newest counts."""

    def __init__(self, frames: Frames) -> None:
        self.entries = Columns()
        self.tasks: dict[str, Task] = {}
        self.stages: dict[str, Stage] = {}
        self.steps: dict[str, Step] = {}
        self.traces: list[tuple[int, TraceItem]] = []
        self.gaps: list[Gap] = []
        self.answers: list[tuple[str, str, str]] = []
        self.deleted: dict[str, int] = {}
        try:
            tags = bytes(map(_tag_of, frames.payloads))
        except IndexError:  # a payload too short for a record
            tags = bytes(len(frames))
        for run in _RUNS.finditer(tags):
            part = frames[run.start() : run.end()]
            if run[0][:1] != records.ENTRY.encode() or not self.entries.add_entries(part):
                self._add_each(part)

    def _add_each(self, frames: Frames) -> None:
        for record_id, seq, span, payload in frames:
            try:
                self._add(record_id, seq, span, records.decode(payload))
            except (msgspec.DecodeError, UnicodeError) as error:  # nothing of it was added
                _log.error("a record of the journal cannot be read: %s", error)
                if seq:
                    self._stand_in(record_id, seq, span, _unreadable(payload, error))

    def _stand_in(self, record_id: int, seq: int, span: int, entry: EntryRecord) -> None:
        """Take an entry for all those of a record that cannot be read; a gap tells of the others."""
        self.entries.add(_row(record_id, seq, entry))
        if span > 1:
            reason = "the record of these entries cannot be read"
            self.gaps.append(Gap(task_id=entry.task_id, from_seq=seq + 1, to_seq=seq + span - 1, reason=reason))

    def _add(self, record_id: int, seq: int, span: int, record: Record) -> None:
        match record:
            case EntryRecord():
                self.entries.add(_row(record_id, seq, record))
            case BatchRecord() | ListedBatchRecord():
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

    def _add_lines(self, record_id: int, seq: int, span: int, record: BatchRecord | ListedBatchRecord) -> None:
        task_id, parts = record.task_id, record.lines()
        answer = msgspec.json.decode(record.answer_json, type=dict[str, object])
        if seq and not (all(lines.is_even for lines in parts) and sum(lines.count for lines in parts) == span):
            raise msgspec.ValidationError("it holds more or fewer entries than it says")
        last = seq + span - 1
        for lines in parts:
            self.entries.add_lines(record_id, task_id, seq, lines)
            record_id += lines.count
            seq += lines.count
        if record.batch_id is not None:
            if parts:
                answer["last_seq"] = last
            self.answers.append((task_id, record.batch_id, msgspec.json.encode(answer).decode()))

    def owners(self) -> set[str]:
        """Every task that something here belongs to, entries aside."""
        found = {stage.task_id for stage in self.stages.values()}
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
        LEVEL_NAMES[record.level],
        record.source,
        record.stage,
        record.unit,
        record.step_id,
        record.message,
        record.metadata_json,
    )


def _unreadable(payload: bytes, error: Exception) -> EntryRecord:
    """What stands for an entry that this version cannot read, under its task."""
    task_id = "unknown"
    try:
        fields = msgspec.msgpack.decode(payload)
    except (msgspec.DecodeError, UnicodeError):
        fields = []
    first = fields[1] if isinstance(fields, list) and len(fields) > 1 else None
    if isinstance(first, bytes):
        with contextlib.suppress(msgspec.DecodeError, UnicodeError):
            task_id = records.labels_of(first).task_id
    elif isinstance(first, str):
        task_id = first
    message = f"[unstorable: its record cannot be read: {error}]"
    return EntryRecord(task_id, 0, int(Level.ERROR), "system", None, None, None, message, None)
