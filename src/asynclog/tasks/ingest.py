"""Entries that come over HTTP: NDJSON lines into the lines of a batch record. No I/O, any thread."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

import msgspec

from asynclog import values
from asynclog.logger import SOURCE_CHARACTERS, label, poses_as_system
from asynclog.model import Level, parse_timestamp
from asynclog.records import Line
from asynclog.redaction import REDACTOR, Redactor

MAX_ERRORS: Final = 100
"""Errors named in an answer."""
TOGETHER: Final = 64
"""Lines that are looked at together for anything that must not be kept as it is: it is rare."""


class _Given(msgspec.Struct):
    message: str
    level: Any = None
    source: Any = None
    timestamp: Any = None
    stage: Any = None
    unit: Any = None
    metadata: Any = None


# Without one of these Python's json reads nothing that msgspec does not, and looking twice would take long.
_ODD: Final = re.compile(rb"\\u[dD]|NaN|Infinity|\d[eE]|\d{15}|\xef\xbb\xbf")

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
    reader = _Reader(now, threshold, message_limit, redactor)
    given = iter(_given(body))
    while some := list(islice(given, TOGETHER)):
        harmless = reader.clears(one.message for _, one in some if not isinstance(one, str))
        for number, one in some:
            if isinstance(one, str):
                parsed.reject(number, one)
                continue
            try:
                line = reader.line(one, harmless=harmless)
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
    if _ODD.search(line) is None:
        return f"the line is no JSON object: {reason}"
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return f"the line is no JSON object: {reason}"
    if not isinstance(found, dict) or not isinstance(found.get("message"), str):
        return "the line is no object with a string message"
    given: dict[str, Any] = {name: found.get(name) for name in _Given.__struct_fields__}
    return _Given(**given)


class _Reader:
    """Makes entries of lines, and remembers what lines have in common: levels, sources, stages and units."""

    def __init__(self, now: int, threshold: int, message_limit: int, redactor: Redactor) -> None:
        self._now = now
        self._threshold = threshold
        self._limit = message_limit or 1 << 26
        self._redactor = redactor
        self._levels: dict[object, int] = {None: int(Level.INFO)}
        self._sources: dict[object, str] = {None: "plugin"}
        self._labels: dict[object, str | None] = {None: None}

    def clears(self, messages: Iterable[str]) -> bool:
        """Whether all these can be kept as they are, told at one look at all of them; False when one perhaps cannot."""
        text = "\n".join(messages)
        return values.text(text) is text and not self._redactor.suspects(text)

    def line(self, given: _Given, *, harmless: bool) -> Line | None:
        """The entry, None when it is below the threshold. Raises ValueError for a bad level or time."""
        level = self._level(given.level)
        if level < self._threshold:
            return None
        timestamp = self._now if given.timestamp is None else _timestamp(given.timestamp)
        metadata = given.metadata
        if metadata is not None and not isinstance(metadata, dict):
            metadata = {"value": metadata}
        source = self._source(given.source)
        if poses_as_system(source):
            source, metadata = "plugin", {**(metadata or {}), "claimed_source": source}
        text = given.message if harmless else self._redactor.redact(values.text(given.message))
        if len(text) * 4 > self._limit:
            text, size = values.cut(text, self._limit)
            if size is not None:
                metadata = {**(metadata or {}), "original_size": size}
        return Line(
            timestamp,
            level,
            source,
            None if given.stage is None else self._label(given.stage),
            None if given.unit is None else self._label(given.unit),
            text,
            values.metadata_json(metadata, redactor=self._redactor) if metadata else None,
        )

    def _level(self, value: object) -> int:
        if type(value) is not str and value is not None:
            return int(Level.parse(value))
        level = self._levels.get(value)
        if level is None:
            level = self._levels[value] = int(Level.parse(value))
        return level

    def _source(self, value: object) -> str:
        if type(value) is not str and value is not None:
            return label(value, SOURCE_CHARACTERS, self._redactor) or "plugin"
        source = self._sources.get(value)
        if source is None:
            source = self._sources[value] = label(value, SOURCE_CHARACTERS, self._redactor) or "plugin"
        return source

    def _label(self, value: object) -> str | None:
        if type(value) is not str:
            return label(value, redactor=self._redactor)
        if value not in self._labels:
            self._labels[value] = label(value, redactor=self._redactor)
        return self._labels[value]


def _timestamp(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError("timestamp is no ISO-8601 text")  # noqa: TRY004  # a bad line, as a bad level is
    return parse_timestamp(value)
