"""Entries as people read them, and as spreadsheets do: the text and the CSV form, the same for every door."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any, Final

import msgspec

from asynclog.model import Entry, Task, TraceItem, timestamp_text
from asynclog.wire import parse_entry, raw

CSV_COLUMNS: Final = (
    "id", "task_id", "seq", "timestamp", "level", "source", "stage", "unit", "step_id", "message", "metadata",
)  # fmt: skip

# Control characters, line separators, what turns the reading direction round, and what nobody sees: none of it may
# reach a terminal. Joiners and variation selectors stay: scripts and emoji are written with them.
_CONTROL: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
BRACKET: Final = "\\x5d"
"""How a bracket in the name of a source is written."""
_INDENT: Final = "    "
_TRACEBACK: Final = '"traceback"'
_SECOND: Final = 1_000_000
_MILLISECONDS: Final = [f".{millisecond:03d} " for millisecond in range(1000)]
_ESCAPED: Final = bytes(0 if code == 0x7F or (code < 0x20 and code != 0x0A) else code for code in range(256))
"""Puts 0 in the place of each control character of ASCII, but for line breaks."""
# What makes a spreadsheet take a cell for a formula, in every width; it may pass over what cannot be seen before that.
_FORMULA: Final = frozenset("=+-@＝＋－＠﹢﹣﹦﹫−")  # noqa: RUF001  # these very characters
_BREAKS: Final = frozenset("\t\r\n")

_encode = msgspec.json.Encoder().encode


def visible_text(text: str) -> str:
    """The text in one line, with every control character written as an escape."""
    return _CONTROL.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    short, code = _SHORT.get(character), ord(character)
    if short is not None:
        return short
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def text_line(entry: Entry) -> str:
    """An entry as one line, a traceback in its metadata indented below; without a line break at the end.

    ``2026-02-07 12:00:00.123 INFO  [superset_api] extract dash-7: fetched 42 charts {"dashboard_id": 7}``
    """
    return text_of(*_values(entry))


def text_of(
    timestamp: int,
    level: str,
    source: str,
    stage: str | None,
    unit: str | None,
    message: str,
    metadata_json: str | None,
) -> str:
    """The same from an entry's values."""
    if not message.isprintable():  # what is printable has nothing to be escaped
        message = visible_text(message)
    second, millisecond = _second(timestamp // _SECOND), _MILLISECONDS[timestamp // 1000 % 1000]
    line = f"{second}{millisecond}{_label(level, source, stage, unit)}{message}"
    if metadata_json is None or metadata_json == "{}":
        return line
    if _TRACEBACK in metadata_json:
        return line + _with_traceback(metadata_json)
    return f"{line} {metadata_json if metadata_json.isprintable() else visible_text(metadata_json)}"


def lines_of(columns: Sequence[Sequence[Any]]) -> list[str]:
    """`text_of` of many entries, each with a line break: looked at together for what must not be shown as it is.

    Args:
        columns: what `text_of` takes, of each entry.
    """
    if not columns or not columns[0]:
        return []
    times, levels, sources, stages, units, messages, metadata = columns
    more = ["\n" if data is None else f" {data}\n" for data in metadata]
    parts = *_moments(times), _labels(levels, sources, stages, units), messages, more
    lines = list(map("".join, zip(*parts, strict=False)))  # what is the same in all of them has no end
    text = "".join(lines)
    if "{}" in metadata or _TRACEBACK in text or not _is_plain(text, len(lines)):
        return [text_of(*entry) + "\n" for entry in zip(*columns, strict=True)]
    return lines


def _moments(times: Sequence[int]) -> tuple[Iterable[str], Iterable[str]]:
    """The second of each, and the rest: few steps, and fewer where all have the same second."""
    first = min(times) // _SECOND
    if first == max(times) // _SECOND:
        start = first * _SECOND
        return repeat(_second(first)), [_MILLISECONDS[(time - start) // 1000] for time in times]
    return [_second(time // _SECOND) for time in times], [_MILLISECONDS[time // 1000 % 1000] for time in times]


def _labels(*labels: Sequence[str | None]) -> Iterable[str]:
    """`_label` of each, once where all have the same."""
    count = len(labels[0])
    if all(column.count(column[0]) == count for column in labels):
        return repeat(_label(*(column[0] for column in labels)))
    return map(_label, *labels)


def _is_plain(text: str, lines: int) -> bool:
    """Whether these are so many lines in which nothing has to be escaped; False when perhaps something has."""
    if text.count("\n") != lines:
        return False
    if text.isascii():
        return b"\0" not in text.encode().translate(_ESCAPED)
    return text.replace("\n", "").isprintable()


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    moment = timestamp_text(seconds * 1_000_000)
    return f"{moment[:10]} {moment[11:19]}"


@lru_cache(maxsize=256)
def _label(level: str, source: str, stage: str | None, unit: str | None) -> str:
    place = " ".join(visible_text(part) for part in (stage, unit) if part)
    # A source ends at its bracket: one that is called "system] done" is not to look like ours.
    return f"{level:<5} [{visible_text(source).replace(']', BRACKET)}] " + (f"{place}: " if place else "")


def _with_traceback(metadata_json: str) -> str:
    metadata = msgspec.json.decode(metadata_json)
    traceback = metadata.pop("traceback", None)
    shown = f" {visible_text(_encode(metadata).decode())}" if metadata else ""
    if isinstance(traceback, str):
        shown += "".join(f"\n{_INDENT}{visible_text(line)}" for line in traceback.splitlines())
    elif traceback is not None:
        shown += f"\n{_INDENT}{visible_text(_encode(traceback).decode())}"
    return shown


def text_lines(lines: Iterable[bytes]) -> str:
    """Entries, given as JSON, as text, each line ended."""
    return "".join(lines_of([list(column) for column in zip(*map(_values, map(parse_entry, lines)), strict=True)]))


def _values(entry: Entry) -> tuple[Any, ...]:
    return (
        entry.timestamp, entry.level.name, entry.source, entry.stage, entry.unit, entry.message, entry.metadata_json
    )  # fmt: skip


def run_mark(run_id: str | None, task_id: str) -> str:
    """The first line of a run's activity log: whose it is."""
    return f"# run {run_id or '-'}, task {task_id}\n"


def run_head(task: Task) -> str:
    """The head of a run's activity log: what ran, for whom, why, since when and with what. Does not change."""
    facts = (
        ("plugin", task.plugin),
        ("name", task.name),
        ("account", task.account or "-"),
        ("site", task.site or "-"),
        ("trigger", task.trigger_type),
        ("started", timestamp_text(task.started_at or task.created_at)),
        ("params", task.params_json or "{}"),
    )
    return run_mark(task.run_id, task.id) + "".join(f"# {name:<8} {visible_text(value)}\n" for name, value in facts)


def trace_line(record_id: int, item: TraceItem) -> bytes:
    """A machine event as one JSON object with a line break."""
    shown = {
        "id": record_id,
        "task_id": item.task_id,
        "timestamp": timestamp_text(item.timestamp),
        "event": item.event,
        "data": raw(item.data_json),
    }
    return _encode(shown) + b"\n"


def csv_header() -> str:
    """The first row."""
    return ",".join(CSV_COLUMNS) + "\r\n"


def csv_rows(lines: Iterable[bytes]) -> str:
    """Entries, given as JSON, as rows of CSV. A cell that a spreadsheet would run as a formula begins with ``'``."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    for line in lines:
        entry = parse_entry(line)
        writer.writerow(
            [
                entry.id,
                entry.task_id,
                entry.seq,
                timestamp_text(entry.timestamp),
                entry.level.name,
                *map(_cell, (entry.source, entry.stage, entry.unit, entry.step_id, entry.message, entry.metadata_json)),
            ]
        )
    return out.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = str(value)
    return f"'{text}" if _runs(text) else text


def _runs(cell: str) -> bool:
    """Whether a spreadsheet might run the cell."""
    if cell[:1] in _BREAKS:
        return True
    first = next((character for character in cell if character.isprintable() and character != " "), "")
    return first in _FORMULA
