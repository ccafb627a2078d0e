"""What is written where: colours and escaped text on a terminal, plain text into a pipe, troubles on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

import msgspec

from asynclog.rendering import visible_text

if TYPE_CHECKING:
    from rich.console import Console

STDERR: Final = 2
"""The last of the three descriptors that every process expects."""
_BETWEEN: Final = "  "
"""What stands between the columns of a table."""
_NARROWEST: Final = 8
"""A column that may be cut keeps so many characters."""
_STYLES: Final = {
    "DEBUG": "2",
    "INFO": "",
    "WARNING": "33",
    "ERROR": "31",
    "dim": "2",
    "bold": "1",
    "source": "36",
    "running": "34",
    "pending": "2",
    "success": "32",
    "failed": "31",
    "cancelled": "33",
    "interrupted": "35",
}


def prepare() -> None:
    """Let standard output and error take any character, whatever the locale; what is closed leads nowhere."""
    _open_closed()
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _open_closed() -> None:
    """Else the next file that is opened, the database say, would be standard output."""
    while (nowhere := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(nowhere)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115  # open as long as the process
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115  # as above
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115  # as above


def written(text: str) -> str:
    """An argument as text, which it need not be: bytes that are no UTF-8 become escapes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def visible(text: str) -> str:
    """The text with every character spelt out that would move, hide or turn round what a terminal shows.

    Tabs and line breaks stay: for text of one line see `rendering.visible_text`.
    """
    return "\n".join("\t".join(map(visible_text, line.split("\t"))) for line in text.split("\n"))


def safe(text: str) -> str:
    """`visible` where standard output is a terminal, the text itself where it is not."""
    return visible(text) if interactive(sys.stdout) else text


@lru_cache
def interactive(stream: TextIO) -> bool:
    """Whether a person looks at what is written there."""
    try:
        return stream.isatty()
    except ValueError:
        return False


@lru_cache
def coloured(stream: TextIO) -> bool:
    """Whether colours are wanted there: on a terminal that has them, unless NO_COLOR is set."""
    return interactive(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, stream: TextIO | None = None) -> str:
    """The text in a style (a level, a status, ``dim``, ``bold``, ``source``), as it is where no colours are wanted."""
    code = _STYLES.get(style, "")
    if not code or not coloured(stream or sys.stdout):
        return text
    return f"\x1b[{code}m{text}\x1b[0m"


def write_object(value: Any) -> None:
    """A value as a line of JSON; on a terminal with nothing in it that would act on it."""
    write(safe(msgspec.json.encode(value).decode()))


def write(text: str) -> None:
    """A line on standard output, as it is."""
    sys.stdout.write(text + "\n")


def say(text: str, style: str = "dim") -> None:
    """A line about what goes on, on stderr, where it disturbs no pipe."""
    sys.stdout.flush()
    sys.stderr.write(paint(visible(text), style, sys.stderr) + "\n")
    sys.stderr.flush()


def remark(text: str) -> None:
    """As `say`, for what only a person wants to know: silent when stderr is no terminal."""
    if interactive(sys.stderr):
        say(text)


def fail(text: str) -> None:
    """Say what is wrong: one line on stderr."""
    sys.stderr.write(paint("asynclog: ", "ERROR", sys.stderr) + visible(" ".join(text.split())) + "\n")


def console(stream: TextIO | None = None) -> Console:
    """A console of rich for tables and progress bars."""
    from rich.console import Console  # noqa: PLC0415 - takes as long as all the rest

    chosen = stream or sys.stdout
    return Console(file=chosen, no_color=not coloured(chosen), highlight=False, markup=False, emoji=False)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: str = "", cut: str = "") -> None:
    """Write a table as wide as the terminal.

    Args:
        columns: their titles.
        rows: a cell for each of them, `paint`ed or not; whatever comes from a task has to be `visible`.
        right: titles of columns of numbers.
        cut: titles of columns that may be cut; then each row is one line, which a narrow terminal continues below.
            Without any, cells are folded, all but the first column's.
    """
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    texts = [[Text.from_ansi(cell) for cell in row] for row in rows]
    terminal, cuttable = console(), cut.split()
    widths = [max([len(title), *(row[at].cell_len for row in texts)]) for at, title in enumerate(columns)]
    missing = sum(widths) + len(_BETWEEN) * (len(columns) - 1) - terminal.width
    for title in cuttable:
        at = columns.index(title)
        given = min(max(missing, 0), widths[at] - _NARROWEST)
        widths[at], missing = widths[at] - max(given, 0), missing - max(given, 0)
    if cuttable and missing > 0:
        terminal.width += missing
    table = Table(
        box=None, pad_edge=False, padding=(0, len(_BETWEEN), 0, 0), header_style="dim" if coloured(sys.stdout) else ""
    )
    for title, width in zip(columns, widths, strict=True):
        justify: Literal["left", "right"] = "right" if title in right.split() else "left"
        overflow: Literal["ellipsis", "fold"] = "ellipsis" if cuttable else "fold"
        fixed = width if cuttable else None
        whole = bool(cuttable) or title == columns[0]
        table.add_column(title, justify=justify, overflow=overflow, no_wrap=whole, width=fixed)
    for row in texts:
        table.add_row(*row)
    terminal.print(table)


def drop_output(stream: TextIO | None = None) -> None:
    """Nobody reads the stream (standard output) any more: forget what is left, so that leaving does not complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, (stream or sys.stdout).fileno())
    os.close(nowhere)
