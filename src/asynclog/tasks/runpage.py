"""What is written to one task's run files at once, and how far that is. Decides without I/O."""

from __future__ import annotations

from typing import Final

import msgspec

from asynclog.model import Task, TraceItem
from asynclog.records import Row
from asynclog.rendering import run_head, text_line, texts_of, trace_line
from asynclog.tasks.rundir import LOG, TRACE, Piece
from asynclog.wire import parse_entry

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
    """What is written to one task's files at once."""

    def __init__(self, task: Task, cursor: Cursor) -> None:
        self.task = task
        self.cursor = cursor
        self.moved = msgspec.structs.replace(
            cursor, sizes=dict(cursor.sizes), stages=dict(cursor.stages), strays=list(cursor.strays)
        )
        self.lines: list[bytes] = []
        """Entries as they were read, or in their place"""
        self.rows: list[Row] = []
        """as they were stored."""
        self.traces: list[tuple[int, TraceItem]] = []
        self.began: set[str] = set()
        """Files of stages that begin with this page."""

    @property
    def begins_stage(self) -> bool:
        """Whether a stage may be new."""
        return any(item.event == "stage_start" for _, item in self.traces)

    def begin(self, number: int) -> None:
        """The stage's log exists from now on."""
        self.moved.sizes.setdefault(stage_log(number), 0)
        self.began.add(stage_log(number))

    def pieces(self) -> dict[str, Piece]:
        """What each file goes on with. Takes a while: for a thread."""
        found: dict[str, list[str]] = {name: [] for name in self.began}
        head = "" if LOG in self.cursor.sizes else run_head(self.task)
        texts, stages = self._texts()
        log = head + _joined(texts)
        if stages.count(None) < len(stages):
            for text, stage in zip(texts, stages, strict=True):
                if stage is not None:
                    self._sort(stage, text, found)
        pieces: dict[str, bytes] = {LOG: log.encode()} if log else {}
        if self.traces or TRACE not in self.cursor.sizes:
            pieces[TRACE] = b"".join(trace_line(*trace) for trace in self.traces)
        pieces |= {name: _joined(texts).encode() for name, texts in found.items()}
        return {name: Piece(self.moved.sizes.get(name, 0), data) for name, data in pieces.items()}

    def _texts(self) -> tuple[list[str], list[str | None]]:
        """The entries as lines, and the stage of each."""
        if self.rows:
            return texts_of(self.rows), [row[6] for row in self.rows]
        entries = [parse_entry(line) for line in self.lines]
        return [text_line(entry) for entry in entries], [entry.stage for entry in entries]

    def _sort(self, label: str, text: str, found: dict[str, list[str]]) -> None:
        number = self.moved.stages.get(label)
        if number is not None:
            found.setdefault(stage_log(number), []).append(text)
        elif label not in self.moved.strays and len(self.moved.strays) < STRAYS:
            self.moved.strays.append(label)

    def written(self, pieces: dict[str, Piece]) -> None:
        """The pieces are in their files."""
        for name, piece in pieces.items():
            self.moved.sizes[name] = piece.offset + len(piece.data)


def _joined(texts: list[str]) -> str:
    """Lines, each ended."""
    return "\n".join([*texts, ""])


def stage_log(number: int) -> str:
    """The name of a stage's log."""
    return f"stage_{number}.log"
