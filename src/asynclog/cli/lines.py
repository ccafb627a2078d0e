"""Entries and what happens between them as lines: text for people, NDJSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Final

import msgspec

from asynclog.cli import terminal
from asynclog.cli.service import Object
from asynclog.rendering import text_line, visible_text
from asynclog.wire import parse_entry

# Where the parts of a `text_line` are.
_TIME: Final = slice(0, 23)
_LEVEL: Final = slice(24, 31)
_SOURCE: Final = 32


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
            line = msgspec.json.encode(entry)
            terminal.write(line.decode() if self._json else _text(entry, line))
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
    end = _SOURCE + len(visible_text(entry["source"])) + 2  # its brackets
    return " ".join(
        (
            terminal.paint(text[_TIME], "dim"),
            terminal.paint(text[_LEVEL], level),
            terminal.paint(terminal.visible(text[_SOURCE:end]), "source"),
            terminal.paint(terminal.visible(text[end + 1 :]), level if level in ("WARNING", "ERROR") else ""),
        )
    )
