"""Which tasks a list holds: its parameters, and the same conditions as a predicate for the live list."""

from __future__ import annotations

from typing import Any, Final

from asynclog.model import EVERYTHING, TASK_STATUSES, TRIGGER_TYPES, AccessScope, Task
from asynclog.queries import TaskQuery
from asynclog.server.parameters import choice, seconds, text, time, whole

MAX_TASKS: Final = 500
"""Tasks of one page at most."""

FILTERS: Final = (
    choice("status", "Only tasks of this status; may be repeated.", TASK_STATUSES, repeated=True),
    text("plugin", "Only tasks of this plugin; may be repeated.", repeated=True),
    choice("trigger_type", "Only tasks started in this way; may be repeated.", TRIGGER_TYPES, repeated=True),
    text("account", "Only tasks of this account."),
    text("site", "Only tasks of this site."),
    text("parent", "Only children of the task with this id."),
    text("schedule", "Only tasks of the schedule with this id."),
    text("text", "Only tasks whose name, plugin, error message or id contains this; A-Z and a-z are the same."),
    time("started_after", "Only tasks started at this time or later, ISO-8601."),
    time("started_before", "Only tasks started before this time, ISO-8601."),
    time("finished_after", "Only tasks finished at this time or later, ISO-8601."),
    seconds("min_duration", "Only ended tasks that took so many seconds or longer."),
    seconds("max_duration", "Only ended tasks that took so many seconds or less."),
)
"""Of the page of tasks and of the live list."""

PARAMETERS: Final = (
    *FILTERS,
    choice("order_by", "What the list is ordered by.", ("created_at", "started_at", "duration"), "created_at"),
    choice("order", "desc is newest, or longest, first.", ("asc", "desc"), "desc"),
    whole("limit", "Tasks of the page.", 1, MAX_TASKS, 50),
    text("cursor", "The page's place: `next` of the former page."),
)


def task_query(values: dict[str, Any], access: AccessScope = EVERYTHING) -> TaskQuery:
    """The query that parameters mean."""
    given: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    given["descending"] = given.pop("order", "desc") == "desc"
    return TaskQuery(**given, access=access)


def listed(task: Task, query: TaskQuery) -> bool:
    """Whether a task is in the list a query means, its page aside: what the store says in SQL."""
    equal = (
        (query.account, task.account),
        (query.site, task.site),
        (query.parent, task.parent_id),
        (query.schedule, task.schedule_id),
    )
    among = ((query.status, task.status), (query.plugin, task.plugin), (query.trigger_type, task.trigger_type))
    return (
        query.scope.sees(task)
        and all(wanted is None or wanted == value for wanted, value in equal)
        and all(not wanted or value in wanted for wanted, value in among)
        and _within(task.started_at, query.started_after, query.started_before)
        and _within(task.finished_at, query.finished_after, None)
        and _lasted(task, query)
        and (not query.text or _contains(task, query.text))
    )


def _within(moment: int | None, after: int | None, before: int | None) -> bool:
    if after is None and before is None:
        return True
    return moment is not None and (after is None or moment >= after) and (before is None or moment < before)


def _lasted(task: Task, query: TaskQuery) -> bool:
    low, high = query.min_duration, query.max_duration
    if low is None and high is None:
        return True
    took = task.duration
    return took is not None and (low is None or took >= low) and (high is None or took <= high)


def _contains(task: Task, text: str) -> bool:
    # bytes.lower() folds A-Z alone, as the store does
    needle = text.encode().lower()
    return any(needle in (value or "").encode().lower() for value in _texts(task))


def _texts(task: Task) -> tuple[str | None, ...]:
    return task.name, task.plugin, task.error_message, task.id
