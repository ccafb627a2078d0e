"""What the reader answers with."""

from __future__ import annotations

from asynclog.model import Entry, Gap, Stage, Step, Value
from asynclog.wire import parse_entry


class LogPage(Value, frozen=True, kw_only=True):
    """A page of a task's entries, each one JSON object in ``lines``; the other fields as in DESIGN 7."""

    task_id: str
    lines: list[bytes]
    total: int | None
    next_after: int | None
    next_before: int | None
    complete: bool
    gaps: list[Gap]

    @property
    def entries(self) -> list[Entry]:
        """The entries as values."""
        return [parse_entry(line) for line in self.lines]


class StageView(Value, frozen=True, kw_only=True):
    """A stage, or a label that occurs only on entries (``stage`` None), and what was logged in it."""

    name: str
    stage: Stage | None
    log_count: int
    units: dict[str, int]


class StepPage(Value, frozen=True, kw_only=True):
    """Some of a task's steps; ``next_after`` is the id of the last one, None when no more follow."""

    steps: list[Step]
    next_after: str | None


class StagePage(Value, frozen=True, kw_only=True):
    """All of a task's stages and labels; ``complete`` as in a page of entries."""

    views: list[StageView]
    complete: bool
