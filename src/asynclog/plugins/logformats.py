"""How the lines of well-known systems look, and entries made of them: pure functions over lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, NamedTuple

import msgspec

from asynclog.plugins.lines import claimed_level

FormatName = Literal["auto", "hadoop", "openstack", "spark", "zookeeper", "ndjson", "generic"]

MAX_JOINED: Final = 512 * 1024
"""Characters of one entry; more continuation lines begin another one."""
_ENOUGH: Final = 0.5
"""The share of the sample's lines that must look like a format for it to be recognised."""
_LONGEST_SOURCE: Final = 64

_TIME: Final = r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
_PATTERNS: Final[dict[str, re.Pattern[str]]] = {
    "hadoop": re.compile(
        rf"(?P<time>{_TIME})\s(?P<level>[A-Z]{{4,5}})\s+\[(?P<thread>[^\]]{{0,200}})\]\s(?P<source>[\w.$]+):\s?(?P<message>.*)"
    ),
    "openstack": re.compile(
        rf"(?:(?P<file>\S+)\s)?(?P<time>{_TIME})\s(?P<process>\d+)\s(?P<level>[A-Z]{{4,8}})\s(?P<source>[\w.\-]+)\s"
        r"\[(?P<request>[^\]]{0,300})\]\s?(?P<message>.*)"
    ),
    "spark": re.compile(
        r"(?P<time>\d\d/\d\d/\d\d\s\d\d:\d\d:\d\d)\s(?P<level>[A-Z]{4,5})\s(?P<source>[\w.$\-]+):\s?(?P<message>.*)"
    ),
    "zookeeper": re.compile(
        rf"(?P<time>{_TIME})\s-\s(?P<level>[A-Z]{{4,5}})\s+\[(?P<thread>.{{0,300}}):(?P<source>[^:@\s]+)@(?P<at>\d+)\]\s-\s?"
        r"(?P<message>.*)"
    ),
}
_MOMENT: Final = re.compile(
    rf"\[?(?P<time>{_TIME}|\d\d/\w\w\w/\d{{4}}:\d\d:\d\d:\d\d(?: [+-]\d{{4}})?|\w\w\w [ \d]\d \d\d:\d\d:\d\d)\]?"
)


class Parsed(NamedTuple):
    """An entry as the file had it. ``last_line`` is the number of the last of its lines."""

    level: str
    source: str
    message: str
    metadata: dict[str, Any]
    last_line: int


def recognise(sample: list[str]) -> FormatName:
    """The format of a file's first lines; generic when they look like none."""
    lines = [line for line in sample if line.strip()]
    best: FormatName = "generic"
    most = _ENOUGH * len(lines)
    for name in ("hadoop", "openstack", "spark", "zookeeper", "ndjson"):
        count = sum(_parse_line(line, name) is not None for line in lines)
        if count > most:
            best, most = name, count
    return best


def entries(lines: Iterable[tuple[int, str]], format: FormatName, name: str) -> Iterator[Parsed]:
    """Entries of numbered lines; a line that begins none continues the one before, as a stack trace does.

    Args:
        lines: number and text.
        format: how they look.
        name: the source of lines that name none.
    """
    begun: _Entry | None = None
    timed: bool | None = None
    for number, line in lines:
        start = _parse_line(line, format) if format != "generic" else None
        if format == "generic":
            moment = _MOMENT.match(line)
            timed = moment is not None if timed is None else timed
            # In a file whose lines have times, one without continues; elsewhere one that is indented does.
            if moment is not None or not (timed or line[:1].isspace()):
                start = {"time": moment["time"]} if moment is not None else {}
                start["message"] = line
        if start is None and begun is not None and begun.size < MAX_JOINED:
            begun.join(line, number)
            continue
        if begun is not None:
            yield begun.parsed()
        begun = _Entry(start or {"message": line}, name, number)
    if begun is not None:
        yield begun.parsed()


class _Entry:
    """An entry that may still go on."""

    def __init__(self, fields: dict[str, Any], name: str, number: int) -> None:
        self._fields = fields
        self._name = name
        self._first = self._last = number
        self._lines = [str(fields["message"])]
        self.size = len(self._lines[0])

    def join(self, line: str, number: int) -> None:
        self._lines.append(line)
        self._last = number
        self.size += len(line)

    def parsed(self) -> Parsed:
        fields = self._fields
        metadata: dict[str, Any] = {"line": self._first}
        if self._last > self._first:
            metadata["lines"] = self._last - self._first + 1
        if fields.get("time"):
            metadata["timestamp"] = _iso(str(fields["time"]))
        for key in ("thread", "process", "request", "at", "file"):
            if fields.get(key) not in (None, "", "-"):
                metadata[key] = fields[key]
        if isinstance(fields.get("metadata"), dict):
            metadata = {**fields["metadata"], **metadata}
        message = "\n".join(self._lines).rstrip()
        level = str(fields.get("level") or claimed_level(message) or "INFO")
        return Parsed(_level(level), _source(fields.get("source"), self._name), message, metadata, self._last)


def _parse_line(line: str, format: str) -> dict[str, Any] | None:
    if format == "ndjson":
        return _parse_json(line)
    found = _PATTERNS[format].fullmatch(line)
    return None if found is None else found.groupdict()


def _parse_json(line: str) -> dict[str, Any] | None:
    """A JSON object with a message, under the names that are common for its parts."""
    try:
        fields = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    message = _first(fields, "message", "msg", "event")
    if not isinstance(message, str):
        return None
    return {
        "message": message,
        "time": _first(fields, "timestamp", "time", "ts"),
        "level": _first(fields, "level", "severity"),
        "source": _first(fields, "source", "logger", "component"),
        "metadata": fields.get("metadata"),
    }


def _first(fields: dict[str, Any], *names: str) -> Any:
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def _level(name: str) -> str:
    upper = name.upper()
    return claimed_level(upper) or "INFO"


def _source(name: object, default: str) -> str:
    """The component; of one that is too long its end, which tells most."""
    if not isinstance(name, str) or not name:
        return default
    while len(name) > _LONGEST_SOURCE and "." in name:
        name = name.partition(".")[2]
    return name


def _iso(moment: str) -> str:
    """The time in ISO-8601 where the parts are in order, else as it stood there."""
    if len(moment) == 17 and moment[2] == "/":  # Spark's yy/MM/dd HH:mm:ss
        return f"20{moment[:8].replace('/', '-')}T{moment[9:]}"
    if moment[4:5] == "-" and moment[10:11] in (" ", "T"):
        return f"{moment[:10]}T{moment[11:].replace(',', '.')}"
    return moment
