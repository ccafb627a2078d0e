"""The JSON of DESIGN 5, made from values. One definition for REST, WebSocket and export.

Entries that come from the database are put together by SQL instead (store/entries.py); a test proves that both give
the same bytes.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from asynclog.model import Entry, Gap, Level, Stage, Step, Task, parse_timestamp, timestamp_text
from asynclog.records import EntryRecord, Line

LEVEL_NAMES: Final = {level.value: level.name for level in Level}
_NULL: Final = msgspec.Raw(b"null")
encode: Final = msgspec.json.Encoder().encode
"""JSON bytes of what the functions here give."""


class _Entry(msgspec.Struct):
    id: int
    task_id: str
    seq: int
    timestamp: str
    level: str
    source: str
    stage: str | None
    unit: str | None
    step_id: str | None
    message: str
    metadata: msgspec.Raw


def raw(text: str | None) -> msgspec.Raw | None:
    """JSON text as it stands, inside something to be encoded."""
    return None if text is None else msgspec.Raw(text.encode())


def time_or_none(microseconds: int | None) -> str | None:
    """A time as JSON shows it, or null."""
    return None if microseconds is None else timestamp_text(microseconds)


def entry_line(record_id: int, seq: int, record: EntryRecord) -> bytes:
    """An entry as one JSON object without a newline."""
    return encode(
        _Entry(
            record_id,
            record.task_id,
            seq,
            timestamp_text(record.timestamp),
            LEVEL_NAMES[record.level],
            record.source,
            record.stage,
            record.unit,
            record.step_id,
            record.message,
            raw(record.metadata_json) or _NULL,
        )
    )


_parse = msgspec.json.Decoder(_Entry).decode


def parse_entry(line: bytes) -> Entry:
    """The entry of one JSON object as `entry_line` makes it."""
    found = _parse(line)
    metadata = bytes(found.metadata)
    return Entry(
        id=found.id,
        task_id=found.task_id,
        seq=found.seq,
        timestamp=parse_timestamp(found.timestamp),
        level=Level[found.level],
        source=found.source,
        stage=found.stage,
        unit=found.unit,
        step_id=found.step_id,
        message=found.message,
        metadata_json=None if metadata == b"null" else metadata.decode(),
    )


def line_record(task_id: str, line: Line) -> EntryRecord:
    """One line of an ingest batch as the entry it is."""
    return EntryRecord(
        task_id, line.timestamp, line.level, line.source, line.stage, line.unit, None, line.message, line.metadata_json
    )


def task_object(task: Task) -> dict[str, Any]:
    """A task as JSON shows it; to be encoded by msgspec (it holds raw parts)."""
    return {
        "id": task.id,
        "name": task.name,
        "plugin": task.plugin,
        "account": task.account,
        "site": task.site,
        "parent_id": task.parent_id,
        "schedule_id": task.schedule_id,
        "run_id": task.run_id,
        "external": task.external,
        "trigger_type": task.trigger_type,
        "trigger_data": raw(task.trigger_data_json),
        "params": raw(task.params_json),
        "status": task.status,
        "cancelling": task.cancelling,
        "progress": None
        if task.progress is None
        else {"current": task.progress.current, "total": task.progress.total, "message": task.progress.message},
        "result": raw(task.result_json),
        "error_message": task.error_message,
        "error_stack": task.error_stack,
        "created_at": timestamp_text(task.created_at),
        "started_at": time_or_none(task.started_at),
        "finished_at": time_or_none(task.finished_at),
        "duration": task.duration,
        "last_seq": task.last_seq,
        "counts": {level.name: task.counts.get(level.name, 0) for level in Level},
        "dropped": task.dropped,
        "sealed": None if task.sealed is None else {"count": task.sealed.count, "last_seq": task.sealed.last_seq},
        "metadata": raw(task.metadata_json),
    }


def stage_object(stage: Stage, log_count: int, units: dict[str, int]) -> dict[str, Any]:
    """A stage as ``/stages`` shows it."""
    ended = stage.finished_at
    return {
        "id": stage.id,
        "number": stage.number,
        "name": stage.name,
        "status": stage.status,
        "pending": stage.pending,
        "processed": stage.processed,
        "credits_used": stage.credits_used,
        "elapsed": None if ended is None else (ended - stage.started_at) / 1_000_000,
        "started_at": timestamp_text(stage.started_at),
        "finished_at": time_or_none(ended),
        "error_message": stage.error_message,
        "error_stack": stage.error_stack,
        "log_count": log_count,
        "result": raw(stage.result_json),
        "units": [{"unit": unit, "log_count": count} for unit, count in units.items()],
    }


def step_object(step: Step, *, data: bool) -> dict[str, Any]:
    """A step; with ``data`` its input and output too."""
    shown: dict[str, Any] = {
        "id": step.id,
        "task_id": step.task_id,
        "parent_id": step.parent_id,
        "step_index": step.step_index,
        "stage": step.stage,
        "unit": step.unit,
        "node_id": step.node_id,
        "node_type": step.node_type,
        "node_name": step.node_name,
        "status": step.status,
        "started_at": timestamp_text(step.started_at),
        "finished_at": time_or_none(step.finished_at),
        "duration": None if step.finished_at is None else (step.finished_at - step.started_at) / 1_000_000,
    }
    if data:
        shown |= {"input_data": raw(step.input_json), "output_data": raw(step.output_json)}
    return shown | {"error_message": step.error_message, "error_stack": step.error_stack}


def gap_object(gap: Gap) -> dict[str, Any]:
    """A declared gap."""
    return {"from_seq": gap.from_seq, "to_seq": gap.to_seq, "reason": gap.reason}
