"""The words: levels, times, tasks, access scopes."""

from datetime import datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynclog.model import (
    EVERYTHING,
    MAX_TIMESTAMP,
    AccessScope,
    Level,
    Progress,
    Task,
    parse_timestamp,
    parse_timestamps,
    timestamp_text,
)


@pytest.mark.parametrize(
    ("given", "level"),
    [
        ("debug", "DEBUG"),
        (" Warn ", "WARNING"),
        ("CRITICAL", "ERROR"),
        ("Fatal", "ERROR"),
        ("trace", "DEBUG"),
        (0, "DEBUG"),
        (19, "DEBUG"),
        (20, "INFO"),
        ("30", "WARNING"),
        (39, "WARNING"),
        (10**9, "ERROR"),
        (-5, "DEBUG"),
    ],
)
def test_a_level_is_read_as_people_write_it(given: object, level: str) -> None:
    """Any case, other systems' names, and numbers by threshold."""
    assert Level.parse(given).name == level


@pytest.mark.parametrize("given", ["", "loud", "3.5", "²", True, None, 30.0, b"INFO", []])
def test_what_is_no_level_is_refused(given: object) -> None:
    """Anything else is a ValueError that names the levels there are."""
    with pytest.raises(ValueError, match="DEBUG, INFO, WARNING or ERROR"):
        Level.parse(given)


@given(st.integers(0, MAX_TIMESTAMP))
def test_a_time_survives_its_text(microseconds: int) -> None:
    """A time as JSON shows it is read back to the microsecond, and always has six digits and Z."""
    text = timestamp_text(microseconds)
    assert parse_timestamp(text) == microseconds
    assert (len(text), text[-8], text[-1]) == (27, ".", "Z")


@given(st.integers(0, MAX_TIMESTAMP), st.integers(0, MAX_TIMESTAMP))
def test_the_text_of_times_sorts_as_they_do(one: int, other: int) -> None:
    """Texts of times compare as the times."""
    assert (timestamp_text(one) < timestamp_text(other)) == (one < other)


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-07T12:00:00Z",
        "2026-02-07T14:00:00+02:00",
        "2026-02-07T12:00:00",
        "2026-02-07 12:00:00.000000",
        "20260207T120000Z",
    ],
)
def test_times_come_in_many_forms(text: str) -> None:
    """With offset, with Z or without either (then UTC), in any of ISO-8601's forms: the same moment."""
    assert timestamp_text(parse_timestamp(text)) == "2026-02-07T12:00:00.000000Z"


@pytest.mark.parametrize(
    "text", ["", "yesterday", "1969-12-31T23:59:59Z", "12:00", "2026-02-30T00:00:00Z", "0001-01-01T00:00:00+23:59"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """Anything else, and what lies before 1970, is a ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011  # several messages
        parse_timestamp(text)


@pytest.mark.parametrize(
    ("access", "account", "site", "visible"),
    [
        (EVERYTHING, "a", "s", True),
        (AccessScope(account="a"), "a", None, True),
        (AccessScope(account="a"), "b", None, False),
        (AccessScope(account="a"), None, None, False),
        (AccessScope(account="a", site="s"), "a", "s", True),
        (AccessScope(account="a", site="s"), "a", "t", False),
        (AccessScope(site="s"), "b", "s", True),
    ],
)
def test_an_access_scope_shows_its_own(
    access: AccessScope, account: str | None, site: str | None, visible: bool
) -> None:
    """A scope that names an account or a site shows only what carries just that."""
    assert access.allows(account, site) is visible


def test_values_are_frozen_and_compare_by_content() -> None:
    """A task cannot be changed, equals another with the same fields, and decodes what it holds as JSON text."""
    task = Task(id="t", name="n", plugin="p", created_at=0, params_json='{"a":1}', started_at=0, finished_at=1_500_000)
    with pytest.raises(AttributeError):
        task.name = "other"  # type: ignore[misc]  # on purpose
    assert task == msgspec.structs.replace(task)
    assert (task.params, task.result, task.duration, task.ended) == ({"a": 1}, None, 1.5, False)
    assert Progress(current=1) != Progress(current=2)


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)),  # noqa: DTZ001  # UTC by contract
    st.sampled_from(["Z", "+00:00", "+01:00", ""]),
)
def test_a_time_reads_the_same_in_every_form(moment: datetime, zone: str) -> None:
    """The usual form of a time, which is read by a shorter way, gives the microseconds of any other form."""
    text = moment.isoformat(timespec="microseconds")
    expected = (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # noqa: DTZ001  # UTC by contract
    shift = 3_600_000_000 if zone == "+01:00" else 0
    if expected >= shift:
        assert parse_timestamp(text + zone) == expected - shift
    assert timestamp_text(parse_timestamp(text + "Z")) == text + "Z"


@pytest.mark.parametrize(
    "text", ["2026-02-07T12:00:00.12a456Z", "2026-13-07T12:00:00.123456Z", "1969-12-31T23:59:59.999999Z", "²" * 27]
)
def test_what_only_looks_like_a_time_is_none(text: str) -> None:
    """Text in the usual form that is no time, or outside 1970 to 9999, is refused."""
    with pytest.raises(ValueError, match=r"1970|isoformat|month"):
        parse_timestamp(text)


usual = st.integers(0, 253_402_300_799_999_999).map(timestamp_text)
changed = st.builds(
    lambda text, place, sign: text[:place] + sign + text[place + 1 :],
    usual,
    st.integers(0, 26),
    st.sampled_from("0:.Z-+ T9é\u0661"),
)
odd = st.sampled_from(["2026-02-07", "2026-02-07T12:00:00+01:00", "yesterday", "", "1970-01-01T00:00:00.000000Z"])


@given(st.lists(usual | changed | odd, max_size=4) | st.lists(usual | changed, max_size=4))
def test_many_times(texts: list[str]) -> None:
    """Times read together are those read one by one, and what is no time is refused."""
    try:
        expected = [parse_timestamp(text) for text in texts]
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            parse_timestamps(texts)
    else:
        assert parse_timestamps(texts) == expected
