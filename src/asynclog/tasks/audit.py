"""The audit: who changed what and when, as entries of one system task that never ends, is not deleted and not expired.

An entry goes the way of every entry: logger, journal, writer. State owned here: the task's feed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from asynclog.engine import Engine
from asynclog.feed import Feed
from asynclog.logger import TaskLogger
from asynclog.model import AUDIT_PLUGIN, AUDIT_TASK, EVERYTHING, Schedule, Task
from asynclog.principal import SERVICE_NAME, Principal
from asynclog.records import TaskRecord
from asynclog.settings import Dials
from asynclog.tasks.sweeper import RetentionReport

TOLD_IDS: Final = 100
"""Ids of tasks that one entry names at most."""

_SCHEDULE: Final = ("name", "plugin", "account", "site", "cron", "interval", "time_zone", "missed", "paused")


class Audit:
    """Takes down what was changed. To be called on the event loop, after the change.

    What is noted holds names and settings, never the values of parameters: it stays for good.

    Args:
        engine: the data directory.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._dials = Dials()
        """Not the settings': no threshold silences the audit. What counts as a secret is what counts everywhere."""
        self._dials.redactor = engine.settings.dials.redactor
        self._logger: TaskLogger | None = None

    async def load(self) -> None:
        """Go on with the task of a former process. Raises StoreError."""
        task = await self._engine.store.task(AUDIT_TASK, EVERYTHING)
        if task is not None:
            self._logger = self._begin(task)

    def note(
        self,
        action: str,
        subject: str,
        by: Principal | None = None,
        address: str | None = None,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        **details: Any,
    ) -> None:
        """Take down one change. Like every log call it raises nothing and waits for nothing.

        Args:
            action: what was done, as ``noun.verb``.
            subject: to what: names, or an id.
            by: who did it; None for the service itself.
            address: from where.
            before: what is different now, as it was.
            after: the same as it is.
            details: what else is to be known.
        """
        if self._logger is None:
            self._logger = self._begin(self._new())
        who = SERVICE_NAME if by is None else by.name
        known: dict[str, Any] = {
            "action": action,
            "subject": subject,
            "who": who,
            "key_id": None if by is None else by.key_id,
            "role": None if by is None else by.role.label,
            "address": address,
        }
        if before is not None or after is not None:
            known |= {"from": before, "to": after}
        self._logger.info("%s %s by %s", action, subject, who, metadata={**known, **details})

    def note_retention(self, report: RetentionReport, by: Principal | None = None, address: str | None = None) -> None:
        """Take down what the retention removes."""
        self.note(
            "retention.run",
            f"{report.tasks:,} tasks",
            by,
            address,
            tasks=report.tasks,
            entries=report.entries,
            by_plugin=report.by_plugin,
            task_ids=report.task_ids[:TOLD_IDS],
        )

    def _new(self) -> Task:
        now = self._engine.clock.now()
        return Task(
            id=AUDIT_TASK,
            name="audit",
            plugin=AUDIT_PLUGIN,
            trigger_type="internal_event",
            created_at=now,
            started_at=now,
        )

    def _begin(self, task: Task) -> TaskLogger:
        engine = self._engine
        running = msgspec.structs.replace(
            task, name="audit", plugin=AUDIT_PLUGIN, status="running", finished_at=None, error_message=None, sealed=None
        )
        feed = Feed.of(running)
        engine.hub.add(running, feed)
        if running != task:  # a new one, or one that another version took for lost
            engine.record(TaskRecord(running.id, running))
        return TaskLogger(engine.journal, feed, self._dials, engine.clock.now_ns, "system")


def schedule_change(before: Schedule | None, after: Schedule | None) -> dict[str, dict[str, Any] | None]:
    """What is different between two states of a schedule, as ``before`` and ``after``; of params only the names."""
    old, new = _shown(before), _shown(after)
    names = [name for name in (*_SCHEDULE, "params") if (old or {}).get(name) != (new or {}).get(name)]
    if before is not None and after is not None and before.params_json != after.params_json and "params" not in names:
        names.append("params")
    return {
        "before": None if old is None else {name: old[name] for name in names},
        "after": None if new is None else {name: new[name] for name in names},
    }


def _shown(schedule: Schedule | None) -> dict[str, Any] | None:
    if schedule is None:
        return None
    shown = {name: getattr(schedule, name) for name in _SCHEDULE}
    shown["interval"] = None if schedule.interval is None else schedule.interval / 1_000_000
    return {**shown, "params": sorted(schedule.params)}
