"""The machine events that every run has: its start and end, its stages, its errors. Trace records, made from values.

They are no entries and no threshold applies. A plugin adds its own with `TaskContext.append_trace`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from asynclog.model import Stage, Step, Task, TraceItem
from asynclog.records import TraceRecord


def run_start(task: Task) -> TraceRecord:
    """A task starts."""
    data = {
        "run_id": task.run_id,
        "plugin": task.plugin,
        "account": task.account,
        "site": task.site,
        "trigger_type": task.trigger_type,
    }
    return _record(task.id, task.started_at or task.created_at, "run_start", data)


def run_end(task: Task) -> list[TraceRecord]:
    """A task has ended: an error when it failed, and the end."""
    now = task.finished_at or task.created_at
    data = {"status": task.status, "elapsed": task.duration}
    found = [_record(task.id, now, "run_end", data)]
    if task.error_message is not None:
        found.insert(0, _record(task.id, now, "error", {"message": task.error_message}))
    return found


def stage_start(stage: Stage, now: int) -> TraceRecord:
    """A stage starts, or goes on."""
    return _record(stage.task_id, now, "stage_start", {**_named(stage), "pending": stage.pending})


def stage_change(stage: Stage, now: int) -> list[TraceRecord]:
    """A stage has come further, or has ended."""
    if stage.status == "running":
        data = {**_named(stage), "processed": stage.processed, "pending": stage.pending}
        return [_record(stage.task_id, now, "stage_progress", data)]
    ended = stage.finished_at or now
    facts = {
        **_named(stage),
        "status": stage.status,
        "processed": stage.processed,
        "elapsed": (ended - stage.started_at) / 1_000_000,
        "credits_used": stage.credits_used,
    }
    found = [_record(stage.task_id, ended, "stage_complete", facts)]
    if stage.status == "error":
        found.insert(0, _record(stage.task_id, ended, "error", {**_named(stage), "message": stage.error_message}))
    return found


def step_error(step: Step, now: int) -> list[TraceRecord]:
    """A step that has gone wrong; nothing for any other."""
    if step.status != "error":
        return []
    data = {"stage": step.stage, "unit": step.unit, "step_id": step.id, "node_id": step.node_id}
    return [_record(step.task_id, step.finished_at or now, "error", {**data, "message": step.error_message})]


def _named(stage: Stage) -> dict[str, Any]:
    return {"stage": stage.name, "number": stage.number}


def _record(task_id: str, timestamp: int, event: str, data: dict[str, Any]) -> TraceRecord:
    text = msgspec.json.encode(data).decode()
    return TraceRecord(task_id, TraceItem(task_id=task_id, timestamp=timestamp, event=event, data_json=text))
