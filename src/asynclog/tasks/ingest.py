"""Entries that come over HTTP: NDJSON lines into the lines of a batch record. No I/O, any thread."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from asynclog import values
from asynclog.logger import SOURCE_CHARACTERS, label
from asynclog.model import Level, parse_timestamp
from asynclog.records import Line
from asynclog.redaction import REDACTOR, Redactor

MAX_ERRORS: Final = 100
"""Errors named in an answer."""


class _Given(msgspec.Struct):
    message: str
    level: Any = None
    source: Any = None
    timestamp: Any = None
    stage: Any = None
    unit: Any = None
    metadata: Any = None


_decode_line = msgspec.json.Decoder(_Given).decode
_decode_lines = msgspec.json.Decoder(_Given).decode_lines


class Parsed:
    """What a body holds: the lines to keep, and what is told of the others."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.levels = [0, 0, 0, 0, 0]
        """Lines kept, at ``level // 10``."""
        self.rejected = 0
        self.filtered = 0
        self.errors: list[dict[str, object]] = []

    def reject(self, number: int, error: str) -> None:
        """A line (from 1) is not taken."""
        self.rejected += 1
        if len(self.errors) < MAX_ERRORS:
            self.errors.append({"line": number, "error": error})

    def answer(self, last_seq: int | None) -> dict[str, object]:
        """The answer of the ingest route; without ``last_seq`` when that is not known yet."""
        told: dict[str, object] = {
            "accepted": len(self.lines),
            "rejected": self.rejected,
            "filtered": self.filtered,
            "errors": self.errors,
        }
        return told if last_seq is None else {**told, "last_seq": last_seq}


def parse(body: bytes, now: int, threshold: int, message_limit: int, redactor: Redactor = REDACTOR) -> Parsed:
    """Read NDJSON lines ``{message, level?, source?, timestamp?, stage?, unit?, metadata?}``.

    Args:
        body: UTF-8; empty lines are passed over.
        now: the time of lines that give none, in microseconds.
        threshold: lines below this level are counted as filtered.
        message_limit: bytes above which a message keeps head and tail; 0 for 64 MiB.
        redactor: what counts as a secret.

    A line is rejected only when it is no object with a string ``message``, or has a bad level or time.
    """
    parsed = Parsed()
    for number, one in _given(body):
        if isinstance(one, str):
            parsed.reject(number, one)
            continue
        try:
            line = _line(one, now, threshold, message_limit, redactor)
        except ValueError as error:
            parsed.reject(number, str(error))
            continue
        if line is None:
            parsed.filtered += 1
        else:
            parsed.lines.append(line)
            parsed.levels[line.level // 10] += 1
    return parsed


def _given(body: bytes) -> Iterable[tuple[int, _Given | str]]:
    """The lines by number (from 1), each read or with the reason why it cannot be: all at once, else one by one."""
    try:
        given = _decode_lines(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    else:
        if len(given) == body.count(b"\n") + (not body.endswith(b"\n")):  # without empty lines, which are not numbered
            return enumerate(given, 1)
    lines = ((number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip())
    return ((number, _one(line)) for number, line in lines)


def _one(line: bytes) -> _Given | str:
    """One line, or why it is none. What msgspec refuses but Python's json reads (lone surrogates, NaN) is taken."""
    try:
        return _decode_line(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        reason = str(error)
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return f"the line is no JSON object: {reason}"
    if not isinstance(found, dict) or not isinstance(found.get("message"), str):
        return "the line is no object with a string message"
    given: dict[str, Any] = {name: found.get(name) for name in _Given.__struct_fields__}
    return _Given(**given)


def _line(given: _Given, now: int, threshold: int, message_limit: int, redactor: Redactor) -> Line | None:
    level = Level.INFO if given.level is None else Level.parse(given.level)
    if level < threshold:
        return None
    timestamp = now
    if given.timestamp is not None:
        if not isinstance(given.timestamp, str):
            raise ValueError("timestamp is no ISO-8601 text")
        timestamp = parse_timestamp(given.timestamp)
    metadata = given.metadata
    if metadata is not None and not isinstance(metadata, dict):
        metadata = {"value": metadata}
    source = label(given.source, SOURCE_CHARACTERS, redactor) or "plugin"
    if source == "system":
        source, metadata = "plugin", {**(metadata or {}), "claimed_source": "system"}
    text = redactor.redact(values.text(given.message))
    limit = message_limit or 1 << 26
    if len(text) * 4 > limit:
        text, size = values.cut(text, limit)
        if size is not None:
            metadata = {**(metadata or {}), "original_size": size}
    return Line(
        timestamp,
        int(level),
        source,
        label(given.stage, redactor=redactor),
        label(given.unit, redactor=redactor),
        text,
        values.metadata_json(metadata, redactor=redactor) if metadata else None,
    )
