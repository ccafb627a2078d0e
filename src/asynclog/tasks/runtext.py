"""Entries as the lines of run files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from asynclog.rendering import lines_of

AT_ONCE: Final = 500
"""Entries made to lines together: they stay in the processor's cache, and what they take is not mapped anew."""

_SHOWN: Final = (3, 4, 5, 6, 7, 9, 10)
"""Of a `Row`, by place: what `lines_of` takes."""
_STAGE: Final = 6
_STAGE_SHOWN: Final = _SHOWN.index(_STAGE)


class RunText:
    """Entries of one task, in order: all of them, and those with a stage's label once more. Grows at the end only."""

    __slots__ = ("count", "first", "labelled", "last", "log")

    def __init__(self) -> None:
        self.first = 0
        """Seq of the first entry, and"""
        self.last = 0
        """of the last one."""
        self.count = 0
        self.log: list[bytes] = []
        """Whole lines, some in each."""
        self.labelled: list[tuple[str, bytes]] = []
        """Labels of stages, each with whole lines that carry it."""

    @property
    def is_dense(self) -> bool:
        """Whether no entry is missing in between."""
        return self.last - self.first + 1 == self.count

    def add(self, lines: Sequence[str], stages: Sequence[str | None]) -> None:
        """Some entries more."""
        self.count += len(lines)
        text = "".join(lines).encode()
        self.log.append(text)
        if stages.count(stages[0]) == len(stages):
            self.labelled += [(stages[0], text)] if stages[0] is not None else []
        else:
            pairs = zip(stages, lines, strict=True)
            self.labelled += [(stage, line.encode()) for stage, line in pairs if stage is not None]


def page_text(columns: Sequence[Sequence[Any]]) -> RunText:
    """Entries of one task by the columns that `lines_of` takes; their seqs are nobody's concern."""
    text = RunText()
    for start in range(0, len(columns[0]), AT_ONCE):
        part = [column[start : start + AT_ONCE] for column in columns]
        text.add(lines_of(part), part[_STAGE_SHOWN])
    return text


def render(columns: Sequence[Sequence[Any]], cursors: Mapping[str, int]) -> dict[str, RunText]:
    """The texts of tasks of which a cursor, a seq, is right before their first entry; 0 where a task has none.

    Args:
        columns: entries, a list for each column of `Row`.
        cursors: by task.
    """
    found: dict[str, RunText | None] = {}
    for start in range(0, len(columns[0]), AT_ONCE):
        part = [column[start : start + AT_ONCE] for column in columns]
        places = _places(part[1])
        for task_id, mine in places.items():
            if task_id not in found:
                found[task_id] = RunText() if part[2][mine[0]] == cursors.get(task_id, 0) + 1 else None
        if any(found[task_id] for task_id in places):
            _add(part, places, found)
    return {task_id: text for task_id, text in found.items() if text is not None and text.is_dense}


def _places(task_ids: Sequence[str]) -> Mapping[str, Sequence[int]]:
    """Where each task's entries are."""
    if task_ids.count(task_ids[0]) == len(task_ids):
        return {task_ids[0]: range(len(task_ids))}
    found = defaultdict[str, list[int]](list)
    for place, task_id in enumerate(task_ids):
        found[task_id].append(place)
    return found


def _add(
    columns: Sequence[Sequence[Any]], places: Mapping[str, Sequence[int]], texts: Mapping[str, RunText | None]
) -> None:
    lines = lines_of([columns[place] for place in _SHOWN])
    seqs, stages = columns[2], columns[_STAGE]
    for task_id, mine in places.items():
        text = texts[task_id]
        if text is None:
            continue
        text.first, text.last = text.first or seqs[mine[0]], seqs[mine[-1]]
        if len(mine) == len(lines):
            text.add(lines, stages)
        else:
            text.add(list(map(lines.__getitem__, mine)), list(map(stages.__getitem__, mine)))
