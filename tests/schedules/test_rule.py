"""When a schedule is due: intervals, cron, time zones, and the two nights a year when clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from asynclog.errors import InvalidError
from asynclog.model import Schedule, timestamp_text
from asynclog.tasks.schedule import COUNTED, check, come, following

NOON = 1_770_465_600_000_000
"""2026-02-07T12:00:00Z."""
SECOND = 1_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Havana"]


def cron(expression: str, zone: str = "UTC") -> Schedule:
    """A schedule by cron."""
    return Schedule(id="s", name="s", plugin="p", cron=expression, time_zone=zone, created_at=NOON, updated_at=NOON)


def every(seconds: float, created_at: int = NOON) -> Schedule:
    """A schedule by interval."""
    interval = round(seconds * SECOND)
    return Schedule(id="s", name="s", plugin="p", interval=interval, created_at=created_at, updated_at=created_at)


def at(text: str) -> int:
    """A moment in UTC."""
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def dues(schedule: Schedule, after: str, number: int) -> list[str]:
    """The next due times in UTC, to the minute."""
    moment, found = at(after), []
    for _ in range(number):
        moment = following(schedule, moment)
        found.append(timestamp_text(moment)[:16])
    return found


@given(st.floats(1, 1e6), st.integers(-(10**13), 10**14))
def test_an_interval_counts_from_the_creation(seconds: float, offset: int) -> None:
    """Due times are the creation plus whole intervals, the next of them after any moment, however late one looks."""
    schedule = every(seconds)
    assert schedule.interval is not None
    after = NOON + offset
    found = following(schedule, after)
    assert (found - NOON) % schedule.interval == 0
    assert after < found <= after + schedule.interval


def test_cron_means_wall_time() -> None:
    """Half past two on weekdays is that in the schedule's own zone, summer and winter."""
    schedule = cron("30 2 * * 1-5", "America/New_York")
    assert dues(schedule, "2026-01-02T00:00", 3) == ["2026-01-02T07:30", "2026-01-05T07:30", "2026-01-06T07:30"]
    assert dues(schedule, "2026-07-03T00:00", 2) == ["2026-07-03T06:30", "2026-07-06T06:30"]


def test_a_time_that_is_left_out_comes_right_after() -> None:
    """In the night without half past two the daily run comes at the first moment after the gap, once."""
    schedule = cron("30 2 * * *", "Europe/Berlin")
    assert dues(schedule, "2026-03-28T00:00", 3) == ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"]


def test_a_time_that_comes_twice_counts_once() -> None:
    """In the night with two half past twos the daily run comes at the first of them, whenever one looks."""
    schedule = cron("30 2 * * *", "Europe/Berlin")
    assert dues(schedule, "2026-10-24T12:00", 2) == ["2026-10-25T00:30", "2026-10-26T01:30"]
    for moment in ("2026-10-25T00:30", "2026-10-25T00:45", "2026-10-25T01:15", "2026-10-25T01:30"):
        assert dues(schedule, moment, 1) == ["2026-10-26T01:30"]


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_every_quarter_of_an_hour_really_passes(day: str) -> None:
    """A schedule of wildcards is due every fifteen real minutes, through both changes of the clocks."""
    schedule = cron("*/15 * * * *", "Europe/Berlin")
    found = dues(schedule, f"{day}T00:00", 16)
    assert found == [f"{day}T{minute // 60:02}:{minute % 60:02}" for minute in range(15, 255, 15)]


def test_zones_with_half_hours() -> None:
    """A change of the clocks by half an hour, and a gap at midnight, follow the same rules."""
    lord_howe = cron("15 2 * * *", "Australia/Lord_Howe")  # 2026-10-04: 02:00 becomes 02:30
    assert dues(lord_howe, "2026-10-03T12:00", 2) == ["2026-10-03T15:30", "2026-10-04T15:15"]
    havana = cron("0 0 * * *", "America/Havana")  # 2026-03-08: 00:00 becomes 01:00
    assert dues(havana, "2026-03-07T12:00", 2) == ["2026-03-08T05:00", "2026-03-09T04:00"]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(
        ["30 2 * * *", "0 0 * * *", "*/7 * * * *", "5 */3 * * *", "59 23 31 12 *", "0 12 L * *", "1 1 * * 7"]
    ),
    st.sampled_from(ZONES),
    st.integers(at("2000-01-01T00:00"), at("2037-01-01T00:00")),
)
def test_the_next_due_time_is_later_and_stays(expression: str, zone: str, moment: int) -> None:
    """The next due time lies after the moment, is the same from everywhere before it, and matches on the wall."""
    schedule = cron(expression, zone)
    found = following(schedule, moment)
    assert found > moment
    assert following(schedule, found - 1) == found
    assert following(schedule, (moment + found) // 2) == found
    wall = (EPOCH + timedelta(microseconds=found)).astimezone(ZoneInfo(zone))
    assume(wall.utcoffset() == (wall - timedelta(days=1)).utcoffset() == (wall + timedelta(days=1)).utcoffset())
    if expression == "30 2 * * *":
        assert (wall.hour, wall.minute) == (2, 30)
    if expression == "5 */3 * * *":
        assert (wall.hour % 3, wall.minute) == (0, 5)


def test_what_has_come_meanwhile() -> None:
    """After a pause the latest due time and their number are known, without counting for ever."""
    schedule = cron("*/5 * * * *")
    assert come(schedule, NOON, NOON) == (NOON, 1)
    assert come(schedule, NOON, NOON + 1799 * SECOND) == (NOON + 1500 * SECOND, 6)
    year = NOON + 365 * 86_400 * SECOND
    assert come(schedule, NOON, year + SECOND) == (year, COUNTED)
    assert come(cron("* * * 3 *"), NOON, year) == (at("2026-03-31T23:59"), COUNTED)
    assert come(every(1), NOON, year) == (year, 365 * 86_400 + 1)


@pytest.mark.parametrize(
    ("schedule", "parameter"),
    [
        (cron("61 * * * *"), "cron"),
        (cron("* * * *"), "cron"),
        (cron("0 0 0 1 1 1"), "cron"),
        (cron("nonsense"), "cron"),
        (cron(""), "cron"),
        (cron("0 0 30 2 *"), "cron"),
        (cron("0 3 * * *", "Europe/Nowhere"), "time_zone"),
        (cron("0 3 * * *", "../../etc/passwd"), "time_zone"),
        (cron("0 3 * * *", "Europe"), "time_zone"),
        (cron("0 3 * * *", ""), "time_zone"),
        (every(0.5), "interval"),
        (every(1e12), "interval"),
        (Schedule(id="s", name="s", plugin="p", created_at=NOON, updated_at=NOON), "cron"),
    ],
)
def test_what_can_never_be_due_is_refused(schedule: Schedule, parameter: str) -> None:
    """A wrong expression, zone or interval is refused at once, naming the field."""
    with pytest.raises(InvalidError) as refused:
        check(schedule)
    assert refused.value.parameter == parameter
