"""Schedules as the service takes and shows them: the schemas of the API description, like `shapes`."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from asynclog.model import MissedRule
from asynclog.server.shapes import Count, JsonObject, Shape, Time

Cron = Annotated[str, Meta(max_length=200, description="Minute, hour, day, month, weekday, in the time zone.")]
Interval = Annotated[float, Meta(ge=1, le=316_224_000, description="Seconds, counted from the creation.")]
Missed = Annotated[
    MissedRule, Meta(description="What happens to due times that were missed: one run for all, or none.")
]


class ScheduleChange(Shape):
    """What to change of a schedule; what is left out stays. Paused true pauses it, false lets it go on."""

    plugin: str | UnsetType = UNSET
    cron: Cron | UnsetType | None = UNSET
    interval: Interval | UnsetType | None = UNSET
    time_zone: str | UnsetType = UNSET
    params: JsonObject | UnsetType = UNSET
    name: str | UnsetType = UNSET
    account: str | UnsetType | None = UNSET
    site: str | UnsetType | None = UNSET
    missed: Missed | UnsetType = UNSET
    paused: bool | UnsetType = UNSET


class NewSchedule(ScheduleChange):
    """A schedule to make: of a plugin, with either cron or interval."""

    plugin: str


class Schedule(Shape):
    """When a plugin is started by itself, and where that stands. Secrets in params are not shown."""

    id: str
    name: str
    plugin: str
    params: Any
    account: str | None
    site: str | None
    cron: str | None
    interval: float | None
    time_zone: str
    missed: MissedRule
    paused: bool
    created_at: Time
    updated_at: Time
    next_at: Annotated[Time | None, Meta(description="The next due time; null while paused.")]
    last_at: Annotated[Time | None, Meta(description="The last due time that was dealt with.")]
    last_task_id: str | None
    last_error: Annotated[str | None, Meta(description="Why the plugin could not be started the last time.")]
    skipped: Annotated[Count, Meta(description="Due times without a task: missed, or the task before still ran.")]
    running_task_id: str | None


class Schedules(Shape):
    """All of them, oldest first."""

    schedules: list[Schedule]
