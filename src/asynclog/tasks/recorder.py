"""What a task's context, stages and steps share: where their records go, and which of them are open.

State owned here, changed from any thread of the task: its ended stages by name and number, its open stages and steps.
"""

from __future__ import annotations

import itertools
import threading
from typing import Any, Final

import msgspec

from asynclog import records, values
from asynclog.engine import Engine
from asynclog.feed import Feed
from asynclog.identity import new_id
from asynclog.logger import NOWHERE, Place, TaskLogger, label, place
from asynclog.model import Stage, Step
from asynclog.records import Record, StageRecord, StepRecord
from asynclog.tasks import trace
from asynclog.tasks.parts import interrupted

LARGEST_NUMBER: Final = 1 << 53
"""Of a stage: what a database and JavaScript both hold exactly."""


class Recorder:
    """The records of one running task.

    Args:
        engine: where they go.
        feed: the task's emitting state.
    """

    def __init__(self, engine: Engine, feed: Feed) -> None:
        self.feed: Final = feed
        self.system: Final[TaskLogger] = engine.logger(feed, "system")
        self.dials: Final = engine.settings.dials
        self.now: Final = engine.clock.now
        self._journal = engine.journal
        self._lock = threading.RLock()
        self._idle: dict[str, dict[int, Stage]] = {}
        """Stages that have ended and may be entered again, by name and number."""
        self._highest = 0
        self._open_stages: dict[str, Stage] = {}
        self._newest: dict[str, Stage] = {}
        """Every stage as it is now, whatever order threads come in to say so."""
        self._open_steps: dict[str, Step] = {}
        self._next_index = itertools.count()
        self._ended = False

    def here(self) -> Place:
        """Where in this task the running code is."""
        found = place.get()
        return found if found.feed is self.feed else NOWHERE

    def capture(self, value: Any) -> str:
        """A value as JSON text, cut above ``max_data_size``."""
        return values.capture(value, self.dials.max_data_size, self.dials.redactor)

    def label(self, name: object) -> str | None:
        """A name as it is kept; see `logger.label`."""
        return label(name, redactor=self.dials.redactor)

    def record(self, record: Record) -> None:
        """Append a record, unless the task has ended."""
        if not (self._ended or self.feed.sealed):
            self._journal.append(None, records.encode(record))

    def begin_stage(self, name: str, number: int | None, pending: int | None) -> Stage:
        """A stage starts, or goes on when one of this name (and number) has ended before.

        Without a number it is the one of this name that does not run now, else a new one with the next free number.
        """
        with self._lock:
            known = self._known(name, number)
            if known is None:
                stage = Stage(
                    id=new_id(),
                    task_id=self.feed.task_id,
                    number=min(self._highest + 1, LARGEST_NUMBER) if number is None else number,
                    name=name,
                    pending=pending,
                    started_at=self.now(),
                )
            else:
                more = known.pending if pending is None else pending
                stage = msgspec.structs.replace(
                    known, status="running", pending=more, finished_at=None, error_message=None, error_stack=None
                )
            self._highest = max(self._highest, stage.number)
            self._open_stages[stage.id] = self._newest[stage.id] = stage
        self.record(StageRecord(stage.task_id, stage))
        self.record(trace.stage_start(stage, self.now()))
        return stage

    def _known(self, name: str, number: int | None) -> Stage | None:
        idle = self._idle.get(name)
        if not idle:
            return None
        return idle.pop(min(idle) if number is None else number, None)

    def put_stage(self, stage: Stage) -> None:
        """The stage is like this from now on."""
        with self._lock:
            if stage.id not in self._open_stages:
                return
            self._open_stages[stage.id] = self._newest[stage.id] = stage
            if stage.status != "running":
                del self._open_stages[stage.id]
                self._idle.setdefault(stage.name, {})[stage.number] = stage
        self._record_stage(stage)

    def _record_stage(self, stage: Stage) -> None:
        self.record(StageRecord(stage.task_id, stage))
        for event in trace.stage_change(stage, self.now()):
            self.record(event)
        # Not under the lock: a finaliser that the journal runs under its own may end a stage, too.
        newest = self._newest[stage.id]
        if newest is not stage:  # another thread has said more meanwhile; perhaps its record came before this one
            self._journal.append(None, records.encode(StageRecord(newest.task_id, newest)))

    def next_index(self) -> int:
        """The place of the next step among the task's steps, from 0."""
        return next(self._next_index)

    def put_step(self, step: Step) -> None:
        """The step is like this from now on."""
        if step.status == "running":
            self._open_steps[step.id] = step
        else:
            self._open_steps.pop(step.id, None)
        self.record(StepRecord(step.task_id, step))
        for event in trace.step_error(step, self.now()):
            self.record(event)

    def interrupt(self, now: int) -> None:
        """The task ends: what is still open ends with it, and nothing more is recorded."""
        with self._lock:
            left, steps = list(self._open_stages.values()), list(self._open_steps.values())
            stages = [interrupted(stage, now) for stage in left]
            self._newest.update({stage.id: stage for stage in stages})
            self._open_stages.clear()
        for stage in stages:
            self._record_stage(stage)
        for step in steps:
            self.record(StepRecord(step.task_id, interrupted(step, now)))
        self._ended = True
