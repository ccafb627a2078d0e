"""When a schedule is due: pure functions of a schedule and a time.

The rules, which docs/schedules.md states for users:

- An interval counts from the schedule's creation: its k-th due time is ``created_at + k * interval``.
- A cron expression has five fields and means wall time in the schedule's zone. Where minute and hour are given, a due
  time that a change of the clocks leaves out comes at the first moment after it, and one that happens twice comes the
  first time only. Where minute or hour begins with ``*``, every matching minute that really passes is due.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from asynclog.errors import InvalidError
from asynclog.model import MAX_TIMESTAMP, Schedule, timestamp_text

SECOND: Final = 1_000_000
DAY: Final = 86_400 * SECOND
SHORTEST: Final = SECOND
LONGEST: Final = 3660 * DAY
"""Bounds of an interval."""
COUNTED: Final = 1000
"""Due times by cron are counted one by one up to here; of more, only those of the last day that has any."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class NeverError(Exception):
    """A schedule is not due any more."""


class Dues(NamedTuple):
    """Due times that have come: the latest of them, and how many there were (by cron `COUNTED` means that or more)."""

    latest: int
    number: int


def check(schedule: Schedule) -> None:
    """Refuse what could never be due.

    Raises:
        InvalidError: names the field and says what it takes.
    """
    if (schedule.cron is None) == (schedule.interval is None):
        raise InvalidError("cron", "give either cron or interval, one of the two")
    if schedule.interval is not None and not SHORTEST <= schedule.interval <= LONGEST:
        raise InvalidError("interval", "interval is a number of seconds, from 1 to ten years")
    _zone(schedule.time_zone)
    if schedule.cron is not None:
        fields = len(schedule.cron.split())
        if fields != 5:
            raise _no_cron(schedule.cron, f"it has {fields} fields")
        try:
            following(schedule, schedule.created_at)
        except NeverError:
            raise InvalidError("cron", f"{schedule.cron!r} is never due") from None


def following(schedule: Schedule, after: int) -> int:
    """The first due time after a moment, both in microseconds since the epoch.

    The schedule has passed `check`, perhaps elsewhere.

    Raises:
        NeverError: there is none within the next fifty years.
        InvalidError: its time zone, or its expression, is none on this machine.
    """
    if schedule.interval is not None:
        passed = (after - schedule.created_at) // schedule.interval
        return schedule.created_at + (passed + 1) * schedule.interval
    zone = _zone(schedule.time_zone)
    moment = (_EPOCH + timedelta(microseconds=min(after, MAX_TIMESTAMP))).astimezone(zone)
    # The library's wall time may lie before the moment, in the first pass of an hour that happens twice.
    try:
        for due in CronSim(schedule.cron or "", moment):
            found = (due.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
            if found > after:
                return found
    except CronSimError as error:
        raise _no_cron(schedule.cron, str(error)) from None
    except (OverflowError, ValueError) as error:  # beyond the year 9999
        raise NeverError from error
    raise NeverError


def _no_cron(expression: str | None, reason: str) -> InvalidError:
    told = f"{expression!r} is no cron expression ({reason}); give minute, hour, day, month and weekday"
    return InvalidError("cron", f"{told}, such as '30 2 * * 1-5'")


def come(schedule: Schedule, first: int, now: int) -> Dues:
    """The due times from ``first``, which is one, up to now. Raises as `following` does."""
    if schedule.interval is not None:
        more = max(0, now - first) // schedule.interval
        return Dues(first + more * schedule.interval, 1 + more)
    latest, count = first, 1
    while count < COUNTED:
        due = following(schedule, latest)
        if due > now:
            return Dues(latest, count)
        latest, count = due, count + 1
    span = DAY
    while (due := following(schedule, max(latest, now - span))) > now and now - span > latest:
        span *= 2
    while due <= now:
        latest, due = due, following(schedule, due)
    return Dues(latest, count)


def described(schedule: Schedule) -> str:
    """When it is due, for people."""
    if schedule.interval is not None:
        return f"every {schedule.interval / SECOND:g} s"
    return f"{schedule.cron} ({schedule.time_zone})"


def moment_text(due: int | None) -> str | None:
    """A due time as JSON shows it."""
    return None if due is None else timestamp_text(due)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # a folder of zones, a path, no zone
        raise InvalidError(
            "time_zone", f"there is no time zone {name!r}; give a name such as Europe/Berlin, or UTC"
        ) from None
