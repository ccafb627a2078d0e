"""Bytes as programs write them -> lines as people read them, and the level a line claims for itself."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

LONGEST: Final = 64 * 1024
"""Bytes of one line; a longer one comes in pieces of this size."""

_NAMES: Final = "TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|CRITICAL|FATAL|SEVERE"
# At the very start, or a few words after a time; "no ERROR here" is no claim.
_LEVEL: Final = re.compile(
    rf"(?:[\[(]?\d\S*\s+(?:\S+\s+){{0,4}}?)?[\[(<|]{{0,2}}({_NAMES})(?=[\s\])>|:]|$)"
    r"|(?:[\w./-]{1,64}: )?(debug|info|notice|hint|warning|error|fatal|critical|panic)(?=:)",
    re.ASCII,
)
_ENDING: Final = re.compile(rb"\r?\n|\r")
KEY_LINES: Final = 200
"""The longest private key, in lines."""
COVERED: Final = "[redacted]"
"""What is logged instead of a line of a private key."""
_KEY_BEGIN: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY")
_KEY_END: Final = "-----END "
_KEY_LINE: Final = re.compile(
    r"\s{0,16}(?:[A-Za-z0-9+/=]{1,128}|-----END [A-Z0-9 ]{1,48}-----"
    r"|(?:Proc-Type|DEK-Info|Comment|Version): .{0,128})?\s{0,16}"
)
_SEARCHED: Final = 128
"""Characters at the start of a line in which a level is looked for."""
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;]{0,16}m")
_LEVELS: Final = {
    "TRACE": "DEBUG",
    "NOTICE": "INFO",
    "HINT": "INFO",
    "WARN": "WARNING",
    "CRITICAL": "ERROR",
    "FATAL": "ERROR",
    "SEVERE": "ERROR",
    "PANIC": "ERROR",
}


def claimed_level(line: str) -> str | None:
    """DEBUG, INFO, WARNING or ERROR when the line starts like a log line of that level, else None."""
    start = line[:_SEARCHED]
    if "\x1b" in start:
        start = _ESCAPES.sub("", start)
    found = _LEVEL.match(start)
    if found is None:
        return "ERROR" if start.startswith("Traceback (most recent call last)") else None
    name = (found[1] or found[2]).upper()
    return _LEVELS.get(name, name)


class Line(NamedTuple):
    """A line without its ending. ``passing``: it ended in a bare CR, so the next one is to be shown in its place."""

    text: str
    passing: bool = False


class KeyCover:
    """Covers a private key that is printed line by line, which no look at a single line can know. For one stream."""

    def __init__(self) -> None:
        self._left = 0

    def cover(self, line: str) -> str:
        """The line as it may be logged."""
        if self._left and _KEY_LINE.fullmatch(line):
            self._left = 0 if _KEY_END in line else self._left - 1
            return COVERED
        begins = _KEY_BEGIN.search(line) is not None and _KEY_END not in line
        self._left = KEY_LINES if begins else 0
        return line


class LineSplitter:
    r"""Takes bytes in whatever pieces they come and gives lines; LF, CRLF and CR end one.

    What is no UTF-8 comes escaped, as ``\xff``. Never holds more than `LONGEST` bytes back.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Line]:
        """The lines that are complete now."""
        lines = []
        data = self._rest + data
        start = 0
        for found in _ENDING.finditer(data):
            # A CR at the very end may be half of a CRLF: the next piece tells.
            if found.end() == len(data) and found[0] == b"\r":
                break
            lines += _pieces(data[start : found.start()], passing=found[0] == b"\r")
            start = found.end()
        rest = data[start:]
        while len(rest) > LONGEST:
            end = _whole_characters(rest)
            lines.append(Line(_text(rest[:end])))
            rest = rest[end:]
        self._rest = rest
        return lines

    def finish(self) -> list[Line]:
        """What is left when nothing more will come."""
        rest, self._rest = self._rest.rstrip(b"\r"), b""
        return _pieces(rest, passing=False) if rest else []


def _pieces(line: bytes, *, passing: bool) -> list[Line]:
    pieces = []
    while len(line) > LONGEST:
        end = _whole_characters(line)
        pieces.append(Line(_text(line[:end])))
        line = line[end:]
    return [*pieces, Line(_text(line), passing)]


def _whole_characters(data: bytes) -> int:
    """Where to cut so that no UTF-8 character is split, at most `LONGEST` bytes from the start."""
    for end in range(LONGEST, LONGEST - 4, -1):
        if data[end] & 0xC0 != 0x80:
            return end
    return LONGEST


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
