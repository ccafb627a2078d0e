"""Entries and what happens between them as lines: text for people, NDJSON for programs."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Final

import msgspec

from asynclog.cli import terminal
from asynclog.cli.service import Object
from asynclog.rendering import text_line
from asynclog.wire import parse_entry

_LEVEL: Final = re.compile(r"\S+ \S+ (WARNING|ERROR) ")
"""What stands at the beginning of a line about trouble."""
_TIME_END: Final = len("2026-02-07 12:00:00.123")
"""Where the time of a `text_line` ends; its level and its source in brackets follow."""


class LinePrinter:
    """Writes entries to standard output.

    Args:
        form: ``text`` or ``ndjson``.
    """

    def __init__(self, form: str) -> None:
        self._json = form == "ndjson"

    def entries(self, entries: Iterable[Object]) -> None:
        """Write them and let them be seen at once."""
        for entry in entries:
            if self._json:
                terminal.write_object(entry)
            else:
                terminal.write(_text(entry, msgspec.json.encode(entry)))
        sys.stdout.flush()

    def lines(self, lines: Iterable[bytes]) -> None:
        """Write lines of an activity log."""
        for line in lines:
            text = line.decode(errors="replace")
            level = _LEVEL.match(text)
            terminal.write(terminal.paint(terminal.safe(text), level[1] if level else ""))
        sys.stdout.flush()

    def gap(self, gap: Object) -> None:
        """Say that a range of entries is missing; not among NDJSON, which holds entries alone."""
        said = f"-- entries {gap['from_seq']:,} to {gap['to_seq']:,} are missing: {gap['reason']} --"
        if self._json:
            terminal.say(said, "WARNING")
        else:
            terminal.write(terminal.paint(terminal.safe(said), "WARNING"))


def _text(entry: Object, line: bytes) -> str:
    """An entry as text; on a terminal with colours, and nothing in it that would act on the terminal."""
    text = text_line(parse_entry(line))
    if not terminal.interactive(sys.stdout):
        return text
    level = entry["level"]
    start = text.index("[", _TIME_END)
    end = text.index("]", start) + 1
    return "".join(
        (
            terminal.paint(text[:_TIME_END], "dim"),
            terminal.paint(text[_TIME_END:start], level),
            terminal.paint(terminal.visible(text[start:end]), "source"),
            terminal.paint(terminal.visible(text[end:]), level if level in ("WARNING", "ERROR") else ""),
        )
    )
