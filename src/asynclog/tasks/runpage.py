"""What is written to one task's run files at once, and how far that is. Decides without I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from asynclog.model import Task, TraceItem
from asynclog.queries import RunState
from asynclog.rendering import run_head, trace_line
from asynclog.tasks.rundir import LOG, TRACE, Piece
from asynclog.tasks.runtext import RunText, page_text

STRAYS: Final = 1000
"""Labels remembered that belong to no stage yet."""


class Cursor(msgspec.Struct):
    """How far one task is written: its entries, its trace, the size of each file.

    ``stages`` is the number of each label that has a stage, ``strays`` labels that had none when they were passed.
    """

    seq: int = 0
    trace: int = 0
    sizes: dict[str, int] = {}
    stages: dict[str, int] = {}
    strays: list[str] = []


class Page:
    """What is written to one task's files at once.

    Args:
        task: whose files.
        cursor: how far they are.
        state: how much of the task is stored.
    """

    def __init__(self, task: Task, cursor: Cursor, state: RunState) -> None:
        self.task = task
        self.cursor = cursor
        self.state = state
        self.moved = msgspec.structs.replace(
            cursor, sizes=dict(cursor.sizes), stages=dict(cursor.stages), strays=list(cursor.strays)
        )
        """Where the cursor is once this is written."""
        self.texts: Sequence[RunText] = ()
        """Entries as they were stored just now, or in their place"""
        self.columns: Sequence[Sequence[Any]] | None = None
        """as they were read."""
        self.traces: list[tuple[int, TraceItem]] = []
        self.began: set[str] = set()
        """Files of stages that begin with this page."""
        self.error: OSError | None = None
        """Why it was not written."""
        self.put_off = False
        """Whether it is left for another round."""
        self.is_whole = not self.lacks_more and not self.lacks_entries
        """Whether all that it needs is here."""

    @property
    def is_fresh(self) -> bool:
        """Whether nothing was written before."""
        return LOG not in self.cursor.sizes

    @property
    def has_news(self) -> bool:
        """Whether there is anything to be written."""
        return self.lacks_entries or self.lacks_more or self.is_fresh

    @property
    def lacks_entries(self) -> bool:
        """Whether entries are stored that are not written, and not here."""
        return self.state.last_seq > self.cursor.seq and self.moved.seq == self.cursor.seq

    @property
    def lacks_more(self) -> bool:
        """Whether something else than entries is stored, or to be looked at, and is not written."""
        return self.state.last_trace > self.cursor.trace or (self.state.ended and bool(self.cursor.strays))

    @property
    def is_last(self) -> bool:
        """Whether nothing more is stored."""
        return self.moved.seq >= self.state.last_seq and self.moved.trace >= self.state.last_trace

    @property
    def begins_stage(self) -> bool:
        """Whether a stage may be new."""
        return any(item.event == "stage_start" for _, item in self.traces)

    def take(self, texts: Sequence[RunText]) -> None:
        """Go on with these entries, if there are any."""
        if texts:
            self.texts, self.moved.seq = texts, texts[-1].last
            labelled = any(text.labelled for text in texts) or bool(self.cursor.strays)
            self.is_whole = not (self.lacks_more and labelled)  # else the trace can come later

    def begin(self, number: int) -> None:
        """The stage's log exists from now on."""
        self.moved.sizes.setdefault(stage_log(number), 0)
        self.began.add(stage_log(number))

    def pieces(self) -> dict[str, Piece]:
        """What each file goes on with. Takes a while: for a thread."""
        log = [run_head(self.task).encode()] if self.is_fresh else []
        found: dict[str, list[bytes]] = {name: [] for name in self.began}
        logs: dict[str, list[bytes]] = {}
        for text in self._all_texts():
            log += text.log
            for label, lines in text.labelled:
                if label not in logs:
                    logs[label] = self._log_of(label, found)
                logs[label].append(lines)
        if log:
            found[LOG] = log
        pieces = {name: b"".join(texts) for name, texts in found.items()}
        if self.traces or TRACE not in self.cursor.sizes:
            pieces[TRACE] = b"".join(trace_line(*trace) for trace in self.traces)
        return {name: Piece(self.moved.sizes.get(name, 0), data) for name, data in pieces.items()}

    def _all_texts(self) -> Sequence[RunText]:
        return self.texts if self.columns is None else [page_text(self.columns)]

    def _log_of(self, label: str, found: dict[str, list[bytes]]) -> list[bytes]:
        """What the log of this label's stage goes on with; what is thrown away where there is no such stage yet."""
        number = self.moved.stages.get(label)
        if number is not None:
            return found.setdefault(stage_log(number), [])
        if label not in self.moved.strays and len(self.moved.strays) < STRAYS:
            self.moved.strays.append(label)
        return []

    def written(self, pieces: dict[str, Piece]) -> None:
        """The pieces are in their files."""
        for name, piece in pieces.items():
            self.moved.sizes[name] = piece.offset + len(piece.data)

    def let_go(self) -> None:
        """Hold nothing any more of what was to be written."""
        self.texts, self.columns, self.traces = (), None, []


def stage_log(number: int) -> str:
    """The name of a stage's log."""
    return f"stage_{number}.log"
