"""The text and CSV forms of entries."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from asynclog import values
from asynclog.model import Level, timestamp_text
from asynclog.records import EntryRecord
from asynclog.rendering import CSV_COLUMNS, csv_header, csv_rows, lines_of, text_line, text_lines, text_of, visible_text
from asynclog.wire import entry_line, parse_entry

TIME = 1_770_465_600_123_456


def _line(message: str = "m", metadata: str | None = None, stage: str | None = None, unit: str | None = None) -> bytes:
    return entry_line(1, 2, EntryRecord("t", TIME, Level.INFO, "superset_api", stage, unit, None, message, metadata))


def test_an_entry_is_a_line() -> None:
    """Time to the millisecond, level, source, stage and unit, message, metadata."""
    line = _line("fetched 42 charts", '{"dashboard_id":7}', "extract", "dash-7")
    expected = '2026-02-07 12:00:00.123 INFO  [superset_api] extract dash-7: fetched 42 charts {"dashboard_id":7}'
    assert text_line(parse_entry(line)) == expected
    assert text_line(parse_entry(_line("m", None, None, "u"))).endswith("[superset_api] u: m")


@given(st.integers(-1_000_000_000_000_000, 250_000_000_000_000_000))
def test_any_time_is_shown_to_the_millisecond(time: int) -> None:
    """The time of a line is that of its entry, cut to the millisecond."""
    shown = text_of(time, "INFO", "s", None, None, "m", None)
    assert shown[:23] == timestamp_text(time)[:23].replace("T", " ")


def test_a_traceback_stands_below() -> None:
    """A traceback is indented below its entry, and no longer in the metadata."""
    text = text_line(parse_entry(_line("m", '{"traceback":"Traceback:\\n  x\\nError","a":1}')))
    assert text.splitlines()[0].endswith('m {"a":1}')
    assert text.splitlines()[1:] == ["    Traceback:", "      x", "    Error"]


@given(st.text(), st.text())
def test_nothing_reaches_a_terminal(message: str, stage: str) -> None:
    """Whatever an entry holds, its text form is one line of visible characters."""
    message, stage = (text.encode(errors="replace").decode() for text in (message, stage))
    [line, rest] = text_lines([_line(message, None, stage)]).split("\n")
    assert rest == ""
    assert not [character for character in line if ord(character) < 32 or 0x7F <= ord(character) < 0xA0]
    assert len(line.splitlines()) == 1


@given(st.text(), st.text(), st.dictionaries(st.text(), st.text() | st.integers() | st.floats(allow_nan=False)))
def test_a_line_needs_no_json(message: str, source: str, metadata: dict[str, object]) -> None:
    """An entry's values give the line that its JSON gives, and the metadata read back are those given."""
    message, source = (text.encode(errors="replace").decode() for text in (message, source))
    stored = values.metadata_json(metadata)
    record = EntryRecord("t", TIME, Level.INFO, source, None, None, None, message, stored)
    line = text_of(TIME, "INFO", source, None, None, message, stored)
    assert line == text_line(parse_entry(entry_line(1, 2, record)))
    if "traceback" not in metadata and stored is not None and stored.isprintable():
        assert line.endswith(f" {stored}")


@given(
    st.lists(st.tuples(st.text() | st.text(st.characters(max_codepoint=0x80)), st.text(max_size=3)), max_size=4),
    st.sampled_from([0, 700, 400_000, -1_700_000]),
    st.booleans(),
)
def test_many_lines_are_what_each_is(entries: list[tuple[str, str]], step: int, staged: bool) -> None:
    """Whatever stands beside it, and whenever that was, an entry gives the line it gives alone."""
    rows: list[tuple[int, str, str, str | None, str | None, str, str | None]] = []
    for number, texts in enumerate(entries):
        message, value = (text.encode(errors="replace").decode() for text in texts)
        key = "traceback" if value.startswith("0") else "key"
        stored = values.metadata_json({key: value}) if value else None
        stage = message[:3] if staged else None
        rows.append(
            (TIME + number * step, "INFO", "p", stage or None, None, message, stored or "{}"[: 2 * staged] or None)
        )
    columns = [list(column) for column in zip(*rows, strict=True)] or [[]] * 7
    assert lines_of(columns) == [f"{text_of(*row)}\n" for row in rows]


def test_escapes_are_readable() -> None:
    """Line breaks and tabs are short escapes, other control characters hexadecimal ones."""
    assert visible_text("a\nb\tc\r\x1b[0m\x9b\u2028\u202ed") == "a\\nb\\tc\\r\\x1b[0m\\x9b\\u2028\\u202ed"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_csv_keeps_the_text_and_runs_nothing(message: str) -> None:
    """A cell read back is the text, with one apostrophe before what a spreadsheet would run."""
    text = csv_header() + csv_rows([_line(message)])
    header, row = list(csv.reader(io.StringIO(text, newline="")))
    assert tuple(header) == CSV_COLUMNS
    cell = row[CSV_COLUMNS.index("message")]
    assert cell in (message, f"'{message}")
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
